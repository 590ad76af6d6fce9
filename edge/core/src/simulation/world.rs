//! The simulated host: virtual time, stores, queue, and the effects' results.

use alloc::collections::BTreeMap;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use edgewise_wire::keys::Keys;

use super::origin::{Mood, Origin};
use super::random::Random;
use crate::frame::write_output;
use crate::{Answer, Config, Done, Edge, Effect, Output, Request};

/// A fixed start, so that ages never go below zero.
pub(super) const START_MS: i64 = 1_700_000_000_000;

/// How often what goes wrong, in percent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    /// A store does not find what it has.
    pub(super) lookup_lost: u64,
    /// A store does not keep what it is given.
    pub(super) put_lost: u64,
    /// A stored value comes back damaged.
    pub(super) damaged: u64,
    /// A store hands out what is under another key.
    pub(super) mixed_up: u64,
    /// The queue refuses.
    pub(super) queue: u64,
    /// The limiter fails.
    pub(super) limiter: u64,
    /// A host dies before it resumes.
    pub(super) host: u64,
}

/// A request.
#[derive(Clone, Debug, Default)]
pub(super) struct Ask {
    pub(super) method: &'static str,
    pub(super) target: String,
    pub(super) headers: String,
    pub(super) body: Vec<u8>,
}

impl Ask {
    pub(super) fn get(target: impl Into<String>) -> Self {
        Self {
            method: "GET",
            target: target.into(),
            ..Self::default()
        }
    }

    pub(super) fn header(mut self, line: &str) -> Self {
        self.headers.push_str(line);
        self.headers.push('\n');
        self
    }

    pub(super) fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        let method = "POST";
        Self {
            method,
            target: target.into(),
            headers: String::new(),
            body: body.into(),
        }
    }
}

/// An answer and when it came.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) request: usize,
    pub(super) waited_ms: i64,
    pub(super) answer: Answer,
}

/// A resume that is due.
struct Due {
    request: usize,
    handle: u32,
    results: Vec<(u32, u32, Vec<u8>)>,
}

/// Everything outside the core.
pub(super) struct World {
    pub(super) now_ms: i64,
    pub(super) edge: Edge,
    pub(super) origin: Origin,
    pub(super) faults: Faults,
    pub(super) cache: BTreeMap<String, (i64, Vec<u8>)>,
    pub(super) kv: BTreeMap<String, (i64, Vec<u8>)>,
    /// Messages on the queue.
    pub(super) queue: Vec<String>,
    /// Paths asked of the origin.
    pub(super) fetched: Vec<String>,
    /// KV writes by key.
    pub(super) kv_puts: BTreeMap<String, u32>,
    pub(super) answers: Vec<Answered>,
    /// Trace contexts sent to the origin.
    pub(super) traces: Vec<String>,
    /// Where clients are.
    pub(super) country: &'static str,
    /// Offset of their zone, minutes.
    pub(super) utc_offset_minutes: i32,
    /// The limiter refuses.
    pub(super) limited: bool,
    /// Start time of each request.
    pub(super) started: Vec<i64>,
    /// Whether simultaneous requests for a path are one at the origin (`coalesces`).
    pub(super) coalesces: bool,
    /// When the origin request of a path that is under way is answered, ms.
    flights: BTreeMap<String, i64>,
    /// Requests whose host died.
    pub(super) lost: BTreeSet<usize>,
    /// Answers that would have been repeated; each was compared with what was answered.
    pub(super) repeats: usize,
    pub(super) random: Random,
    config: String,
    agenda: BTreeMap<(i64, u64), Due>,
    sequence: u64,
}

/// The keys of every simulated edge.
pub(super) fn keys() -> Keys {
    Keys::parse(KEYS).expect("good keys")
}

