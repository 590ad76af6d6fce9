//! What is done with a request, with what the origin says, and with bodies.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use edgewise_cache::update::{head_agrees, to_store};
use edgewise_cache::{
    Cache, Config, Decision, Exchange, Forward, Reason, Received, Refusal, Response, Stored,
    conditional, date, invalidation, key, receive,
};
use serde::Deserialize;

use crate::bodies::{Held, Unused};
use crate::control::{Control, Fetch};
use crate::headers;
use crate::message::{Arrived, Asking, Refused};
use crate::pending::{AllPending, Entry, Pending};
use crate::respond::{self, Failure};

/// Bytes of stored answers.
const MEMORY_BYTES: u64 = 32 << 20;
/// The largest body that is stored, bytes: what one object may take of the memory.
const OBJECT_BYTES_MAX: u64 = 8 << 20;
/// How long to wait for the head of an answer, milliseconds.
const ORIGIN_BUDGET_MS: u32 = 2_000;
/// The same where the request has a body.
const UPLOAD_BUDGET_MS: u32 = 60_000;
/// After so long what is stale is served where the origin allowed that for errors, milliseconds.
const STALE_BUDGET_MS: u32 = 80;

/// What an operator decides.
#[derive(Clone, Debug, Deserialize)]
pub struct Options {
    /// Scheme and authority of the origin.
    pub origin: String,
}

/// A proxy.
#[derive(Debug)]
pub struct Proxy {
    /// Scheme and authority, without a slash at the end.
    origin: String,
    pub(crate) cache: Cache<crate::pending::Payload>,
    unused: Unused,
    pending: AllPending,
}

