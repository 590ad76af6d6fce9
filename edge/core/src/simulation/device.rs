//! A device ranks what an edge packed for it, and gets the edge's bytes.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use edgewise_ranking::config::{BlendHead, Normalise};
use edgewise_ranking::trees::{Child, Ensemble, Forest, Link, Node, Test, Tree};
use edgewise_ranking::{Feature, Head, RankingConfig, feature, id_hash};
use edgewise_wire::bundle::Bundle;
use edgewise_wire::counters::Counters;
use edgewise_wire::model::ModelSnapshot;
use edgewise_wire::overlay::{DomainClock, OverlayItem};
use edgewise_wire::pack::{Pack, PackedCandidates};
use serde_json::{Value, json};

use super::origin::Mood;
use super::random::Random;
use super::reading::{get, json as body_of, rung};
use super::world::{Answered, Ask, START_MS, World, keys};
use crate::device;

/// Asks for what memory answers at once, so that nothing happens in between.
fn now(world: &mut World, target: &str) -> Answered {
    let request = world.start(&Ask::get(target));
    let answered = world
        .answers
        .iter()
        .find(|answered| answered.request == request);
    answered
        .cloned()
        .unwrap_or_else(|| panic!("{target} waits"))
}

/// A world with rich candidates, an overlay that says something and, for some seeds, trees.
fn rich(seed: u64) -> World {
    let mut world = World::new(seed);
    let mut random = Random::new(seed ^ 0x5eed);
    world.country = ["", "CH", "BE"][seed as usize % 3];
    world.utc_offset_minutes = [0, 720, -570][seed as usize % 3];
    world.origin.rich_rows = 40 + random.next() % 200;
    world.origin.clock = DomainClock {
        base_domain_ms: START_MS - 86_400_000,
        base_wall_ms: START_MS,
        speed: if seed.is_multiple_of(2) { 1.0 } else { 60.0 },
    };
    for index in 0..30 {
        let known = index % 2 == 0;
        world.origin.overlay.items.push(OverlayItem {
            id: if known {
                format!("ann.{}", index / 2 * 3)
            } else {
                format!("fresh.{index}")
            },
            author: format!("author-{}", index % 12),
            created_at_ms: START_MS - 86_400_000 - random.between(0, 3_600_000),
            duration_ms: 9_000,
            kind: edgewise_ranking::Kind::ALL[index % 2],
            region: None,
            language: Some("en".into()),
            tags: alloc::vec!["cats".into()],
            is_new: !known,
            counters: Counters {
                impressions: 90,
                likes: random.between(0, 60) as u32,
                shares: random.between(0, 9) as u32,
                ..Counters::default()
            },
            hot: Default::default(),
            last_event_ms: 0,
        });
    }
    world.origin.delete("ann.3");
    if !seed.is_multiple_of(3) {
        world.origin.overlay.model.stable = "trees-1".into();
        world.origin.model = Some(trees().encode());
    }
    world
}

/// A blend of trees, vectors and formula.
fn trees() -> ModelSnapshot {
    let leaf = |feature: u16, threshold: f32, leaves: [f64; 2]| Tree {
        nodes: alloc::vec![Node {
            feature,
            test: Test::AtMost {
                threshold,
                nan_left: feature.is_multiple_of(2),
                zero_left: None,
            },
            left: Child::Leaf(0),
            right: Child::Leaf(1),
        }],
        leaves: leaves.into(),
    };
    let features = [
        "age_hours",
        "likes",
        "kind",
        "session_tags",
        "region_match",
        "hour",
    ];
    let ensemble = Ensemble {
        features: features
            .map(|name| feature::index_of(name).expect("a feature"))
            .into(),
        trees: alloc::vec![
            leaf(0, 12.0, [0.3, -0.2]),
            leaf(1, 5.0, [-0.4, 0.25]),
            leaf(2, 1.0, [0.7, 0.1]),
            leaf(3, 0.4, [0.0, 1.0]),
            leaf(4, 0.5, [0.05, 0.6]),
            leaf(5, 23.0, [0.11, 0.0]),
            leaf(5, 11.0, [0.0, 0.17]),
        ],
        link: Link::Logistic { scale: 1.0 },
        ..Ensemble::default()
    };
    let head = |name: &str, weight, normalise| BlendHead {
        name: name.into(),
        weights: [weight; 4],
        normalise,
    };
    let config = RankingConfig {
        blend: alloc::vec![
            head("click", 1.5, Normalise::Prediction),
            head("formula", 0.4, Normalise::MinMax),
        ],
        ..RankingConfig::default()
    };
    ModelSnapshot {
        version: "trees-1".into(),
        schema_hash: feature::schema_hash(),
        configs: alloc::vec![config],
        heads: alloc::vec![Head {
            name: "click".into(),
            forest: Forest::new(ensemble).expect("valid trees"),
        }],
    }
}

