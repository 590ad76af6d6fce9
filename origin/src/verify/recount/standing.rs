//! What users did and may take back: likes and follows stand until an undo.

use edgewise_ranking::id_hash;
use edgewise_wire::api::EventType;

use super::{Recount, day};
use crate::store::keys::HOUR_MS;
use crate::store::log::{EventOrigin, LogEvent};
use crate::store::reaction::{Reaction, Standing};
use crate::store::record::{Follow, RecentEvents};

/// What a user did with an item.
#[derive(Clone, Debug, Default)]
pub(crate) struct Made {
    last_ms: i64,
    kinds: u16,
    pub(in crate::verify) shared: bool,
    pub(in crate::verify) likes: Stood,
    pub(in crate::verify) follows: Stood,
    /// Shares by rows that may hold the hot score, ascending.
    pub(in crate::verify) shares_ms: Vec<i64>,
}

/// Likes or follows that were not taken back.
#[derive(Clone, Debug, Default)]
pub(in crate::verify) struct Stood {
    /// When each was made.
    pub(in crate::verify) made_ms: Vec<i64>,
    /// When the one was made that the hot score holds.
    pub(in crate::verify) hot_at_ms: Option<i64>,
    /// It is by a row.
    pub(in crate::verify) hot_by_row: bool,
    /// Those by rows that may hold it, ascending.
    pub(in crate::verify) rows_ms: Vec<i64>,
    /// Undos by rows that found nothing.
    pub(in crate::verify) owed: u64,
}

impl Recount {
    pub(super) fn made(&mut self, event: &LogEvent, busy: bool, list: fn(&mut Made) -> &mut Stood) {
        let (Some(item), Some(config)) = (event.item, self.config) else {
            return;
        };
        let stood = list(self.reactions.entry((event.user, item)).or_default());
        let is_hot = stood.hot_at_ms.is_none() && !busy;
        stood.made_ms.push(event.ts_ms);
        if is_hot {
            stood.hot_at_ms = Some(event.ts_ms);
        }
        self.stands(item, event.ts_ms, event.kind, 1);
        if !busy {
            let full = if event.kind == EventType::Like {
                config.like
            } else {
                config.follow
            };
            let warmth = self.warmth.entry(item).or_default();
            warmth
                .added
                .push((event.ts_ms, if is_hot { full } else { 0.0 }));
            warmth.last_event_ms = warmth.last_event_ms.max(event.ts_ms);
        }
    }

    /// Takes the newest like or follow back.
    pub(super) fn unmade(&mut self, user: u64, item: Option<u64>, kind: EventType) {
        let (Some(item), Some(config)) = (item, self.config) else {
            return;
        };
        let Some(made) = self.reactions.get_mut(&(user, item)) else {
            return;
        };
        let (stood, full) = match kind {
            EventType::Like => (&mut made.likes, config.like),
            _ => (&mut made.follows, config.follow),
        };
        // The newest is taken back; the hot score lets go with the last.
        let Some(taken_ms) = stood.made_ms.pop() else {
            return;
        };
        let (before, after) = stood.settle();
        if before != after {
            let added = &mut self.warmth.entry(item).or_default().added;
            added.extend(before.map(|hot_ms| (hot_ms, -full)));
            added.extend(after.map(|hot_ms| (hot_ms, full)));
        }
        self.stands(item, taken_ms, kind, -1);
    }

    pub(in crate::verify) fn stands(&mut self, item: u64, ts_ms: i64, kind: EventType, by: i32) {
        let hour = (ts_ms / HOUR_MS) as u32;
        let places = [
            self.counters.entry(item).or_default(),
            self.hourly.entry((item, hour)).or_default(),
        ];
        for counters in places {
            let count = if kind == EventType::Like {
                &mut counters.likes
            } else {
                &mut counters.follows
            };
            *count = count.saturating_add_signed(by);
        }
    }

    pub(in crate::verify) fn author_of(&self, item: Option<u64>) -> Option<u64> {
        let facts = self.items.get(&item?)?.item.as_ref()?;
        Some(id_hash(&facts.author))
    }

    pub(super) fn follow(&mut self, event: &LogEvent) {
        let Some(author) = event.author.or(self.author_of(event.item)) else {
            return;
        };
        let follow = self.follows.entry((event.user, author)).or_default();
        if !follow.called && follow.rows <= 0 {
            follow.since_ms = event.ts_ms;
            follow.via = None;
        }
        follow.called = true;
        if event.item.is_some() {
            follow.via = event.item;
        }
    }

    pub(super) fn unfollow(&mut self, event: &LogEvent) {
        let author = event.author.or(self.author_of(event.item));
        let ended = author.and_then(|author| self.uncall(event.user, author));
        let via = ended.and_then(|follow| follow.via);
        self.unmade(event.user, event.item.or(via), EventType::Follow);
    }

    /// What is not by rows ends.
    pub(super) fn uncall(&mut self, user: u64, author: u64) -> Option<Follow> {
        let follow = self.follows.get_mut(&(user, author))?;
        let before = *follow;
        follow.called = false;
        if follow.rows == 0 {
            self.follows.remove(&(user, author));
        }
        before.called.then_some(before)
    }

    pub(super) fn interaction(&mut self, event: &LogEvent, completed: bool) {
        let named = match event.kind {
            EventType::View if completed => self.author_of(event.item).or(event.author),
            EventType::Click
            | EventType::Like
            | EventType::Comment
            | EventType::Share
            | EventType::Purchase => self.author_of(event.item).or(event.author),
            EventType::Follow => event.author.or(self.author_of(event.item)),
            _ => return,
        };
        if let Some(author) = named {
            *self
                .affinity
                .entry((event.user, day(event.ts_ms), author))
                .or_default() += 1;
        }
        if let Some(item) = event.item {
            let made = self.reactions.entry((event.user, item)).or_default();
            made.kinds |= 1 << event.kind as u8;
            made.last_ms = made.last_ms.max(event.ts_ms);
        }
        if let EventOrigin::Id { short, .. } = event.origin {
            let applied = &mut self.recent.entry(event.user).or_default().applied;
            applied.push(short);
            if applied.len() > RecentEvents::MAX {
                applied.remove(0);
            }
        }
    }
}

impl Made {
    /// The record that the store should have.
    pub(crate) fn record(&self) -> Reaction {
        Reaction {
            last_ms: self.last_ms,
            kinds: self.kinds,
            shared: self.shared,
            likes: standing(&self.likes),
            follows: standing(&self.follows),
            shares_ms: self.shares_ms.as_slice().into(),
        }
    }
}

fn standing(stood: &Stood) -> Standing {
    let mut by_hour: Vec<(u32, u32)> = Vec::new();
    for ts_ms in &stood.made_ms {
        let hour = (ts_ms / HOUR_MS) as u32;
        match by_hour.last_mut() {
            Some(last) if last.0 == hour => last.1 += 1,
            _ => by_hour.push((hour, 1)),
        }
    }
    Standing {
        by_hour: by_hour.into(),
        hot_at_ms: stood.hot_at_ms,
        rows_ms: stood.rows_ms.as_slice().into(),
        hot_by_row: stood.hot_by_row,
        owed: stood.owed,
    }
}