impl Proxy {
    /// A proxy with nothing stored.
    ///
    /// # Errors
    /// What is wrong with the options.
    pub fn new(options: &Options) -> Result<Self, &'static str> {
        let origin = options.origin.trim_end_matches('/');
        let authority = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"))
            .ok_or("the origin's URL starts with http:// or https://")?;
        if authority.is_empty() || authority.contains(['/', '?', '#', '@']) {
            return Err("the origin's URL is a scheme and a host, without a path");
        }
        let config = Config {
            object_bytes_max: OBJECT_BYTES_MAX,
            ..Config::default()
        };
        Ok(Self {
            origin: String::from(origin),
            cache: Cache::new(config, MEMORY_BYTES),
            unused: Unused::default(),
            pending: AllPending::default(),
        })
    }

    /// What to do with a request.
    pub fn request(&mut self, asking: Result<Asking, Refused>) -> Control {
        match asking {
            Ok(asking) => self.asked(asking),
            Err(refused) => respond::refused(refused),
        }
        .dropping(&self.unused)
    }

    /// What to do with what came of a request to the origin.
    pub fn response(&mut self, arrived: &Arrived) -> Control {
        let control = match self.pending.take(arrived.id) {
            None => respond::refused(Refused(503, "too many requests\n")),
            Some(pending) if arrived.status == 0 => {
                let failure = Failure::none(arrived.timed_out);
                respond::failed(&pending, failure, arrived.now_ms)
            }
            Some(pending) if arrived.is_unfit() => {
                respond::failed(&pending, Failure::Protocol, arrived.now_ms)
            }
            Some(pending) => self.answered(pending, arrived),
        };
        control.dropping(&self.unused)
    }

    /// The origin has not answered in [`Fetch::late_ms`]: what the client gets meanwhile.
    pub fn late(&mut self, id: u32, now_ms: i64) -> Control {
        let control = match self.pending.get_mut(id) {
            Some(pending) => {
                pending.background = true;
                respond::failed(pending, Failure::Timeout, now_ms)
            }
            None => Control::default(),
        };
        control.dropping(&self.unused)
    }

    /// The body to keep is whole (`Some` with its length), or will not be.
    pub fn body(&mut self, id: u32, bytes: Option<u64>) -> Control {
        let pending = self.pending.take(id);
        self.keep_whole(pending, self.unused.body(id), bytes);
        Control::default().dropping(&self.unused)
    }

    fn keep_whole(&mut self, pending: Option<Pending>, body: Rc<Held>, bytes: Option<u64>) {
        let (Some(mut pending), Some(bytes)) = (pending, bytes) else {
            return;
        };
        let Some((stored, mut fields)) = pending.arriving.take() else {
            return;
        };
        if stored.status != 204 {
            headers::set(&mut fields, "content-length", &format!("{bytes}"));
        }
        let entry = respond::entry(stored, bytes, fields, body);
        respond::store(&mut self.cache, &pending, &entry);
    }

    fn asked(&mut self, asking: Asking) -> Control {
        let lookup = self
            .cache
            .lookup(&respond::asked(&asking), asking.now_ms, asking.random);
        match (lookup.decision, lookup.object) {
            (Decision::Serve(serve), Some(object)) => {
                let answer = respond::hit(&asking, &object, &serve);
                let due = serve.refresh && !self.pending.is_refreshing(&object, asking.now_ms);
                let fetch = due.then(|| {
                    let forward = Forward {
                        reason: Reason::Stale,
                        validate: true,
                        share: true,
                        stale_if_error: true,
                        impatient: false,
                    };
                    self.fetch(asking, forward, Some(object), lookup.sequence, true)
                });
                Control {
                    answer: Some(answer),
                    fetch,
                    ..Control::default()
                }
            }
            (Decision::GatewayTimeout | Decision::Serve(_), _) => respond::not_cached(),
            (Decision::Forward(forward), object) => Control {
                fetch: Some(self.fetch(asking, forward, object, lookup.sequence, false)),
                ..Control::default()
            },
        }
    }

    fn fetch(
        &mut self,
        asking: Asking,
        forward: Forward,
        object: Option<Entry>,
        sequence: u64,
        background: bool,
    ) -> Fetch {
        let mut sent = headers::to_origin(&asking);
        let whole = !matches!(
            forward.reason,
            Reason::Bypass | Reason::Method | Reason::Partial
        );
        if whole && asking.method == "GET" {
            headers::without_conditions(&mut sent);
        }
        let mut told = sent.clone();
        let mut validated = false;
        if let Some(object) = object.as_ref().filter(|_| forward.validate) {
            for (name, value) in conditional::condition(&object.stored) {
                told.push((String::from(name), Vec::from(value)));
                validated = true;
            }
        }
        let method = asking.method.clone();
        let repeatable = matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS");
        let url = [&self.origin, asking.target.as_str()].concat();
        let late = forward.impatient && !background;
        let id = self.pending.insert(Pending {
            asking,
            sent,
            forward,
            object,
            sequence,
            validated,
            background,
            arriving: None,
        });
        Fetch {
            id,
            method,
            url,
            headers: told,
            repeatable,
            budget_ms: if repeatable {
                ORIGIN_BUDGET_MS
            } else {
                UPLOAD_BUDGET_MS
            },
            late_ms: late.then_some(STALE_BUDGET_MS),
        }
    }

    fn answered(&mut self, mut pending: Pending, arrived: &Arrived) -> Control {
        let exchange = Exchange {
            request_time_ms: pending.asking.now_ms,
            response_time_ms: arrived.now_ms,
        };
        let response = Response {
            status: arrived.status,
            fields: &arrived.fields,
        };
        let asked = pending.asked();
        let target = &pending.asking.target;
        let authority = self.origin.split("://").nth(1).unwrap_or("");
        let hosts = [pending.asking.host.as_str(), authority];
        let ended = invalidation::targets(&asked, target, &response, &hosts);
        let host = &pending.asking.host;
        self.cache
            .forget(ended.iter().map(|target| key::key(host, target)));
        let is_get = pending.asking.method == "GET";
        let config = *self.cache.config();
        let (forward, validated) = (&pending.forward, pending.validated);
        let mut received = receive(&config, &asked, &response, exchange, forward, validated);
        if matches!(received, Received::Store { .. })
            && !is_get
            && !invalidation::names_itself(target, &response, &hosts)
        {
            received = Received::Pass(Refusal::Method);
        }
        if !is_get {
            // What this answer made invalid is older than itself.
            pending.sequence = self.cache.contents().sequence();
        }
        match received {
            Received::Store { stored, .. } => self.keep(pending, *stored, arrived),
            Received::Freshen => match pending.object.clone() {
                Some(object) => {
                    let newer =
                        respond::lay_over(self, &pending, &object, &arrived.fields, exchange);
                    // What may not be stored any longer answers this once.
                    let entry = newer.unwrap_or(object);
                    respond::fresh(&pending, &entry, arrived.now_ms)
                }
                None => respond::failed(&pending, Failure::Protocol, arrived.now_ms),
            },
            Received::ServeStale => {
                let failure = Failure::Answer(arrived.status);
                respond::failed(&pending, failure, arrived.now_ms)
            }
            Received::Pass(refusal) => {
                self.forget_replaced(&pending, arrived, refusal);
                if pending.asking.method == "HEAD" {
                    self.head(&pending, arrived, exchange);
                }
                respond::pass(&pending, arrived, refusal)
            }
        }
    }

    /// Answers with what is arriving, which is stored once it is whole.
    fn keep(&mut self, mut pending: Pending, stored: Stored, arrived: &Arrived) -> Control {
        let mut fields = arrived.fields.clone();
        if !fields
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("date"))
        {
            // RFC 9110 section 6.6.1: what is kept says when it came.
            let now = date::format(arrived.now_ms.div_euclid(1_000));
            headers::set(&mut fields, "date", &now);
        }
        let mut control = respond::live(&pending, &stored, fields.clone(), arrived.now_ms);
        control.keep = Some((arrived.id, OBJECT_BYTES_MAX));
        to_store(&mut fields, &stored);
        pending.arriving = Some((stored, fields));
        self.pending.put_back(arrived.id, pending);
        control
    }

    /// The origin's newer answer may not be stored, and what is stored is of before.
    fn forget_replaced(&mut self, pending: &Pending, arrived: &Arrived, refusal: Refusal) {
        let replaced = arrived.status < 500
            && !matches!(
                refusal,
                Refusal::Conditional | Refusal::Method | Refusal::Status
            );
        if replaced && pending.object.is_some() {
            self.cache.forget_variant(&pending.asked());
        }
    }

    /// What an answer to HEAD says of what is stored (RFC 9111 section 4.3.5).
    fn head(&mut self, pending: &Pending, arrived: &Arrived, exchange: Exchange) {
        let Some(object) = &pending.object else {
            return;
        };
        if arrived.status != object.stored.status {
            return;
        }
        if head_agrees(&arrived.fields, &object.stored, object.body_bytes) {
            respond::lay_over(self, pending, object, &arrived.fields, exchange);
        } else {
            self.cache.forget_variant(&pending.asked());
        }
    }
}

impl Control {
    /// With the bodies that nothing refers to any longer.
    fn dropping(mut self, unused: &Unused) -> Self {
        self.drop = unused.take();
        self
    }
}
