//! A herd at a real Worker: one origin request for many who ask at once, also when who asked
//! first leaves.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use edgewise_tests::http::get;
use edgewise_tests::stack::Edge;
use edgewise_wire::overlay::Overlay;

/// Requests at once.
const HERD: usize = 200;
/// What the origin takes.
const ORIGIN_TAKES: Duration = Duration::from_millis(300);

/// An origin that takes its time and counts who asks for what.
struct SlowOrigin {
    url: String,
    asked: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl SlowOrigin {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = Arc::default();
        let counts = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counts = Arc::clone(&counts);
                thread::spawn(move || answer(&stream, &counts));
            }
        });
        Self { url, asked }
    }

    fn asked(&self, path: &str) -> usize {
        let asked = self.asked.lock().expect("no panic");
        asked.get(path).copied().unwrap_or(0)
    }
}

/// Answers the requests of a connection.
fn answer(mut stream: &TcpStream, counts: &Mutex<BTreeMap<String, usize>>) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    loop {
        let head: Vec<String> = lines
            .by_ref()
            .map_while(Result::ok)
            .take_while(|line| !line.is_empty())
            .collect();
        let path = head.first()?.split(' ').nth(1)?.to_owned();
        *counts
            .lock()
            .expect("no panic")
            .entry(path.clone())
            .or_default() += 1;
        let (status, body) = match path.strip_prefix("/internal/v1/") {
            Some("overlay") => ("200 OK", Overlay::default().encode()),
            Some(path) if path.starts_with("similar/near") => {
                thread::sleep(ORIGIN_TAKES);
                ("200 OK", br#"{"item":"near","items":[]}"#.to_vec())
            }
            _ => {
                thread::sleep(ORIGIN_TAKES);
                ("404 Not Found", Vec::new())
            }
        };
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(&body).ok()?;
    }
}

/// Asks `edge` for `path` from many clients at once; returns their statuses.
fn herd(edge: &Edge, path: &str) -> Vec<u16> {
    let url = format!("{}{path}", edge.url);
    let clients: Vec<_> = (0..HERD)
        .map(|_| {
            let url = url.clone();
            thread::spawn(move || get(&url).status)
        })
        .collect();
    let statuses = clients.into_iter().map(thread::JoinHandle::join);
    statuses.map(|status| status.expect("an answer")).collect()
}

#[test]
fn a_herd_at_a_worker_is_one_origin_request() {
    let dir = tempfile::tempdir().expect("a directory");
    let origin = SlowOrigin::start();
    let edge = Edge::start(dir.path(), &origin.url, &["EDGEWISE_PLAIN_USER=allow"]);
    // The overlay is there from now on.
    assert_eq!(edge.get("/api/v1/similar/lost").status, 404);
    assert_eq!(herd(&edge, "/api/v1/similar/near"), [200; HERD]);
    assert_eq!(origin.asked("/internal/v1/similar/near"), 1);

    // Negative entries too.
    assert_eq!(herd(&edge, "/api/v1/similar/none"), [404; HERD]);
    assert_eq!(origin.asked("/internal/v1/similar/none"), 1);

    // Who asks first leaves while the origin is at it.
    let address = edge.url.trim_start_matches("http://");
    let mut first = TcpStream::connect(address).expect("the edge listens");
    let head = format!("GET /api/v1/similar/near2 HTTP/1.1\r\nhost: {address}\r\n\r\n");
    first.write_all(head.as_bytes()).expect("sent");
    thread::sleep(ORIGIN_TAKES / 3);
    drop(first);
    assert_eq!(herd(&edge, "/api/v1/similar/near2"), [200; HERD]);
    let asked = origin.asked("/internal/v1/similar/near2");
    assert!((1..=2).contains(&asked), "{asked} origin requests");
}
