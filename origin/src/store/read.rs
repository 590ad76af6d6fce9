//! What serving reads: a user's state, items, hours, the log, and scans over everybody.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use edgewise_ranking::id_hash;
use edgewise_wire::counters::Counters;

use super::activity::ActivityBlock;
use super::block::{self, Packable, VisitEntry};
use super::error::StoreError;
use super::item::ItemRecord;
use super::log::LogRecord;
use super::reaction::Reaction;
use super::record::{Follow, ItemTotals, RecentEvents, Record, UserRecord};
use super::table::Table;
use super::{Range, Snapshot, keys};
use crate::ingest::{ItemState, SourceHash};

mod sources;
pub use sources::{
    checkpoint, checkpoints, dead_counts, dead_letter, dead_letter_count, dead_letters, row, rows,
    sources, tables,
};

/// Days of interactions that count: today and the 89 before.
pub const AFFINITY_DAYS: u32 = 90;
/// Likes in [`UserState::recent_likes`] at most.
pub const RECENT_LIKES_MAX: usize = 64;

/// What candidates and ranking need to know of a user. Items and authors are XXH3-64 of ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserState {
    /// Whether the user ever had an event or follow.
    pub known: bool,
    /// Followed authors, ascending.
    pub follows: Vec<u64>,
    /// Hidden authors, ascending.
    pub hidden_authors: Vec<u64>,
    /// Hidden items, ascending.
    pub hidden_items: Vec<u64>,
    /// Items seen in the window asked for with the domain time last seen, ascending by item.
    pub seen: Vec<(u64, i64)>,
    /// Interactions with authors today and in the 89 days before, ascending by author.
    pub interactions: Vec<(u64, u32)>,
    /// Items with a like that was not taken back, with the domain time of the user's newest
    /// interaction with it, newest first, at most [`RECENT_LIKES_MAX`].
    pub recent_likes: Vec<(u64, i64)>,
    /// Short hashes of the event ids of the last interactions, newest first, at most 64.
    pub applied_events: Vec<u32>,
    /// Domain time of the newest event, Unix ms; 0 where there is none.
    pub last_event_ms: i64,
}

/// What a user did with an item, for co-engagement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engagement {
    /// User number (see [`users`]).
    pub user: u64,
    /// XXH3-64 of the item id.
    pub item: u64,
    /// Domain time of the newest interaction, Unix ms.
    pub last_ms: i64,
    /// Bit set over `EventType`: which interactions happened at all.
    pub kinds: u16,
    /// Likes that were not taken back.
    pub likes: u32,
}

/// Sequence number of the log's last record; 0 where there is none.
///
/// # Errors
/// Where the store fails or a record is corrupt; so for every reader below.
pub fn position(snapshot: &dyn Snapshot) -> Result<u64, StoreError> {
    Ok(get::<u64>(snapshot, Table::Meta, keys::POSITION)?.unwrap_or(0))
}

/// The next row of a file that was not imported yet.
///
/// # Errors
/// See [`position`].
pub fn import_position(snapshot: &dyn Snapshot, source: &SourceHash) -> Result<u64, StoreError> {
    Ok(get::<u64>(snapshot, Table::Imports, &source.0)?.unwrap_or(0))
}

/// The user's state at domain time `now_ms`, with what was seen in the last `seen_window_ms`;
/// empty for an unknown user.
///
/// # Errors
/// See [`position`].
pub fn user_state(
    snapshot: &dyn Snapshot,
    user: &str,
    now_ms: i64,
    seen_window_ms: i64,
) -> Result<UserState, StoreError> {
    let Some(number) = user_number(snapshot, user)? else {
        return Ok(UserState::default());
    };
    let recent = get::<RecentEvents>(snapshot, Table::Recent, &keys::number(number))?;
    let recent = recent.unwrap_or_default();
    let (hidden_items, hidden_authors) = hides(snapshot, number)?;
    Ok(UserState {
        known: true,
        follows: follows_of(snapshot, number)?,
        hidden_authors,
        hidden_items,
        seen: seen(snapshot, number, now_ms.saturating_sub(seen_window_ms))?,
        interactions: interactions(snapshot, number, now_ms)?,
        recent_likes: recent_likes(snapshot, number)?,
        applied_events: recent.applied.iter().rev().copied().collect(),
        last_event_ms: recent.last_event_ms,
    })
}

