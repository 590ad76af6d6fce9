//! Bad input gets a clear problem document, at the edge and at the origin alike.

use edgewise_tests::http::{Answer, get, post_refused, send};
use edgewise_tests::stack::ADMIN_TOKEN;
use serde_json::{Value, json};

use crate::site::{Stack, now_ms, unique};

#[test]
fn bad_input_is_answered_by_field_and_range() {
    let stack = Stack::start();
    stack.personal("/api/v1/feed?user=u");
    for base in [stack.edge.url.as_str(), stack.origin.url.as_str()] {
        bad_parameters(base);
        unknown_parameters_change_nothing(base);
        bad_bodies(base);
        half_valid_batches(base);
        other_methods_and_paths(base);
        foreign_tokens(base);
    }
    internal_routes_stay_inside(&stack);
}

#[track_caller]
fn problem(answer: &Answer, status: u16, field: &str) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let body = answer.json();
    assert_eq!(body["status"], status);
    assert!(
        body["type"]
            .as_str()
            .is_some_and(|kind| kind.starts_with("https://")),
        "{body}"
    );
    if !field.is_empty() {
        assert_eq!(body["field"], field, "{body}");
        assert!(
            !body["allowed"].is_null(),
            "the allowed range is missing: {body}"
        );
    }
    body
}

fn bad_parameters(base: &str) {
    let long = "x".repeat(65);
    for (path, field) in [
        ("/api/v1/feed?user=u&limit=0", "limit"),
        ("/api/v1/feed?user=u&limit=101", "limit"),
        ("/api/v1/feed?user=u&limit=-1", "limit"),
        ("/api/v1/feed?user=u&limit=1e3", "limit"),
        ("/api/v1/feed?user=u&limit=99999999999999999999", "limit"),
        ("/api/v1/feed?user=u&profile=best", "profile"),
        ("/api/v1/feed?user=u&selection=random", "selection"),
        ("/api/v1/feed?user=u&cursor=garbage", "cursor"),
        ("/api/v1/feed?user=u&explain=maybe", "explain"),
        ("/api/v1/feed?user=", "user"),
        ("/api/v1/feed?user=a%00b", "user"),
        (&format!("/api/v1/feed?user={long}"), "user"),
        (&format!("/api/v1/feed?user=u&exclude={long}"), "exclude"),
        ("/api/v1/hot/trending?window=2h", "window"),
        ("/api/v1/hot/trending?limit=201", "limit"),
        ("/api/v1/similar/3?limit=0", "limit"),
        ("/api/v1/discover/suggested-users?user=u&limit=51", "limit"),
        ("/api/v1/items", "ids"),
        (
            &format!(
                "/api/v1/items?ids={}",
                (0..101)
                    .map(|id| id.to_string())
                    .collect::<Vec<_>>()
                    .join(",")
            ),
            "ids",
        ),
    ] {
        problem(&get(&format!("{base}{path}")), 400, field);
    }
}

fn unknown_parameters_change_nothing(base: &str) {
    let answer = get(&format!(
        "{base}/api/v1/hot/trending?window=24h&utm_source=mail&_=1"
    ));
    assert_eq!(answer.status, 200, "{}", answer.text);
    let session = get(&format!("{base}/api/v1/feed?user=u&session=garbage"));
    assert_eq!(
        session.status, 200,
        "a bad session is ignored: {}",
        session.text
    );
    assert_eq!(session.json()["session_status"], "invalid");
}

fn events(base: &str, kind: &str, body: &[u8]) -> Answer {
    send(
        "POST",
        &format!("{base}/api/v1/events"),
        &[("content-type", kind)],
        Some(body),
    )
}

