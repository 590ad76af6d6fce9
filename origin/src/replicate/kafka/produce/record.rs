//! Log records as the events that are produced: numbers and hashes become ids again.

use std::collections::HashMap;
use std::ops::ControlFlow;

use edgewise_wire::api::Event;
use serde::Serialize;

use super::Place;
use crate::ingest::EventSource;
use crate::replicate::config::Include;
use crate::store::item::ItemRecord;
use crate::store::log::{EventOrigin, LogEntry, LogEvent, LogRecord};
use crate::store::memory::RowEvent;
use crate::store::{Snapshot, StoreError, Table, keys, read};

/// Log records of a chunk at most ...
const CHUNK_RECORDS_MAX: usize = 10_000;
/// ... and events, since a record of rows holds many.
const CHUNK_EVENTS_MAX: usize = 20_000;

/// An event as it goes out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outgoing {
    pub(super) place: Place,
    /// Its user: the message's key.
    pub(super) user: String,
    pub(super) json: Vec<u8>,
    /// Its domain time, Unix ms: the message's timestamp.
    pub(super) at_ms: i64,
}

/// A run of the log.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Chunk {
    pub(super) events: Vec<Outgoing>,
    /// The last record that was looked at.
    pub(super) last: Option<u64>,
}

/// An event as JSON; a row's event that was taken back says so.
#[derive(Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    event: &'a Event,
    #[serde(skip_serializing_if = "is_false")]
    retracted: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// The events of the log from record `from` on that are included. Events of deleted users are
/// left out: nothing leads to them any more.
pub(super) fn chunk(
    snapshot: &dyn Snapshot,
    from: u64,
    log: &str,
    include: &[Include],
) -> Result<Chunk, StoreError> {
    let mut records: Vec<(u64, LogRecord)> = Vec::new();
    let (mut looked_at, mut events, mut last) = (0, 0, None);
    read::log_from(snapshot, from, &mut |seq, record| {
        looked_at += 1;
        last = Some(seq);
        let count = events_of(&record.entry, include);
        if count > 0 {
            events += count;
            records.push((seq, record));
        }
        if looked_at >= CHUNK_RECORDS_MAX || events >= CHUNK_EVENTS_MAX {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    let mut names = Names {
        snapshot,
        users: HashMap::new(),
        items: HashMap::new(),
        authors: HashMap::new(),
    };
    let mut out = Vec::with_capacity(events);
    for (seq, record) in records {
        match record.entry {
            LogEntry::Event(event) => out.extend(names.outgoing((seq, 0), &event, false, log)?),
            LogEntry::Rows { table, changes } => {
                for (at, change) in (0..).zip(&changes) {
                    let event = of_row(table, &change.event);
                    out.extend(names.outgoing((seq, at), &event, change.is_over, log)?);
                }
            }
            _ => {}
        }
    }
    Ok(Chunk { events: out, last })
}

/// How many included events a record holds.
fn events_of(entry: &LogEntry, include: &[Include]) -> usize {
    let event = match entry {
        LogEntry::Event(event) => event,
        LogEntry::Rows { changes, .. } if include.contains(&Include::Rows) => {
            return changes.len();
        }
        _ => return 0,
    };
    let from = match event.origin {
        EventOrigin::Id {
            source: EventSource::Edge,
            ..
        } => Include::Edge,
        EventOrigin::Id { .. } => Include::Public,
        EventOrigin::Row { .. } => Include::Import,
        EventOrigin::Table(_) => Include::Rows,
    };
    usize::from(include.contains(&from))
}

fn of_row(table: u32, event: &RowEvent) -> LogEvent {
    LogEvent {
        origin: EventOrigin::Table(table),
        kind: event.kind,
        user: event.user,
        item: event.item,
        author: event.named,
        ts_ms: event.ts_ms,
        watch_ms: event.watch_ms,
        duration_ms: event.duration_ms,
        value: event.value,
        request_id: None,
        position: None,
    }
}

/// Ids by number and hash, as one snapshot has them.
struct Names<'s> {
    snapshot: &'s dyn Snapshot,
    users: HashMap<u64, Option<String>>,
    items: HashMap<u64, Option<String>>,
    authors: HashMap<u64, Option<String>>,
}

impl Names<'_> {
    fn outgoing(
        &mut self,
        place: Place,
        event: &LogEvent,
        retracted: bool,
        log: &str,
    ) -> Result<Option<Outgoing>, StoreError> {
        let Some(user) = self.user(event.user)? else {
            return Ok(None);
        };
        let id = match event.origin {
            // The id itself is not kept; its hash is as stable.
            EventOrigin::Id { id, .. } => format!("{id:032x}"),
            EventOrigin::Row { .. } | EventOrigin::Table(_) => {
                format!("{log}-{}-{}", place.0, place.1)
            }
        };
        let event = Event {
            id,
            kind: event.kind,
            user: user.clone(),
            item: event.item.map_or(Ok(None), |item| self.item(item))?,
            author: event
                .author
                .map_or(Ok(None), |author| self.author(author))?,
            ts_ms: Some(event.ts_ms),
            watch_ms: event.watch_ms,
            duration_ms: event.duration_ms,
            value: event.value,
            request_id: event.request_id.clone(),
            position: event.position,
        };
        let json = Json {
            event: &event,
            retracted,
        };
        Ok(Some(Outgoing {
            place,
            json: serde_json::to_vec(&json).expect("texts and finite numbers are JSON"),
            at_ms: event.ts_ms.unwrap_or(0),
            user,
        }))
    }

    fn user(&mut self, number: u64) -> Result<Option<String>, StoreError> {
        if let Some(known) = self.users.get(&number) {
            return Ok(known.clone());
        }
        let found = read::user_id(self.snapshot, number)?;
        self.users.insert(number, found.clone());
        Ok(found)
    }

    fn item(&mut self, hash: u64) -> Result<Option<String>, StoreError> {
        if let Some(known) = self.items.get(&hash) {
            return Ok(known.clone());
        }
        let record = read::get::<ItemRecord>(self.snapshot, Table::Items, &keys::number(hash))?;
        let found = record.map(|record| record.id);
        self.items.insert(hash, found.clone());
        Ok(found)
    }

    fn author(&mut self, hash: u64) -> Result<Option<String>, StoreError> {
        if let Some(known) = self.authors.get(&hash) {
            return Ok(known.clone());
        }
        let found = read::author_id(self.snapshot, hash)?;
        self.authors.insert(hash, found.clone());
        Ok(found)
    }
}
