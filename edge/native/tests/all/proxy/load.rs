//! Many at once, and an origin that is slow, dies or lies.

use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use edgewise_cache::Config;
use edgewise_edge::proxy::Limits;

use super::stack::{Act, Got, Stack, answer, ok, read};

/// So many clients ask for the same at once.
fn herd(stack: &Arc<Stack>, clients: usize, target: &'static str) -> Vec<Got> {
    let start = Arc::new(Barrier::new(clients));
    let asking: Vec<_> = (0..clients)
        .map(|_| {
            let (stack, start) = (Arc::clone(stack), Arc::clone(&start));
            thread::spawn(move || {
                start.wait();
                stack.get(target)
            })
        })
        .collect();
    asking
        .into_iter()
        .map(|client| client.join().expect("an answer"))
        .collect()
}

#[track_caller]
fn all_are(got: &[Got], status: u16, body: &str) {
    for got in got {
        assert_eq!(
            (got.status, got.body.as_str(), got.whole),
            (status, body, true),
            "{got:?}"
        );
    }
}

#[test]
fn two_hundred_cold_requests_are_one_to_the_origin() {
    // No early refresh: what is counted here are herds.
    let config = Config {
        early_refresh_beta: 0.0,
        ..Config::default()
    };
    let stack = Arc::new(Stack::with(config, |_| {
        thread::sleep(Duration::from_millis(300));
        Act::Send(ok("Cache-Control: max-age=1\r\n", "once"))
    }));
    all_are(&herd(&stack, 200, "/a"), 200, "once");
    assert_eq!(stack.told().len(), 1);
    // And again when it has expired.
    thread::sleep(Duration::from_millis(1_100));
    all_are(&herd(&stack, 200, "/a"), 200, "once");
    assert_eq!(stack.told().len(), 2);
}

#[test]
fn a_herd_for_what_is_not_there_is_one_to_the_origin() {
    let stack = Arc::new(Stack::new(|_| {
        thread::sleep(Duration::from_millis(300));
        Act::Send(answer(404, "", "gone"))
    }));
    all_are(&herd(&stack, 200, "/a"), 404, "gone");
    assert_eq!(stack.told().len(), 1);
}

#[test]
fn a_leader_that_dies_costs_one_more_request() {
    let asked = AtomicUsize::new(0);
    let stack = Arc::new(Stack::new(move |_| {
        thread::sleep(Duration::from_millis(100));
        match asked.fetch_add(1, Ordering::SeqCst) {
            0 => Act::SendAndClose(Vec::new()),
            _ => Act::Send(ok("Cache-Control: max-age=60\r\n", "second")),
        }
    }));
    all_are(&herd(&stack, 50, "/a"), 200, "second");
    assert_eq!(stack.told().len(), 2);
}

#[test]
fn a_leaders_client_that_leaves_changes_nothing_for_the_rest() {
    let (release, released) = mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let stack = Arc::new(Stack::new(move |_| {
        let _ = released.lock().expect("no panic under the lock").recv();
        Act::Send(ok("Cache-Control: max-age=60\r\n", "for all"))
    }));
    let leader = stack.send("GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    stack.wait_for_told(1);
    let followers = {
        let stack = Arc::clone(&stack);
        thread::spawn(move || herd(&stack, 20, "/a"))
    };
    drop(leader);
    release.send(()).expect("the origin waits");
    all_are(&followers.join().expect("answers"), 200, "for all");
    assert_eq!(stack.told().len(), 1);
}

#[test]
fn answers_that_nobody_may_share_do_not_wait_for_each_other() {
    // The origin answers the second herd only once all of it has come: waiting in turn would
    // never end.
    let all = Arc::new(Barrier::new(20));
    let first = AtomicUsize::new(0);
    let stack = Arc::new(Stack::new(move |_| {
        if first.fetch_add(1, Ordering::SeqCst) > 0 {
            all.wait();
        }
        Act::Send(ok("Cache-Control: no-store\r\n", "own"))
    }));
    all_are(&[stack.get("/a")], 200, "own");
    all_are(&herd(&stack, 20, "/a"), 200, "own");
    assert_eq!(stack.told().len(), 21);
}

#[test]
fn followers_read_while_the_body_arrives() {
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(std::sync::Mutex::new(released));
    let stack = Stack::new(move |_| {
        let released = Arc::clone(&released);
        let wait = move || {
            let _ = released.lock().expect("no panic under the lock").recv();
        };
        let head =
            b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nfirst"
                .to_vec();
        Act::SendTwice(head, Box::new(wait), b"later".to_vec())
    });
    let request = "GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let mut readers = [
        stack.send(request),
        stack.send(request),
        stack.send(request),
    ];
    for reader in &mut readers {
        let mut seen = Vec::new();
        let mut byte = [0];
        while !seen.ends_with(b"\r\n\r\nfirst") {
            reader.read_exact(&mut byte).expect("the first half");
            seen.push(byte[0]);
        }
    }
    release.send(()).expect("the origin waits");
    for mut reader in readers {
        let mut rest = String::new();
        reader.read_to_string(&mut rest).expect("the second half");
        assert_eq!(rest, "later");
    }
    assert_eq!(stack.told().len(), 1);
}