fn bad_bodies(base: &str) {
    let many: Vec<Value> = (0..501).map(|_| good()).collect();
    let deep = "[".repeat(50_000);
    for (body, status) in [
        (String::new(), 400),
        ("not json".to_owned(), 400),
        ("{}".to_owned(), 400),
        ("[]".to_owned(), 400),
        ("42".to_owned(), 400),
        ("null".to_owned(), 400),
        (r#"{"events":{}}"#.to_owned(), 400),
        (deep, 400),
        (json!({ "events": many }).to_string(), 413),
    ] {
        let answer = events(base, "application/json", body.as_bytes());
        problem(&answer, status, "");
    }
    let huge = format!(r#"{{"events":[],"pad":"{}"}}"#, "x".repeat(300 * 1024));
    let refused = post_refused(base, "/api/v1/events", huge.as_bytes());
    assert!(refused.starts_with("HTTP/1.1 413"), "{refused}");
    problem(&events(base, "application/json", b"\xff\xfe\x00"), 400, "");
    problem(
        &events(base, "image/png", good().to_string().as_bytes()),
        415,
        "",
    );
    let beacon = json!({ "events": [good()] }).to_string();
    assert_eq!(
        events(base, "text/plain;charset=UTF-8", beacon.as_bytes()).status,
        202
    );
}

fn good() -> Value {
    json!({ "id": unique(), "type": "click", "user": "u", "item": "1" })
}

fn half_valid_batches(base: &str) {
    let now = now_ms();
    let with = |name: &str, value: Value| {
        let mut event = good();
        event[name] = value;
        event
    };
    let mut no_item = good();
    no_item.as_object_mut().expect("an object").remove("item");
    let bad = [
        with("id", json!("x".repeat(65))),
        with("id", json!("")),
        with("id", json!("a\u{7}b")),
        with("id", json!(17)),
        with("type", json!("wink")),
        with("user", json!(null)),
        with("ts_ms", json!(now - 49 * 3_600_000)),
        with("ts_ms", json!(now + 6 * 60_000)),
        with("watch_ms", json!(-5)),
        with("watch_ms", json!(1e300)),
        with("value", json!("NaN")),
        with("position", json!(0)),
        no_item,
        json!("a string"),
        json!(null),
    ];
    let mut batch = vec![good()];
    batch.extend(bad.iter().cloned());
    batch.push(good());
    let answer = events(
        base,
        "application/json",
        json!({ "events": batch }).to_string().as_bytes(),
    );
    assert_eq!(answer.status, 202, "{}", answer.text);
    let body = answer.json();
    assert_eq!(body["accepted"], 2, "{body}");
    let rejected = body["rejected"].as_array().expect("rejected");
    let indices: Vec<u64> = rejected
        .iter()
        .filter_map(|one| one["index"].as_u64())
        .collect();
    assert_eq!(
        indices,
        (1..=bad.len() as u64).collect::<Vec<_>>(),
        "{body}"
    );
    assert!(
        rejected
            .iter()
            .all(|one| one["reason"].as_str().is_some_and(|why| why.len() > 5))
    );

    // A batch without a valid event is an answer too, not an error.
    let none = json!({ "events": [{ "id": "x", "type": "like", "user": "u" }] }).to_string();
    let answer = events(base, "application/json", none.as_bytes());
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(answer.json()["rejected"][0]["index"], 0);

    // A number too large for a double is rejected by itself.
    let huge = format!(
        r#"{{"events":[{},{{"id":"{}","type":"purchase","user":"u","item":"1","value":1e999}}]}}"#,
        good(),
        unique()
    );
    let answer = events(base, "application/json", huge.as_bytes());
    assert!(
        answer.status == 202 || answer.status == 400,
        "{}",
        answer.text
    );

    // The same id twice counts once.
    let twin = good();
    let body = json!({ "events": [twin, twin] }).to_string();
    let answer = events(base, "application/json", body.as_bytes()).json();
    assert_eq!(
        (&answer["accepted"], &answer["duplicate"]),
        (&json!(1), &json!(1)),
        "{answer}"
    );
}

fn other_methods_and_paths(base: &str) {
    problem(
        &send("DELETE", &format!("{base}/api/v1/feed"), &[], None),
        405,
        "",
    );
    problem(&get(&format!("{base}/api/v1/events")), 405, "");
    problem(&get(&format!("{base}/api/v1/nothing")), 404, "");
    problem(
        &get(&format!("{base}/api/v1/similar/no-such-item")),
        404,
        "",
    );
    let head = send("HEAD", &format!("{base}/api/v1/hot/trending"), &[], None);
    assert_eq!((head.status, head.text.as_str()), (200, ""));
}

fn foreign_tokens(base: &str) {
    let url = format!("{base}/api/v1/feed?user=somebody");
    let forged = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzb21lYm9keSJ9.";
    let bearer = format!("Bearer {forged}");
    problem(
        &send("GET", &url, &[("authorization", &bearer)], None),
        401,
        "",
    );

    let keys = edgewise_wire::keys::Keys::parse(edgewise_tests::stack::TOKEN_KEYS).expect("keys");
    let token = edgewise_wire::jwt::sign("owner", now_ms() / 1_000 + 600, &keys);
    let bearer = format!("Bearer {token}");
    problem(
        &send("GET", &url, &[("authorization", &bearer)], None),
        403,
        "",
    );
    let own = format!("{base}/api/v1/feed");
    let answer = send("GET", &own, &[("authorization", &bearer)], None);
    assert_eq!(answer.status, 200, "{}", answer.text);

    // A cursor of one user is no cursor of another.
    let page = get(&format!("{base}/api/v1/feed?user=u&limit=5")).json();
    let cursor = page["next_cursor"].as_str().expect("there is more");
    problem(
        &get(&format!("{base}/api/v1/feed?user=thief&cursor={cursor}")),
        400,
        "cursor",
    );
}

fn internal_routes_stay_inside(stack: &Stack) {
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    for path in ["/internal/v1/overlay", "/admin/v1/stats", "/metrics"] {
        let url = format!("{}{path}", stack.edge.url);
        problem(
            &send("GET", &url, &[("authorization", &bearer)], None),
            404,
            "",
        );
    }
    for path in [
        "/internal/v1/overlay",
        "/internal/v1/candidates/u",
        "/admin/v1/stats",
    ] {
        let url = format!("{}{path}", stack.origin.url);
        problem(&get(&url), 401, "");
        problem(
            &send("GET", &url, &[("authorization", "Bearer wrong")], None),
            401,
            "",
        );
    }
    let broken = json!({ "items": [{ "id": "", "author": "a", "created_at": 0 }, { "id": "x" }] });
    let answer = stack.origin.admin("PUT", "/admin/v1/items", Some(&broken));
    assert_eq!(
        answer.json()["rejected"].as_array().map(Vec::len),
        Some(2),
        "{}",
        answer.text
    );
}
