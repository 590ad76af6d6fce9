use std::time::Duration;

use super::SourceMetrics;
use crate::clock::Clock;
use crate::ingest::rows::TableId;
use crate::replicate::apply::counts::Counts;

#[test]
fn the_oldest_unapplied_change_ages_through_a_lost_connection_until_a_commit() {
    let clock = Clock::manual(10_000);
    let metrics = SourceMetrics::new("main", &[(TableId(1), "a".to_owned())], clock.clone());
    assert_eq!(metrics.oldest_unapplied_ms(), None);
    let (old, new) = (metrics.part(), metrics.part());
    old.pending(Some(9_000), 10);
    new.pending(Some(9_500), 20);
    assert_eq!(metrics.oldest_unapplied_ms(), Some(1_000));
    drop(old);
    clock.advance(500);
    assert_eq!(metrics.oldest_unapplied_ms(), Some(1_500));
    new.pending(None, 0);
    metrics.committed(&Counts::default(), Some(9_900), 0, Duration::ZERO);
    assert_eq!(metrics.oldest_unapplied_ms(), None);
    assert_eq!((metrics.batches(), metrics.took_ms()), (1, 500));
}

#[test]
fn lag_is_zero_only_while_connected_with_nothing_outstanding() {
    let clock = Clock::manual(10_000);
    let metrics = SourceMetrics::new("main", &[], clock.clone());
    clock.advance(2_000);
    assert_eq!(metrics.lag_ms(), 2_000);
    metrics.connected(true);
    assert_eq!(metrics.lag_ms(), 0);
    metrics.lag_bytes(7);
    assert_eq!(metrics.lag_ms(), 2_000);
    metrics.applied_up_to(11_500);
    assert_eq!(metrics.lag_ms(), 500);
    metrics.lag_bytes(0);
    assert_eq!(metrics.lag_ms(), 0);
}