/// Has edge, overlay and model at hand.
fn warm(world: &mut World, user: &str) {
    for _ in 0..3 {
        get(world, &format!("/api/v1/feed?user={user}"));
        let until_ms = world.now_ms + 1_100;
        world.run_until(until_ms);
    }
}

fn input(json: &Value, pack: &[u8]) -> Vec<u8> {
    let json = json.to_string();
    let mut input = (json.len() as u32).to_le_bytes().to_vec();
    input.extend_from_slice(json.as_bytes());
    input.extend_from_slice(pack);
    input
}

/// What a device makes of `pack` at the moment and with the request id of `page`.
fn on_device(world: &World, pack: &Answered, page: &Answered, query: &str) -> String {
    let id = body_of(page)["request_id"].clone();
    let json = json!({"query": query, "wall_ms": world.now_ms, "request_id": id});
    let body = device::page(&input(&json, &pack.answer.body)).expect("a page");
    String::from_utf8(body).expect("UTF-8")
}

fn text(page: &Answered) -> String {
    String::from_utf8(page.answer.body.clone()).expect("UTF-8")
}

/// The body without its tokens, which are signed by others.
fn masked(body: &str) -> String {
    let value: Value = serde_json::from_str(body).expect("JSON");
    let mut masked = body.to_string();
    for name in ["next_cursor", "session"] {
        if let Some(token) = value[name].as_str() {
            masked = masked.replacen(token, "", 1);
        }
    }
    masked
}

