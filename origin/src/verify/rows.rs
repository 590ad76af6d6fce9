//! The recount of what rows say: statements that stand until their row is taken back.

use edgewise_wire::api::EventType;
use edgewise_wire::counters::Counters;

use super::recount::{Recount, Stood, day, hour};
use crate::store::log::{FollowRow, LogEvent, RowLog};
use crate::store::memory::{RememberedRow, RowEvent};
use crate::store::record::Hide;

/// Rows of a mapped table that are remembered: how many, and the sum of their fingerprints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) rows: i64,
    pub(crate) sum: u64,
}

impl Remembered {
    pub(crate) fn add(&mut self, row: &RememberedRow) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(row.fingerprint());
    }

    fn remove(&mut self, row: &RememberedRow) {
        self.rows -= 1;
        self.sum = self.sum.wrapping_sub(row.fingerprint());
    }
}

impl Recount {
    pub(super) fn row(&mut self, table: u32, change: &RowLog) {
        let remembered = self.tables.entry(table).or_default();
        let row = RememberedRow::Event(change.event);
        if change.is_over {
            remembered.remove(&row);
            self.take_back(&change.event);
            return;
        }
        remembered.add(&row);
        self.event(&change.event.logged(table));
    }

    pub(super) fn follow_row(&mut self, table: u32, row: FollowRow, is_over: bool) {
        let remembered = self.tables.entry(table).or_default();
        let stated = RememberedRow::Follow {
            user: row.user,
            author: row.author,
            since_ms: row.since_ms,
        };
        if is_over {
            remembered.remove(&stated);
            if self.is_known(row.user) {
                self.state(row.user, row.author, -1, 0, None);
            }
        } else {
            remembered.add(&stated);
            self.users.entry(row.user).or_default();
            self.authors.insert(row.author, ());
            let since_ms = row.since_ms.unwrap_or(self.at.domain_ms);
            self.state(row.user, row.author, 1, since_ms, None);
        }
    }

    pub(super) fn forget_rows(&mut self, table: u32, rows: u64, sum: u64) {
        let remembered = self.tables.entry(table).or_default();
        remembered.rows -= rows as i64;
        remembered.sum = remembered.sum.wrapping_sub(sum);
    }

    /// A like, share, follow, hide or undo by a row.
    pub(super) fn standing_row(&mut self, event: &LogEvent, busy: bool) {
        let followed = event.author.or(self.author_of(event.item));
        match event.kind {
            EventType::Like => self.stand(event, busy),
            EventType::Unlike => self.undo(event),
            EventType::Follow => {
                if let Some(author) = followed {
                    self.state(event.user, author, 1, event.ts_ms, event.item);
                }
                self.stand(event, busy);
            }
            EventType::Unfollow => {
                if let Some(author) = followed {
                    self.state(event.user, author, -1, event.ts_ms, None);
                }
                self.undo(event);
            }
            EventType::Share => self.shared(event, busy),
            EventType::Hide => {
                for (kind, hash) in hidden(event.item, event.author) {
                    let fresh = Hide {
                        at_ms: event.ts_ms,
                        ..Hide::default()
                    };
                    let hide = self.hides.entry((event.user, kind, hash)).or_insert(fresh);
                    hide.at_ms = hide.at_ms.max(event.ts_ms);
                    hide.rows += 1;
                }
            }
            _ => {}
        }
    }

    fn state(&mut self, user: u64, author: u64, by: i64, since_ms: i64, via: Option<u64>) {
        let follow = self.follows.entry((user, author)).or_default();
        let stood = follow.called || follow.rows > 0;
        follow.rows += by;
        if !stood && (follow.called || follow.rows > 0) {
            follow.since_ms = since_ms;
            follow.via = via;
        } else if via.is_some() {
            follow.via = via;
        }
        if follow.rows == 0 && !follow.called {
            self.follows.remove(&(user, author));
        }
    }

    fn stand(&mut self, event: &LogEvent, busy: bool) {
        let Some(item) = event.item else { return };
        let stood = self.stood(event.user, item, event.kind);
        if stood.owed > 0 {
            stood.owed -= 1;
            return;
        }
        stood.made_ms.push(event.ts_ms);
        let before = stood.hot_at_ms;
        if !busy {
            stood.rows_ms.push(event.ts_ms);
            stood.rows_ms.sort_unstable();
            if before.is_none() || stood.hot_by_row {
                stood.hot_by_row = true;
                stood.hot_at_ms = stood.rows_ms.first().copied();
            }
        }
        let after = stood.hot_at_ms;
        self.stands(item, event.ts_ms, event.kind, 1);
        if !busy {
            self.repeat(item, event.ts_ms);
        }
        self.heat(item, event.kind, before, after);
    }

