//! What purges do: hard ones, soft ones, in every tier and while the origin is down.

use alloc::vec::Vec;

use edgewise_ranking::id_hash;
use edgewise_wire::overlay::{Purge, SOFT, item_tag, key_tag, user_tag};

use super::origin::Mood;
use super::reading::{fetched_since, get, ids, rung};
use super::world::{Ask, World};

const TRENDING: &str = "/api/v1/hot/trending";

/// The origin purges `tag` (with [`SOFT`] in its hash where it is soft) now, and the edge has
/// heard of it when this returns.
fn purge(world: &mut World, tag: u64) {
    let before_ms = world.now_ms;
    let purges = &mut world.origin.overlay.purges;
    purges.push(Purge { tag, before_ms });
    purges.sort_unstable_by_key(|purge| purge.tag);
    world.origin.position += 1;
    hear(world);
}

/// Lets the edge fetch the overlay that is now.
fn hear(world: &mut World) {
    let until_ms = world.now_ms + 1_500;
    world.run_until(until_ms);
    get(world, "/api/v1/items?ids=other");
    let until_ms = world.now_ms + 1_500;
    world.run_until(until_ms);
}

/// The ids of an answer name when the origin made it.
fn first_id(world: &mut World, target: &str) -> alloc::string::String {
    ids(&get(world, target))
        .first()
        .cloned()
        .unwrap_or_default()
}

#[test]
fn a_hard_purge_is_never_answered_from_before() {
    for tag in [
        id_hash("list:hot"),
        0,
        id_hash(&key_tag("lists/hot?window=24h")),
    ] {
        let mut world = World::new(31);
        let before = first_id(&mut world, TRENDING);
        hear(&mut world);
        assert_eq!(first_id(&mut world, TRENDING), before, "kept until then");
        purge(&mut world, tag);
        let fetched = world.fetched.len();
        assert_ne!(first_id(&mut world, TRENDING), before);
        assert!(!fetched_since(&world, fetched).is_empty());
    }
}

#[test]
fn a_hard_purge_reaches_cache_and_kv_of_other_isolates() {
    let mut world = World::new(32);
    let before = first_id(&mut world, TRENDING);
    assert!(!world.cache.is_empty() && !world.kv.is_empty());
    purge(&mut world, id_hash("list:hot"));
    world.origin.mood = Mood::Fails;
    world.restart();
    // The overlay first: an isolate that knows of no purge cannot heed it.
    get(&mut world, "/api/v1/items?ids=other");
    let after = get(&mut world, TRENDING);
    assert!(
        !ids(&after).contains(&before),
        "{} {:?}",
        after.answer.status,
        ids(&after)
    );
}

#[test]
fn a_soft_purge_is_answered_at_once_and_refreshed() {
    let mut world = World::new(33);
    let before = first_id(&mut world, TRENDING);
    purge(&mut world, id_hash("list:hot") ^ SOFT);
    let stale = get(&mut world, TRENDING);
    assert_eq!(
        (ids(&stale)[0].as_str(), stale.waited_ms),
        (before.as_str(), 0)
    );
    let until_ms = world.now_ms + 1_000;
    world.run_until(until_ms);
    assert_ne!(first_id(&mut world, TRENDING), before, "refreshed");
}

#[test]
fn a_soft_purge_leaves_something_to_answer_from_while_the_origin_is_down() {
    let mut world = World::new(34);
    let before = first_id(&mut world, TRENDING);
    purge(&mut world, SOFT);
    world.origin.mood = Mood::Fails;
    assert_eq!(first_id(&mut world, TRENDING), before);
    let until_ms = world.now_ms + 60_000;
    world.run_until(until_ms);
    assert_eq!(first_id(&mut world, TRENDING), before);
}

#[test]
fn one_users_bundle_is_purged_and_nobody_elses() {
    let mut world = World::new(35);
    let page = |user: &str| alloc::format!("/api/v1/feed?user={user}&selection=none");
    let kept: Vec<_> = ["ann", "bob"]
        .map(|user| ids(&get(&mut world, &page(user))))
        .into();
    purge(&mut world, id_hash(&user_tag("ann")));
    let fetched = world.fetched.len();
    let (ann, bob) = (get(&mut world, &page("ann")), get(&mut world, &page("bob")));
    assert_eq!((rung(&ann), rung(&bob)), ("personal", "personal"));
    assert_ne!(ids(&ann), kept[0]);
    assert_eq!(ids(&bob), kept[1]);
    let fetched = fetched_since(&world, fetched).join(" ");
    assert!(fetched.contains("candidates/ann"), "{fetched}");
    assert!(!fetched.contains("candidates/bob"), "{fetched}");
}

#[test]
fn an_items_facts_are_purged_by_its_tag() {
    let mut world = World::new(36);
    for (tag, is_asked) in [
        (id_hash(&item_tag("b")), false),
        (id_hash(&item_tag("a")), true),
    ] {
        get(&mut world, "/api/v1/items?ids=a");
        purge(&mut world, tag);
        let fetched = world.fetched.len();
        get(&mut world, "/api/v1/items?ids=a");
        let asked = fetched_since(&world, fetched).contains(&"/internal/v1/items?ids=a");
        assert_eq!(asked, is_asked, "{tag:x}");
    }
}

#[test]
fn what_was_asked_for_before_the_purge_was_heard_is_not_kept() {
    const LIST: &str = "/api/v1/hot/trending?tag=music";
    let mut world = World::new(37);
    get(&mut world, LIST);
    let until_ms = world.now_ms + 70_000;
    world.run_until(until_ms);
    hear(&mut world);
    // A refresh of the stale list is at the origin, which made it at once and sends it late.
    world.origin.mood = Mood::ListsTake(1_900);
    let asked_ms = world.now_ms;
    world.start(&Ask::get(LIST));
    world.run_until(asked_ms + 100);
    let before_ms = world.now_ms;
    let tag = id_hash("list:hot");
    world.origin.overlay.purges.push(Purge { tag, before_ms });
    world.origin.position += 1;
    hear(&mut world);
    world.origin.mood = Mood::Well;
    let list = get(&mut world, LIST);
    let list = ids(&list);
    let made_ms = list[0]
        .rsplit('.')
        .next()
        .and_then(|made| made.parse::<i64>().ok());
    assert!(
        made_ms.is_some_and(|made_ms| made_ms >= before_ms),
        "{list:?} {before_ms}"
    );
}

#[test]
fn a_hard_purge_of_an_item_with_a_clock_ahead_is_no_outage() {
    let mut world = World::new(38);
    get(&mut world, "/api/v1/items?ids=a");
    for tag in [id_hash(&item_tag("a")), id_hash("list:items")] {
        let before_ms = world.now_ms + 5_000;
        let purges = &mut world.origin.overlay.purges;
        purges.push(Purge { tag, before_ms });
        purges.sort_unstable_by_key(|purge| purge.tag);
        world.origin.position += 1;
        hear(&mut world);
        let answer = get(&mut world, "/api/v1/items?ids=a");
        assert_eq!((answer.answer.status, ids(&answer).len()), (200, 1));
    }
}
