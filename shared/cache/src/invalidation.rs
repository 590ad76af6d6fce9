//! What a successful unsafe request makes invalid (RFC 9111 section 4.4).

use alloc::string::String;
use alloc::vec::Vec;

use crate::fields::Fields;
use crate::message::{Request, Response};

/// The request targets (path and query) that are invalid after an exchange: the one asked for and
/// those that `Location` and `Content-Location` name at the same origin. `hosts` are the
/// authorities that this origin is known by.
#[must_use]
pub fn targets<Q: Fields + ?Sized, R: Fields + ?Sized>(
    request: &Request<'_, Q>,
    target: &str,
    response: &Response<'_, R>,
    hosts: &[&str],
) -> Vec<String> {
    let mut out = Vec::new();
    if request.is_safe() || !(200..=399).contains(&response.status) {
        return out;
    }
    out.push(String::from(target));
    for name in ["location", "content-location"] {
        let named = response
            .fields
            .first(name)
            .and_then(|value| core::str::from_utf8(value).ok())
            .and_then(|value| resolve(target, value, hosts));
        out.extend(named);
    }
    out
}

/// Whether `Content-Location` says that the answer is the resource asked for, so that an answer to
/// POST may be stored for GET (RFC 9110 section 9.3.3).
#[must_use]
pub fn names_itself<R: Fields + ?Sized>(
    target: &str,
    response: &Response<'_, R>,
    hosts: &[&str],
) -> bool {
    response
        .fields
        .first("content-location")
        .and_then(|value| core::str::from_utf8(value).ok())
        .and_then(|value| resolve(target, value, hosts))
        .is_some_and(|named| named == target)
}

/// The target that a reference names, seen from `base` (RFC 3986 section 5.2); `None` where it is
/// at another origin.
#[must_use]
pub fn resolve(base: &str, reference: &str, hosts: &[&str]) -> Option<String> {
    let reference = reference.split('#').next().unwrap_or("");
    let after_scheme = ["http:", "https:"].iter().find_map(|scheme| {
        let (head, rest) = reference.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    let rest = after_scheme.unwrap_or(reference);
    if let Some(rest) = rest.strip_prefix("//") {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(end);
        let known = hosts.iter().any(|known| known.eq_ignore_ascii_case(host));
        let slash = if path.starts_with('/') { "" } else { "/" };
        return known.then(|| [slash, path].concat());
    }
    if after_scheme.is_some() {
        return None;
    }
    let base_path = base.split('?').next().unwrap_or("/");
    if rest.is_empty() {
        return Some(String::from(base));
    }
    if rest.starts_with('/') {
        return Some(without_dots(rest));
    }
    if rest.starts_with('?') {
        return Some([base_path, rest].concat());
    }
    if rest
        .split('/')
        .next()
        .is_some_and(|first| first.contains(':'))
    {
        return None;
    }
    let folder_end = base_path.rfind('/').map_or(0, |at| at + 1);
    let folder = base_path.get(..folder_end).unwrap_or("/");
    Some(without_dots(&[folder, rest].concat()))
}

/// Without `.` and `..` segments (RFC 3986 section 5.2.4).
fn without_dots(target: &str) -> String {
    let (path, query) = target
        .split_once('?')
        .map_or((target, None), |(path, query)| (path, Some(query)));
    let mut segments: Vec<&str> = Vec::new();
    let ends_in_folder = path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..");
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    if ends_in_folder && segments.last().is_some_and(|last| !last.is_empty()) {
        segments.push("");
    }
    let mut out = String::from("/");
    out.push_str(&segments.join("/"));
    if let Some(query) = query {
        out.push('?');
        out.push_str(query);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(reference: &str, expected: Option<&str>) {
        let found = resolve("/a/b?c", reference, &["me.example", "origin:8000"]);
        assert_eq!(found.as_deref(), expected, "{reference}");
    }

    #[test]
    fn references_resolve_to_this_origin_only() {
        check("/x?y#z", Some("/x?y"));
        check("x", Some("/a/x"));
        check("../x", Some("/x"));
        check("./", Some("/a/"));
        check("../../../x/..", Some("/"));
        check("?q", Some("/a/b?q"));
        check("", Some("/a/b?c"));
        check("//me.example", Some("/"));
        check("HTTP://ME.example/x", Some("/x"));
        check("https://origin:8000?x", Some("/?x"));
        check("http://other.example/x", None);
        check("//me.example.evil/x", None);
        check("mailto:x", None);
        check("http:x", None);
    }

    proptest! {
        #[test]
        fn a_target_starts_with_a_slash(base in "/.{0,20}", reference in ".{0,40}") {
            if let Some(target) = resolve(&base, &reference, &["h"]) {
                prop_assert!(target.starts_with('/'), "{target}");
            }
        }
    }
}
