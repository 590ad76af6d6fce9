//! A recount beside the tables: every row of every table, both ways.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::ops::ControlFlow;

use edgewise_ranking::config::HotConfig;
use edgewise_ranking::{HotSum, id_hash};
use edgewise_wire::counters::Counters;

use super::recount::{Recount, Warmth};
use super::rows::Remembered;
use super::{MISMATCHES_MAX, Report};
use crate::ingest::dedupe::REMEMBERED_MS;
use crate::ingest::rows::TableId;
use crate::store::block::Packable;
use crate::store::item::ItemRecord;
use crate::store::memory::RememberedRow;
use crate::store::reaction::Reaction;
use crate::store::record::{
    DayStats, DedupeRecord, Follow, Hide, ItemTotals, RecentEvents, Record, UserRecord,
};
use crate::store::{Range, Snapshot, StoreError, Table, keys, read};

/// Two float sums of the same numbers in another order agree this well, relative to the
/// sum of the numbers' sizes.
const TOLERANCE: f64 = 1e-9;

pub(super) struct Comparison<'a> {
    snapshot: &'a dyn Snapshot,
    report: Report,
}

impl<'a> Comparison<'a> {
    pub(super) fn run(
        snapshot: &'a dyn Snapshot,
        mut recount: Recount,
    ) -> Result<Report, StoreError> {
        let mut comparison = Self {
            snapshot,
            report: Report::default(),
        };
        comparison.report.log_records = recount.seq;
        comparison.report.events = recount.events;
        comparison.report.position = read::position(snapshot)?;
        for fault in std::mem::take(&mut recount.faults) {
            comparison.mismatch(fault);
        }
        if comparison.report.position != recount.seq {
            let position = comparison.report.position;
            comparison.mismatch(format!(
                "position is {position}, the log ends at {}",
                recount.seq
            ));
        }
        comparison.sources(&recount)?;
        comparison.items(&mut recount)?;
        comparison.people(&mut recount)?;
        comparison.memory(&recount)?;
        comparison.histories(recount)?;
        let mut report = comparison.report;
        report.ok = report.mismatch_count == 0;
        Ok(report)
    }

    /// Event ids and files' positions: what makes counting exact.
    fn sources(&mut self, recount: &Recount) -> Result<(), StoreError> {
        let from = self.meta::<u64>(keys::DEDUPE_FROM)?.unwrap_or(1);
        let wall_ms = self.meta::<i64>(keys::WALL_MS)?.unwrap_or(i64::MIN);
        let mut expected: BTreeMap<[u8; 16], DedupeRecord> = BTreeMap::new();
        for (id, record) in &recount.ids {
            if record.seq >= from {
                expected.insert(id.to_be_bytes(), *record);
            } else if wall_ms.saturating_sub(record.at.wall_ms) <= REMEMBERED_MS {
                self.mismatch(format!(
                    "dedupe: record {} was forgotten too early",
                    record.seq
                ));
            }
        }
        self.rows::<_, DedupeRecord, _>(Table::Dedupe, expected, |one, other| one == other)?;

        let mut positions = BTreeMap::new();
        self.snapshot
            .scan(Table::Imports, &Range::all(), &mut |key, value| {
                let file = read::key_u64(Table::Imports, key, 0)?;
                positions.insert(file, u64::decode(Table::Imports, value)?);
                Ok(ControlFlow::Continue(()))
            })?;
        for (file, last) in &recount.files {
            let next = positions.get(file).copied().unwrap_or(0);
            if next <= *last {
                self.mismatch(format!(
                    "imports: next row of {file:016x} is {next}, row {last} counted"
                ));
            }
        }
        Ok(())
    }

    fn meta<R: Record>(&self, name: &[u8]) -> Result<Option<R>, StoreError> {
        read::get(self.snapshot, Table::Meta, name)
    }

