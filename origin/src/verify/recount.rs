//! What the log adds up to, counted again by its own plain code: nothing here is shared with
//! ingest but the definition of an outlier and of how long an id is remembered.

mod counters;
mod standing;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use edgewise_ranking::config::HotConfig;
use edgewise_ranking::id_hash;
use edgewise_wire::api::{EventType, Item};
use edgewise_wire::counters::Counters;

pub(super) use self::counters::Warmth;
use self::standing::Made;
pub(super) use self::standing::Stood;
use super::rows::Remembered;
use crate::ingest::Written;
use crate::ingest::dedupe::is_forgotten;
use crate::ingest::outlier::is_outlier;
use crate::store::item::ItemRecord;
use crate::store::keys::{DAY_MS, HOUR_MS};
use crate::store::log::{EventOrigin, LogEntry, LogEvent, LogRecord};
use crate::store::record::{DayStats, DedupeRecord, Follow, Hide, RecentEvents};

/// A user number and an item or author hash.
type Pair = (u64, u64);

/// The state that follows from the log.
#[derive(Debug, Default)]
pub(crate) struct Recount {
    pub(crate) config: Option<HotConfig>,
    pub(crate) seq: u64,
    pub(crate) at: Written,
    pub(crate) events: u64,
    /// What the log itself says that cannot be: double counts, gaps.
    pub(crate) faults: Vec<String>,
    pub(crate) items: BTreeMap<u64, ItemRecord>,
    pub(crate) counters: BTreeMap<u64, Counters>,
    pub(crate) hourly: BTreeMap<(u64, u32), Counters>,
    pub(crate) warmth: BTreeMap<u64, Warmth>,
    pub(crate) recent: BTreeMap<u64, RecentEvents>,
    pub(crate) follows: BTreeMap<Pair, Follow>,
    pub(crate) hides: BTreeMap<(u64, u8, u64), Hide>,
    pub(crate) seen: BTreeMap<(u64, u32, u64), i64>,
    pub(crate) affinity: BTreeMap<(u64, u32, u64), u64>,
    pub(crate) reactions: BTreeMap<Pair, Made>,
    pub(crate) activity: BTreeMap<(u32, u64), u64>,
    pub(crate) days: BTreeMap<u32, DayStats>,
    pub(crate) ids: BTreeMap<u128, DedupeRecord>,
    /// First 8 bytes of a file's hash to its last row.
    pub(crate) files: BTreeMap<u64, u64>,
    /// User numbers to whether their data was deleted.
    pub(crate) users: BTreeMap<u64, bool>,
    pub(crate) authors: BTreeMap<u64, ()>,
    /// Mapped tables to their rows that are remembered.
    pub(crate) tables: BTreeMap<u32, Remembered>,
}

impl Recount {
    pub(crate) fn new(config: HotConfig) -> Self {
        Self {
            config: Some(config),
            ..Self::default()
        }
    }

    /// Applies the log's next record.
    pub(crate) fn apply(&mut self, seq: u64, record: LogRecord) {
        if seq != self.seq + 1 {
            self.faults
                .push(format!("log: record {} is followed by {seq}", self.seq));
        }
        if record.at.wall_ms < self.at.wall_ms && self.seq > 0 {
            self.faults.push(format!(
                "log: receipt of record {seq} is before the one before it"
            ));
        }
        self.seq = seq;
        self.at = record.at;
        match record.entry {
            LogEntry::Event(event) => self.event(&event),
            LogEntry::UpsertItem(item) => self.upsert(*item),
            LogEntry::DeleteItem(hash) => {
                if let Some(item) = self.items.get_mut(&hash) {
                    item.deleted_at_ms = Some(record.at.wall_ms);
                }
            }
            LogEntry::AddFollow { user, author } => {
                self.users.entry(user).or_default();
                self.authors.insert(author, ());
                let follow = self.follows.entry((user, author)).or_default();
                if follow.rows <= 0 {
                    follow.since_ms = record.at.domain_ms;
                    follow.via = None;
                }
                follow.called = true;
            }
            LogEntry::RemoveFollow { user, author } => {
                self.uncall(user, author);
            }
            LogEntry::DeleteUser(user) => self.delete_user(user),
            LogEntry::Served(served) => self.once_by(served.id()),
            LogEntry::Rows { table, changes } => {
                changes.iter().for_each(|change| self.row(table, change));
            }
            LogEntry::FollowRow {
                table,
                row,
                is_over,
            } => self.follow_row(table, row, is_over),
            LogEntry::ForgetRows { table, rows, sum } => self.forget_rows(table, rows, sum),
        }
    }

    fn upsert(&mut self, item: Item) {
        self.authors.insert(id_hash(&item.author), ());
        let known = self.items.entry(id_hash(&item.id)).or_default();
        known.id.clone_from(&item.id);
        if known.item.is_none() || known.deleted_at_ms.is_some() {
            known.first_written = self.at;
        }
        known.deleted_at_ms = None;
        known.item = Some(item);
    }

