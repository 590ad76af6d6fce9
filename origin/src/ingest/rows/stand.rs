//! Likes, shares, follows and hides by rows: each row is a statement that stands until the row
//! is taken back, whatever order rows come in.
//!
//! Of a user's statements on an item the earliest holds the hot score. A row of an undo
//! (unlike, unfollow) that finds nothing owes one: the next statement is its.

use edgewise_ranking::id_hash;
use edgewise_wire::api::EventType;
use edgewise_wire::counters::Counters;
use thin_vec::ThinVec;

use crate::ingest::apply::{Context, bump};
use crate::ingest::batch::Batch;
use crate::ingest::{FollowChange, Hidden};
use crate::store::memory::Taken;
use crate::store::reaction::{Reaction, Standing};
use crate::store::{StoreError, keys};

/// The hot score's weight of a user's like, share or follow moves from one time to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::ingest) struct Shift {
    pub(in crate::ingest) from: Option<i64>,
    pub(in crate::ingest) to: Option<i64>,
}

/// What can stand and be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    Likes,
    Follows,
}

impl Stand {
    pub(super) fn of(self, reaction: &mut Reaction) -> &mut Standing {
        match self {
            Self::Likes => &mut reaction.likes,
            Self::Follows => &mut reaction.follows,
        }
    }

    pub(super) fn counter(self, counters: &mut Counters) -> &mut u32 {
        match self {
            Self::Likes => &mut counters.likes,
            Self::Follows => &mut counters.follows,
        }
    }
}

/// Adds a row's statement that may hold the hot score.
pub(super) fn add_row(standing: &mut Standing, ts_ms: i64) -> Shift {
    insert(&mut standing.rows_ms, ts_ms);
    let before = standing.hot_at_ms;
    let is_earliest = before.is_none_or(|hot_ms| standing.hot_by_row && ts_ms < hot_ms);
    if !is_earliest {
        return Shift::default();
    }
    standing.hot_at_ms = Some(ts_ms);
    standing.hot_by_row = true;
    Shift {
        from: before,
        to: Some(ts_ms),
    }
}

/// Lets the hot score follow after a statement went; also returns the time of a row's statement
/// that went with it.
pub(in crate::ingest) fn settle(standing: &mut Standing) -> (Shift, Option<i64>) {
    let left = standing.count();
    let mut gone = None;
    while standing.rows_ms.len() > left as usize {
        gone = standing.rows_ms.pop();
    }
    let before = standing.hot_at_ms;
    let first = standing.rows_ms.first().copied();
    if left == 0 {
        standing.hot_at_ms = None;
        standing.hot_by_row = false;
    } else if standing.hot_by_row && before != first {
        standing.hot_at_ms = first;
        standing.hot_by_row = first.is_some();
    }
    let shift = Shift {
        from: before,
        to: standing.hot_at_ms,
    };
    (shift, gone)
}

/// Adds to ascending times.
pub(super) fn insert(times: &mut ThinVec<i64>, ts_ms: i64) {
    let index = times.partition_point(|&time| time <= ts_ms);
    times.insert(index, ts_ms);
}

/// Removes one from ascending times.
pub(super) fn remove(times: &mut ThinVec<i64>, ts_ms: i64) -> bool {
    let found = times.binary_search(&ts_ms);
    found.map(|index| times.remove(index)).is_ok()
}

