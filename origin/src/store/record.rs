//! The records of the tables. Each starts with a version byte and decodes to a value or a named error.

use edgewise_ranking::HotSum;
use edgewise_ranking::config::HotConfig;
use edgewise_wire::counters::Counters;

use super::codec::{Decoder, Encoder};
use super::error::StoreError;
use super::table::Table;
use crate::ingest::Written;

/// A value of a table.
pub trait Record: Sized {
    /// Appends its bytes.
    fn write(&self, out: &mut Encoder);

    /// Its bytes.
    fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        self.write(&mut out);
        out.finish()
    }

    /// The value of `bytes`, found in `table`.
    ///
    /// # Errors
    /// Where they are not such a record.
    fn decode(table: Table, bytes: &[u8]) -> Result<Self, StoreError>;
}

/// A plain number: positions, counts, times.
impl Record for u64 {
    fn write(&self, out: &mut Encoder) {
        out.byte(1);
        out.uint(*self);
    }

    fn decode(table: Table, bytes: &[u8]) -> Result<Self, StoreError> {
        let mut input = Decoder::record(table, bytes, 1)?;
        let value = input.uint()?;
        input.finish()?;
        Ok(value)
    }
}

/// A time, Unix ms.
impl Record for i64 {
    fn write(&self, out: &mut Encoder) {
        out.byte(1);
        out.int(*self);
    }

    fn decode(table: Table, bytes: &[u8]) -> Result<Self, StoreError> {
        let mut input = Decoder::record(table, bytes, 1)?;
        let value = input.int()?;
        input.finish()?;
        Ok(value)
    }
}

/// An id.
impl Record for String {
    fn write(&self, out: &mut Encoder) {
        out.byte(1);
        out.text(self);
    }

    fn decode(table: Table, bytes: &[u8]) -> Result<Self, StoreError> {
        let mut input = Decoder::record(table, bytes, 1)?;
        let value = input.text()?.to_owned();
        input.finish()?;
        Ok(value)
    }
}

/// An event id that has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DedupeRecord {
    /// Log record of the event that counted.
    pub seq: u64,
    /// Its receipt.
    pub at: Written,
}

impl Record for DedupeRecord {
    fn write(&self, out: &mut Encoder) {
        out.byte(1);
        out.uint(self.seq)
            .int(self.at.wall_ms)
            .int(self.at.domain_ms);
    }

    fn decode(table: Table, bytes: &[u8]) -> Result<Self, StoreError> {
        let mut input = Decoder::record(table, bytes, 1)?;
        let seq = input.uint()?;
        let at = Written {
            wall_ms: input.int()?,
            domain_ms: input.int()?,
        };
        input.finish()?;
        Ok(Self { seq, at })
    }
}

/// What an item's events add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ItemTotals {
    /// All-time totals.
    pub counters: Counters,
    /// Hot sums by `HotWindow`.
    pub hot: [HotSum; 3],
    /// Domain time of the newest event that moved hot lists, Unix ms; 0 where there is none.
    pub last_event_ms: i64,
}

impl Record for ItemTotals {
    fn write(&self, out: &mut Encoder) {
        out.byte(1);
        put_counters(out, &self.counters);
        for hot in &self.hot {
            out.float(hot.sum).int(hot.at_ms);
        }
        out.int(self.last_event_ms);
    }

    fn decode(table: Table, bytes: &[u8]) -> Result<Self, StoreError> {
        let mut input = Decoder::record(table, bytes, 1)?;
        let counters = take_counters(&mut input)?;
        let mut hot = [HotSum::default(); 3];
        for window in &mut hot {
            *window = HotSum {
                sum: input.float()?,
                at_ms: input.int()?,
            };
        }
        let last_event_ms = input.int()?;
        input.finish()?;
        Ok(Self {
            counters,
            hot,
            last_event_ms,
        })
    }
}

impl Record for Counters {
    fn write(&self, out: &mut Encoder) {
        out.byte(1);
        put_counters(out, self);
    }

    fn decode(table: Table, bytes: &[u8]) -> Result<Self, StoreError> {
        let mut input = Decoder::record(table, bytes, 1)?;
        let counters = take_counters(&mut input)?;
        input.finish()?;
        Ok(counters)
    }
}

