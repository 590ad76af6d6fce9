//! A group of commands in one transaction: what they change, and what they are answered.

mod follows;
mod items;
mod users;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use edgewise_ranking::config::HotConfig;
use edgewise_ranking::id_hash;
use hashbrown::{HashMap, HashSet};

use super::tables::Tables;
use super::{
    Changes, Command, FollowChange, Hidden, ItemState, Outcome, Rejected, Served, Written,
};
use super::{dedupe, outlier};
use crate::purge;
use crate::store::log::{LogEntry, LogRecord, RowsWriter, ServedRecord};
use crate::store::purge::PurgeRecord;
use crate::store::record::{DedupeRecord, Record};
use crate::store::source::DeadCounts;
use crate::store::{Encoder, StoreError, Table, Transaction, keys, read};

pub(super) const ITEM_COLLIDES: &str = "the item id's hash collides with another item's id";
pub(super) const USER_COLLIDES: &str = "the user id's hash collides with another user's id";
pub(super) const AUTHOR_COLLIDES: &str = "the author id's hash collides with another author's id";

/// A transaction in the making. Records live in `tables` until [`Batch::run`] is done with all commands; the log goes
/// straight to the transaction.
pub(super) struct Batch<'a> {
    pub(super) stored: &'a mut dyn Transaction,
    pub(super) tables: &'a mut Tables,
    pub(super) hot: &'a HotConfig,
    /// Receipt of the command at hand; wall time never goes back.
    pub(super) at: Written,
    pub(super) touched: HashSet<u64>,
    pub(super) follows: Vec<FollowChange>,
    pub(super) hides: Vec<(String, Hidden)>,
    /// Users that had an event, by number.
    pub(super) users: HashMap<u64, String>,
    pub(super) counted: u64,
    served: u64,
    written: BTreeSet<u64>,
    deleted_users: Vec<String>,
    purges: Vec<PurgeRecord>,
    /// Row events that are not in the transaction yet: the log's next record.
    pub(super) rows_log: Option<RowsWriter>,
    /// How many dead letters there are, once that was asked.
    pub(super) dead: Option<DeadCounts>,
    /// For the bytes of one row at a time.
    pub(super) scratch: Encoder,
    /// A commit of these commands failed and may have happened.
    pub(super) is_retry: bool,
    seq: u64,
    next_user: u64,
}

impl<'a> Batch<'a> {
    /// Applies `commands` in order and leaves everything in the transaction. `tables` are what
    /// the last commit left; where this one fails they are worth nothing.
    pub(super) fn run(
        stored: &'a mut dyn Transaction,
        tables: &'a mut Tables,
        hot: &'a HotConfig,
        commands: &[(Command, Written)],
        is_retry: bool,
    ) -> Result<(Vec<Outcome>, Changes), StoreError> {
        let mut batch = Self::begin(stored, tables, hot)?;
        batch.is_retry = is_retry;
        let mut outcomes = Vec::with_capacity(commands.len());
        for (command, at) in commands {
            batch.at = Written {
                wall_ms: at.wall_ms.max(batch.at.wall_ms),
                ..*at
            };
            outcomes.push(batch.command(command)?);
        }
        for outcome in &mut outcomes {
            outcome.position = batch.seq;
        }
        Ok((outcomes, batch.finish()?))
    }

    fn begin(
        stored: &'a mut dyn Transaction,
        tables: &'a mut Tables,
        hot: &'a HotConfig,
    ) -> Result<Self, StoreError> {
        let seq = read::position(&*stored)?;
        let next_user = read::get::<u64>(&*stored, Table::Meta, keys::NEXT_USER)?.unwrap_or(1);
        let wall_ms = read::get::<i64>(&*stored, Table::Meta, keys::WALL_MS)?.unwrap_or(i64::MIN);
        Ok(Self {
            stored,
            tables,
            hot,
            at: Written {
                wall_ms,
                domain_ms: 0,
            },
            touched: HashSet::new(),
            follows: Vec::new(),
            hides: Vec::new(),
            users: HashMap::new(),
            counted: 0,
            served: 0,
            written: BTreeSet::new(),
            deleted_users: Vec::new(),
            purges: Vec::new(),
            rows_log: None,
            scratch: Encoder::default(),
            dead: None,
            is_retry: false,
            seq,
            next_user,
        })
    }

    fn command(&mut self, command: &Command) -> Result<Outcome, StoreError> {
        match command {
            Command::Events { events, source } => self.events(events, *source),
            Command::Import { source, rows } => self.import(source, rows),
            Command::UpsertItems(items) => self.upsert_items(items),
            Command::DeleteItem(id) => self.delete_item(id),
            Command::Follows { add, pairs } => self.follow_pairs(*add, pairs),
            Command::DeleteUser(id) => self.delete_user(id),
            Command::Served(served) => self.served(served),
            Command::Rows(batch) => self.rows(batch),
            Command::Source(command) => self.source(command),
            Command::DropDeadLetters(letters) => self.drop_dead_letters(letters),
            Command::Purge(record) => self.purge(record),
        }
    }

