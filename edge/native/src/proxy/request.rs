//! A client's request, understood or refused.

use std::net::IpAddr;

use edgewise_cache::key::{TARGET_BYTES_MAX, key};
use hyper::header::{HOST, HeaderValue};
use hyper::{HeaderMap, Method, StatusCode, Version};

use super::headers;

/// A request, understood.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) method: Method,
    /// The client's `Host`, in lower case.
    pub(crate) host: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) key: String,
    pub(crate) headers: HeaderMap,
    pub(crate) version: Version,
    pub(crate) client: IpAddr,
}

/// What a refused client is told.
pub(crate) type Refused = (StatusCode, &'static str);

/// Understands a request.
///
/// # Errors
/// What the client is told.
pub(crate) fn understand(
    parts: hyper::http::request::Parts,
    client: IpAddr,
) -> Result<Asking, Refused> {
    let method = parts.method;
    if matches!(method, Method::CONNECT | Method::TRACE) {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "this method is refused\n"));
    }
    let target = parts
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    if target.len() > TARGET_BYTES_MAX {
        return Err((StatusCode::URI_TOO_LONG, "the URL is too long\n"));
    }
    if !target.starts_with('/') {
        return Err((StatusCode::BAD_REQUEST, "the URL has no path\n"));
    }
    let host = host(&parts.uri, &parts.headers)
        .ok_or((StatusCode::BAD_REQUEST, "one Host is needed\n"))?;
    if headers::is_loop(&parts.headers) {
        return Err((StatusCode::LOOP_DETECTED, "a loop\n"));
    }
    Ok(Asking {
        key: key(host, target),
        host: host.to_ascii_lowercase(),
        target: target.to_owned(),
        method,
        version: parts.version,
        client,
        headers: parts.headers,
    })
}

/// The one host that a request names (RFC 9112 section 3.2).
fn host<'a>(uri: &'a hyper::Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let mut named = headers.get_all(HOST).iter();
    let first = named.next().map(HeaderValue::to_str);
    if named.next().is_some() {
        return None;
    }
    let host = match (uri.authority(), first) {
        (Some(authority), _) => authority.as_str(),
        (None, Some(Ok(host))) => host,
        _ => return None,
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    (!host.is_empty() && host.len() <= 255 && host.bytes().all(is_plain)).then_some(host)
}
