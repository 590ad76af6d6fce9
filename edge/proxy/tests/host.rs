//! The rules of the core's conformance tests, and what only a host of this kind can get wrong.

use std::collections::BTreeMap;

use edgewise_cache::fields::{FieldLines, Fields};
use edgewise_edge_proxy::{
    Answer, Arrived, Asking, Body, Control, Fetch, Options, PENDING_MAX, Proxy,
};

#[path = "../../../shared/cache/tests/conformance/row.rs"]
mod row;
#[path = "../../../shared/cache/tests/conformance/rows.rs"]
mod rows;

use row::{Seen, body, lines};

const START_S: i64 = 1_800_000_000;

/// What the host does: bodies by number, and a clock.
struct Host {
    proxy: Proxy,
    bodies: BTreeMap<u32, String>,
    now_ms: i64,
}

/// What the origin answers: status, fields, body; `None` is nothing.
type Origin<'a> = &'a dyn Fn() -> Option<(u16, FieldLines, String)>;

impl Host {
    fn new() -> Self {
        let options = Options {
            origin: "http://origin.example:8000/".to_string(),
        };
        Self {
            proxy: Proxy::new(&options).expect("options"),
            bodies: BTreeMap::new(),
            now_ms: START_S * 1_000,
        }
    }

    fn start(&mut self, method: &str, target: &str, fields: &FieldLines) -> Control {
        // 0.0 never refreshes early.
        let mut text = format!(
            "{method}\nhttp://example.com{target}\n{}\n0\n192.0.2.1",
            self.now_ms
        );
        text.push_str(&written(fields));
        self.proxy.request(Asking::parse(&text))
    }

    fn arrive(&mut self, id: u32, status: u16, fields: &FieldLines) -> Control {
        let text = format!("{id}\n{status}\n{}\n{}", self.now_ms, written(fields));
        self.proxy
            .response(&Arrived::parse(&text).expect("an answer"))
    }

    fn ask(&mut self, method: &str, target: &str, fields: &FieldLines, origin: Origin<'_>) -> Seen {
        let control = self.start(method, target, fields);
        let seen = self.seen(&control, None, method);
        match control.fetch {
            None => seen.expect("an answer"),
            Some(fetch) => {
                let told = fetch.headers.clone();
                let answered = self.fetch(&fetch, method, origin);
                Seen {
                    told: Some(told),
                    ..seen.unwrap_or(answered)
                }
            }
        }
    }

    fn fetch(&mut self, fetch: &Fetch, method: &str, origin: Origin<'_>) -> Seen {
        let (status, fields, body) = origin().unwrap_or_default();
        let control = self.arrive(fetch.id, status, &fields);
        let seen = self.seen(&control, Some(&body), method);
        if let Some((id, _)) = control.keep {
            let bytes = body.len() as u64;
            self.bodies.insert(id, body);
            let control = self.proxy.body(id, Some(bytes));
            self.let_go(&control);
        }
        seen.expect("an answer")
    }

    fn seen(&mut self, control: &Control, origin: Option<&str>, method: &str) -> Option<Seen> {
        let seen = control.answer.as_ref().map(|answer| {
            let body = match answer.body {
                Body::Empty => String::new(),
                Body::Text(text) => text.to_string(),
                Body::Origin if method == "HEAD" || answer.status == 304 => String::new(),
                Body::Origin => origin.expect("the origin's body").to_string(),
                Body::Stored(id, first, end) => {
                    let at = |byte: u64| usize::try_from(byte).expect("small");
                    self.bodies[&id][at(first)..at(end)].to_string()
                }
            };
            Seen {
                status: answer.status,
                fields: answer.headers.clone(),
                body,
                told: None,
            }
        });
        self.let_go(control);
        seen
    }

    fn let_go(&mut self, control: &Control) {
        for id in &control.drop {
            self.bodies.remove(id);
        }
    }
}

fn written(fields: &FieldLines) -> String {
    let line = |(name, value): &(String, Vec<u8>)| {
        format!("\n{name}: {}", core::str::from_utf8(value).expect("text"))
    };
    fields.iter().map(line).collect()
}

fn fields(lines: &[(&str, &str)]) -> FieldLines {
    let own = |(name, value): &(&str, &str)| (name.to_string(), Vec::from(*value));
    lines.iter().map(own).collect()
}

