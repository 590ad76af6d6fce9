//! What an answer needs to know of its request, and what a route works with.

use alloc::string::String;
use alloc::vec::Vec;

use edgewise_wire::problem::Problem;

use crate::cors::Cors;
use crate::effect::Answer;
use crate::job::Job;
use crate::request::Request;
use crate::resource::Resource;
use crate::state::State;
use crate::store::Look;
use crate::store::load::{Load, Purpose};
use crate::trace::Trace;

/// The parts of a request that outlive its first step.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) trace: Trace,
    /// Wall time the request came, Unix ms.
    pub(crate) started_ms: i64,
    /// 128 random bits: the request id.
    pub(crate) random: [u8; 16],
    /// The body is not wanted.
    pub(crate) is_head: bool,
    pub(crate) if_none_match: Option<String>,
    pub(crate) cors: Cors,
    /// The overlay was waited for once.
    overlay_asked: bool,
    /// The answer's resource came from the origin just now.
    pub(crate) missed: bool,
    /// How long the origin took, ms.
    pub(crate) origin_ms: Option<i64>,
    /// The origin was asked for the answer's resource and failed.
    pub(crate) origin_failed: bool,
}

impl Context {
    pub(crate) fn of(request: &Request<'_>, cors: Cors) -> Self {
        Self {
            trace: Trace::of(request.header("traceparent"), request.random),
            started_ms: request.wall_ms,
            random: request.random,
            is_head: request.method == "HEAD",
            if_none_match: request.header("if-none-match").map(String::from),
            cors,
            overlay_asked: false,
            missed: false,
            origin_ms: None,
            origin_failed: false,
        }
    }

    /// Notes what an awaited load went through.
    pub(crate) fn note(&mut self, load: &Load) {
        let Some(origin_ms) = load.origin_ms else {
            return;
        };
        self.origin_ms = Some(self.origin_ms.unwrap_or(0).max(origin_ms));
        if *load.resource() != Resource::Overlay {
            self.missed |= !load.origin_failed;
            self.origin_failed |= load.origin_failed;
        }
    }
}

/// A step's view of everything a route may use.
pub(crate) struct Step<'s> {
    pub(crate) state: &'s mut State,
    pub(crate) context: &'s mut Context,
    pub(crate) jobs: &'s mut Vec<Job>,
    pub(crate) wall_ms: i64,
}

impl Step<'_> {
    /// Domain time now, Unix ms.
    pub(crate) fn domain_ms(&self) -> i64 {
        self.state.overlay.domain_ms(self.wall_ms)
    }

    /// What memory knows of a resource.
    pub(crate) fn look(&self, resource: &Resource) -> Look {
        self.state.look(resource, &resource.key(), self.wall_ms)
    }

    /// Whether an answer is made of it without waiting: it is current enough, or the origin's
    /// last answer was a failure, so that waiting for a newer one is no use. Refreshes find out
    /// when it is well again.
    pub(crate) fn is_ready(&self, look: Look) -> bool {
        look.is_ready() || look.is_usable() && self.state.breaker.has_failed()
    }

    /// Loads for the answer.
    pub(crate) fn load(&mut self, resource: Resource, purpose: Purpose) {
        self.jobs.push(Job::Load(Load::new(resource, purpose)));
    }

    /// Refreshes after the answer, where nobody else does.
    pub(crate) fn refresh(&mut self, resource: Resource) {
        if let Some(load) = Load::refresh(self.state, resource, self.wall_ms) {
            self.jobs.push(Job::Load(load));
        }
    }

    /// Has the answer wait for the overlay where it is too old, once; `cold_ms` is the budget
    /// where there is none at all. True where it waits.
    pub(crate) fn await_overlay(&mut self, cold_ms: u32) -> bool {
        if self.context.overlay_asked {
            return false;
        }
        self.context.overlay_asked = true;
        let look = self.state.look(&Resource::Overlay, "", self.wall_ms);
        if self.is_ready(look) {
            return false;
        }
        self.load(
            Resource::Overlay,
            Purpose::Answer {
                otherwise_ms: cold_ms,
            },
        );
        true
    }

    /// Milliseconds left of the longest time an answer may take.
    pub(crate) fn left_ms(&self) -> u32 {
        let spent_ms = self.wall_ms.saturating_sub(self.context.started_ms).max(0);
        let budget_ms = self.state.config.origin_cold_budget_ms;
        budget_ms.saturating_sub(u32::try_from(spent_ms).unwrap_or(u32::MAX))
    }

    /// The 503 of a request for which nothing is known at all.
    pub(crate) fn unavailable(&self) -> Answer {
        crate::answer::problem(&Problem::unavailable(
            "nothing is known of this yet and the origin cannot be reached",
            1,
        ))
    }
}
