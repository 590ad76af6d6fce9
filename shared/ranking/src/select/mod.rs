//! From scored candidates to a page: author cap, tag variety, explore slots.
//!
//! The page is built position by position. A queue holds the *capped order*: what the
//! author cap alone would show from here on. Variety may take an item from up to
//! `variety_displacement` places behind the queue's head, but only where the rest of
//! the queue, left as it is, still respects the cap; so neither promise breaks the other.

pub(crate) mod cap;
pub(crate) mod explore;
#[cfg(test)]
mod tests;
mod variety;

use alloc::vec;
use alloc::vec::Vec;

use self::cap::{AuthorCap, NO_AUTHOR};
use self::variety::{Variety, tag_mask};
use crate::candidates::{Candidates, Sources};
use crate::config::{SelectionConfig, VARIETY_DISPLACEMENT_MAX};
use crate::order::{Entry, Order};
use crate::query::{Placement, Query, Ranked};
use crate::scale::Scale;
use crate::sort::sort_first;

/// Places for which the capped order is computed at a time: the largest page of the
/// API. Longer rankings (`edgewise rank`) compute it again when they run out.
const HORIZON: usize = 100;

/// A place in the capped order.
#[derive(Clone, Copy, Debug)]
struct Slot {
    entry: Entry,
    /// 0-based rank by score.
    rank: u32,
    /// Place in the capped order, explore slots not counted.
    place: usize,
    /// The cap moved it.
    capped: bool,
    /// The cap is broken here: nothing else is left.
    relaxed: bool,
    /// Variety preferred an item behind it.
    overtaken: bool,
    /// Score on the min-max scale.
    relevance: f64,
    tag_mask: u64,
    /// Largest similarity to the first `compared` items of the page.
    similarity: f64,
    compared: usize,
}

/// A page under construction.
pub(crate) struct Selector<'a> {
    candidates: &'a Candidates,
    config: SelectionConfig,
    order: Order<'a>,
    limit: usize,
    /// Asked before a row may be placed.
    admits: Option<&'a dyn Fn(u32) -> bool>,
    /// Rows that it refused.
    refused: u32,
    variety: Variety<'a>,
    /// Items that earlier pages showed.
    shown_before: u32,
    seed: u64,
    cap: AuthorCap,
    scale: Scale,
    /// By row: already on the page, or refused.
    placed: Vec<bool>,
    queue: Vec<Slot>,
    /// Items placed outside explore slots.
    place: usize,
    /// One past the largest rank that was placed outside explore slots ...
    furthest: usize,
    /// ... and that variety pulled forward.
    furthest_pulled: usize,
    page: Vec<Ranked>,
    page_masks: Vec<u64>,
    /// Candidates of F5 by id hash; filled at the first explore slot.
    explore_pool: Option<Vec<Entry>>,
}

impl<'a> Selector<'a> {
    pub(crate) fn new(
        query: &Query<'a>,
        candidates: &'a Candidates,
        config: &SelectionConfig,
        order: Order<'a>,
        seed: u64,
    ) -> Self {
        let limit = (query.limit as usize).min(order.len());
        let reach = (config.author_window.max(1) - 1) as usize;
        let recent = query.recent_authors.len().saturating_sub(reach);
        let carried = query.recent_authors[recent..].iter().map(|&hash| {
            let known = candidates
                .author_hashes
                .iter()
                .position(|&author| author == hash);
            known.map_or(NO_AUTHOR, |index| index as u32)
        });
        let cap = AuthorCap::new(
            config.author_max,
            config.author_window,
            // One more: an author index out of the table's range is clamped to its length.
            candidates.authors.len() + 1,
            carried,
            order.entries().iter().map(|entry| entry.author),
        );
        let displacement = config.variety_displacement.min(VARIETY_DISPLACEMENT_MAX);
        Self {
            candidates,
            config: SelectionConfig {
                variety_displacement: displacement,
                ..*config
            },
            limit,
            admits: query.admits,
            refused: 0,
            variety: Variety::new(candidates, config),
            shown_before: query.position,
            seed,
            cap,
            // Over all eligible candidates: a page's size changes nothing.
            scale: Scale::min_max(order.entries().iter().map(|entry| entry.score())),
            order,
            placed: vec![false; candidates.len()],
            queue: Vec::with_capacity(limit + displacement as usize),
            place: 0,
            furthest: 0,
            furthest_pulled: 0,
            page: Vec::with_capacity(limit),
            page_masks: Vec::with_capacity(limit),
            explore_pool: None,
        }
    }

    /// Builds the page; also says how many candidates `admits` refused.
    pub(crate) fn run(mut self) -> (Vec<Ranked>, u32) {
        while self.page.len() < self.limit {
            if explore::is_slot(self.next_position(), self.config.explore_every) && self.explore() {
                continue;
            }
            if self.queue_is_outdated() {
                self.refill();
            }
            if self.queue.is_empty() {
                break;
            }
            let chosen = self.choose();
            self.take(chosen);
        }
        (self.page, self.refused)
    }