/// The number of a user id.
///
/// # Errors
/// See [`position`].
pub fn user_number(snapshot: &dyn Snapshot, user: &str) -> Result<Option<u64>, StoreError> {
    let record = get::<UserRecord>(snapshot, Table::Users, &keys::number(id_hash(user)))?;
    Ok(record
        .filter(|record| record.id == user)
        .map(|record| record.number))
}

/// The id of a user number; `None` once the user's data was deleted.
///
/// # Errors
/// See [`position`].
pub fn user_id(snapshot: &dyn Snapshot, number: u64) -> Result<Option<String>, StoreError> {
    get(snapshot, Table::UserIds, &keys::number(number))
}

/// Visits every user, ascending by the XXH3-64 of the id.
///
/// # Errors
/// See [`position`].
pub fn users(snapshot: &dyn Snapshot, visit: &mut dyn FnMut(UserRecord)) -> Result<(), StoreError> {
    snapshot.scan(Table::Users, &Range::all(), &mut |_, value| {
        visit(UserRecord::decode(Table::Users, value)?);
        Ok(ControlFlow::Continue(()))
    })
}

/// The id of an author hash; known once an item or follow named the author.
///
/// # Errors
/// See [`position`].
pub fn author_id(snapshot: &dyn Snapshot, author: u64) -> Result<Option<String>, StoreError> {
    get(snapshot, Table::Authors, &keys::number(author))
}

/// The item; `None` where neither facts nor an event ever named it.
///
/// # Errors
/// See [`position`].
pub fn item(snapshot: &dyn Snapshot, id: &str) -> Result<Option<ItemState>, StoreError> {
    let hash = id_hash(id);
    let key = keys::number(hash);
    let Some(record) = get::<ItemRecord>(snapshot, Table::Items, &key)? else {
        return Ok(None);
    };
    if record.id != id {
        return Ok(None);
    }
    let totals = get::<ItemTotals>(snapshot, Table::Totals, &key)?.unwrap_or_default();
    Ok(Some(item_state(hash, record, &totals)))
}

/// Visits every item that facts or an event ever named, deleted ones too, ascending by hash.
///
/// # Errors
/// See [`position`].
pub fn all_items(
    snapshot: &dyn Snapshot,
    visit: &mut dyn FnMut(ItemState),
) -> Result<(), StoreError> {
    snapshot.scan(Table::Items, &Range::all(), &mut |key, value| {
        let record = ItemRecord::decode(Table::Items, value)?;
        let totals = get::<ItemTotals>(snapshot, Table::Totals, key)?.unwrap_or_default();
        visit(item_state(key_u64(Table::Items, key, 0)?, record, &totals));
        Ok(ControlFlow::Continue(()))
    })
}

