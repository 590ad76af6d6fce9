//! A host without I/O: runs rows in virtual time.

use std::sync::Arc;

use edgewise_cache::fields::{FieldLines, FieldsMut, remove_hop_by_hop};
use edgewise_cache::range::{content_range, unsatisfied_range};
use edgewise_cache::update::{freshen, head_agrees, to_store};
use edgewise_cache::{
    Answer, Cache, Config, Decision, Entry, Exchange, Forward, Object, Reason, Received, Request,
    Response, Serve, conditional, freshened, invalidation, key, receive, serve,
};

use super::row::{Seen, body, lines};
use super::rows;

const START_S: i64 = 1_800_000_000;
const HOST: &str = "example.com";

type Payload = (FieldLines, String);
type Asked<'a> = Request<'a, FieldLines>;

/// A cache, its clock, and an origin that answers what the step says.
pub(crate) struct Driver {
    pub(crate) cache: Cache<Payload>,
    pub(crate) now_ms: i64,
}

/// What the origin answers: status, fields, body; `None` is nothing.
pub(crate) type Origin<'a> = &'a dyn Fn(&FieldLines) -> Option<(u16, FieldLines, String)>;

impl Driver {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            cache: Cache::new(config, 1 << 24),
            now_ms: START_S * 1_000,
        }
    }

    pub(crate) fn ask(
        &mut self,
        method: &str,
        target: &str,
        ask: &FieldLines,
        origin: Origin<'_>,
    ) -> Seen {
        let key = key::key(HOST, target);
        let asked = Request {
            method,
            key: &key,
            fields: ask,
        };
        // 0.0 never refreshes early.
        let lookup = self.cache.lookup(&asked, self.now_ms, 0.0);
        match (lookup.decision, lookup.object) {
            (Decision::Serve(serve), Some(object)) => {
                let mut seen = stored(&asked, &object, &serve);
                if serve.refresh {
                    let forward = Forward {
                        reason: Reason::Stale,
                        validate: true,
                        share: true,
                        stale_if_error: true,
                        impatient: false,
                    };
                    seen.told = self
                        .fetch(&asked, target, forward, Some(object), origin)
                        .told;
                }
                seen
            }
            (Decision::Forward(forward), object) => {
                self.fetch(&asked, target, forward, object, origin)
            }
            _ => own(504, None),
        }
    }

    fn fetch(
        &mut self,
        asked: &Asked<'_>,
        target: &str,
        forward: Forward,
        object: Option<Arc<Object<Payload>>>,
        origin: Origin<'_>,
    ) -> Seen {
        let mut told = asked.fields.clone();
        let whole = !matches!(
            forward.reason,
            Reason::Bypass | Reason::Method | Reason::Partial
        );
        if whole && asked.method == "GET" {
            for name in conditional::CONDITIONS.into_iter().chain(["range"]) {
                told.remove_field(name);
            }
        }
        let sent = told.clone();
        let mut validated = false;
        if let Some(object) = object.as_ref().filter(|_| forward.validate) {
            for (name, value) in conditional::condition(&object.stored) {
                told.append_field(name, value);
                validated = true;
            }
        }
        let exchange = Exchange {
            request_time_ms: self.now_ms,
            response_time_ms: self.now_ms,
        };
        let stand_in = object.as_ref().filter(|_| forward.stale_if_error);
        let Some((status, fields, body)) = origin(&told) else {
            return match stand_in {
                Some(object) => self.stale(asked, object, told),
                None => own(502, Some(told)),
            };
        };
        let response = Response {
            status,
            fields: &fields,
        };
        let request = Request {
            fields: &sent,
            ..*asked
        };
        let ends = invalidation::targets(&request, target, &response, &[HOST]);
        self.cache
            .forget(ends.iter().map(|target| key::key(HOST, target)));
        let config = *self.cache.config();
        match receive(&config, &request, &response, exchange, &forward, validated) {
            Received::ServeStale => {
                let object = stand_in.expect("only where there is one").clone();
                self.stale(asked, &object, told)
            }
            Received::Freshen => {
                let object = object.expect("only where there is one");
                let entry = self.lay_over(&request, &object, &fields, exchange);
                let entry = entry.unwrap_or(object);
                let serve = serve(
                    asked,
                    &entry.stored,
                    entry.body_bytes,
                    self.now_ms,
                    false,
                    false,
                );
                Seen {
                    told: Some(told),
                    ..stored(asked, &entry, &serve)
                }
            }
            Received::Store { stored: found, .. }
                if asked.method == "GET"
                    || invalidation::names_itself(target, &response, &[HOST]) =>
            {
                let mut kept = fields.clone();
                to_store(&mut kept, &found);
                let has_it = asked.method == "GET"
                    && conditional::is_not_modified(asked.fields, &found, self.now_ms / 1_000);
                let entry = Entry {
                    object: Arc::new(Object {
                        stored: *found,
                        body_bytes: body.len() as u64,
                        payload: (kept, body.clone()),
                    }),
                    fields_bytes: 100,
                    sequence: self.cache.contents().sequence(),
                };
                self.cache.store(&request, entry);
                passed(if has_it { 304 } else { status }, fields, body, told)
            }
            Received::Pass(_) | Received::Store { .. } => {
                if let Some(object) = &object {
                    if asked.method == "HEAD" && status == object.stored.status {
                        if head_agrees(&fields, &object.stored, object.body_bytes) {
                            self.lay_over(&request, object, &fields, exchange);
                        } else {
                            self.cache.forget_variant(&request);
                        }
                    } else if asked.method == "GET" && status < 500 && status != 304 {
                        self.cache.forget_variant(&request);
                    }
                }
                passed(status, fields, body, told)
            }
        }
    }

    fn stale(&self, asked: &Asked<'_>, object: &Object<Payload>, told: FieldLines) -> Seen {
        let serve = serve(
            asked,
            &object.stored,
            object.body_bytes,
            self.now_ms,
            true,
            false,
        );
        Seen {
            told: Some(told),
            ..stored(asked, object, &serve)
        }
    }

    fn lay_over(
        &mut self,
        request: &Asked<'_>,
        object: &Object<Payload>,
        newer: &FieldLines,
        exchange: Exchange,
    ) -> Option<Arc<Object<Payload>>> {
        let mut newer = newer.clone();
        to_store(&mut newer, &object.stored);
        let mut fields = object.payload.0.clone();
        freshen(&mut fields, &newer);
        let config = *self.cache.config();
        let Some(stored) = freshened(&config, request, &object.stored, &mut fields, exchange)
        else {
            self.cache.forget_variant(request);
            return None;
        };
        let object = Arc::new(Object {
            stored,
            body_bytes: object.body_bytes,
            payload: (fields, object.payload.1.clone()),
        });
        let entry = Entry {
            object: Arc::clone(&object),
            fields_bytes: 100,
            sequence: self.cache.contents().sequence(),
        };
        self.cache.store(request, entry);
        Some(object)
    }
}

