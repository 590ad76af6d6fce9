//! `kill -9` of the origin at any moment: nothing lost, nothing counted twice.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use edgewise_tests::http::try_send;
use edgewise_tests::stack::Origin;
use serde_json::{Value, json};

use crate::site::items;

/// Kills in a run.
const KILLS: u64 = 8;

#[test]
fn events_answered_202_survive_kill_9_and_count_once() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut origin = Origin::start(dir.path(), &[]);
    origin.upsert(&items());
    let url = format!("{}/api/v1/events", origin.url);
    let stop = AtomicBool::new(false);
    // Likes per item of events that were answered 202.
    let acknowledged: Mutex<BTreeMap<u64, u64>> = Mutex::default();
    std::thread::scope(|scope| {
        for client in 0..4_u64 {
            let (url, stop, acknowledged) = (&url, &stop, &acknowledged);
            scope.spawn(move || like_until(client, url, stop, acknowledged));
        }
        for kill in 0..KILLS {
            std::thread::sleep(Duration::from_millis(200 + 137 * kill % 500));
            origin.kill();
            origin.run();
        }
        stop.store(true, Ordering::Relaxed);
    });

    let report = origin.admin("POST", "/admin/v1/verify", None);
    assert_eq!(report.json()["ok"], true, "{}", report.text);
    let acknowledged = acknowledged.into_inner().expect("no client panicked");
    assert!(
        acknowledged.values().sum::<u64>() > 200,
        "too little load: {acknowledged:?}"
    );
    for (item, likes) in acknowledged {
        let state = origin
            .admin("GET", &format!("/admin/v1/items/{item}"), None)
            .json();
        // Every event is sent until it is answered, so the sum is exact.
        assert_eq!(state["counters"]["likes"], likes, "item {item}: {state}");
    }
}

/// Likes items with ever new events; one without an answer is sent again, as it was.
fn like_until(client: u64, url: &str, stop: &AtomicBool, acknowledged: &Mutex<BTreeMap<u64, u64>>) {
    for n in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let events: Vec<Value> = (0..5)
            .map(|k| {
                let user = format!("c{client}-{n}-{k}");
                json!({ "id": user, "type": "like", "user": user, "item": ((n + k) % 40).to_string() })
            })
            .collect();
        let body = json!({ "events": events }).to_string();
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            assert!(Instant::now() < deadline, "the origin does not come back");
            let headers = [("content-type", "application/json")];
            match try_send("POST", url, &headers, Some(body.as_bytes())) {
                Ok(answer) if answer.status == 202 => break,
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        let mut likes = acknowledged.lock().expect("no client panicked");
        for k in 0..5 {
            *likes.entry((n + k) % 40).or_default() += 1;
        }
    }
}
