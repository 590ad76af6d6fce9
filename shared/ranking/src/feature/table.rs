//! The rows of the feature table.

use super::{Derived, Feature, FeatureSpec, WIDTH};
use crate::candidates::Kind;

/// Above every count that a catalogue reaches; more is a broken counter.
const COUNT_MAX: f32 = 1e12;

/// Scores of old bundles are of a time from which they have decayed by many half-lives.
const HOT_MAX: f32 = 3e38;

const EVERY_KIND: u8 = 0b1111;
const VIDEO: u8 = 1 << Kind::Video as u8;

/// Missing: models have a direction of their own for it.
const MISSING: f32 = f32::NAN;

/// Every feature: row `f as usize` describes [`Feature`] or [`Derived`] `f`.
pub const TABLE: [FeatureSpec; WIDTH] = [
    count("likes", "likes, net of undo"),
    count("comments", "comments"),
    count("shares", "shares"),
    count("impressions", "impressions that clients reported"),
    count("clicks", "clicks"),
    count(
        "timed_views",
        "views with a duration above zero and a watch time",
    ),
    row(
        "watch_ratio_sum",
        "sum of ratios",
        0.0,
        0.0,
        COUNT_MAX,
        "sum over timed views of min(1, watch/duration)",
    ),
    count(
        "interactions",
        "the user's interactions with the item's author in 90 days; a session adds its own",
    ),
    // The logistic function makes exactly 0.5 of 0, what the formula asks where a vector
    // is missing.
    row(
        "deep_dot",
        "dot product",
        0.0,
        -1e6,
        1e6,
        "dot product of user and item vector; of the sketches where the origin gave none",
    ),
    row(
        "similarity",
        "ratio",
        0.0,
        0.0,
        1.0,
        "similarity to what the user liked last (source F4)",
    ),
    count(
        "completed_views",
        "timed views that reached 0.9 of the duration",
    ),
    count("hides", "hides"),
    count("follows", "follows that named the item, net of undo"),
    row(
        "hot_1h",
        "weighted events",
        0.0,
        0.0,
        HOT_MAX,
        "hot score of the window 1h, decayed to now",
    ),
    row(
        "hot_24h",
        "weighted events",
        0.0,
        0.0,
        HOT_MAX,
        "hot score of the window 24h, decayed to now",
    ),
    row(
        "hot_7d",
        "weighted events",
        0.0,
        0.0,
        HOT_MAX,
        "hot score of the window 7d, decayed to now",
    ),
    row(
        "region_popularity",
        "ratio",
        0.0,
        0.0,
        1.0,
        "hot score (24h) over that of the hottest item of the item's region",
    ),
    row(
        "language_popularity",
        "ratio",
        0.0,
        0.0,
        1.0,
        "hot score (24h) over that of the hottest item of the item's language",
    ),
    FeatureSpec {
        kinds: VIDEO,
        ..row(
            "duration_s",
            "seconds",
            MISSING,
            0.0,
            1e7,
            "duration; videos only, missing elsewhere",
        )
    },
    row(
        "source_position",
        "rank",
        MISSING,
        1.0,
        1e6,
        "1-based rank in the first source that named the item",
    ),
    row(
        "age_hours",
        "hours",
        0.0,
        0.0,
        1e13,
        "now - created_at, 0 for items of the future",
    ),
    row(
        "freshness",
        "ratio",
        0.0,
        0.0,
        1.0,
        "exp(-decay * age_hours), decay of the configuration",
    ),
    row(
        "engagement",
        "log",
        0.0,
        0.0,
        100.0,
        "log1p((likes + 2*comments + 3*shares) / max(impressions, 1))",
    ),
    row("affinity", "log", 0.0, 0.0, 100.0, "log1p(interactions)"),
    row(
        "completion",
        "ratio",
        0.0,
        0.0,
        1e12,
        "(watch_ratio_sum + 10*prior) / (timed_views + 10), weight of the prior from the configuration",
    ),
    row("deep", "ratio", 0.5, 0.0, 1.0, "1 / (1 + exp(-deep_dot))"),
    rate("like_rate", "likes / (impressions + 20)"),
    rate("comment_rate", "comments / (impressions + 20)"),
    rate("share_rate", "shares / (impressions + 20)"),
    rate("click_rate", "clicks / (impressions + 20)"),
    rate("hide_rate", "hides / (impressions + 20)"),
    rate("completed_rate", "completed_views / (timed_views + 10)"),
    rate("trend_day", "hot_1h / (hot_24h + 1)"),
    rate("trend_week", "hot_24h / (hot_7d + 1)"),
    flag("from_follow", "source F1 named it"),
    flag("from_trending", "source F2 named it"),
    flag("from_affinity", "source F3 named it"),
    flag("from_similar", "source F4 named it"),
    flag("from_explore", "source F5 named it"),
    row(
        "source_count",
        "count",
        0.0,
        0.0,
        5.0,
        "number of sources that named it",
    ),
    row(
        "session_author",
        "count",
        0.0,
        0.0,
        1e6,
        "interactions with the author in the session",
    ),
    row(
        "session_tags",
        "ratio",
        0.0,
        0.0,
        1.0,
        "share of the item's tags that the session touched; 0 without tags",
    ),
    row(
        "hour",
        "hours",
        0.0,
        0.0,
        23.0,
        "hour of the day in the user's zone",
    ),
    row(
        "weekday",
        "days",
        0.0,
        0.0,
        6.0,
        "day of the week in the user's zone, Monday 0",
    ),
    FeatureSpec {
        default: MISSING,
        ..flag(
            "language_match",
            "the item is in the user's language; missing where either is unknown",
        )
    },
    FeatureSpec {
        default: MISSING,
        ..flag(
            "region_match",
            "the item is of the user's region; missing where either is unknown",
        )
    },
    row(
        "kind",
        "category",
        0.0,
        0.0,
        3.0,
        "0 post, 1 video, 2 image, 3 dataset",
    ),
    row("tag_count", "count", 0.0, 0.0, 1e3, "number of tags"),
];

