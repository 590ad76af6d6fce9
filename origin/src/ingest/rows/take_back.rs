//! Takes back exactly what a row's event added.
//!
//! Activity, days, what was seen, which kinds of interaction there ever were and the time of an
//! item's newest event stay: they say what happened, not what stands. Of a user whose data was
//! deleted only items' totals are left to take back.

use edgewise_wire::api::EventType;
use edgewise_wire::counters::Counters;

use super::stand::{Shift, Stand, add_row, hidden, less, remove, settle};
use crate::ingest::apply::bump;
use crate::ingest::batch::Batch;
use crate::store::memory::RowEvent;
use crate::store::{StoreError, keys, read};

impl Batch<'_> {
    /// The id of a user number; `None` once the user's data was deleted.
    pub(super) fn user_id(&mut self, number: u64) -> Result<Option<String>, StoreError> {
        if let Some(known) = self.users.get(&number) {
            return Ok(Some(known.clone()));
        }
        let key = keys::number(number);
        Ok(self.tables.user_ids.get(&*self.stored, key)?.cloned())
    }

    /// Takes back what `event` added; counters never go below 0.
    pub(super) fn take_back(&mut self, event: &RowEvent) -> Result<(), StoreError> {
        let user = self.user_id(event.user)?;
        match event.kind {
            EventType::Like => self.unstand(event, Stand::Likes, user.is_some())?,
            EventType::Unlike => self.redo(event, Stand::Likes, user.is_some())?,
            EventType::Share => self.unshare(event, user.is_some())?,
            EventType::Follow => {
                if let (Some(user), Some(author)) = (&user, event.effect.author) {
                    self.follow_row((event.user, user, author), -1, event.ts_ms, None)?;
                }
                self.unstand(event, Stand::Follows, user.is_some())?;
            }
            EventType::Unfollow => {
                if let (Some(user), Some(author)) = (&user, event.effect.author) {
                    self.follow_row((event.user, user, author), 1, event.ts_ms, None)?;
                }
                self.redo(event, Stand::Follows, user.is_some())?;
            }
            _ => self.uncount_event(event)?,
        }
        let Some(user) = user else { return Ok(()) };
        if event.kind == EventType::Hide {
            self.unhide(event)?;
        } else if event.kind != EventType::Unfollow {
            self.part(event)?;
        }
        self.users.entry(event.user).or_insert(user);
        Ok(())
    }

    /// What counts each for itself.
    fn uncount_event(&mut self, event: &RowEvent) -> Result<(), StoreError> {
        let Some(item) = event.item else {
            return Ok(());
        };
        self.uncount(item, event.hour(), |counters| take_from(counters, event))?;
        let weight = match event.kind {
            EventType::View if event.is_completed() == Some(true) => self.hot.completed_view,
            EventType::View => self.hot.view,
            EventType::Click => self.hot.click,
            EventType::Comment => self.hot.comment,
            _ => return Ok(()),
        };
        let at_ms = event.effect.is_hot.then_some(event.ts_ms);
        self.cool(item, at_ms, weight)
    }

    /// A like or follow no longer stands.
    fn unstand(
        &mut self,
        event: &RowEvent,
        stand: Stand,
        is_known: bool,
    ) -> Result<(), StoreError> {
        let Some(item) = event.item else {
            return Ok(());
        };
        let (hour, shift) = if is_known {
            let standing = stand.of(self.reaction(event.user, item)?);
            let hours = standing.by_hour.iter();
            let same = hours.clone().rposition(|(hour, _)| *hour == event.hour());
            let index = same.or(hours.len().checked_sub(1));
            let Some(hour) = index.and_then(|index| standing.remove(index)) else {
                // An undo took it: that one finds nothing now.
                standing.owed += 1;
                return Ok(());
            };
            remove(&mut standing.rows_ms, event.ts_ms);
            (hour, settle(standing).0)
        } else if event.effect.taken.is_some() {
            return Ok(());
        } else {
            (event.hour(), held(event))
        };
        self.uncount(item, hour, |counters| less(stand.counter(counters)))?;
        self.shift(item, shift, self.weight(stand))
    }

    /// An undo no longer stands.
    fn redo(&mut self, event: &RowEvent, stand: Stand, is_known: bool) -> Result<(), StoreError> {
        let Some(item) = event.item else {
            return Ok(());
        };
        let taken = event.effect.taken;
        let hour = taken.map_or(event.hour(), |taken| taken.hour);
        let mut shift = Shift::default();
        if is_known {
            let standing = stand.of(self.reaction(event.user, item)?);
            if standing.owed > 0 {
                standing.owed -= 1;
                return Ok(());
            }
            standing.push(hour);
            if let Some(row_ms) = taken.and_then(|taken| taken.row_ms) {
                shift = add_row(standing, row_ms);
            }
        } else if taken.is_none() {
            return Ok(());
        }
        self.uncount(item, hour, |counters| bump(stand.counter(counters)))?;
        self.shift(item, shift, self.weight(stand))
    }

    fn unshare(&mut self, event: &RowEvent, is_known: bool) -> Result<(), StoreError> {
        let Some(item) = event.item else {
            return Ok(());
        };
        let mut shift = held(event);
        if is_known {
            let reaction = self.reaction(event.user, item)?;
            shift.from = reaction.shares_ms.first().copied();
            remove(&mut reaction.shares_ms, event.ts_ms);
            shift.to = reaction.shares_ms.first().copied();
            if reaction.shared {
                shift = Shift::default();
            }
        }
        self.uncount(item, event.hour(), |counters| less(&mut counters.shares))?;
        self.shift(item, shift, self.hot.share)
    }

    fn unhide(&mut self, event: &RowEvent) -> Result<(), StoreError> {
        for (kind, hash, _) in hidden(event.item, event.named) {
            let key = keys::hide(event.user, kind, hash);
            let hide = self.tables.hides.entry(&*self.stored, key)?;
            hide.rows = hide.rows.saturating_sub(1);
            if hide.rows == 0 && !hide.called {
                self.tables.hides.remove(&*self.stored, key)?;
            }
        }
        Ok(())
    }

    /// An interaction less with the author.
    fn part(&mut self, event: &RowEvent) -> Result<(), StoreError> {
        let Some(author) = event.effect.author else {
            return Ok(());
        };
        let day = keys::number_slot(event.user, keys::day_of(event.ts_ms));
        let count = self.tables.affinity.entry(&*self.stored, day, author)?;
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.tables.affinity.remove(&*self.stored, day, author)?;
        }
        Ok(())
    }

    /// Bytes of a source's checkpoint.
    pub(super) fn checkpoint(
        &self,
        source: &str,
        name: &str,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        read::checkpoint(&*self.stored, source, name)
    }
}

