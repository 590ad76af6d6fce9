//! Rows that are items, users and follows.

use edgewise_ranking::id_hash;
use edgewise_wire::api::Item;
use xxhash_rust::xxh3::xxh3_64;

use super::batch::Done;
use super::{Id, ItemField, Kept, RowKey, TableId};
use crate::ingest::batch::{AUTHOR_COLLIDES, Batch, USER_COLLIDES};
use crate::store::item::put_facts;
use crate::store::log::{FollowRow, LogEntry};
use crate::store::memory::RememberedRow;
use crate::store::{Encoder, StoreError, keys};

pub(super) const UNKNOWN_PATCHED: &str = "columns that the source did not send because they did not \
    change (TOAST) are not known here: run `ALTER TABLE ... REPLICA IDENTITY FULL`, or \
    `edgewise reconcile --repair` for this key";

impl Batch<'_> {
    pub(super) fn put_item(
        &mut self,
        table: TableId,
        key: RowKey,
        item: &Item,
        old: Option<RememberedRow>,
    ) -> Result<Done, StoreError> {
        let row = RememberedRow::Item {
            item: id_hash(&item.id),
            facts: facts(item),
        };
        if old.as_ref() == Some(&row) {
            return Ok(Done::Same);
        }
        if let Err(reason) = self.upsert_item(item)? {
            return Ok(Done::Refused(reason));
        }
        let hash = id_hash(&item.id);
        let is_known =
            matches!(&old, Some(RememberedRow::Item { item: before, .. }) if *before == hash);
        if !is_known {
            let record = self.tables.items.entry(&*self.stored, keys::number(hash))?;
            record.rows = record.rows.saturating_add(1);
            if let Some(old) = &old {
                self.undo(table, old)?;
            }
        }
        self.remember(table, key, row)?;
        Ok(Done::Changed)
    }

    /// A row no longer says that an item exists; others may.
    pub(super) fn end_item(&mut self, item: u64) -> Result<(), StoreError> {
        let key = keys::number(item);
        if let Some(record) = self.tables.items.get_mut(&*self.stored, key)? {
            record.rows = record.rows.saturating_sub(1);
            if record.rows > 0 {
                return Ok(());
            }
        }
        self.delete_item_of(item).map(drop)
    }

    /// `item` with its kept fields as they are remembered; `None` where nothing is.
    pub(super) fn patched(
        &mut self,
        item: &Item,
        kept: Kept,
        old: Option<&RememberedRow>,
    ) -> Result<Option<Item>, StoreError> {
        if kept == Kept::default() {
            return Ok(Some(item.clone()));
        }
        let Some(RememberedRow::Item { item: hash, .. }) = old else {
            return Ok(None);
        };
        let known = self.tables.items.get(&*self.stored, keys::number(*hash))?;
        let Some(known) = known.and_then(|record| record.item.as_ref()) else {
            return Ok(None);
        };
        Ok(Some(merged(item, kept, known)))
    }

    pub(super) fn put_user(
        &mut self,
        table: TableId,
        key: RowKey,
        id: &Id,
        old: Option<RememberedRow>,
    ) -> Result<Done, StoreError> {
        if let Some(RememberedRow::User { user }) = old
            && self.is_user(user, id)?
        {
            return Ok(Done::Same);
        }
        if !self.user_fits(id)? {
            return Ok(Done::Refused(USER_COLLIDES));
        }
        if let Some(old) = &old {
            self.undo(table, old)?;
        }
        let user = self.register_user(id)?;
        let name = keys::number(id_hash(id));
        if let Some(record) = self.tables.users.get_mut(&*self.stored, name)? {
            record.rows = record.rows.saturating_add(1);
        }
        self.remember(table, key, RememberedRow::User { user })?;
        Ok(Done::Changed)
    }

    /// A row no longer says that a user exists; others may.
    pub(super) fn end_user(&mut self, number: u64) -> Result<(), StoreError> {
        let Some(id) = self.user_id(number)? else {
            return Ok(());
        };
        let name = keys::number(id_hash(&id));
        if let Some(record) = self.tables.users.get_mut(&*self.stored, name)? {
            record.rows = record.rows.saturating_sub(1);
            if record.rows > 0 {
                return Ok(());
            }
        }
        self.delete_user(&id).map(drop)
    }

    pub(super) fn put_follow(
        &mut self,
        table: TableId,
        key: RowKey,
        (user, author, since_ms): (&Id, &Id, Option<i64>),
        old: Option<RememberedRow>,
    ) -> Result<Done, StoreError> {
        let hash = id_hash(author);
        if let Some(RememberedRow::Follow {
            user: number,
            author: before,
            since_ms: since,
        }) = old
            && (before, since) == (hash, since_ms)
            && self.is_user(number, user)?
        {
            return Ok(Done::Same);
        }
        if !self.user_fits(user)? {
            return Ok(Done::Refused(USER_COLLIDES));
        }
        if !self.author_fits(hash, author)? {
            return Ok(Done::Refused(AUTHOR_COLLIDES));
        }
        if let Some(old) = &old {
            self.undo(table, old)?;
        }
        let number = self.register_user(user)?;
        self.register_author(hash, author)?;
        let since = since_ms.unwrap_or(self.at.domain_ms);
        self.follow_row((number, user, hash), 1, since, None)?;
        let row = FollowRow {
            user: number,
            author: hash,
            since_ms,
        };
        self.log_follow(table, row, false)?;
        let row = RememberedRow::Follow {
            user: number,
            author: hash,
            since_ms,
        };
        self.remember(table, key, row)?;
        Ok(Done::Changed)
    }

    /// A row no longer says that a user follows an author.
    pub(super) fn end_follow(
        &mut self,
        table: TableId,
        user: u64,
        author: u64,
        since_ms: Option<i64>,
    ) -> Result<(), StoreError> {
        if let Some(id) = self.user_id(user)? {
            self.follow_row((user, &id, author), -1, 0, None)?;
        }
        let row = FollowRow {
            user,
            author,
            since_ms,
        };
        self.log_follow(table, row, true)
    }

    fn log_follow(
        &mut self,
        table: TableId,
        row: FollowRow,
        is_over: bool,
    ) -> Result<(), StoreError> {
        let entry = LogEntry::FollowRow {
            table: table.0,
            row,
            is_over,
        };
        self.append(entry).map(drop)
    }
}

