//! Input that nobody means well: each is answered, and the next request is, too.

use std::io::{Read, Write};

use crate::edge::Edge;
use crate::http::{Answer, connect, get, raw, status_or_reset};
use crate::origin::Origin;

#[test]
fn bad_requests_are_refused_and_the_next_is_answered() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let long = "a".repeat(16 << 10);
    let huge = "a".repeat(300 << 10);
    let many = "x: y\r\n".repeat(300);
    let cases: [(&str, String, &[u16]); 13] = [
        ("16 KB of query", format!("GET /api/v1/feed?x={long} HTTP/1.1\r\nhost: e\r\n\r\n"), &[400]),
        ("300 KB of target", format!("GET /{huge} HTTP/1.1\r\nhost: e\r\n\r\n"), &[0, 414, 431]),
        ("300 KB of header", format!("GET /livez HTTP/1.1\r\nhost: e\r\nx: {huge}\r\n\r\n"), &[0, 431]),
        ("300 headers", format!("GET /livez HTTP/1.1\r\nhost: e\r\n{many}\r\n"), &[431]),
        (
            "two lengths",
            "POST /api/v1/events HTTP/1.1\r\nhost: e\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}x".into(),
            &[400],
        ),
        (
            "a length and chunks",
            "POST /api/v1/events HTTP/1.1\r\nhost: e\r\nconnection: close\r\ncontent-length: 90\r\n\
             transfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /livez HTTP/1.1\r\nhost: e\r\n\r\n"
                .into(),
            &[400],
        ),
        ("a negative length", "POST /api/v1/events HTTP/1.1\r\nhost: e\r\ncontent-length: -1\r\n\r\n".into(), &[400]),
        ("a folded header", "GET /livez HTTP/1.1\r\nhost: e\r\nx: a\r\n b\r\n\r\n".into(), &[400]),
        ("a space before the colon", "GET /livez HTTP/1.1\r\nhost: e\r\nx : a\r\n\r\n".into(), &[400]),
        ("a bare control", "GET /li\u{1}vez HTTP/1.1\r\nhost: e\r\n\r\n".into(), &[400]),
        ("no HTTP", "\u{16}\u{3}\u{1}\r\n\r\n".into(), &[400]),
        ("a tunnel", "CONNECT e:443 HTTP/1.1\r\nhost: e\r\nconnection: close\r\n\r\n".into(), &[400, 404, 405]),
        ("no route", "GET /api/v1/nothing HTTP/1.1\r\nhost: e\r\nconnection: close\r\n\r\n".into(), &[404]),
    ];
    for (name, bytes, statuses) in cases {
        let bytes = bytes.replace("host: e\r\n\r\n", "host: e\r\nconnection: close\r\n\r\n");
        let status = status_or_reset(edge.address, bytes.as_bytes());
        assert!(statuses.contains(&status), "{name}: {status}");
        assert_eq!(get(edge.address, "/livez").status, 200, "after {name}");
    }
}

#[test]
fn bytes_that_are_no_text_are_no_item() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let head = |target: &[u8]| {
        [
            b"GET ",
            target,
            b" HTTP/1.1\r\nhost: e\r\nconnection: close\r\n\r\n",
        ]
        .concat()
    };
    for target in [
        &b"/api/v1/similar/\xff\xfe"[..],
        b"/\xff",
        b"/api/v1/similar/%ff%fe",
        b"/%00",
        b"/api/v1/feed?user=%ff",
    ] {
        let answer = raw(edge.address, &head(target));
        assert!(
            matches!(answer.status, 400 | 404),
            "{target:?}: {}",
            answer.status
        );
    }
    assert_eq!(get(edge.address, "/livez").status, 200);
}

#[test]
fn a_body_has_a_size_and_a_time() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let body = "x".repeat(300 << 10);
    let head = "POST /api/v1/events HTTP/1.1\r\nhost: e\r\nconnection: close\r\n";
    let whole = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    assert_eq!(raw(edge.address, whole.as_bytes()).status, 413);
    let mut slow = connect(edge.address);
    slow.write_all(format!("{head}content-length: 10\r\n\r\n{{").as_bytes())
        .expect("it listens");
    let mut answer = Vec::new();
    let _ = slow.read_to_end(&mut answer);
    assert_eq!(Answer::read(&answer).status, 408);
}

#[test]
fn more_connections_than_allowed_are_told_so() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &["--connections", "3"]);
    let held: Vec<_> = (0..3)
        .map(|_| {
            let mut stream = connect(edge.address);
            stream
                .write_all(b"GET /livez HTTP/1.1\r\nhost: e\r\n\r\n")
                .expect("it listens");
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("it answers");
            stream
        })
        .collect();
    let mut more = connect(edge.address);
    let mut answer = Vec::new();
    let _ = more.read_to_end(&mut answer);
    let answer = Answer::read(&answer);
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
    drop(held);
    crate::http::eventually("there is room again", || {
        get(edge.address, "/livez").status == 200
    });
}

#[test]
fn requests_in_one_segment_are_answered_in_order() {
    let origin = Origin::start();
    let edge = Edge::start(&origin, &[]);
    let mut stream = connect(edge.address);
    let first = "GET /api/v1/hot/trending?limit=1 HTTP/1.1\r\nhost: e\r\n\r\n";
    let last = "GET /livez HTTP/1.1\r\nhost: e\r\nconnection: close\r\n\r\n";
    stream
        .write_all(format!("{first}{first}{last}").as_bytes())
        .expect("it listens");
    let mut answers = String::new();
    stream.read_to_string(&mut answers).expect("text");
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3, "{answers}");
    assert!(answers.ends_with("ok"));
}
