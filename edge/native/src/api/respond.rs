//! From the core's answers to HTTP's, and the few answers that are the host's own.

use bytes::Bytes;
use edgewise_edge_core::Answer;
use edgewise_wire::api::Rung;
use edgewise_wire::problem::{CONTENT_TYPE, Problem};
use hyper::header::RETRY_AFTER;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE as CONTENT_TYPE_HEADER, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use metrics::{Counter, counter};

use crate::telemetry::REQUESTS_TOTAL;

/// Name of the header that says which rung of the ladder answered.
const RUNG: &str = "edgewise-rung";

/// The core's answer as it is sent. A header that HTTP does not allow is left out.
pub(crate) fn of(answer: Answer) -> Response<Bytes> {
    let bodyless = matches!(answer.status, 204 | 304);
    let body = if bodyless {
        Bytes::new()
    } else {
        answer.body.into()
    };
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.reserve(answer.headers.len());
    for (name, value) in answer.headers {
        let value = match value {
            std::borrow::Cow::Borrowed(text) => HeaderValue::from_str(text),
            std::borrow::Cow::Owned(text) => {
                HeaderValue::from_maybe_shared(Bytes::from(text.into_bytes()))
            }
        };
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), value) {
            headers.append(name, value);
        }
    }
    response
}

/// A problem document of the host's.
pub(crate) fn problem(problem: &Problem) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(problem.to_json()));
    *response.status_mut() =
        StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE_HEADER, HeaderValue::from_static(CONTENT_TYPE));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = problem.retry_after_s {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The body never came whole: the core has nothing to decide on.
pub(crate) fn incomplete() -> Response<Bytes> {
    problem(&Problem::new(
        408,
        "incomplete-body",
        "Incomplete body",
        "the request's body did not arrive within 10 s",
    ))
}

/// Counts answers by class and rung; the handles are made once.
pub(crate) struct Answered {
    /// By class, then by rung, of which the last is none.
    counters: [[Counter; RUNGS.len() + 1]; CLASSES.len()],
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
const RUNGS: [Rung; 5] = [
    Rung::Personal,
    Rung::PersonalStale,
    Rung::Segment,
    Rung::Hot,
    Rung::HotStale,
];

impl Answered {
    pub(crate) fn new() -> Self {
        let of = |class: &'static str, rung: usize| {
            let rung = RUNGS.get(rung).map_or("none", |rung| rung.name());
            counter!(REQUESTS_TOTAL, "status" => class, "rung" => rung)
        };
        Self {
            counters: CLASSES.map(|class| std::array::from_fn(|rung| of(class, rung))),
        }
    }

    pub(crate) fn count(&self, response: &Response<Bytes>) {
        let class = usize::from(response.status().as_u16() / 100).saturating_sub(1);
        let rung = response.headers().get(RUNG).and_then(|rung| {
            RUNGS
                .iter()
                .position(|known| known.name().as_bytes() == rung.as_bytes())
        });
        let counters = self.counters.get(class);
        if let Some(counter) = counters.and_then(|by| by.get(rung.unwrap_or(RUNGS.len()))) {
            counter.increment(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_keep_their_headers_and_bodies() {
        let answer = Answer::new(200)
            .header("vary", "origin")
            .header("vary", String::from("accept"))
            .header("x-bad", String::from("a\nb"))
            .body("application/json", b"{}".to_vec());
        let response = of(answer);
        assert_eq!(response.headers().get_all("vary").iter().count(), 2);
        assert!(!response.headers().contains_key("x-bad"));
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.body(), "{}");
        let unchanged = of(Answer::new(304).body("application/json", b"{}".to_vec()));
        assert!(unchanged.body().is_empty());
        let away = problem(&Problem::unavailable("busy", 2));
        assert_eq!(
            (away.status(), &away.headers()["retry-after"]),
            (StatusCode::SERVICE_UNAVAILABLE, &HeaderValue::from(2))
        );
    }
}
