//! The key that a request is stored under.
//!
//! A key is what the origin is asked, byte for byte: percent-encodings stay as they came, since an
//! origin may tell `%2e` from `.`. Where a route lists its parameters, others are dropped from
//! the key **and** from what the origin is asked, so that nothing outside the key can change the
//! answer.

use alloc::string::String;
use alloc::vec::Vec;

/// Bytes of a target; a host answers 414 to more.
pub const TARGET_BYTES_MAX: usize = 16 << 10;

/// Parameters of one request that are sorted; a request with more keeps its own order.
pub const PARAMETERS_MAX: usize = 64;

/// A route whose query is known.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The path, or its beginning where it ends in `*`.
    pub path: &'static str,
    /// The parameters that the answer depends on.
    pub parameters: &'static [&'static str],
}

/// The target to ask for and to key by: known parameters in order of their names, unknown ones
/// dropped, where a route says which are known; else as it came.
#[must_use]
pub fn target(routes: &[Route], target: &str) -> String {
    let target = target.split('#').next().unwrap_or("/");
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, query),
        None => return String::from(target),
    };
    let Some(route) = routes.iter().find(|route| route.is_for(path)) else {
        return String::from(target);
    };
    let mut kept: Vec<(&str, &str)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| (pair.split('=').next().unwrap_or(pair), pair))
        .filter(|(name, _)| route.parameters.contains(name))
        .collect();
    if kept.len() > PARAMETERS_MAX {
        return String::from(target);
    }
    // Stable: of a parameter that comes twice the order stays, since it may count.
    kept.sort_by_key(|(name, _)| *name);
    let mut out = String::from(path);
    for (at, (_, pair)) in kept.iter().enumerate() {
        out.push(if at == 0 { '?' } else { '&' });
        out.push_str(pair);
    }
    out
}

/// The key of a target at a host. The host is compared without case; a line feed, which neither
/// can hold, keeps the two apart.
#[must_use]
pub fn key(host: &str, target: &str) -> String {
    let mut out = String::with_capacity(host.len() + 1 + target.len());
    out.extend(host.chars().map(|c| c.to_ascii_lowercase()));
    out.push('\n');
    out.push_str(target);
    out
}

impl Route {
    fn is_for(&self, path: &str) -> bool {
        match self.path.strip_suffix('*') {
            Some(start) => path.starts_with(start),
            None => self.path == path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROUTES: [Route; 1] = [Route {
        path: "/api/*",
        parameters: &["b", "a"],
    }];

    #[test]
    fn unknown_parameters_do_not_split_a_known_route() {
        let of = |text| target(&ROUTES, text);
        assert_eq!(of("/api/x?b=2&utm=9&a=1"), "/api/x?a=1&b=2");
        assert_eq!(of("/api/x?utm=9"), "/api/x");
        assert_eq!(of("/api/x?a=2&a=1"), "/api/x?a=2&a=1");
        assert_eq!(of("/other?z=1&a=2#f"), "/other?z=1&a=2");
        assert_eq!(of("/api/x"), "/api/x");
    }

    #[test]
    fn encodings_do_not_alias() {
        let keys = [
            "/a/b", "/a%2fb", "/a%2Fb", "/%61/b", "/a/./b", "/a//b", "/A/b",
        ]
        .map(|path| key("h", &target(&ROUTES, path)));
        for (at, a) in keys.iter().enumerate() {
            assert!(keys.iter().skip(at + 1).all(|b| a != b), "{a}");
        }
        assert_eq!(key("EXAMPLE.com", "/"), key("example.com", "/"));
        assert_ne!(key("a", "/b"), key("a/b", "/"));
    }

    proptest! {
        #[test]
        fn keying_again_changes_nothing(text in "/api/[a-c?&=]{0,30}") {
            let once = target(&ROUTES, &text);
            prop_assert_eq!(target(&ROUTES, &once), once);
        }
    }
}