    fn items(&mut self, recount: &mut Recount) -> Result<(), StoreError> {
        let config = super::stored_hot_config(self.snapshot)?;
        // Items known by events only have their id in the store, the log has its hash.
        for (hash, record) in &mut recount.items {
            if record.item.is_none() {
                let stored =
                    read::get::<ItemRecord>(self.snapshot, Table::Items, &keys::number(*hash))?;
                record.id = stored.map(|stored| stored.id).unwrap_or_default();
                if id_hash(&record.id) != *hash {
                    self.mismatch(format!("items: the id of {hash:016x} is {:?}", record.id));
                }
            }
        }
        let items = by_number(std::mem::take(&mut recount.items));
        self.rows::<_, ItemRecord, _>(Table::Items, items, |one, other| {
            // How many rows say it is no part of the log.
            let one = (&one.id, &one.item, one.first_written, one.deleted_at_ms);
            one == (
                &other.id,
                &other.item,
                other.first_written,
                other.deleted_at_ms,
            )
        })?;

        let warmth = &recount.warmth;
        let mut totals: BTreeMap<[u8; 8], (Counters, Warmth)> = BTreeMap::new();
        for (hash, counters) in &recount.counters {
            let warmth = warmth.get(hash).cloned().unwrap_or_default();
            totals.insert(keys::number(*hash), (*counters, warmth));
        }
        self.report.items = totals.len() as u64;
        self.rows::<_, ItemTotals, _>(Table::Totals, totals, |(counters, warmth), stored| {
            same_counters(counters, &stored.counters) && same_hot(warmth, stored, &config)
        })?;
        let hourly = std::mem::take(&mut recount.hourly)
            .into_iter()
            .map(|((item, hour), counters)| (keys::number_slot(item, hour), counters))
            .collect();
        self.rows::<_, Counters, _>(Table::Hourly, hourly, same_counters)
    }

    /// Who the numbers and hashes of the log are.
    fn people(&mut self, recount: &mut Recount) -> Result<(), StoreError> {
        let mut numbers = BTreeSet::new();
        let mut faults = Vec::new();
        self.snapshot
            .scan(Table::Users, &Range::all(), &mut |key, value| {
                let user = UserRecord::decode(Table::Users, value)?;
                if read::key_u64(Table::Users, key, 0)? != id_hash(&user.id) {
                    faults.push(format!(
                        "users: {:?} is stored under another id's hash",
                        user.id
                    ));
                }
                if read::user_id(self.snapshot, user.number)?.as_ref() != Some(&user.id) {
                    faults.push(format!(
                        "user_ids: number {} is not {:?}",
                        user.number, user.id
                    ));
                }
                if !numbers.insert(user.number) {
                    faults.push(format!("users: number {} is given twice", user.number));
                }
                Ok(ControlFlow::Continue(()))
            })?;
        self.snapshot
            .scan(Table::UserIds, &Range::all(), &mut |key, _| {
                let number = read::key_u64(Table::UserIds, key, 0)?;
                if !numbers.contains(&number) {
                    faults.push(format!("user_ids: number {number} is no user's"));
                }
                Ok(ControlFlow::Continue(()))
            })?;
        for (number, &is_deleted) in &recount.users {
            if numbers.contains(number) == is_deleted {
                let wrong = if is_deleted {
                    "was deleted and is there"
                } else {
                    "is missing"
                };
                faults.push(format!("users: number {number} {wrong}"));
            }
        }
        for author in std::mem::take(&mut recount.authors).into_keys() {
            let id = read::author_id(self.snapshot, author)?;
            if id.is_none_or(|id| id_hash(&id) != author) {
                faults.push(format!(
                    "authors: {author:016x} is missing or has another id"
                ));
            }
        }
        self.report.rows += numbers.len() as u64;
        faults.into_iter().for_each(|fault| self.mismatch(fault));
        Ok(())
    }

    /// The row memory has exactly the rows that the log says count.
    fn memory(&mut self, recount: &Recount) -> Result<(), StoreError> {
        let mut stored: BTreeMap<u32, Remembered> = BTreeMap::new();
        for table in self.mapped_tables()? {
            let remembered = stored.entry(table.0).or_default();
            read::rows(self.snapshot, table, None, &mut |_, row| {
                if matches!(row, RememberedRow::Event(_) | RememberedRow::Follow { .. }) {
                    remembered.add(&row);
                }
                ControlFlow::Continue(())
            })?;
            self.report.rows += remembered.rows.unsigned_abs();
        }
        for (&table, &expected) in &recount.tables {
            let found = stored.remove(&table).unwrap_or_default();
            if found != expected {
                self.mismatch(format!(
                    "rows: table {table} has {} rows, the log gives {} (or others)",
                    found.rows, expected.rows
                ));
            }
        }
        for (table, found) in stored.into_iter().filter(|(_, found)| found.rows > 0) {
            self.mismatch(format!(
                "rows: table {table} has {} rows, the log gives none",
                found.rows
            ));
        }
        Ok(())
    }

