//! What the machine hands out, and when.

use std::time::Duration;

use super::machine::{ADVANCE_LINGER, Finished, LINGER_MAX, LINGER_PER_ROW, Machine, Moment};
use super::{ApplierConfig, Position};
use crate::ingest::rows::{Move, RowBatch, RowChange, RowKey, RowOp, TableId};

#[derive(Clone, Debug, PartialEq, Eq)]
struct At(u8);

impl Position for At {
    fn encode(&self) -> Vec<u8> {
        vec![self.0]
    }
}

fn machine(batch_rows: usize) -> Machine<At> {
    let config = ApplierConfig {
        batch_rows,
        ..ApplierConfig::new("main", "stream")
    };
    Machine::new(config, Some(vec![0]))
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn at(elapsed_ms: u64) -> Moment {
    Moment {
        elapsed: ms(elapsed_ms),
        wall_ms: elapsed_ms as i64,
    }
}

fn push(machine: &mut Machine<At>, position: u8, now: Moment) -> bool {
    let change = RowChange {
        table: TableId(1),
        key: RowKey::Int(i64::from(position)),
        op: RowOp::Remove,
    };
    machine.push(change, None, At(position), now)
}

/// The checkpoint's move of a batch, and its rows.
fn moved(batch: &RowBatch) -> (Option<u8>, Option<u8>, usize) {
    let own = batch.moves.iter().find(|part| part.checkpoint == "stream");
    let first = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| bytes[0]);
    let own = own.map(|part| (first(&part.from), first(&part.to)));
    let (from, to) = own.unwrap_or((None, None));
    (from, to, batch.changes.len())
}

#[test]
fn one_batch_is_in_flight_one_grows_and_then_there_is_no_room() {
    let mut machine = machine(3);
    assert!(push(&mut machine, 1, at(0)));
    assert_eq!(machine.take_batch(ms(4), false), None, "it lingers");
    let first = machine.take_batch(ms(5), false).unwrap();
    assert_eq!(moved(&first), (Some(0), Some(1), 1));
    for position in 2..=4 {
        assert!(push(&mut machine, position, at(6)));
    }
    assert!(!push(&mut machine, 5, at(6)), "the second is full");
    assert_eq!(machine.take_batch(ms(1_000), true), None, "one at a time");
    assert_eq!(
        machine.finished(Finished::Durable).unwrap().position,
        Some(At(1))
    );
    // The next begins where the first ended, and is due at once because it is full.
    let second = machine.take_batch(ms(6), false).unwrap();
    assert_eq!(moved(&second), (Some(1), Some(4), 3));
    assert!(push(&mut machine, 5, at(7)));
    assert_eq!(machine.oldest_ms(), Some(6));
    machine.finished(Finished::Durable).unwrap();
    assert_eq!(machine.oldest_ms(), Some(7));
}

#[test]
fn a_position_alone_waits_longer_than_rows_do() {
    let mut machine = machine(10);
    assert!(machine.advance(At(1), None, at(0)));
    assert_eq!(machine.take_batch(ms(50), false), None);
    assert_eq!(machine.due(), Some(ADVANCE_LINGER));
    assert!(push(&mut machine, 2, at(60)));
    assert_eq!(machine.due(), Some(ms(65)));
    let batch = machine.take_batch(ms(65), false).unwrap();
    assert_eq!(moved(&batch), (Some(0), Some(2), 1));
    assert!(machine.finished(Finished::Durable).is_some());
    assert!(machine.is_clean());
    assert_eq!(machine.due(), None);
}

