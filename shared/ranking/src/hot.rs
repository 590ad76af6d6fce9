//! Hot scores by forward decay: only touched items are written.
//!
//! For a window with half-life h the score at time t is the sum over the item's
//! events of `w * exp(-ln2 * (t - t_i) / h)`. It is kept as the sum at the time of
//! the newest event, so order among untouched items never changes with time
//! (Cormode et al., "Forward Decay", ICDE 2009).

use crate::config::HotConfig;

const MS_PER_MINUTE: f64 = 60_000.0;

/// A decayed sum and the time it is valid at.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HotSum {
    /// The sum at `at_ms`.
    pub sum: f64,
    /// Domain time, Unix ms; 0 where there was no event yet.
    pub at_ms: i64,
}

impl HotSum {
    /// Adds weight `weight` (negative to undo) of an event at `event_ms`, in any order of time.
    ///
    /// An undo is added at the time of what it takes back, so that both cancel.
    #[must_use]
    pub fn add(self, weight: f64, event_ms: i64, half_life_minutes: f64) -> Self {
        if self == Self::default() {
            return Self {
                sum: weight,
                at_ms: event_ms,
            };
        }
        if event_ms >= self.at_ms {
            let decayed = self.sum * decay(event_ms, self.at_ms, half_life_minutes);
            return Self {
                sum: decayed + weight,
                at_ms: event_ms,
            };
        }
        let late = weight * decay(self.at_ms, event_ms, half_life_minutes);
        Self {
            sum: self.sum + late,
            at_ms: self.at_ms,
        }
    }

    /// The score at `now_ms`; events that are still to come count as of now.
    #[must_use]
    pub fn at(self, now_ms: i64, half_life_minutes: f64) -> f64 {
        let now_ms = now_ms.max(self.at_ms);
        self.sum * decay(now_ms, self.at_ms, half_life_minutes)
    }
}

impl HotSum {
    /// The score as of `at_ms`, which may be before the newest event: what later decay from
    /// that time makes right again.
    #[must_use]
    pub fn as_of(self, at_ms: i64, half_life_minutes: f64) -> f64 {
        self.sum * decay(at_ms, self.at_ms, half_life_minutes)
    }
}

/// Orders items as their hot scores do at any time: larger is hotter.
///
/// It is the binary logarithm of the score at Unix time 0, `log2(sum) + at / half-life`:
/// a time that all sums share, which neither overflows nor needs the request's time.
/// A sum that is not above 0 gives `-inf`. Steps below 2^-32 of a half-life are lost.
#[must_use]
pub fn hot_key(hot: HotSum, half_life_minutes: f64) -> f64 {
    if hot.sum > 0.0 {
        libm::log2(hot.sum) + hot.at_ms as f64 / MS_PER_MINUTE / half_life_minutes
    } else {
        f64::NEG_INFINITY
    }
}

/// What moves a hot score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HotEvent {
    /// A view that did not complete.
    View,
    /// A view of at least 0.9 of the duration.
    CompletedView,
    /// A click.
    Click,
    /// A user's first like of the item.
    Like,
    /// A comment.
    Comment,
    /// A user's first share of the item.
    Share,
    /// A user's first follow from the item.
    Follow,
}

impl HotConfig {
    /// The weight of an event; an undo adds its negative.
    #[must_use]
    pub const fn weight(&self, event: HotEvent) -> f64 {
        match event {
            HotEvent::View => self.view,
            HotEvent::CompletedView => self.completed_view,
            HotEvent::Click => self.click,
            HotEvent::Like => self.like,
            HotEvent::Comment => self.comment,
            HotEvent::Share => self.share,
            HotEvent::Follow => self.follow,
        }
    }
}

