//! Which events count: ids and positions that counted before do not, colliding ids are refused.

use edgewise_ranking::{id_hash, short_hash};
use edgewise_wire::api::Event;
use xxhash_rust::xxh3::xxh3_128;

use super::batch::{AUTHOR_COLLIDES, Batch, ITEM_COLLIDES, USER_COLLIDES, rejected};
use super::dedupe::is_forgotten;
use super::{EventSource, ImportRow, Outcome, SourceHash};
use crate::store::log::{EventOrigin, LogEntry, LogEvent};
use crate::store::record::DedupeRecord;
use crate::store::{StoreError, keys};

/// The year 9999: beyond it (and before 1970) times of imports and rows are clamped.
pub(super) const TS_MAX_MS: i64 = 253_402_300_799_999;

impl Batch<'_> {
    pub(super) fn events(
        &mut self,
        events: &[Event],
        source: EventSource,
    ) -> Result<Outcome, StoreError> {
        let mut outcome = Outcome::default();
        for (index, event) in events.iter().enumerate() {
            let id = xxh3_128(event.id.as_bytes());
            let key = id.to_be_bytes();
            let counted = self.tables.dedupe.get(&*self.stored, key)?;
            if counted.is_some_and(|counted| !is_forgotten(counted.at, self.at)) {
                outcome.duplicate += 1;
                continue;
            }
            let origin = EventOrigin::Id {
                source,
                id,
                short: short_hash(&event.id),
            };
            match self.event(event, origin)? {
                Ok(seq) => {
                    self.tables
                        .dedupe
                        .put(key, DedupeRecord { seq, at: self.at });
                    outcome.accepted += 1;
                }
                Err(reason) => outcome.rejected.push(rejected(index, reason)),
            }
        }
        Ok(outcome)
    }

    pub(super) fn import(
        &mut self,
        source: &SourceHash,
        rows: &[ImportRow],
    ) -> Result<Outcome, StoreError> {
        let mut outcome = Outcome::default();
        let file = keys::read_u64(&source.0, 0).unwrap_or(0);
        let mut index = 0;
        for row in rows {
            let next = *self.tables.imports.entry(&*self.stored, source.0)?;
            if row.ordinal < next {
                outcome.duplicate += u32::try_from(row.events.len()).unwrap_or(u32::MAX);
                index += row.events.len();
                continue;
            }
            *self.tables.imports.entry(&*self.stored, source.0)? = row.ordinal + 1;
            for event in &row.events {
                match self.event(
                    event,
                    EventOrigin::Row {
                        file,
                        ordinal: row.ordinal,
                    },
                )? {
                    Ok(_) => outcome.accepted += 1,
                    Err(reason) => outcome.rejected.push(rejected(index, reason)),
                }
                index += 1;
            }
        }
        Ok(outcome)
    }

    /// Logs and applies an event that has not counted yet, or says why not.
    fn event(
        &mut self,
        event: &Event,
        origin: EventOrigin,
    ) -> Result<Result<u64, &'static str>, StoreError> {
        let item = event.item.as_deref().map(|id| (id_hash(id), id));
        let author = event.author.as_deref().map(|id| (id_hash(id), id));
        // Everything is looked at before anything is written.
        if !self.user_fits(&event.user)? {
            return Ok(Err(USER_COLLIDES));
        }
        if let Some((hash, id)) = item
            && !self.item_fits(hash, id)?
        {
            return Ok(Err(ITEM_COLLIDES));
        }
        if let Some((hash, id)) = author
            && !self.author_fits(hash, id)?
        {
            return Ok(Err(AUTHOR_COLLIDES));
        }
        let user = self.register_user(&event.user)?;
        if let Some((_, id)) = item {
            self.register_item(id)?;
        }
        if let Some((hash, id)) = author {
            self.register_author(hash, id)?;
        }
        self.users.entry(user).or_insert_with(|| event.user.clone());
        let logged = LogEvent {
            origin,
            kind: event.kind,
            user,
            item: item.map(|(hash, _)| hash),
            author: author.map(|(hash, _)| hash),
            ts_ms: event.ts_ms.unwrap_or(self.at.domain_ms).clamp(0, TS_MAX_MS),
            watch_ms: event.watch_ms,
            duration_ms: event.duration_ms,
            value: event.value,
            request_id: event.request_id.clone(),
            position: event.position,
        };
        self.apply(&logged, &event.user)?;
        self.counted += 1;
        self.append(LogEntry::Event(logged)).map(Ok)
    }
}
