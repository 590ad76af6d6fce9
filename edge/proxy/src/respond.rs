//! Answers to clients, and what is stored with them.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use edgewise_cache::cache_status::Handling;
use edgewise_cache::fields::{FieldLines, FieldsMut, remove_hop_by_hop};
use edgewise_cache::range::{content_range, unsatisfied_range};
use edgewise_cache::update::{freshen, to_store};
use edgewise_cache::{
    Answer as Form, Cache, Entry as NewEntry, Exchange, Object, Refusal, Request, Serve, Stored,
    conditional, freshened, serve,
};

use crate::bodies::Held;
use crate::control::{Answer, Body, Control};
use crate::headers::{self, mark, set};
use crate::message::{Arrived, Asking, Refused};
use crate::pending::{Entry, Payload, Pending};
use crate::proxy::Proxy;

/// How long a client that is told 503 should wait, seconds.
const RETRY_AFTER_S: &[u8] = b"1";

/// Why the origin gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection, or it ended.
    Connect,
    /// No answer within the budget.
    Timeout,
    /// What came cannot be passed on.
    Protocol,
    /// It answered that it cannot.
    Answer(u16),
}

impl Failure {
    pub(crate) const fn none(timed_out: bool) -> Self {
        if timed_out {
            Self::Timeout
        } else {
            Self::Connect
        }
    }

    const fn status(self) -> u16 {
        match self {
            Self::Connect | Self::Protocol => 502,
            Self::Timeout => 504,
            Self::Answer(status) => status,
        }
    }

    /// A token for the `detail` of `Cache-Status`.
    const fn token(self) -> &'static str {
        match self {
            Self::Connect => "origin-connect",
            Self::Timeout => "origin-timeout",
            Self::Protocol => "origin-protocol",
            Self::Answer(_) => "origin-error",
        }
    }
}

/// A request as the cache is asked for it.
pub(crate) fn asked(asking: &Asking) -> Request<'_, FieldLines> {
    Request {
        method: &asking.method,
        key: &asking.key,
        fields: &asking.fields,
    }
}

/// An answer from what is stored.
pub(crate) fn hit(asking: &Asking, object: &Entry, serve: &Serve) -> Answer {
    let handling = Handling {
        ttl_s: Some(serve.ttl_s),
        ..Handling::default()
    };
    stored(asking, object, serve, &handling)
}

/// An answer that has just been validated.
pub(crate) fn fresh(pending: &Pending, object: &Entry, now_ms: i64) -> Control {
    let asking = &pending.asking;
    let serve = serve(
        &asked(asking),
        &object.stored,
        object.body_bytes,
        now_ms,
        false,
        false,
    );
    let handling = Handling {
        forwarded: Some(pending.forward.reason),
        forward_status: Some(304),
        ttl_s: Some(serve.ttl_s),
        stored: true,
        ..Handling::default()
    };
    answer(stored(asking, object, &serve, &handling))
}

/// An answer that is being stored.
pub(crate) fn live(
    pending: &Pending,
    stored: &Stored,
    mut fields: FieldLines,
    now_ms: i64,
) -> Control {
    remove_hop_by_hop(&mut fields);
    let handling = Handling {
        forwarded: Some(pending.forward.reason),
        forward_status: Some(stored.status),
        ttl_s: Some(stored.terms.ttl_s(now_ms)),
        stored: true,
        ..Handling::default()
    };
    let age_s = stored.terms.age_ms(now_ms) / 1_000;
    if age_s > 0 {
        set(&mut fields, "age", &format!("{age_s}"));
    }
    mark(&mut fields, &handling);
    let asking = &pending.asking;
    let has_it = conditional::is_not_modified(&asking.fields, stored, now_ms / 1_000);
    if has_it && asking.method == "GET" {
        headers::without_body(&mut fields);
        return answer(with(304, fields, Body::Empty));
    }
    answer(with(stored.status, fields, Body::Origin))
}

/// An answer that is not stored.
pub(crate) fn pass(pending: &Pending, arrived: &Arrived, refusal: Refusal) -> Control {
    let mut fields = arrived.fields.clone();
    remove_hop_by_hop(&mut fields);
    let handling = Handling {
        forwarded: Some(pending.forward.reason),
        forward_status: Some(arrived.status),
        detail: Some(refusal.token()),
        ..Handling::default()
    };
    mark(&mut fields, &handling);
    answer(with(arrived.status, fields, Body::Origin))
}