#[test]
fn rows_that_come_fast_wait_for_a_larger_batch_and_no_longer_than_they_may() {
    let mut machine = machine(10_001);
    let pushed = |machine: &mut Machine<At>, count: usize| {
        (0..count).for_each(|_| assert!(push(machine, 1, at(2))));
    };
    pushed(&mut machine, 100);
    assert_eq!(machine.due(), Some(ms(7)), "few rows go as soon as any");
    pushed(&mut machine, 900);
    assert_eq!(machine.due(), Some(ms(2) + 1_000 * LINGER_PER_ROW));
    pushed(&mut machine, 9_000);
    assert_eq!(machine.due(), Some(ms(2) + LINGER_MAX));
    pushed(&mut machine, 1);
    assert_eq!(machine.due(), Some(ms(0)), "it is full");
}

#[test]
fn a_lag_counts_from_the_source_s_commit() {
    let mut machine = machine(10);
    assert!(push(&mut machine, 1, at(500)));
    assert!(machine.advance(At(2), Some(200), at(501)));
    assert_eq!(machine.oldest_ms(), Some(200));
    machine.take_batch(ms(501), true).unwrap();
    assert_eq!(machine.oldest_ms(), Some(200));
    let durable = machine.finished(Finished::Durable).unwrap();
    assert_eq!(durable.committed_at_ms, Some(200));
    assert_eq!(durable.counts.total(), 1);
}

#[test]
fn further_checkpoints_join_where_they_follow_each_other() {
    let mut machine = machine(10);
    let further = |from: u8, to: u8| Move {
        checkpoint: "chunk".to_owned(),
        from: Some(vec![from]),
        to: Some(vec![to]),
    };
    assert!(machine.also(further(1, 2), at(0)));
    assert!(machine.also(further(2, 3), at(0)));
    assert!(push(&mut machine, 1, at(0)));
    let batch = machine.take_batch(ms(0), true).unwrap();
    assert_eq!(batch.moves.len(), 2);
    assert_eq!(batch.moves[0], further(1, 3));
}

#[test]
fn a_clear_is_alone_and_repeated_until_nothing_is_left() {
    let mut machine = machine(10);
    assert!(push(&mut machine, 1, at(0)));
    assert!(
        !machine.clear(TableId(1), At(2), 700),
        "rows before it come first"
    );
    machine.take_batch(ms(0), true).unwrap();
    assert!(!machine.clear(TableId(1), At(2), 700));
    machine.finished(Finished::Durable).unwrap();
    assert!(machine.clear(TableId(1), At(2), 700));
    for how in [Finished::More, Finished::More, Finished::Durable] {
        assert_eq!(machine.oldest_ms(), Some(700), "it is outstanding");
        assert!(!push(&mut machine, 3, at(1)), "nothing goes between");
        assert!(!machine.advance(At(3), None, at(1)));
        let batch = machine.take_batch(ms(1), false).unwrap();
        assert_eq!(moved(&batch), (Some(1), Some(2), 1));
        assert_eq!(batch.changes.iter().next().unwrap().op, RowOp::Clear);
        assert_eq!(machine.oldest_ms(), Some(700), "in flight too");
        let durable = machine.finished(how);
        assert_eq!(durable.is_some(), how == Finished::Durable);
    }
    assert_eq!(machine.oldest_ms(), None);
    assert!(push(&mut machine, 3, at(1)));
    let next = machine.take_batch(ms(1), true).unwrap();
    assert_eq!(moved(&next), (Some(2), Some(3), 1));
}

#[test]
fn after_an_error_nothing_is_taken_and_nothing_is_durable() {
    for how in [Finished::Conflict, Finished::Failed, Finished::More] {
        let mut machine = machine(10);
        assert!(push(&mut machine, 1, at(0)));
        machine.take_batch(ms(0), true).unwrap();
        assert!(push(&mut machine, 2, at(0)));
        assert!(machine.finished(how).is_none());
        assert!(machine.is_broken());
        assert!(!push(&mut machine, 3, at(0)));
        assert!(!machine.advance(At(3), None, at(0)));
        assert!(!machine.clear(TableId(1), At(3), 0));
        assert_eq!(machine.take_batch(ms(1_000), true), None);
    }
}
