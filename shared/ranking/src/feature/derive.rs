//! Values of features for some rows of the candidates.

use alloc::vec::Vec;

use super::{Derived, Feature, FeatureSet, FeatureSpec};
use crate::candidates::{Candidates, Kind, NO_LABEL, Sources};
use crate::config::{HotWindow, RankingConfig};
use crate::hot::decay;
use crate::id::short_hash;
use crate::matrix::Matrix;
use crate::query::Context;
use crate::terms;

/// Impressions that a rate starts with, so that one like of two is no 50 %.
const RATE_PRIOR: f32 = 20.0;
/// Timed views that the completed rate starts with.
const VIEWS_PRIOR: f32 = 10.0;
/// Events that a trend starts with.
const TREND_PRIOR: f32 = 1.0;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// What values are computed from.
#[derive(Clone, Copy)]
pub(crate) struct Inputs<'a> {
    pub(crate) candidates: &'a Candidates,
    /// The rows of the candidates, in the matrix's order.
    pub(crate) rows: &'a [u32],
    pub(crate) config: &'a RankingConfig,
    /// The catalogue's mean watch ratio, 0..=1.
    pub(crate) prior: f64,
    pub(crate) now_ms: i64,
    pub(crate) context: &'a Context<'a>,
}

/// Writes the columns of `features`, which the matrix holds together with their inputs.
/// Returns how many stored values were bad and took their default.
pub(crate) fn fill(matrix: &mut Matrix, features: FeatureSet, inputs: &Inputs<'_>) -> u32 {
    let mut degradations = 0;
    let rows = inputs.rows.iter();
    let given: Vec<u32> = rows
        .map(|&row| inputs.candidates.given(row as usize))
        .collect();
    for feature in Feature::ALL {
        if features.contains(feature as usize) {
            let column = matrix.column_mut(feature as u16);
            degradations += inputs.stored(feature, &given, column);
        }
    }
    let mut values = Vec::with_capacity(inputs.rows.len());
    for derived in Derived::ALL {
        if features.contains(derived as usize) {
            values.clear();
            inputs.derived(derived, matrix, &mut values);
            if let Some(column) = matrix.column_mut(derived as u16).get_mut(..values.len()) {
                column.copy_from_slice(&values);
            }
        }
    }
    degradations
}

impl Derived {
    /// The stored features it is computed from.
    pub(super) const fn inputs(self) -> FeatureSet {
        use Feature as F;
        match self {
            Self::Engagement => {
                FeatureSet::stored([F::Likes, F::Comments, F::Shares, F::Impressions])
            }
            Self::Affinity => FeatureSet::stored([F::Interactions]),
            Self::Completion => FeatureSet::stored([F::WatchRatioSum, F::TimedViews]),
            Self::Deep => FeatureSet::stored([F::DeepDot]),
            Self::LikeRate => FeatureSet::stored([F::Likes, F::Impressions]),
            Self::CommentRate => FeatureSet::stored([F::Comments, F::Impressions]),
            Self::ShareRate => FeatureSet::stored([F::Shares, F::Impressions]),
            Self::ClickRate => FeatureSet::stored([F::Clicks, F::Impressions]),
            Self::HideRate => FeatureSet::stored([F::Hides, F::Impressions]),
            Self::CompletedRate => FeatureSet::stored([F::CompletedViews, F::TimedViews]),
            Self::TrendDay => FeatureSet::stored([F::Hot1h, F::Hot24h]),
            Self::TrendWeek => FeatureSet::stored([F::Hot24h, F::Hot7d]),
            _ => FeatureSet::stored([]),
        }
    }
}

