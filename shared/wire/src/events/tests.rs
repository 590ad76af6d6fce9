use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::api::EventType;
use crate::samples::NOW_MS;

const LIKE: &str = r#"{"id":"e1","type":"like","user":"u","item":"i"}"#;

fn batch(body: &str) -> EventBatch {
    parse(body.as_bytes(), None, NOW_MS).unwrap()
}

/// The like of [`LIKE`] with other fields.
fn like(fields: &str) -> String {
    format!(r#"{{"id":"e1","type":"like","user":"u","item":"i",{fields}}}"#)
}

#[track_caller]
fn refused(body: &[u8], content_type: Option<&str>, status: u16, field: &str) {
    let problem = parse(body, content_type, NOW_MS).unwrap_err();
    assert_eq!(
        (problem.status, problem.field.as_deref()),
        (status, Some(field)),
        "{problem:?}"
    );
    assert!(problem.allowed.is_some());
}

#[track_caller]
fn rejected(event: &str, reason: &str) {
    let batch = batch(&format!("[{event}]"));
    assert!(batch.events.is_empty(), "{event}");
    assert_eq!(batch.rejected[0].reason, reason, "{event}");
}

#[test]
fn an_object_an_array_and_a_single_event_are_taken() {
    for body in [
        format!(r#"{{"events":[{LIKE}]}}"#),
        format!(" [{LIKE}]\n"),
        String::from(LIKE),
    ] {
        let batch = batch(&body);
        assert_eq!(batch.events.len(), 1, "{body}");
        assert_eq!(batch.events[0].1.kind, EventType::Like);
        assert_eq!(batch.session, None);
    }
    let with_session = format!(r#"{{"session":"s","events":[{LIKE}],"more":[[]]}}"#);
    assert_eq!(batch(&with_session).session.as_deref(), Some("s"));
    for session in ["5", "\"\"", "null", "{}"] {
        let body = format!(r#"{{"session":{session},"events":[{LIKE}]}}"#);
        assert_eq!(batch(&body).session, None);
    }
}

#[test]
fn all_fields_are_read() {
    let all = like(
        r#""author":"a","ts_ms":1700000000000,"watch_ms":1000.0,"duration_ms":0,"value":-2.5,
        "request_id":"r","position":100000,"unknown":{"x":[]}"#,
    );
    let event = batch(&all).events.remove(0).1;
    assert_eq!(event.author.as_deref(), Some("a"));
    assert_eq!(event.ts_ms, Some(NOW_MS));
    assert_eq!((event.watch_ms, event.duration_ms), (Some(1_000), Some(0)));
    assert_eq!(event.value, Some(-2.5));
    assert_eq!(
        (event.request_id.as_deref(), event.position),
        (Some("r"), Some(100_000))
    );
    let nulls = like(r#""author":null,"ts_ms":null,"value":null,"position":null"#);
    assert_eq!(batch(&nulls).events[0].1.value, None);
}

#[test]
fn the_valid_half_counts_and_the_other_is_named() {
    let body = format!(r#"[5,{LIKE},{{"type":"like"}},{LIKE},{{"id":"x","value":1e999}},null]"#);
    let batch = batch(&body);
    let taken: Vec<u32> = batch.events.iter().map(|(index, _)| *index).collect();
    assert_eq!(taken, [1, 3], "a repeated id is kept for the counter");
    let refused: Vec<u32> = batch
        .rejected
        .iter()
        .map(|rejection| rejection.index)
        .collect();
    assert_eq!(refused, [0, 2, 4, 5]);
    assert_eq!(batch.rejected[0].reason, "the event is not an object");
    assert!(
        batch.rejected[2].reason.contains("number out of range"),
        "{:?}",
        batch.rejected
    );
}

#[test]
fn bodies_that_are_none_are_refused() {
    refused(b"", None, 400, "body");
    refused(b" \n", None, 400, "body");
    refused(b"[]", None, 400, "events");
    refused(br#"{"events":[]}"#, None, 400, "events");
    refused(br#"{"events":{}}"#, None, 400, "events");
    refused(br#"{"events":null}"#, None, 400, "events");
    refused(br#"{"other":[]}"#, None, 400, "events");
    refused(b"5", None, 400, "body");
    refused(b"\"text\"", None, 400, "body");
    refused(b"null", None, 400, "body");
    refused(b"{\"events\":[", None, 400, "body");
    refused(b"[] trailing", None, 400, "body");
    refused(b"[NaN]", None, 400, "body");
    refused(b"\xff\xfe", None, 400, "body");
    refused("[".repeat(200_000).as_bytes(), None, 400, "body");
}

#[test]
fn nesting_as_deep_as_a_body_can_be_is_refused_alone() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let batch = batch(&format!("[{LIKE},{deep}]"));
    assert_eq!((batch.events.len(), batch.rejected.len()), (1, 1));
    assert!(
        batch.rejected[0].reason.contains("recursion limit"),
        "{:?}",
        batch.rejected
    );
    let event = like(&format!("\"x\":{deep}"));
    assert!(
        batch_of(&event).rejected[0]
            .reason
            .contains("recursion limit")
    );
}

fn batch_of(event: &str) -> EventBatch {
    batch(&format!("[{event}]"))
}

#[test]
fn size_and_count_have_limits() {
    let events = |n: usize| format!("[{}]", alloc::vec![LIKE; n].join(","));
    assert_eq!(batch(&events(500)).events.len(), 500);
    refused(events(501).as_bytes(), None, 413, "events");
    let padded = format!("{LIKE}{}", " ".repeat(256 * 1024 - LIKE.len()));
    assert_eq!(batch(&padded).events.len(), 1);
    refused(format!("{padded} ").as_bytes(), None, 413, "body");
}

#[test]
fn json_and_plain_text_are_taken() {
    for content_type in [
        "application/json",
        "Application/JSON; charset=utf-8",
        "text/plain;charset=UTF-8",
        "application/vnd.x+json",
        "",
    ] {
        assert!(
            parse(LIKE.as_bytes(), Some(content_type), NOW_MS).is_ok(),
            "{content_type}"
        );
    }
    for content_type in [
        "text/html",
        "application/x-www-form-urlencoded",
        "json",
        "image/png",
    ] {
        refused(LIKE.as_bytes(), Some(content_type), 415, "content-type");
    }
}

#[test]
fn each_type_needs_its_ids() {
    let event = |kind: &str, ids: &str| format!(r#"{{"id":"e","user":"u","type":"{kind}"{ids}}}"#);
    let taken = |event: String| assert_eq!(batch(&event).events.len(), 1, "{event}");
    taken(event("follow", r#","author":"a""#));
    taken(event("unfollow", r#","author":"a""#));
    taken(event("hide", r#","author":"a""#));
    taken(event("hide", r#","item":"i""#));
    taken(event("follow", r#","item":"i""#));
    rejected(
        &event("follow", ""),
        "item or author is missing: follow needs one",
    );
    rejected(
        &event("hide", ""),
        "item or author is missing: hide needs one",
    );
    rejected(
        &event("view", r#","author":"a""#),
        "item is missing: view needs it",
    );
    let types = "type is not one of impression, view, click, like, unlike, comment, share, \
                 follow, unfollow, hide, purchase";
    rejected(&event("Like", r#","item":"i""#), types);
    rejected(r#"{"id":"e","user":"u","item":"i"}"#, "type is missing");
    rejected(r#"{"id":"e","type":"like","item":"i"}"#, "user is missing");
    rejected(r#"{"user":"u","type":"like","item":"i"}"#, "id is missing");
}

#[test]
fn ids_are_strings_within_their_rules() {
    rejected(
        r#"{"id":5,"type":"like","user":"u","item":"i"}"#,
        "id is not a string",
    );
    rejected(
        r#"{"id":"e","type":"like","user":"","item":"i"}"#,
        "user is empty",
    );
    rejected(
        r#"{"id":"e","type":"like","user":"u","item":"a\u0000"}"#,
        "item has a control character",
    );
    let long = "x".repeat(65);
    rejected(
        &like(&format!(r#""request_id":"{long}""#)),
        "request_id has 65 bytes, more than 64",
    );
    rejected(&like(r#""author":["a"]"#), "author is not a string");
}

#[test]
fn times_have_a_window() {
    let at = |ts_ms: i64| like(&format!("\"ts_ms\":{ts_ms}"));
    let hour_ms = 3_600_000;
    assert_eq!(batch(&at(NOW_MS - 48 * hour_ms)).events.len(), 1);
    assert_eq!(batch(&at(NOW_MS + 300_000)).events.len(), 1);
    rejected(
        &at(NOW_MS - 48 * hour_ms - 1),
        "too old: ts_ms is more than 48 h ago",
    );
    rejected(
        &at(NOW_MS + 300_001),
        "in the future: ts_ms is more than 5 min ahead",
    );
    rejected(&at(i64::MIN), "too old: ts_ms is more than 48 h ago");
    for bad in ["\"now\"", "1.5", "true", "18446744073709551615", "1e300"] {
        let reason = "ts_ms is not a whole number of Unix ms";
        rejected(&like(&format!("\"ts_ms\":{bad}")), reason);
    }
}

#[test]
fn numbers_have_ranges() {
    for bad in ["-1", "0.5", "604800001", "\"5\"", "1e10", "4294967296"] {
        let reason = "watch_ms is not a whole number in 0..604800000";
        rejected(&like(&format!("\"watch_ms\":{bad}")), reason);
        let reason = "duration_ms is not a whole number in 0..604800000";
        if bad != "-1" {
            rejected(&like(&format!("\"duration_ms\":{bad}")), reason);
        }
    }
    let none = batch(&like("\"duration_ms\":-1"));
    assert_eq!(
        none.events[0].1.duration_ms,
        Some(0),
        "no duration, still a view"
    );
    for bad in ["0", "100001", "-1", "1.5"] {
        let reason = "position is not a whole number in 1..100000";
        rejected(&like(&format!("\"position\":{bad}")), reason);
    }
    rejected(&like("\"value\":\"5\""), "value is not a finite number");
    assert_eq!(batch(&like("\"watch_ms\":604800000")).events.len(), 1);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..100),
        text in "[\\[\\]{}\",:a-z0-9.-]{0,100}",
    ) {
        crate::fuzz::events(&bytes);
        crate::fuzz::events(text.as_bytes());
    }
}
