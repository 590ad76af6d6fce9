//! What a request has under way: loads, questions to the rate limiter, messages to the queue.

use alloc::string::String;
use alloc::vec::Vec;

use edgewise_wire::served::ServedSlot;

use crate::effect::{Done, Effect};
use crate::resource::Resource;
use crate::served;
use crate::state::State;
use crate::store::load::Load;
use crate::trace::Trace;

/// Something with effects.
#[derive(Debug)]
pub(crate) enum Job {
    /// Brings a resource into memory.
    Load(Load),
    /// Asks the rate limiter; `Some(false)` is refused.
    Limit {
        key: String,
        begun: bool,
        allowed: Option<bool>,
    },
    /// Puts messages on the queue; `Some(true)` once all are there.
    Send {
        messages: Vec<Vec<u8>>,
        begun: bool,
        sent: Option<bool>,
    },
    /// Sends explore slots to the origin through the queue.
    Flush { slots: Vec<ServedSlot>, begun: bool },
}

impl Job {
    /// Whether an answer waits for it.
    pub(crate) fn is_awaited(&self) -> bool {
        match self {
            Self::Load(load) => load.is_awaited(),
            Self::Limit { allowed, .. } => allowed.is_none(),
            Self::Send { sent, .. } => sent.is_none(),
            Self::Flush { .. } => false,
        }
    }

    /// Whether it has not asked for anything yet.
    pub(crate) fn is_unstarted(&self) -> bool {
        match self {
            Self::Load(load) => load.is_unstarted(),
            Self::Limit { begun, .. } | Self::Send { begun, .. } | Self::Flush { begun, .. } => {
                !begun
            }
        }
    }

    /// Whether it is a refresh of the overlay that is not settled.
    pub(crate) fn is_refreshing_overlay(&self) -> bool {
        matches!(self, Self::Load(load)
            if *load.resource() == Resource::Overlay && !load.is_settled())
    }

    /// Takes the results of its last effects and puts out the next ones.
    pub(crate) fn step(
        &mut self,
        state: &mut State,
        trace: &Trace,
        wall_ms: i64,
        results: &[Done<'_>],
        effects: &mut Vec<Effect>,
    ) {
        match self {
            Self::Load(load) => load.step(state, trace, wall_ms, results, effects),
            Self::Limit {
                key,
                begun,
                allowed,
            } => {
                if *begun {
                    // A limiter that fails must not refuse anybody.
                    *allowed = Some(results.first().is_none_or(|result| result.status != 429));
                } else {
                    *begun = true;
                    effects.push(Effect::Limit {
                        key: core::mem::take(key),
                    });
                }
            }
            Self::Send {
                messages,
                begun,
                sent,
            } => {
                if *begun {
                    *sent = Some(results.iter().all(|result| is_ok(result.status)));
                } else {
                    *begun = true;
                    let messages = core::mem::take(messages);
                    effects.extend(messages.into_iter().map(|body| Effect::Send { body }));
                }
            }
            Self::Flush { slots, begun } => {
                if *begun {
                    if !results.iter().all(|result| is_ok(result.status)) {
                        state.stats.served_lost += slots.len() as u64;
                    }
                } else {
                    *begun = true;
                    effects.push(Effect::Send {
                        body: served::message(slots),
                    });
                }
            }
        }
    }
}

fn is_ok(status: u32) -> bool {
    (200..300).contains(&status)
}