const KEYS: &str = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self::with(seed, r#""plain_user":true"#)
    }

    /// With these members of the configuration.
    pub(super) fn with(seed: u64, config: &str) -> Self {
        let config = format!(r#"{{"keys":"{KEYS}",{config}}}"#);
        Self {
            now_ms: START_MS,
            edge: Edge::new(Config::from_json(config.as_bytes()).expect("good config")),
            origin: Origin::new(START_MS),
            faults: Faults::default(),
            cache: BTreeMap::new(),
            kv: BTreeMap::new(),
            queue: Vec::new(),
            fetched: Vec::new(),
            kv_puts: BTreeMap::new(),
            answers: Vec::new(),
            traces: Vec::new(),
            country: "",
            utc_offset_minutes: 0,
            limited: false,
            started: Vec::new(),
            coalesces: config.contains(r#""coalesces":true"#),
            flights: BTreeMap::new(),
            lost: BTreeSet::new(),
            repeats: 0,
            random: Random::new(seed),
            config,
            agenda: BTreeMap::new(),
            sequence: 0,
        }
    }

    /// A new isolate: memory is gone, requests under way are lost.
    pub(super) fn restart(&mut self) {
        self.edge = Edge::new(Config::from_json(self.config.as_bytes()).expect("good config"));
        for due in core::mem::take(&mut self.agenda).into_values() {
            self.lost.insert(due.request);
        }
    }

    /// The client of a request leaves: its host does nothing more for it.
    pub(super) fn leave(&mut self, request: usize) {
        self.agenda.retain(|_, due| due.request != request);
        self.lost.insert(request);
    }

    /// Starts a request now.
    pub(super) fn start(&mut self, ask: &Ask) -> usize {
        let request = self.started.len();
        self.started.push(self.now_ms);
        let (path, query) = ask.target.split_once('?').unwrap_or((&ask.target, ""));
        let head = Request {
            method: ask.method,
            path,
            query,
            wall_ms: self.now_ms,
            random: self.random.bytes16(),
            client_ip: "192.0.2.1",
            country: self.country,
            utc_offset_minutes: self.utc_offset_minutes,
            headers: &ask.headers,
            ..Request::default()
        };
        let repeated = self.edge.repeated(&head);
        let output = self.edge.start(&head, &ask.body);
        self.note_repeat(&head, &output, repeated);
        self.take(request, output);
        request
    }

    /// What would have been repeated is what was answered (its effects may come up to a second
    /// later, with the next answer that is no repetition).
    fn note_repeat(&mut self, head: &Request<'_>, output: &Output, repeated: Option<Vec<u8>>) {
        let mut frame = Vec::new();
        if let Some(repeated) = repeated {
            let answer = output.answer.clone().expect("answered at once");
            write_output(&Output::finished(answer), &mut frame);
            assert_eq!(repeated, frame);
            self.repeats += 1;
        }
        write_output(output, &mut frame);
        self.edge.keep(head, output, &frame);
    }

    /// Starts a request and runs the world until nothing is under way.
    pub(super) fn ask(&mut self, ask: &Ask) -> Answered {
        let request = self.start(ask);
        self.run_until(i64::MAX);
        let answered = self
            .answers
            .iter()
            .find(|answered| answered.request == request);
        answered.cloned().expect("an answer")
    }

    /// Does what is due up to `until_ms`; time then is the last thing's or `until_ms`.
    pub(super) fn run_until(&mut self, until_ms: i64) {
        while self.run_one(until_ms) {}
    }

    /// Does the next thing that is due up to `until_ms`; false where there is none.
    pub(super) fn run_one(&mut self, until_ms: i64) -> bool {
        let next = self
            .agenda
            .first_entry()
            .filter(|entry| entry.key().0 <= until_ms);
        let Some(entry) = next else {
            if until_ms != i64::MAX {
                self.now_ms = self.now_ms.max(until_ms);
            }
            return false;
        };
        let ((at_ms, _), due) = entry.remove_entry();
        self.now_ms = self.now_ms.max(at_ms);
        let results: Vec<Done<'_>> = due
            .results
            .iter()
            .map(|(id, status, body)| Done {
                id: *id,
                status: *status,
                age_s: 0,
                body,
            })
            .collect();
        let output = self.edge.resume(due.handle, self.now_ms, &results);
        self.take(due.request, output);
        true
    }

    fn take(&mut self, request: usize, output: Output) {
        assert!(
            !output.done || output.effects.is_empty(),
            "effects after the end"
        );
        assert!(
            output.done || !output.effects.is_empty(),
            "waits for nothing"
        );
        if let Some(answer) = output.answer {
            let waited_ms = self.now_ms - self.started[request];
            self.answers.push(Answered {
                request,
                waited_ms,
                answer,
            });
        }
        if output.done {
            return;
        }
        let mut at_ms = self.now_ms;
        let mut results = Vec::new();
        for (effect, id) in output.effects.iter().zip(1..) {
            let (delay_ms, status, body) = self.effect(effect);
            at_ms = at_ms.max(self.now_ms + delay_ms);
            results.push((id, status, body));
        }
        if self.random.percent(self.faults.host) {
            self.lost.insert(request);
            return;
        }
        // Results are told by their ids, so their order must not matter.
        if self.random.percent(50) {
            results.reverse();
        }
        self.sequence += 1;
        let due = Due {
            request,
            handle: output.handle,
            results,
        };
        self.agenda.insert((at_ms, self.sequence), due);
    }

    /// Delay, status and value of an effect.
    fn effect(&mut self, effect: &Effect) -> (i64, u32, Vec<u8>) {
        match effect {
            Effect::CacheGet { key } => self.look_up(key, false),
            Effect::KvGet { key } => self.look_up(key, true),
            Effect::CachePut { key, ttl_s, body } => {
                assert!(key.len() <= 512);
                if !self.random.percent(self.faults.put_lost) {
                    let until_ms = self.now_ms + i64::from(*ttl_s) * 1_000;
                    self.cache.insert(key.clone(), (until_ms, body.clone()));
                }
                (1, 200, Vec::new())
            }
            Effect::KvPut { key, ttl_s, body } => {
                assert!(key.len() <= 512 && *ttl_s >= 60);
                *self.kv_puts.entry(key.clone()).or_default() += 1;
                if !self.random.percent(self.faults.put_lost) {
                    let until_ms = self.now_ms + i64::from(*ttl_s) * 1_000;
                    self.kv.insert(key.clone(), (until_ms, body.clone()));
                }
                (5, 200, Vec::new())
            }
            Effect::Fetch {
                path,
                timeout_ms,
                traceparent,
            } => {
                self.traces.push(traceparent.clone());
                self.fetch(path, i64::from(*timeout_ms))
            }
            Effect::Send { body } => {
                assert!(body.len() <= crate::limits::MESSAGE_MAX_BYTES);
                if self.random.percent(self.faults.queue) {
                    return (20, 0, Vec::new());
                }
                self.queue
                    .push(String::from_utf8(body.clone()).expect("JSON"));
                (3, 200, Vec::new())
            }
            Effect::Limit { .. } => {
                let failed = self.random.percent(self.faults.limiter);
                let status = if self.limited { 429 } else { 200 };
                (
                    1,
                    if failed && !self.limited { 0 } else { status },
                    Vec::new(),
                )
            }
            Effect::Sleep { ms } => (i64::from(*ms), 200, Vec::new()),
        }
    }

    fn look_up(&mut self, key: &str, in_kv: bool) -> (i64, u32, Vec<u8>) {
        let delay_ms = if in_kv {
            self.random.between(2, 30)
        } else {
            self.random.between(0, 3)
        };
        let store = if in_kv { &self.kv } else { &self.cache };
        let mixed_up = self.random.percent(self.faults.mixed_up) && !store.is_empty();
        let found = if mixed_up {
            store
                .values()
                .nth(self.random.next() as usize % store.len())
        } else {
            store.get(key)
        };
        let found = found.filter(|(until_ms, _)| *until_ms > self.now_ms);
        let Some(mut body) = found.map(|(_, body)| body.clone()) else {
            return (delay_ms, 0, Vec::new());
        };
        if self.random.percent(self.faults.lookup_lost) {
            return (delay_ms, 0, Vec::new());
        }
        if self.random.percent(self.faults.damaged) {
            let at = self.random.between(0, body.len() as i64 - 1) as usize;
            body.truncate(at);
        }
        (delay_ms, 200, body)
    }

    fn fetch(&mut self, path: &str, timeout_ms: i64) -> (i64, u32, Vec<u8>) {
        if let Some(&until_ms) = self.flights.get(path).filter(|&&at_ms| at_ms > self.now_ms) {
            return self.landed(path, until_ms - self.now_ms, timeout_ms);
        }
        self.fetched.push(path.to_string());
        let delay_ms = match self.origin.mood {
            Mood::Takes(ms) => ms,
            Mood::ListsTake(ms) if path.contains("/lists/") => ms,
            Mood::Well | Mood::ListsTake(_) => self.random.between(2, 40),
            Mood::Slow => self.random.between(30, 3_000),
            Mood::Fails => return (5.min(timeout_ms), 500, Vec::new()),
            Mood::Hangs => return (timeout_ms, 0, Vec::new()),
        };
        if self.coalesces {
            let until_ms = self.now_ms + delay_ms;
            self.flights.insert(path.to_string(), until_ms);
        }
        self.landed(path, delay_ms, timeout_ms)
    }

    /// The origin's answer after `delay_ms`, where that is waited for.
    fn landed(&self, path: &str, delay_ms: i64, timeout_ms: i64) -> (i64, u32, Vec<u8>) {
        if delay_ms > timeout_ms {
            return (timeout_ms, 0, Vec::new());
        }
        let (status, body) = self.origin.answer(path, self.now_ms);
        (delay_ms, status, body)
    }
}