fn stored(asked: &Asked<'_>, object: &Object<Payload>, serve: &Serve) -> Seen {
    let (mut fields, mut body) = object.payload.clone();
    let total = object.body_bytes;
    fields.append_field("Age", serve.age_s.to_string().as_bytes());
    let status = match serve.answer {
        Answer::Whole => object.stored.status,
        Answer::NotModified => {
            body.clear();
            304
        }
        Answer::Part { first, last } => {
            fields.append_field(
                "Content-Range",
                content_range(first, last, total).as_bytes(),
            );
            body =
                body[usize::try_from(first).unwrap()..=usize::try_from(last).unwrap()].to_owned();
            206
        }
        Answer::Unsatisfiable => {
            fields.append_field("Content-Range", unsatisfied_range(total).as_bytes());
            body.clear();
            416
        }
    };
    if asked.method == "HEAD" {
        body.clear();
    }
    Seen {
        status,
        fields,
        body,
        told: None,
    }
}

fn passed(status: u16, mut fields: FieldLines, body: String, told: FieldLines) -> Seen {
    remove_hop_by_hop(&mut fields);
    Seen {
        status,
        fields,
        body: if status == 304 { String::new() } else { body },
        told: Some(told),
    }
}

fn own(status: u16, told: Option<FieldLines>) -> Seen {
    Seen {
        status,
        fields: Vec::new(),
        body: String::new(),
        told,
    }
}

#[test]
fn every_rule_holds() {
    let rows = rows::all();
    assert!(rows.len() > 130, "{} rows", rows.len());
    for row in &rows {
        let mut driver = Driver::new(Config::default());
        for (at, step) in row.steps.iter().enumerate() {
            driver.now_ms += step.after_s * 1_000;
            let answer = |_: &FieldLines| {
                let (status, fields) = step.answer.as_ref()?;
                Some((*status, lines(fields, START_S), body(at)))
            };
            let seen = driver.ask(
                step.method,
                step.target,
                &lines(&step.ask, START_S),
                &answer,
            );
            row.check(at, &seen, START_S);
        }
    }
}
