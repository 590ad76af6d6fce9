//! What a row is made of. The native edge runs the same rows over sockets.

use edgewise_cache::date;
use edgewise_cache::fields::{FieldLines, Fields};

/// A rule: requests to one cache, one after the other.
pub(crate) struct Row {
    /// The rule, as a sentence.
    pub(crate) rule: &'static str,
    /// Where it comes from.
    pub(crate) source: &'static str,
    pub(crate) steps: Vec<Step>,
}

/// A request, what the origin would answer, and what the client must see.
pub(crate) struct Step {
    /// Seconds since the step before.
    pub(crate) after_s: i64,
    pub(crate) method: &'static str,
    pub(crate) target: &'static str,
    pub(crate) ask: Lines,
    /// What the origin answers; `None` is no answer.
    pub(crate) answer: Option<(u16, Lines)>,
    pub(crate) expected: Expected,
    /// The status that the client sees; 200 unless said otherwise.
    pub(crate) status: u16,
    /// Fields that the client sees, and does not see (`None`).
    pub(crate) seen: Vec<(&'static str, Option<&'static str>)>,
    /// Fields that the origin gets, and does not get (`None`).
    pub(crate) told: Vec<(&'static str, Option<&'static str>)>,
    /// What of the body the client sees, where not all.
    pub(crate) part: Option<&'static str>,
}

/// Header lines. `@-5` stands for the HTTP date 5 seconds before the row's start.
pub(crate) type Lines = Vec<(&'static str, &'static str)>;

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// The origin, and its answer goes to the client.
    Forwarded,
    /// The cache, without asking.
    Served,
    /// The cache, while it asks the origin for the next time.
    Refreshed,
    /// The cache, after asking.
    Validated,
    /// The cache, because the origin failed.
    StoodIn,
    /// The cache, with an error of its own, without asking.
    Refused,
    /// The cache, with an error of its own, after asking.
    Failed,
}

pub(crate) fn row<const N: usize>(
    rule: &'static str,
    source: &'static str,
    steps: [Step; N],
) -> Row {
    Row {
        rule,
        source,
        steps: steps.into(),
    }
}

pub(crate) fn get() -> Step {
    request("GET")
}

pub(crate) fn request(method: &'static str) -> Step {
    Step {
        after_s: 0,
        method,
        target: "/a",
        ask: Vec::new(),
        answer: Some((200, Vec::new())),
        expected: Expected::Forwarded,
        status: 200,
        seen: Vec::new(),
        told: Vec::new(),
        part: None,
    }
}

/// The body of the answer that the origin gives at a step.
pub(crate) fn body(step: usize) -> String {
    format!("0123456789 of step {step}")
}

impl Step {
    pub(crate) fn after(mut self, seconds: i64) -> Self {
        self.after_s = seconds;
        self
    }

    pub(crate) fn at(mut self, target: &'static str) -> Self {
        self.target = target;
        self
    }

    pub(crate) fn ask(mut self, name: &'static str, value: &'static str) -> Self {
        self.ask.push((name, value));
        self
    }

    /// The origin answers 200 with these fields.
    pub(crate) fn answer<const N: usize>(self, lines: [(&'static str, &'static str); N]) -> Self {
        self.status_answer(200, lines)
    }

    pub(crate) fn status_answer<const N: usize>(
        mut self,
        status: u16,
        lines: [(&'static str, &'static str); N],
    ) -> Self {
        self.answer = Some((status, lines.into()));
        self.status = status;
        self
    }

    pub(crate) fn forwarded(self) -> Self {
        self.expect(Expected::Forwarded)
    }

    pub(crate) fn served(self) -> Self {
        self.expect(Expected::Served)
    }

    pub(crate) fn refreshed(self) -> Self {
        self.expect(Expected::Refreshed)
    }

    /// The origin answers 304 with these fields.
    pub(crate) fn validated<const N: usize>(
        self,
        lines: [(&'static str, &'static str); N],
    ) -> Self {
        let mut step = self.status_answer(304, lines).expect(Expected::Validated);
        step.status = 200;
        step
    }

