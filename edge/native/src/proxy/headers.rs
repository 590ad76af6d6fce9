//! Header fields on their way to the origin and back (RFC 9110 section 7.6).

use std::net::IpAddr;

use edgewise_cache::fields::remove_hop_by_hop;
use hyper::header::{
    EXPECT, HOST, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE, VIA,
};
use hyper::{HeaderMap, Version};

use super::options::LOOPS_MAX;
use super::shard::Change;

/// Fields that origins take for the URL, the method or the client though anybody can send them:
/// not part of the key, so they never reach the origin as they came.
const UNKEYED: [&str; 11] = [
    "forwarded",
    "proxy",
    "true-client-ip",
    "x-client-ip",
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-real-ip",
    "x-rewrite-url",
    "x-url-scheme",
];

/// Beginnings of such names.
const UNKEYED_FAMILIES: [&str; 2] = ["x-forwarded-", "x-original-"];

/// Whether a field is not part of the key though origins act on it. Of names with an underscore
/// some origins make those with a hyphen.
fn is_unkeyed(name: &str) -> bool {
    let in_family = UNKEYED_FAMILIES
        .iter()
        .any(|family| name.starts_with(family));
    name != X_FORWARDED_FOR.as_str() && (in_family || name.contains('_') || UNKEYED.contains(&name))
}

const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What the proxy tells the origin of a request.
#[derive(Clone, Debug)]
pub(crate) struct Hop<'a> {
    pub(crate) client: IpAddr,
    /// The client's `Host`.
    pub(crate) host: &'a str,
    /// The `Host` that the origin gets.
    pub(crate) origin_host: &'a HeaderValue,
    pub(crate) version: Version,
}

/// Makes a client's headers those for the origin.
pub(crate) fn to_origin(headers: &mut HeaderMap, hop: &Hop<'_>) {
    remove_hop_by_hop(&mut Change(headers));
    headers.remove(EXPECT);
    let names: Vec<HeaderName> = headers.keys().cloned().collect();
    for name in names.iter().filter(|name| is_unkeyed(name.as_str())) {
        headers.remove(name);
    }
    headers.insert(HOST, hop.origin_host.clone());
    if let Ok(host) = HeaderValue::from_str(hop.host) {
        headers.insert(X_FORWARDED_HOST, host);
    }
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    append_item(headers, X_FORWARDED_FOR, &hop.client.to_string());
    append_item(headers, CDN_LOOP, edgewise_cache::cache_status::CACHE_NAME);
    headers.append(VIA, via(hop.version));
}

/// Takes away conditions and ranges of a client's: the cache asks for the whole.
pub(crate) fn without_conditions(headers: &mut HeaderMap) {
    for name in [IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_RANGE, RANGE] {
        headers.remove(name);
    }
}

/// Makes an answer's headers those for the client.
pub(crate) fn to_client(headers: &mut HeaderMap) {
    remove_hop_by_hop(&mut Change(headers));
}

/// Whether a request has come through here too often (RFC 8586).
pub(crate) fn is_loop(headers: &HeaderMap) -> bool {
    let name = edgewise_cache::cache_status::CACHE_NAME;
    let passes = headers
        .get_all(CDN_LOOP)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter(|item| item.split(';').next().is_some_and(|id| id.trim() == name));
    passes.count() >= LOOPS_MAX
}

fn via(version: Version) -> HeaderValue {
    HeaderValue::from_static(match version {
        Version::HTTP_10 => "1.0 edgewise",
        _ => "1.1 edgewise",
    })
}

fn append_item(headers: &mut HeaderMap, name: HeaderName, item: &str) {
    let mut list = headers
        .get_all(&name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect::<Vec<_>>();
    list.push(item);
    if let Ok(value) = HeaderValue::from_str(&list.join(", ")) {
        headers.insert(name, value);
    }
}
