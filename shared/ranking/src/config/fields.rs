//! The table of a configuration's numbers: path in JSON, range, access.
//!
//! Reading, writing and checking all walk this one table, so a field cannot be
//! readable and unchecked, and an error can always name field and range.

use super::{AUTHOR_WINDOW_MAX, RankingConfig, VARIETY_DISPLACEMENT_MAX};
use crate::candidates::Kind;

/// A configuration's number.
#[derive(Clone, Copy)]
pub(super) struct Field {
    /// Keys from the root, an array's by index.
    pub(super) path: &'static [&'static str],
    pub(super) range: Range,
    pub(super) get: fn(&RankingConfig) -> f64,
    pub(super) set: fn(&mut RankingConfig, f64),
}

/// What a number may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) integer: bool,
}

impl Range {
    const fn real(min: f64, max: f64) -> Self {
        Self {
            min,
            max,
            integer: false,
        }
    }

    const fn integer(min: u32, max: u32) -> Self {
        Self {
            min: min as f64,
            max: max as f64,
            integer: true,
        }
    }

    pub(super) fn allows(self, value: f64) -> bool {
        // NaN and infinities are in no range.
        (self.min..=self.max).contains(&value) && (!self.integer || libm::trunc(value) == value)
    }
}

macro_rules! real {
    ($path:expr, $min:expr, $max:expr, $($field:tt)+) => {
        Field {
            path: &$path,
            range: Range::real($min, $max),
            get: |config| config.$($field)+,
            set: |config, value| config.$($field)+ = value,
        }
    };
}

macro_rules! integer {
    ($path:expr, $min:expr, $max:expr, $($field:tt)+) => {
        Field {
            path: &$path,
            range: Range::integer($min, $max),
            get: |config| f64::from(config.$($field)+),
            set: |config, value| config.$($field)+ = value as u32,
        }
    };
}

const HALF_LIFE_MAX_MINUTES: f64 = 525_600.0;
const HOT_WEIGHT_MAX: f64 = 1_000.0;
const ITEMS_MAX: u32 = 10_000;
/// What a bundle carries.
const MERGED_MAX: u32 = 2_000;
const HOURS_MAX: u32 = 8_760;
const DAYS_MAX: u32 = 365;