#[test]
fn a_body_that_breaks_off_is_cut_and_not_stored() {
    for head in [
        "Content-Length: 100\r\n\r\nhalf",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let stack = Stack::new(move |_| {
            let answer = format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n{head}");
            Act::SendAndClose(answer.into_bytes())
        });
        for requests in 1..3 {
            let got = stack.get("/a");
            assert_eq!((got.body.as_str(), got.whole), ("half", false), "{got:?}");
            assert_eq!(stack.told().len(), requests);
        }
    }
}

#[test]
fn what_is_too_large_to_store_arrives_whole() {
    let body = "0123456789abcdef".repeat(100_000);
    let expected = body.clone();
    let config = Config {
        object_bytes_max: 100_000,
        ..Config::default()
    };
    let stack = Stack::with(config, move |told| {
        let fields = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n";
        if told.line.contains("/chunked") {
            let size = format!("{:x}", body.len());
            let answer =
                format!("{fields}Transfer-Encoding: chunked\r\n\r\n{size}\r\n{body}\r\n0\r\n\r\n");
            return Act::Send(answer.into_bytes());
        }
        Act::Send(ok("Cache-Control: max-age=60\r\n", &body))
    });
    for target in ["/chunked", "/sized", "/chunked", "/sized"] {
        let got = stack.get(target);
        assert!(
            got.whole && got.body == expected,
            "{target}: {} bytes",
            got.body.len()
        );
    }
    assert_eq!(stack.told().len(), 4);
}

#[test]
fn a_client_that_reads_nothing_is_let_go() {
    let limits = Limits {
        client_idle: Duration::from_millis(300),
        ..Limits::default()
    };
    let body = "0123456789abcdef".repeat(1_000_000);
    let stack = Stack::within(limits, Config::default(), move |_| {
        Act::Send(ok("Cache-Control: max-age=60\r\n", &body))
    });
    let mut stream = stack.send("GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    thread::sleep(Duration::from_millis(1_500));
    let mut got = Vec::new();
    // The connection ends before the answer does.
    let _ = stream.read_to_end(&mut got);
    assert!(
        !got.is_empty() && got.len() < 16_000_000,
        "{} bytes",
        got.len()
    );
}

#[test]
fn an_origin_that_is_slow_is_a_timeout_and_old_answers_stand_in_at_once() {
    let limits = Limits {
        origin_budget: Duration::from_millis(800),
        stale_budget: Duration::from_millis(30),
        ..Limits::default()
    };
    let asked = AtomicUsize::new(0);
    let stack = Stack::within(limits, Config::default(), move |told| {
        if told.line.contains("/slow") || asked.fetch_add(1, Ordering::SeqCst) > 0 {
            thread::sleep(Duration::from_millis(400));
        }
        if told.line.contains("/slow") {
            thread::sleep(Duration::from_millis(1_200));
        }
        Act::Send(ok(
            "Cache-Control: max-age=0, stale-if-error=60\r\n",
            &told.line,
        ))
    });
    assert_eq!(stack.get("/slow").status, 504);
    assert_eq!(stack.get("/a").status, 200);
    let got = stack.get("/a");
    let status = got.field("cache-status").expect("a field");
    assert_eq!(got.status, 200);
    assert!(status.contains("detail=origin-timeout"), "{status}");
}

#[test]
fn an_origin_that_cannot_tells_the_herd_once() {
    let stack = Arc::new(Stack::new(|_| {
        thread::sleep(Duration::from_millis(200));
        Act::Send(answer(500, "", "broken"))
    }));
    let got = herd(&stack, 50, "/a");
    assert!(got.iter().all(|got| got.status == 500));
    assert_eq!(stack.told().len(), 1);
}

#[test]
fn an_origin_that_dies_is_stood_in_for() {
    let alive = AtomicUsize::new(0);
    let stack = Stack::new(move |told| {
        if told.line.contains("/a") && alive.fetch_add(1, Ordering::SeqCst) == 0 {
            return Act::Send(ok("Cache-Control: max-age=0, stale-if-error=60\r\n", "old"));
        }
        Act::SendAndClose(Vec::new())
    });
    assert_eq!(stack.get("/a").body, "old");
    for _ in 0..30 {
        let got = stack.get("/a");
        assert_eq!((got.status, got.body.as_str()), (200, "old"));
        let status = got.field("cache-status").expect("a field");
        assert!(
            status.contains("fwd=stale") && status.contains("detail=origin-"),
            "{status}"
        );
    }
    let got = stack.get("/b");
    assert!([502, 503].contains(&got.status), "{got:?}");
    // Long after ten failures the breaker spares the origin.
    assert!(stack.told().len() < 30, "{}", stack.told().len());
}

#[test]
fn interim_answers_pass_and_are_not_stored() {
    let stack = Stack::new(|_| {
        let mut bytes = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".to_vec();
        bytes.extend(ok("Cache-Control: max-age=60\r\n", "body"));
        Act::Send(bytes)
    });
    let request = "GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    for expected in [true, false] {
        let mut all = String::new();
        stack.send(request).read_to_string(&mut all).expect("text");
        assert_eq!(all.starts_with("HTTP/1.1 103"), expected, "{all}");
        assert_eq!(all.to_lowercase().contains("link:"), expected, "{all}");
        assert!(all.ends_with("body"));
    }
    // An old client knows no interim answers.
    let got = read(stack.send("GET /b HTTP/1.0\r\nHost: h\r\n\r\n"), true);
    assert_eq!(got.status, 200);
}
