//! Thousands of seeds of everything going wrong at once, and what must hold nevertheless.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use edgewise_ranking::id_hash;
use serde_json::Value;

use super::origin::Mood;
use super::random::Random;
use super::world::{Ask, Faults, World};
use crate::store::Look;

const SEEDS: u64 = 2_000;
const REQUESTS: usize = 30;
/// The origin's longest budget, two looks through the tiers, a poll.
const LONGEST_MS: i64 = 2_000 + 2 * 35 + 20;
/// The budget where memory has a lower rung to serve.
const FALLBACK_MS: i64 = 250 + 2 * 35 + 20;

/// What a run remembers to judge answers by.
#[derive(Default)]
struct Witness {
    asks: Vec<Ask>,
    /// Requests that came when memory had pool or hot list.
    had_fallback: BTreeSet<usize>,
    /// Routes that this isolate has answered from something shared, and when that was made.
    seen: BTreeMap<&'static str, i64>,
    /// Tombstones this isolate has loaded.
    dead: BTreeSet<u64>,
    accepted: BTreeSet<String>,
    sent: BTreeSet<String>,
}

impl Witness {
    fn note_sent(&mut self, ask: &Ask) {
        self.sent.extend(event_ids(&ask.body));
    }
}

/// Ids of the events in a body or message.
fn event_ids(body: &[u8]) -> Vec<String> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let events = body["events"].as_array().into_iter().flatten();
    events
        .filter_map(|event| event["id"].as_str())
        .map(String::from)
        .collect()
}

#[test]
fn nothing_that_fails_outside_breaks_an_answer() {
    let mut met = BTreeMap::new();
    for seed in 1..=SEEDS {
        run(seed, &mut met);
    }
    // The weather was bad enough to say something, and not only bad.
    for outcome in [
        "personal",
        "personal-stale",
        "segment",
        "hot",
        "hot-stale",
        "202",
        "404",
        "503",
    ] {
        let times = met.get(outcome).copied().unwrap_or(0);
        assert!(times >= 100, "{outcome} was met {times} times: {met:?}");
    }
}

fn run(seed: u64, met: &mut BTreeMap<String, u32>) {
    let mut world = World::new(seed);
    let mut random = Random::new(seed ^ 0xABCD);
    world.faults = Faults {
        lookup_lost: pick(&mut random, &[0, 0, 20, 100]),
        put_lost: pick(&mut random, &[0, 0, 20, 100]),
        damaged: pick(&mut random, &[0, 0, 10]),
        mixed_up: pick(&mut random, &[0, 0, 30]),
        queue: pick(&mut random, &[0, 0, 30]),
        limiter: pick(&mut random, &[0, 50]),
        host: pick(&mut random, &[0, 0, 3]),
    };
    let mut witness = Witness::default();
    for index in 0..REQUESTS {
        disturb(&mut world, &mut random, &mut witness);
        let ask = ask(&mut random, index);
        let all = crate::resource::Resource::pool_all();
        let look = world.edge.state().look(&all, &all.key(), world.now_ms);
        if matches!(look, Look::Have { age_ms, .. } if age_ms < 86_000_000) {
            witness.had_fallback.insert(witness.asks.len());
        }
        witness.note_sent(&ask);
        witness.asks.push(ask.clone());
        let before = world.answers.len();
        world.start(&ask);
        judge_all(&mut world, &mut witness, before, seed);
        let pause_ms = pause(&mut random);
        advance(&mut world, &mut witness, pause_ms, seed);
    }
    advance(&mut world, &mut witness, 10_000, seed);
    for request in 0..witness.asks.len() {
        let answers = world
            .answers
            .iter()
            .filter(|answered| answered.request == request)
            .count();
        let lost = world.lost.contains(&request);
        assert!(
            answers == 1 || (lost && answers == 0),
            "seed {seed}: {answers} answers"
        );
    }
    for answered in &world.answers {
        let rung = answered.answer.get("edgewise-rung").map(String::from);
        *met.entry(rung.unwrap_or_else(|| format!("{}", answered.answer.status)))
            .or_default() += 1;
    }
    let queued = queued(&world);
    assert!(
        witness.accepted.is_subset(&queued),
        "seed {seed}: accepted but not queued"
    );
    assert!(
        queued.is_subset(&witness.sent),
        "seed {seed}: queued but never sent"
    );
}

