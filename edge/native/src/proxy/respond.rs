//! What a request is answered with, once it is known where the answer comes from.

use edgewise_cache::cache_status::Handling;
use edgewise_cache::{Forward, Serve, conditional, serve};
use hyper::header::{AGE, HeaderValue};
use hyper::{HeaderMap, Method, StatusCode};

use super::answer::{self, Answered};
use super::body::AnswerBody;
use super::failure::Failure;
use super::flight::Head;
use super::live::Reader;
use super::request::Asking;
use super::shard::{Entry, Read};
use crate::now::wall_ms;

impl Asking {
    /// An answer from what is stored.
    pub(crate) fn hit(&self, entry: &Entry, serve: &Serve) -> Answered {
        let handling = Handling {
            ttl_s: Some(serve.ttl_s),
            ..Handling::default()
        };
        self.stored(entry, serve, &handling)
    }

    fn stored(&self, entry: &Entry, serve: &Serve, handling: &Handling<'_>) -> Answered {
        let head = self.method == Method::HEAD;
        answer::stored(&entry.payload, entry.stored.status, serve, handling, head)
    }

    /// An answer that has just been validated.
    pub(crate) fn fresh(&self, entry: &Entry, mut handling: Handling<'_>) -> Answered {
        let fields = Read(&self.headers);
        let serve = serve(
            &self.asked(&fields),
            &entry.stored,
            entry.body_bytes,
            wall_ms(),
            false,
            false,
        );
        handling.forward_status = Some(304);
        handling.ttl_s = Some(serve.ttl_s);
        handling.stored = true;
        self.stored(entry, &serve, &handling)
    }

    /// An answer that is being stored.
    pub(crate) fn live(
        &self,
        head: &Head,
        mut headers: HeaderMap,
        reader: Option<Reader>,
        handling: &mut Handling<'_>,
    ) -> Answered {
        let now_ms = wall_ms();
        let terms = &head.stored.terms;
        handling.forward_status = Some(head.stored.status);
        handling.ttl_s = Some(terms.ttl_s(now_ms));
        handling.stored = true;
        let age_s = terms.age_ms(now_ms) / 1_000;
        if age_s > 0 || handling.collapsed {
            headers.insert(AGE, HeaderValue::from(age_s));
        }
        answer::mark(&mut headers, handling);
        let fields = Read(&self.headers);
        let has_it = conditional::is_not_modified(&fields, &head.stored, now_ms / 1_000);
        if has_it && self.method == Method::GET {
            return answer::not_modified(headers);
        }
        let status = StatusCode::from_u16(head.stored.status).unwrap_or(StatusCode::OK);
        let body = reader.map_or(AnswerBody::Empty, AnswerBody::Live);
        answer::with(status, headers, body)
    }

    /// No answer: what is stale stands in where it may.
    pub(crate) fn failed(
        &self,
        failure: Failure,
        forward: &Forward,
        object: Option<&Entry>,
        mut handling: Handling<'_>,
    ) -> Answered {
        if let Failure::Answer(status) = failure {
            handling.forward_status = Some(status.as_u16());
        }
        handling.detail = Some(failure.token());
        let Some(entry) = object.filter(|_| forward.stale_if_error) else {
            return answer::failed(failure, &handling);
        };
        let fields = Read(&self.headers);
        let serve = serve(
            &self.asked(&fields),
            &entry.stored,
            entry.body_bytes,
            wall_ms(),
            true,
            false,
        );
        handling.ttl_s = Some(serve.ttl_s);
        self.stored(entry, &serve, &handling)
    }

    pub(crate) fn not_cached(&self) -> Answered {
        let handling = Handling {
            forwarded: None,
            detail: Some("only-if-cached"),
            ..Handling::default()
        };
        let mut answer = answer::plain(StatusCode::GATEWAY_TIMEOUT, "not stored\n");
        answer::mark(answer.headers_mut(), &handling);
        answer
    }
}