    /// Appends to the log.
    pub(super) fn append(&mut self, entry: LogEntry) -> Result<u64, StoreError> {
        self.flush_rows_log()?;
        self.seq += 1;
        let record = LogRecord { at: self.at, entry };
        self.stored
            .put(Table::Log, &keys::number(self.seq), &record.encode())?;
        Ok(self.seq)
    }

    /// Appends the row events that wait to the log.
    pub(super) fn flush_rows_log(&mut self) -> Result<(), StoreError> {
        let Some(rows) = self.rows_log.take() else {
            return Ok(());
        };
        self.seq += 1;
        self.stored
            .put(Table::Log, &keys::number(self.seq), &rows.finish())
    }

    fn served(&mut self, served: &[Served]) -> Result<Outcome, StoreError> {
        let mut outcome = Outcome::default();
        for served in served {
            let user = match &served.user {
                Some(user) => self.user_number(user)?,
                None => None,
            };
            let record = ServedRecord {
                request_id: served.request_id.clone(),
                user,
                item: id_hash(&served.item),
                position: served.position,
                propensity: served.propensity,
            };
            // A queue delivers at least once.
            let key = record.id().to_be_bytes();
            let logged = self.tables.dedupe.get(&*self.stored, key)?;
            if logged.is_some_and(|logged| !dedupe::is_forgotten(logged.at, self.at)) {
                outcome.duplicate += 1;
                continue;
            }
            let seq = self.append(LogEntry::Served(record))?;
            let at = self.at;
            self.tables.dedupe.put(key, DedupeRecord { seq, at });
            self.served += 1;
            outcome.accepted += 1;
        }
        Ok(outcome)
    }

    fn purge(&mut self, record: &PurgeRecord) -> Result<Outcome, StoreError> {
        let record = PurgeRecord {
            at_ms: self.at.wall_ms,
            ..record.clone()
        };
        purge::remember(self.stored, &record)?;
        self.purges.push(record);
        Ok(Outcome {
            accepted: 1,
            ..Outcome::default()
        })
    }

    /// Writes everything and says what changed.
    fn finish(mut self) -> Result<Changes, StoreError> {
        let from = read::get::<u64>(&*self.stored, Table::Meta, keys::DEDUPE_FROM)?.unwrap_or(1);
        let dedupe = &mut self.tables.dedupe;
        let next = dedupe::forget(
            &*self.stored,
            dedupe,
            from,
            self.at,
            self.counted + self.served,
        )?;
        self.flush_rows_log()?;
        let items = self.item_states()?;
        self.tables.flush(self.stored)?;
        if let Some(dead) = &self.dead {
            self.stored
                .put(Table::Meta, keys::DEAD_LETTERS, &dead.encode())?;
        }
        let meta: [(&[u8], Vec<u8>); 6] = [
            (keys::POSITION, self.seq.encode()),
            (keys::NEXT_USER, self.next_user.encode()),
            (keys::WALL_MS, self.at.wall_ms.encode()),
            (keys::DEDUPE_FROM, next.encode()),
            (keys::HOT_CONFIG, self.hot.encode()),
            (keys::OUTLIER_RULE, outlier::RULE.encode()),
        ];
        for (name, value) in meta {
            self.stored.put(Table::Meta, name, &value)?;
        }
        let mut users: Vec<_> = self.users.into_iter().collect();
        users.sort_unstable_by_key(|(number, _)| *number);
        Ok(Changes {
            position: self.seq,
            at: self.at,
            events: self.counted,
            took: Duration::ZERO,
            items,
            follows: self.follows,
            hides: self.hides,
            users: users.into_iter().map(|(_, id)| id).collect(),
            deleted_users: self.deleted_users,
            purges: self.purges,
        })
    }

    fn item_states(&mut self) -> Result<Vec<ItemState>, StoreError> {
        let mut states = Vec::with_capacity(self.touched.len());
        let mut touched: Vec<u64> = self.touched.iter().copied().collect();
        touched.sort_unstable();
        for hash in touched {
            let key = keys::number(hash);
            let totals = self
                .tables
                .totals
                .get(&*self.stored, key)?
                .copied()
                .unwrap_or_default();
            let Some(record) = self.tables.items.get(&*self.stored, key)? else {
                continue;
            };
            let written = record
                .item
                .as_ref()
                .filter(|_| self.written.contains(&hash));
            states.push(ItemState {
                hash,
                id: record.id.clone(),
                item: written.map(|item| Arc::new(item.clone())),
                first_written: record.item.is_some().then_some(record.first_written),
                deleted_at_ms: record.deleted_at_ms,
                counters: totals.counters,
                hot: totals.hot,
                last_event_ms: totals.last_event_ms,
            });
        }
        Ok(states)
    }
}

pub(super) fn rejected(index: usize, reason: &'static str) -> Rejected {
    Rejected {
        index: u32::try_from(index).unwrap_or(u32::MAX),
        reason,
    }
}
