//! The formula's terms as functions of checked facts.

use alloc::vec::Vec;
use core::array;

use crate::exp::exp_all;
use crate::feature::Feature;
use crate::log1p::log1p_all;
use crate::matrix::Matrix;
use crate::vectors::logistic;

const MS_PER_HOUR: f64 = 3_600_000.0;

/// Hours since creation; an item of the future has age 0.
#[inline]
pub(crate) fn age_hours(now_ms: i64, created_at_ms: i64) -> f64 {
    now_ms.saturating_sub(created_at_ms).max(0) as f64 / MS_PER_HOUR
}

/// exp(-decay * age_hours), one value an age.
pub(crate) fn freshness(ages_hours: impl Iterator<Item = f64>, decay_per_hour: f64) -> Vec<f64> {
    let mut values: Vec<f64> = ages_hours.map(|age| -decay_per_hour * age).collect();
    exp_all(&mut values);
    values
}

/// log1p((likes + 2*comments + 3*shares) / max(impressions, 1)), one value a row.
pub(crate) fn engagement(matrix: &Matrix) -> Vec<f64> {
    let column = |feature| matrix.stored(feature).iter().map(|&value| f64::from(value));
    let acts = column(Feature::Likes).zip(column(Feature::Comments));
    let rest = column(Feature::Shares).zip(column(Feature::Impressions));
    let rates = acts
        .zip(rest)
        .map(|((likes, comments), (shares, impressions))| {
            let acts = likes + 2.0 * comments + 3.0 * shares;
            acts / if impressions > 1.0 { impressions } else { 1.0 }
        });
    let mut values: Vec<f64> = rates.collect();
    log1p_all(&mut values);
    values
}

/// log1p(interactions), where most numbers of interactions are small.
pub(crate) struct Affinities([f64; 16]);

impl Affinities {
    pub(crate) fn new() -> Self {
        Self(array::from_fn(|count| libm::log1p(count as f64)))
    }

    #[inline]
    pub(crate) fn of(&self, interactions: f64) -> f64 {
        let count = interactions as usize;
        match self.0.get(count) {
            Some(&affinity) if count as f64 == interactions => affinity,
            _ => libm::log1p(interactions),
        }
    }
}

/// (sum of min(1, watch/duration) + views * prior) / (timed views + views).
#[inline]
pub(crate) fn completion(watch_ratio_sum: f64, timed_views: f64, prior: f64, views: f64) -> f64 {
    (watch_ratio_sum + views * prior) / (timed_views + views)
}

/// The logistic function. Most candidates have no vector, so 0 is worth a branch.
#[inline]
pub(crate) fn deep(dot: f64) -> f64 {
    if dot == 0.0 { 0.5 } else { logistic(dot) }
}