    /// The origin gives no answer, or an error.
    pub(crate) fn stood_in(mut self, error: Option<u16>) -> Self {
        self.answer = error.map(|status| (status, Vec::new()));
        self.status = 200;
        self.expect(Expected::StoodIn)
    }

    pub(crate) fn refused(mut self) -> Self {
        self.status = 504;
        self.expect(Expected::Refused)
    }

    /// The origin gives no answer and nothing stands in.
    pub(crate) fn failed(mut self) -> Self {
        self.answer = None;
        self.status = 502;
        self.expect(Expected::Failed)
    }

    pub(crate) fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn sees(mut self, name: &'static str, value: &'static str) -> Self {
        self.seen.push((name, Some(value)));
        self
    }

    pub(crate) fn misses(mut self, name: &'static str) -> Self {
        self.seen.push((name, None));
        self
    }

    pub(crate) fn tells(mut self, name: &'static str, value: &'static str) -> Self {
        self.told.push((name, Some(value)));
        self
    }

    pub(crate) fn hides(mut self, name: &'static str) -> Self {
        self.told.push((name, None));
        self
    }

    pub(crate) fn part(mut self, part: &'static str) -> Self {
        self.part = Some(part);
        self.status = 206;
        self
    }

    fn expect(mut self, expected: Expected) -> Self {
        self.expected = expected;
        self
    }
}

/// What a client sees.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    pub(crate) fields: FieldLines,
    pub(crate) body: String,
    /// What the origin got.
    pub(crate) told: Option<FieldLines>,
}

/// Lines with their dates, for a row that starts at `start_s`.
pub(crate) fn lines(lines: &Lines, start_s: i64) -> FieldLines {
    lines
        .iter()
        .map(|(name, value)| (name.to_string(), dated(value, start_s).into_bytes()))
        .collect()
}

fn dated(value: &str, start_s: i64) -> String {
    match value.strip_prefix('@') {
        Some(offset) => date::format(start_s + offset.parse::<i64>().expect("an offset")),
        None => value.to_owned(),
    }
}

impl Row {
    /// Whether what was seen at a step is what it expects.
    pub(crate) fn check(&self, at: usize, seen: &Seen, start_s: i64) {
        let step = &self.steps[at];
        let place = format!("{} ({}), step {at}", self.rule, self.source);
        assert_eq!(seen.status, step.status, "{place}: {seen:?}");
        let asks = !matches!(step.expected, Expected::Served | Expected::Refused);
        assert_eq!(
            seen.told.is_some(),
            asks,
            "{place}: was the origin asked? {seen:?}"
        );
        let has_body = step.method == "GET" && ![304, 416].contains(&seen.status);
        if let Some(part) = step.part {
            assert_eq!(seen.body, part, "{place}");
        } else if has_body {
            let own = seen.body == body(at);
            let earlier = (0..at).any(|step| seen.body == body(step));
            let (expects_own, expects_earlier) = match step.expected {
                Expected::Forwarded => (true, false),
                Expected::Refused | Expected::Failed => (false, false),
                _ => (false, true),
            };
            assert_eq!(
                (own, earlier),
                (expects_own, expects_earlier),
                "{place}: {seen:?}"
            );
        }
        let found = |fields: &FieldLines, name: &str| {
            let value = fields.first(name)?;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        let dated = |value: Option<&str>| value.map(|value| dated(value, start_s));
        for (name, value) in &step.seen {
            assert_eq!(
                found(&seen.fields, name),
                dated(*value),
                "{place}: {name} seen"
            );
        }
        for (name, value) in &step.told {
            let told = seen.told.as_ref().expect("the origin was asked");
            assert_eq!(found(told, name), dated(*value), "{place}: {name} told");
        }
        if step.expected == Expected::Validated {
            let told = seen.told.as_ref().expect("the origin was asked");
            let asks = told.has("if-none-match") || told.has("if-modified-since");
            assert!(asks, "{place}: no condition");
        }
    }
}
