//! Many at once, one request to the origin.

use std::io::Write;
use std::time::Duration;

use crate::edge::Edge;
use crate::http::{connect, eventually, get};
use crate::origin::{Origin, Script};

const HERD: usize = 200;

fn slow() -> Script {
    Script {
        delay: Duration::from_millis(300),
        ..Script::default()
    }
}

#[test]
fn a_cold_herd_makes_one_request() {
    let origin = Origin::start();
    origin.script(slow());
    let edge = Edge::start(&origin, &[]);
    std::thread::scope(|scope| {
        let address = edge.address;
        let ask = move || get(address, "/api/v1/feed?user=ann&limit=3").status;
        let herd: Vec<_> = (0..HERD).map(|_| scope.spawn(ask)).collect();
        for one in herd {
            assert_eq!(one.join().expect("no panic"), 200);
        }
    });
    for path in ["/internal/v1/candidates/ann", "/internal/v1/overlay"] {
        let asked = origin.asked(path);
        // The overlay is fresh for a second: a slow machine refreshes it meanwhile.
        let most = if path.ends_with("overlay") { 3 } else { 1 };
        assert!((1..=most).contains(&asked), "{path}: {asked}");
    }
}

#[test]
fn who_asked_first_may_leave() {
    let origin = Origin::start();
    origin.script(slow());
    let edge = Edge::start(&origin, &[]);
    let path = "/internal/v1/candidates/ann";
    let mut first = connect(edge.address);
    first
        .write_all(b"GET /api/v1/feed?user=ann HTTP/1.1\r\nhost: e\r\n\r\n")
        .expect("it listens");
    eventually("the origin is asked", || origin.asked(path) == 1);
    drop(first);
    let second = get(edge.address, "/api/v1/feed?user=ann");
    assert_eq!(second.status, 200);
    assert!(second.ids()[0].starts_with("ann."));
    assert_eq!(origin.asked(path), 1);
}

#[test]
fn an_origin_that_fails_a_herd_is_asked_few_times() {
    let origin = Origin::start();
    origin.script(Script {
        down: true,
        ..slow()
    });
    let edge = Edge::start(&origin, &[]);
    std::thread::scope(|scope| {
        let address = edge.address;
        let ask = move || get(address, "/api/v1/hot/trending").status;
        let herd: Vec<_> = (0..HERD).map(|_| scope.spawn(ask)).collect();
        for one in herd {
            assert_eq!(one.join().expect("no panic"), 503);
        }
    });
    let asked = origin.asked("/internal/v1/lists/hot");
    assert!(asked <= 20, "{asked}");
}
