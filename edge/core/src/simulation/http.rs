//! What a client of the HTTP interface would notice: refusals, headers, identity, probes.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use edgewise_wire::jwt;
use edgewise_wire::overlay::DomainClock;
use serde_json::Value;

use super::origin::Mood;
use super::reading::{fetched_since, get, json, rung};
use super::world::{Ask, START_MS, World, keys};

#[test]
fn events_are_queued_with_domain_time_once_and_in_small_messages() {
    let mut world = World::new(7);
    world.origin.clock = DomainClock {
        base_domain_ms: 1_000_000,
        base_wall_ms: START_MS,
        speed: 1.0,
    };
    let event = |index: usize, more: &str| {
        format!(r#"{{"id":"{index:0>60}","type":"view","user":"ann","item":"{index:0>60}"{more}}}"#)
    };
    let page = format!(r#","request_id":"{:0>64}""#, 1);
    let mut events: Vec<String> = (0..498).map(|index| event(index, &page)).collect();
    events.push(event(0, ""));
    events.push(event(900, r#","ts_ms":1"#).replace("view", "nod"));
    let posted = world.ask(&Ask::post(
        "/api/v1/events",
        format!("[{}]", events.join(",")),
    ));
    assert_eq!(posted.answer.status, 202);
    let answer = json(&posted);
    assert_eq!(
        (&answer["accepted"], &answer["duplicate"]),
        (&498.into(), &1.into())
    );
    assert_eq!(answer["rejected"][0]["index"], 499);
    let queued: Vec<Value> = world
        .queue
        .iter()
        .map(|text| serde_json::from_str(text).expect("JSON"))
        .collect();
    let events = queued
        .iter()
        .flat_map(|message| message["events"].as_array().expect("a list"));
    let times: Vec<i64> = events
        .map(|event| event["ts_ms"].as_i64().expect("a time"))
        .collect();
    assert_eq!(times.len(), 498);
    assert!(
        times
            .iter()
            .all(|&ts_ms| (1_000_000..1_001_000).contains(&ts_ms))
    );
    assert!(queued.len() > 1, "split");
}

#[test]
fn events_are_refused_in_time() {
    let mut world = World::new(8);
    let body = r#"{"id":"e","type":"view","user":"ann","item":"i"}"#;
    world.faults.queue = 100;
    let refused = world.ask(&Ask::post("/api/v1/events", body));
    assert_eq!(refused.answer.status, 503);
    assert!(refused.answer.get("retry-after").is_some());
    world.faults.queue = 0;
    world.faults.limiter = 100;
    assert_eq!(
        world.ask(&Ask::post("/api/v1/events", body)).answer.status,
        202,
        "limiter fails"
    );
    let status = |world: &mut World, ask: Ask| world.ask(&ask).answer.status;
    assert_eq!(status(&mut world, Ask::post("/api/v1/events", "")), 400);
    assert_eq!(
        status(&mut world, Ask::post("/api/v1/events", "[1e999")),
        400
    );
    assert_eq!(
        status(&mut world, Ask::post("/api/v1/events", vec_of(300_000))),
        413
    );
    let form = Ask::post("/api/v1/events", body).header("content-type: application/x-form");
    assert_eq!(status(&mut world, form), 415);
    let text = Ask::post("/api/v1/events", body).header("content-type: text/plain;charset=UTF-8");
    assert_eq!(status(&mut world, text), 202);
    world.limited = true;
    let limited = world.ask(&Ask::post("/api/v1/events", body));
    assert_eq!(limited.answer.status, 429);
    assert!(limited.answer.get("retry-after").is_some());
}

fn vec_of(bytes: usize) -> Vec<u8> {
    alloc::vec![b'x'; bytes]
}

#[test]
fn identity_is_the_tokens() {
    let mut world = World::with(9, r#""plain_user":"deny""#);
    let token = jwt::sign("ann", START_MS / 1_000 + 3_600, &keys());
    let bearer = format!("authorization: Bearer {token}");
    let status = |world: &mut World, target: &str, header: &str| {
        world.ask(&Ask::get(target).header(header)).answer.status
    };
    assert_eq!(status(&mut world, "/api/v1/feed?user=ann", "x: y"), 401);
    assert_eq!(
        status(
            &mut world,
            "/api/v1/feed?user=ann",
            "authorization: Bearer x"
        ),
        401
    );
    assert_eq!(
        status(
            &mut world,
            "/api/v1/feed?user=ann",
            "authorization: Basic x"
        ),
        401
    );
    assert_eq!(status(&mut world, "/api/v1/feed?user=bob", &bearer), 403);
    let page = world.ask(&Ask::get("/api/v1/feed").header(&bearer));
    assert_eq!(rung(&page), "personal");
    assert_eq!(rung(&get(&mut world, "/api/v1/feed")), "segment");
    let event = r#"{"id":"e","type":"view","user":"bob","item":"i"}"#;
    let posted = world.ask(&Ask::post("/api/v1/events", event).header(&bearer));
    assert_eq!(posted.answer.status, 403);
    assert_eq!(
        world.ask(&Ask::post("/api/v1/events", event)).answer.status,
        401
    );
    assert!(world.queue.is_empty());
    assert_eq!(
        status(&mut world, "/api/v1/discover/suggested-users", "x: y"),
        400
    );
    assert_eq!(
        status(&mut world, "/api/v1/discover/suggested-users", &bearer),
        200
    );
}

#[test]
fn shared_lists_are_validated_and_tagged() {
    let mut world = World::new(10);
    let first = get(&mut world, "/api/v1/hot/trending");
    assert_eq!(first.answer.get("x-cache-status"), Some("MISS"));
    let again = get(&mut world, "/api/v1/hot/trending?unknown=1");
    assert_eq!(again.answer.get("x-cache-status"), Some("HIT"));
    assert_eq!(again.answer.get("cache-tag"), Some("list:hot"));
    assert!(
        again
            .answer
            .get("cdn-cache-control")
            .is_some_and(|v| v.contains("max-age=60"))
    );
    let etag = again.answer.get("etag").expect("an entity tag").to_string();
    let line = format!("if-none-match: {etag}");
    let ask = Ask::get("/api/v1/hot/trending").header(&line);
    let unchanged = world.ask(&ask);
    assert_eq!(
        (unchanged.answer.status, unchanged.answer.body.len()),
        (304, 0)
    );
    assert_eq!(unchanged.answer.get("etag"), Some(etag.as_str()));
    let head = world.ask(&Ask {
        method: "HEAD",
        ..Ask::get("/api/v1/hot/trending")
    });
    assert_eq!((head.answer.status, head.answer.body.len()), (200, 0));
    let length = again.answer.body.len().to_string();
    assert_eq!(head.answer.get("content-length"), Some(length.as_str()));
    assert_eq!(
        get(&mut world, "/api/v1/hot/trending?window=2h")
            .answer
            .status,
        400
    );
}

#[test]
fn a_trending_list_is_repeated_for_as_long_as_nothing_changes() {
    // Every repetition is compared with what is answered anew (`World::note_repeat`).
    let mut world = World::new(12);
    let targets = ["/api/v1/hot/trending", "/api/v1/hot/trending?limit=3"];
    for step in 0..3_000_usize {
        let mut ask = Ask::get(targets[step % 2]);
        if step % 3 == 0 {
            ask = ask.header("origin: https://a.example");
        }
        if step % 7 == 0
            && let Some(etag) = world
                .answers
                .last()
                .and_then(|last| last.answer.get("etag"))
        {
            ask = ask.header(&format!("if-none-match: {etag}"));
        }
        world.start(&ask);
        // A second without a request now and then: lists and overlay grow old.
        let pause_ms = if step % 500 == 0 { 61_000 } else { 13 };
        world.run_until(world.now_ms + pause_ms);
    }
    assert!(world.repeats > 2_000, "{} repeated", world.repeats);
    assert_eq!(world.answers.len(), 3_000);
}

#[test]
fn unknown_things_are_404_and_asked_for_once() {
    let mut world = World::new(11);
    assert_eq!(get(&mut world, "/api/v1/similar/lost").answer.status, 404);
    let before = world.fetched.len();
    assert_eq!(get(&mut world, "/api/v1/similar/lost").answer.status, 404);
    assert_eq!(fetched_since(&world, before), Vec::<&str>::new());
    world.now_ms += 11_000;
    get(&mut world, "/api/v1/similar/lost");
    assert_eq!(fetched_since(&world, before), ["/internal/v1/similar/lost"]);
    for target in ["/api/v1/none", "/internal/v1/overlay", "/metrics", "/admin"] {
        assert_eq!(get(&mut world, target).answer.status, 404, "{target}");
    }
    let wrong = world.ask(&Ask {
        method: "DELETE",
        ..Ask::get("/api/v1/feed")
    });
    assert_eq!(wrong.answer.status, 405);
    assert_eq!(wrong.answer.get("allow"), Some("GET, HEAD, OPTIONS"));
}

#[test]
fn browsers_may_call_from_where_they_are_allowed() {
    let mut world = World::with(
        12,
        r#""plain_user":true,"cors_origins":["https://a.example"]"#,
    );
    let ask = Ask {
        method: "OPTIONS",
        ..Ask::get("/api/v1/events")
    };
    let yes = world.ask(&ask.clone().header("origin: https://a.example"));
    assert_eq!(yes.answer.status, 204);
    assert_eq!(
        yes.answer.get("access-control-allow-origin"),
        Some("https://a.example")
    );
    assert_eq!(
        yes.answer.get("access-control-allow-methods"),
        Some("POST, OPTIONS")
    );
    let no = world.ask(&ask.header("origin: https://b.example"));
    assert_eq!(no.answer.get("access-control-allow-origin"), None);
    assert_eq!(no.answer.get("vary"), Some("origin"));
}

#[test]
fn clients_are_limited() {
    let mut world = World::with(14, r#""plain_user":true,"rate_per_s":1,"rate_burst":3"#);
    for _ in 0..3 {
        assert_eq!(get(&mut world, "/api/v1/items?ids=a").answer.status, 200);
    }
    let refused = get(&mut world, "/api/v1/items?ids=a");
    assert_eq!(refused.answer.status, 429);
    assert_eq!(refused.answer.get("retry-after"), Some("1"));
    assert_eq!(
        get(&mut world, "/api/v1/feed?user=ann").answer.status,
        429,
        "another name from the same address is no other client"
    );
    assert_eq!(
        get(&mut world, "/livez").answer.status,
        200,
        "probes are not counted"
    );
}

#[test]
fn probes_tell_the_state() {
    let mut world = World::new(18);
    world.origin.mood = Mood::Fails;
    assert_eq!(get(&mut world, "/readyz").answer.status, 503);
    assert_eq!(get(&mut world, "/livez").answer.status, 200);
    world.origin.mood = Mood::Well;
    assert_eq!(get(&mut world, "/readyz").answer.status, 200);
    let health = json(&get(&mut world, "/healthz"));
    assert_eq!(health["origin"], "closed");
    assert!(health["overlay_age_ms"].is_i64(), "{health}");
    assert_eq!(json(&get(&mut world, "/version"))["abi"], 1);
    assert!(json(&get(&mut world, "/openapi.json"))["openapi"].is_string());
}

#[test]
fn the_trace_goes_on_to_the_origin() {
    let mut world = World::new(19);
    let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    world.ask(&Ask::get("/api/v1/items?ids=a").header(&format!("traceparent: {given}")));
    assert!(!world.traces.is_empty());
    assert!(
        world
            .traces
            .iter()
            .all(|trace| trace.starts_with(&given[..36])),
        "{:?}",
        world.traces
    );
}
