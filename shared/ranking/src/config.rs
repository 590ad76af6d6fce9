//! Ranking configurations: every weight, half-life, cap and window by name and version.

mod blend;
mod fields;
mod json;
#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::vec::Vec;

pub use self::blend::{BLEND_HEADS_MAX, BlendHead, FORMULA, Normalise, VECTORS};
pub use self::json::ConfigError;

/// The cursor carries the authors of so many positions across pages, less one.
pub const AUTHOR_WINDOW_MAX: u32 = 20;

/// Bounds the work of variety.
pub const VARIETY_DISPLACEMENT_MAX: u32 = 50;

/// A named, versioned set of parameters; an experiment arm is another one.
///
/// [`RankingConfig::default`] is the seed configuration of the design, `default@1`.
///
/// In JSON every field may be left out and then has its default; unknown fields are
/// refused. Weights are given for all kinds at once and, where a kind differs, in
/// `by_kind`:
///
/// ```
/// use edgewise_ranking::{Kind, RankingConfig};
/// let config = RankingConfig::from_json(
///     r#"{"name": "fresher", "feed": {"freshness": 0.5, "by_kind": {"dataset": {"freshness": 0.1}}}}"#,
/// )?;
/// assert_eq!(config.feed[Kind::Video as usize].freshness, 0.5);
/// assert_eq!(config.feed[Kind::Dataset as usize].freshness, 0.1);
/// let error = RankingConfig::from_json(r#"{"selection": {"variety_lambda": 2}}"#).unwrap_err();
/// assert_eq!(error.to_string(), "selection.variety_lambda must be a number from 0 to 1, not 2");
/// # Ok::<(), edgewise_ranking::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RankingConfig {
    /// Name, 1 to 64 bytes.
    pub name: String,
    /// Version, counted up with every change.
    pub version: u32,
    /// Weights of the `feed` profile, by item kind (index: `Kind as usize`).
    pub feed: [FeedWeights; 4],
    /// Weights of the `video` profile, by item kind.
    pub video: [VideoWeights; 4],
    /// Heads whose weighted sum scores; empty: the profile's formula alone.
    pub blend: Vec<BlendHead>,
    /// Decay of freshness per hour of age.
    pub freshness_decay_per_hour: f64,
    /// Weight of the prior in `completion`, in views.
    pub completion_prior_views: f64,
    /// Page selection.
    pub selection: SelectionConfig,
    /// Hot score.
    pub hot: HotConfig,
    /// Candidate sources.
    pub sources: SourcesConfig,
}

/// Weights of the `feed` profile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FeedWeights {
    /// Weight of freshness.
    pub freshness: f64,
    /// Weight of engagement.
    pub engagement: f64,
    /// Weight of affinity.
    pub affinity: f64,
}

/// Weights of the `video` profile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VideoWeights {
    /// Weight of freshness.
    pub freshness: f64,
    /// Weight of completion.
    pub completion: f64,
    /// Weight of engagement.
    pub engagement: f64,
    /// Weight of affinity.
    pub affinity: f64,
    /// Weight of the vectors' term.
    pub deep: f64,
}

/// How a page is chosen from scored candidates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SelectionConfig {
    /// At most this many items of an author ...
    pub author_max: u32,
    /// ... in any run of this many positions.
    pub author_window: u32,
    /// Lambda of maximal marginal relevance, 0..=1.
    pub variety_lambda: f64,
    /// Share of the vectors in similarity, 0..=1: the rest is that of the tags.
    pub variety_vectors: f64,
    /// Variety moves an item at most this many positions.
    pub variety_displacement: u32,
    /// Every n-th position is an explore slot; 0 is none.
    pub explore_every: u32,
}

/// Index of a hot window: half-lives, sums and lists are kept in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum HotWindow {
    /// `1h`.
    Hour = 0,
    /// `24h`.
    Day = 1,
    /// `7d`.
    Week = 2,
}

impl HotWindow {
    /// All windows in index order.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Week];

    /// API name: `1h 24h 7d`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "24h",
            Self::Week => "7d",
        }
    }

    /// Length of the window, ms.
    #[must_use]
    pub const fn length_ms(self) -> i64 {
        match self {
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
            Self::Week => 604_800_000,
        }
    }
}

/// Parameters of the hot score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HotConfig {
    /// Half-life of an event's weight by [`HotWindow`], minutes.
    pub half_life_minutes: [f64; 3],
    /// Weight of a view that did not complete.
    pub view: f64,
    /// Weight of a completed view (instead of `view`).
    pub completed_view: f64,
    /// Weight of a click.
    pub click: f64,
    /// Weight of a like.
    pub like: f64,
    /// Weight of a comment.
    pub comment: f64,
    /// Weight of a share.
    pub share: f64,
    /// Weight of a follow.
    pub follow: f64,
}

/// Caps and windows of the candidate sources.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SourcesConfig {
    /// F1: at most this many items.
    pub follow_cap: u32,
    /// F1: windows tried in turn while fewer than `follow_enough` items are found, hours.
    pub follow_windows_hours: [u32; 3],
    /// F1: enough items to stop widening.
    pub follow_enough: u32,
    /// F2: at most this many items.
    pub trending_cap: u32,
    /// F2: engagement within, hours.
    pub trending_window_hours: u32,
    /// F3: at most this many items.
    pub affinity_cap: u32,
    /// F3: authors with most interactions.
    pub affinity_authors: u32,
    /// F3: items created within, days.
    pub affinity_window_days: u32,
    /// F4: at most this many items.
    pub similar_cap: u32,
    /// F4: items created within, days.
    pub similar_window_days: u32,
    /// F5: at most this many items.
    pub explore_cap: u32,
    /// F5: items created within, hours.
    pub explore_window_hours: u32,
    /// F5: items with fewer impressions than this.
    pub explore_impressions: u32,
    /// Candidates kept after merging.
    pub merged_cap: u32,
    /// Items seen within are removed, days.
    pub seen_window_days: u32,
}

impl Default for RankingConfig {
    fn default() -> Self {
        Self {
            name: String::from("default"),
            version: 1,
            feed: [FeedWeights {
                freshness: 0.30,
                engagement: 0.40,
                affinity: 0.30,
            }; 4],
            video: [VideoWeights {
                freshness: 0.15,
                completion: 0.40,
                engagement: 0.25,
                affinity: 0.15,
                deep: 0.05,
            }; 4],
            blend: Vec::new(),
            freshness_decay_per_hour: 0.10,
            completion_prior_views: 10.0,
            selection: SelectionConfig {
                author_max: 2,
                author_window: 20,
                variety_lambda: 0.85,
                variety_vectors: 0.0,
                variety_displacement: 10,
                explore_every: 10,
            },
            hot: HotConfig {
                half_life_minutes: [20.0, 360.0, 2880.0],
                view: 0.1,
                completed_view: 0.5,
                click: 0.2,
                like: 1.0,
                comment: 2.0,
                share: 3.0,
                follow: 4.0,
            },
            sources: SourcesConfig {
                follow_cap: 500,
                follow_windows_hours: [72, 168, 720],
                follow_enough: 50,
                trending_cap: 200,
                trending_window_hours: 24,
                affinity_cap: 200,
                affinity_authors: 20,
                affinity_window_days: 90,
                similar_cap: 100,
                similar_window_days: 30,
                explore_cap: 50,
                explore_window_hours: 72,
                explore_impressions: 200,
                merged_cap: 900,
                seen_window_days: 7,
            },
        }
    }
}