    /// Tables that have rows, known to a source or not.
    fn mapped_tables(&self) -> Result<Vec<TableId>, StoreError> {
        let mut tables = Vec::new();
        let mut from = Vec::new();
        loop {
            let mut next = None;
            let range = Range::from_key(&from);
            self.snapshot.scan(Table::Rows, &range, &mut |key, _| {
                next = Some(read::key_u32(Table::Rows, key, 0)?);
                Ok(ControlFlow::Break(()))
            })?;
            let Some(table) = next else {
                return Ok(tables);
            };
            tables.push(TableId(table));
            let Some(after) = table.checked_add(1) else {
                return Ok(tables);
            };
            from = after.to_be_bytes().to_vec();
        }
    }

    fn histories(&mut self, recount: Recount) -> Result<(), StoreError> {
        let recent = by_number(recount.recent);
        self.rows::<_, RecentEvents, _>(Table::Recent, recent, |one, other| one == other)?;
        let follows = by_pair(recount.follows);
        self.rows::<_, Follow, _>(Table::Follows, follows, |one, other| one == other)?;
        let hides = recount.hides.into_iter();
        let hides = hides.map(|((user, kind, hash), at)| (keys::hide(user, kind, hash), at));
        self.rows::<_, Hide, _>(Table::Hides, hides.collect(), |one, other| one == other)?;
        let seen = recount.seen.into_iter();
        let seen = seen.map(|((user, day, item), at)| (keys::by_day(user, day, item), at));
        self.entries::<_, i64>(Table::Seen, seen.collect())?;
        let affinity = recount.affinity.into_iter();
        let affinity =
            affinity.map(|((user, day, author), count)| (keys::by_day(user, day, author), count));
        self.entries::<_, u64>(Table::Affinity, affinity.collect())?;
        let reactions = recount
            .reactions
            .into_iter()
            .map(|(key, made)| (key, made.record()));
        let reactions = by_pair(reactions.collect());
        self.entries::<_, Reaction>(Table::Reactions, reactions)?;
        let activity = recount.activity.into_iter();
        let activity = activity.map(|((day, user), count)| (keys::slot_number(day, user), count));
        let mut rows = Rows::new(activity.collect());
        read::activity(self.snapshot, 0, u32::MAX, &mut |day, user, count| {
            let key = keys::slot_number(day, user);
            rows.compare(&key, &u64::from(count), |one: &u64, other| one == other);
        })?;
        self.differences(Table::Activity, rows)?;
        let days = recount
            .days
            .into_iter()
            .map(|(day, stats)| (day.to_be_bytes(), stats));
        self.rows::<_, DayStats, _>(Table::Days, days.collect(), |one, other| one == other)
    }

    /// Compares a table's rows with those that the log gives.
    fn rows<const KEY: usize, R: Record + Debug, E: Debug>(
        &mut self,
        table: Table,
        expected: BTreeMap<[u8; KEY], E>,
        same: impl Fn(&E, &R) -> bool,
    ) -> Result<(), StoreError> {
        let mut rows = Rows::new(expected);
        let all = Range::all();
        self.snapshot.scan(table, &all, &mut |key, value| {
            rows.compare(key, &R::decode(table, value)?, &same);
            Ok(ControlFlow::Continue(()))
        })?;
        self.differences(table, rows)
    }

    /// Compares a table's entries with those that the log gives.
    fn entries<const KEY: usize, V: Packable + Debug + PartialEq>(
        &mut self,
        table: Table,
        expected: BTreeMap<[u8; KEY], V>,
    ) -> Result<(), StoreError> {
        let mut rows = Rows::new(expected);
        let all = Range::all();
        read::entries::<V>(self.snapshot, table, &all, &mut |prefix, hash, value| {
            let key = [prefix, &hash.to_be_bytes()].concat();
            rows.compare(&key, &value, |one, other| one == other);
            Ok(())
        })?;
        self.differences(table, rows)
    }

