//! Answers to clients.

use bytes::Bytes;
use edgewise_cache::cache_status::Handling;
use edgewise_cache::range::{content_range, unsatisfied_range};
use edgewise_cache::{Answer, Serve};
use hyper::header::{
    AGE, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue,
    RETRY_AFTER,
};
use hyper::{HeaderMap, Response, StatusCode};

use super::body::AnswerBody;
use super::failure::Failure;
use super::shard::Payload;

pub(crate) type Answered = Response<AnswerBody>;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const X_CACHE_STATUS: HeaderName = HeaderName::from_static("x-cache-status");

/// How long a client that is told 503 should wait, seconds.
const RETRY_AFTER_S: &str = "1";

/// An answer from what is stored.
pub(crate) fn stored(
    payload: &Payload,
    status: u16,
    serve: &Serve,
    handling: &Handling<'_>,
    head: bool,
) -> Answered {
    let mut headers = payload.headers.clone();
    headers.insert(AGE, HeaderValue::from(serve.age_s));
    mark(&mut headers, handling);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    match serve.answer {
        Answer::Whole => {
            let body = if head {
                AnswerBody::Empty
            } else {
                AnswerBody::Full(payload.body.clone())
            };
            with(status, headers, body)
        }
        Answer::NotModified => not_modified(headers),
        Answer::Part { first, last } => {
            let total = payload.body.len() as u64;
            let part = slice(&payload.body, first, last);
            headers.insert(CONTENT_LENGTH, HeaderValue::from(part.len()));
            set(
                &mut headers,
                CONTENT_RANGE,
                &content_range(first, last, total),
            );
            with(StatusCode::PARTIAL_CONTENT, headers, AnswerBody::Full(part))
        }
        Answer::Unsatisfiable => {
            let total = payload.body.len() as u64;
            headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
            headers.remove(CONTENT_TYPE);
            set(&mut headers, CONTENT_RANGE, &unsatisfied_range(total));
            with(
                StatusCode::RANGE_NOT_SATISFIABLE,
                headers,
                AnswerBody::Empty,
            )
        }
    }
}

/// 304: without what describes a body (RFC 9110 section 15.4.5).
pub(crate) fn not_modified(mut headers: HeaderMap) -> Answered {
    let of_the_body: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("content-") && **name != CONTENT_LOCATION)
        .cloned()
        .collect();
    for name in of_the_body {
        headers.remove(name);
    }
    with(StatusCode::NOT_MODIFIED, headers, AnswerBody::Empty)
}

/// An answer made here: a sentence.
pub(crate) fn plain(status: StatusCode, sentence: &'static str) -> Answered {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(
        hyper::header::CACHE_CONTROL,
        HeaderValue::from_static("no-store"),
    );
    let body = AnswerBody::Full(Bytes::from_static(sentence.as_bytes()));
    with(status, headers, body)
}

/// The origin gave no answer and nothing stands in for it.
pub(crate) fn failed(failure: Failure, handling: &Handling<'_>) -> Answered {
    let mut answer = plain(failure.status(), "the origin does not answer\n");
    if failure.status() == StatusCode::SERVICE_UNAVAILABLE {
        let retry = HeaderValue::from_static(RETRY_AFTER_S);
        answer.headers_mut().insert(RETRY_AFTER, retry);
    }
    mark(answer.headers_mut(), handling);
    answer
}

/// An answer of these parts.
pub(crate) fn with(status: StatusCode, headers: HeaderMap, body: AnswerBody) -> Answered {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}

/// Says what was done, after what caches before this one did.
pub(crate) fn mark(headers: &mut HeaderMap, handling: &Handling<'_>) {
    let short = match (handling.forwarded, handling.ttl_s) {
        (Some(_), _) if handling.forward_status == Some(304) => "REVALIDATED",
        (_, Some(ttl_s)) if ttl_s < 0 => "STALE",
        (None, _) => "HIT",
        (Some(_), _) => "MISS",
    };
    headers.insert(X_CACHE_STATUS, HeaderValue::from_static(short));
    if let Ok(value) = HeaderValue::try_from(handling.value()) {
        headers.append(CACHE_STATUS, value);
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn slice(body: &Bytes, first: u64, last: u64) -> Bytes {
    let at = |byte: u64| usize::try_from(byte).unwrap_or(usize::MAX).min(body.len());
    body.slice(at(first)..at(last.saturating_add(1)).max(at(first)))
}