fn pick(random: &mut Random, choices: &[u64]) -> u64 {
    choices[random.next() as usize % choices.len()]
}

/// Milliseconds to hours, so that every freshness is met.
fn pause(random: &mut Random) -> i64 {
    match random.next() % 20 {
        0..=9 => random.between(0, 60),
        10..=14 => random.between(500, 6_000),
        15..=17 => random.between(20_000, 130_000),
        18 => random.between(5, 30) * 60_000,
        _ => random.between(1, 26) * 3_600_000,
    }
}

/// Changes the weather now and then.
fn disturb(world: &mut World, random: &mut Random, witness: &mut Witness) {
    if random.percent(20) {
        world.origin.mood = match random.next() % 5 {
            0 => Mood::Slow,
            1 => Mood::Fails,
            2 => Mood::Hangs,
            _ => Mood::Well,
        };
    }
    if random.percent(15) {
        let owner = pick_owner(random);
        world
            .origin
            .delete(&format!("{owner}.{}", random.between(0, 3) * 3));
    }
    if random.percent(4) {
        world.restart();
        witness.seen.clear();
        witness.dead.clear();
    }
}

fn pick_owner(random: &mut Random) -> &'static str {
    ["ann", "bob", "cy", "pool"][random.next() as usize % 4]
}

