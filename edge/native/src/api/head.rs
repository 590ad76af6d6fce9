//! The part of a request that the core sees, in the form it takes.

use std::fmt::Write;

use hyper::HeaderMap;

/// Request headers the core may see; cookies are not among them.
const NAMES: [&str; 7] = [
    "authorization",
    "content-type",
    "if-none-match",
    "origin",
    "traceparent",
    "access-control-request-method",
    "access-control-request-headers",
];

/// `name: value` lines of those headers. Repeated ones are joined as one list (RFC 9110 section
/// 5.3), so that two authorizations are none; bytes that are no text are kept as `�`, so that a
/// bad token is a bad token and not none.
pub(crate) fn lines(headers: &HeaderMap) -> String {
    let mut lines = String::new();
    for name in NAMES {
        for (index, value) in headers.get_all(name).iter().enumerate() {
            let value = String::from_utf8_lossy(value.as_bytes());
            let _ = match index {
                0 if lines.is_empty() => write!(lines, "{name}: {value}"),
                0 => write!(lines, "\n{name}: {value}"),
                _ => write!(lines, ", {value}"),
            };
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn only_what_matters_passes_and_nothing_is_lost() {
        let mut headers = HeaderMap::new();
        assert_eq!(lines(&headers), "");
        headers.append("cookie", HeaderValue::from_static("a=b"));
        headers.append("if-none-match", HeaderValue::from_static("\"a\""));
        headers.append("if-none-match", HeaderValue::from_static("\"b\""));
        let token = HeaderValue::from_bytes(b"Bearer \xff").expect("a value");
        headers.append("authorization", token);
        assert_eq!(
            lines(&headers),
            "authorization: Bearer \u{fffd}\nif-none-match: \"a\", \"b\""
        );
    }
}