    fn delete_user(&mut self, user: u64) {
        self.users.insert(user, true);
        self.recent.remove(&user);
        remove(&mut self.follows, (user, 0)..=(user, u64::MAX));
        remove(&mut self.hides, (user, 0, 0)..=(user, u8::MAX, u64::MAX));
        remove(&mut self.seen, (user, 0, 0)..=(user, u32::MAX, u64::MAX));
        remove(
            &mut self.affinity,
            (user, 0, 0)..=(user, u32::MAX, u64::MAX),
        );
        remove(&mut self.reactions, (user, 0)..=(user, u64::MAX));
    }

    pub(super) fn event(&mut self, event: &LogEvent) {
        self.events += 1;
        self.once(event);
        if self.users.insert(event.user, false) == Some(true) {
            self.faults
                .push(format!("log: record {} is of a deleted user", self.seq));
        }
        if let Some(author) = event.author {
            self.authors.insert(author, ());
        }
        if let Some(item) = event.item {
            self.items.entry(item).or_default();
        }
        let busy = self.busy(event);
        let recent = self.recent.entry(event.user).or_default();
        recent.last_event_ms = recent.last_event_ms.max(event.ts_ms);
        if matches!(event.kind, EventType::Impression | EventType::View)
            && let Some(item) = event.item
        {
            let last = self
                .seen
                .entry((event.user, day(event.ts_ms), item))
                .or_insert(event.ts_ms);
            *last = event.ts_ms.max(*last);
        }
        let by_row = matches!(event.origin, EventOrigin::Table(_));
        // A like or follow by a row may be one that an undo took already.
        let stands = by_row && matches!(event.kind, EventType::Like | EventType::Follow);
        let completed = !stands && self.count(event);
        match event.kind {
            EventType::Like
            | EventType::Unlike
            | EventType::Share
            | EventType::Follow
            | EventType::Unfollow
            | EventType::Hide
                if by_row =>
            {
                self.standing_row(event, busy);
            }
            EventType::Like => self.made(event, busy, |made| &mut made.likes),
            EventType::Follow => {
                self.follow(event);
                self.made(event, busy, |made| &mut made.follows);
            }
            EventType::Unlike => self.unmade(event.user, event.item, EventType::Like),
            EventType::Unfollow => self.unfollow(event),
            EventType::Hide => {
                let hidden = [
                    event.item.map(|hash| (0, hash)),
                    event.author.map(|hash| (1, hash)),
                ];
                for (kind, hash) in hidden.into_iter().flatten() {
                    let hide = self.hides.entry((event.user, kind, hash)).or_default();
                    hide.at_ms = event.ts_ms;
                    hide.called = true;
                }
            }
            _ => self.warm(event, completed, busy),
        }
        self.interaction(event, completed);
    }

    /// Looks whether the event counted before.
    fn once(&mut self, event: &LogEvent) {
        match event.origin {
            EventOrigin::Id { id, .. } => {
                self.once_by(id);
            }
            EventOrigin::Row { file, ordinal } => {
                let before = self.files.insert(file, ordinal);
                if before.is_some_and(|before| before > ordinal) {
                    let fault = format!("log: record {} imports row {ordinal} again", self.seq);
                    self.faults.push(fault);
                }
            }
            // The sums of what is remembered are compared.
            EventOrigin::Table(_) => {}
        }
    }

    fn once_by(&mut self, id: u128) {
        let record = DedupeRecord {
            seq: self.seq,
            at: self.at,
        };
        let before = self.ids.insert(id, record);
        if let Some(before) = before.filter(|before| !is_forgotten(before.at, self.at)) {
            let fault = format!("log: records {} and {} are one event", before.seq, self.seq);
            self.faults.push(fault);
        }
    }

    fn busy(&mut self, event: &LogEvent) -> bool {
        let day = day(event.ts_ms);
        let events = self.activity.entry((day, event.user)).or_default();
        let stats = self.days.entry(day).or_default();
        stats.squares -= *events * *events;
        *events += 1;
        stats.squares += *events * *events;
        stats.users += u64::from(*events == 1);
        stats.events += 1;
        is_outlier(stats, *events)
    }
}

fn remove<K: Ord + Copy, V>(rows: &mut BTreeMap<K, V>, range: RangeInclusive<K>) {
    let keys: Vec<K> = rows.range(range).map(|(key, _)| *key).collect();
    for key in keys {
        rows.remove(&key);
    }
}

pub(super) fn day(ts_ms: i64) -> u32 {
    (ts_ms / DAY_MS) as u32
}

pub(super) fn hour(ts_ms: i64) -> u32 {
    (ts_ms / HOUR_MS) as u32
}
