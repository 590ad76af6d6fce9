//! The feature table: name, unit, default and range of every stored fact.
//!
//! One table feeds the formula, the bundle's columns, `edgewise rank` and
//! `explain`; its hash is in bundle and model, so they cannot drift apart.

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
#[derive(Clone, Copy, Debug)]
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
}