    fn differences<const KEY: usize, E: Debug>(
        &mut self,
        table: Table,
        rows: Rows<KEY, E>,
    ) -> Result<(), StoreError> {
        self.report.rows += rows.found;
        for (key, found) in rows.wrong() {
            let name = self.name(table, &key)?;
            self.mismatch(format!("{}: {name} {found}", table.name()));
        }
        Ok(())
    }

    /// What a key stands for, where that can be said.
    fn name(&self, table: Table, key: &[u8]) -> Result<String, StoreError> {
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        if !matches!(table, Table::Items | Table::Totals | Table::Hourly) {
            return Ok(hex);
        }
        let item = key.get(..8).unwrap_or_default();
        let record = read::get::<ItemRecord>(self.snapshot, Table::Items, item)?;
        let id = record.map_or(hex, |record| format!("{:?}", record.id));
        let hour = keys::read_u32(key, 8).map(|hour| format!(" in hour {hour}"));
        Ok(format!("item {id}{}", hour.unwrap_or_default()))
    }

    fn mismatch(&mut self, what: String) {
        self.report.mismatch_count += 1;
        if self.report.mismatches.len() < MISMATCHES_MAX {
            self.report.mismatches.push(what);
        }
    }
}

/// Rows that the log gives and no row of the table was found for, and what was wrong so far.
struct Rows<const KEY: usize, E> {
    expected: BTreeMap<[u8; KEY], E>,
    wrong: Vec<(Vec<u8>, String)>,
    found: u64,
}

impl<const KEY: usize, E: Debug> Rows<KEY, E> {
    const fn new(expected: BTreeMap<[u8; KEY], E>) -> Self {
        Self {
            expected,
            wrong: Vec::new(),
            found: 0,
        }
    }

    fn compare<R: Debug>(&mut self, key: &[u8], stored: &R, same: impl Fn(&E, &R) -> bool) {
        self.found += 1;
        let known = <[u8; KEY]>::try_from(key).ok();
        let wrong = match known.and_then(|key| self.expected.remove(&key)) {
            Some(recounted) if same(&recounted, stored) => return,
            Some(recounted) => format!("is {stored:?}, the log gives {recounted:?}"),
            None => format!("is {stored:?}, the log gives nothing"),
        };
        self.wrong.push((key.to_vec(), wrong));
    }

    /// What is wrong, with the rows that are missing.
    fn wrong(self) -> impl Iterator<Item = (Vec<u8>, String)> {
        let missing = self.expected.into_iter().map(|(key, recounted)| {
            let wrong = format!("is missing, the log gives {recounted:?}");
            (key.to_vec(), wrong)
        });
        self.wrong.into_iter().chain(missing)
    }
}

fn by_number<R>(rows: BTreeMap<u64, R>) -> BTreeMap<[u8; 8], R> {
    rows.into_iter()
        .map(|(number, row)| (keys::number(number), row))
        .collect()
}

fn by_pair<R>(rows: BTreeMap<(u64, u64), R>) -> BTreeMap<[u8; 16], R> {
    rows.into_iter()
        .map(|((user, other), row)| (keys::pair(user, other), row))
        .collect()
}

fn same_counters(one: &Counters, other: &Counters) -> bool {
    let ratios = (one.watch_ratio_sum, other.watch_ratio_sum);
    let close = (ratios.0 - ratios.1).abs() <= TOLERANCE * ratios.0.abs();
    close
        && Counters {
            watch_ratio_sum: ratios.0,
            ..*other
        } == *one
}

fn same_hot(warmth: &Warmth, stored: &ItemTotals, config: &HotConfig) -> bool {
    let mut windows = stored.hot.iter().zip(config.half_life_minutes);
    warmth.last_event_ms == stored.last_event_ms
        && windows.all(|(hot, half_life)| match warmth.sum(half_life) {
            None => *hot == HotSum::default(),
            Some((sum, size)) => {
                hot.at_ms == sum.at_ms && (hot.sum - sum.sum).abs() <= TOLERANCE * size
            }
        })
}
