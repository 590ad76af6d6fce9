//! The origin being away is a normal state of the edge.

use std::time::Duration;

use edgewise_tests::http::{Answer, eventually};
use serde_json::{Value, json};

use crate::site::{Stack, event};

/// The longest the edge may wait for the origin, with room for a busy machine.
const PATIENCE: Duration = Duration::from_millis(2_700);
/// Rungs without a bundle of the user.
const IMPERSONAL: [&str; 3] = ["segment", "hot", "hot-stale"];

#[test]
fn the_edge_goes_on_while_the_origin_is_hung_or_gone() {
    let mut stack = Stack::start();
    let views: Vec<Value> = (0..40)
        .map(|item| event("view", &format!("viewer{item}"), &item.to_string()))
        .collect();
    stack.events(&views, None);
    eventually("the hot list has items", Duration::from_secs(10), || {
        let list = stack.edge.get("/api/v1/hot/trending?window=24h");
        (list.status == 200 && !list.ids().is_empty()).then_some(())
    });
    stack.personal("/api/v1/feed?user=known");
    assert_eq!(
        stack.edge.get("/api/v1/hot/trending?window=24h").status,
        200
    );
    assert_eq!(stack.edge.get("/api/v1/similar/5").status, 200);
    assert_eq!(stack.edge.get("/api/v1/items?ids=5,6").status, 200);
    // The pool and the lists for strangers come in the background.
    std::thread::sleep(Duration::from_secs(3));

    stack.origin.signal("STOP");
    let hung = event("like", "known", "5");
    away(&stack, &hung, "hung");
    stack.origin.signal("CONT");
    counted_once(&stack, "5", 1);

    stack.origin.kill();
    let gone = event("like", "other", "5");
    away(&stack, &gone, "gone");
    stack.origin.run();
    // The same event again: the client never heard of the first answer.
    let url = format!("{}/api/v1/events", stack.edge.url);
    let again = edgewise_tests::http::post(&url, &json!({ "events": [gone] }));
    assert_eq!(again.status, 202);
    counted_once(&stack, "5", 2);
    let report = stack.origin.admin("POST", "/admin/v1/verify", None);
    assert_eq!(report.json()["ok"], true, "{}", report.text);
}

/// Every promise of the edge for an origin that does not answer.
fn away(stack: &Stack, like: &Value, how: &str) {
    for round in 0..3 {
        let feed = quick(stack, "/api/v1/feed?user=known");
        let rung = feed.header("edgewise-rung");
        assert!(
            ["personal", "personal-stale"].contains(&rung),
            "round {round}: {rung}"
        );
        assert!(!feed.ids().is_empty());
        let stranger = quick(stack, &format!("/api/v1/feed?user=stranger-{how}-{round}"));
        assert!(
            IMPERSONAL.contains(&stranger.header("edgewise-rung")),
            "{:?}",
            stranger.headers
        );
        assert!(!stranger.ids().is_empty(), "a stranger sees something");
        for path in [
            "/api/v1/hot/trending?window=24h",
            "/api/v1/similar/5",
            "/api/v1/items?ids=5,6",
        ] {
            let answer = quick(stack, path);
            assert!(!answer.ids().is_empty(), "{path} is empty");
            let rung = answer.header("edgewise-rung");
            assert!(["hot", "hot-stale"].contains(&rung), "{path}: {rung}");
        }
    }
    stack.events(std::slice::from_ref(like), None);
}

fn quick(stack: &Stack, path: &str) -> Answer {
    let answer = stack.edge.get(path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    assert!(answer.took < PATIENCE, "{path} took {:?}", answer.took);
    answer
}

fn counted_once(stack: &Stack, id: &str, likes: u64) {
    let path = format!("/admin/v1/items/{id}");
    eventually(
        "the kept events are delivered",
        Duration::from_secs(30),
        || {
            let item = stack.origin.admin("GET", &path, None).json();
            (item["counters"]["likes"] == likes).then_some(())
        },
    );
    // Nothing more comes: the queue's retries count nothing twice.
    std::thread::sleep(Duration::from_secs(2));
    let item = stack.origin.admin("GET", &path, None).json();
    assert_eq!(item["counters"]["likes"], likes);
}
