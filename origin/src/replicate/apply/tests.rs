//! The applier on the real writer.

use std::time::Duration;

use edgewise_wire::api::EventType;
use tokio::time::timeout;

use super::*;
use crate::clock::Clock;
use crate::ingest::rows::SourceCommand;
use crate::ingest::rows::{EventFact, Fact, RowKey, RowOp};
use crate::ingest::testing::{NOW_MS, Rig};
use crate::store::read;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);
const TABLE: TableId = TableId(1);

#[derive(Clone, Debug, PartialEq, Eq)]
struct At(u64);

impl Position for At {
    fn encode(&self) -> Vec<u8> {
        self.0.to_be_bytes().to_vec()
    }
}

/// A rig that knows the source's table.
fn rig() -> Rig {
    let make = || {
        let rig = Rig::new();
        rig.write(Command::Source(SourceCommand::Register {
            source: "main".to_owned(),
            tables: vec!["likes->events".to_owned()],
        }));
        assert_eq!(read::tables(&*rig.read(), "main").unwrap()[0].0, TABLE);
        rig
    };
    // Writing waits, which an async test may not.
    std::thread::spawn(make).join().unwrap()
}

fn likes(rig: &Rig) -> u32 {
    let item = read::item(&*rig.read(), "i").unwrap();
    item.map_or(0, |item| item.counters.likes)
}

fn metrics() -> Arc<SourceMetrics> {
    SourceMetrics::new(
        "main",
        &[(TABLE, "likes->events".to_owned())],
        Clock::system(),
    )
}

fn config(batch_rows: usize, linger_ms: u64) -> ApplierConfig {
    ApplierConfig {
        batch_rows,
        linger_ms,
        ..ApplierConfig::new("main", "stream")
    }
}

fn applier(rig: &Rig, config: ApplierConfig, metrics: &Arc<SourceMetrics>) -> Applier<At> {
    Applier::new(rig.writer.clone(), config, None, Arc::clone(metrics))
}

fn like(key: i64) -> RowChange {
    RowChange {
        table: TABLE,
        key: RowKey::Int(key),
        op: RowOp::Put(Fact::Event(EventFact {
            kind: EventType::Like,
            user: format!("u{key}").into(),
            item: Some("i".into()),
            author: None,
            ts_ms: NOW_MS,
            watch_ms: None,
            duration_ms: None,
            value: None,
        })),
    }
}

#[tokio::test]
async fn nothing_is_durable_before_a_commit_and_all_of_it_after_a_flush() {
    let rig = rig();
    let metrics = metrics();
    let mut applier = applier(&rig, config(50_000, 60_000), &metrics);
    let durable = applier.durable();
    for key in 1..=10 {
        applier.push(like(key), None, At(key as u64)).await.unwrap();
    }
    applier.advance(At(11), Some(NOW_MS)).await.unwrap();
    assert_eq!(*durable.borrow(), None);
    assert!(metrics.oldest_unapplied_ms().is_some());
    applier.flush().await.unwrap();
    assert_eq!(*durable.borrow(), Some(At(11)));
    assert_eq!(metrics.oldest_unapplied_ms(), None);
    assert_eq!(metrics.batches(), 1);
    assert_eq!(likes(&rig), 10);
    let stored = read::checkpoint(&*rig.read(), "main", "stream").unwrap();
    assert_eq!(stored, Some(At(11).encode()));
    rig.check();
}

#[tokio::test]
async fn a_second_applier_that_moved_the_checkpoint_stops_the_first_before_it_counts() {
    let rig = rig();
    let mut first = applier(&rig, config(50_000, 0), &metrics());
    let mut second = applier(&rig, config(50_000, 0), &metrics());
    first.push(like(1), None, At(1)).await.unwrap();
    second.push(like(2), None, At(2)).await.unwrap();
    first.flush().await.unwrap();
    let error = second.flush().await.unwrap_err();
    assert!(matches!(error, ApplyError::Conflict { .. }) && error.is_retryable());
    assert!(second.push(like(2), None, At(2)).await.is_err());
    assert_eq!(*second.durable().borrow(), None);
    assert_eq!(likes(&rig), 1);
    rig.check();
}

#[tokio::test]
async fn a_truncated_table_is_cleared_in_steps_and_the_position_follows() {
    let rig = rig();
    let mut applier = applier(&rig, config(5_000, 0), &metrics());
    for key in 1..=12_000 {
        applier.push(like(key), None, At(key as u64)).await.unwrap();
    }
    applier.clear(TABLE, At(12_001), None).await.unwrap();
    assert_eq!(likes(&rig), 0);
    applier.push(like(3), None, At(12_002)).await.unwrap();
    applier.flush().await.unwrap();
    assert_eq!(*applier.durable().borrow(), Some(At(12_002)));
    assert_eq!(likes(&rig), 1);
    rig.check();
}

#[tokio::test]
async fn a_silent_source_s_rows_become_durable_after_the_linger() {
    let rig = rig();
    let mut applier = applier(&rig, config(50_000, 5), &metrics());
    let durable = applier.durable();
    applier.push(like(1), None, At(1)).await.unwrap();
    let wait = async {
        while durable.borrow().is_none() {
            applier.idle().await.unwrap();
        }
    };
    timeout(PATIENCE, wait).await.unwrap();
    // With nothing in hand it waits for the source.
    let idle = timeout(Duration::from_millis(50), applier.idle()).await;
    assert!(idle.is_err());
}

#[tokio::test]
async fn a_slow_store_holds_the_source_up_and_batches_grow_up_to_their_bound() {
    let rig = rig();
    let metrics = metrics();
    let mut applier = applier(&rig, config(100, 0), &metrics);
    let durable = applier.durable();
    // Cancelled at every wait: nothing is lost or applied twice.
    let mut next = 1;
    while next <= 5_000 {
        let push = applier.push(like(next), None, At(next as u64));
        let pushed = timeout(Duration::from_micros(50), push).await;
        match pushed {
            Ok(result) => result.unwrap(),
            // Waiting for room comes before the change is taken.
            Err(_) => continue,
        }
        next += 1;
    }
    applier.flush().await.unwrap();
    assert_eq!(*durable.borrow(), Some(At(5_000)));
    let batches = metrics.batches();
    assert!((50..2_500).contains(&batches), "{batches}");
    assert_eq!(likes(&rig), 5_000);
    rig.check();
}

#[tokio::test]
async fn a_stopped_writer_is_an_error_for_good() {
    let rig = rig();
    let mut applier = applier(&rig, config(10, 0), &metrics());
    rig.writer.stop();
    applier.push(like(1), None, At(1)).await.unwrap();
    let error = applier.flush().await.unwrap_err();
    assert!(matches!(error, ApplyError::Store { .. }), "{error}");
    let again = applier.flush().await.unwrap_err();
    assert!(!again.is_retryable());
    assert_eq!(*applier.durable().borrow(), None);
}