impl Batch<'_> {
    /// Applies a row that is a like, share, follow, hide or an undo.
    pub(in crate::ingest) fn apply_standing_row(
        &mut self,
        context: &mut Context<'_>,
    ) -> Result<(), StoreError> {
        match context.event.kind {
            EventType::Like => {
                self.stand_row(context, Stand::Likes)?;
                self.interaction(context, context.author())
            }
            EventType::Unlike => self.undo_row(context, Stand::Likes),
            EventType::Share => self.share_row(context),
            EventType::Follow => {
                if let Some(author) = context.followed() {
                    let event = context.event;
                    let follow = (event.user, context.user_id, author);
                    self.follow_row(follow, 1, event.ts_ms, event.item)?;
                }
                self.stand_row(context, Stand::Follows)?;
                self.interaction(context, context.followed())
            }
            EventType::Unfollow => {
                context.effect.author = context.followed();
                if let Some(author) = context.followed() {
                    let event = context.event;
                    let follow = (event.user, context.user_id, author);
                    self.follow_row(follow, -1, event.ts_ms, None)?;
                }
                self.undo_row(context, Stand::Follows)
            }
            EventType::Hide => self.hide_row(context),
            _ => Ok(()),
        }
    }

    fn stand_row(&mut self, context: &mut Context<'_>, stand: Stand) -> Result<(), StoreError> {
        let Some(item) = context.event.item else {
            return Ok(());
        };
        let (hour, ts_ms) = (context.hour(), context.event.ts_ms);
        let standing = stand.of(self.reaction(context.event.user, item)?);
        if standing.owed > 0 {
            standing.owed -= 1;
            // It is not in the counters.
            context.effect.taken = Some(Taken { hour, row_ms: None });
            return Ok(());
        }
        standing.push(hour);
        let shift = if context.is_outlier {
            Shift::default()
        } else {
            add_row(standing, ts_ms)
        };
        self.count(context, |counters| bump(stand.counter(counters)))?;
        self.warm(context, 0.0)?;
        self.shift(item, shift, self.weight(stand))?;
        context.effect.is_hot = shift.to == Some(ts_ms);
        Ok(())
    }

    fn undo_row(&mut self, context: &mut Context<'_>, stand: Stand) -> Result<(), StoreError> {
        let Some(item) = context.event.item else {
            return Ok(());
        };
        let standing = stand.of(self.reaction(context.event.user, item)?);
        let hours = standing.by_hour.iter().enumerate();
        let newest = hours.max_by_key(|(_, (hour, _))| *hour).map(|(at, _)| at);
        let Some(hour) = newest.and_then(|newest| standing.remove(newest)) else {
            standing.owed += 1;
            return Ok(());
        };
        let (shift, row_ms) = settle(standing);
        context.effect.taken = Some(Taken { hour, row_ms });
        self.uncount(item, hour, |counters| less(stand.counter(counters)))?;
        self.shift(item, shift, self.weight(stand))
    }

    fn share_row(&mut self, context: &mut Context<'_>) -> Result<(), StoreError> {
        if let Some(item) = context.event.item {
            let ts_ms = context.event.ts_ms;
            let mut shift = Shift::default();
            if !context.is_outlier {
                let reaction = self.reaction(context.event.user, item)?;
                shift.from = reaction.shares_ms.first().copied();
                insert(&mut reaction.shares_ms, ts_ms);
                shift.to = reaction.shares_ms.first().copied();
                if reaction.shared || shift.from == shift.to {
                    shift = Shift::default();
                }
            }
            self.count(context, |counters| bump(&mut counters.shares))?;
            self.warm(context, 0.0)?;
            self.shift(item, shift, self.hot.share)?;
            context.effect.is_hot = shift.to.is_some();
        }
        self.interaction(context, context.author())
    }

    fn hide_row(&mut self, context: &mut Context<'_>) -> Result<(), StoreError> {
        let event = context.event;
        self.count(context, |counters| bump(&mut counters.hides))?;
        for (kind, hash, hidden) in hidden(event.item, event.author) {
            let key = keys::hide(event.user, kind, hash);
            let hide = self.tables.hides.entry(&*self.stored, key)?;
            hide.at_ms = hide.at_ms.max(event.ts_ms);
            hide.rows += 1;
            self.hides.push((context.user_id.to_owned(), hidden));
        }
        Ok(())
    }

    /// A row says (`by` = 1), or says no longer (-1), that a user (number, id) follows an author.
    pub(super) fn follow_row(
        &mut self,
        (number, user, author): (u64, &str, u64),
        by: i64,
        since_ms: i64,
        via: Option<u64>,
    ) -> Result<(), StoreError> {
        let key = keys::pair(number, author);
        let follow = self.tables.follows.entry(&*self.stored, key)?;
        let before = follow.stands();
        follow.rows += by;
        let after = follow.stands();
        if after && !before {
            (follow.since_ms, follow.via) = (since_ms, via);
        } else if via.is_some() {
            follow.via = via;
        }
        if follow.is_empty() {
            self.tables.follows.remove(&*self.stored, key)?;
        }
        if before != after {
            self.follows.push(FollowChange {
                user: user.to_owned(),
                author,
                follows: after,
            });
        }
        Ok(())
    }

    pub(super) const fn weight(&self, stand: Stand) -> f64 {
        match stand {
            Stand::Likes => self.hot.like,
            Stand::Follows => self.hot.follow,
        }
    }

    /// Moves a weight in the hot sums.
    pub(in crate::ingest) fn shift(
        &mut self,
        item: u64,
        shift: Shift,
        weight: f64,
    ) -> Result<(), StoreError> {
        if shift.from == shift.to {
            return Ok(());
        }
        self.cool(item, shift.from, weight)?;
        let Some(to_ms) = shift.to else { return Ok(()) };
        let key = keys::number(item);
        let totals = self.tables.totals.entry(&*self.stored, key)?;
        for (hot, half_life) in totals.hot.iter_mut().zip(self.hot.half_life_minutes) {
            *hot = hot.add(weight, to_ms, half_life);
        }
        Ok(())
    }

    /// Changes an item's counters and those of `hour`; an hour with nothing left is removed.
    pub(super) fn uncount(
        &mut self,
        item: u64,
        hour: u32,
        take: impl Fn(&mut Counters),
    ) -> Result<(), StoreError> {
        let totals = self
            .tables
            .totals
            .entry(&*self.stored, keys::number(item))?;
        take(&mut totals.counters);
        let key = keys::number_slot(item, hour);
        let hourly = self.tables.hourly.entry(&*self.stored, key)?;
        take(hourly);
        if *hourly == Counters::default() {
            self.tables.hourly.remove(&*self.stored, key)?;
        }
        self.touched.insert(item);
        Ok(())
    }
}

/// What a hide is of: the key's second part, the hash, and what subscribers are told.
pub(super) fn hidden(
    item: Option<u64>,
    author: Option<u64>,
) -> impl Iterator<Item = (u8, u64, Hidden)> {
    let item = item.map(|item| (keys::HIDDEN_ITEM, item, Hidden::Item(item)));
    let author = author.map(|author| (keys::HIDDEN_AUTHOR, author, Hidden::Author(author)));
    [item, author].into_iter().flatten()
}

/// Counts one less, never below 0.
pub(super) fn less(count: &mut u32) {
    *count = count.saturating_sub(1);
}

/// The hash of an optional id.
pub(super) fn hash_of(id: Option<&super::Id>) -> Option<u64> {
    id.map(|id| id_hash(id))
}
