//! The formula's terms as functions of checked facts.

use crate::vectors::logistic;

const MS_PER_HOUR: f64 = 3_600_000.0;

/// Hours since creation; an item of the future has age 0.
#[inline]
pub(crate) fn age_hours(now_ms: i64, created_at_ms: i64) -> f64 {
    now_ms.saturating_sub(created_at_ms).max(0) as f64 / MS_PER_HOUR
}

/// exp(-decay * age_hours).
#[inline]
pub(crate) fn freshness(age_hours: f64, decay_per_hour: f64) -> f64 {
    libm::exp(-decay_per_hour * age_hours)
}

/// log1p((likes + 2*comments + 3*shares) / max(impressions, 1)).
#[inline]
pub(crate) fn engagement(likes: f64, comments: f64, shares: f64, impressions: f64) -> f64 {
    let acts = likes + 2.0 * comments + 3.0 * shares;
    log1p(acts / if impressions > 1.0 { impressions } else { 1.0 })
}

/// log1p(interactions).
#[inline]
pub(crate) fn affinity(interactions: f64) -> f64 {
    log1p(interactions)
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

/// Many candidates have no act and no interaction, so 0 is worth a branch.
#[inline]
fn log1p(value: f64) -> f64 {
    if value == 0.0 {
        0.0
    } else {
        libm::log1p(value)
    }
}