/// An item's counters by hour since 1970, hours `from` to `to` (exclusive), ascending.
///
/// # Errors
/// See [`position`].
pub fn hourly(
    snapshot: &dyn Snapshot,
    id: &str,
    from: u32,
    to: u32,
) -> Result<Vec<(u32, Counters)>, StoreError> {
    let item = id_hash(id);
    let range = Range::between(&keys::number_slot(item, from), &keys::number_slot(item, to));
    let mut hours = Vec::new();
    snapshot.scan(Table::Hourly, &range, &mut |key, value| {
        let hour = key_u32(Table::Hourly, key, 8)?;
        hours.push((hour, Counters::decode(Table::Hourly, value)?));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(hours)
}

/// Visits the log from sequence number `from` on, in order, until `visit` breaks.
///
/// # Errors
/// See [`position`].
pub fn log_from(
    snapshot: &dyn Snapshot,
    from: u64,
    visit: &mut dyn FnMut(u64, LogRecord) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let range = Range::from_key(&keys::number(from));
    snapshot.scan(Table::Log, &range, &mut |key, value| {
        Ok(visit(
            key_u64(Table::Log, key, 0)?,
            LogRecord::decode(Table::Log, value)?,
        ))
    })
}

/// Visits what every user did with every item, ascending by (user number, item).
///
/// # Errors
/// See [`position`].
pub fn engagements(
    snapshot: &dyn Snapshot,
    visit: &mut dyn FnMut(Engagement),
) -> Result<(), StoreError> {
    let all = Range::all();
    entries::<Reaction>(
        snapshot,
        Table::Reactions,
        &all,
        &mut |prefix, item, reaction| {
            visit(Engagement {
                user: key_u64(Table::Reactions, prefix, 0)?,
                item,
                last_ms: reaction.last_ms,
                kinds: reaction.kinds,
                likes: reaction.likes.count(),
            });
            Ok(())
        },
    )
}

/// Visits every (user number, author hash, follow), ascending.
///
/// # Errors
/// See [`position`].
pub fn all_follows(
    snapshot: &dyn Snapshot,
    visit: &mut dyn FnMut(u64, u64, Follow),
) -> Result<(), StoreError> {
    snapshot.scan(Table::Follows, &Range::all(), &mut |key, value| {
        let user = key_u64(Table::Follows, key, 0)?;
        let author = key_u64(Table::Follows, key, 8)?;
        let follow = Follow::decode(Table::Follows, value)?;
        if follow.stands() {
            visit(user, author, follow);
        }
        Ok(ControlFlow::Continue(()))
    })
}

/// The ids of the users with most events on UTC days `from_day` to `to_day` (inclusive),
/// most first, ties ascending by id, at most `limit`.
///
/// # Errors
/// See [`position`].
pub fn active_users(
    snapshot: &dyn Snapshot,
    from_day: u32,
    to_day: u32,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let mut events: BTreeMap<u64, u64> = BTreeMap::new();
    activity(snapshot, from_day, to_day, &mut |_, user, count| {
        *events.entry(user).or_default() += u64::from(count);
    })?;
    let mut active = Vec::new();
    users(snapshot, &mut |user| {
        if let Some(&count) = events.get(&user.number) {
            active.push((count, user.id));
        }
    })?;
    active.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
    active.truncate(limit);
    Ok(active.into_iter().map(|(_, id)| id).collect())
}

/// Visits every (day, user number, events) of UTC days `from_day` to `to_day` (inclusive),
/// ascending.
///
/// # Errors
/// See [`position`].
pub fn activity(
    snapshot: &dyn Snapshot,
    from_day: u32,
    to_day: u32,
    visit: &mut dyn FnMut(u32, u64, u32),
) -> Result<(), StoreError> {
    let range = Range {
        from: from_day.to_be_bytes().to_vec(),
        ..Range::default()
    };
    snapshot.scan(Table::Activity, &range, &mut |key, value| {
        let day = key_u32(Table::Activity, key, 0)?;
        if day > to_day {
            return Ok(ControlFlow::Break(()));
        }
        let block = key_u64(Table::Activity, key, 4)?;
        for (user, count) in ActivityBlock::decode(Table::Activity, value)?.counts(block) {
            visit(day, user, count);
        }
        Ok(ControlFlow::Continue(()))
    })
}

/// Authors that a user number follows, ascending.
///
/// # Errors
/// See [`position`].
pub fn follows_of(snapshot: &dyn Snapshot, user: u64) -> Result<Vec<u64>, StoreError> {
    let mut authors = Vec::new();
    snapshot.scan(
        Table::Follows,
        &Range::prefix(&keys::number(user)),
        &mut |key, value| {
            if Follow::decode(Table::Follows, value)?.stands() {
                authors.push(key_u64(Table::Follows, key, 8)?);
            }
            Ok(ControlFlow::Continue(()))
        },
    )?;
    Ok(authors)
}

fn hides(snapshot: &dyn Snapshot, user: u64) -> Result<(Vec<u64>, Vec<u64>), StoreError> {
    let (mut items, mut authors) = (Vec::new(), Vec::new());
    snapshot.scan(
        Table::Hides,
        &Range::prefix(&keys::number(user)),
        &mut |key, _| {
            let hash = key_u64(Table::Hides, key, 9)?;
            match key.get(8) {
                Some(&keys::HIDDEN_ITEM) => items.push(hash),
                _ => authors.push(hash),
            }
            Ok(ControlFlow::Continue(()))
        },
    )?;
    Ok((items, authors))
}

fn seen(snapshot: &dyn Snapshot, user: u64, since_ms: i64) -> Result<Vec<(u64, i64)>, StoreError> {
    let range = Range {
        from: keys::number_slot(user, keys::day_of(since_ms)).to_vec(),
        ..Range::prefix(&keys::number(user))
    };
    let mut last: BTreeMap<u64, i64> = BTreeMap::new();
    entries::<i64>(snapshot, Table::Seen, &range, &mut |_, item, at_ms| {
        if at_ms >= since_ms {
            let known = last.entry(item).or_insert(at_ms);
            *known = at_ms.max(*known);
        }
        Ok(())
    })?;
    Ok(last.into_iter().collect())
}

fn interactions(
    snapshot: &dyn Snapshot,
    user: u64,
    now_ms: i64,
) -> Result<Vec<(u64, u32)>, StoreError> {
    let today = keys::day_of(now_ms);
    let first = today.saturating_sub(AFFINITY_DAYS - 1);
    let range = Range::between(
        &keys::number_slot(user, first),
        &keys::number_slot(user, today.saturating_add(1)),
    );
    let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
    entries::<u64>(
        snapshot,
        Table::Affinity,
        &range,
        &mut |_, author, count| {
            let sum = counts.entry(author).or_default();
            *sum = sum.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
            Ok(())
        },
    )?;
    Ok(counts.into_iter().collect())
}

fn recent_likes(snapshot: &dyn Snapshot, user: u64) -> Result<Vec<(u64, i64)>, StoreError> {
    let mut likes = Vec::new();
    let range = Range::prefix(&keys::number(user));
    entries::<Reaction>(
        snapshot,
        Table::Reactions,
        &range,
        &mut |_, item, reaction| {
            if reaction.likes.count() > 0 {
                likes.push((item, reaction.last_ms));
            }
            Ok(())
        },
    )?;
    likes.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(&other.0)));
    likes.truncate(RECENT_LIKES_MAX);
    Ok(likes)
}

