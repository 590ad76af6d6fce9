//! Every table, with its key and record. Integers in keys are big-endian, so that keys sort by value.
//!
//! A *user number* is counted up where a user id is first written. The log and a user's
//! tables name the number only, so that deleting the user's row in [`Table::Users`] leaves
//! counts that cannot be led back to anybody. Items and authors are named by the XXH3-64
//! of their ids.

/// A key-value table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Table {
    /// Name → value: `format`, `position`, `next_user`, `dedupe_from`, `hot_config`,
    /// `outlier_rule`, `wall_ms`, `next_table`, `dead_letters`.
    Meta,
    /// Sequence number u64 → [`LogRecord`](super::log::LogRecord).
    Log,
    /// XXH3-128 of an event id, or of a served page and position → [`DedupeRecord`](super::record::DedupeRecord).
    Dedupe,
    /// SHA-256 of an imported file u8x32 → next row ordinal u64.
    Imports,
    /// XXH3-64 of an item id → [`ItemRecord`](super::item::ItemRecord).
    Items,
    /// XXH3-64 of an item id → [`ItemTotals`](super::record::ItemTotals).
    Totals,
    /// (item hash, hour since 1970 u32) → [`Counters`](edgewise_wire::counters::Counters).
    Hourly,
    /// XXH3-64 of a user id → [`UserRecord`](super::record::UserRecord).
    Users,
    /// XXH3-64 of an author id → id.
    Authors,
    /// User number → [`RecentEvents`](super::record::RecentEvents).
    Recent,
    /// (user number, author hash) → [`Follow`](super::record::Follow).
    Follows,
    /// (user number, 0 item or 1 author u8, hash) → domain time, Unix ms.
    Hides,
    /// (user number, UTC day u32), item hash → domain time last seen that day, Unix ms, in
    /// [blocks](super::block).
    Seen,
    /// (user number, UTC day u32), author hash → interactions u32, in [blocks](super::block).
    Affinity,
    /// (user number), item hash → [`Reaction`](super::reaction::Reaction), in
    /// [blocks](super::block).
    Reactions,
    /// (UTC day u32, block of 64 user numbers u64) → [`ActivityBlock`](super::activity::ActivityBlock).
    Activity,
    /// UTC day u32 → [`DayStats`](super::record::DayStats).
    Days,
    /// User number → user id: gone with the user.
    UserIds,
    /// Source name → [`SourceRecord`](super::source::SourceRecord).
    Sources,
    /// (source name, checkpoint name) → bytes of the source.
    Checkpoints,
    /// (mapped table u32, 0, block of 64 integer keys u64) → [`RowBlock`](super::memory::RowBlock);
    /// (mapped table u32, 1, key u128) → [`RememberedRow`](super::memory::RememberedRow).
    Rows,
    /// Number u64 → [`DeadLetter`](crate::ingest::rows::DeadLetter).
    DeadLetters,
    /// (mapped table u32, 0, key i64) or (mapped table u32, 1, key u128) → number in
    /// [`Table::DeadLetters`].
    DeadKeys,
    /// Wall time it was asked for, Unix ms u64 (the next free one) →
    /// [`PurgeRecord`](super::purge::PurgeRecord).
    Purges,
}

impl Table {
    /// All tables in discriminant order.
    pub const ALL: [Self; 24] = [
        Self::Meta,
        Self::Log,
        Self::Dedupe,
        Self::Imports,
        Self::Items,
        Self::Totals,
        Self::Hourly,
        Self::Users,
        Self::Authors,
        Self::Recent,
        Self::Follows,
        Self::Hides,
        Self::Seen,
        Self::Affinity,
        Self::Reactions,
        Self::Activity,
        Self::Days,
        Self::UserIds,
        Self::Sources,
        Self::Checkpoints,
        Self::Rows,
        Self::DeadLetters,
        Self::DeadKeys,
        Self::Purges,
    ];

    /// Its name in the file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Log => "log",
            Self::Dedupe => "dedupe",
            Self::Imports => "imports",
            Self::Items => "items",
            Self::Totals => "totals",
            Self::Hourly => "hourly",
            Self::Users => "users",
            Self::Authors => "authors",
            Self::Recent => "recent",
            Self::Follows => "follows",
            Self::Hides => "hides",
            Self::Seen => "seen_blocks",
            Self::Affinity => "affinity_blocks",
            Self::Reactions => "reaction_blocks",
            Self::Activity => "activity_blocks",
            Self::Days => "days",
            Self::UserIds => "user_ids",
            Self::Sources => "sources",
            Self::Checkpoints => "checkpoints",
            Self::Rows => "rows",
            Self::DeadLetters => "dead_letters",
            Self::DeadKeys => "dead_keys",
            Self::Purges => "purges",
        }
    }
}
