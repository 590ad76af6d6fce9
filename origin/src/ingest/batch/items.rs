//! Commands on items: their facts are written, or they are marked deleted.

use edgewise_ranking::id_hash;
use edgewise_wire::api::Item;

use super::{AUTHOR_COLLIDES, Batch, ITEM_COLLIDES, rejected};
use crate::ingest::Outcome;
use crate::store::log::LogEntry;
use crate::store::{StoreError, keys};

const UNKNOWN_ITEM: &str = "there is no such item";

impl Batch<'_> {
    pub(super) fn upsert_items(&mut self, items: &[Item]) -> Result<Outcome, StoreError> {
        let mut outcome = Outcome::default();
        for (index, item) in items.iter().enumerate() {
            match self.upsert_item(item)? {
                Ok(()) => outcome.accepted += 1,
                Err(reason) => outcome.rejected.push(rejected(index, reason)),
            }
        }
        Ok(outcome)
    }

    /// Writes an item's facts, or says why not.
    pub(in crate::ingest) fn upsert_item(
        &mut self,
        item: &Item,
    ) -> Result<Result<(), &'static str>, StoreError> {
        let author = id_hash(&item.author);
        if !self.item_fits(id_hash(&item.id), &item.id)? {
            return Ok(Err(ITEM_COLLIDES));
        }
        if !self.author_fits(author, &item.author)? {
            return Ok(Err(AUTHOR_COLLIDES));
        }
        let hash = self.register_item(&item.id)?;
        self.register_author(author, &item.author)?;
        let at = self.at;
        let record = self.tables.items.entry(&*self.stored, keys::number(hash))?;
        if record.deleted_at_ms.is_none() && record.item.as_ref() == Some(item) {
            return Ok(Ok(()));
        }
        if record.item.is_none() || record.deleted_at_ms.is_some() {
            record.first_written = at;
        }
        record.deleted_at_ms = None;
        record.item = Some(item.clone());
        self.written.insert(hash);
        self.touched.insert(hash);
        self.append(LogEntry::UpsertItem(Box::new(item.clone())))?;
        Ok(Ok(()))
    }

    pub(super) fn delete_item(&mut self, id: &str) -> Result<Outcome, StoreError> {
        let hash = id_hash(id);
        let known = self.tables.items.get(&*self.stored, keys::number(hash))?;
        let mut outcome = Outcome::default();
        if known.is_none_or(|record| record.id != id || record.item.is_none()) {
            outcome.rejected.push(rejected(0, UNKNOWN_ITEM));
        } else if self.delete_item_of(hash)? {
            outcome.accepted = 1;
        } else {
            outcome.duplicate = 1;
        }
        Ok(outcome)
    }

    /// Marks an item deleted; returns whether it was there.
    pub(in crate::ingest) fn delete_item_of(&mut self, hash: u64) -> Result<bool, StoreError> {
        let wall_ms = self.at.wall_ms;
        let key = keys::number(hash);
        match self.tables.items.get_mut(&*self.stored, key)? {
            Some(record) if record.item.is_some() && record.deleted_at_ms.is_none() => {
                record.deleted_at_ms = Some(wall_ms);
            }
            _ => return Ok(false),
        }
        self.touched.insert(hash);
        self.append(LogEntry::DeleteItem(hash))?;
        Ok(true)
    }

    pub(in crate::ingest) fn item_fits(&mut self, hash: u64, id: &str) -> Result<bool, StoreError> {
        let known = self.tables.items.get(&*self.stored, keys::number(hash))?;
        Ok(known.is_none_or(|record| record.id == id))
    }

    pub(in crate::ingest) fn register_item(&mut self, id: &str) -> Result<u64, StoreError> {
        let hash = id_hash(id);
        let key = keys::number(hash);
        if self.tables.items.get(&*self.stored, key)?.is_none() {
            self.tables.items.entry(&*self.stored, key)?.id = id.to_owned();
        }
        Ok(hash)
    }
}
