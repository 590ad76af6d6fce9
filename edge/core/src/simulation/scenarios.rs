//! What an operator and a user would notice, one at a time.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use edgewise_ranking::{RankingConfig, id_hash};
use edgewise_wire::jwt;
use edgewise_wire::model::ModelSnapshot;
use edgewise_wire::overlay::{DomainClock, Purge};
use serde_json::Value;

use super::origin::Mood;
use super::world::{Answered, Ask, START_MS, World, keys};

fn json(answered: &Answered) -> Value {
    serde_json::from_slice(&answered.answer.body).expect("JSON")
}

fn ids(answered: &Answered) -> Vec<String> {
    let body = json(answered);
    let items = body["items"].as_array().expect("items").iter();
    items
        .map(|item| item["id"].as_str().expect("id").to_string())
        .collect()
}

fn get(world: &mut World, target: &str) -> Answered {
    world.ask(&Ask::get(target))
}

fn rung(answered: &Answered) -> &str {
    answered.answer.get("edgewise-rung").unwrap_or("")
}

/// Paths asked of the origin since `from`, but for the overlay's.
fn fetched_since(world: &World, from: usize) -> Vec<&str> {
    let paths = world.fetched[from..].iter().map(String::as_str);
    paths.filter(|path| !path.ends_with("/overlay")).collect()
}

#[test]
fn a_warm_feed_asks_the_origin_for_nothing_but_the_overlay() {
    let mut world = World::new(1);
    let first = get(&mut world, "/api/v1/feed?user=ann");
    assert_eq!((first.answer.status, rung(&first)), (200, "personal"));
    assert_eq!(first.answer.get("x-cache-status"), Some("MISS"));
    assert_eq!(first.answer.get("cache-control"), Some("private, no-store"));
    let before = world.fetched.len();
    for _ in 0..200 {
        let until_ms = world.now_ms + 250;
        world.run_until(until_ms);
        let page = get(&mut world, "/api/v1/feed?user=ann");
        assert_eq!((rung(&page), page.waited_ms), ("personal", 0));
        assert_eq!(page.answer.get("x-cache-status"), Some("HIT"));
    }
    assert_eq!(fetched_since(&world, before), Vec::<&str>::new());
    let overlays = world.fetched.len() - before;
    assert!(
        (40..=60).contains(&overlays),
        "about one a second: {overlays}"
    );
    let until_ms = world.now_ms + 20_000;
    world.run_until(until_ms);
    get(&mut world, "/api/v1/hot/trending");
    let stale = get(&mut world, "/api/v1/feed?user=ann");
    assert_eq!(
        (rung(&stale), stale.waited_ms),
        ("personal-stale", 0),
        "answered at once"
    );
    assert_eq!(
        rung(&get(&mut world, "/api/v1/feed?user=ann")),
        "personal",
        "and refreshed"
    );
    let candidates = world
        .fetched
        .iter()
        .filter(|path| path.contains("candidates"))
        .count();
    assert_eq!(candidates, 2);
    assert!(
        world.kv_puts.values().all(|&puts| puts <= 2),
        "{:?}",
        world.kv_puts
    );
}

#[test]
fn a_hung_origin_costs_a_few_budgets_and_then_nothing() {
    let mut world = World::new(2);
    get(&mut world, "/api/v1/feed?user=ann");
    get(&mut world, "/api/v1/similar/x");
    get(&mut world, "/api/v1/items?ids=x,y");
    get(&mut world, "/api/v1/hot/trending?tag=music");
    world.origin.mood = Mood::Hangs;
    for minute in 0..30 {
        let until_ms = world.now_ms + 60_000;
        world.run_until(until_ms);
        for target in [
            "/api/v1/feed?user=ann",
            "/api/v1/similar/x",
            "/api/v1/items?ids=x,y",
            "/api/v1/hot/trending?tag=music",
            "/api/v1/feed",
            "/api/v1/feed?user=never-seen",
        ] {
            let page = get(&mut world, target);
            assert_eq!(page.answer.status, 200, "{target}, minute {minute}");
            let budget_ms = if target.ends_with("never-seen") {
                250
            } else {
                80
            };
            assert!(
                page.waited_ms <= budget_ms + 35,
                "{target}: {} ms",
                page.waited_ms
            );
            if minute > 2 {
                assert!(page.waited_ms <= 35, "{target}: {} ms", page.waited_ms);
            }
            let expected = match target {
                "/api/v1/feed?user=ann" => "personal-stale",
                "/api/v1/feed" | "/api/v1/feed?user=never-seen" => "segment",
                "/api/v1/hot/trending?tag=music" if minute < 5 => continue,
                "/api/v1/hot/trending?tag=music" => "hot-stale",
                _ => "",
            };
            assert_eq!(rung(&page), expected, "{target}, minute {minute}");
        }
    }
    let refused = get(&mut world, "/api/v1/similar/never-seen");
    assert_eq!(refused.answer.status, 503);
    assert_eq!(refused.answer.get("retry-after"), Some("1"));
    world.origin.mood = Mood::Well;
    for _ in 0..4 {
        let until_ms = world.now_ms + 11_000;
        world.run_until(until_ms);
        get(&mut world, "/api/v1/feed?user=ann");
    }
    assert_eq!(
        rung(&get(&mut world, "/api/v1/feed?user=ann")),
        "personal",
        "it recovers"
    );
}