/// Visits the entries of the blocks in `range`, ascending: prefix, hash and value (see
/// [`block`]).
///
/// # Errors
/// See [`position`].
pub fn entries<V: Packable>(
    snapshot: &dyn Snapshot,
    table: Table,
    range: &Range,
    visit: &mut VisitEntry<'_, V>,
) -> Result<(), StoreError> {
    snapshot.scan(table, range, &mut |key, value| {
        block::entries(table, key, value, visit)?;
        Ok(ControlFlow::Continue(()))
    })
}

fn item_state(hash: u64, record: ItemRecord, totals: &ItemTotals) -> ItemState {
    ItemState {
        hash,
        id: record.id,
        first_written: record.item.is_some().then_some(record.first_written),
        item: record.item.map(Arc::new),
        deleted_at_ms: record.deleted_at_ms,
        counters: totals.counters,
        hot: totals.hot,
        last_event_ms: totals.last_event_ms,
    }
}

/// The record of `key`, decoded.
pub(crate) fn get<R: Record>(
    snapshot: &dyn Snapshot,
    table: Table,
    key: &[u8],
) -> Result<Option<R>, StoreError> {
    snapshot
        .get(table, key)?
        .map(|value| R::decode(table, &value))
        .transpose()
}

pub(crate) fn key_u64(table: Table, key: &[u8], at: usize) -> Result<u64, StoreError> {
    keys::read_u64(key, at).ok_or(StoreError::Corrupt {
        table,
        reason: "key is too short",
    })
}

pub(crate) fn key_u32(table: Table, key: &[u8], at: usize) -> Result<u32, StoreError> {
    keys::read_u32(key, at).ok_or(StoreError::Corrupt {
        table,
        reason: "key is too short",
    })
}
