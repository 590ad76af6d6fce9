//! What a connector and an operator would notice of rows.

use edgewise_ranking::id_hash;
use edgewise_wire::api::EventType;
use edgewise_wire::counters::Counters;

use super::{
    DeadLetter, EventFact, Fact, ForgetPart, ItemField, Kept, Move, RowBatch, RowChange, RowKey,
    RowOp, SourceCommand, TableId,
};
use crate::ingest::testing::{NOW_MS, Rig, event, item};
use crate::ingest::{Command, Outcome};
use crate::store::memory::RememberedRow;
use crate::store::read;

const TABLE: TableId = TableId(1);

fn rig() -> Rig {
    let rig = Rig::new();
    register(&rig, &["events", "others"]);
    rig.write(Command::UpsertItems(vec![item("i", "a")]));
    rig
}

fn register(rig: &Rig, tables: &[&str]) -> Outcome {
    rig.write(Command::Source(SourceCommand::Register {
        source: "db".to_owned(),
        tables: tables.iter().map(|&name| name.to_owned()).collect(),
    }))
}

fn row(key: i64, op: RowOp) -> RowChange {
    RowChange {
        table: TABLE,
        key: RowKey::Int(key),
        op,
    }
}

fn fact(kind: EventType, user: &str) -> EventFact {
    EventFact {
        kind,
        user: user.into(),
        item: Some("i".into()),
        author: None,
        ts_ms: NOW_MS,
        watch_ms: None,
        duration_ms: None,
        value: None,
    }
}

fn put(key: i64, kind: EventType, user: &str) -> RowChange {
    row(key, RowOp::Put(Fact::Event(fact(kind, user))))
}

fn batch(changes: Vec<RowChange>) -> RowBatch {
    RowBatch {
        source: "db".to_owned(),
        changes: changes.into(),
        ..RowBatch::default()
    }
}

fn write(rig: &Rig, changes: Vec<RowChange>) -> Outcome {
    rig.write(Command::Rows(Box::new(batch(changes))))
}

fn step(from: Option<u8>, to: Option<u8>) -> Move {
    Move {
        checkpoint: "stream".to_owned(),
        from: from.map(|byte| vec![byte]),
        to: to.map(|byte| vec![byte]),
    }
}

fn counters(rig: &Rig) -> Counters {
    read::item(&*rig.read(), "i").unwrap().unwrap().counters
}

fn letter(key: i64) -> DeadLetter {
    DeadLetter {
        source: "db".to_owned(),
        table: "events".to_owned(),
        table_id: TABLE.0,
        key: format!("id={key}"),
        row: Some(RowKey::Int(key).into()),
        reason: "the user is NULL".to_owned(),
        position: "0/1".to_owned(),
        columns: "{}".to_owned(),
        at_ms: NOW_MS,
    }
}

#[test]
fn a_batch_whose_checkpoint_moved_changes_nothing() {
    let rig = rig();
    let with = |moves, key| RowBatch {
        moves,
        ..batch(vec![put(key, EventType::Like, "u")])
    };
    let first = with(vec![step(None, Some(1))], 1);
    let outcome = rig.write(Command::Rows(Box::new(first.clone())));
    assert_eq!((outcome.accepted, outcome.conflict), (1, false));
    let again = rig.write(Command::Rows(Box::new(first)));
    assert!(again.conflict);
    let chunk = Move {
        checkpoint: "chunk".to_owned(),
        from: None,
        to: Some(vec![7]),
    };
    let half = with(vec![chunk.clone(), step(Some(9), Some(2))], 2);
    assert!(rig.write(Command::Rows(Box::new(half))).conflict);
    assert_eq!(counters(&rig).likes, 1);
    let stored = read::checkpoints(&*rig.read(), "db").unwrap();
    assert_eq!(stored, [("stream".to_owned(), vec![1])]);
    let whole = with(vec![chunk, step(Some(1), None)], 2);
    assert!(!rig.write(Command::Rows(Box::new(whole))).conflict);
    assert_eq!(counters(&rig).likes, 2);
    let stored = read::checkpoints(&*rig.read(), "db").unwrap();
    assert_eq!(stored, [("chunk".to_owned(), vec![7])]);
    rig.check();
}

