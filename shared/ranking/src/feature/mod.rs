//! The feature table: everything a ranking may read of a candidate, in one place.
//!
//! Its first rows are *stored*: facts that travel in a bundle, one column each, named by
//! [`Feature`]. The others are *derived* from the candidate's columns, the query and now
//! when a model asks for them. The formula, trees, `edgewise rank`, `explain` and
//! training read this table; its hash is in bundle and model, so they cannot drift apart;
//! docs/features.md is made from it.

mod derive;
mod set;
mod table;
#[cfg(test)]
mod tests;

use xxhash_rust::const_xxh3::xxh3_64;

pub(crate) use self::derive::{Inputs, fill};
pub use self::set::FeatureSet;
pub use self::table::TABLE;
use self::table::{HASHED_BYTES, hashed};

/// A stored fact of a candidate; the discriminant is its column and its row of [`TABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Feature {
    /// Likes, net of undo. Count.
    Likes = 0,
    /// Comments. Count.
    Comments = 1,
    /// Shares. Count.
    Shares = 2,
    /// Impressions that clients reported. Count.
    Impressions = 3,
    /// Clicks. Count.
    Clicks = 4,
    /// Views with a duration above zero. Count.
    TimedViews = 5,
    /// Sum over timed views of min(1, watch/duration).
    WatchRatioSum = 6,
    /// The user's interactions with the candidate's author in 90 days. Count.
    Interactions = 7,
    /// Dot product of user and item vector; absent where either is missing.
    DeepDot = 8,
    /// Similarity to what the user liked last, 0..1 (source F4).
    Similarity = 9,
    /// Timed views that reached 0.9 of the duration. Count.
    CompletedViews = 10,
    /// Hides. Count.
    Hides = 11,
    /// Follows that named the item. Count.
    Follows = 12,
    /// Hot score of the window `1h`, as of [`crate::Candidates::as_of_ms`].
    Hot1h = 13,
    /// Hot score of the window `24h`, as of [`crate::Candidates::as_of_ms`].
    Hot24h = 14,
    /// Hot score of the window `7d`, as of [`crate::Candidates::as_of_ms`].
    Hot7d = 15,
    /// Hot score (24h) over that of the hottest item of the item's region, 0..1.
    RegionPopularity = 16,
    /// Hot score (24h) over that of the hottest item of the item's language, 0..1.
    LanguagePopularity = 17,
    /// Duration of a video, seconds.
    Duration = 18,
    /// 1-based rank in the first source that named the item.
    SourcePosition = 19,
}

/// A value derived at the request's time; the discriminant is its row of [`TABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Derived {
    /// Age, hours, never negative.
    AgeHours = 20,
    /// The formula's freshness.
    Freshness,
    /// The formula's engagement.
    Engagement,
    /// The formula's affinity.
    Affinity,
    /// The formula's completion.
    Completion,
    /// The formula's deep term.
    Deep,
    /// Likes over impressions, smoothed.
    LikeRate,
    /// Comments over impressions, smoothed.
    CommentRate,
    /// Shares over impressions, smoothed.
    ShareRate,
    /// Clicks over impressions, smoothed.
    ClickRate,
    /// Hides over impressions, smoothed.
    HideRate,
    /// Completed over timed views, smoothed.
    CompletedRate,
    /// Hot score of the hour over the day's.
    TrendDay,
    /// Hot score of the day over the week's.
    TrendWeek,
    /// Source F1 named it.
    FromFollow,
    /// Source F2 named it.
    FromTrending,
    /// Source F3 named it.
    FromAffinity,
    /// Source F4 named it.
    FromSimilar,
    /// Source F5 named it.
    FromExplore,
    /// Number of sources that named it.
    SourceCount,
    /// The session's interactions with the author.
    SessionAuthor,
    /// Share of the item's tags that the session touched.
    SessionTags,
    /// Hour of the user's day.
    Hour,
    /// Day of the user's week, Monday 0.
    Weekday,
    /// The item is in the user's language.
    LanguageMatch,
    /// The item is of the user's region.
    RegionMatch,
    /// The item's kind, a category.
    Kind,
    /// Number of tags.
    TagCount,
}

