//! What an event does to counters, hot sums, affinity, follows, hides and histories.

use edgewise_ranking::id_hash;
use edgewise_wire::api::EventType;
use edgewise_wire::counters::Counters;

use super::batch::Batch;
use super::rows::stand::{Shift, settle};
use super::{FollowChange, Hidden, outlier};
use crate::store::activity::ActivityBlock;
use crate::store::log::{EventOrigin, LogEvent};
use crate::store::memory::RowEffect;
use crate::store::reaction::{Reaction, Standing};
use crate::store::{StoreError, keys};

/// An event with what is known of its item and user where it applies.
pub(super) struct Context<'a> {
    pub(super) event: &'a LogEvent,
    pub(super) user_id: &'a str,
    /// Author of the item by its facts.
    item_author: Option<u64>,
    /// Duration: the event's, else the item's; ms.
    duration_ms: u32,
    /// The user is too busy today to move hot lists.
    pub(super) is_outlier: bool,
    /// What it did so far.
    pub(super) effect: RowEffect,
}

impl Context<'_> {
    /// Whom an interaction is with: the item's author by its facts, else by the event.
    pub(super) fn author(&self) -> Option<u64> {
        self.item_author.or(self.event.author)
    }

    /// Whom a follow is of: the author it names, else the item's.
    pub(super) fn followed(&self) -> Option<u64> {
        self.event.author.or(self.item_author)
    }

    pub(super) fn hour(&self) -> u32 {
        keys::hour_of(self.event.ts_ms)
    }

    /// Rows are taken back one by one, in any order; events are undone by events.
    const fn is_row(&self) -> bool {
        matches!(self.event.origin, EventOrigin::Table(_))
    }
}

