//! One request to the origin: what comes of it is stored, shared and told.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use edgewise_cache::directives::RequestDirectives;
use edgewise_cache::update::{freshen, head_agrees, to_store};
use edgewise_cache::{
    Entry as NewEntry, Exchange, Forward, Object, Received, Refusal, Request as Asked,
    Response as Answered, Stored, conditional, date, freshened, invalidation, is_origin_error, key,
    receive,
};
use hyper::body::{Body, Incoming};
use hyper::header::{
    AUTHORIZATION, CONTENT_LENGTH, DATE, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use hyper::{HeaderMap, Method, Response};
use tokio::sync::oneshot;

use super::body::Idle;
use super::connection::Connection;
use super::failure::Failure;
use super::flight::{Head, Leading, News};
use super::handle::Worker;
use super::live::{Live, Reader};
use super::protect::Permit;
use super::shard::{Change, Entry, Payload, Read, compact, header_bytes};
use super::upstream::Outgoing;
use crate::now::wall_ms;

/// A request to the origin.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) worker: Arc<Worker>,
    pub(crate) method: Method,
    pub(crate) host: String,
    pub(crate) target: String,
    pub(crate) key: String,
    /// Headers for the origin, without the cache's own condition.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Incoming>,
    pub(crate) forward: Forward,
    pub(crate) object: Option<Entry>,
    pub(crate) sequence: u64,
    pub(crate) flight: Option<Leading>,
    /// Where the client that asked waits; `None` in the background.
    pub(crate) reply: Option<oneshot::Sender<Outcome>>,
    pub(crate) interim: Option<Connection>,
}

/// What a client that asked is told.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// An answer that is being stored; the headers are those for this client.
    Head(Arc<Head>, HeaderMap, Option<Reader>),
    /// An answer that is not stored.
    Pass(Response<Incoming>, Refusal),
    /// What is stored still holds.
    Fresh(Entry),
    /// No answer.
    Failed(Failure),
}

/// Does the request and everything that follows from it.
pub(crate) async fn run(mut job: Job) {
    let worker = Arc::clone(&job.worker);
    let request_time_ms = wall_ms();
    let mut permit = match worker.proxy.protection.enter(request_time_ms) {
        Ok(permit) => permit,
        Err(failure) => return job.fail(failure),
    };
    let mut headers = job.headers.clone();
    let validated = add_condition(&mut headers, &job);
    let has_body = job.body.is_some();
    let outgoing = Outgoing {
        method: job.method.clone(),
        target: job.target.clone(),
        headers,
        body: job.body.take(),
        interim: job.interim.take(),
    };
    let answered = worker.upstream.send(outgoing).await;
    let exchange = Exchange {
        request_time_ms,
        response_time_ms: wall_ms(),
    };
    // A body that its client does not send whole fails the request, and is not the origin's fault.
    if answered.is_ok() || !has_body {
        permit.note(answered.is_ok(), exchange.response_time_ms);
    }
    match answered {
        Ok(response) => job.answered(response, permit, exchange, validated).await,
        Err(failure) => job.fail(failure),
    }
}

fn add_condition(headers: &mut HeaderMap, job: &Job) -> bool {
    let Some(object) = job.object.as_ref().filter(|_| job.forward.validate) else {
        return false;
    };
    let mut any = false;
    for (name, value) in conditional::condition(&object.stored) {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.insert(HeaderName::from_static(name), value);
            any = true;
        }
    }
    any
}

