//! Who is too busy to move hot lists.
//!
//! An event is judged where it applies, in log order, with itself counted: its user is an
//! outlier when the user's events of that UTC day are more than the mean plus three
//! (population) standard deviations over the users with an event that day. Small days have
//! no outliers: a deviation of few users, or of a handful of events, says nothing.

use crate::store::record::DayStats;

/// Users a day needs before anyone in it is an outlier. With fewer than 11 nobody can be above
/// the mean plus three deviations, whatever they do.
pub const OUTLIER_USERS_MIN: u64 = 11;
/// Counted up where the rule changes: stores whose hot sums were made by another are made again.
pub(crate) const RULE: u64 = 2;
/// Events a user needs on a day to be an outlier.
pub const OUTLIER_EVENTS_MIN: u64 = 20;

/// Counts an event of a user who had `before` events that day.
pub(crate) fn count(stats: &mut DayStats, before: u64) {
    stats.users += u64::from(before == 0);
    stats.events += 1;
    stats.squares += 2 * before + 1;
}

/// Whether a user with `events` on a day of `stats` (both with the event counted) is an outlier.
///
/// With n users, sum S and sum of squares Q: `events > S/n + 3*sqrt(Q/n - (S/n)^2)`, in integers.
pub(crate) fn is_outlier(stats: &DayStats, events: u64) -> bool {
    if stats.users < OUTLIER_USERS_MIN || events < OUTLIER_EVENTS_MIN {
        return false;
    }
    let (users, sum) = (u128::from(stats.users), u128::from(stats.events));
    let above = (users * u128::from(events)).saturating_sub(sum);
    let spread = (users * u128::from(stats.squares)).saturating_sub(sum * sum);
    above.saturating_mul(above) > spread.saturating_mul(9)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(events_by_user: &[u64]) -> DayStats {
        let mut stats = DayStats::default();
        for &events in events_by_user {
            (0..events).for_each(|before| count(&mut stats, before));
        }
        stats
    }

    #[test]
    fn one_of_forty_with_a_hundred_events_is_an_outlier() {
        let mut users = vec![2; 39];
        users.push(100);
        assert!(is_outlier(&day(&users), 100));
        assert!(!is_outlier(&day(&users), 2));
    }

    #[test]
    fn small_days_and_few_events_have_none() {
        let mut users = vec![1; 9];
        users.push(1_000);
        assert!(!is_outlier(&day(&users), 1_000));
        users.push(1);
        assert!(is_outlier(&day(&users), 1_000), "one of eleven");
        let mut users = vec![1; 39];
        users.push(19);
        assert!(!is_outlier(&day(&users), 19));
    }

    #[test]
    fn the_bound_is_the_mean_plus_three_sigma() {
        let users: Vec<u64> = (0..100).map(|user| 20 + user % 10).chain([60]).collect();
        let stats = day(&users);
        let mean = stats.events as f64 / stats.users as f64;
        let sigma = (stats.squares as f64 / stats.users as f64 - mean * mean).sqrt();
        let bound = mean + 3.0 * sigma;
        assert!(!is_outlier(&stats, bound.floor() as u64));
        assert!(is_outlier(&stats, bound.floor() as u64 + 1));
    }
}
