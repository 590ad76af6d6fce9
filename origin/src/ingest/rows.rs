//! Rows of an operator's database: what a source delivers and what the store does with it.
//!
//! The store remembers of every mapped row the *fact* it counted (the row memory), keyed by
//! table and primary key. A change is applied as the difference between the remembered and the
//! new fact, in one transaction with the source's checkpoints. So whatever is delivered twice
//! has no second effect, deletes and updates need no old row from the source, and the
//! aggregates always equal the rows that are remembered.

mod batch;
mod changes;
mod dead;
mod event;
mod fact;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod last_row;
mod source;
pub(super) mod stand;
mod take_back;
#[cfg(test)]
mod tests;

pub use batch::CHECKPOINT_NAME_BYTES_MAX;
pub use changes::RowChanges;
pub(super) use changes::item_bytes;
pub use dead::DEAD_LETTERS_MAX;
pub use source::CLEARED_ROWS_MAX;

use compact_str::CompactString;
use edgewise_wire::api::{EventType, Item};

/// An id of at most 64 bytes, mostly kept without an allocation.
pub type Id = CompactString;

/// A mapped table (one entry of the mapping) of a source; given by the store, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(pub u32);

/// Which row of a table: its primary key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RowKey {
    /// A key of one integer column (an unsigned one as its two's complement).
    Int(i64),
    /// Any other key: XXH3-128 of its columns' canonical texts, each preceded by its length.
    Hash(u128),
}

/// What a row says, mapped and valid.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// An item's facts.
    Item(Box<Item>),
    /// A user exists.
    User {
        /// User id.
        id: Id,
    },
    /// A user follows an author.
    Follow {
        /// User id.
        user: Id,
        /// Author id.
        author: Id,
        /// Since when, domain Unix ms; absent = now.
        since_ms: Option<i64>,
    },
    /// Something a user did; counts of any age.
    Event(EventFact),
}

/// A row that is a behaviour event.
#[derive(Clone, Debug, PartialEq)]
pub struct EventFact {
    /// What happened.
    pub kind: EventType,
    /// User id.
    pub user: Id,
    /// Item id; required but for follow, unfollow and hide with `author`.
    pub item: Option<Id>,
    /// Author id, as the row names it.
    pub author: Option<Id>,
    /// Domain time, Unix ms.
    pub ts_ms: i64,
    /// Time watched, ms.
    pub watch_ms: Option<u32>,
    /// Duration, ms; else the item's.
    pub duration_ms: Option<u32>,
    /// Value of a purchase or a rating.
    pub value: Option<f64>,
}

/// Fields of an [`Item`] whose column the source did not send because it did not change
/// (PostgreSQL's unchanged TOAST): the remembered value stays. A set of [`ItemField`] bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept(pub u16);

/// Bits of [`Kept`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum ItemField {
    /// `author`.
    Author = 1,
    /// `created_at_ms`.
    CreatedAt = 2,
    /// `kind`.
    Kind = 4,
    /// `duration_ms`.
    Duration = 8,
    /// `tags`.
    Tags = 16,
    /// `region`.
    Region = 32,
    /// `language`.
    Language = 64,
    /// `title`.
    Title = 128,
    /// `thumbnail`.
    Thumbnail = 256,
    /// `link`.
    Link = 512,
}

/// What happened to a row.
#[derive(Clone, Debug, PartialEq)]
pub enum RowOp {
    /// It now says this (insert, update, first copy, replay: all the same).
    Put(Fact),
    /// It now says this, but the kept fields are as remembered. Where nothing is remembered the
    /// row becomes a dead letter: it cannot be known.
    Patch(Box<Item>, Kept),
    /// It is gone, filtered out, soft-deleted or breaks its contract.
    Remove,
    /// The whole table was truncated (or is copied anew); the key means nothing. Must be the
    /// only change of its batch; see [`Outcome::more`](super::Outcome::more).
    Clear,
}

/// A change of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct RowChange {
    /// The mapped table.
    pub table: TableId,
    /// The row.
    pub key: RowKey,
    /// What happened.
    pub op: RowOp,
}

impl RowChange {
    /// Whether it clears the table.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.op == RowOp::Clear
    }
}

/// A checkpoint that moves with a batch. Its bytes mean something to the source only: a stream's
/// position, a chunk of a first copy, a partition's offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// Name, unique in the source, at most 200 bytes.
    pub checkpoint: String,
    /// What it must be now; `None` = absent.
    pub from: Option<Vec<u8>>,
    /// What it becomes; `None` removes it.
    pub to: Option<Vec<u8>>,
}

/// A row that was refused, kept for the operator.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DeadLetter {
    /// The source's name.
    pub source: String,
    /// The mapped table, as the mapping names it.
    pub table: String,
    /// Its [`TableId`].
    pub table_id: u32,
    /// The row's key for people, such as `id=7`.
    pub key: String,
    /// The row's [`RowKey`], where it has a readable one; replay needs it.
    pub row: Option<StoredKey>,
    /// Which rule it breaks and how, a sentence.
    pub reason: String,
    /// Where in the source, for people (`0/16B3748`, `binlog.000003:1234`, `cdc.posts/0@17`).
    pub position: String,
    /// Its columns by name as JSON, cut at 16 KiB (then it cannot be replayed).
    pub columns: String,
    /// When it was refused, wall Unix ms.
    pub at_ms: i64,
}

/// A [`RowKey`] as records and JSON hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoredKey {
    /// [`RowKey::Int`].
    Int(i64),
    /// [`RowKey::Hash`]: high and low half.
    Hash(u64, u64),
}

/// Changes of rows with the checkpoints they bring the source to: all or nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowBatch {
    /// The source's name.
    pub source: String,
    /// Checkpoints; where one is not what it must be, nothing happens and
    /// [`Outcome::conflict`](super::Outcome::conflict) is set: somebody else moved it.
    pub moves: Vec<Move>,
    /// Changes in source order.
    pub changes: RowChanges,
    /// Refused rows. Their `RowOp::Remove` is among `changes`, at their place.
    pub dead: Vec<DeadLetter>,
}

/// Something to write about a source itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceCommand {
    /// Gives each mapped table its [`TableId`]; one that has one keeps it. They are read back
    /// with [`read::tables`](crate::store::read::tables).
    Register {
        /// The source's name.
        source: String,
        /// Names of entries of the mapping.
        tables: Vec<String>,
    },
    /// Forgets a part of a source; bounded, see [`Outcome::more`](super::Outcome::more).
    Forget {
        /// The source's name.
        source: String,
        /// What.
        part: ForgetPart,
    },
}

/// What is forgotten of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForgetPart {
    /// Checkpoints whose name starts with this; with "" all of them.
    Checkpoints(String),
    /// A table's rows and dead letters: what its rows counted is taken back. The table keeps
    /// its number.
    Rows(TableId),
    /// A table's bookkeeping (row memory, dead letters, number): what its rows counted stays.
    Memory(TableId),
    /// All of the source: what its rows counted is taken back.
    Source,
    /// All of the source's bookkeeping: what its rows counted stays.
    Bookkeeping,
}
