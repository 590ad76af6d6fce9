//! The data's front door: commands go in, one thread commits them in groups, changes come out.
//!
//! State and source position commit together, so each event counts exactly once through
//! crashes, retries and replays. A reply is sent after its commit is durable and after
//! the [`Subscriber`] has seen the [`Changes`], so a client reads its own writes.

mod apply;
mod batch;
mod cells;
pub mod dedupe;
#[cfg(test)]
mod durability;
mod events;
#[cfg(test)]
mod histories;
pub mod outlier;
pub(crate) mod packed;
mod queue;
mod rewarm;
pub mod rows;
mod size;
mod tables;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use edgewise_ranking::HotSum;
use edgewise_wire::api::{Event, Item};
use edgewise_wire::counters::Counters;
use serde::{Deserialize, Serialize};

use crate::store::StoreError;
use crate::store::purge::PurgeRecord;
pub use queue::Limits;
pub use writer::{Reply, Writer, WriterConfig};

/// Where events came from; kept in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EventSource {
    /// The public events route.
    Public = 0,
    /// An edge's queue, through the internal route.
    Edge = 1,
    /// An import.
    Import = 2,
}

/// SHA-256 of an imported file: with the row's ordinal, an import's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceHash(pub [u8; 32]);

/// A row of an imported file and the events it stands for. Their ids are not looked at:
/// the position makes them count once. Any age is taken.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportRow {
    /// 0-based position in the file; rows come in ascending order.
    pub ordinal: u64,
    /// What happened, in the order it applies.
    pub events: Vec<Event>,
}

/// An item that was served in an explore slot or elsewhere, for off-policy evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Served {
    /// The page, 32 hexadecimal digits.
    pub request_id: String,
    /// Who was served; absent for a segment's page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The item.
    pub item: String,
    /// Its 1-based position.
    pub position: u32,
    /// Probability of the draw, (0, 1].
    pub propensity: f64,
}

/// Something to write.
#[derive(Clone, Debug)]
pub enum Command {
    /// Behaviour events, validated; each id counts once for 48 h.
    Events {
        /// The events, in the order they apply. A missing `ts_ms` is receipt.
        events: Vec<Event>,
        /// Where they came from.
        source: EventSource,
    },
    /// Rows of a file; rows below the file's stored position are duplicates.
    Import {
        /// The file.
        source: SourceHash,
        /// Its rows, ascending by ordinal.
        rows: Vec<ImportRow>,
    },
    /// Writes items' facts, validated; an item equal to what is stored changes nothing.
    UpsertItems(Vec<Item>),
    /// Marks an item deleted; its totals stay.
    DeleteItem(String),
    /// Writes or removes follows.
    Follows {
        /// Write, or remove.
        add: bool,
        /// (user, author) pairs.
        pairs: Vec<(String, String)>,
    },
    /// Removes a user's personal data; items' totals stay.
    DeleteUser(String),
    /// Logs served items; each position of a page counts once for 48 h.
    Served(Vec<Served>),
    /// Changes of an operator's rows; see [`rows`].
    Rows(Box<rows::RowBatch>),
    /// What is known of a source itself.
    Source(rows::SourceCommand),
    /// Removes dead letters by number.
    DropDeadLetters(Vec<u64>),
    /// Remembers a purge; its time is the commit's.
    Purge(PurgeRecord),
}

/// What a command did, durable when it is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Events, items or pairs that were taken. An item or follow that was already so counts.
    pub accepted: u32,
    /// Events whose id, rows' events whose position, served items whose page and position
    /// counted before.
    pub duplicate: u32,
    /// What was refused, by index into the command's list.
    pub rejected: Vec<Rejected>,
    /// Sequence number of the log's last record after the commit.
    pub position: u64,
    /// Rows: a checkpoint was not what the batch expected; nothing was changed.
    pub conflict: bool,
    /// Rows: a `Clear` (or a `Forget`) has more rows to remove; its moves did not happen,
    /// submit it again.
    pub more: bool,
    /// Rows: dead letters that were written, the writer's own (hash collisions, a patch of an
    /// unknown row) included.
    pub dead: u32,
}

/// A refused part of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Index into the command's list; for an import, of the event counted over all rows.
    pub index: u32,
    /// Why, for the client to read.
    pub reason: &'static str,
}

/// Why a command was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The queue is full; worth a retry after a second.
    #[error("the write queue is full")]
    Overloaded,
    /// The command alone is larger than the queue's bounds.
    #[error("the command is larger than the write queue")]
    TooLarge,
    /// The writer is stopping or has stopped.
    #[error("the writer has stopped")]
    Stopped,
}

/// Why a queued command has no outcome; it may be sent again, nothing counts twice.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError {
    /// It was not queued.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The commit failed.
    #[error("the commit failed")]
    Store(#[source] Arc<StoreError>),
    /// The writer stopped before it got to it.
    #[error("the writer has stopped")]
    Stopped,
}

/// An item's state, at start-up and after each commit that touched it.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemState {
    /// XXH3-64 of the id.
    pub hash: u64,
    /// Item id.
    pub id: String,
    /// Its facts where this commit wrote them (and in start-up scans); `None` is unchanged,
    /// or unknown where no commit ever wrote them.
    pub item: Option<Arc<Item>>,
    /// When its facts were first written (again, after a deletion); `None` where they never were.
    pub first_written: Option<Written>,
    /// Wall time of its deletion, Unix ms.
    pub deleted_at_ms: Option<i64>,
    /// All-time totals.
    pub counters: Counters,
    /// Hot sums by `HotWindow`.
    pub hot: [HotSum; 3],
    /// Domain time of its newest event that moved hot lists, Unix ms; 0 where there is none.
    pub last_event_ms: i64,
}

/// A moment on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Wall time, Unix ms.
    pub wall_ms: i64,
    /// Domain time, Unix ms.
    pub domain_ms: i64,
}

/// A follow that began or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowChange {
    /// Who follows.
    pub user: String,
    /// XXH3-64 of the author's id.
    pub author: u64,
    /// Began, or ended.
    pub follows: bool,
}

/// An item or author that a user hid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// XXH3-64 of an item id.
    Item(u64),
    /// XXH3-64 of an author id.
    Author(u64),
}

/// Everything a commit changed.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Sequence number of the log's last record.
    pub position: u64,
    /// Receipt time of its newest command.
    pub at: Written,
    /// Events it counted.
    pub events: u64,
    /// How long transaction and flush took, all attempts together.
    pub took: Duration,
    /// Items whose facts, totals or deletion changed, each once, ascending by hash.
    pub items: Vec<ItemState>,
    /// Follows that began or ended, in order.
    pub follows: Vec<FollowChange>,
    /// Hides by user id, in order.
    pub hides: Vec<(String, Hidden)>,
    /// Users that had an event, each once.
    pub users: Vec<String>,
    /// Users whose personal data was deleted.
    pub deleted_users: Vec<String>,
    /// What operators purged.
    pub purges: Vec<PurgeRecord>,
}

/// Sees each commit's changes, on the writer's thread, before the replies are sent.
pub trait Subscriber: Send + Sync {
    /// Called after a commit; it holds up the next one, so it must be short.
    fn committed(&self, changes: &Changes);
}

/// A subscriber that does nothing.
impl Subscriber for () {
    fn committed(&self, _changes: &Changes) {}
}