/// Counts in record order; `watch_ratio_sum` follows them.
fn counts(counters: &Counters) -> [u32; 11] {
    [
        counters.impressions,
        counters.views,
        counters.timed_views,
        counters.completed_views,
        counters.clicks,
        counters.likes,
        counters.comments,
        counters.shares,
        counters.follows,
        counters.hides,
        counters.purchases,
    ]
}

/// A set of those that are not zero, then those; most counters of an hour are zero.
fn put_counters(out: &mut Encoder, counters: &Counters) {
    const RATIO: u64 = 1 << 11;
    let mut set = 0;
    for (bit, count) in counts(counters).into_iter().enumerate() {
        set |= u64::from(count != 0) << bit;
    }
    let has_ratio = counters.watch_ratio_sum.to_bits() != 0;
    out.uint(if has_ratio { set | RATIO } else { set });
    for count in counts(counters).into_iter().filter(|&count| count != 0) {
        out.uint(u64::from(count));
    }
    if has_ratio {
        out.float(counters.watch_ratio_sum);
    }
}

fn take_counters(input: &mut Decoder<'_>) -> Result<Counters, StoreError> {
    let set = input.uint()?;
    let mut take = |bit: u32| {
        if set >> bit & 1 == 1 {
            input.uint32()
        } else {
            Ok(0)
        }
    };
    let mut counters = Counters {
        impressions: take(0)?,
        views: take(1)?,
        timed_views: take(2)?,
        completed_views: take(3)?,
        clicks: take(4)?,
        likes: take(5)?,
        comments: take(6)?,
        shares: take(7)?,
        follows: take(8)?,
        hides: take(9)?,
        purchases: take(10)?,
        watch_ratio_sum: 0.0,
    };
    if set >> 11 & 1 == 1 {
        counters.watch_ratio_sum = input.float()?;
    }
    Ok(counters)
}

/// Who a user id is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserRecord {
    /// The number that the log and the user's tables name.
    pub number: u64,
    /// User id.
    pub id: String,
    /// Mapped rows that say the user exists; the user's data goes with the last.
    pub rows: u32,
}

impl Record for UserRecord {
    fn write(&self, out: &mut Encoder) {
        out.byte(if self.rows > 0 { 2 } else { 1 });
        out.uint(self.number).text(&self.id);
        if self.rows > 0 {
            out.uint(u64::from(self.rows));
        }
    }

    fn decode(table: Table, bytes: &[u8]) -> Result<Self, StoreError> {
        let (mut input, version) = Decoder::versions(table, bytes, 2)?;
        let record = Self {
            number: input.uint()?,
            id: input.text()?.to_owned(),
            rows: if version == 2 { input.uint32()? } else { 0 },
        };
        input.finish()?;
        Ok(record)
    }
}

/// A user's last applied interactions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecentEvents {
    /// Domain time of the user's newest event, Unix ms.
    pub last_event_ms: i64,
    /// Short hashes of event ids, oldest first, at most [`RecentEvents::MAX`].
    pub applied: Vec<u32>,
}

impl RecentEvents {
    /// Interactions kept.
    pub const MAX: usize = 64;

    /// Adds the newest, drops the oldest.
    pub fn push(&mut self, short_hash: u32) {
        if self.applied.len() >= Self::MAX {
            self.applied.drain(..=self.applied.len() - Self::MAX);
        }
        self.applied.push(short_hash);
    }
}

impl Record for RecentEvents {
    fn write(&self, out: &mut Encoder) {
        out.byte(1);
        out.int(self.last_event_ms).uint(self.applied.len() as u64);
        for hash in &self.applied {
            out.raw(&hash.to_le_bytes());
        }
    }

    fn decode(table: Table, bytes: &[u8]) -> Result<Self, StoreError> {
        let mut input = Decoder::record(table, bytes, 1)?;
        let last_event_ms = input.int()?;
        if input.uint()? > Self::MAX as u64 {
            return Err(input.corrupt("too many applied events"));
        }
        let mut applied = Vec::with_capacity(Self::MAX);
        while !input.is_empty() {
            applied.push(u32::from_le_bytes(input.array()?));
        }
        Ok(Self {
            last_event_ms,
            applied,
        })
    }
}