fn header(answer: &Answer, name: &str) -> Option<String> {
    let value = answer.headers.first(name)?;
    Some(String::from_utf8_lossy(value).into_owned())
}

const FRESH: &[(&str, &str)] = &[("cache-control", "max-age=60")];

#[test]
fn every_rule_holds() {
    let rows = rows::all();
    assert!(rows.len() > 130, "{} rows", rows.len());
    for row in &rows {
        let mut host = Host::new();
        for (at, step) in row.steps.iter().enumerate() {
            host.now_ms += step.after_s * 1_000;
            let origin = || {
                let (status, fields) = step.answer.as_ref()?;
                Some((*status, lines(fields, START_S), body(at)))
            };
            let asked = lines(&step.ask, START_S);
            let seen = host.ask(step.method, step.target, &asked, &origin);
            row.check(at, &seen, START_S);
        }
    }
}

#[test]
fn bodies_that_are_replaced_evicted_or_never_stored_are_let_go_of() {
    let mut host = Host::new();
    let full = || Some((200, fields(FRESH), "x".repeat(1 << 20)));
    for at in 0..100 {
        host.ask("GET", &format!("/{at}"), &fields(&[]), &full);
    }
    let kept: usize = host.bodies.values().map(String::len).sum();
    assert!((16 << 20..=32 << 20).contains(&kept), "{kept} bytes");
    let reload = fields(&[("cache-control", "no-cache")]);
    let before = host.bodies.len();
    host.ask("GET", "/99", &reload, &full);
    assert_eq!(host.bodies.len(), before);
    for at in 0..100 {
        let unsafe_answer = || Some((200, fields(&[]), String::new()));
        host.ask("POST", &format!("/{at}"), &fields(&[]), &unsafe_answer);
    }
    // The last ones go with the next answer.
    host.ask(
        "GET",
        "/",
        &fields(&[("cache-control", "only-if-cached")]),
        &full,
    );
    assert_eq!(host.bodies.len(), 0);
}

#[test]
fn a_body_that_breaks_off_is_not_stored() {
    let mut host = Host::new();
    let fetch = host.start("GET", "/", &fields(&[])).fetch.expect("a miss");
    let (id, _) = host
        .arrive(fetch.id, 200, &fields(FRESH))
        .keep
        .expect("to keep");
    assert_eq!(host.proxy.body(id, None).drop, [id]);
    assert!(host.start("GET", "/", &fields(&[])).fetch.is_some());
    assert_eq!(host.proxy.body(id, Some(7)).drop, [id], "told twice");
}

#[test]
fn one_refresh_at_a_time() {
    let mut host = Host::new();
    let renewed = fields(&[("cache-control", "max-age=1, stale-while-revalidate=60")]);
    let answer = || Some((200, renewed.clone(), "body".to_string()));
    host.ask("GET", "/", &fields(&[]), &answer);
    host.now_ms += 5_000;
    let first = host.start("GET", "/", &fields(&[]));
    let second = host.start("GET", "/", &fields(&[]));
    assert!(first.answer.is_some() && first.fetch.is_some());
    assert!(second.answer.is_some() && second.fetch.is_none());
    // One that never comes back is given up.
    host.now_ms += 11_000;
    assert!(host.start("GET", "/", &fields(&[])).fetch.is_some());
}

#[test]
fn a_late_origin_is_stood_in_for_and_its_answer_still_kept() {
    let mut host = Host::new();
    let patient = fields(&[("cache-control", "max-age=1, stale-if-error=60")]);
    let answer = || Some((200, patient.clone(), "old".to_string()));
    host.ask("GET", "/", &fields(&[]), &answer);
    host.now_ms += 5_000;
    let fetch = host.start("GET", "/", &fields(&[])).fetch.expect("stale");
    assert_eq!(fetch.late_ms, Some(80));
    let late = host.proxy.late(fetch.id, host.now_ms);
    let stale = late.answer.expect("something stale");
    assert!(matches!(stale.body, Body::Stored(..)));
    let status = header(&stale, "cache-status").expect("a field");
    assert!(status.contains("detail=origin-timeout"), "{status}");
    let (id, _) = host.arrive(fetch.id, 200, &patient).keep.expect("to keep");
    host.bodies.insert(id, "new".to_string());
    host.proxy.body(id, Some(3));
    let none = || None;
    assert_eq!(host.ask("GET", "/", &fields(&[]), &none).body, "new");
}

