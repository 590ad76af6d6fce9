//! Requests that wait for their effects.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::context::{Context, Step};
use crate::effect::{Done, Effect};
use crate::job::Job;
use crate::limits::{LIVE_MAX, LIVE_MAX_MS};
use crate::routes::Route;
use crate::state::State;

/// Bits of a handle that name the slot; the others count its uses, so that a late resume of
/// a forgotten request does not reach another one.
const SLOT_BITS: u32 = 10;

/// One request.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) context: Context,
    route: Route,
    pub(crate) jobs: Vec<Job>,
    /// (job, its number of effects) of the effects that are out, in their order.
    pub(crate) waiting: Vec<(usize, usize)>,
    pub(crate) answered: bool,
}

impl Live {
    pub(crate) fn new(context: Context, route: Route) -> Self {
        Self {
            context,
            route,
            jobs: Vec::new(),
            waiting: Vec::new(),
            answered: false,
        }
    }

    /// What a route works with.
    pub(crate) fn step<'s>(&'s mut self, state: &'s mut State, wall_ms: i64) -> Step<'s> {
        self.split(state, wall_ms).0
    }

    /// What a route works with, and the route.
    pub(crate) fn split<'s>(
        &'s mut self,
        state: &'s mut State,
        wall_ms: i64,
    ) -> (Step<'s>, &'s mut Route) {
        let step = Step {
            state,
            context: &mut self.context,
            jobs: &mut self.jobs,
            wall_ms,
        };
        (step, &mut self.route)
    }

    /// Hands each job the results of its effects.
    pub(crate) fn deliver(
        &mut self,
        state: &mut State,
        wall_ms: i64,
        results: &[Done<'_>],
        effects: &mut Vec<Effect>,
        waiting: &mut Vec<(usize, usize)>,
    ) {
        let total = self.waiting.iter().map(|&(_, count)| count).sum();
        let mut placed = alloc::vec![Done::default(); total];
        for result in results {
            let at = (result.id as usize).wrapping_sub(1);
            if let Some(place) = placed.get_mut(at) {
                *place = *result;
            }
        }
        let mut rest = placed.as_slice();
        for (index, count) in core::mem::take(&mut self.waiting) {
            let (own, after) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            rest = after;
            if let Some(job) = self.jobs.get_mut(index) {
                let before = effects.len();
                job.step(state, &self.context.trace, wall_ms, own, effects);
                if effects.len() > before {
                    waiting.push((index, effects.len() - before));
                }
            }
        }
    }

    /// Starts the jobs that have not started. After the answer the overlay goes first: what
    /// else is refreshed may take the origin seconds, and an output resumes as a whole.
    pub(crate) fn begin(
        &mut self,
        state: &mut State,
        wall_ms: i64,
        effects: &mut Vec<Effect>,
        waiting: &mut Vec<(usize, usize)>,
    ) {
        for overlay_first in [true, false] {
            let overlay_is_out = self.jobs.iter().any(Job::is_refreshing_overlay);
            if !overlay_first && self.answered && overlay_is_out {
                return;
            }
            for (index, job) in self.jobs.iter_mut().enumerate() {
                if !job.is_unstarted() || (overlay_first && !job.is_refreshing_overlay()) {
                    continue;
                }
                let before = effects.len();
                job.step(state, &self.context.trace, wall_ms, &[], effects);
                if effects.len() > before {
                    waiting.push((index, effects.len() - before));
                }
            }
        }
    }
}

/// A place for a request.
#[derive(Debug, Default)]
struct Slot {
    uses: u32,
    born_ms: i64,
    /// Held by a request, here or in the hands of the core.
    taken: bool,
    live: Option<Box<Live>>,
}

/// All requests that wait, by handle.
#[derive(Debug, Default)]
pub(crate) struct LiveTable {
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// Next slot to look at for a request whose host never resumed.
    swept: usize,
}

impl LiveTable {
    /// The request that waits under `handle`.
    pub(crate) fn take(&mut self, handle: u32) -> Option<Live> {
        let slot = self.slot(handle)?;
        slot.live.take().map(|live| *live)
    }

