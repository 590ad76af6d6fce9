//! The log: every accepted change in the order it applied; all other tables follow from it.

use edgewise_wire::api::{EventType, Item};
use xxhash_rust::xxh3::xxh3_128;

use super::codec::{Decoder, Encoder};
use super::error::StoreError;
use super::item::{put_facts, take_facts};
use super::memory::RowEvent;
use super::record::Record;
use super::table::Table;
use crate::ingest::{EventSource, Written};

/// A record of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRecord {
    /// Receipt; wall time never goes back from record to record.
    pub at: Written,
    /// What was accepted.
    pub entry: LogEntry,
}

/// What a log record says.
#[derive(Clone, Debug, PartialEq)]
pub enum LogEntry {
    /// A behaviour event.
    Event(LogEvent),
    /// An item's facts.
    UpsertItem(Box<Item>),
    /// A deletion of an item (hash).
    DeleteItem(u64),
    /// A follow that was written by the operator.
    AddFollow {
        /// User number.
        user: u64,
        /// Author hash.
        author: u64,
    },
    /// A follow that was removed by the operator.
    RemoveFollow {
        /// User number.
        user: u64,
        /// Author hash.
        author: u64,
    },
    /// A user's personal data was removed (number).
    DeleteUser(u64),
    /// An item was served.
    Served(ServedRecord),
    /// Events that rows of a mapped table stand for, counted or taken back, in order.
    Rows {
        /// The mapped table.
        table: u32,
        /// What happened.
        changes: Vec<RowLog>,
    },
    /// A row says that a user follows.
    FollowRow {
        /// The mapped table.
        table: u32,
        /// The row.
        row: FollowRow,
        /// It says so no longer.
        is_over: bool,
    },
    /// What was remembered of a mapped table's rows was dropped; what they counted stays.
    ForgetRows {
        /// The mapped table.
        table: u32,
        /// How many of [`LogEntry::Rows`] and [`LogEntry::FollowRow`] ...
        rows: u64,
        /// ... and the sum of their fingerprints.
        sum: u64,
    },
}

/// A row's event counts, or is taken back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowLog {
    /// It is taken back.
    pub is_over: bool,
    /// The event.
    pub event: RowEvent,
}

/// A row that states a follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowRow {
    /// User number.
    pub user: u64,
    /// Author hash.
    pub author: u64,
    /// Since when, as the row gave it.
    pub since_ms: Option<i64>,
}

/// An event as the log keeps it: numbers and hashes instead of ids.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEvent {
    /// Where it came from.
    pub origin: EventOrigin,
    /// What happened.
    pub kind: EventType,
    /// User number.
    pub user: u64,
    /// Item hash.
    pub item: Option<u64>,
    /// Author hash, as the event named it.
    pub author: Option<u64>,
    /// Domain time, Unix ms.
    pub ts_ms: i64,
    /// Time watched, ms.
    pub watch_ms: Option<u32>,
    /// Duration, ms, as the event gave it.
    pub duration_ms: Option<u32>,
    /// Value of a purchase or a rating.
    pub value: Option<f64>,
    /// The page the item was shown on.
    pub request_id: Option<String>,
    /// Its position there.
    pub position: Option<u32>,
}

/// What makes an event count once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventOrigin {
    /// An id that counts once for 48 h.
    Id {
        /// Where it came from.
        source: EventSource,
        /// XXH3-128 of the event id.
        id: u128,
        /// `edgewise_ranking::short_hash` of the event id.
        short: u32,
    },
    /// A row of a file: its stored position only grows.
    Row {
        /// First 8 bytes of the file's hash.
        file: u64,
        /// The row.
        ordinal: u64,
    },
    /// A row of a mapped table: the row memory makes it count once.
    Table(u32),
}

/// An item that was served.
#[derive(Clone, Debug, PartialEq)]
pub struct ServedRecord {
    /// The page.
    pub request_id: String,
    /// User number; `None` for a segment's page.
    pub user: Option<u64>,
    /// Item hash.
    pub item: u64,
    /// Its 1-based position.
    pub position: u32,
    /// Probability of the draw.
    pub propensity: f64,
}

impl ServedRecord {
    /// What makes it count once: XXH3-128 of the page and the position. No event id holds the
    /// line feeds between them.
    #[must_use]
    pub fn id(&self) -> u128 {
        xxh3_128(format!("served\n{}\n{}", self.request_id, self.position).as_bytes())
    }
}

const EVENT: u8 = 0;
const UPSERT_ITEM: u8 = 1;
const DELETE_ITEM: u8 = 2;
const ADD_FOLLOW: u8 = 3;
const REMOVE_FOLLOW: u8 = 4;
const DELETE_USER: u8 = 5;
const SERVED: u8 = 6;
const ROWS: u8 = 7;
const FOLLOW_ROW: u8 = 8;
const FORGET_ROWS: u8 = 9;