/// One row of the feature table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FeatureSpec {
    /// Name in JSON (`edgewise rank`, `explain`) and in model files, snake case.
    pub name: &'static str,
    /// Unit, for people.
    pub unit: &'static str,
    /// Taken where the value is absent, not finite or out of range; NaN is "missing".
    pub default: f32,
    /// Smallest value that is not a degradation.
    pub min: f32,
    /// Largest value that is not a degradation.
    pub max: f32,
    /// Kinds that have it, bit `1 << kind`; of others a value is ignored.
    pub kinds: u8,
    /// How it is come by, for people. Part of the hash: who changes the computation
    /// changes this sentence.
    pub how: &'static str,
}

/// Rows of [`TABLE`]: stored, then derived.
pub const WIDTH: usize = Feature::COUNT + Derived::COUNT;

impl Feature {
    /// Number of stored features (columns).
    pub const COUNT: usize = 20;

    /// All stored features in column order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Likes,
        Self::Comments,
        Self::Shares,
        Self::Impressions,
        Self::Clicks,
        Self::TimedViews,
        Self::WatchRatioSum,
        Self::Interactions,
        Self::DeepDot,
        Self::Similarity,
        Self::CompletedViews,
        Self::Hides,
        Self::Follows,
        Self::Hot1h,
        Self::Hot24h,
        Self::Hot7d,
        Self::RegionPopularity,
        Self::LanguagePopularity,
        Self::Duration,
        Self::SourcePosition,
    ];

    /// The feature's row of [`TABLE`].
    #[must_use]
    pub const fn spec(self) -> &'static FeatureSpec {
        &TABLE[self as usize]
    }

    /// Name in JSON, snake case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.spec().name
    }

    /// The stored feature with this name.
    ///
    /// ```
    /// use edgewise_ranking::Feature;
    /// assert_eq!(Feature::from_name("watch_ratio_sum"), Some(Feature::WatchRatioSum));
    /// assert_eq!(Feature::from_name("age_hours"), None, "derived");
    /// assert_eq!(Feature::from_name("charm"), None);
    /// ```
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        index_of(name).and_then(|row| Self::ALL.get(usize::from(row)).copied())
    }
}

impl Derived {
    /// Number of derived features.
    pub const COUNT: usize = Self::TagCount as usize - Feature::COUNT + 1;

    /// All derived features in the table's order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::AgeHours,
        Self::Freshness,
        Self::Engagement,
        Self::Affinity,
        Self::Completion,
        Self::Deep,
        Self::LikeRate,
        Self::CommentRate,
        Self::ShareRate,
        Self::ClickRate,
        Self::HideRate,
        Self::CompletedRate,
        Self::TrendDay,
        Self::TrendWeek,
        Self::FromFollow,
        Self::FromTrending,
        Self::FromAffinity,
        Self::FromSimilar,
        Self::FromExplore,
        Self::SourceCount,
        Self::SessionAuthor,
        Self::SessionTags,
        Self::Hour,
        Self::Weekday,
        Self::LanguageMatch,
        Self::RegionMatch,
        Self::Kind,
        Self::TagCount,
    ];
}

/// Row of [`TABLE`] of the feature with this name, stored or derived: what a model file's
/// feature names are looked up by.
///
/// ```
/// use edgewise_ranking::feature::{TABLE, index_of};
/// assert_eq!(TABLE[usize::from(index_of("age_hours").unwrap())].unit, "hours");
/// ```
#[must_use]
pub fn index_of(name: &str) -> Option<u16> {
    let row = TABLE.iter().position(|spec| spec.name == name)?;
    u16::try_from(row).ok()
}

/// Hash of the whole table: XXH3-64 over `name NUL unit NUL how NUL default min max kinds`
/// (floats as little-endian bits) of every row in order, then the number of stored rows.
#[must_use]
pub const fn schema_hash() -> u64 {
    const HASH: u64 = {
        let bytes: [u8; HASHED_BYTES] = hashed();
        xxh3_64(&bytes)
    };
    HASH
}
