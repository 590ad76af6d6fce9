//! Cross-origin requests of browsers.

use alloc::borrow::Cow;
use alloc::string::String;

use crate::effect::Answer;
use crate::request::Request;

/// Headers a script may read.
const EXPOSED: &str =
    "cache-status, edgewise-rung, etag, retry-after, server-timing, x-cache-status";
/// Seconds a browser may keep a preflight's answer.
const PREFLIGHT_MAX_AGE: &str = "86400";

/// What the answer says to a browser's cross-origin check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cors {
    /// Not a cross-origin request, or from an origin that may not call; `varies` where
    /// another origin would get another answer.
    None { varies: bool },
    /// Any origin may call.
    Any,
    /// This one may.
    Origin(String),
}

impl Cors {
    /// By the request's `Origin` and the configured ones.
    pub(crate) fn of(request: &Request<'_>, allowed: &[String]) -> Self {
        let any = allowed.iter().any(|origin| origin == "*");
        match request.header("origin") {
            Some(_) if any => Self::Any,
            None => Self::None {
                varies: !any && !allowed.is_empty(),
            },
            Some(origin) if allowed.iter().any(|known| known == origin) => {
                Self::Origin(origin.into())
            }
            Some(_) => Self::None {
                varies: !allowed.is_empty(),
            },
        }
    }

    /// Adds the headers of an answer.
    pub(crate) fn apply(&self, answer: &mut Answer) {
        let allow_origin: Cow<'static, str> = match self {
            Self::None { varies: false } => return,
            Self::None { varies: true } => {
                answer.headers.push(("vary", Cow::Borrowed("origin")));
                return;
            }
            Self::Any => Cow::Borrowed("*"),
            Self::Origin(origin) => {
                answer.headers.push(("vary", Cow::Borrowed("origin")));
                Cow::Owned(origin.clone())
            }
        };
        answer
            .headers
            .push(("access-control-allow-origin", allow_origin));
        answer
            .headers
            .push(("access-control-expose-headers", Cow::Borrowed(EXPOSED)));
    }

    /// The answer of a preflight for a route with these methods.
    pub(crate) fn preflight(&self, methods: &'static str) -> Answer {
        let answer = Answer::new(204).header("allow", methods);
        if matches!(self, Self::None { .. }) {
            return answer;
        }
        answer
            .header("access-control-allow-methods", methods)
            .header(
                "access-control-allow-headers",
                "authorization, content-type, traceparent",
            )
            .header("access-control-max-age", PREFLIGHT_MAX_AGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn cors(allowed: &[&str], origin: Option<&str>) -> Cors {
        let headers = origin
            .map(|origin| alloc::format!("origin: {origin}"))
            .unwrap_or_default();
        let request = Request {
            headers: &headers,
            ..Request::default()
        };
        let allowed: vec::Vec<String> = allowed.iter().map(|&origin| origin.into()).collect();
        Cors::of(&request, &allowed)
    }

    #[test]
    fn only_configured_origins_may_call() {
        assert_eq!(cors(&["*"], Some("https://a")), Cors::Any);
        assert_eq!(cors(&["*"], None), Cors::None { varies: false });
        assert_eq!(
            cors(&["https://a"], Some("https://a")),
            Cors::Origin("https://a".into())
        );
        assert_eq!(
            cors(&["https://a"], Some("https://b")),
            Cors::None { varies: true }
        );
        assert_eq!(cors(&[], Some("https://b")), Cors::None { varies: false });
    }
}