/// Every number but the weights by kind.
pub(super) const FIELDS: &[Field] = &[
    integer!(["version"], 0, u32::MAX, version),
    real!(
        ["freshness_decay_per_hour"],
        0.0,
        100.0,
        freshness_decay_per_hour
    ),
    // Above 0, or an item without views has no completion.
    real!(
        ["completion_prior_views"],
        0.001,
        1e6,
        completion_prior_views
    ),
    integer!(
        ["selection", "author_max"],
        1,
        AUTHOR_WINDOW_MAX,
        selection.author_max
    ),
    integer!(
        ["selection", "author_window"],
        1,
        AUTHOR_WINDOW_MAX,
        selection.author_window
    ),
    real!(
        ["selection", "variety_lambda"],
        0.0,
        1.0,
        selection.variety_lambda
    ),
    real!(
        ["selection", "variety_vectors"],
        0.0,
        1.0,
        selection.variety_vectors
    ),
    integer!(
        ["selection", "variety_displacement"],
        0,
        VARIETY_DISPLACEMENT_MAX,
        selection.variety_displacement
    ),
    integer!(
        ["selection", "explore_every"],
        0,
        1_000,
        selection.explore_every
    ),
    real!(
        ["hot", "half_life_minutes", "0"],
        1.0,
        HALF_LIFE_MAX_MINUTES,
        hot.half_life_minutes[0]
    ),
    real!(
        ["hot", "half_life_minutes", "1"],
        1.0,
        HALF_LIFE_MAX_MINUTES,
        hot.half_life_minutes[1]
    ),
    real!(
        ["hot", "half_life_minutes", "2"],
        1.0,
        HALF_LIFE_MAX_MINUTES,
        hot.half_life_minutes[2]
    ),
    real!(["hot", "view"], 0.0, HOT_WEIGHT_MAX, hot.view),
    real!(
        ["hot", "completed_view"],
        0.0,
        HOT_WEIGHT_MAX,
        hot.completed_view
    ),
    real!(["hot", "click"], 0.0, HOT_WEIGHT_MAX, hot.click),
    real!(["hot", "like"], 0.0, HOT_WEIGHT_MAX, hot.like),
    real!(["hot", "comment"], 0.0, HOT_WEIGHT_MAX, hot.comment),
    real!(["hot", "share"], 0.0, HOT_WEIGHT_MAX, hot.share),
    real!(["hot", "follow"], 0.0, HOT_WEIGHT_MAX, hot.follow),
    integer!(["sources", "follow_cap"], 0, ITEMS_MAX, sources.follow_cap),
    integer!(
        ["sources", "follow_windows_hours", "0"],
        1,
        HOURS_MAX,
        sources.follow_windows_hours[0]
    ),
    integer!(
        ["sources", "follow_windows_hours", "1"],
        1,
        HOURS_MAX,
        sources.follow_windows_hours[1]
    ),
    integer!(
        ["sources", "follow_windows_hours", "2"],
        1,
        HOURS_MAX,
        sources.follow_windows_hours[2]
    ),
    integer!(
        ["sources", "follow_enough"],
        0,
        ITEMS_MAX,
        sources.follow_enough
    ),
    integer!(
        ["sources", "trending_cap"],
        0,
        ITEMS_MAX,
        sources.trending_cap
    ),
    integer!(
        ["sources", "trending_window_hours"],
        1,
        HOURS_MAX,
        sources.trending_window_hours
    ),
    integer!(
        ["sources", "affinity_cap"],
        0,
        ITEMS_MAX,
        sources.affinity_cap
    ),
    integer!(
        ["sources", "affinity_authors"],
        0,
        1_000,
        sources.affinity_authors
    ),
    integer!(
        ["sources", "affinity_window_days"],
        1,
        DAYS_MAX,
        sources.affinity_window_days
    ),
    integer!(
        ["sources", "similar_cap"],
        0,
        ITEMS_MAX,
        sources.similar_cap
    ),
    integer!(
        ["sources", "similar_window_days"],
        1,
        DAYS_MAX,
        sources.similar_window_days
    ),
    integer!(
        ["sources", "explore_cap"],
        0,
        ITEMS_MAX,
        sources.explore_cap
    ),
    integer!(
        ["sources", "explore_window_hours"],
        1,
        HOURS_MAX,
        sources.explore_window_hours
    ),
    integer!(
        ["sources", "explore_impressions"],
        0,
        1_000_000,
        sources.explore_impressions
    ),
    integer!(["sources", "merged_cap"], 1, MERGED_MAX, sources.merged_cap),
    integer!(
        ["sources", "seen_window_days"],
        0,
        DAYS_MAX,
        sources.seen_window_days
    ),
];

/// A weight of a profile; every item kind has its own.
#[derive(Clone, Copy)]
pub(super) struct Weight {
    pub(super) profile: &'static str,
    pub(super) name: &'static str,
    pub(super) get: fn(&RankingConfig, Kind) -> f64,
    pub(super) set: fn(&mut RankingConfig, Kind, f64),
}

/// Bounded so that no sum of terms overflows; a negative weight pushes down.
pub(super) const WEIGHT: Range = Range::real(-100.0, 100.0);

macro_rules! weight {
    ($profile:ident, $name:ident) => {
        Weight {
            profile: stringify!($profile),
            name: stringify!($name),
            get: |config, kind| config.$profile[kind as usize].$name,
            set: |config, kind, value| config.$profile[kind as usize].$name = value,
        }
    };
}

/// Every weight of every profile.
pub(super) const WEIGHTS: &[Weight] = &[
    weight!(feed, freshness),
    weight!(feed, engagement),
    weight!(feed, affinity),
    weight!(video, freshness),
    weight!(video, completion),
    weight!(video, engagement),
    weight!(video, affinity),
    weight!(video, deep),
];
