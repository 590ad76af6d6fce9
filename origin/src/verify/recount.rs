//! What the log adds up to, counted again by its own plain code: nothing here is shared with
//! ingest but the definition of an outlier and of how long an id is remembered.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use edgewise_ranking::config::HotConfig;
use edgewise_ranking::{HotSum, id_hash};
use edgewise_wire::api::{EventType, Item};
use edgewise_wire::counters::Counters;

use super::rows::Remembered;
use crate::ingest::Written;
use crate::ingest::dedupe::is_forgotten;
use crate::ingest::outlier::is_outlier;
use crate::store::item::ItemRecord;
use crate::store::keys::{DAY_MS, HOUR_MS};
use crate::store::log::{EventOrigin, LogEntry, LogEvent, LogRecord};
use crate::store::reaction::{Reaction, Standing};
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

/// What an item's hot score is made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Warmth {
    /// (domain time, weight) of everything that was added; below zero where it was taken back.
    pub(crate) added: Vec<(i64, f64)>,
    pub(crate) last_event_ms: i64,
}

/// What a user did with an item.
#[derive(Clone, Debug, Default)]
pub(crate) struct Made {
    last_ms: i64,
    kinds: u16,
    pub(super) shared: bool,
    pub(super) likes: Stood,
    pub(super) follows: Stood,
    /// Shares by rows that may hold the hot score, ascending.
    pub(super) shares_ms: Vec<i64>,
}

/// Likes or follows that were not taken back.
#[derive(Clone, Debug, Default)]
pub(super) struct Stood {
    /// When each was made.
    pub(super) made_ms: Vec<i64>,
    /// When the one was made that the hot score holds.
    pub(super) hot_at_ms: Option<i64>,
    /// It is by a row.
    pub(super) hot_by_row: bool,
    /// Those by rows that may hold it, ascending.
    pub(super) rows_ms: Vec<i64>,
    /// Undos by rows that found nothing.
    pub(super) owed: u64,
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

    /// Counts everything but likes and follows; returns whether it is a completed view.
    fn count(&mut self, event: &LogEvent) -> bool {
        let Some(item) = event.item else {
            return self.is_completed(event).unwrap_or(false);
        };
        if matches!(event.kind, EventType::Unlike | EventType::Unfollow) {
            return false;
        }
        let completed = self.is_completed(event);
        let facts = self.items.get(&item).and_then(|known| known.item.as_ref());
        let duration = event
            .duration_ms
            .or(facts.and_then(|facts| facts.duration_ms));
        let hour = (event.ts_ms / HOUR_MS) as u32;
        let places = [
            self.counters.entry(item).or_default(),
            self.hourly.entry((item, hour)).or_default(),
        ];
        for counters in places {
            match event.kind {
                EventType::Impression => counters.impressions += 1,
                EventType::View => {
                    counters.views += 1;
                    counters.completed_views += u32::from(completed == Some(true));
                    if let (Some(_), Some(watch), Some(duration)) =
                        (completed, event.watch_ms, duration)
                    {
                        counters.timed_views += 1;
                        counters.watch_ratio_sum += f64::min(1.0, watch as f64 / duration as f64);
                    }
                }
                EventType::Click => counters.clicks += 1,
                EventType::Comment => counters.comments += 1,
                EventType::Share => counters.shares += 1,
                EventType::Hide => counters.hides += 1,
                EventType::Purchase => counters.purchases += 1,
                EventType::Like | EventType::Unlike | EventType::Follow | EventType::Unfollow => {}
            }
        }
        completed.unwrap_or(false)
    }

    /// `None` where the event is no view with a duration.
    fn is_completed(&self, event: &LogEvent) -> Option<bool> {
        let facts = event
            .item
            .and_then(|item| self.items.get(&item)?.item.as_ref());
        let duration = event
            .duration_ms
            .or(facts.and_then(|facts| facts.duration_ms));
        let duration =
            duration.filter(|&duration| duration > 0 && event.kind == EventType::View)?;
        Some(u128::from(event.watch_ms?) * 10 >= u128::from(duration) * 9)
    }

    fn warm(&mut self, event: &LogEvent, completed: bool, busy: bool) {
        let (Some(item), Some(config)) = (event.item, self.config) else {
            return;
        };
        let weight = match event.kind {
            EventType::View if completed => config.completed_view,
            EventType::View => config.view,
            EventType::Click => config.click,
            EventType::Comment => config.comment,
            EventType::Share => {
                let made = self.reactions.entry((event.user, item)).or_default();
                let first = !made.shared && made.shares_ms.is_empty();
                if !busy && first {
                    made.shared = true;
                }
                if first { config.share } else { 0.0 }
            }
            _ => return,
        };
        if !busy {
            let warmth = self.warmth.entry(item).or_default();
            warmth.added.push((event.ts_ms, weight));
            warmth.last_event_ms = warmth.last_event_ms.max(event.ts_ms);
        }
    }

    fn made(&mut self, event: &LogEvent, busy: bool, list: fn(&mut Made) -> &mut Stood) {
        let (Some(item), Some(config)) = (event.item, self.config) else {
            return;
        };
        let stood = list(self.reactions.entry((event.user, item)).or_default());
        let is_hot = stood.hot_at_ms.is_none() && !busy;
        stood.made_ms.push(event.ts_ms);
        if is_hot {
            stood.hot_at_ms = Some(event.ts_ms);
        }
        self.stands(item, event.ts_ms, event.kind, 1);
        if !busy {
            let full = if event.kind == EventType::Like {
                config.like
            } else {
                config.follow
            };
            let warmth = self.warmth.entry(item).or_default();
            warmth
                .added
                .push((event.ts_ms, if is_hot { full } else { 0.0 }));
            warmth.last_event_ms = warmth.last_event_ms.max(event.ts_ms);
        }
    }