/// The hot weight of a deleted user's row: as it was when the row came.
fn held(event: &RowEvent) -> Shift {
    Shift {
        from: event.effect.is_hot.then_some(event.ts_ms),
        to: None,
    }
}

fn take_from(counters: &mut Counters, event: &RowEvent) {
    match event.kind {
        EventType::Impression => less(&mut counters.impressions),
        EventType::View => {
            less(&mut counters.views);
            let (Some(is_completed), Some(watch_ms)) = (event.is_completed(), event.watch_ms)
            else {
                return;
            };
            if is_completed {
                less(&mut counters.completed_views);
            }
            less(&mut counters.timed_views);
            let ratio = f64::from(watch_ms) / f64::from(event.effect.duration_ms);
            let sum = counters.watch_ratio_sum - ratio.min(1.0);
            // Rounding must not leave a sum of nothing.
            counters.watch_ratio_sum = if counters.timed_views == 0 {
                0.0
            } else {
                sum.max(0.0)
            };
        }
        EventType::Click => less(&mut counters.clicks),
        EventType::Comment => less(&mut counters.comments),
        EventType::Hide => less(&mut counters.hides),
        EventType::Purchase => less(&mut counters.purchases),
        // These stand, or undo what stands.
        EventType::Like
        | EventType::Unlike
        | EventType::Share
        | EventType::Follow
        | EventType::Unfollow => {}
    }
}