impl Inputs<'_> {
    /// Checked values of a stored feature: the default where it is not `given`, not finite
    /// or out of range. Returns how many were bad numbers.
    fn stored(&self, feature: Feature, given: &[u32], column: &mut [f32]) -> u32 {
        let decayed = match feature {
            Feature::Hot1h => self.decay(HotWindow::Hour),
            Feature::Hot24h => self.decay(HotWindow::Day),
            Feature::Hot7d => self.decay(HotWindow::Week),
            _ => 1.0,
        };
        let FeatureSpec {
            default, min, max, ..
        } = *feature.spec();
        let values = &self.candidates.columns[feature as usize];
        for (cell, &row) in column.iter_mut().zip(self.rows) {
            *cell = values.get(row as usize).copied().unwrap_or(f32::NAN);
        }
        let mut degradations = 0;
        for (cell, given) in column.iter_mut().zip(given) {
            let is_given = given >> feature as u32 & 1 == 1;
            // NaN is in no range.
            let is_good = *cell >= min && *cell <= max;
            degradations += u32::from(is_given & !is_good);
            // -0.0 is 0.
            *cell = if is_given & is_good {
                *cell + 0.0
            } else {
                default
            };
        }
        if feature == Feature::DeepDot
            && let Some(user) = &self.context.vector
        {
            for (cell, &row) in column.iter_mut().zip(self.rows) {
                let given = self.candidates.feature(row as usize, feature).is_some();
                let dot = self.candidates.sketch.dot(row as usize, user);
                if let (false, Some(dot)) = (given, dot) {
                    *cell = dot;
                }
            }
        }
        if decayed != 1.0 {
            for cell in column.iter_mut() {
                *cell = (f64::from(*cell) * decayed) as f32;
            }
        }
        degradations
    }

    /// What the time since the candidates were read has left of a hot score.
    fn decay(&self, window: HotWindow) -> f64 {
        let as_of_ms = self.candidates.as_of_ms.min(self.now_ms);
        decay(
            self.now_ms,
            as_of_ms,
            self.config.hot.half_life_minutes[window as usize],
        )
    }

    fn derived(&self, derived: Derived, matrix: &Matrix, out: &mut Vec<f32>) {
        use Feature as F;
        let column = |feature| matrix.stored(feature);
        let rate = |of: Feature, to: Feature, prior: f32, out: &mut Vec<f32>| {
            let pairs = column(of).iter().zip(column(to));
            out.extend(pairs.map(|(of, to)| of / (to + prior)));
        };
        let candidates = self.candidates;
        let source = |source: Sources, out: &mut Vec<f32>| {
            self.each(out, |row| {
                let sources = candidates.sources.get(row).copied().unwrap_or_default();
                f32::from(u8::from(sources.contains(source)))
            });
        };
        match derived {
            Derived::AgeHours => self.each(out, |row| self.age_hours(row) as f32),
            Derived::Freshness => {
                let ages = self.rows.iter().map(|&row| self.age_hours(row as usize));
                let values = terms::freshness(ages, self.config.freshness_decay_per_hour);
                out.extend(values.iter().map(|&value| value as f32));
            }
            Derived::Engagement => {
                out.extend(terms::engagement(matrix).iter().map(|&value| value as f32));
            }
            Derived::Affinity => {
                let affinities = terms::Affinities::new();
                let interactions = column(F::Interactions).iter();
                out.extend(interactions.map(|&value| affinities.of(f64::from(value)) as f32));
            }
            Derived::Completion => {
                let views = self.config.completion_prior_views;
                let sums = column(F::WatchRatioSum).iter().zip(column(F::TimedViews));
                out.extend(sums.map(|(&sum, &timed)| {
                    let (sum, timed) = (f64::from(sum), f64::from(timed));
                    terms::completion(sum, timed, self.prior, views) as f32
                }));
            }
            Derived::Deep => {
                let dots = column(F::DeepDot).iter();
                out.extend(dots.map(|&dot| terms::deep(f64::from(dot)) as f32));
            }
            Derived::LikeRate => rate(F::Likes, F::Impressions, RATE_PRIOR, out),
            Derived::CommentRate => rate(F::Comments, F::Impressions, RATE_PRIOR, out),
            Derived::ShareRate => rate(F::Shares, F::Impressions, RATE_PRIOR, out),
            Derived::ClickRate => rate(F::Clicks, F::Impressions, RATE_PRIOR, out),
            Derived::HideRate => rate(F::Hides, F::Impressions, RATE_PRIOR, out),
            Derived::CompletedRate => rate(F::CompletedViews, F::TimedViews, VIEWS_PRIOR, out),
            Derived::TrendDay => rate(F::Hot1h, F::Hot24h, TREND_PRIOR, out),
            Derived::TrendWeek => rate(F::Hot24h, F::Hot7d, TREND_PRIOR, out),
            Derived::FromFollow => source(Sources::FOLLOW, out),
            Derived::FromTrending => source(Sources::TRENDING, out),
            Derived::FromAffinity => source(Sources::AFFINITY, out),
            Derived::FromSimilar => source(Sources::SIMILAR, out),
            Derived::FromExplore => source(Sources::EXPLORE, out),
            Derived::SourceCount => self.each(out, |row| {
                let sources = candidates.sources.get(row).copied().unwrap_or_default();
                sources.names().count() as f32
            }),
            Derived::SessionAuthor => self.session_author(out),
            Derived::SessionTags => self.session_tags(out),
            Derived::Hour => {
                let hour = self.local_ms().rem_euclid(DAY_MS) / HOUR_MS;
                self.each(out, |_| hour as f32);
            }
            Derived::Weekday => {
                // The first day of Unix time was a Thursday.
                let weekday = (self.local_ms().div_euclid(DAY_MS) + 3).rem_euclid(7);
                self.each(out, |_| weekday as f32);
            }
            Derived::LanguageMatch => {
                self.label_match(&candidates.language, self.context.language, out);
            }
            Derived::RegionMatch => self.label_match(&candidates.region, self.context.region, out),
            Derived::Kind => self.each(out, |row| {
                let kind = candidates.kind.get(row).copied().unwrap_or(Kind::Video);
                f32::from(kind as u8)
            }),
            Derived::TagCount => self.each(out, |row| candidates.tags_of(row).len() as f32),
        }
    }

    fn each(&self, out: &mut Vec<f32>, value: impl Fn(usize) -> f32) {
        out.extend(self.rows.iter().map(|&row| value(row as usize)));
    }

    fn age_hours(&self, row: usize) -> f64 {
        let created_at_ms = self.candidates.created_at_ms.get(row).copied();
        terms::age_hours(self.now_ms, created_at_ms.unwrap_or(i64::MIN))
    }

    fn local_ms(&self) -> i64 {
        let offset_ms = i64::from(self.context.utc_offset_minutes) * MINUTE_MS;
        self.now_ms.saturating_add(offset_ms)
    }

    fn session_author(&self, out: &mut Vec<f32>) {
        let session = self.context.session_authors;
        let of_author = |hash: &u64| {
            let at = session.binary_search_by_key(hash, |&(author, _)| author);
            at.ok()
                .and_then(|at| session.get(at))
                .map_or(0.0, |&(_, count)| count)
        };
        let counts: Vec<f32> = self
            .candidates
            .author_hashes
            .iter()
            .map(of_author)
            .collect();
        self.each(out, |row| {
            let author = self.candidates.author.get(row);
            let count = author.and_then(|&author| counts.get(author as usize));
            count.copied().unwrap_or(0.0)
        });
    }

    fn session_tags(&self, out: &mut Vec<f32>) {
        let session = self.context.session_tags;
        let touched = |label: &str| session.binary_search(&short_hash(label)).is_ok();
        let touched: Vec<bool> = if session.is_empty() {
            Vec::new()
        } else {
            self.candidates.labels.iter().map(touched).collect()
        };
        self.each(out, |row| {
            let tags = self.candidates.tags_of(row);
            let is_touched = |tag: &&u16| touched.get(usize::from(**tag)) == Some(&true);
            let count = tags.iter().filter(is_touched).count();
            if count == 0 {
                0.0
            } else {
                count as f32 / tags.len() as f32
            }
        });
    }

    fn label_match(&self, column: &[u16], asked: Option<&str>, out: &mut Vec<f32>) {
        let labels = &self.candidates.labels;
        let asked = asked.map(|asked| {
            let at = (0..labels.len()).find(|&at| labels.bytes_of(at) == asked.as_bytes());
            // A language that no candidate has matches none.
            at.and_then(|at| u16::try_from(at).ok()).unwrap_or(NO_LABEL)
        });
        self.each(out, |row| match (asked, column.get(row).copied()) {
            (None, _) | (_, None | Some(NO_LABEL)) => f32::NAN,
            (Some(asked), Some(label)) => f32::from(u8::from(asked == label)),
        });
    }
}