fn ask(random: &mut Random, index: usize) -> Ask {
    let user = ["ann", "bob", "cy"][random.next() as usize % 3];
    match random.next() % 12 {
        0..=4 => Ask::get(format!(
            "/api/v1/feed?user={user}&limit={}",
            random.between(1, 30)
        )),
        5 => Ask::get("/api/v1/feed"),
        6 => Ask::get("/api/v1/hot/trending?window=24h"),
        7 => Ask::get(format!("/api/v1/hot/trending?tag={user}")),
        8 => {
            let item = if random.percent(30) { "lost" } else { user };
            Ask::get(format!("/api/v1/similar/{item}.0"))
        }
        9 => Ask::get(format!("/api/v1/items?ids={user}.0,{user}.3,lost")),
        10 => Ask::get(format!("/api/v1/discover/suggested-users?user={user}")),
        _ => {
            let event = |number: usize| {
                format!(r#"{{"id":"e{index}-{number}","type":"like","user":"{user}","item":"i"}}"#)
            };
            let body = format!(r#"{{"events":[{},{},{}]}}"#, event(0), event(1), event(0));
            Ask::post("/api/v1/events", body)
        }
    }
}

/// Runs the world in small steps, so that each answer is judged by what was known then.
fn advance(world: &mut World, witness: &mut Witness, pause_ms: i64, seed: u64) {
    let until_ms = world.now_ms + pause_ms;
    loop {
        let before = world.answers.len();
        let more = world.run_one(until_ms);
        judge_all(world, witness, before, seed);
        if !more {
            return;
        }
    }
}

fn judge_all(world: &mut World, witness: &mut Witness, from: usize, seed: u64) {
    if let Some(overlay) = &world.edge.state().overlay.current {
        witness.dead.extend(overlay.tombstones.iter().copied());
    }
    for index in from..world.answers.len() {
        judge(world, witness, index, seed);
    }
}

fn judge(world: &World, witness: &mut Witness, index: usize, seed: u64) {
    let answered = &world.answers[index];
    let ask = &witness.asks[answered.request];
    let (status, target) = (answered.answer.status, ask.target.as_str());
    let told = format!(
        "seed {seed}, request {}, {target}, {status}",
        answered.request
    );
    let fallback = witness.had_fallback.contains(&answered.request);
    let is_feed = target.starts_with("/api/v1/feed");
    let budget_ms = if is_feed && fallback {
        FALLBACK_MS
    } else {
        LONGEST_MS
    };
    assert!(
        answered.waited_ms <= budget_ms,
        "{told}: waited {} ms",
        answered.waited_ms
    );
    let kind = if is_feed {
        "feed"
    } else if target.contains("window=24h") {
        "hot"
    } else {
        "other"
    };
    if status >= 500 {
        let made_at_ms = witness.seen.get(kind).copied().unwrap_or(0);
        let is_known = world.now_ms - made_at_ms <= 86_400_000;
        assert!(!is_known, "{told}: an error after it was seen");
        return;
    }
    let body: Value = serde_json::from_slice(&answered.answer.body).expect("JSON");
    if ask.method == "POST" {
        assert_eq!(status, 202, "{told}");
        assert_eq!(body["duplicate"], 1, "{told}");
        witness.accepted.extend(event_ids(&ask.body));
        return;
    }
    if status == 404 {
        return;
    }
    assert_eq!(status, 200, "{told}");
    let items = body["items"].as_array().expect("items");
    let ids = || items.iter().filter_map(|item| item["id"].as_str());
    for id in ids() {
        assert!(
            !witness.dead.contains(&id_hash(id)),
            "{told}: {id} is deleted"
        );
    }
    let shared = ids().find(|id| id.starts_with("pool.") || id.starts_with("hot."));
    let made_at_ms = shared.and_then(|id| id.split('.').nth(2)?.parse().ok());
    if let Some(made_at_ms) = made_at_ms.filter(|_| kind != "other") {
        witness.seen.insert(kind, made_at_ms);
    }
    if let Some(item) = target.strip_prefix("/api/v1/similar/") {
        assert_eq!(body["item"], item, "{told}");
    }
    if let (true, Some(user)) = (target.contains("suggested"), target.split("user=").nth(1)) {
        assert_eq!(body["items"][0]["user"], format!("like-{user}"), "{told}");
    }
    if is_feed {
        judge_feed(
            world,
            target,
            &body,
            &ids().map(String::from).collect::<Vec<_>>(),
            &told,
        );
    }
}

/// Whose items they are and how old, against what the rung says.
fn judge_feed(world: &World, target: &str, body: &Value, ids: &[String], told: &str) {
    let rung = body["rung"].as_str().expect("a rung");
    let user = target
        .split("user=")
        .nth(1)
        .map(|rest| rest.split('&').next().unwrap_or(rest));
    let owner = match rung {
        "personal" | "personal-stale" => user.expect("personal needs a user"),
        "segment" => "pool",
        _ => "hot",
    };
    for id in ids {
        let mut parts = id.split('.');
        assert_eq!(parts.next(), Some(owner), "{told}: {id} on {rung}");
        let Some(made_at_ms) = parts.nth(1).and_then(|made| made.parse::<i64>().ok()) else {
            continue;
        };
        let age_ms = world.now_ms - made_at_ms;
        // The origin's answer may have taken its budget to arrive.
        let slack_ms = 2_200;
        match rung {
            "personal" => assert!(age_ms <= 60_000 + slack_ms, "{told}: {age_ms} ms old"),
            "personal-stale" => assert!(age_ms > 60_000, "{told}: {age_ms} ms old"),
            "hot" => assert!(age_ms <= 300_000 + slack_ms, "{told}: {age_ms} ms old"),
            "hot-stale" => assert!(age_ms > 300_000, "{told}: {age_ms} ms old"),
            _ => {}
        }
        assert!(age_ms <= 86_400_000 + slack_ms, "{told}: {age_ms} ms old");
    }
}

/// Event ids on the queue.
fn queued(world: &World) -> BTreeSet<String> {
    world
        .queue
        .iter()
        .flat_map(|message| event_ids(message.as_bytes()))
        .collect()
}