/// Source byte of an event by a row.
const TABLE_SOURCE: u8 = 3;

impl LogRecord {
    /// The receipt of the record in `bytes`, without the rest.
    ///
    /// # Errors
    /// Where it does not decode.
    pub(crate) fn received(bytes: &[u8]) -> Result<Written, StoreError> {
        let mut input = Decoder::record(Table::Log, bytes, 1)?;
        Ok(Written {
            wall_ms: input.int()?,
            domain_ms: input.int()?,
        })
    }
}

impl Record for LogRecord {
    fn write(&self, out: &mut Encoder) {
        out.byte(1);
        out.int(self.at.wall_ms).int(self.at.domain_ms);
        match &self.entry {
            LogEntry::Event(event) => put_event(out.byte(EVENT), event),
            LogEntry::UpsertItem(item) => put_facts(out.byte(UPSERT_ITEM).text(&item.id), item),
            LogEntry::DeleteItem(item) => {
                out.byte(DELETE_ITEM).fixed(*item);
            }
            LogEntry::AddFollow { user, author } => {
                out.byte(ADD_FOLLOW).uint(*user).fixed(*author);
            }
            LogEntry::RemoveFollow { user, author } => {
                out.byte(REMOVE_FOLLOW).uint(*user).fixed(*author);
            }
            LogEntry::DeleteUser(user) => {
                out.byte(DELETE_USER).uint(*user);
            }
            LogEntry::Served(served) => put_served(out.byte(SERVED), served),
            LogEntry::Rows { table, changes } => {
                out.byte(ROWS).uint(u64::from(*table));
                for change in changes {
                    change.event.put(out.byte(u8::from(change.is_over)));
                }
            }
            LogEntry::FollowRow {
                table,
                row,
                is_over,
            } => {
                out.byte(FOLLOW_ROW).uint(u64::from(*table));
                out.byte(u8::from(*is_over))
                    .uint(row.user)
                    .fixed(row.author)
                    .byte(u8::from(row.since_ms.is_some()));
                if let Some(since_ms) = row.since_ms {
                    out.int(since_ms);
                }
            }
            LogEntry::ForgetRows { table, rows, sum } => {
                out.byte(FORGET_ROWS).uint(u64::from(*table));
                out.uint(*rows).fixed(*sum);
            }
        }
    }

    fn decode(table: Table, bytes: &[u8]) -> Result<Self, StoreError> {
        let mut input = Decoder::record(table, bytes, 1)?;
        let at = Written {
            wall_ms: input.int()?,
            domain_ms: input.int()?,
        };
        let entry = match input.byte()? {
            EVENT => LogEntry::Event(take_event(&mut input)?),
            UPSERT_ITEM => {
                let id = input.text()?.to_owned();
                LogEntry::UpsertItem(Box::new(take_facts(&mut input, &id)?))
            }
            DELETE_ITEM => LogEntry::DeleteItem(input.fixed()?),
            ADD_FOLLOW => LogEntry::AddFollow {
                user: input.uint()?,
                author: input.fixed()?,
            },
            REMOVE_FOLLOW => LogEntry::RemoveFollow {
                user: input.uint()?,
                author: input.fixed()?,
            },
            DELETE_USER => LogEntry::DeleteUser(input.uint()?),
            SERVED => LogEntry::Served(take_served(&mut input)?),
            ROWS => take_rows(&mut input)?,
            FOLLOW_ROW => LogEntry::FollowRow {
                table: input.uint32()?,
                is_over: input.flag()?,
                row: FollowRow {
                    user: input.uint()?,
                    author: input.fixed()?,
                    since_ms: if input.flag()? {
                        Some(input.int()?)
                    } else {
                        None
                    },
                },
            },
            FORGET_ROWS => LogEntry::ForgetRows {
                table: input.uint32()?,
                rows: input.uint()?,
                sum: input.fixed()?,
            },
            _ => return Err(input.corrupt("unknown kind of log record")),
        };
        input.finish()?;
        Ok(Self { at, entry })
    }
}

/// A record of [`LogEntry::Rows`] in the making.
#[derive(Clone, Debug)]
pub(crate) struct RowsWriter {
    table: u32,
    out: Encoder,
    changes: usize,
}

impl RowsWriter {
    pub(crate) fn new(at: Written, table: u32) -> Self {
        let mut out = Encoder::record(1);
        out.int(at.wall_ms).int(at.domain_ms);
        out.byte(ROWS).uint(u64::from(table));
        Self {
            table,
            out,
            changes: 0,
        }
    }

