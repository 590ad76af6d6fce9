//! Any history of rows, however it is cut into batches and delivered again, leaves what the
//! rows that are left would have left alone.
//!
//! Equal are totals, hours, affinity, follows, hides, and what stands of likes, shares and
//! follows, whatever the order; hot sums within 1e-9 of the weights that were ever added. With
//! rows of undo (unlike, unfollow) totals, affinity, follows and hides are equal; the hour and
//! the hot weight that an undo takes depend on what came before it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use edgewise_ranking::id_hash;
use edgewise_wire::api::EventType;
use edgewise_wire::counters::Counters;
use proptest::prelude::*;

use super::{
    EventFact, Fact, ItemField, Kept, Move, RowBatch, RowChange, RowKey, RowOp, SourceCommand,
    TableId,
};
use crate::ingest::Command;
use crate::ingest::testing::{NOW_MS, Rig, item};
use crate::store::block::Packable;
use crate::store::reaction::Reaction;
use crate::store::record::{ItemTotals, Record};
use crate::store::{Range, Table, keys, read};

const EVENTS: TableId = TableId(1);
const ITEMS: TableId = TableId(2);
const FOLLOWS: TableId = TableId(3);

fn key() -> impl Strategy<Value = RowKey> {
    prop_oneof![
        // Neighbours, on both sides of a block's end.
        4 => (60..68_i64).prop_map(RowKey::Int),
        1 => (0..3_u128).prop_map(RowKey::Hash),
        1 => Just(RowKey::Int(i64::MIN)),
    ]
}

fn event_fact(undo: bool) -> impl Strategy<Value = Fact> {
    let kinds = EventType::ALL
        .into_iter()
        .filter(move |kind| undo || !matches!(kind, EventType::Unlike | EventType::Unfollow));
    let kind = prop::sample::select(kinds.collect::<Vec<_>>());
    let target = (
        prop::option::weighted(0.9, 0..3_u8),
        prop::option::weighted(0.3, 0..3_u8),
    );
    let watch_ms = prop::option::of(0..20_000_u32);
    (kind, 0..3_u8, target, 0..4 * keys::HOUR_MS, watch_ms).prop_map(
        |(kind, user, (item, author), ago_ms, watch_ms)| {
            Fact::Event(EventFact {
                kind,
                user: format!("u{user}").into(),
                item: item.map(|item| format!("i{item}").into()),
                author: author.map(|author| format!("a{author}").into()),
                ts_ms: NOW_MS - ago_ms,
                watch_ms,
                duration_ms: None,
                value: None,
            })
        },
    )
}

/// An item's author and duration never change: what an event did with them stays with it.
fn facts(number: u8, title: u8) -> Box<edgewise_wire::api::Item> {
    let mut facts = item(&format!("i{number}"), &format!("a{number}"));
    facts.title = format!("Title {title}");
    Box::new(facts)
}

fn change(undo: bool) -> impl Strategy<Value = RowChange> {
    let event = (key(), event_fact(undo)).prop_map(|(key, fact)| (EVENTS, key, RowOp::Put(fact)));
    let put_item = (0..3_u8, 0..3_u8).prop_map(|(number, title)| {
        let op = RowOp::Put(Fact::Item(facts(number, title)));
        (ITEMS, RowKey::Int(i64::from(number)), op)
    });
    let patch = (0..3_u8).prop_map(|number| {
        let op = RowOp::Patch(facts(number, 9), Kept(ItemField::Title as u16));
        (ITEMS, RowKey::Int(i64::from(number)), op)
    });
    let follow = (key(), 0..3_u8, 0..3_u8).prop_map(|(key, user, author)| {
        let fact = Fact::Follow {
            user: format!("u{user}").into(),
            author: format!("a{author}").into(),
            since_ms: Some(NOW_MS - i64::from(user)),
        };
        (FOLLOWS, key, RowOp::Put(fact))
    });
    let table = prop::sample::select(vec![EVENTS, ITEMS, FOLLOWS]);
    let remove = (table.clone(), key()).prop_map(|(table, key)| (table, key, RowOp::Remove));
    let clear = table.prop_map(|table| (table, RowKey::Int(0), RowOp::Clear));
    prop_oneof![
        12 => event,
        2 => put_item,
        1 => patch,
        3 => follow,
        5 => remove,
        1 => clear,
    ]
    .prop_map(|(table, key, op)| RowChange { table, key, op })
}

fn rig() -> Rig {
    let rig = Rig::new();
    let tables = ["events", "items", "follows"].map(str::to_owned).to_vec();
    rig.write(Command::Source(SourceCommand::Register {
        source: "db".to_owned(),
        tables,
    }));
    rig.write(Command::UpsertItems(
        (0..3).map(|number| *facts(number, 0)).collect(),
    ));
    rig
}