/// A user follows an author.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Follow {
    /// Domain time it began, Unix ms.
    pub since_ms: i64,
    /// The item it was made on: an unfollow that names none takes its count back there.
    pub via: Option<u64>,
    /// An event or the operator's call says so: one statement, however often it is made.
    pub called: bool,
    /// Rows that say so, less rows that say it ended.
    pub rows: i64,
}

impl Follow {
    /// Whether the user follows: a statement stands. A record without one only holds a row of
    /// an end that came before the row of its beginning.
    #[must_use]
    pub const fn stands(&self) -> bool {
        self.called || self.rows > 0
    }

    /// Whether the record says nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        !self.called && self.rows == 0
    }
}

impl Record for Follow {
    fn write(&self, out: &mut Encoder) {
        let is_plain = self.called && self.rows == 0;
        out.byte(if is_plain { 1 } else { 2 });
        out.int(self.since_ms).byte(u8::from(self.via.is_some()));
        if let Some(via) = self.via {
            out.fixed(via);
        }
        if !is_plain {
            out.byte(u8::from(self.called)).int(self.rows);
        }
    }

    fn decode(table: Table, bytes: &[u8]) -> Result<Self, StoreError> {
        let (mut input, version) = Decoder::versions(table, bytes, 2)?;
        let since_ms = input.int()?;
        let via = if input.flag()? {
            Some(input.fixed()?)
        } else {
            None
        };
        let (called, rows) = if version == 2 {
            (input.flag()?, input.int()?)
        } else {
            (true, 0)
        };
        input.finish()?;
        Ok(Self {
            since_ms,
            via,
            called,
            rows,
        })
    }
}

/// A user hid an item or author.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hide {
    /// Domain time, Unix ms.
    pub at_ms: i64,
    /// An event says so.
    pub called: bool,
    /// Rows that say so.
    pub rows: u64,
}

impl Record for Hide {
    fn write(&self, out: &mut Encoder) {
        let is_plain = self.called && self.rows == 0;
        out.byte(if is_plain { 1 } else { 2 });
        out.int(self.at_ms);
        if !is_plain {
            out.byte(u8::from(self.called)).uint(self.rows);
        }
    }

    fn decode(table: Table, bytes: &[u8]) -> Result<Self, StoreError> {
        let (mut input, version) = Decoder::versions(table, bytes, 2)?;
        let at_ms = input.int()?;
        let (called, rows) = if version == 2 {
            (input.flag()?, input.uint()?)
        } else {
            (true, 0)
        };
        input.finish()?;
        Ok(Self {
            at_ms,
            called,
            rows,
        })
    }
}

/// How many events how many users had on a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayStats {
    /// Users with an event.
    pub users: u64,
    /// Events.
    pub events: u64,
    /// Sum over users of their events squared.
    pub squares: u64,
}

impl Record for DayStats {
    fn write(&self, out: &mut Encoder) {
        out.byte(1);
        out.uint(self.users).uint(self.events).uint(self.squares);
    }

    fn decode(table: Table, bytes: &[u8]) -> Result<Self, StoreError> {
        let mut input = Decoder::record(table, bytes, 1)?;
        let record = Self {
            users: input.uint()?,
            events: input.uint()?,
            squares: input.uint()?,
        };
        input.finish()?;
        Ok(record)
    }
}

/// The hot score's parameters that stored sums were made with.
impl Record for HotConfig {
    fn write(&self, out: &mut Encoder) {
        out.byte(1);
        for half_life in self.half_life_minutes {
            out.float(half_life);
        }
        out.float(self.view)
            .float(self.completed_view)
            .float(self.click)
            .float(self.like);
        out.float(self.comment).float(self.share).float(self.follow);
    }

    fn decode(table: Table, bytes: &[u8]) -> Result<Self, StoreError> {
        let mut input = Decoder::record(table, bytes, 1)?;
        let config = Self {
            half_life_minutes: [input.float()?, input.float()?, input.float()?],
            view: input.float()?,
            completed_view: input.float()?,
            click: input.float()?,
            like: input.float()?,
            comment: input.float()?,
            share: input.float()?,
            follow: input.float()?,
        };
        input.finish()?;
        Ok(config)
    }
}
