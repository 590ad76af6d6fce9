//! Herds: many requests for one key at once, cold, on expiry and on a negative entry.

use alloc::vec::Vec;

use super::origin::Mood;
use super::reading::{fetched_since, get};
use super::world::{Ask, World};
use crate::limits::ORIGIN_REQUESTS_MAX;

/// Requests at once.
const HERD: usize = 200;
/// What the origin takes, ms.
const ORIGIN_MS: i64 = 300;
/// Nobody waits longer, ms.
const WAIT_MAX_MS: i64 = ORIGIN_MS * 5 / 4;

/// Starts a herd of requests for `target`, in which the `leavers` leave after 100 ms.
/// Returns how long those who stayed waited, and their status.
#[track_caller]
fn herd(world: &mut World, target: &str, leavers: &[usize]) -> Vec<(i64, u16)> {
    world.origin.mood = Mood::Takes(ORIGIN_MS);
    let started_ms = world.now_ms;
    let requests: Vec<usize> = (0..HERD).map(|_| world.start(&Ask::get(target))).collect();
    world.run_until(started_ms + 100);
    for &leaver in leavers {
        world.leave(requests[leaver]);
    }
    world.run_until(i64::MAX);
    let stayed = |request: &usize| !leavers.iter().any(|&leaver| requests[leaver] == *request);
    let stayed = requests.iter().filter(|request| stayed(request));
    let answers = stayed.map(|request| {
        let mut answers = world.answers.iter();
        let found = answers.find(|answered| answered.request == *request);
        let found = found.expect("everybody is answered");
        (found.waited_ms, found.answer.status)
    });
    answers.collect()
}

/// How often the origin was asked for the path since `from`.
fn asked(world: &World, from: usize, path: &str) -> usize {
    let fetched = fetched_since(world, from);
    fetched.iter().filter(|fetched| **fetched == path).count()
}

fn world(coalesces: bool) -> World {
    let config = if coalesces {
        r#""plain_user":true,"coalesces":true"#
    } else {
        r#""plain_user":true"#
    };
    let mut world = World::with(41, config);
    // The overlay and what it brings.
    get(&mut world, "/api/v1/items?ids=other");
    world
}

const LIST: &str = "/api/v1/hot/trending?tag=music";
const LIST_PATH: &str = "/internal/v1/lists/hot?window=24h&tag=music";

#[test]
fn a_cold_herd_is_one_origin_request() {
    for coalesces in [false, true] {
        let mut world = world(coalesces);
        let from = world.fetched.len();
        let answers = herd(&mut world, LIST, &[]);
        assert_eq!(asked(&world, from, LIST_PATH), 1);
        assert_eq!(answers.len(), HERD);
        for (waited_ms, status) in answers {
            assert_eq!(status, 200);
            assert!(waited_ms <= WAIT_MAX_MS, "{waited_ms} ms");
        }
    }
}

#[test]
fn a_herd_goes_on_without_who_asked_first() {
    let mut world = world(true);
    let from = world.fetched.len();
    // Whoever holds the lease by turns is among the first.
    let answers = herd(&mut world, LIST, &[0, 1, 2]);
    assert_eq!(asked(&world, from, LIST_PATH), 1);
    for (waited_ms, status) in answers {
        assert_eq!(status, 200);
        assert!(waited_ms <= 100 + WAIT_MAX_MS, "{waited_ms} ms");
    }
}

#[test]
fn an_expired_value_answers_the_herd_at_once() {
    for coalesces in [false, true] {
        let mut world = world(coalesces);
        get(&mut world, LIST);
        let until_ms = world.now_ms + 90_000;
        world.run_until(until_ms);
        get(&mut world, "/api/v1/items?ids=other");
        let from = world.fetched.len();
        let answers = herd(&mut world, LIST, &[]);
        assert_eq!(asked(&world, from, LIST_PATH), 1);
        assert!(
            answers.iter().all(|answer| *answer == (0, 200)),
            "{answers:?}"
        );
    }
}

#[test]
fn a_negative_entry_is_asked_for_once_when_it_expires() {
    for coalesces in [false, true] {
        let mut world = world(coalesces);
        get(&mut world, "/api/v1/similar/lost");
        let until_ms = world.now_ms + 11_000;
        world.run_until(until_ms);
        get(&mut world, "/api/v1/items?ids=other");
        let from = world.fetched.len();
        let answers = herd(&mut world, "/api/v1/similar/lost", &[]);
        assert_eq!(asked(&world, from, "/internal/v1/similar/lost"), 1);
        for (waited_ms, status) in answers {
            assert_eq!(status, 404);
            assert!(waited_ms <= WAIT_MAX_MS, "{waited_ms} ms");
        }
    }
}

#[test]
fn a_slow_origin_is_not_asked_by_ever_more() {
    let mut world = world(true);
    world.origin.mood = Mood::Takes(1_500);
    let from = world.fetched.len();
    let asks = (0..HERD).map(|n| Ask::get(alloc::format!("/api/v1/similar/near{n}")));
    let requests: Vec<usize> = asks.map(|ask| world.start(&ask)).collect();
    world.run_until(i64::MAX);
    let similar = |path: &&&str| path.contains("/similar/");
    let asked = fetched_since(&world, from).iter().filter(similar).count();
    assert_eq!(asked, ORIGIN_REQUESTS_MAX);
    let answered = |request: &usize| {
        let mut answers = world.answers.iter();
        answers
            .find(|answered| answered.request == *request)
            .expect("an answer")
    };
    let (ok, shed): (Vec<_>, Vec<_>) = requests
        .iter()
        .map(answered)
        .partition(|it| it.answer.status == 200);
    assert_eq!(ok.len(), ORIGIN_REQUESTS_MAX);
    for refused in shed {
        assert_eq!(refused.answer.status, 503);
        assert!(refused.answer.get("retry-after").is_some());
        assert!(refused.waited_ms < 100, "{} ms", refused.waited_ms);
    }
    // Afterwards there is room again.
    world.origin.mood = Mood::Well;
    assert_eq!(
        get(&mut world, "/api/v1/similar/near199").answer.status,
        200
    );
}