#[test]
fn a_commit_that_may_have_happened_is_no_conflict() {
    let rig = rig();
    rig.store
        .fail_after
        .store(1, std::sync::atomic::Ordering::Relaxed);
    let once = RowBatch {
        moves: vec![step(None, Some(1))],
        ..batch(vec![put(1, EventType::Like, "u")])
    };
    let outcome = rig.write(Command::Rows(Box::new(once)));
    assert_eq!((outcome.conflict, outcome.duplicate), (false, 1));
    assert_eq!(counters(&rig).likes, 1);
}

#[test]
fn rows_of_a_table_that_is_not_registered_are_refused() {
    let rig = rig();
    let mut stray = put(1, EventType::Like, "u");
    stray.table = TableId(3);
    let outcome = write(&rig, vec![put(2, EventType::Like, "u"), stray]);
    assert!(outcome.conflict);
    assert_eq!(outcome.rejected[0].index, 1);
    assert_eq!(counters(&rig).likes, 0);
}

#[test]
fn tables_keep_their_numbers_and_none_is_given_twice() {
    let rig = rig();
    assert_eq!(register(&rig, &["others", "third"]).accepted, 1);
    let forget = SourceCommand::Forget {
        source: "db".to_owned(),
        part: ForgetPart::Memory(TableId(3)),
    };
    rig.write(Command::Source(forget));
    register(&rig, &["fourth"]);
    let tables = read::tables(&*rig.read(), "db").unwrap();
    let expected = [(1, "events"), (2, "others"), (4, "fourth")];
    assert_eq!(
        tables,
        expected.map(|(table, name)| (TableId(table), name.to_owned()))
    );
    assert_eq!(read::sources(&*rig.read()).unwrap(), ["db"]);
}

#[test]
fn a_truncated_table_is_cleared_in_bounded_steps() {
    let rig = rig();
    let many = super::CLEARED_ROWS_MAX as i64 + 5;
    let rows = (0..many)
        .map(|key| put(key, EventType::Click, "u"))
        .collect();
    assert_eq!(write(&rig, rows).accepted, many as u32);
    let clear = RowBatch {
        moves: vec![step(None, Some(1))],
        ..batch(vec![row(0, RowOp::Clear)])
    };
    let first = rig.write(Command::Rows(Box::new(clear.clone())));
    assert!(first.more && !first.conflict);
    assert_eq!(counters(&rig).clicks, 5);
    assert_eq!(
        read::checkpoint(&*rig.read(), "db", "stream").unwrap(),
        None
    );
    let last = rig.write(Command::Rows(Box::new(clear)));
    assert_eq!((last.accepted, last.more), (5, false));
    assert_eq!(counters(&rig), Counters::default());
    assert!(
        read::checkpoint(&*rig.read(), "db", "stream")
            .unwrap()
            .is_some()
    );
    rig.check();
    let mixed = write(
        &rig,
        vec![row(0, RowOp::Clear), put(1, EventType::Like, "u")],
    );
    assert!(mixed.conflict && !mixed.rejected.is_empty());
}

#[test]
fn an_unsent_column_keeps_its_value_or_makes_a_dead_letter() {
    let rig = rig();
    let mut facts = item("p", "a");
    facts.title = "Kept".to_owned();
    let patch = |title: &str| {
        let mut facts = item("p", "b");
        facts.title = title.to_owned();
        row(
            1,
            RowOp::Patch(Box::new(facts), Kept(ItemField::Title as u16)),
        )
    };
    let outcome = write(&rig, vec![patch("")]);
    assert_eq!((outcome.accepted, outcome.dead), (0, 1));
    let letters = read::dead_letters(&*rig.read(), 0, 10).unwrap();
    assert_eq!(letters[0].1.table, "events");
    assert!(letters[0].1.reason.contains("REPLICA IDENTITY FULL"));
    write(&rig, vec![row(1, RowOp::Put(Fact::Item(Box::new(facts))))]);
    assert_eq!(read::dead_letter_count(&*rig.read()).unwrap(), 0, "it came");
    assert_eq!(write(&rig, vec![patch("")]).accepted, 1);
    let stored = read::item(&*rig.read(), "p")
        .unwrap()
        .unwrap()
        .item
        .unwrap();
    assert_eq!((&*stored.title, &*stored.author), ("Kept", "b"));
    assert_eq!(write(&rig, vec![patch("")]).duplicate, 1);
    rig.check();
}