#[test]
fn what_the_stores_hold_outlives_isolate_and_origin() {
    let mut world = World::new(3);
    world.origin.delete("ann.0");
    get(&mut world, "/api/v1/feed?user=ann");
    world.restart();
    world.origin.mood = Mood::Fails;
    world.now_ms += 3_600_000;
    let page = get(&mut world, "/api/v1/feed?user=ann");
    assert_eq!((page.answer.status, rung(&page)), (200, "personal-stale"));
    world.cache.clear();
    world.restart();
    assert_eq!(rung(&get(&mut world, "/api/v1/feed?user=bob")), "segment");
    world.kv.retain(|key, _| !key.starts_with("pools"));
    world.cache.clear();
    world.restart();
    assert_eq!(rung(&get(&mut world, "/api/v1/feed?user=bob")), "hot-stale");
    world.kv.clear();
    world.cache.clear();
    world.restart();
    assert_eq!(get(&mut world, "/api/v1/feed?user=bob").answer.status, 503);
}

#[test]
fn a_deletion_reaches_the_next_page_without_touching_a_bundle() {
    let mut world = World::new(4);
    assert!(ids(&get(&mut world, "/api/v1/feed?user=ann&limit=100")).contains(&"ann.0".into()));
    let before = world.fetched.len();
    world.origin.delete("ann.0");
    world.now_ms += 1_500;
    get(&mut world, "/api/v1/feed?user=bob");
    assert!(!ids(&get(&mut world, "/api/v1/feed?user=ann&limit=100")).contains(&"ann.0".into()));
    assert!(
        fetched_since(&world, before)
            .iter()
            .all(|path| !path.contains("candidates/ann"))
    );
    let items = get(&mut world, "/api/v1/items?ids=ann.0,ann.3,lost");
    assert_eq!(ids(&items), ["ann.3"]);
}

#[test]
fn pages_do_not_repeat_and_end() {
    let mut world = World::new(5);
    let mut seen = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let page = get(
            &mut world,
            &format!("/api/v1/feed?user=ann&limit=5&cursor={cursor}"),
        );
        for id in ids(&page) {
            assert!(seen.insert(id.clone()), "{id} repeats");
        }
        match json(&page)["next_cursor"].as_str() {
            Some(next) => cursor = next.to_string(),
            None => break,
        }
    }
    assert_eq!(seen.len(), 16);
    let bad = get(&mut world, "/api/v1/feed?user=bob&cursor=abc");
    assert_eq!(
        (bad.answer.status, json(&bad)["field"].as_str()),
        (400, Some("cursor"))
    );
    let target = format!("/api/v1/feed?user=bob&cursor={cursor}");
    assert_eq!(
        get(&mut world, &target).answer.status,
        400,
        "another's cursor"
    );
    let page = get(&mut world, "/api/v1/feed?user=ann&session=abc");
    assert_eq!(json(&page)["session_status"], "invalid");
}

#[test]
fn a_hide_changes_the_next_page_at_once() {
    let mut world = World::new(6);
    let page = get(&mut world, "/api/v1/feed?user=ann&limit=100");
    let gone = ids(&page)[0].clone();
    let body = format!(
        r#"{{"events":[{{"id":"e1","type":"hide","user":"ann","item":"{gone}"}}],"session":{}}}"#,
        json(&page)["session"]
    );
    let before = world.fetched.len();
    let posted = world.ask(&Ask::post("/api/v1/events", body));
    assert_eq!(posted.answer.status, 202);
    let answer = json(&posted);
    assert_eq!(
        (&answer["accepted"], &answer["duplicate"]),
        (&1.into(), &0.into())
    );
    let session = answer["session"].as_str().expect("a session");
    let next = get(
        &mut world,
        &format!("/api/v1/feed?user=ann&limit=100&session={session}"),
    );
    assert_eq!(json(&next)["session_status"], "ok");
    assert!(!ids(&next).contains(&gone));
    assert_eq!(
        fetched_since(&world, before),
        Vec::<&str>::new(),
        "no origin in it"
    );
}

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
fn a_crowd_of_cold_requests_is_one_to_the_origin() {
    let mut world = World::new(13);
    for _ in 0..200 {
        world.start(&Ask::get("/api/v1/hot/trending"));
    }
    world.run_until(START_MS + 5_000);
    assert_eq!(world.answers.len(), 200);
    assert!(
        world
            .answers
            .iter()
            .all(|answered| answered.answer.status == 200)
    );
    let lists = world
        .fetched
        .iter()
        .filter(|path| path.ends_with("window=24h"))
        .count();
    let overlays = world
        .fetched
        .iter()
        .filter(|path| path.ends_with("overlay"))
        .count();
    assert_eq!((lists, overlays), (1, 1));
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
        200,
        "another client"
    );
    assert_eq!(
        get(&mut world, "/livez").answer.status,
        200,
        "probes are not counted"
    );
}