    fn undo(&mut self, event: &LogEvent) {
        let Some(item) = event.item else { return };
        let undone = match event.kind {
            EventType::Unlike => EventType::Like,
            _ => EventType::Follow,
        };
        let stood = self.stood(event.user, item, undone);
        let newest = stood.made_ms.iter().map(|&ts_ms| hour(ts_ms)).max();
        let Some(newest) = newest else {
            stood.owed += 1;
            return;
        };
        let taken_ms = stood.take(newest);
        let (before, after) = stood.settle();
        self.unstands(item, taken_ms, undone, -1);
        self.heat(item, undone, before, after);
    }

    fn shared(&mut self, event: &LogEvent, busy: bool) {
        let Some(item) = event.item.filter(|_| !busy) else {
            return;
        };
        let made = self.reactions.entry((event.user, item)).or_default();
        let before = made.shares_ms.first().copied();
        made.shares_ms.push(event.ts_ms);
        made.shares_ms.sort_unstable();
        let after = made.shares_ms.first().copied();
        let holds = !made.shared;
        self.repeat(item, event.ts_ms);
        if holds {
            self.heat(item, EventType::Share, before, after);
        }
    }

    fn take_back(&mut self, event: &RowEvent) {
        let known = self.is_known(event.user);
        let ended = match event.kind {
            EventType::Follow => Some(-1),
            EventType::Unfollow => Some(1),
            _ => None,
        };
        if let (Some(by), Some(author), true) = (ended, event.effect.author, known) {
            self.state(event.user, author, by, event.ts_ms, None);
        }
        match event.kind {
            EventType::Like | EventType::Follow => self.unstand(event, known),
            EventType::Unlike | EventType::Unfollow => self.redo(event, known),
            EventType::Share => self.unshare(event, known),
            _ => self.uncount(event),
        }
        if !known || event.kind == EventType::Unfollow {
            return;
        }
        if event.kind == EventType::Hide {
            for (kind, hash) in hidden(event.item, event.named) {
                if let Some(hide) = self.hides.get_mut(&(event.user, kind, hash)) {
                    hide.rows -= 1;
                    if hide.rows == 0 && !hide.called {
                        self.hides.remove(&(event.user, kind, hash));
                    }
                }
            }
        } else if let Some(author) = event.effect.author {
            let key = (event.user, day(event.ts_ms), author);
            if let Some(count) = self.affinity.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    self.affinity.remove(&key);
                }
            }
        }
    }

    fn unstand(&mut self, event: &RowEvent, known: bool) {
        let Some(item) = event.item else { return };
        let at_ms = event.ts_ms;
        if !known {
            if event.effect.taken.is_none() {
                self.unstands(item, at_ms, event.kind, -1);
                self.heat(item, event.kind, held(event), None);
            }
            return;
        }
        let stood = self.stood(event.user, item, event.kind);
        let has_hour = stood
            .made_ms
            .iter()
            .any(|&ts_ms| hour(ts_ms) == hour(at_ms));
        let Some(&last_ms) = stood.made_ms.last() else {
            stood.owed += 1;
            return;
        };
        let taken_ms = stood.take(hour(if has_hour { at_ms } else { last_ms }));
        if let Some(index) = stood.rows_ms.iter().position(|&ts_ms| ts_ms == at_ms) {
            stood.rows_ms.remove(index);
        }
        let (before, after) = stood.settle();
        self.unstands(item, taken_ms, event.kind, -1);
        self.heat(item, event.kind, before, after);
    }

    fn redo(&mut self, event: &RowEvent, known: bool) {
        let Some(item) = event.item else { return };
        let undone = match event.kind {
            EventType::Unlike => EventType::Like,
            _ => EventType::Follow,
        };
        let taken = event.effect.taken;
        let at_ms = taken.map_or(event.ts_ms, |taken| {
            taken
                .row_ms
                .filter(|&row_ms| hour(row_ms) == taken.hour)
                .unwrap_or(i64::from(taken.hour) * crate::store::keys::HOUR_MS)
        });
        if !known {
            if taken.is_some() {
                self.unstands(item, at_ms, undone, 1);
            }
            return;
        }
        let stood = self.stood(event.user, item, undone);
        if stood.owed > 0 {
            stood.owed -= 1;
            return;
        }
        stood.made_ms.push(at_ms);
        let before = stood.hot_at_ms;
        if let Some(row_ms) = taken.and_then(|taken| taken.row_ms) {
            stood.rows_ms.push(row_ms);
            stood.rows_ms.sort_unstable();
            if before.is_none() || stood.hot_by_row {
                stood.hot_by_row = true;
                stood.hot_at_ms = stood.rows_ms.first().copied();
            }
        }
        let after = stood.hot_at_ms;
        self.unstands(item, at_ms, undone, 1);
        self.heat(item, undone, before, after);
    }

    fn unshare(&mut self, event: &RowEvent, known: bool) {
        let Some(item) = event.item else { return };
        let (mut before, mut after) = (held(event), None);
        if known {
            let made = self.reactions.entry((event.user, item)).or_default();
            before = made.shares_ms.first().copied();
            let index = made.shares_ms.iter().position(|&at| at == event.ts_ms);
            if let Some(index) = index {
                made.shares_ms.remove(index);
            }
            after = made.shares_ms.first().copied();
            if made.shared {
                after = before;
            }
        }
        self.less(item, event.ts_ms, |counters| counters.shares -= 1);
        self.heat(item, EventType::Share, before, after);
    }

    fn uncount(&mut self, event: &RowEvent) {
        let Some(item) = event.item else { return };
        let completed = event.is_completed();
        self.less(item, event.ts_ms, |counters| match event.kind {
            EventType::Impression => counters.impressions -= 1,
            EventType::View => {
                counters.views -= 1;
                counters.completed_views -= u32::from(completed == Some(true));
                if let (Some(_), Some(watch_ms)) = (completed, event.watch_ms) {
                    counters.timed_views -= 1;
                    let ratio = watch_ms as f64 / event.effect.duration_ms as f64;
                    counters.watch_ratio_sum =
                        f64::max(0.0, counters.watch_ratio_sum - f64::min(1.0, ratio));
                    if counters.timed_views == 0 {
                        counters.watch_ratio_sum = 0.0;
                    }
                }
            }
            EventType::Click => counters.clicks -= 1,
            EventType::Comment => counters.comments -= 1,
            EventType::Hide => counters.hides -= 1,
            EventType::Purchase => counters.purchases -= 1,
            _ => {}
        });
        let Some(config) = self.config else { return };
        let weight = match event.kind {
            EventType::View if completed == Some(true) => config.completed_view,
            EventType::View => config.view,
            EventType::Click => config.click,
            EventType::Comment => config.comment,
            _ => return,
        };
        if let Some(at_ms) = held(event) {
            let warmth = self.warmth.entry(item).or_default();
            warmth.added.push((at_ms, -weight));
        }
    }

    fn is_known(&self, user: u64) -> bool {
        self.users.get(&user) == Some(&false)
    }

    fn stood(&mut self, user: u64, item: u64, kind: EventType) -> &mut Stood {
        let made = self.reactions.entry((user, item)).or_default();
        match kind {
            EventType::Like => &mut made.likes,
            _ => &mut made.follows,
        }
    }

    /// Changes the likes or follows of the total and the hour, and drops an hour of nothing.
    fn unstands(&mut self, item: u64, at_ms: i64, kind: EventType, by: i32) {
        self.less(item, at_ms, |counters| {
            let count = match kind {
                EventType::Like => &mut counters.likes,
                _ => &mut counters.follows,
            };
            *count = count.saturating_add_signed(by);
        });
    }

    fn less(&mut self, item: u64, at_ms: i64, change: impl Fn(&mut Counters)) {
        change(self.counters.entry(item).or_default());
        let key = (item, hour(at_ms));
        let hourly = self.hourly.entry(key).or_default();
        change(hourly);
        if *hourly == Counters::default() {
            self.hourly.remove(&key);
        }
    }

    /// An event of the window that adds nothing.
    fn repeat(&mut self, item: u64, ts_ms: i64) {
        let warmth = self.warmth.entry(item).or_default();
        warmth.added.push((ts_ms, 0.0));
        warmth.last_event_ms = warmth.last_event_ms.max(ts_ms);
    }

    fn heat(&mut self, item: u64, kind: EventType, before: Option<i64>, after: Option<i64>) {
        let Some(config) = self.config.filter(|_| before != after) else {
            return;
        };
        let weight = match kind {
            EventType::Like => config.like,
            EventType::Share => config.share,
            _ => config.follow,
        };
        let added = &mut self.warmth.entry(item).or_default().added;
        added.extend(before.map(|at_ms| (at_ms, -weight)));
        added.extend(after.map(|at_ms| (at_ms, weight)));
    }
}

impl Stood {
    /// Removes the last of `at_hour`.
    fn take(&mut self, at_hour: u32) -> i64 {
        let index = self
            .made_ms
            .iter()
            .rposition(|&ts_ms| hour(ts_ms) == at_hour);
        index.map_or(0, |index| self.made_ms.remove(index))
    }

    /// Whom the hot score holds before and after one went.
    pub(super) fn settle(&mut self) -> (Option<i64>, Option<i64>) {
        let before = self.hot_at_ms;
        self.rows_ms.truncate(self.made_ms.len());
        if self.made_ms.is_empty() {
            self.hot_at_ms = None;
            self.hot_by_row = false;
        } else if self.hot_by_row {
            self.hot_at_ms = self.rows_ms.first().copied();
            self.hot_by_row = self.hot_at_ms.is_some();
        }
        (before, self.hot_at_ms)
    }
}

fn held(event: &RowEvent) -> Option<i64> {
    event.effect.is_hot.then_some(event.ts_ms)
}

fn hidden(item: Option<u64>, author: Option<u64>) -> impl Iterator<Item = (u8, u64)> {
    let item = item.map(|hash| (0, hash));
    item.into_iter().chain(author.map(|hash| (1, hash)))
}
