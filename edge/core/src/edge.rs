//! The edge: requests in, effects and answers out.

use alloc::vec::Vec;

use crate::answer;
use crate::config::Config;
use crate::context::Context;
use crate::cors::Cors;
use crate::effect::{Done, Output};
use crate::job::Job;
use crate::lifetime::PREFETCH_EVERY_MS;
use crate::live::{Live, LiveTable};
use crate::repeat::Repeats;
use crate::request::Request;
use crate::resource::{HotKey, Resource};
use crate::router::{self, Routed};
use crate::state::State;
use crate::stats::Stats;
use crate::store::load::Load;
use edgewise_ranking::HotWindow;

/// Rounds of asking and looking within one step; a step needs two or three.
const ROUNDS_MAX: usize = 16;

/// The core of one isolate. Sans-IO: time comes with every call, effects go out, results
/// come back.
#[derive(Debug)]
pub struct Edge {
    state: State,
    live: LiveTable,
    repeats: Repeats,
}

impl Edge {
    /// An isolate that knows nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            state: State::new(config),
            live: LiveTable::default(),
            repeats: Repeats::default(),
        }
    }

    /// Where `request` gets an answer that was given before: its id, and the output frame that
    /// [`Edge::start`] would make. Counts as that would.
    pub fn repeat(&mut self, request: &Request<'_>) -> Option<(u32, &[u8])> {
        let found = self.repeats.find(request)?;
        // Who is over the limit is told so by `start`.
        router::limit(&mut self.state, request, None).ok()?;
        self.state.stats.requests += 1;
        self.state.stats.memory_hits += 1;
        Some(found)
    }

    /// Keeps the frame of what [`Edge::start`] put out for `request`, where it may be given
    /// again. Returns its id, else 0.
    pub fn keep(&mut self, request: &Request<'_>, output: &Output, frame: &[u8]) -> u32 {
        self.repeats.keep(request, output, frame)
    }

    /// Starts a request.
    pub fn start(&mut self, request: &Request<'_>, body: &[u8]) -> Output {
        let wall_ms = request.wall_ms;
        self.state.stats.requests += 1;
        let cors = Cors::of(request, &self.state.config.cors_origins);
        let routed = router::route(&mut self.state, request, &cors, body);
        let context = Context::of(request, cors);
        match routed {
            Routed::Asset => Output {
                asset: true,
                done: true,
                ..Output::default()
            },
            Routed::Answer(answer) => Output::finished(answer::finish(answer, &context, wall_ms)),
            Routed::Route(route) => {
                let live = Live::new(context, route);
                self.advance(live, None, wall_ms, &[])
            }
        }
    }

    /// Resumes a request with the results of its effects, in any order. A handle that is not
    /// waiting (any more) ends at once.
    pub fn resume(&mut self, handle: u32, wall_ms: i64, results: &[Done<'_>]) -> Output {
        self.repeats.clear();
        match self.live.take(handle) {
            Some(live) => self.advance(live, Some(handle), wall_ms, results),
            None => Output::ended(handle),
        }
    }

    fn advance(
        &mut self,
        mut live: Live,
        handle: Option<u32>,
        wall_ms: i64,
        results: &[Done<'_>],
    ) -> Output {
        let mut output = Output::default();
        let mut waiting = Vec::new();
        live.deliver(
            &mut self.state,
            wall_ms,
            results,
            &mut output.effects,
            &mut waiting,
        );
        for _ in 0..ROUNDS_MAX {
            if !live.answered && !live.jobs.iter().any(Job::is_awaited) {
                output.answer = self.answer(&mut live, wall_ms);
            }
            live.begin(&mut self.state, wall_ms, &mut output.effects, &mut waiting);
            if live.answered || live.jobs.iter().any(Job::is_awaited) {
                break;
            }
        }
        if !live.answered && !live.jobs.iter().any(Job::is_awaited) {
            // Unreachable unless a route asks in circles; nobody is left without an answer.
            let step = live.step(&mut self.state, wall_ms);
            output.answer = Some(answer::finish(step.unavailable(), &live.context, wall_ms));
            live.answered = true;
        }
        live.waiting = waiting;
        self.park(live, handle, wall_ms, output)
    }

    /// Keeps the request until its effects are done.
    fn park(
        &mut self,
        live: Live,
        handle: Option<u32>,
        wall_ms: i64,
        mut output: Output,
    ) -> Output {
        if output.effects.is_empty() {
            output.handle = handle.unwrap_or(0);
            output.done = true;
            if !live.answered {
                // Whatever forgot to ask for an effect, the client is not left without an answer.
                let answer = answer::finish(answer::overloaded(), &live.context, wall_ms);
                output.answer.get_or_insert(answer);
            }
            self.live.release(handle);
            return output;
        }
        let parked = self
            .live
            .park(live, handle, wall_ms, &mut self.state.stats.requests_lost);
        match parked {
            Ok(handle) => output.handle = handle,
            Err(live) => {
                // The table is full of requests that wait: effects are given up, never answers.
                output.effects.clear();
                output.done = true;
                output.answer.get_or_insert_with(|| {
                    answer::finish(answer::overloaded(), &live.context, wall_ms)
                });
            }
        }
        output
    }

    fn answer(&mut self, live: &mut Live, wall_ms: i64) -> Option<crate::effect::Answer> {
        for job in &live.jobs {
            if let Job::Load(load) = job {
                live.context.note(load);
            }
        }
        let (mut step, route) = live.split(&mut self.state, wall_ms);
        let answer = route.step(&mut step)?;
        self.keep_current(&mut live.jobs, wall_ms);
        live.answered = true;
        Some(answer::finish(answer, &live.context, wall_ms))
    }

    /// What every answered request does for the next ones: overlay, model, pools and hot
    /// lists, explore slots.
    fn keep_current(&mut self, jobs: &mut Vec<Job>, wall_ms: i64) {
        let state = &mut self.state;
        let mut refresh = |state: &State, resource| {
            jobs.extend(Load::refresh(state, resource, wall_ms).map(Job::Load));
        };
        refresh(state, Resource::Overlay);
        let pointer = state.overlay.current.as_ref().map(|overlay| &overlay.model);
        if let Some(version) = pointer.and_then(|pointer| state.models.missing(pointer)) {
            let version = version.into();
            refresh(state, Resource::Model { version });
        }
        if state.overlay.current.is_some() && wall_ms >= state.overlay.prefetch_at_ms {
            state.overlay.prefetch_at_ms = wall_ms + PREFETCH_EVERY_MS;
            refresh(state, Resource::pool_all());
            for window in HotWindow::ALL {
                refresh(state, Resource::Hot(HotKey::of(window)));
            }
        }
        if let Some(slots) = state.served.take_due(wall_ms) {
            jobs.push(Job::Flush {
                slots,
                begun: false,
            });
        }
    }

    /// The frame that would be repeated, for tests.
    #[cfg(test)]
    pub(crate) fn repeated(&self, request: &Request<'_>) -> Option<Vec<u8>> {
        self.repeats.find(request).map(|(_, frame)| frame.to_vec())
    }

    /// What happened since this isolate began.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.state.stats
    }

    /// What is known of the edge inside, for tests.
    #[cfg(test)]
    pub(crate) fn state(&self) -> &State {
        &self.state
    }
}
