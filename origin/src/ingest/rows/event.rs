//! Rows that are behaviour events.

use edgewise_ranking::id_hash;

use super::batch::Done;
use super::stand::hash_of;
use super::{EventFact, RowKey, TableId};
use crate::ingest::batch::{AUTHOR_COLLIDES, Batch, ITEM_COLLIDES, USER_COLLIDES};
use crate::ingest::events::TS_MAX_MS;
use crate::store::log::{EventOrigin, LogEvent, RowsWriter};
use crate::store::memory::{RememberedRow, RowEffect, RowEvent};
use crate::store::{StoreError, keys};

/// Row events in a record of the log.
const LOG_ROWS_MAX: usize = 2_048;

/// Whom and what an event names.
#[derive(Clone, Copy, Debug, Default)]
struct Named {
    user: Option<u64>,
    item: Option<u64>,
    is_new_item: bool,
    author: Option<u64>,
}

impl Batch<'_> {
    pub(super) fn put_event(
        &mut self,
        table: TableId,
        key: RowKey,
        fact: &EventFact,
        old: Option<RememberedRow>,
    ) -> Result<Done, StoreError> {
        if let Some(RememberedRow::Event(old)) = &old
            && self.says(old, fact)?
        {
            return Ok(Done::Same);
        }
        // Everything is looked at before anything is changed.
        let mut named = match self.look_up(fact)? {
            Ok(named) => named,
            Err(reason) => return Ok(Done::Refused(reason)),
        };
        if let Some(old) = &old {
            self.undo(table, old)?;
            if matches!(old, RememberedRow::User { .. }) {
                named.user = None;
            }
        }
        let event = self.count_event(table, fact, &named)?;
        self.log_event(table, false, &event)?;
        self.remember(table, key, RememberedRow::Event(event))?;
        Ok(Done::Changed)
    }

    /// Whether a remembered event says what `fact` does. Of a user whose data was deleted nobody
    /// can say who it was: a row that is delivered again must not bring them back.
    fn says(&mut self, old: &RowEvent, fact: &EventFact) -> Result<bool, StoreError> {
        let same = old.kind == fact.kind
            && old.item == hash_of(fact.item.as_ref())
            && old.named == hash_of(fact.author.as_ref())
            && old.ts_ms == fact.ts_ms.clamp(0, TS_MAX_MS)
            && old.watch_ms == fact.watch_ms
            && old.duration_ms == fact.duration_ms
            && old.value.map(f64::to_bits) == fact.value.map(f64::to_bits);
        Ok(same && self.is_user(old.user, &fact.user)?)
    }

    /// Whether a user number is `id`'s, or nobody's any more.
    pub(super) fn is_user(&mut self, number: u64, id: &str) -> Result<bool, StoreError> {
        if self.user_number(id)? == Some(number) {
            return Ok(true);
        }
        Ok(self.user_id(number)?.is_none())
    }

    /// Looks up whom and what a fact names, or says what stands in for it.
    fn look_up(&mut self, fact: &EventFact) -> Result<Result<Named, &'static str>, StoreError> {
        let mut named = Named::default();
        let key = keys::number(id_hash(&fact.user));
        if let Some(known) = self.tables.users.get(&*self.stored, key)? {
            if known.id != fact.user {
                return Ok(Err(USER_COLLIDES));
            }
            named.user = Some(known.number);
        }
        if let Some(id) = &fact.item {
            let hash = id_hash(id);
            let known = self.tables.items.get(&*self.stored, keys::number(hash))?;
            if known.is_some_and(|record| record.id != *id) {
                return Ok(Err(ITEM_COLLIDES));
            }
            named.is_new_item = known.is_none();
            named.item = Some(hash);
        }
        if let Some(id) = &fact.author {
            let hash = id_hash(id);
            if !self.author_fits(hash, id)? {
                return Ok(Err(AUTHOR_COLLIDES));
            }
            named.author = Some(hash);
        }
        Ok(Ok(named))
    }

    fn count_event(
        &mut self,
        table: TableId,
        fact: &EventFact,
        named: &Named,
    ) -> Result<RowEvent, StoreError> {
        let user = match named.user {
            Some(number) => number,
            // A row of theirs may have been taken back with all that was known of them.
            None => self.register_user(&fact.user)?,
        };
        if let Some(id) = fact.item.as_ref().filter(|_| named.is_new_item) {
            self.register_item(id)?;
        }
        if let (Some(hash), Some(id)) = (named.author, &fact.author) {
            self.register_author(hash, id)?;
        }
        self.users
            .entry(user)
            .or_insert_with(|| fact.user.to_string());
        let logged = LogEvent {
            origin: EventOrigin::Table(table.0),
            kind: fact.kind,
            user,
            item: named.item,
            author: named.author,
            ts_ms: fact.ts_ms.clamp(0, TS_MAX_MS),
            watch_ms: fact.watch_ms,
            duration_ms: fact.duration_ms,
            value: fact.value,
            request_id: None,
            position: None,
        };
        let effect = self.apply(&logged, &fact.user)?;
        self.counted += 1;
        Ok(row_event(&logged, effect))
    }

    /// Puts a row's event into the log.
    pub(super) fn log_event(
        &mut self,
        table: TableId,
        is_over: bool,
        event: &RowEvent,
    ) -> Result<(), StoreError> {
        let fits = |rows: &RowsWriter| rows.table() == table.0 && rows.len() < LOG_ROWS_MAX;
        if !self.rows_log.as_ref().is_some_and(fits) {
            self.flush_rows_log()?;
        }
        self.scratch.clear();
        event.put(&mut self.scratch);
        let at = self.at;
        self.rows_log
            .get_or_insert_with(|| RowsWriter::new(at, table.0))
            .push(is_over, self.scratch.bytes());
        Ok(())
    }
}

fn row_event(event: &LogEvent, effect: RowEffect) -> RowEvent {
    RowEvent {
        kind: event.kind,
        user: event.user,
        item: event.item,
        named: event.author,
        ts_ms: event.ts_ms,
        watch_ms: event.watch_ms,
        duration_ms: event.duration_ms,
        value: event.value,
        effect,
    }
}