/// Writes changes from `position` on, cut into batches, as a connector that retries does.
fn deliver(
    rig: &mut Rig,
    changes: &[RowChange],
    cuts: &[usize],
    mut from: Option<Vec<u8>>,
) -> Option<Vec<u8>> {
    let mut rest = changes;
    let mut cuts = cuts.iter().cycle();
    let mut serial = 0_u8;
    while !rest.is_empty() {
        let cut = (*cuts.next().expect("there are cuts")).min(rest.len());
        let clear = rest.iter().position(|change| change.op == RowOp::Clear);
        let cut = match clear {
            Some(0) => 1,
            Some(at) => cut.min(at),
            None => cut,
        };
        let (now, later) = rest.split_at(cut);
        serial = serial.wrapping_add(1);
        let to = Some(vec![serial, cut as u8]);
        let batch = RowBatch {
            source: "db".to_owned(),
            moves: vec![Move {
                checkpoint: "stream".to_owned(),
                from: from.clone(),
                to: to.clone(),
            }],
            changes: now.to_vec().into(),
            dead: Vec::new(),
        };
        loop {
            match rig.writer.write(Command::Rows(Box::new(batch.clone()))) {
                Ok(outcome) => {
                    assert!(!outcome.conflict && !outcome.more, "{outcome:?}");
                    break;
                }
                // The commit may have happened: the position says so.
                Err(_) => {
                    rig.restart();
                    let stored = read::checkpoint(&*rig.read(), "db", "stream").unwrap();
                    if stored == to {
                        break;
                    }
                }
            }
        }
        from = to;
        rest = later;
    }
    from
}

/// The rows that are left.
fn left(changes: &[RowChange]) -> Vec<RowChange> {
    let mut rows: BTreeMap<(TableId, RowKey), Fact> = BTreeMap::new();
    for change in changes {
        let at = (change.table, change.key);
        match &change.op {
            RowOp::Put(fact) => drop(rows.insert(at, fact.clone())),
            RowOp::Patch(item, _) => {
                if let Some(Fact::Item(known)) = rows.get(&at) {
                    let mut item = item.clone();
                    item.title.clone_from(&known.title);
                    rows.insert(at, Fact::Item(item));
                }
            }
            RowOp::Remove => drop(rows.remove(&at)),
            RowOp::Clear => rows.retain(|(table, _), _| *table != change.table),
        }
    }
    rows.into_iter()
        .map(|((table, key), fact)| RowChange {
            table,
            key,
            op: RowOp::Put(fact),
        })
        .collect()
}

/// What stands of a user's likes, follows or shares of an item.
type Stands = (Vec<(u32, u32)>, Option<i64>, u64);

/// Everything that must be equal, by ids.
#[derive(Debug, Default, PartialEq)]
struct State {
    totals: BTreeMap<u64, [u32; 11]>,
    affinity: BTreeMap<(String, u32, u64), u64>,
    follows: BTreeSet<(String, u64)>,
    hides: BTreeSet<(String, Vec<u8>)>,
    hours: BTreeMap<(u64, u32), [u32; 11]>,
    stands: BTreeMap<(String, u64), [Stands; 2]>,
    shares: BTreeMap<(String, u64), Vec<i64>>,
}

fn plain(c: &Counters) -> [u32; 11] {
    [
        c.impressions,
        c.views,
        c.timed_views,
        c.completed_views,
        c.clicks,
        c.likes,
        c.comments,
        c.shares,
        c.follows,
        c.hides,
        c.purchases,
    ]
}