impl Job {
    fn asked<'a>(&'a self, fields: &'a Read<'a>) -> Asked<'a, Read<'a>> {
        Asked {
            method: self.method.as_str(),
            key: &self.key,
            fields,
        }
    }

    fn reply(&mut self, outcome: Outcome) {
        if let Some(reply) = self.reply.take() {
            // The client may have gone.
            let _ = reply.send(outcome);
        }
    }

    fn fail(mut self, failure: Failure) {
        if let Some(leading) = &mut self.flight {
            leading.tell(News::Failed(failure));
        }
        self.reply(Outcome::Failed(failure));
    }

    async fn answered(
        mut self,
        mut response: Response<Incoming>,
        permit: Permit,
        exchange: Exchange,
        validated: bool,
    ) {
        if response.headers().contains_key(TRANSFER_ENCODING) {
            // Chunks say where the body ends (RFC 9112 section 6.3).
            response.headers_mut().remove(CONTENT_LENGTH);
        }
        let config = self.worker.proxy.options.cache;
        let fields = Read(&self.headers);
        let answer_fields = Read(response.headers());
        let answer = Answered {
            status: response.status().as_u16(),
            fields: &answer_fields,
        };
        let asked = self.asked(&fields);
        self.invalidate(&asked, &answer);
        let mut received = receive(&config, &asked, &answer, exchange, &self.forward, validated);
        let hosts = self.hosts();
        let is_get = self.method == Method::GET;
        if matches!(received, Received::Store { .. })
            && !is_get
            && !invalidation::names_itself(&self.target, &answer, &hosts)
        {
            received = Received::Pass(Refusal::Method);
        }
        if !is_get && self.method != Method::HEAD {
            // What this answer made invalid is older than itself.
            let shard = self.worker.proxy.shards.of(&self.key);
            self.sequence = shard.cache.contents().sequence();
        }
        match received {
            Received::Store { stored, shareable } => {
                self.store(response, *stored, shareable, permit).await;
            }
            Received::Freshen => self.freshened(&response, exchange),
            Received::ServeStale => {
                let failure = Failure::Answer(response.status());
                self.fail(failure);
            }
            Received::Pass(refusal) => {
                if self.method == Method::HEAD {
                    self.head(&response, exchange);
                }
                drop(permit);
                self.pass(response, refusal);
            }
        }
    }

    fn hosts(&self) -> [&str; 2] {
        [&self.host, &self.worker.proxy.origin_authority]
    }

    fn invalidate(&self, asked: &Asked<'_, Read<'_>>, answer: &Answered<'_, Read<'_>>) {
        for target in invalidation::targets(asked, &self.target, answer, &self.hosts()) {
            let key = key::key(&self.host, &target);
            self.worker
                .proxy
                .shards
                .of(&key)
                .cache
                .forget([key.clone()]);
        }
    }

    /// Whether this request may not be answered for others whatever the answer says, so that its
    /// answer tells nothing of what is stored.
    fn is_its_own(&self) -> bool {
        let fields = Read(&self.headers);
        self.method != Method::GET
            || self.headers.contains_key(AUTHORIZATION)
            || RequestDirectives::of(&fields).no_store
    }

    fn pass(&mut self, response: Response<Incoming>, refusal: Refusal) {
        let is_its_own = self.is_its_own();
        // What is stored is of before.
        let replaced = !is_its_own
            && !response.status().is_server_error()
            && !matches!(
                refusal,
                Refusal::Conditional | Refusal::Method | Refusal::Status
            );
        if replaced && self.object.is_some() {
            let fields = Read(&self.headers);
            let mut shard = self.worker.proxy.shards.of(&self.key);
            shard.cache.forget_variant(&self.asked(&fields));
        }
        if let Some(leading) = &mut self.flight {
            if is_origin_error(response.status().as_u16()) {
                // Followers that came by themselves would meet an origin that cannot.
                leading.tell(News::Failed(Failure::Answer(response.status())));
            } else if !is_its_own {
                leading.release();
            }
        }
        self.reply(Outcome::Pass(response, refusal));
    }

    /// What an answer to HEAD says of what is stored (RFC 9111 section 4.3.5).
    fn head(&self, response: &Response<Incoming>, exchange: Exchange) {
        let Some(object) = &self.object else {
            return;
        };
        if response.status().as_u16() != object.stored.status {
            return;
        }
        let fields = Read(response.headers());
        if head_agrees(&fields, &object.stored, object.body_bytes) {
            self.lay_over(object, response.headers(), exchange);
        } else {
            let asked = Read(&self.headers);
            let mut shard = self.worker.proxy.shards.of(&self.key);
            shard.cache.forget_variant(&self.asked(&asked));
        }
    }

    fn freshened(mut self, response: &Response<Incoming>, exchange: Exchange) {
        let Some(object) = self.object.clone() else {
            return self.fail(Failure::Protocol);
        };
        let entry = self.lay_over(&object, response.headers(), exchange);
        let shareable = entry.is_some() && self.forward.share;
        // What may not be stored any longer answers this once.
        let entry = entry.unwrap_or(object);
        if let Some(leading) = &mut self.flight {
            if shareable && !entry.stored.terms.no_cache {
                leading.tell(News::Fresh(Arc::clone(&entry)));
            } else {
                leading.release();
            }
        }
        self.reply(Outcome::Fresh(entry));
    }

    /// Stores `object` with newer headers over its own; `None` where these forbid it.
    fn lay_over(&self, object: &Entry, newer: &HeaderMap, exchange: Exchange) -> Option<Entry> {
        let mut newer = newer.clone();
        to_store(&mut Change(&mut newer), &object.stored);
        let mut headers = object.payload.headers.clone();
        // `Age` counts for the terms, and is not stored.
        freshen(&mut Change(&mut headers), &Read(&newer));
        let config = self.worker.proxy.options.cache;
        let fields = Read(&self.headers);
        let asked = self.asked(&fields);
        let mut shard = self.worker.proxy.shards.of(&self.key);
        let fresh = &mut Change(&mut headers);
        let Some(stored) = freshened(&config, &asked, &object.stored, fresh, exchange) else {
            shard.cache.forget_variant(&asked);
            return None;
        };
        let entry = Arc::new(Object {
            stored,
            body_bytes: object.body_bytes,
            payload: Payload {
                headers: compact(&headers),
                body: object.payload.body.clone(),
            },
        });
        let new = NewEntry {
            object: Arc::clone(&entry),
            fields_bytes: header_bytes(&entry.payload.headers),
            sequence: self.sequence,
        };
        shard.cache.store(&asked, new);
        Some(entry)
    }

    async fn store(
        mut self,
        response: Response<Incoming>,
        stored: Stored,
        shareable: bool,
        permit: Permit,
    ) {
        let (parts, mut body) = response.into_parts();
        let mut headers = parts.headers;
        if !headers.contains_key(DATE)
            && let Ok(now) = HeaderValue::from_str(&date::format(wall_ms() / 1_000))
        {
            // RFC 9110 section 6.6.1: what is kept says when it came.
            headers.insert(DATE, now);
        }
        let mut for_client = headers.clone();
        super::headers::to_client(&mut for_client);
        to_store(&mut Change(&mut headers), &stored);
        let live = Live::new(
            self.worker.proxy.options.cache.object_bytes_max,
            &self.worker.proxy.arriving,
        );
        let reader = live.read();
        let ended = body.is_end_stream();
        let head = Arc::new(Head {
            stored,
            headers,
            live: Arc::clone(&live),
        });
        if ended {
            self.keep(&head, None);
            live.finish(None);
        }
        if let Some(leading) = &mut self.flight {
            if shareable {
                leading.tell(News::Head(Arc::clone(&head)));
            } else {
                leading.release();
            }
        }
        self.reply(Outcome::Head(Arc::clone(&head), for_client, reader));
        if !ended {
            let idle = self.worker.proxy.options.limits.body_idle;
            self.pump(&head, &mut body, idle).await;
            // However it ended.
            live.abort();
        }
        drop(permit);
    }

    /// Reads the body into `head.live`. Returns early where it breaks off or nobody wants it.
    async fn pump(&self, head: &Head, body: &mut Incoming, limit: Duration) {
        let live = &head.live;
        let mut idle = Idle::new(limit);
        loop {
            let room = poll_fn(|context| live.poll_room(context));
            if tokio::time::timeout(limit, room).await.is_err() {
                return;
            }
            let last = match poll_fn(|context| idle.poll(body, context)).await {
                None => None,
                Some(Err(_)) => return,
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !body.is_end_stream() => {
                        if !live.push(data) {
                            return;
                        }
                        continue;
                    }
                    Ok(data) => Some(data),
                    // Trailers are not stored.
                    Err(_) => continue,
                },
            };
            // Before the client can know that it has all, so that its next request finds it.
            self.keep(head, last.as_ref());
            live.finish(last);
            return;
        }
    }

    /// Stores the whole answer, and lands.
    fn keep(&self, head: &Head, last: Option<&Bytes>) {
        let Some(body) = head.live.whole(last) else {
            return;
        };
        let mut headers = compact(&head.headers);
        if head.stored.status != 204 {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let fields = Read(&self.headers);
        let asked = self.asked(&fields);
        let entry = NewEntry {
            fields_bytes: header_bytes(&headers),
            object: Arc::new(Object {
                stored: head.stored.clone(),
                body_bytes: body.len() as u64,
                payload: Payload { headers, body },
            }),
            sequence: self.sequence,
        };
        let mut shard = self.worker.proxy.shards.of(&self.key);
        shard.cache.store(&asked, entry);
        match &self.flight {
            Some(leading) => {
                shard.flights.land(&leading.flight_key, leading.number);
            }
            None if !head.stored.terms.no_cache => shard.flights.share_again(&self.key),
            None => {}
        }
    }
}
