//! Answers and the headers that say how they were made and how long they hold.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use bytes::Bytes;
use edgewise_cache::{
    CacheStatus, Lifetime, cache_control, cache_status, cdn_cache_control, etag,
    if_none_match_matches, x_cache_status,
};
use edgewise_wire::api::Rung;
use xxhash_rust::xxh3::xxh3_64;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const BINARY: HeaderValue = HeaderValue::from_static("application/octet-stream");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const X_CACHE_STATUS: HeaderName = HeaderName::from_static("x-cache-status");
const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");
pub(crate) const RUNG: HeaderName = HeaderName::from_static("edgewise-rung");

/// What a public answer was made from.
pub(crate) struct Source<'a> {
    pub(crate) lifetime: Lifetime,
    /// Age of what is kept in memory, ms; `None` where it was made for this answer.
    pub(crate) age_ms: Option<i64>,
    pub(crate) cache_tag: Option<&'a str>,
    pub(crate) rung: Option<Rung>,
}

/// A public answer with every header that says so. Shared answers carry an entity tag and
/// honour `If-None-Match`.
pub(crate) fn public(request: &HeaderMap, source: &Source<'_>, body: Vec<u8>) -> Response<Body> {
    public_as(JSON, request, source, body)
}

/// [`public`], of bytes.
pub(crate) fn public_bytes(
    request: &HeaderMap,
    source: &Source<'_>,
    body: Vec<u8>,
) -> Response<Body> {
    public_as(BINARY, request, source, body)
}

fn public_as(
    kind: HeaderValue,
    request: &HeaderMap,
    source: &Source<'_>,
    body: Vec<u8>,
) -> Response<Body> {
    let lifetime = &source.lifetime;
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    insert(headers, CACHE_CONTROL, &cache_control(lifetime));
    if let Some(value) = cdn_cache_control(lifetime) {
        insert(headers, CDN_CACHE_CONTROL, &value);
    }
    let (status, ttl_s) = match source.age_ms {
        None => (CacheStatus::Miss, i64::from(lifetime.fresh_s)),
        Some(age_ms) => {
            let ttl_s = lifetime.ttl_s(age_ms);
            (
                if ttl_s > 0 {
                    CacheStatus::Hit
                } else {
                    CacheStatus::Stale
                },
                ttl_s,
            )
        }
    };
    insert(headers, CACHE_STATUS, &cache_status(status, ttl_s, None));
    headers.insert(
        X_CACHE_STATUS,
        HeaderValue::from_static(x_cache_status(status)),
    );
    if let Some(rung) = source.rung {
        headers.insert(RUNG, HeaderValue::from_static(rung.name()));
    }
    if let Some(tag) = source.cache_tag {
        insert(headers, CACHE_TAG, tag);
    }
    if !lifetime.private {
        let tag = etag(xxh3_64(&body));
        insert(headers, ETAG, &tag);
        if is_unchanged(request, &tag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
    }
    headers.insert(CONTENT_TYPE, kind);
    *response.body_mut() = Body::from(body);
    response
}

/// JSON that nobody keeps.
pub(crate) fn json(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// A value as JSON that nobody keeps.
pub(crate) fn value(status: StatusCode, value: &impl serde::Serialize) -> Response<Body> {
    json(status, serde_json::to_vec(value).unwrap_or_default())
}

/// Text that nobody keeps.
pub(crate) fn text(body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// Bytes for an edge under an entity tag.
pub(crate) fn internal(request: &HeaderMap, tag: &str, body: Bytes) -> Response<Body> {
    tagged(request, tag, BINARY, body)
}

/// JSON for an edge, tagged by its hash.
pub(crate) fn internal_json(request: &HeaderMap, body: Vec<u8>) -> Response<Body> {
    let tag = etag(xxh3_64(&body));
    tagged(request, &tag, JSON, Bytes::from(body))
}

fn tagged(request: &HeaderMap, tag: &str, kind: HeaderValue, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    insert(response.headers_mut(), ETAG, tag);
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if is_unchanged(request, tag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    response.headers_mut().insert(CONTENT_TYPE, kind);
    *response.body_mut() = Body::from(body);
    response
}

fn is_unchanged(request: &HeaderMap, tag: &str) -> bool {
    let mut values = request
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values.any(|value| if_none_match_matches(value, tag))
}

/// Sets a header whose value is known to be visible ASCII; leaves it out otherwise.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