#[test]
fn a_purge_empties_what_was_stored_before() {
    let mut world = World::new(15);
    get(&mut world, "/api/v1/feed?user=ann");
    get(&mut world, "/api/v1/feed?user=bob");
    world.now_ms += 2_000;
    let purge = Purge {
        tag: id_hash("user:ann"),
        before_ms: world.now_ms,
    };
    world.origin.overlay.purges.push(purge);
    get(&mut world, "/api/v1/hot/trending");
    let before = world.fetched.len();
    assert_eq!(rung(&get(&mut world, "/api/v1/feed?user=ann")), "personal");
    assert_eq!(rung(&get(&mut world, "/api/v1/feed?user=bob")), "personal");
    assert_eq!(
        fetched_since(&world, before),
        ["/internal/v1/candidates/ann"]
    );
}

#[test]
fn explore_slots_reach_the_queue() {
    let mut world = World::new(16);
    get(&mut world, "/api/v1/feed?user=ann&limit=30");
    world.now_ms += 2_500;
    get(&mut world, "/api/v1/feed?user=ann&limit=1");
    let message = world
        .queue
        .iter()
        .find(|message| message.contains("served"));
    let message: Value = serde_json::from_str(message.expect("a message")).expect("JSON");
    let slot = &message["served"][0];
    assert!(
        slot["propensity"]
            .as_f64()
            .is_some_and(|p| p > 0.0 && p <= 1.0),
        "{slot}"
    );
    assert_eq!(slot["request_id"].as_str().map(str::len), Some(32));
}

#[test]
fn the_model_follows_its_pointer() {
    let mut world = World::new(17);
    get(&mut world, "/api/v1/feed?user=ann");
    let snapshot = |schema_hash| ModelSnapshot {
        version: "m2".into(),
        schema_hash,
        configs: alloc::vec![RankingConfig::default()],
    };
    world.origin.overlay.model.stable = "m2".into();
    let wrong = edgewise_ranking::feature::schema_hash() ^ 1;
    world.origin.model = Some(snapshot(wrong).encode());
    let model = |world: &mut World| {
        world.now_ms += 1_500;
        get(world, "/api/v1/feed?user=ann");
        world.now_ms += 1_500;
        let page = get(world, "/api/v1/feed?user=ann");
        json(&page)["model"].as_str().expect("a model").to_string()
    };
    assert_ne!(model(&mut world), "m2", "another schema is refused");
    assert!(world.edge.state().stats.models_refused > 0);
    world.origin.model = Some(snapshot(wrong ^ 1).encode());
    model(&mut world);
    assert_eq!(model(&mut world), "m2");
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

#[test]
fn a_segment_is_asked_for_or_rich_enough() {
    let mut world = World::new(20);
    let owner = |page: &Answered| ids(page)[0].split('.').next().map(String::from);
    world.country = "CH";
    let page = get(&mut world, "/api/v1/feed");
    assert_eq!(
        (rung(&page), owner(&page).as_deref()),
        ("segment", Some("pool")),
        "too thin"
    );
    let before = world.fetched.len();
    get(&mut world, "/api/v1/feed");
    assert_eq!(fetched_since(&world, before), Vec::<&str>::new());
    world.country = "not a country";
    assert_eq!(
        owner(&get(&mut world, "/api/v1/feed")).as_deref(),
        Some("pool")
    );
}

#[test]
fn a_purge_by_an_origin_whose_clock_is_ahead_does_not_starve() {
    let mut world = World::new(21);
    get(&mut world, "/api/v1/feed?user=ann");
    world.now_ms += 2_000;
    let purge = Purge {
        tag: 0,
        before_ms: world.now_ms + 5_000,
    };
    world.origin.overlay.purges.push(purge);
    get(&mut world, "/api/v1/hot/trending");
    let page = get(&mut world, "/api/v1/feed?user=ann");
    assert_eq!((page.answer.status, rung(&page)), (200, "personal"));
    let before = world.fetched.len();
    assert_eq!(rung(&get(&mut world, "/api/v1/feed?user=ann")), "personal");
    assert_eq!(fetched_since(&world, before), Vec::<&str>::new());
}
