//! Answers that the next who asks the same is given as they are, as the frames they went out
//! in: what everybody reads (trending) is asked for thousands of times between two changes.
//!
//! A route says how long its answer holds while nothing new comes in ([`Answer::until_ms`]);
//! whatever comes in comes in with a `resume`, which forgets them all.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::effect::{Answer, Output};
use crate::limits::{REPEAT_ASKED_MAX_BYTES, REPEATS_MAX};
use crate::request::Request;

/// All that an answer which everybody shares depends on: query, path, method and the headers
/// `if-none-match` and `origin`.
type Asked<'a> = [Option<&'a str>; 5];

fn asked<'a>(request: &Request<'a>) -> Asked<'a> {
    [
        Some(request.query),
        Some(request.path),
        Some(request.method),
        request.header("if-none-match"),
        request.header("origin"),
    ]
}

/// An answer and what it answers.
#[derive(Debug)]
struct Repeat {
    asked: [Option<Box<str>>; 5],
    /// Wall times between which it holds, Unix ms, both included.
    holds_ms: (i64, i64),
    id: u32,
    frame: Box<[u8]>,
}

/// At most [`REPEATS_MAX`] answers.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    kept: Vec<Repeat>,
    last_id: u32,
}

impl Repeats {
    /// The id and the output frame of what answers `request`, where that is known. Frames of
    /// one id are the same bytes.
    pub(crate) fn find(&self, request: &Request<'_>) -> Option<(u32, &[u8])> {
        if self.kept.is_empty() {
            return None;
        }
        let asked = asked(request);
        let repeat = self
            .kept
            .iter()
            .find(|kept| kept.asked.iter().map(Option::as_deref).eq(asked))?;
        let (from_ms, until_ms) = repeat.holds_ms;
        let holds = (from_ms..=until_ms).contains(&request.wall_ms);
        holds.then_some((repeat.id, &*repeat.frame))
    }

    /// Keeps the frame of `output`, which `request` was answered with, where it may be given
    /// again. Returns its id, else 0.
    pub(crate) fn keep(&mut self, request: &Request<'_>, output: &Output, frame: &[u8]) -> u32 {
        let until_ms = output.answer.as_ref().map_or(0, |answer| answer.until_ms);
        let asked = asked(request);
        let asked_bytes: usize = asked.iter().flatten().map(|text| text.len()).sum();
        let is_whole = output.done && output.effects.is_empty();
        if until_ms < request.wall_ms || !is_whole || asked_bytes > REPEAT_ASKED_MAX_BYTES {
            return 0;
        }
        self.kept
            .retain(|kept| !kept.asked.iter().map(Option::as_deref).eq(asked));
        if self.kept.len() >= REPEATS_MAX {
            self.kept.clear();
        }
        // Never 0: that is "nobody was answered so".
        self.last_id = self.last_id.wrapping_add(1).max(1);
        self.kept.push(Repeat {
            asked: asked.map(|text| text.map(Box::from)),
            holds_ms: (request.wall_ms, until_ms),
            id: self.last_id,
            frame: frame.into(),
        });
        self.last_id
    }

    /// Forgets all answers, but no id.
    pub(crate) fn clear(&mut self) {
        self.kept.clear();
    }
}

impl Answer {
    /// Says that the same request gets the same answer up to this wall time, Unix ms, while
    /// nothing new comes in.
    pub(crate) fn until(mut self, until_ms: i64) -> Self {
        self.until_ms = until_ms;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;

    fn request<'a>(query: &'a str, headers: &'a str, wall_ms: i64) -> Request<'a> {
        Request {
            method: "GET",
            path: "/api/v1/hot/trending",
            query,
            wall_ms,
            headers,
            ..Request::default()
        }
    }

    fn output(until_ms: i64) -> Output {
        Output::finished(Answer::new(200).until(until_ms))
    }

    #[test]
    fn what_is_kept_is_given_to_who_asks_the_same_while_it_holds() {
        let mut repeats = Repeats::default();
        let first = request("window=1h", "origin: https://a", 100);
        assert_eq!(repeats.keep(&first, &output(150), b"frame"), 1);
        for wall_ms in [100, 150] {
            let same = request("window=1h", "origin: https://a\ntraceparent: 00-", wall_ms);
            assert_eq!(repeats.find(&same), Some((1, &b"frame"[..])), "{wall_ms}");
        }
        for (query, headers, wall_ms) in [
            ("window=1h", "origin: https://a", 99),
            ("window=1h", "origin: https://a", 151),
            ("window=7d", "origin: https://a", 100),
            ("window=1h", "origin: https://b", 100),
            ("window=1h", "", 100),
            ("window=1h", "origin: https://a\nif-none-match: \"1\"", 100),
        ] {
            let other = request(query, headers, wall_ms);
            assert_eq!(repeats.find(&other), None, "{other:?}");
        }
        let head = Request {
            method: "HEAD",
            ..first
        };
        assert_eq!(repeats.find(&head), None);
        repeats.clear();
        assert_eq!(repeats.find(&first), None);
        assert_eq!(repeats.keep(&first, &output(150), b"frame"), 2, "a new id");
    }

    #[test]
    fn only_whole_answers_that_hold_are_kept() {
        let mut repeats = Repeats::default();
        let request = request("", "", 100);
        assert_eq!(repeats.keep(&request, &output(99), b""), 0);
        assert_eq!(repeats.keep(&request, &Output::ended(1), b""), 0);
        let unfinished = Output {
            done: false,
            ..output(150)
        };
        assert_eq!(repeats.keep(&request, &unfinished, b""), 0);
    }

    #[test]
    fn number_and_size_are_bounded() {
        let mut repeats = Repeats::default();
        for query in 0..3 * REPEATS_MAX {
            let query = format!("limit={query}");
            assert_ne!(repeats.keep(&request(&query, "", 1), &output(1), b""), 0);
            assert!(repeats.kept.len() <= REPEATS_MAX);
        }
        let long: String = "x".repeat(REPEAT_ASKED_MAX_BYTES);
        assert_eq!(repeats.keep(&request(&long, "", 1), &output(1), b""), 0);
    }
}