#[test]
fn a_letter_lives_until_its_row_comes_or_it_is_dropped() {
    let rig = rig();
    let refused = RowBatch {
        dead: vec![letter(1), letter(2), letter(3)],
        ..batch(vec![
            row(1, RowOp::Remove),
            row(2, RowOp::Remove),
            row(3, RowOp::Remove),
            put(3, EventType::Like, "u"),
        ])
    };
    let outcome = rig.write(Command::Rows(Box::new(refused)));
    assert_eq!(outcome.dead, 2, "the third came good in the same batch");
    let again = RowBatch {
        dead: vec![letter(1)],
        ..batch(vec![row(1, RowOp::Remove)])
    };
    rig.write(Command::Rows(Box::new(again)));
    let numbers = |rig: &Rig| -> Vec<u64> {
        let letters = read::dead_letters(&*rig.read(), 0, 10).unwrap();
        letters.into_iter().map(|(number, _)| number).collect()
    };
    assert_eq!(numbers(&rig), [1, 2]);
    assert_eq!(rig.write(Command::DropDeadLetters(vec![2, 77])).accepted, 1);
    write(&rig, vec![put(2, EventType::Like, "u")]);
    assert_eq!(numbers(&rig), [0_u64; 0]);
    assert_eq!(read::dead_letter_count(&*rig.read()).unwrap(), 0);
}

#[test]
fn a_deleted_users_rows_are_taken_back_and_bring_nobody_back() {
    let rig = rig();
    let users = TableId(2);
    let exists = RowChange {
        table: users,
        key: RowKey::Int(1),
        op: RowOp::Put(Fact::User { id: "u".into() }),
    };
    let mut hide = fact(EventType::Hide, "u");
    hide.author = Some("b".into());
    let rows = || {
        vec![
            put(1, EventType::Like, "u"),
            put(2, EventType::Share, "u"),
            put(3, EventType::Follow, "u"),
            put(4, EventType::Click, "u"),
            row(5, RowOp::Put(Fact::Event(hide.clone()))),
            put(6, EventType::Like, "v"),
        ]
    };
    write(&rig, vec![exists.clone()]);
    write(&rig, rows());
    write(
        &rig,
        vec![RowChange {
            op: RowOp::Remove,
            ..exists
        }],
    );
    assert_eq!(read::user_number(&*rig.read(), "u").unwrap(), None);
    assert_eq!(counters(&rig).likes, 2, "totals stay with the rows");
    // Delivered again, nothing happens.
    assert_eq!(write(&rig, rows()).duplicate, 6);
    assert_eq!(read::user_number(&*rig.read(), "u").unwrap(), None);
    rig.check();
    write(&rig, (1..6).map(|key| row(key, RowOp::Remove)).collect());
    let expected = Counters {
        likes: 1,
        ..Counters::default()
    };
    assert_eq!(counters(&rig), expected);
    let hot = read::item(&*rig.read(), "i").unwrap().unwrap().hot;
    let like = rig.config.hot.like;
    assert!(
        hot.iter().all(|hot| (hot.sum - like).abs() < 1e-9),
        "{hot:?}"
    );
    assert_eq!(write(&rig, vec![put(1, EventType::Like, "u")]).accepted, 1);
    assert!(read::user_number(&*rig.read(), "u").unwrap().is_some());
    rig.check();
}

