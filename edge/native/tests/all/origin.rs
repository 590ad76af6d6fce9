//! An origin that answers with real encodings, and does what a test tells it to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use edgewise_ranking::{Candidates, HotSum, HotWindow, NewCandidate, Sources};
use edgewise_wire::{Bundle, DomainClock, HotList, HotListItem, Overlay};
use serde_json::Value;

/// The token that edges are started with.
pub(crate) const TOKEN: &str = "0123456789abcdef";

/// How it behaves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    /// Answers 503 to everything.
    pub(crate) down: bool,
    /// Answers so late.
    pub(crate) delay: Duration,
    /// Answers 400 to events whose body has this text.
    pub(crate) refuses: Option<&'static str>,
}

#[derive(Debug, Default)]
struct State {
    script: Script,
    /// Every request line's path, in order.
    asked: Vec<String>,
    /// Every event that was taken, in order, as often as it came.
    events: Vec<Value>,
}

#[derive(Clone, Debug)]
pub(crate) struct Origin {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
}

impl Origin {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let origin = Self {
            state: Arc::default(),
            address: listener.local_addr().expect("bound"),
        };
        let serving = origin.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let origin = serving.clone();
                std::thread::spawn(move || origin.connection(stream));
            }
        });
        origin
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn script(&self, script: Script) {
        self.state.lock().expect("unpoisoned").script = script;
    }

    /// How often a path was asked for that begins so.
    pub(crate) fn asked(&self, prefix: &str) -> usize {
        let state = self.state.lock().expect("unpoisoned");
        state
            .asked
            .iter()
            .filter(|path| path.starts_with(prefix))
            .count()
    }

    /// Ids of the events that were taken, as often as they came.
    pub(crate) fn event_ids(&self) -> Vec<String> {
        let state = self.state.lock().expect("unpoisoned");
        let ids = state.events.iter().map(|event| event["id"].as_str());
        ids.map(|id| id.expect("an id").to_owned()).collect()
    }

    fn connection(&self, stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut writer = stream;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let path = line.split(' ').nth(1)?.to_owned();
            let (mut length, mut authorized) = (0, false);
            loop {
                let mut header = String::new();
                reader.read_line(&mut header).ok()?;
                let header = header.trim().to_lowercase();
                if header.is_empty() {
                    break;
                }
                if let Some(value) = header.strip_prefix("content-length: ") {
                    length = value.parse().ok()?;
                }
                authorized |= header == format!("authorization: bearer {TOKEN}");
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok()?;
            let script = {
                let mut state = self.state.lock().expect("unpoisoned");
                state.asked.push(path.clone());
                state.script.clone()
            };
            std::thread::sleep(script.delay);
            let (status, answer) = match (authorized, script.down) {
                (false, _) => (401, Vec::new()),
                (true, true) => (503, Vec::new()),
                (true, false) if path == "/internal/v1/events" => self.take(&body, &script),
                (true, false) => answer(&path),
            };
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n",
                answer.len()
            );
            writer.write_all(head.as_bytes()).ok()?;
            writer.write_all(&answer).ok()?;
        }
    }

    fn take(&self, body: &[u8], script: &Script) -> (u16, Vec<u8>) {
        let text = String::from_utf8_lossy(body);
        if script.refuses.is_some_and(|refused| text.contains(refused)) {
            return (400, b"{}".to_vec());
        }
        let delivery: Value = serde_json::from_str(&text).expect("a delivery is JSON");
        let events = delivery["events"].as_array().expect("events");
        let mut state = self.state.lock().expect("unpoisoned");
        state.events.extend(events.iter().cloned());
        (
            200,
            br#"{"accepted":1,"duplicate":0,"rejected":[]}"#.to_vec(),
        )
    }
}

pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_millis()).expect("before the year 292 million")
}

fn answer(path: &str) -> (u16, Vec<u8>) {
    let Some(path) = path.strip_prefix("/internal/v1/") else {
        return (404, Vec::new());
    };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let body = match path.split_once('/') {
        Some(("candidates", user)) => bundle(Some(user), user).encode(),
        Some(("pools", _)) => bundle(None, "pool").encode(),
        Some(("lists", "hot")) => hot(query).encode(),
        None if path == "overlay" => overlay().encode(),
        None if path == "items" => items(query),
        None if path == "warm" => br#"{"users":["warm"]}"#.to_vec(),
        _ => return (404, Vec::new()),
    };
    (200, body)
}

fn bundle(user: Option<&str>, owner: &str) -> Bundle {
    let mut candidates = Candidates::default();
    for row in 0..30 {
        candidates.push(&NewCandidate {
            id: &format!("{owner}.{row}"),
            author: &format!("author-{row}"),
            created_at_ms: now_ms() - 60_000 * row,
            sources: Sources::FOLLOW,
            tags: &["music"],
            ..NewCandidate::default()
        });
    }
    Bundle {
        user: user.map(str::to_owned),
        made_at_ms: now_ms(),
        position: 1,
        completion_prior: 0.5,
        candidates,
        ..Bundle::default()
    }
}

fn hot(query: &str) -> HotList {
    let asked = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("window="));
    let window = HotWindow::ALL
        .into_iter()
        .find(|window| Some(window.name()) == asked);
    let items = (0..50).map(|row| HotListItem {
        id: format!("hot.{row}"),
        author: format!("author-{row}"),
        hot: HotSum {
            sum: 100.0 - f64::from(row),
            at_ms: now_ms(),
        },
        last_event_ms: now_ms(),
    });
    HotList {
        window: window.expect("a window"),
        region: None,
        language: None,
        tag: None,
        generated_at_ms: now_ms(),
        items: items.collect(),
    }
}

fn overlay() -> Overlay {
    Overlay {
        position: 1,
        made_at_ms: now_ms(),
        clock: DomainClock {
            base_domain_ms: now_ms(),
            base_wall_ms: now_ms(),
            speed: 1.0,
        },
        completion_prior: 0.5,
        ..Overlay::default()
    }
}

fn items(query: &str) -> Vec<u8> {
    let ids = query.trim_start_matches("ids=").split(',');
    let items: Vec<String> = ids
        .map(|id| format!(r#""{id}":{{"id":"{id}","title":"T"}}"#))
        .collect();
    format!("{{{}}}", items.join(",")).into_bytes()
}
