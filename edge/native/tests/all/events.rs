//! Events: acknowledged once they are on disk, delivered at least once, with their ids.

use std::collections::BTreeSet;
use std::path::Path;

use crate::edge::Edge;
use crate::http::{eventually, post};
use crate::origin::{Origin, Script};

fn send(edge: &Edge, ids: &[String]) -> u16 {
    let events: Vec<String> = ids
        .iter()
        .map(|id| format!(r#"{{"id":"{id}","type":"like","user":"ann","item":"i"}}"#))
        .collect();
    let body = format!(r#"{{"events":[{}]}}"#, events.join(","));
    let answer = post(edge.address, "/api/v1/events", &body);
    if answer.status == 202 {
        assert_eq!(answer.json()["accepted"], ids.len(), "{}", answer.json());
    }
    answer.status
}

fn ids(prefix: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|index| format!("{prefix}-{index}"))
        .collect()
}

fn path(folder: &Path) -> &str {
    folder.to_str().expect("a path")
}

#[test]
fn events_reach_the_origin_once_and_in_order() {
    let (origin, folder) = (Origin::start(), tempfile::tempdir().expect("a folder"));
    let edge = Edge::start(&origin, &["--data-dir", path(folder.path())]);
    let sent = ids("e", 30);
    for batch in sent.chunks(7) {
        assert_eq!(send(&edge, batch), 202);
    }
    eventually("all are there", || origin.event_ids().len() >= sent.len());
    edge.stop();
    assert_eq!(origin.event_ids(), sent);
}

#[test]
fn a_crash_loses_no_event_that_was_acknowledged() {
    let (origin, folder) = (Origin::start(), tempfile::tempdir().expect("a folder"));
    let options = ["--data-dir", path(folder.path())];
    let edge = Edge::start(&origin, &options);
    assert_eq!(send(&edge, &ids("before", 3)), 202);
    eventually("they are there", || origin.event_ids().len() == 3);
    origin.script(Script {
        down: true,
        ..Script::default()
    });
    for index in 0..20 {
        assert_eq!(send(&edge, &ids(&format!("during{index}"), 5)), 202);
    }
    edge.crash();
    origin.script(Script::default());
    let edge = Edge::start(&origin, &options);
    let distinct = || origin.event_ids().into_iter().collect::<BTreeSet<_>>();
    eventually("all are there", || distinct().len() >= 103);
    edge.stop();
    let expected: BTreeSet<String> = (0..20)
        .flat_map(|index| ids(&format!("during{index}"), 5))
        .chain(ids("before", 3))
        .collect();
    assert_eq!(distinct(), expected);
}

#[test]
fn what_the_origin_refuses_is_put_aside_and_holds_up_nothing() {
    let (origin, folder) = (Origin::start(), tempfile::tempdir().expect("a folder"));
    origin.script(Script {
        refuses: Some("poison"),
        ..Script::default()
    });
    let edge = Edge::start(&origin, &["--data-dir", path(folder.path())]);
    for id in ["a", "poison", "b"] {
        assert_eq!(send(&edge, &[id.to_owned()]), 202);
    }
    eventually("the others are there", || origin.event_ids().len() >= 2);
    let file = folder.path().join("dead-letters.jsonl");
    eventually("it is put aside", || {
        std::fs::read_to_string(&file).is_ok_and(|text| text.contains("poison"))
    });
    edge.stop();
    assert_eq!(origin.event_ids(), ["a", "b"]);
    let text = std::fs::read_to_string(&file).expect("the file");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn a_full_spool_says_so() {
    let (origin, folder) = (Origin::start(), tempfile::tempdir().expect("a folder"));
    let edge = Edge::start(
        &origin,
        &["--data-dir", path(folder.path()), "--spool-mib", "1"],
    );
    assert_eq!(
        send(&edge, &ids("first", 1)),
        202,
        "and the overlay is known"
    );
    origin.script(Script {
        down: true,
        ..Script::default()
    });
    let mut accepted = 0;
    eventually("the spool is full", || {
        let status = send(&edge, &ids(&format!("{accepted:->40}"), 400));
        accepted += 1;
        assert!(status == 202 || status == 503, "{status}");
        status == 503
    });
    assert!(accepted > 5, "{accepted}");
}