#[test]
fn rows_and_calls_each_state_a_follow() {
    let rig = rig();
    let follows = |rig: &Rig| {
        let state = read::user_state(&*rig.read(), "u", NOW_MS, 0).unwrap();
        state.follows == [id_hash("a")]
    };
    let stated = |key| {
        let fact = Fact::Follow {
            user: "u".into(),
            author: "a".into(),
            since_ms: Some(5),
        };
        row(key, RowOp::Put(fact))
    };
    let call = |add| Command::Follows {
        add,
        pairs: vec![("u".to_owned(), "a".to_owned())],
    };
    write(&rig, vec![stated(1), stated(2)]);
    let mut since_ms = 0;
    read::all_follows(&*rig.read(), &mut |_, _, follow| since_ms = follow.since_ms).unwrap();
    assert_eq!(since_ms, 5);
    rig.write(call(false));
    assert!(follows(&rig), "the database still says so");
    write(&rig, vec![row(1, RowOp::Remove)]);
    rig.write(call(true));
    write(&rig, vec![row(2, RowOp::Remove)]);
    assert!(follows(&rig), "the call still says so");
    rig.check();
    rig.events(vec![event("1", EventType::Unfollow, "u", "i")]);
    assert!(!follows(&rig));
    rig.check();
    let seen = rig.seen.0.lock().unwrap();
    let changes: Vec<bool> = seen
        .iter()
        .flat_map(|changes| &changes.follows)
        .map(|follow| follow.follows)
        .collect();
    assert_eq!(changes, [true, false]);
}

#[test]
fn forgetting_takes_back_or_only_forgets() {
    let forget = |rig: &Rig, part| {
        rig.write(Command::Source(SourceCommand::Forget {
            source: "db".to_owned(),
            part,
        }))
    };
    let full = || {
        let rig = rig();
        let with = RowBatch {
            moves: vec![step(None, Some(1))],
            dead: vec![letter(9)],
            ..batch(vec![put(1, EventType::Like, "u"), row(9, RowOp::Remove)])
        };
        rig.write(Command::Rows(Box::new(with)));
        rig
    };
    let rig = full();
    forget(&rig, ForgetPart::Checkpoints("str".to_owned()));
    assert!(read::checkpoints(&*rig.read(), "db").unwrap().is_empty());
    assert_eq!(counters(&rig).likes, 1);
    forget(&rig, ForgetPart::Rows(TABLE));
    assert_eq!(counters(&rig).likes, 0);
    assert_eq!(read::dead_letter_count(&*rig.read()).unwrap(), 0);
    assert_eq!(read::tables(&*rig.read(), "db").unwrap().len(), 2);
    rig.check();

    let rig = full();
    forget(&rig, ForgetPart::Bookkeeping);
    assert_eq!(counters(&rig).likes, 1, "what was counted stays");
    assert!(read::sources(&*rig.read()).unwrap().is_empty());
    assert_eq!(
        read::row(&*rig.read(), TABLE, RowKey::Int(1)).unwrap(),
        None
    );
    rig.check();

    let rig = full();
    forget(&rig, ForgetPart::Source);
    assert_eq!(counters(&rig).likes, 0);
    assert!(read::sources(&*rig.read()).unwrap().is_empty());
    rig.check();
}

#[test]
fn the_memory_has_no_id_of_a_user() {
    let rig = rig();
    write(&rig, vec![put(1, EventType::Like, "u")]);
    let number = read::user_number(&*rig.read(), "u").unwrap().unwrap();
    let stored = read::row(&*rig.read(), TABLE, RowKey::Int(1)).unwrap();
    let Some(RememberedRow::Event(stored)) = stored else {
        panic!("{stored:?}");
    };
    assert_eq!((stored.user, stored.item), (number, Some(id_hash("i"))));
    assert_eq!(stored.effect.author, Some(id_hash("a")));
    assert!(stored.effect.is_hot);
}

#[test]
fn memory_that_lost_or_gained_a_row_is_found() {
    use crate::store::record::Record;
    use crate::store::{Store, Table, keys};
    let rig = rig();
    write(
        &rig,
        vec![put(1, EventType::Like, "u"), put(2, EventType::Like, "u")],
    );
    rig.check();
    let key = keys::row_block(1, 1);
    rig.store
        .write(&mut |tx| {
            let mut block = read::get::<crate::store::memory::RowBlock>(&*tx, Table::Rows, &key)?
                .expect("the block is there");
            block.set(keys::row_slot(1), &[]);
            tx.put(Table::Rows, &key, &block.encode())
        })
        .unwrap();
    let report = crate::verify::verify(&*rig.store).unwrap();
    assert!(
        report.mismatches[0].starts_with("rows: table 1 has 1 rows"),
        "{report:?}"
    );
}