fn rows_of<R: Record>(rig: &Rig, table: Table) -> Vec<(Vec<u8>, R)> {
    let mut rows = Vec::new();
    rig.read()
        .scan(table, &Range::all(), &mut |key, value| {
            rows.push((key.to_vec(), R::decode(table, value)?));
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    rows
}

fn entries_of<V: Packable>(rig: &Rig, table: Table) -> Vec<(Vec<u8>, u64, V)> {
    let mut found = Vec::new();
    let all = Range::all();
    read::entries(&*rig.read(), table, &all, &mut |prefix, hash, value| {
        found.push((prefix.to_vec(), hash, value));
        Ok(())
    })
    .unwrap();
    found
}

fn state(rig: &Rig, undo: bool) -> State {
    let snapshot = rig.read();
    let user = |key: &[u8]| {
        let number = keys::read_u64(key, 0).unwrap();
        read::user_id(&*snapshot, number).unwrap().unwrap()
    };
    let hash = |key: &[u8], at: usize| keys::read_u64(key, at).unwrap();
    let mut state = State::default();
    for (key, totals) in rows_of::<ItemTotals>(rig, Table::Totals) {
        if totals.counters != Counters::default() {
            state.totals.insert(hash(&key, 0), plain(&totals.counters));
        }
    }
    for (key, author, count) in entries_of::<u64>(rig, Table::Affinity) {
        let day = keys::read_u32(&key, 8).unwrap();
        state.affinity.insert((user(&key), day, author), count);
    }
    read::all_follows(&*snapshot, &mut |number, author, _| {
        let user = read::user_id(&*snapshot, number).unwrap().unwrap();
        state.follows.insert((user, author));
    })
    .unwrap();
    for (key, _) in rows_of::<crate::store::record::Hide>(rig, Table::Hides) {
        state.hides.insert((user(&key), key[8..].to_vec()));
    }
    if undo {
        return state;
    }
    for (key, counters) in rows_of::<Counters>(rig, Table::Hourly) {
        let hour = keys::read_u32(&key, 8).unwrap();
        state.hours.insert((hash(&key, 0), hour), plain(&counters));
    }
    for (key, item, reaction) in entries_of::<Reaction>(rig, Table::Reactions) {
        let at = (user(&key), item);
        let stands = [reaction.likes, reaction.follows].map(|standing| {
            let mut by_hour: BTreeMap<u32, u32> = BTreeMap::new();
            for (hour, count) in standing.by_hour {
                *by_hour.entry(hour).or_default() += count;
            }
            (
                by_hour.into_iter().collect(),
                standing.hot_at_ms,
                standing.owed,
            )
        });
        if stands != [Stands::default(), Stands::default()] {
            state.stands.insert(at.clone(), stands);
        }
        if !reaction.shares_ms.is_empty() {
            state
                .shares
                .insert(at, reaction.shares_ms.into_iter().collect());
        }
    }
    state
}

/// Floats: watch ratios and hot sums.
#[track_caller]
fn near(one: &Rig, other: &Rig, undo: bool) {
    for number in 0..3 {
        let id = format!("i{number}");
        let [one, other] = [one, other].map(|rig| {
            let stored = read::item(&*rig.read(), &id).unwrap().unwrap();
            let mut sums = vec![stored.counters.watch_ratio_sum];
            for (hot, half_life) in stored.hot.iter().zip(rig.config.hot.half_life_minutes) {
                sums.push(if undo { 0.0 } else { hot.at(NOW_MS, half_life) });
            }
            sums
        });
        for (one, other) in one.iter().zip(&other) {
            assert!(
                (one - other).abs() <= 1e-9 * 200.0,
                "{id}: {one} is not {other}"
            );
        }
    }
}

fn run(changes: &[RowChange], cuts: &[usize], again: usize, fails: (u32, u32), undo: bool) {
    let mut rig_one = rig();
    rig_one.store.fail_before.store(fails.0, Ordering::Relaxed);
    rig_one.store.fail_after.store(fails.1, Ordering::Relaxed);
    let position = deliver(&mut rig_one, changes, cuts, None);
    rig_one.check();

    let mut fresh = rig();
    let rows = left(changes);
    deliver(&mut fresh, &rows, &[1_000], None);
    fresh.check();
    assert_eq!(state(&rig_one, undo), state(&fresh, undo));
    near(&rig_one, &fresh, undo);
    let item_rows = rows.iter().filter_map(|row| match &row.op {
        RowOp::Put(Fact::Item(item)) => Some(item),
        _ => None,
    });
    for row in item_rows {
        let stored = read::item(&*rig_one.read(), &row.id).unwrap().unwrap();
        assert_eq!(
            (stored.item.as_deref(), stored.deleted_at_ms),
            (Some(&**row), None)
        );
    }
    assert_eq!(remembered(&rig_one), rows.len());

    // From any earlier position on, everything once more.
    let again = again.min(changes.len());
    let before = state(&rig_one, undo);
    deliver(&mut rig_one, &changes[again..], &[7, 1], position);
    assert_eq!(state(&rig_one, undo), before);
    near(&rig_one, &fresh, undo);
    rig_one.check();
}

fn remembered(rig: &Rig) -> usize {
    let mut count = 0;
    for table in [EVENTS, ITEMS, FOLLOWS] {
        read::rows(&*rig.read(), table, None, &mut |key, row| {
            let same = read::row(&*rig.read(), table, key).unwrap();
            assert_eq!(same, Some(row));
            count += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    }
    count
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn what_is_left_counts(
        changes in prop::collection::vec(change(false), 1..60),
        cuts in prop::collection::vec(1..20_usize, 1..6),
        again in 0..60_usize,
        fails in (0..5_u32, 0..5_u32),
    ) {
        run(&changes, &cuts, again, fails, false);
    }

    #[test]
    fn what_is_left_counts_with_rows_of_undo(
        changes in prop::collection::vec(change(true), 1..60),
        cuts in prop::collection::vec(1..20_usize, 1..6),
        again in 0..60_usize,
    ) {
        run(&changes, &cuts, again, (0, 0), true);
    }
}

#[test]
fn names_hash_as_the_store_does() {
    let rig = rig();
    assert_eq!(
        read::item(&*rig.read(), "i1").unwrap().unwrap().hash,
        id_hash("i1")
    );
}