/// From the first item to the last.
fn items(body: &str) -> &str {
    let end = body
        .find(r#"],"next_cursor""#)
        .expect("the end of the items");
    &body[..end]
}

fn cursor_of(body: &str) -> Option<String> {
    let value: Value = serde_json::from_str(body).expect("JSON");
    value["next_cursor"].as_str().map(String::from)
}

#[test]
fn a_device_gives_the_edges_bytes() {
    let (mut pages, mut seconds, mut with_trees) = (0, 0, 0);
    for seed in 0..12 {
        let mut world = rich(seed);
        warm(&mut world, "ann");
        for query in [
            "user=ann&limit=7",
            "user=ann&limit=30&explain=1",
            "user=ann&limit=100&selection=none&explain=1",
            "user=ann&limit=5&tag=cats&language=en&profile=video&explain=1",
            "user=ann&limit=9&exclude=ann.0,ann.6&tz=%2B05:30",
        ] {
            let page = now(&mut world, &format!("/api/v1/feed?{query}"));
            let pack = now(&mut world, "/api/v1/feed/offline?user=ann");
            assert_eq!(pack.answer.status, 200);
            let local = on_device(&world, &pack, &page, query);
            assert_eq!(masked(&local), masked(&text(&page)), "seed {seed}, {query}");
            pages += 1;
            with_trees += usize::from(local.contains(r#""model":"trees-1""#));
            // The second page, by the edge's cursor there and the device's here.
            let (Some(theirs), Some(ours)) = (cursor_of(&text(&page)), cursor_of(&local)) else {
                continue;
            };
            let next = now(&mut world, &format!("/api/v1/feed?{query}&cursor={theirs}"));
            let local = on_device(&world, &pack, &next, &format!("{query}&cursor={ours}"));
            assert_eq!(masked(&local), masked(&text(&next)), "seed {seed}, {query}");
            // A pack that was asked for in the middle of a feed goes on from there.
            let middle = format!("/api/v1/feed/offline?user=ann&cursor={theirs}");
            let middle = now(&mut world, &middle);
            let local = on_device(&world, &middle, &next, query);
            assert_eq!(masked(&local), masked(&text(&next)), "seed {seed}, {query}");
            seconds += 1;
        }
    }
    assert_eq!(pages, 60);
    assert!(seconds > 30, "second pages: {seconds}");
    assert!(with_trees >= 30, "pages of trees: {with_trees}");
}

#[test]
fn a_session_travels_and_a_device_adds_to_it() {
    let mut world = rich(4);
    warm(&mut world, "ann");
    let events = r#"[{"id":"e1","type":"like","user":"ann","item":"ann.0"},
        {"id":"e2","type":"hide","user":"ann","item":"ann.6"},
        {"id":"e3","type":"hide","user":"ann","author":"author-4"}]"#;
    let posted = world.ask(&Ask::post("/api/v1/events", events));
    assert_eq!(posted.answer.status, 202);
    let session = body_of(&posted)["session"]
        .as_str()
        .expect("a token")
        .to_string();
    warm(&mut world, "ann");
    let query = "user=ann&limit=100&explain=1";
    let page = now(
        &mut world,
        &format!("/api/v1/feed?{query}&session={session}"),
    );
    let plain = now(&mut world, &format!("/api/v1/feed?{query}"));
    assert!(!text(&page).contains(r#""author":"author-4""#), "hidden");
    assert!(text(&plain).contains(r#""author":"author-4""#));
    let carries = format!("/api/v1/feed/offline?user=ann&session={session}");
    let carries = now(&mut world, &carries);
    let local = on_device(&world, &carries, &page, query);
    assert_eq!(
        masked(&local),
        masked(&text(&page)),
        "the pack carries the session"
    );

    let pack = now(&mut world, "/api/v1/feed/offline?user=ann");
    let events: Value = serde_json::from_str(events).expect("JSON");
    let ask = |query: &str, events: &Value| {
        let id = body_of(&page)["request_id"].clone();
        let wall_ms = world.now_ms;
        let json = json!({"query": query, "wall_ms": wall_ms, "request_id": id, "events": events});
        let body = device::page(&input(&json, &pack.answer.body)).expect("a page");
        String::from_utf8(body).expect("UTF-8")
    };
    let local = ask(query, &events);
    assert_eq!(
        items(&local),
        items(&text(&page)),
        "as if the edge had been told"
    );
    let value: Value = serde_json::from_str(&local).expect("JSON");
    let session = value["session"].as_str().expect("a token");
    let later = ask(&format!("{query}&session={session}"), &json!([]));
    assert_eq!(
        items(&later),
        items(&local),
        "the device's session carries them on"
    );
    let not_ours = ask(&format!("{query}&session=x"), &Value::Null);
    assert_eq!(
        items(&not_ours),
        items(&on_device(&world, &pack, &page, query))
    );
    assert!(not_ours.contains(r#""session_status":"invalid""#));
    let nonsense = ask(query, &json!([{"type": "nod"}, 5]));
    assert_eq!(
        items(&nonsense),
        items(&not_ours),
        "rejected events are left out"
    );
}

#[test]
fn segments_hot_lists_and_ages_are_told_as_at_the_edge() {
    let mut world = rich(6);
    warm(&mut world, "ann");
    let page = now(&mut world, "/api/v1/feed?limit=8&explain=1");
    let pack = now(&mut world, "/api/v1/feed/offline");
    assert_eq!((rung(&page), rung(&pack)), ("segment", "segment"));
    assert_eq!(pack.answer.get("cache-control"), Some("private, no-store"));
    assert_eq!(
        pack.answer.get("content-type"),
        Some("application/octet-stream")
    );
    let local = on_device(&world, &pack, &page, "limit=8&explain=1");
    assert_eq!(masked(&local), masked(&text(&page)));
    // The origin is away: the same pack ages as the edge's memory does.
    let pack = now(&mut world, "/api/v1/feed/offline?user=ann");
    world.origin.mood = Mood::Fails;
    let until_ms = world.now_ms + 90_000;
    world.run_until(until_ms);
    let page = get(&mut world, "/api/v1/feed?user=ann");
    assert_eq!(rung(&page), "personal-stale");
    let local: Value = serde_json::from_str(&on_device(&world, &pack, &page, "")).expect("JSON");
    assert_eq!(local["rung"], "personal-stale");

    // An edge that has nothing but hot lists.
    let mut world = World::new(9);
    get(&mut world, "/api/v1/hot/trending");
    world.origin.mood = Mood::Fails;
    world.kv.retain(|key, _| key.contains("hot"));
    world.cache.retain(|key, _| key.contains("hot"));
    world.restart();
    let page = get(&mut world, "/api/v1/feed?user=eve&explain=1");
    assert_eq!(rung(&page), "hot");
    let pack = get(&mut world, "/api/v1/feed/offline?user=eve");
    let opened = Pack::decode(&pack.answer.body).expect("a pack");
    assert!(matches!(opened.candidates, PackedCandidates::HotList(_)));
    let page = get(&mut world, "/api/v1/feed?user=eve&explain=1");
    let wall_ms = page.waited_ms + world.started[page.request];
    let id = body_of(&page)["request_id"].clone();
    let json = json!({"query": "explain=1", "wall_ms": wall_ms, "request_id": id});
    let local = device::page(&input(&json, &pack.answer.body)).expect("a page");
    let local = String::from_utf8(local).expect("UTF-8");
    assert_eq!(masked(&local), masked(&text(&page)));
}

#[test]
fn the_route_refuses_what_the_feed_refuses() {
    let mut world = World::with(3, r#""plain_user":false"#);
    let status = |world: &mut World, target: &str| get(world, target).answer.status;
    for (query, expected) in [
        ("limit=0", 400),
        ("cursor=x", 400),
        ("user=ann", 401),
        ("", 200),
    ] {
        for route in ["feed", "feed/offline"] {
            let target = format!("/api/v1/{route}?{query}");
            assert_eq!(status(&mut world, &target), expected, "{target}");
        }
    }
    let token = edgewise_wire::jwt::sign("ann", START_MS / 1_000 + 600, &keys());
    let ask = Ask::get("/api/v1/feed/offline").header(&format!("authorization: Bearer {token}"));
    let pack = world.ask(&ask);
    let opened = Pack::decode(&pack.answer.body).expect("a pack");
    assert_eq!(opened.user.as_deref(), Some("ann"));
    let mut world = World::new(3);
    world.origin.mood = Mood::Fails;
    assert_eq!(status(&mut world, "/api/v1/feed/offline?user=ann"), 503);
    let posted = world.ask(&Ask::post("/api/v1/feed/offline", ""));
    assert_eq!(posted.answer.status, 405);
}

#[test]
fn what_is_no_input_is_a_sentence() {
    let mut world = rich(5);
    world.origin.rich_rows = 3;
    warm(&mut world, "ann");
    let pack = now(&mut world, "/api/v1/feed/offline?user=ann").answer.body;
    let id = "0123456789abcdef0123456789abcdef";
    let good = json!({"query": "", "wall_ms": world.now_ms, "request_id": id});
    let said = |json: &Value, pack: &[u8]| {
        let error = device::page(&input(json, pack))
            .expect_err("refused")
            .to_string();
        assert!(!error.is_empty() && !error.starts_with('{'), "{error}");
        error
    };
    assert!(device::page(&input(&good, &pack)).is_ok());
    for at in 0..pack.len() {
        said(&good, &pack[..at]);
        let mut flipped = pack.clone();
        flipped[at] ^= 1 << (at % 8);
        said(&good, &flipped);
    }
    for cut in [
        &b""[..],
        b"\x01\x00",
        b"\xff\xff\xff\xff{}",
        b"\x01\x00\x00\x00",
    ] {
        assert!(device::page(cut).is_err());
    }
    let with = |name: &str, value: Value| {
        let mut json = good.clone();
        json[name] = value;
        said(&json, &pack)
    };
    assert_eq!(
        with("wall_ms", "now".into()),
        "wall_ms must be a whole number, Unix ms"
    );
    assert_eq!(
        with("request_id", "x".into()),
        "request_id must be 32 hexadecimal digits"
    );
    assert_eq!(with("query", "user=bob".into()), "user must be the pack's");
    assert_eq!(with("query", 5.into()), "query must be a text");
    assert_eq!(with("events", 5.into()), "events must be an array");
    assert!(with("query", "limit=101".into()).contains("limit"));
    assert!(with("query", "cursor=x".into()).starts_with("cursor"));
    assert!(said(&json!([]), &pack).starts_with("wall_ms"));
    // Parts are named.
    let opened = Pack::decode(&pack).expect("a pack");
    let bad = Pack {
        candidates: PackedCandidates::Bundle(b"EWB"),
        ..opened.clone()
    };
    assert!(said(&good, &bad.encode()).starts_with("the pack's bundle: "));
    let bad = Pack {
        overlay: Some(b"x"),
        ..opened.clone()
    };
    assert!(said(&good, &bad.encode()).starts_with("the pack's overlay: "));
    let bad = Pack {
        snapshot: Some(b"x"),
        ..opened
    };
    assert!(said(&good, &bad.encode()).starts_with("the pack's model: "));
}

#[test]
fn a_pack_holds_the_origins_bytes() {
    let mut world = rich(2);
    warm(&mut world, "ann");
    let pack = now(&mut world, "/api/v1/feed/offline?user=ann");
    let opened = Pack::decode(&pack.answer.body).expect("a pack");
    assert_eq!(opened.packed_at_ms, world.now_ms);
    assert_eq!(opened.region.as_deref(), Some("BE"));
    assert_eq!(opened.snapshot, Some(trees().encode().as_slice()));
    let PackedCandidates::Bundle(bytes) = opened.candidates else {
        panic!("a hot list");
    };
    let bundle = Bundle::decode(bytes).expect("a bundle");
    assert_eq!(bundle.user.as_deref(), Some("ann"));
    assert!(bundle.candidates.id_hashes.contains(&id_hash("ann.0")));
    let likes = (0..bundle.candidates.len())
        .filter_map(|row| bundle.candidates.feature(row, Feature::Likes));
    assert!(likes.count() > 10);
}