    /// Whether `entry` may be placed; where not it is no candidate any more.
    fn admit(&mut self, entry: Entry) -> bool {
        let admitted = self.admits.is_none_or(|admits| admits(entry.row));
        if !admitted {
            self.refused += 1;
            self.placed[entry.row as usize] = true;
            self.cap.withdraw(entry.author);
        }
        admitted
    }

    fn next_position(&self) -> u32 {
        self.shown_before
            .saturating_add(self.page.len() as u32)
            .saturating_add(1)
    }

    fn displacement(&self) -> usize {
        self.config.variety_displacement as usize
    }

    /// Whether an explore item made the capped order wrong at its head.
    fn queue_is_outdated(&self) -> bool {
        self.queue.first().is_none_or(|head| {
            let allowed = self.cap.allows(head.entry.author);
            if head.relaxed {
                self.cap.allows_any()
            } else {
                !allowed
            }
        })
    }

    /// Computes the capped order from the page as it is: at every place the best
    /// candidate the cap allows, or the best of all where it allows none.
    fn refill(&mut self) {
        let outdated = core::mem::take(&mut self.queue);
        let wanted = (self.limit - self.page.len()).min(HORIZON) + self.displacement();
        let mut cap = self.cap.clone();
        let mut taken = self.placed.clone();
        let mut furthest = self.furthest;
        // Everything ranked before `open` is taken.
        let mut open = 0;
        while self.queue.len() < wanted && cap.left() > 0 {
            let relaxed = !cap.allows_any();
            let mut rank = open;
            let entry = loop {
                let Some(entry) = self.order.get(rank) else {
                    return;
                };
                let is_taken = taken[entry.row as usize];
                if !is_taken && (relaxed || cap.allows(entry.author)) {
                    break entry;
                }
                rank += 1;
                open += usize::from(is_taken && rank == open + 1);
            };
            taken[entry.row as usize] = true;
            // What is in the queue that is replaced was admitted.
            let known = outdated.iter().any(|slot| slot.entry.row == entry.row);
            if !known && !self.admit(entry) {
                cap.withdraw(entry.author);
                continue;
            }
            cap.place(entry.author);
            // What was delayed in the order that is replaced has used up that delay, and
            // what it was compared with stays on the page.
            let before = outdated.iter().find(|slot| slot.entry.row == entry.row);
            let place = self.place + self.queue.len();
            self.queue.push(Slot {
                entry,
                rank: rank as u32,
                place: before.map_or(place, |slot| slot.place.min(place)),
                // Something better waits, or something worse went before it.
                capped: rank > open || rank + 1 < furthest,
                relaxed,
                overtaken: rank + 1 < self.furthest_pulled,
                relevance: self.scale.of_finite(entry.score()),
                tag_mask: tag_mask(self.candidates, entry.row),
                similarity: before.map_or(0.0, |slot| slot.similarity),
                compared: before.map_or(0, |slot| slot.compared),
            });
            furthest = furthest.max(rank + 1);
        }
    }

    /// The index in the queue of the item with the largest marginal relevance.
    fn choose(&mut self) -> usize {
        let lambda = self.config.variety_lambda;
        let reach = self.place + self.displacement();
        let Some(head) = self.queue.first() else {
            return 0;
        };
        // Not `>=`: a lambda that is no number means no variety.
        let wants_variety = lambda < 1.0;
        if !wants_variety || head.relaxed || head.place + self.displacement() <= self.place {
            return 0;
        }
        let window = self
            .queue
            .iter()
            .take_while(|slot| slot.place <= reach && !slot.relaxed)
            .count();
        let mut gains = [f64::NEG_INFINITY; VARIETY_DISPLACEMENT_MAX as usize * 2 + 1];
        let window = window.min(gains.len());
        for (index, gain) in gains.iter_mut().enumerate().take(window) {
            self.compare_with_page(index);
            let slot = &self.queue[index];
            if index == 0 || self.cap.allows(slot.entry.author) {
                *gain = lambda * slot.relevance - (1.0 - lambda) * slot.similarity;
            }
        }
        loop {
            // The first of equals: ties keep the capped order.
            let mut best = 0;
            for index in 1..window {
                if gains[index] > gains[best] {
                    best = index;
                }
            }
            if best == 0 || self.keeps_cap(best) {
                return best;
            }
            gains[best] = f64::NEG_INFINITY;
        }
    }

    /// Brings the similarity of a queued item up to date with the page.
    fn compare_with_page(&mut self, index: usize) {
        let slot = &mut self.queue[index];
        for (item, &mask) in self.page.iter().zip(&self.page_masks).skip(slot.compared) {
            if slot.similarity < 1.0 {
                let pair = [(slot.entry.row, slot.tag_mask), (item.row, mask)];
                let similarity = self.variety.similarity(pair);
                if similarity > slot.similarity {
                    slot.similarity = similarity;
                }
            }
        }
        slot.compared = self.page.len();
    }

