//! The feature table: name, unit, default and range of every stored fact.
//!
//! One table feeds the formula, the bundle's columns, `edgewise rank` and
//! `explain`; its hash is in bundle and model, so they cannot drift apart.

use alloc::vec::Vec;

use xxhash_rust::xxh3::xxh3_64;

/// A stored fact of a candidate; the discriminant is its column.
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
}

/// One row of the feature table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FeatureSpec {
    /// The feature.
    pub feature: Feature,
    /// Name in JSON (`edgewise rank`, `explain`), snake case.
    pub name: &'static str,
    /// Unit, for people.
    pub unit: &'static str,
    /// Taken where the value is absent, not finite or out of range.
    pub default: f32,
    /// Smallest value that is not a degradation.
    pub min: f32,
    /// Largest value that is not a degradation.
    pub max: f32,
}

/// Above every count that a catalogue reaches; more is a broken counter.
const COUNT_MAX: f32 = 1e12;

/// Every feature in column order: row `f as usize` describes feature `f`.
pub const TABLE: [FeatureSpec; Feature::COUNT] = [
    count(Feature::Likes, "likes"),
    count(Feature::Comments, "comments"),
    count(Feature::Shares, "shares"),
    count(Feature::Impressions, "impressions"),
    count(Feature::Clicks, "clicks"),
    count(Feature::TimedViews, "timed_views"),
    FeatureSpec {
        feature: Feature::WatchRatioSum,
        name: "watch_ratio_sum",
        unit: "sum of ratios",
        default: 0.0,
        min: 0.0,
        max: COUNT_MAX,
    },
    count(Feature::Interactions, "interactions"),
    FeatureSpec {
        feature: Feature::DeepDot,
        name: "deep_dot",
        unit: "dot product",
        // The logistic function makes exactly 0.5 of it, what the formula asks where a
        // vector is missing.
        default: 0.0,
        min: -1e6,
        max: 1e6,
    },
    FeatureSpec {
        feature: Feature::Similarity,
        name: "similarity",
        unit: "ratio",
        default: 0.0,
        min: 0.0,
        max: 1.0,
    },
];

const fn count(feature: Feature, name: &'static str) -> FeatureSpec {
    FeatureSpec {
        feature,
        name,
        unit: "count",
        default: 0.0,
        min: 0.0,
        max: COUNT_MAX,
    }
}

impl Feature {
    /// Number of features (columns).
    pub const COUNT: usize = 10;

    /// All features in column order.
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

    /// The feature with this name.
    ///
    /// ```
    /// use edgewise_ranking::Feature;
    /// assert_eq!(Feature::from_name("watch_ratio_sum"), Some(Feature::WatchRatioSum));
    /// assert_eq!(Feature::from_name("charm"), None);
    /// ```
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE
            .iter()
            .find(|spec| spec.name == name)
            .map(|spec| spec.feature)
    }
}

/// Hash of names, units, defaults, ranges and their order: XXH3-64 over
/// `name NUL unit NUL default min max` (floats as little-endian bits) of every row.
#[must_use]
pub fn schema_hash() -> u64 {
    let mut bytes = Vec::with_capacity(32 * Feature::COUNT);
    for spec in &TABLE {
        for text in [spec.name, spec.unit] {
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(0);
        }
        for value in [spec.default, spec.min, spec.max] {
            bytes.extend_from_slice(&value.to_bits().to_le_bytes());
        }
    }
    xxh3_64(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_in_column_order_with_defaults_in_range() {
        for (column, spec) in TABLE.iter().enumerate() {
            assert_eq!(spec.feature as usize, column, "{}", spec.name);
            assert_eq!(Feature::ALL[column], spec.feature);
            assert!(
                (spec.min..=spec.max).contains(&spec.default),
                "{}",
                spec.name
            );
            assert_eq!(Feature::from_name(spec.name), Some(spec.feature));
        }
    }

    #[test]
    fn schema_hash_is_pinned() {
        // A change here makes every stored bundle and model unreadable: bump on purpose only.
        expect_test::expect!["0xdb7a35672f810898"]
            .assert_eq(&alloc::format!("{:#018x}", schema_hash()));
    }
}
