//! Traffic against a small stand-in server on a real socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::Value;

use super::*;

/// What the stand-in saw: (method, path with query, body).
type Seen = Arc<Mutex<Vec<(String, String, Value)>>>;

/// Answers like an edge and an origin; `status` other than 200 makes every answer that.
fn serve(status: u16) -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let seen: Seen = Arc::default();
    let log = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let log = Arc::clone(&log);
            std::thread::spawn(move || answer_all(stream, status, &log));
        }
    });
    (url, seen)
}

fn answer_all(mut stream: TcpStream, status: u16, log: &Seen) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|&read| read > 0)?;
        let mut words = line.split_whitespace();
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            if header.trim().is_empty() {
                break;
            }
            let header = header.to_ascii_lowercase();
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let answer = if path.starts_with("/api/v1/feed") {
            let items: Vec<_> = (1..=10)
                .map(|n| json!({ "id": format!("v{n:05}"), "author": "a" }))
                .collect();
            json!({ "request_id": "r1", "items": items, "next_cursor": "c d", "session": "s+1" })
        } else {
            let accepted = body["events"].as_array().map_or(0, Vec::len);
            json!({ "accepted": accepted, "session": "s+2" })
        };
        log.lock().expect("no panics").push((method, path, body));
        let text = answer.to_string();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n",
            text.len()
        );
        stream.write_all((head + &text).as_bytes()).ok()?;
    }
}

fn options(url: &str) -> Options {
    let gentle = Options::gentle(url, url, "secret", 3);
    Options {
        rate_per_s: 400.0,
        post_every: Duration::from_millis(40),
        ..gentle
    }
}

#[test]
fn people_scroll_react_and_post() {
    let (url, seen) = serve(200);
    let world = Arc::new(World::new(1, 1_800_000_000_000).expect("a world"));
    let stop = Arc::new(AtomicBool::new(false));
    let traffic =
        Traffic::run(options(&url), Players::Community(world), Arc::clone(&stop)).expect("runs");
    std::thread::sleep(Duration::from_millis(800));
    let started = Instant::now();
    let counts = {
        let mut traffic = traffic;
        traffic.stop();
        traffic.counts()
    };
    assert!(started.elapsed() < Duration::from_secs(1));
    assert!(
        counts.pages > 10 && counts.likes > 0 && counts.posts > 3,
        "{counts:?}"
    );
    assert_eq!(counts.errors, 0);
    let seen = seen.lock().expect("no panics");
    let paths: Vec<&str> = seen.iter().map(|(_, path, _)| path.as_str()).collect();
    assert!(
        paths
            .iter()
            .any(|path| path.contains("cursor=c%20d&session=s%2B2")),
        "{paths:?}"
    );
    let posted: Vec<_> = seen.iter().filter(|(method, ..)| method == "PUT").collect();
    assert!(posted.iter().all(|(_, path, body)| {
        path == "/admin/v1/items" && body["items"][0]["thumbnail"].is_string()
    }));
    let mut ids = std::collections::BTreeSet::new();
    for (_, _, body) in seen.iter().filter(|(_, path, _)| path == "/api/v1/events") {
        for event in body["events"].as_array().expect("events") {
            assert!(
                ids.insert(event["id"].to_string()),
                "an event id came twice"
            );
            assert!(event["user"].is_string() && event["ts_ms"].is_null());
            assert_eq!(event["request_id"], "r1");
        }
    }
}

#[test]
fn errors_are_counted_and_waited_out() {
    let (url, seen) = serve(503);
    let stop = Arc::new(AtomicBool::new(false));
    let users = Players::Users(vec!["1".into(), "2".into()]);
    let traffic = Traffic::run(options(&url), users, Arc::clone(&stop)).expect("runs");
    std::thread::sleep(Duration::from_millis(700));
    let counts = {
        let mut traffic = traffic;
        traffic.stop();
        traffic.counts()
    };
    assert!(
        counts.errors > 0 && counts.answered == 0 && counts.posts == 0,
        "{counts:?}"
    );
    // 3 visitors, at 0, 250 and 750 ms: without the backoff there would be hundreds.
    assert!(seen.lock().expect("no panics").len() <= 9);
    assert!(Traffic::run(options(&url), Players::Users(Vec::new()), stop).is_err());
}

#[test]
fn a_hanging_server_does_not_delay_the_stop() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let stop = Arc::new(AtomicBool::new(false));
    let users = Players::Users(vec!["1".into()]);
    let traffic = Traffic::run(options(&url), users, stop).expect("runs");
    std::thread::sleep(Duration::from_millis(100));
    let started = Instant::now();
    drop(traffic);
    assert!(started.elapsed() < Duration::from_secs(1));
    drop(listener);
}

#[test]
fn a_replay_sends_what_is_due() {
    let (url, seen) = serve(200);
    let path = std::env::temp_dir().join(format!("edgewise-replay-{}", std::process::id()));
    // 20 events a domain second; at ten times the speed 1.5 s hold 300 of 1,000.
    let event =
        |n: i64| json!({ "event": { "id": format!("e{n}"), "user": "7", "ts_ms": 50 * n } });
    let lines: Vec<_> = (0..1000).map(|n| event(n).to_string()).collect();
    std::fs::write(&path, format!("{}\nnot JSON\n", lines.join("\n"))).expect("written");
    let stop = Arc::new(AtomicBool::new(false));
    let traffic = Traffic::replay(&url, &path, 0, 10.0, stop).expect("runs");
    std::thread::sleep(Duration::from_millis(1500));
    let started = Instant::now();
    drop(traffic);
    assert!(started.elapsed() < Duration::from_secs(1));
    std::fs::remove_file(&path).expect("removed");
    let seen = seen.lock().expect("no panics");
    let sent: Vec<&Value> = seen
        .iter()
        .filter(|(_, path, _)| path == "/api/v1/events")
        .flat_map(|(_, _, body)| body["events"].as_array().expect("events"))
        .collect();
    assert!((150..=320).contains(&sent.len()), "{}", sent.len());
    assert!(
        sent.windows(2)
            .all(|pair| pair[0]["ts_ms"].as_i64() < pair[1]["ts_ms"].as_i64())
    );
    assert!(
        seen.iter()
            .any(|(_, path, _)| path.starts_with("/api/v1/feed?user=7"))
    );
}