#[test]
fn what_a_client_claims_does_not_reach_the_origin() {
    let mut host = Host::new();
    let claims = fields(&[
        ("x-forwarded-host", "evil.example"),
        ("x-original-url", "/admin"),
        ("x-forwarded-for", "203.0.113.9"),
        ("connection", "x-secret, host"),
        ("x-secret", "1"),
        ("expect", "100-continue"),
        ("content-length", "0"),
    ]);
    let fetch = host.start("GET", "//e?x#y", &claims).fetch.expect("a miss");
    assert_eq!(fetch.url, "http://origin.example:8000//e?x");
    let told = |name: &str| {
        fetch
            .headers
            .first(name)
            .map(|value| String::from_utf8_lossy(value).into_owned())
    };
    assert_eq!(told("x-forwarded-host").as_deref(), Some("example.com"));
    let clients = told("x-forwarded-for");
    assert_eq!(clients.as_deref(), Some("203.0.113.9, 192.0.2.1"));
    assert_eq!(told("via").as_deref(), Some("1.1 edgewise"));
    for gone in ["x-original-url", "x-secret", "expect", "content-length"] {
        assert_eq!(told(gone), None, "{gone}");
    }
}

#[test]
fn what_is_not_understood_is_refused() {
    let mut host = Host::new();
    let long = format!("/{}", "x".repeat(17 << 10));
    let loops = fields(&[("cdn-loop", "edgewise, edgewise; a=1,edgewise")]);
    let many: FieldLines = (0..129).map(|at| (format!("x-{at}"), Vec::new())).collect();
    let mut status = |method: &str, target: &str, asked: &FieldLines| {
        let answer = host.start(method, target, asked).answer;
        answer.expect("a refusal").status
    };
    assert_eq!(status("TRACE", "/", &fields(&[])), 405);
    assert_eq!(status("GET", &long, &fields(&[])), 414);
    assert_eq!(status("GET", "/", &loops), 508);
    assert_eq!(status("GET", "/", &many), 431);
    let sized = fields(&[("content-length", "5")]);
    assert_eq!(status("GET", "/", &sized), 400);
    let path = fields(&[("host", "example.com/admin")]);
    assert_eq!(status("GET", "/", &path), 400);
    for text in [
        "",
        "GET",
        "GET\nx\n1\n0\n",
        "GET\nhttp:///\n1\n0\n",
        "GET\nhttp://a/\n?\n0\n",
    ] {
        assert!(Asking::parse(text).is_err(), "{text}");
    }
}

#[test]
fn an_answer_that_cannot_be_passed_on_is_an_error() {
    let mut host = Host::new();
    for status in [101, 999] {
        let fetch = host.start("GET", "/", &fields(&[])).fetch.expect("a miss");
        let answer = host.arrive(fetch.id, status, &fields(FRESH)).answer;
        assert_eq!(answer.expect("an answer").status, 502);
    }
    let unknown = host.arrive(77, 200, &fields(FRESH)).answer;
    assert_eq!(unknown.expect("an answer").status, 503);
}

#[test]
fn requests_that_never_come_back_are_bounded() {
    let mut host = Host::new();
    let first = host.start("GET", "/", &fields(&[])).fetch.expect("a miss");
    for _ in 0..PENDING_MAX {
        host.start("GET", "/", &fields(&[]));
    }
    let answer = host.arrive(first.id, 200, &fields(FRESH)).answer;
    assert_eq!(answer.expect("an answer").status, 503);
    // In time, too.
    let second = host.start("GET", "/", &fields(&[])).fetch.expect("a miss");
    host.now_ms += 121_000;
    host.start("GET", "/", &fields(&[]));
    let answer = host.arrive(second.id, 200, &fields(FRESH)).answer;
    assert_eq!(answer.expect("an answer").status, 503);
}

#[test]
fn an_origin_is_a_scheme_and_a_host() {
    for bad in [
        "",
        "x",
        "ftp://x",
        "http://",
        "http://a/b",
        "https://u@h",
        "http://a?b",
    ] {
        let origin = bad.to_string();
        assert!(Proxy::new(&Options { origin }).is_err(), "{bad}");
    }
}