/// No answer: what is stale stands in where it may.
pub(crate) fn failed(pending: &Pending, failure: Failure, now_ms: i64) -> Control {
    let mut handling = Handling {
        forwarded: Some(pending.forward.reason),
        detail: Some(failure.token()),
        ..Handling::default()
    };
    if let Failure::Answer(status) = failure {
        handling.forward_status = Some(status);
    }
    let stand_in = pending.object.as_ref();
    let Some(object) = stand_in.filter(|_| pending.forward.stale_if_error) else {
        let mut own = plain(failure.status(), "the origin does not answer\n");
        mark(&mut own.headers, &handling);
        return answer(own);
    };
    let serve = serve(
        &asked(&pending.asking),
        &object.stored,
        object.body_bytes,
        now_ms,
        true,
        false,
    );
    handling.ttl_s = Some(serve.ttl_s);
    answer(stored(&pending.asking, object, &serve, &handling))
}

/// The client wants nothing that has to be fetched.
pub(crate) fn not_cached() -> Control {
    let handling = Handling {
        detail: Some("only-if-cached"),
        ..Handling::default()
    };
    let mut own = plain(504, "not stored\n");
    mark(&mut own.headers, &handling);
    answer(own)
}

/// A request that is not understood, or too much.
pub(crate) fn refused(Refused(status, sentence): Refused) -> Control {
    let mut own = plain(status, sentence);
    if status == 503 {
        own.headers.append_field("retry-after", RETRY_AFTER_S);
    }
    answer(own)
}

/// Stores `object` with newer fields over its own; `None` where these forbid it.
pub(crate) fn lay_over(
    proxy: &mut Proxy,
    pending: &Pending,
    object: &Entry,
    newer: &FieldLines,
    exchange: Exchange,
) -> Option<Entry> {
    let mut newer = newer.clone();
    to_store(&mut newer, &object.stored);
    let mut fields = object.payload.fields.clone();
    freshen(&mut fields, &newer);
    let config = *proxy.cache.config();
    let asked = pending.asked();
    let Some(stored) = freshened(&config, &asked, &object.stored, &mut fields, exchange) else {
        proxy.cache.forget_variant(&asked);
        return None;
    };
    let body = Rc::clone(&object.payload.body);
    let entry = entry(stored, object.body_bytes, fields, body);
    store(&mut proxy.cache, pending, &entry);
    Some(entry)
}

/// A stored answer.
#[expect(
    clippy::arc_with_non_send_sync,
    reason = "the store's type; an isolate has one thread"
)]
pub(crate) fn entry(stored: Stored, body_bytes: u64, fields: FieldLines, body: Rc<Held>) -> Entry {
    Arc::new(Object {
        stored,
        body_bytes,
        payload: Payload { fields, body },
    })
}

/// Puts it into the store.
pub(crate) fn store(cache: &mut Cache<Payload>, pending: &Pending, entry: &Entry) {
    let new = NewEntry {
        object: Arc::clone(entry),
        fields_bytes: headers::bytes(&entry.payload.fields),
        sequence: pending.sequence,
    };
    cache.store(&pending.asked(), new);
}

fn stored(asking: &Asking, object: &Entry, serve: &Serve, handling: &Handling<'_>) -> Answer {
    let mut fields = object.payload.fields.clone();
    set(&mut fields, "age", &format!("{}", serve.age_s));
    mark(&mut fields, handling);
    let (total, id) = (object.body_bytes, object.payload.body.id);
    match serve.answer {
        Form::Whole => {
            let empty = asking.method == "HEAD" || total == 0;
            let body = if empty {
                Body::Empty
            } else {
                Body::Stored(id, 0, total)
            };
            with(object.stored.status, fields, body)
        }
        Form::NotModified => {
            headers::without_body(&mut fields);
            with(304, fields, Body::Empty)
        }
        Form::Part { first, last } => {
            let end = last.saturating_add(1).min(total);
            let bytes = end.saturating_sub(first);
            set(&mut fields, "content-length", &format!("{bytes}"));
            let range = content_range(first, last, total);
            set(&mut fields, "content-range", &range);
            with(206, fields, Body::Stored(id, first, end))
        }
        Form::Unsatisfiable => {
            set(&mut fields, "content-length", "0");
            fields.remove_field("content-type");
            let range = unsatisfied_range(total);
            set(&mut fields, "content-range", &range);
            with(416, fields, Body::Empty)
        }
    }
}

/// An answer made here: a sentence.
fn plain(status: u16, sentence: &'static str) -> Answer {
    let field = |name: &str, value: &str| (String::from(name), Vec::from(value));
    let fields = [
        field("content-type", "text/plain"),
        field("cache-control", "no-store"),
    ];
    with(status, fields.into(), Body::Text(sentence))
}

fn with(status: u16, headers: FieldLines, body: Body) -> Answer {
    Answer {
        status,
        headers,
        body,
    }
}

fn answer(answer: Answer) -> Control {
    Control {
        answer: Some(answer),
        ..Control::default()
    }
}
