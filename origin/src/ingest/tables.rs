//! The tables of a transaction, as cells.

use edgewise_wire::counters::Counters;

use super::cells::Cells;
use super::packed::Packed;
use crate::store::activity::ActivityBlock;
use crate::store::item::ItemRecord;
use crate::store::memory::{RememberedRow, RowBlock};
use crate::store::reaction::Reaction;
use crate::store::record::{
    DayStats, DedupeRecord, Follow, Hide, ItemTotals, RecentEvents, UserRecord,
};
use crate::store::{StoreError, Table, Transaction};

/// Small records kept between transactions, by table.
const SMALL: usize = 32_768;
/// Users' newest interactions (up to 300 bytes) kept between transactions.
const RECENT: usize = 16_384;
/// Records of up to some KiB kept between transactions, by table.
const FEW: usize = 4_096;
/// Blocks of the row memory and of activity kept between transactions.
const FEW_BLOCKS: usize = 1_024;
/// Memory of blocks kept between transactions, by table.
const PACKED_BYTES: usize = 8 << 20;

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
    pub(super) seen: Packed<12, i64>,
    pub(super) affinity: Packed<12, u64>,
    pub(super) reactions: Packed<8, Reaction>,
    pub(super) activity: Cells<12, ActivityBlock>,
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
            dedupe: Cells::new(Table::Dedupe, 0),
            imports: Cells::new(Table::Imports, FEW),
            items: Cells::new(Table::Items, FEW),
            totals: Cells::new(Table::Totals, SMALL),
            hourly: Cells::new(Table::Hourly, SMALL),
            users: Cells::new(Table::Users, SMALL),
            authors: Cells::new(Table::Authors, SMALL),
            recent: Cells::new(Table::Recent, RECENT),
            follows: Cells::new(Table::Follows, 0),
            hides: Cells::new(Table::Hides, 0),
            seen: Packed::new(Table::Seen, PACKED_BYTES),
            affinity: Packed::new(Table::Affinity, PACKED_BYTES),
            reactions: Packed::new(Table::Reactions, PACKED_BYTES),
            activity: Cells::new(Table::Activity, FEW_BLOCKS),
            days: Cells::new(Table::Days, FEW),
            user_ids: Cells::new(Table::UserIds, 0),
            row_blocks: Cells::new(Table::Rows, FEW_BLOCKS),
            row_hashes: Cells::new(Table::Rows, 0),
        }
    }

    /// Forgets the records of tables whose keys start with a user number: they are written past
    /// the cells.
    pub(super) fn forget_users(&mut self) {
        self.recent.forget();
        self.follows.forget();
        self.hides.forget();
        self.seen.forget();
        self.affinity.forget();
        self.reactions.forget();
    }

    /// Writes what changed.
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