    pub(crate) const fn table(&self) -> u32 {
        self.table
    }

    pub(crate) const fn len(&self) -> usize {
        self.changes
    }

    /// Appends the bytes of a [`RowEvent`].
    pub(crate) fn push(&mut self, is_over: bool, event: &[u8]) {
        self.out.byte(u8::from(is_over)).raw(event);
        self.changes += 1;
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.out.finish()
    }
}

fn take_rows(input: &mut Decoder<'_>) -> Result<LogEntry, StoreError> {
    let table = input.uint32()?;
    let mut changes = Vec::new();
    while !input.is_empty() {
        let is_over = input.flag()?;
        let event = RowEvent::take(input)?;
        changes.push(RowLog { is_over, event });
    }
    Ok(LogEntry::Rows { table, changes })
}

fn put_event(out: &mut Encoder, event: &LogEvent) {
    match event.origin {
        EventOrigin::Id { source, id, short } => {
            out.byte(source as u8)
                .raw(&id.to_le_bytes())
                .raw(&short.to_le_bytes());
        }
        EventOrigin::Row { file, ordinal } => {
            out.byte(EventSource::Import as u8)
                .fixed(file)
                .uint(ordinal);
        }
        EventOrigin::Table(table) => {
            out.byte(TABLE_SOURCE).uint(u64::from(table));
        }
    }
    let set = u8::from(event.item.is_some())
        | u8::from(event.author.is_some()) << 1
        | u8::from(event.watch_ms.is_some()) << 2
        | u8::from(event.duration_ms.is_some()) << 3
        | u8::from(event.value.is_some()) << 4
        | u8::from(event.request_id.is_some()) << 5
        | u8::from(event.position.is_some()) << 6;
    out.byte(event.kind as u8)
        .byte(set)
        .uint(event.user)
        .int(event.ts_ms);
    if let Some(item) = event.item {
        out.fixed(item);
    }
    if let Some(author) = event.author {
        out.fixed(author);
    }
    for number in [event.watch_ms, event.duration_ms].into_iter().flatten() {
        out.uint(u64::from(number));
    }
    if let Some(value) = event.value {
        out.float(value);
    }
    if let Some(request_id) = &event.request_id {
        out.text(request_id);
    }
    if let Some(position) = event.position {
        out.uint(u64::from(position));
    }
}

fn take_event(input: &mut Decoder<'_>) -> Result<LogEvent, StoreError> {
    let origin = match input.byte()? {
        0 => take_id(input, EventSource::Public)?,
        1 => take_id(input, EventSource::Edge)?,
        2 => EventOrigin::Row {
            file: input.fixed()?,
            ordinal: input.uint()?,
        },
        TABLE_SOURCE => EventOrigin::Table(input.uint32()?),
        _ => return Err(input.corrupt("unknown source of an event")),
    };
    let kind = input.byte()?;
    let kind = EventType::ALL.get(usize::from(kind)).copied();
    let kind = kind.ok_or_else(|| input.corrupt("unknown type of an event"))?;
    let set = input.byte()?;
    let has = |bit: u32| set >> bit & 1 == 1;
    Ok(LogEvent {
        origin,
        kind,
        user: input.uint()?,
        ts_ms: input.int()?,
        item: if has(0) { Some(input.fixed()?) } else { None },
        author: if has(1) { Some(input.fixed()?) } else { None },
        watch_ms: if has(2) { Some(input.uint32()?) } else { None },
        duration_ms: if has(3) { Some(input.uint32()?) } else { None },
        value: if has(4) { Some(input.float()?) } else { None },
        request_id: if has(5) {
            Some(input.text()?.to_owned())
        } else {
            None
        },
        position: if has(6) { Some(input.uint32()?) } else { None },
    })
}

fn take_id(input: &mut Decoder<'_>, source: EventSource) -> Result<EventOrigin, StoreError> {
    let id = u128::from_le_bytes(input.array()?);
    let short = u32::from_le_bytes(input.array()?);
    Ok(EventOrigin::Id { source, id, short })
}

fn put_served(out: &mut Encoder, served: &ServedRecord) {
    out.text(&served.request_id)
        .byte(u8::from(served.user.is_some()));
    if let Some(user) = served.user {
        out.uint(user);
    }
    out.fixed(served.item)
        .uint(u64::from(served.position))
        .float(served.propensity);
}

fn take_served(input: &mut Decoder<'_>) -> Result<ServedRecord, StoreError> {
    Ok(ServedRecord {
        request_id: input.text()?.to_owned(),
        user: if input.flag()? {
            Some(input.uint()?)
        } else {
            None
        },
        item: input.fixed()?,
        position: input.uint32()?,
        propensity: input.float()?,
    })
}
