//! Early refresh by chance (Vattani, Chierichetti, Lowenstein: "Optimal Probabilistic Cache
//! Stampede Prevention", VLDB 2015): the nearer the end of a lifetime, and the dearer the answer,
//! the likelier that this request refreshes it before everybody has to wait.

use crate::freshness::Terms;

/// Whether a request at `now_ms` refreshes a fresh answer. `random` is uniform in 0..1; `beta` is
/// how eager (1 is the optimum, 0 never).
#[must_use]
pub fn is_due(terms: &Terms, now_ms: i64, beta: f64, random: f64) -> bool {
    if beta <= 0.0 || terms.fetch_ms <= 0 || !(0.0..1.0).contains(&random) {
        return false;
    }
    let left_ms = terms.lifetime_ms.saturating_sub(terms.age_ms(now_ms));
    // 1 - random is in (0, 1], whose logarithm is finite.
    let ahead_ms = -libm::log(1.0 - random) * beta * lossless(terms.fetch_ms);
    ahead_ms >= lossless(left_ms)
}

/// Times beyond 2⁵³ ms are not told apart.
fn lossless(ms: i64) -> f64 {
    ms.clamp(-(1 << 53), 1 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(fetch_ms: i64) -> Terms {
        Terms {
            response_time_ms: 0,
            initial_age_ms: 0,
            lifetime_ms: 60_000,
            stale_while_revalidate_ms: 0,
            stale_if_error_ms: 0,
            stale_if_error_explicit: false,
            no_cache: false,
            must_revalidate: false,
            fetch_ms,
        }
    }

    #[test]
    fn dear_answers_are_refreshed_earlier() {
        // -ln(0.5) = 0.693: a fetch of 300 ms is due 207 ms ahead at even odds.
        assert!(is_due(&terms(300), 59_800, 1.0, 0.5));
        assert!(!is_due(&terms(300), 59_700, 1.0, 0.5));
        assert!(is_due(&terms(3_000), 58_000, 1.0, 0.5));
        assert!(is_due(&terms(300), 59_000, 1.0, 0.999));
    }

    #[test]
    fn chance_zero_switches_off_and_bad_numbers_never_refresh() {
        assert!(!is_due(&terms(300), 59_999, 0.0, 0.9));
        assert!(!is_due(&terms(300), 59_999, 1.0, f64::NAN));
        assert!(!is_due(&terms(0), 59_999, 1.0, 0.9));
        assert!(!is_due(&terms(i64::MAX), 0, 1.0, 0.0));
    }
}