    /// Keeps a request until it is resumed; a new one gets a handle, unless the table is full.
    pub(crate) fn park(
        &mut self,
        live: Live,
        handle: Option<u32>,
        wall_ms: i64,
        lost: &mut u64,
    ) -> Result<u32, Box<Live>> {
        let live = Box::new(live);
        if let Some((handle, slot)) = handle.and_then(|handle| Some((handle, self.slot(handle)?))) {
            slot.live = Some(live);
            return Ok(handle);
        }
        self.sweep(wall_ms, lost);
        let Some(index) = self.allocate(wall_ms, lost) else {
            return Err(live);
        };
        let Some(slot) = self.slots.get_mut(index) else {
            return Err(live);
        };
        // Never 0: that is "nothing to resume".
        slot.uses = (slot.uses % ((1 << (32 - SLOT_BITS)) - 1)) + 1;
        slot.born_ms = wall_ms;
        slot.taken = true;
        slot.live = Some(live);
        Ok((slot.uses << SLOT_BITS) | u32::try_from(index).unwrap_or(0))
    }

    /// Frees the slot of a request that has ended.
    pub(crate) fn release(&mut self, handle: Option<u32>) {
        let Some(handle) = handle else { return };
        if let Some(slot) = self.slot(handle) {
            slot.taken = false;
            slot.live = None;
            self.free.push(index_of(handle));
        }
    }

    fn slot(&mut self, handle: u32) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(index_of(handle))?;
        (slot.taken && slot.uses == handle >> SLOT_BITS).then_some(slot)
    }

    fn allocate(&mut self, wall_ms: i64, lost: &mut u64) -> Option<usize> {
        if let Some(index) = self.free.pop() {
            return Some(index);
        }
        if self.slots.len() < LIVE_MAX {
            self.slots.push(Slot::default());
            return Some(self.slots.len() - 1);
        }
        for _ in 0..LIVE_MAX {
            self.sweep(wall_ms, lost);
            if let Some(index) = self.free.pop() {
                return Some(index);
            }
        }
        None
    }

    /// Looks at one slot and frees it where its host never came back.
    fn sweep(&mut self, wall_ms: i64, lost: &mut u64) {
        self.swept = (self.swept + 1) % LIVE_MAX;
        let Some(slot) = self.slots.get_mut(self.swept) else {
            return;
        };
        if slot.taken && wall_ms.saturating_sub(slot.born_ms) > LIVE_MAX_MS {
            slot.taken = false;
            slot.live = None;
            *lost += 1;
            self.free.push(self.swept);
        }
    }
}

fn index_of(handle: u32) -> usize {
    (handle & ((1 << SLOT_BITS) - 1)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cors::Cors;
    use crate::request::Request;

    fn live() -> Live {
        let context = Context::of(&Request::default(), Cors::Any);
        Live::new(context, Route::Ready)
    }

    #[test]
    fn a_handle_works_until_its_request_ends() {
        let mut table = LiveTable::default();
        let mut lost = 0;
        let first = table.park(live(), None, 0, &mut lost).expect("room");
        assert!(table.take(first).is_some());
        assert!(table.take(first).is_none(), "in the hands of the core");
        assert_eq!(
            table.park(live(), Some(first), 0, &mut lost).ok(),
            Some(first)
        );
        table.release(Some(first));
        assert!(table.take(first).is_none());
        let second = table.park(live(), None, 0, &mut lost).expect("room");
        assert_ne!(first, second, "the slot is used again, the handle is not");
        assert!(table.take(first).is_none());
        assert!(table.take(second).is_some());
        assert!(table.take(0).is_none());
        assert!(table.take(u32::MAX).is_none());
    }

    #[test]
    fn forgotten_requests_make_room_after_a_minute() {
        let mut table = LiveTable::default();
        let mut lost = 0;
        for _ in 0..LIVE_MAX {
            assert!(table.park(live(), None, 0, &mut lost).is_ok());
        }
        assert!(
            table.park(live(), None, LIVE_MAX_MS, &mut lost).is_err(),
            "full"
        );
        assert_eq!(lost, 0);
        for _ in 0..LIVE_MAX {
            assert!(table.park(live(), None, LIVE_MAX_MS + 1, &mut lost).is_ok());
        }
        assert_eq!(lost, LIVE_MAX as u64);
    }
}