impl Batch<'_> {
    /// Applies an event of the user `user_id`, in log order, and says what it did.
    pub(super) fn apply(
        &mut self,
        event: &LogEvent,
        user_id: &str,
    ) -> Result<RowEffect, StoreError> {
        let mut context = self.context(event, user_id)?;
        let recent = self
            .tables
            .recent
            .entry(&*self.stored, keys::number(event.user))?;
        recent.last_event_ms = recent.last_event_ms.max(event.ts_ms);
        let context_mut = &mut context;
        match (event.kind, context_mut.is_row()) {
            (EventType::Impression, _) => {
                self.count(context_mut, |counters| bump(&mut counters.impressions))?;
                self.seen(context_mut);
            }
            (EventType::View, _) => self.view(context_mut)?,
            (EventType::Click, _) => {
                self.count(context_mut, |counters| bump(&mut counters.clicks))?;
                self.warm(context_mut, self.hot.click)?;
                self.interaction(context_mut, context_mut.author())?;
            }
            (EventType::Comment, _) => {
                self.count(context_mut, |counters| bump(&mut counters.comments))?;
                self.warm(context_mut, self.hot.comment)?;
                self.interaction(context_mut, context_mut.author())?;
            }
            (EventType::Purchase, _) => {
                self.count(context_mut, |counters| bump(&mut counters.purchases))?;
                self.interaction(context_mut, context_mut.author())?;
            }
            (_, true) => self.apply_standing_row(context_mut)?,
            (EventType::Like, _) => self.like(context_mut)?,
            (EventType::Unlike, _) => self.unlike(context_mut)?,
            (EventType::Share, _) => self.share(context_mut)?,
            (EventType::Follow, _) => self.follow(context_mut)?,
            (EventType::Unfollow, _) => self.unfollow(context_mut)?,
            (EventType::Hide, _) => self.hide(context_mut)?,
        }
        Ok(context.effect)
    }

    fn context<'e>(
        &mut self,
        event: &'e LogEvent,
        user_id: &'e str,
    ) -> Result<Context<'e>, StoreError> {
        let day = keys::day_of(event.ts_ms);
        let key = keys::slot_number(day, ActivityBlock::of(event.user));
        let block = self.tables.activity.entry(&*self.stored, key)?;
        let events = block.count_mut(event.user);
        let before = u64::from(*events);
        bump(events);
        let stats = self.tables.days.entry(&*self.stored, day.to_be_bytes())?;
        outlier::count(stats, before);
        let is_outlier = outlier::is_outlier(stats, before + 1);
        let (mut item_author, mut item_duration_ms) = (None, None);
        if let Some(item) = event.item
            && let Some(record) = self.tables.items.get(&*self.stored, keys::number(item))?
            && let Some(item) = &record.item
        {
            item_author = Some(id_hash(&item.author));
            item_duration_ms = item.duration_ms;
        }
        let duration_ms = event.duration_ms.or(item_duration_ms).unwrap_or(0);
        Ok(Context {
            event,
            user_id,
            item_author,
            duration_ms,
            is_outlier,
            effect: RowEffect::default(),
        })
    }

    /// A view is timed where both its duration and how long was watched are known.
    fn view(&mut self, context: &mut Context<'_>) -> Result<(), StoreError> {
        let watch_ms = context.event.watch_ms.filter(|_| context.duration_ms > 0);
        if watch_ms.is_some() {
            context.effect.duration_ms = context.duration_ms;
        }
        let ratio = watch_ms.map(|watch| f64::from(watch) / f64::from(context.duration_ms));
        // watch >= 0.9 * duration, in integers.
        let is_completed = watch_ms
            .is_some_and(|watch| u64::from(watch) * 10 >= u64::from(context.duration_ms) * 9);
        self.count(context, |counters| {
            bump(&mut counters.views);
            if is_completed {
                bump(&mut counters.completed_views);
            }
            if let Some(ratio) = ratio {
                bump(&mut counters.timed_views);
                counters.watch_ratio_sum += ratio.min(1.0);
            }
        })?;
        self.seen(context);
        self.warm(
            context,
            if is_completed {
                self.hot.completed_view
            } else {
                self.hot.view
            },
        )?;
        if is_completed {
            self.interaction(context, context.author())
        } else {
            Ok(())
        }
    }

    fn like(&mut self, context: &mut Context<'_>) -> Result<(), StoreError> {
        if let Some(item) = context.event.item {
            self.stand(context, item, |reaction| &mut reaction.likes, self.hot.like)?;
            self.count(context, |counters| bump(&mut counters.likes))?;
        }
        self.interaction(context, context.author())
    }

    fn unlike(&mut self, context: &mut Context<'_>) -> Result<(), StoreError> {
        let Some(item) = context.event.item else {
            return Ok(());
        };
        let user = keys::number(context.event.user);
        let reaction = self.tables.reactions.get_mut(&*self.stored, user, item)?;
        if let Some(taken) = reaction.and_then(|reaction| take_back(&mut reaction.likes)) {
            self.count_back(item, taken.hour, |counters| &mut counters.likes)?;
            self.shift(item, taken.shift, self.hot.like)?;
        }
        Ok(())
    }

    fn share(&mut self, context: &mut Context<'_>) -> Result<(), StoreError> {
        if let Some(item) = context.event.item {
            let reaction = self.reaction(context.event.user, item)?;
            let is_first = !reaction.shared && reaction.shares_ms.is_empty();
            reaction.shared |= is_first && !context.is_outlier;
            self.count(context, |counters| bump(&mut counters.shares))?;
            self.warm(context, if is_first { self.hot.share } else { 0.0 })?;
        }
        self.interaction(context, context.author())
    }

    fn follow(&mut self, context: &mut Context<'_>) -> Result<(), StoreError> {
        let event = context.event;
        if let Some(author) = context.followed() {
            let key = keys::pair(event.user, author);
            let follow = self.tables.follows.entry(&*self.stored, key)?;
            let is_new = !follow.stands();
            follow.called = true;
            if is_new {
                follow.since_ms = event.ts_ms;
            }
            follow.via = event.item.or(follow.via.filter(|_| !is_new));
            if is_new {
                self.follow_changed(context, author, true);
            }
        }
        if let Some(item) = event.item {
            self.stand(
                context,
                item,
                |reaction| &mut reaction.follows,
                self.hot.follow,
            )?;
            self.count(context, |counters| bump(&mut counters.follows))?;
        }
        self.interaction(context, context.followed())
    }

    /// Ends the follow and takes back one follow on the item: the one it names, else the one
    /// that the follow was made on.
    fn unfollow(&mut self, context: &mut Context<'_>) -> Result<(), StoreError> {
        let event = context.event;
        let mut item = event.item;
        if let Some(author) = context.followed()
            && let Some(follow) = self.uncall_follow(event.user, context.user_id, author)?
        {
            item = item.or(follow.via);
        }
        let Some(item) = item else { return Ok(()) };
        let user = keys::number(event.user);
        let reaction = self.tables.reactions.get_mut(&*self.stored, user, item)?;
        if let Some(taken) = reaction.and_then(|reaction| take_back(&mut reaction.follows)) {
            self.count_back(item, taken.hour, |counters| &mut counters.follows)?;
            self.shift(item, taken.shift, self.hot.follow)?;
        }
        Ok(())
    }

    pub(super) fn follow_changed(&mut self, context: &mut Context<'_>, author: u64, follows: bool) {
        self.follows.push(FollowChange {
            user: context.user_id.to_owned(),
            author,
            follows,
        });
    }

    fn hide(&mut self, context: &mut Context<'_>) -> Result<(), StoreError> {
        let event = context.event;
        self.count(context, |counters| bump(&mut counters.hides))?;
        let hidden = [
            event
                .item
                .map(|item| (keys::HIDDEN_ITEM, item, Hidden::Item(item))),
            event
                .author
                .map(|author| (keys::HIDDEN_AUTHOR, author, Hidden::Author(author))),
        ];
        for (kind, hash, hidden) in hidden.into_iter().flatten() {
            let key = keys::hide(event.user, kind, hash);
            let hide = self.tables.hides.entry(&*self.stored, key)?;
            (hide.at_ms, hide.called) = (event.ts_ms, true);
            self.hides.push((context.user_id.to_owned(), hidden));
        }
        Ok(())
    }

    /// Adds a like or follow that can be taken back; only the first that is no outlier's moves
    /// hot lists.
    fn stand(
        &mut self,
        context: &mut Context<'_>,
        item: u64,
        standing: fn(&mut Reaction) -> &mut Standing,
        weight: f64,
    ) -> Result<(), StoreError> {
        let hour = context.hour();
        let standing = standing(self.reaction(context.event.user, item)?);
        let is_first = standing.hot_at_ms.is_none();
        standing.push(hour);
        let is_hot = is_first && !context.is_outlier;
        if is_hot {
            standing.hot_at_ms = Some(context.event.ts_ms);
        }
        self.warm(context, if is_hot { weight } else { 0.0 })
    }

    pub(super) fn reaction(&mut self, user: u64, item: u64) -> Result<&mut Reaction, StoreError> {
        self.tables
            .reactions
            .entry(&*self.stored, keys::number(user), item)
    }

    pub(super) fn count(
        &mut self,
        context: &mut Context<'_>,
        add: impl Fn(&mut Counters),
    ) -> Result<(), StoreError> {
        let Some(item) = context.event.item else {
            return Ok(());
        };
        add(&mut self
            .tables
            .totals
            .entry(&*self.stored, keys::number(item))?
            .counters);
        let key = keys::number_slot(item, context.hour());
        add(self.tables.hourly.entry(&*self.stored, key)?);
        self.touched.insert(item);
        Ok(())
    }

    /// Takes one back from the total and from the hour it was made in.
    fn count_back(
        &mut self,
        item: u64,
        hour: u32,
        field: fn(&mut Counters) -> &mut u32,
    ) -> Result<(), StoreError> {
        let totals = self
            .tables
            .totals
            .entry(&*self.stored, keys::number(item))?;
        let total = field(&mut totals.counters);
        *total = total.saturating_sub(1);
        let hourly = self
            .tables
            .hourly
            .entry(&*self.stored, keys::number_slot(item, hour))?;
        let hourly = field(hourly);
        *hourly = hourly.saturating_sub(1);
        self.touched.insert(item);
        Ok(())
    }

    /// Adds to the hot sums. A repeat has weight 0 and still is an event of the window.
    pub(super) fn warm(
        &mut self,
        context: &mut Context<'_>,
        weight: f64,
    ) -> Result<(), StoreError> {
        let Some(item) = context.event.item.filter(|_| !context.is_outlier) else {
            return Ok(());
        };
        context.effect.is_hot = weight > 0.0;
        let ts_ms = context.event.ts_ms;
        let totals = self
            .tables
            .totals
            .entry(&*self.stored, keys::number(item))?;
        for (hot, half_life) in totals.hot.iter_mut().zip(self.hot.half_life_minutes) {
            *hot = hot.add(weight, ts_ms, half_life);
        }
        totals.last_event_ms = totals.last_event_ms.max(ts_ms);
        Ok(())
    }

    /// Takes back what a like or follow at `at_ms` added to the hot sums.
    pub(super) fn cool(
        &mut self,
        item: u64,
        at_ms: Option<i64>,
        weight: f64,
    ) -> Result<(), StoreError> {
        let Some(at_ms) = at_ms else { return Ok(()) };
        let totals = self
            .tables
            .totals
            .entry(&*self.stored, keys::number(item))?;
        for (hot, half_life) in totals.hot.iter_mut().zip(self.hot.half_life_minutes) {
            *hot = hot.add(-weight, at_ms, half_life);
            // Rounding must not leave a score below nothing.
            hot.sum = hot.sum.max(0.0);
        }
        Ok(())
    }

    fn seen(&mut self, context: &Context<'_>) {
        let event = context.event;
        if let Some(item) = event.item {
            let day = keys::number_slot(event.user, keys::day_of(event.ts_ms));
            self.tables.seen.merge(day, item, event.ts_ms);
        }
    }

    pub(super) fn interaction(
        &mut self,
        context: &mut Context<'_>,
        author: Option<u64>,
    ) -> Result<(), StoreError> {
        let event = context.event;
        context.effect.author = author;
        if let Some(author) = author {
            let day = keys::number_slot(event.user, keys::day_of(event.ts_ms));
            self.tables.affinity.merge(day, author, 1);
        }
        if let Some(item) = event.item {
            let part = Reaction {
                kinds: 1 << event.kind as u16,
                last_ms: event.ts_ms,
                ..Reaction::default()
            };
            let user = keys::number(event.user);
            self.tables.reactions.merge(user, item, part);
        }
        if let EventOrigin::Id { short, .. } = event.origin {
            let key = keys::number(event.user);
            self.tables.recent.entry(&*self.stored, key)?.push(short);
        }
        Ok(())
    }
}

/// Counts one; a counter that is full stays full.
pub(super) fn bump(count: &mut u32) {
    *count = count.saturating_add(1);
}

/// A like or follow that was taken back.
struct Undone {
    hour: u32,
    shift: Shift,
}

/// Takes the newest back; the hot score lets go with the last.
fn take_back(standing: &mut Standing) -> Option<Undone> {
    let newest = standing.by_hour.len().checked_sub(1)?;
    let hour = standing.remove(newest)?;
    let (shift, _) = settle(standing);
    Some(Undone { hour, shift })
}