    /// Takes the newest like or follow back.
    fn unmade(&mut self, user: u64, item: Option<u64>, kind: EventType) {
        let (Some(item), Some(config)) = (item, self.config) else {
            return;
        };
        let Some(made) = self.reactions.get_mut(&(user, item)) else {
            return;
        };
        let (stood, full) = match kind {
            EventType::Like => (&mut made.likes, config.like),
            _ => (&mut made.follows, config.follow),
        };
        // The newest is taken back; the hot score lets go with the last.
        let Some(taken_ms) = stood.made_ms.pop() else {
            return;
        };
        let (before, after) = stood.settle();
        if before != after {
            let added = &mut self.warmth.entry(item).or_default().added;
            added.extend(before.map(|hot_ms| (hot_ms, -full)));
            added.extend(after.map(|hot_ms| (hot_ms, full)));
        }
        self.stands(item, taken_ms, kind, -1);
    }

    pub(super) fn stands(&mut self, item: u64, ts_ms: i64, kind: EventType, by: i32) {
        let hour = (ts_ms / HOUR_MS) as u32;
        let places = [
            self.counters.entry(item).or_default(),
            self.hourly.entry((item, hour)).or_default(),
        ];
        for counters in places {
            let count = if kind == EventType::Like {
                &mut counters.likes
            } else {
                &mut counters.follows
            };
            *count = count.saturating_add_signed(by);
        }
    }

    pub(super) fn author_of(&self, item: Option<u64>) -> Option<u64> {
        let facts = self.items.get(&item?)?.item.as_ref()?;
        Some(id_hash(&facts.author))
    }

    fn follow(&mut self, event: &LogEvent) {
        let Some(author) = event.author.or(self.author_of(event.item)) else {
            return;
        };
        let follow = self.follows.entry((event.user, author)).or_default();
        if !follow.called && follow.rows <= 0 {
            follow.since_ms = event.ts_ms;
            follow.via = None;
        }
        follow.called = true;
        if event.item.is_some() {
            follow.via = event.item;
        }
    }

    fn unfollow(&mut self, event: &LogEvent) {
        let author = event.author.or(self.author_of(event.item));
        let ended = author.and_then(|author| self.uncall(event.user, author));
        let via = ended.and_then(|follow| follow.via);
        self.unmade(event.user, event.item.or(via), EventType::Follow);
    }

    /// What is not by rows ends.
    fn uncall(&mut self, user: u64, author: u64) -> Option<Follow> {
        let follow = self.follows.get_mut(&(user, author))?;
        let before = *follow;
        follow.called = false;
        if follow.rows == 0 {
            self.follows.remove(&(user, author));
        }
        before.called.then_some(before)
    }

    fn interaction(&mut self, event: &LogEvent, completed: bool) {
        let named = match event.kind {
            EventType::View if completed => self.author_of(event.item).or(event.author),
            EventType::Click
            | EventType::Like
            | EventType::Comment
            | EventType::Share
            | EventType::Purchase => self.author_of(event.item).or(event.author),
            EventType::Follow => event.author.or(self.author_of(event.item)),
            _ => return,
        };
        if let Some(author) = named {
            *self
                .affinity
                .entry((event.user, day(event.ts_ms), author))
                .or_default() += 1;
        }
        if let Some(item) = event.item {
            let made = self.reactions.entry((event.user, item)).or_default();
            made.kinds |= 1 << event.kind as u8;
            made.last_ms = made.last_ms.max(event.ts_ms);
        }
        if let EventOrigin::Id { short, .. } = event.origin {
            let applied = &mut self.recent.entry(event.user).or_default().applied;
            applied.push(short);
            if applied.len() > RecentEvents::MAX {
                applied.remove(0);
            }
        }
    }
}

impl Warmth {
    /// The hot sum by its definition, the sum of w * 2^(-(t - t_i)/h) at the newest t, and the
    /// same of the weights' sizes; `None` where nothing was added.
    pub(crate) fn sum(&self, half_life_minutes: f64) -> Option<(HotSum, f64)> {
        let at_ms = self.added.iter().map(|&(ts_ms, _)| ts_ms).max()?;
        let (mut sum, mut size) = (0.0, 0.0);
        for &(ts_ms, weight) in &self.added {
            let half_lives = (at_ms - ts_ms) as f64 / (half_life_minutes * 60_000.0);
            sum += weight * (-half_lives).exp2();
            size += weight.abs() * (-half_lives).exp2();
        }
        Some((
            HotSum {
                sum: f64::max(sum, 0.0),
                at_ms,
            },
            size,
        ))
    }
}

impl Made {
    /// The record that the store should have.
    pub(crate) fn record(&self) -> Reaction {
        Reaction {
            last_ms: self.last_ms,
            kinds: self.kinds,
            shared: self.shared,
            likes: standing(&self.likes),
            follows: standing(&self.follows),
            shares_ms: self.shares_ms.as_slice().into(),
        }
    }
}

fn standing(stood: &Stood) -> Standing {
    let mut by_hour: Vec<(u32, u32)> = Vec::new();
    for ts_ms in &stood.made_ms {
        let hour = (ts_ms / HOUR_MS) as u32;
        match by_hour.last_mut() {
            Some(last) if last.0 == hour => last.1 += 1,
            _ => by_hour.push((hour, 1)),
        }
    }
    Standing {
        by_hour: by_hour.into(),
        hot_at_ms: stood.hot_at_ms,
        rows_ms: stood.rows_ms.as_slice().into(),
        hot_by_row: stood.hot_by_row,
        owed: stood.owed,
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
