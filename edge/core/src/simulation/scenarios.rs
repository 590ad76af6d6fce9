//! What a reader of feeds and lists would notice, one at a time.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use edgewise_ranking::RankingConfig;
use edgewise_wire::model::ModelSnapshot;
use edgewise_wire::overlay::Purge;
use serde_json::Value;

use super::origin::Mood;
use super::reading::{fetched_since, get, ids, json, rung};
use super::world::{Answered, Ask, START_MS, World};

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
                "/api/v1/discover/suggested-users?user=ann" => "personal",
                _ => "hot",
            };
            // Minutes into the outage, what has a shorter life says that it is stale.
            let stale = format!("{expected}-stale");
            let rung = rung(&page);
            assert!(
                rung == expected || rung == stale,
                "{target}, minute {minute}: {rung}"
            );
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
        heads: Vec::new(),
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
