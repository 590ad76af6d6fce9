//! Answers: problem documents, JSON, and the headers every answer carries.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use edgewise_cache::{
    CacheStatus, Freshness, Lifetime, cache_control, cache_status, cdn_cache_control, etag,
    if_none_match_matches, x_cache_status,
};
use edgewise_ranking::id_hash;
use edgewise_wire::api::Rung;
use edgewise_wire::problem::{CONTENT_TYPE, Problem};

use crate::context::Context;
use crate::effect::Answer;
use crate::store::Look;

const JSON: &str = "application/json";
/// Bytes.
pub(crate) const BINARY: &str = "application/octet-stream";
const NO_STORE: &str = "no-store";

/// A problem document; errors are kept by nobody.
pub(crate) fn problem(problem: &Problem) -> Answer {
    let answer = Answer::new(problem.status)
        .header("cache-control", NO_STORE)
        .body(CONTENT_TYPE, problem.to_json());
    match problem.retry_after_s {
        Some(seconds) => answer.header("retry-after", seconds.to_string()),
        None => answer,
    }
}

/// 405 with the methods the route has.
pub(crate) fn method_not_allowed(allowed: &'static str) -> Answer {
    problem(&Problem::method_not_allowed(allowed)).header("allow", allowed)
}

/// The host sent bytes that are no request.
pub(crate) fn bad_frame() -> Answer {
    problem(&Problem::new(
        400,
        "bad-request",
        "Bad request",
        "the request cannot be read",
    ))
}

/// The host sent a request before the configuration.
pub(crate) fn not_initialised() -> Answer {
    problem(&Problem::unavailable("the edge is not configured", 1))
}

/// Too many requests wait for their effects.
pub(crate) fn overloaded() -> Answer {
    problem(&Problem::unavailable("too many requests are waiting", 1))
}

/// A JSON answer that nobody keeps.
pub(crate) fn json(body: Vec<u8>) -> Answer {
    Answer::new(200)
        .header("cache-control", NO_STORE)
        .body(JSON, body)
}

/// What a stored answer was made from.
pub(crate) struct Source<'a> {
    pub(crate) lifetime: Lifetime,
    pub(crate) look: Look,
    /// Tags it is purged by.
    pub(crate) cache_tag: Option<&'a str>,
    pub(crate) rung: Option<Rung>,
}

/// An answer from something stored, with every header that says so. Shared answers carry an
/// entity tag and honour `If-None-Match`.
pub(crate) fn stored(context: &Context, source: &Source<'_>, body: Vec<u8>) -> Answer {
    stored_as(JSON, context, source, body)
}

/// [`stored`], of another content type.
pub(crate) fn stored_as(
    content_type: &'static str,
    context: &Context,
    source: &Source<'_>,
    body: Vec<u8>,
) -> Answer {
    let lifetime = &source.lifetime;
    let (status, ttl_s) = status_of(context, source);
    let mut headers: Vec<(&'static str, Cow<'static, str>)> = Vec::with_capacity(16);
    headers.push(("cache-control", cache_control(lifetime).into()));
    if let Some(value) = cdn_cache_control(lifetime) {
        headers.push(("cdn-cache-control", value.into()));
    }
    headers.push(("cache-status", cache_status(status, ttl_s, None).into()));
    headers.push(("x-cache-status", x_cache_status(status).into()));
    if let Some(rung) = source.rung {
        headers.push(("edgewise-rung", rung.name().into()));
    }
    if let Some(tag) = source.cache_tag {
        headers.push(("cache-tag", tag.to_string().into()));
    }
    if !lifetime.private {
        let tag = etag(xxh3(&body));
        let matches = context.if_none_match.as_deref();
        let unchanged = matches.is_some_and(|value| if_none_match_matches(value, &tag));
        headers.push(("etag", tag.into()));
        if unchanged {
            return Answer {
                status: 304,
                headers,
                ..Answer::default()
            };
        }
    }
    Answer {
        status: 200,
        headers,
        ..Answer::default()
    }
    .body(content_type, body)
}

fn status_of(context: &Context, source: &Source<'_>) -> (CacheStatus, i64) {
    let (freshness, age_ms) = match source.look {
        Look::Have { freshness, age_ms } => (freshness, age_ms),
        Look::Absent => (Freshness::Fresh, 0),
        Look::Missing => (Freshness::Expired, 0),
    };
    let status = match freshness {
        _ if context.missed => CacheStatus::Miss,
        Freshness::Fresh => CacheStatus::Hit,
        _ => CacheStatus::Stale,
    };
    (status, source.lifetime.ttl_s(age_ms))
}

/// XXH3-64 of a body; it is JSON, so it is text.
fn xxh3(body: &[u8]) -> u64 {
    core::str::from_utf8(body).map(id_hash).unwrap_or_default()
}

/// The headers every answer carries, and a HEAD's missing body.
pub(crate) fn finish(mut answer: Answer, context: &Context, wall_ms: i64) -> Answer {
    context.cors.apply(&mut answer);
    let total_ms = wall_ms.saturating_sub(context.started_ms).max(0);
    let timing = match context.origin_ms {
        Some(origin_ms) => format!("edge;dur={total_ms}, origin;dur={origin_ms}"),
        None => format!("edge;dur={total_ms}"),
    };
    answer.headers.push(("server-timing", timing.into()));
    if context.is_head {
        answer
            .headers
            .push(("content-length", answer.body.len().to_string().into()));
        answer.body = Vec::new();
    }
    answer
}