/// What is left of a weight after the time between the two.
pub(crate) fn decay(now_ms: i64, event_ms: i64, half_life_minutes: f64) -> f64 {
    let elapsed_minutes = now_ms.saturating_sub(event_ms) as f64 / MS_PER_MINUTE;
    libm::exp(-core::f64::consts::LN_2 * elapsed_minutes / half_life_minutes)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::config::RankingConfig;

    const NOW_MS: i64 = 1_700_000_000_000;

    #[test]
    fn a_like_halves_in_a_half_life() {
        let hot = HotSum::default().add(1.0, NOW_MS, 20.0);
        assert_eq!(hot.at(NOW_MS, 20.0), 1.0);
        assert!((hot.at(NOW_MS + 20 * 60_000, 20.0) - 0.5).abs() < 1e-15);
        assert!((hot.at(NOW_MS + 40 * 60_000, 20.0) - 0.25).abs() < 1e-15);
    }

    #[test]
    fn weights_are_the_designs() {
        let config = RankingConfig::default().hot;
        let events = [
            (HotEvent::View, 0.1),
            (HotEvent::CompletedView, 0.5),
            (HotEvent::Click, 0.2),
            (HotEvent::Like, 1.0),
            (HotEvent::Comment, 2.0),
            (HotEvent::Share, 3.0),
            (HotEvent::Follow, 4.0),
        ];
        for (event, weight) in events {
            assert_eq!(config.weight(event), weight, "{event:?}");
        }
    }

    #[test]
    fn what_is_not_above_zero_is_never_hot() {
        for sum in [0.0, -1.0, f64::NAN] {
            assert_eq!(
                hot_key(HotSum { sum, at_ms: NOW_MS }, 20.0),
                f64::NEG_INFINITY
            );
        }
    }

    fn events() -> impl Strategy<Value = Vec<(f64, i64)>> {
        let weight = prop::sample::select(&[0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 4.0][..]);
        prop::collection::vec((weight, NOW_MS - 48 * 3_600_000..=NOW_MS), 1..40)
    }

    fn direct(events: &[(f64, i64)], half_life_minutes: f64) -> f64 {
        let term = |&(weight, at_ms): &(f64, i64)| {
            let minutes = (NOW_MS - at_ms) as f64 / 60_000.0;
            weight * libm::exp2(-minutes / half_life_minutes)
        };
        events.iter().map(term).sum()
    }

    fn kept(events: &[(f64, i64)], half_life_minutes: f64) -> HotSum {
        let add =
            |hot: HotSum, &(weight, at_ms): &(f64, i64)| hot.add(weight, at_ms, half_life_minutes);
        events.iter().fold(HotSum::default(), add)
    }

    proptest! {
        #[test]
        fn sums_in_any_order_agree_with_the_direct_sum(
            events in events(),
            shuffled in events().prop_shuffle(),
            half_life_minutes in prop::sample::select(&[20.0, 360.0, 2880.0][..]),
        ) {
            for events in [&events, &shuffled] {
                let expected = direct(events, half_life_minutes);
                let mut sorted = events.clone();
                sorted.sort_by_key(|event| event.1);
                let mut reversed = sorted.clone();
                reversed.reverse();
                for order in [events, &sorted, &reversed] {
                    let score = kept(order, half_life_minutes).at(NOW_MS, half_life_minutes);
                    prop_assert!((score - expected).abs() <= 1e-9 * expected, "{score} {expected}");
                }
            }
        }

        #[test]
        fn undo_takes_back_what_was_added(events in events(), weight in 0.1..4.0, late_ms in 0_i64..172_800_000) {
            let before = kept(&events, 360.0);
            let after = before.add(weight, NOW_MS - late_ms, 360.0).add(-weight, NOW_MS - late_ms, 360.0);
            let (before, after) = (before.at(NOW_MS, 360.0), after.at(NOW_MS, 360.0));
            prop_assert!((before - after).abs() <= 1e-9 * (before + weight), "{before} {after}");
        }

        #[test]
        fn key_orders_as_the_scores_do_at_any_time(a in events(), b in events(), later_ms in 0_i64..604_800_000) {
            for half_life_minutes in [20.0, 360.0, 2880.0] {
                let (a, b) = (kept(&a, half_life_minutes), kept(&b, half_life_minutes));
                let at_ms = NOW_MS + later_ms;
                let (score_a, score_b) = (a.at(at_ms, half_life_minutes), b.at(at_ms, half_life_minutes));
                // Scores that agree to nine digits are a tie for the key.
                if (score_a - score_b).abs() > 1e-8 * score_a.max(score_b) {
                    let keys = (hot_key(a, half_life_minutes), hot_key(b, half_life_minutes));
                    prop_assert_eq!(score_a > score_b, keys.0 > keys.1);
                }
            }
        }
    }
}
