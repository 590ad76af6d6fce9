//! The tables of a transaction, as cells.

use edgewise_wire::counters::Counters;

use super::cells::Cells;
use crate::store::item::ItemRecord;
use crate::store::memory::{RememberedRow, RowBlock};
use crate::store::reaction::Reaction;
use crate::store::record::{
    DayStats, DedupeRecord, Follow, Hide, ItemTotals, RecentEvents, UserRecord,
};
use crate::store::{StoreError, Table, Transaction};

/// Everything but `Meta`, `Log` and what is kept of sources.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) dedupe: Cells<16, DedupeRecord>,
    pub(super) imports: Cells<32, u64>,
    pub(super) items: Cells<8, ItemRecord>,
    pub(super) totals: Cells<8, ItemTotals>,
    pub(super) hourly: Cells<12, Counters>,
    pub(super) users: Cells<8, UserRecord>,
    pub(super) authors: Cells<8, String>,
    pub(super) recent: Cells<8, RecentEvents>,
    pub(super) follows: Cells<16, Follow>,
    pub(super) hides: Cells<17, Hide>,
    pub(super) seen: Cells<20, i64>,
    pub(super) affinity: Cells<20, u64>,
    pub(super) reactions: Cells<16, Reaction>,
    pub(super) activity: Cells<12, u64>,
    pub(super) days: Cells<4, DayStats>,
    pub(super) user_ids: Cells<8, String>,
    pub(super) row_blocks: Cells<13, RowBlock>,
    pub(super) row_hashes: Cells<21, RememberedRow>,
}

impl Tables {
    /// Tables whose keys start with a user number: a user's personal data.
    pub(super) const OF_ONE_USER: [Table; 6] = [
        Table::Recent,
        Table::Follows,
        Table::Hides,
        Table::Seen,
        Table::Affinity,
        Table::Reactions,
    ];

    pub(super) fn new() -> Self {
        Self {
            dedupe: Cells::new(Table::Dedupe),
            imports: Cells::new(Table::Imports),
            items: Cells::new(Table::Items),
            totals: Cells::new(Table::Totals),
            hourly: Cells::new(Table::Hourly),
            users: Cells::new(Table::Users),
            authors: Cells::new(Table::Authors),
            recent: Cells::new(Table::Recent),
            follows: Cells::new(Table::Follows),
            hides: Cells::new(Table::Hides),
            seen: Cells::new(Table::Seen),
            affinity: Cells::new(Table::Affinity),
            reactions: Cells::new(Table::Reactions),
            activity: Cells::new(Table::Activity),
            days: Cells::new(Table::Days),
            user_ids: Cells::new(Table::UserIds),
            row_blocks: Cells::new(Table::Rows),
            row_hashes: Cells::new(Table::Rows),
        }
    }

    /// Writes what changed and forgets everything.
    pub(super) fn flush(&mut self, stored: &mut dyn Transaction) -> Result<(), StoreError> {
        self.dedupe.flush(stored)?;
        self.imports.flush(stored)?;
        self.items.flush(stored)?;
        self.totals.flush(stored)?;
        self.hourly.flush(stored)?;
        self.users.flush(stored)?;
        self.authors.flush(stored)?;
        self.recent.flush(stored)?;
        self.follows.flush(stored)?;
        self.hides.flush(stored)?;
        self.seen.flush(stored)?;
        self.affinity.flush(stored)?;
        self.reactions.flush(stored)?;
        self.activity.flush(stored)?;
        self.days.flush(stored)?;
        self.user_ids.flush(stored)?;
        self.row_blocks.flush(stored)?;
        self.row_hashes.flush(stored)
    }
}