    /// Whether the queue still respects the cap when the item at `index` goes first.
    fn keeps_cap(&self, index: usize) -> bool {
        let window = self.cap.window();
        let moved = self.queue[index].entry.author;
        let places_left = self.limit - self.page.len();
        let passed = &self.queue[..index];
        if places_left <= window && passed.iter().all(|slot| slot.entry.author != moved) {
            // The passed items come closer only to what is a whole window away.
            return true;
        }
        let after = |place: usize| match place {
            0 => index,
            place if place <= index => place - 1,
            place => place,
        };
        let history = self.cap.history();
        let end = (index + window).min(places_left).min(self.queue.len());
        (1..end).all(|place| {
            let slot = &self.queue[after(place)];
            let author = slot.entry.author;
            let first = (place + 1).saturating_sub(window);
            let queued = (first..=place)
                .filter(|&other| self.queue[after(other)].entry.author == author)
                .count();
            let reach = (window - 1).saturating_sub(place).min(history.len());
            let placed = &history[history.len() - reach..];
            let count = queued + placed.iter().filter(|&&other| other == author).count();
            slot.relaxed || count <= self.cap.max()
        })
    }

    /// Moves a queued item to the page.
    fn take(&mut self, index: usize) {
        for passed in &mut self.queue[..index] {
            passed.overtaken = true;
        }
        let slot = self.queue.remove(index);
        let placement = if slot.relaxed {
            Placement::AuthorCapRelaxed
        } else if index > 0 || slot.overtaken {
            Placement::Variety
        } else if slot.capped {
            Placement::AuthorCap
        } else {
            Placement::Score
        };
        self.place += 1;
        self.furthest = self.furthest.max(slot.rank as usize + 1);
        if index > 0 {
            self.furthest_pulled = self.furthest_pulled.max(slot.rank as usize + 1);
        }
        self.push(slot.entry, slot.rank, slot.tag_mask, placement);
    }

    fn push(&mut self, entry: Entry, rank: u32, tag_mask: u64, placement: Placement) {
        let position = self.next_position();
        self.placed[entry.row as usize] = true;
        self.cap.place(entry.author);
        self.page_masks.push(tag_mask);
        self.page.push(Ranked {
            row: entry.row,
            score: entry.score(),
            score_rank: rank + 1,
            position,
            placement,
        });
    }

    /// Fills the next position from F5; false where no candidate of F5 may stand there.
    fn explore(&mut self) -> bool {
        let pool = match self.explore_pool.take() {
            Some(pool) => pool,
            None => {
                let mut pool = explore_pool(self.candidates, self.order.entries());
                // All are asked: a propensity is a share of those that may be drawn.
                pool.retain(|&entry| {
                    self.placed[entry.row as usize] || self.is_queued(entry) || self.admit(entry)
                });
                pool
            }
        };
        let may_stand =
            |entry: &&Entry| !self.placed[entry.row as usize] && self.cap.allows(entry.author);
        let count = pool.iter().filter(may_stand).count();
        let drawn = match count {
            0 => None,
            count => {
                let index = explore::draw(self.seed, self.next_position(), count);
                pool.iter().filter(may_stand).nth(index).copied()
            }
        };
        self.explore_pool = Some(pool);
        let Some(entry) = drawn else { return false };
        let rank = self.order.rank_of(entry) as u32;
        let mask = tag_mask(self.candidates, entry.row);
        self.push(
            entry,
            rank,
            mask,
            Placement::Explore {
                propensity: 1.0 / count as f64,
            },
        );
        self.leave_queue(entry);
        true
    }

    fn is_queued(&self, entry: Entry) -> bool {
        self.queue.iter().any(|slot| slot.entry.row == entry.row)
    }

    /// Takes an explored item out of the capped order. Where the author comes up again
    /// within a window, that order is no longer right and is computed anew.
    fn leave_queue(&mut self, explored: Entry) {
        if let Some(index) = self
            .queue
            .iter()
            .position(|slot| slot.entry.row == explored.row)
        {
            self.queue.remove(index);
            for later in &mut self.queue[index..] {
                later.place = later.place.saturating_sub(1);
            }
        }
        let soon = self.queue.iter().take(self.cap.window());
        if soon
            .into_iter()
            .any(|slot| slot.entry.author == explored.author)
        {
            self.refill();
        }
    }
}

/// Eligible candidates of F5 in an order that does not depend on the input's.
fn explore_pool(candidates: &Candidates, entries: &[Entry]) -> Vec<Entry> {
    let is_explore = |entry: &&Entry| {
        let sources = candidates.sources.get(entry.row as usize);
        sources.is_some_and(|sources| sources.contains(Sources::EXPLORE))
    };
    let mut pool: Vec<Entry> = entries.iter().filter(is_explore).copied().collect();
    let hash = |entry: &Entry| candidates.id_hashes.get(entry.row as usize).copied();
    let len = pool.len();
    sort_first(&mut pool, len, |a, b| (hash(a), a.row) < (hash(b), b.row));
    pool
}