const fn row(
    name: &'static str,
    unit: &'static str,
    default: f32,
    min: f32,
    max: f32,
    how: &'static str,
) -> FeatureSpec {
    FeatureSpec {
        name,
        unit,
        default,
        min,
        max,
        kinds: EVERY_KIND,
        how,
    }
}

const fn count(name: &'static str, how: &'static str) -> FeatureSpec {
    row(name, "count", 0.0, 0.0, COUNT_MAX, how)
}

const fn rate(name: &'static str, how: &'static str) -> FeatureSpec {
    row(name, "ratio", 0.0, 0.0, COUNT_MAX, how)
}

const fn flag(name: &'static str, how: &'static str) -> FeatureSpec {
    row(name, "0 or 1", 0.0, 0.0, 1.0, how)
}

/// Length of what the table's hash is over.
pub(super) const HASHED_BYTES: usize = {
    let (mut len, mut at) = (1, 0);
    while at < WIDTH {
        let spec = &TABLE[at];
        len += spec.name.len() + spec.unit.len() + spec.how.len() + 3 + 3 * 4 + 1;
        at += 1;
    }
    len
};

/// What the table's hash is over; see [`super::schema_hash`]. Computed by the compiler, so
/// that no module carries the sentences.
pub(super) const fn hashed() -> [u8; HASHED_BYTES] {
    let mut out = [0; HASHED_BYTES];
    let (mut len, mut at) = (0, 0);
    while at < WIDTH {
        let spec = &TABLE[at];
        len = put(&mut out, len, spec.name.as_bytes()) + 1;
        len = put(&mut out, len, spec.unit.as_bytes()) + 1;
        len = put(&mut out, len, spec.how.as_bytes()) + 1;
        len = put(&mut out, len, &spec.default.to_bits().to_le_bytes());
        len = put(&mut out, len, &spec.min.to_bits().to_le_bytes());
        len = put(&mut out, len, &spec.max.to_bits().to_le_bytes());
        len = put(&mut out, len, &[spec.kinds]);
        at += 1;
    }
    put(&mut out, len, &[Feature::COUNT as u8]);
    out
}

const fn put(out: &mut [u8; HASHED_BYTES], start: usize, bytes: &[u8]) -> usize {
    let mut at = 0;
    while at < bytes.len() {
        out[start + at] = bytes[at];
        at += 1;
    }
    start + bytes.len()
}

impl Derived {
    /// The row of [`TABLE`].
    #[must_use]
    pub const fn spec(self) -> &'static FeatureSpec {
        &TABLE[self as usize]
    }
}