/// A fingerprint of an item's facts.
fn facts(item: &Item) -> u64 {
    let mut bytes = Encoder::default();
    put_facts(&mut bytes, item);
    xxh3_64(&bytes.finish())
}

/// `item` with the kept fields of `known`.
fn merged(item: &Item, kept: Kept, known: &Item) -> Item {
    let keeps = |field: ItemField| kept.0 & field as u16 != 0;
    let mut item = item.clone();
    if keeps(ItemField::Author) {
        item.author.clone_from(&known.author);
    }
    if keeps(ItemField::CreatedAt) {
        item.created_at_ms = known.created_at_ms;
    }
    if keeps(ItemField::Kind) {
        item.kind.clone_from(&known.kind);
    }
    if keeps(ItemField::Duration) {
        item.duration_ms = known.duration_ms;
    }
    if keeps(ItemField::Tags) {
        item.tags.clone_from(&known.tags);
    }
    if keeps(ItemField::Region) {
        item.region.clone_from(&known.region);
    }
    if keeps(ItemField::Language) {
        item.language.clone_from(&known.language);
    }
    if keeps(ItemField::Title) {
        item.title.clone_from(&known.title);
    }
    if keeps(ItemField::Thumbnail) {
        item.thumbnail.clone_from(&known.thumbnail);
    }
    if keeps(ItemField::Link) {
        item.link.clone_from(&known.link);
    }
    item
}
