//! Tests of the store: bounds, eviction, purges.

use super::*;
use crate::config::Config;
use crate::message::{Exchange, Request, Response};
use crate::storable::storable;
use crate::tags;
use alloc::format;
use alloc::vec;
use proptest::prelude::*;

type Lines = Vec<(&'static str, String)>;

fn object(response: &Lines, request: &Lines, body_bytes: u64) -> Arc<Object<()>> {
    let request = Request {
        method: "GET",
        key: "",
        fields: request,
    };
    let response = Response {
        status: 200,
        fields: response,
    };
    let exchange = Exchange {
        request_time_ms: 0,
        response_time_ms: 0,
    };
    let stored = storable(&Config::default(), &request, &response, exchange).expect("storable");
    Arc::new(Object {
        stored,
        body_bytes,
        payload: (),
    })
}

fn tagged(tag: &str, body_bytes: u64) -> Arc<Object<()>> {
    let lines = vec![
        ("cache-control", "max-age=60".into()),
        ("cache-tag", tag.into()),
    ];
    object(&lines, &vec![], body_bytes)
}

fn put(store: &mut Store<()>, key: &str, object: Arc<Object<()>>) -> bool {
    let sequence = store.sequence();
    store.insert(key, &Lines::new(), object, 0, sequence)
}

fn has(store: &mut Store<()>, key: &str) -> bool {
    matches!(store.select(key, &Lines::new()), Selected::One(..))
}

#[test]
fn a_soft_purge_of_100_000_objects_is_one_note() {
    let mut store = Store::new(1 << 30);
    for n in 0..100_000 {
        assert!(put(&mut store, &format!("k{n}"), tagged("t", 1)));
    }
    put(&mut store, "other", tagged("u", 1));
    let before = store.objects();
    store.purge_tag(tags::hash(b"T"), true, 7);
    // Nothing was walked: all are there, and each is stale.
    assert_eq!(store.objects(), before);
    for n in (0..100_000).step_by(997) {
        let selected = store.select(&format!("k{n}"), &Lines::new());
        assert!(matches!(selected, Selected::One(_, Some(7))), "{n}");
    }
    assert!(matches!(
        store.select("other", &Lines::new()),
        Selected::One(_, None)
    ));
    put(&mut store, "k1", tagged("t", 1));
    assert!(matches!(
        store.select("k1", &Lines::new()),
        Selected::One(_, None)
    ));
}

#[test]
fn a_hard_purge_leaves_nothing_to_serve() {
    let mut store = Store::new(1 << 20);
    put(&mut store, "a", tagged("t", 1));
    put(&mut store, "b", tagged("u", 1));
    store.purge_tag(tags::hash(b"t"), false, 0);
    assert!(!has(&mut store, "a") && has(&mut store, "b"));
    store.purge_all(false, 0);
    assert!(!has(&mut store, "b"));
    assert_eq!((store.objects(), store.bytes()), (0, 0));
    assert!(put(&mut store, "b", tagged("t", 1)) && has(&mut store, "b"));
}

#[test]
fn what_was_asked_for_before_a_purge_is_not_stored_after_it() {
    let mut store = Store::new(1 << 20);
    let before = store.sequence();
    store.purge_tag(tags::hash(b"t"), false, 0);
    assert!(!store.insert("a", &Lines::new(), tagged("t", 1), 0, before));
    assert!(store.insert("b", &Lines::new(), tagged("u", 1), 0, before));
    let before = store.sequence();
    store.forget("c");
    assert!(!store.insert("c", &Lines::new(), tagged("u", 1), 0, before));
    assert!(put(&mut store, "c", tagged("u", 1)));
}

#[test]
fn purges_beyond_what_is_remembered_purge_more_not_less() {
    let mut store = Store::new(1 << 20);
    put(&mut store, "a", tagged("t", 1));
    store.purge_tag(tags::hash(b"t"), false, 0);
    for n in 0..crate::purge::TAG_EPOCHS_MAX + 1 {
        store.purge_tag(n as u64, true, 0);
    }
    assert!(!has(&mut store, "a"));
}

#[test]
fn variants_are_kept_apart_replaced_and_bounded() {
    let mut store = Store::new(1 << 20);
    let vary = vec![("cache-control", "max-age=60".into()), ("vary", "x".into())];
    let asked = |n: usize| vec![("x", format!("{n}"))];
    for round in 0..2 {
        for n in 0..VARIANTS_MAX {
            let sequence = store.sequence();
            let object = object(&vary, &asked(n), round);
            assert!(store.insert("k", &asked(n), object, 0, sequence));
        }
    }
    assert_eq!(store.objects(), VARIANTS_MAX);
    assert!(matches!(
        store.select("k", &asked(999)),
        Selected::OtherVariants
    ));
    let sequence = store.sequence();
    store.insert("k", &asked(999), object(&vary, &asked(999), 0), 0, sequence);
    assert_eq!(store.objects(), VARIANTS_MAX);
    assert!(matches!(
        store.select("k", &asked(0)),
        Selected::OtherVariants
    ));
    assert_eq!(store.selecting_names("k"), ["x"]);
}

#[test]
fn sieve_keeps_what_is_asked_for() {
    let object_bytes = 1_000;
    let each = OBJECT_OVERHEAD_BYTES + object_bytes + 2;
    let mut store = Store::new(each * 10);
    for n in 0..10 {
        put(&mut store, &format!("k{n}"), tagged("t", object_bytes));
    }
    assert!(has(&mut store, "k0") && has(&mut store, "k3"));
    for n in 0..8 {
        put(&mut store, &format!("n{n}"), tagged("t", object_bytes));
    }
    assert_eq!(store.evicted(), 8);
    assert!(has(&mut store, "k0") && has(&mut store, "k3") && !has(&mut store, "k1"));
    assert!(!put(
        &mut store,
        "large",
        tagged("t", each * 10 / OBJECT_SHARE)
    ));
}

proptest! {
    /// Whatever is stored, asked for and purged: bytes stay within bounds and add up, and what
    /// was purged for good never comes back.
    #[test]
    fn bounds_hold(steps in proptest::collection::vec((0_u8..6, 0_u8..12, 0_u64..900), 0..200)) {
        let mut store = Store::new(10_000);
        let mut tags_of = alloc::collections::BTreeMap::new();
        for (what, name, bytes) in steps {
            let key = format!("{name}");
            let tag = format!("t{}", name % 3);
            match what {
                0..=2 => {
                    if put(&mut store, &key, tagged(&tag, bytes)) {
                        tags_of.insert(key, tag);
                    } else {
                        tags_of.remove(&key);
                    }
                }
                3 => {
                    store.forget(&key);
                    tags_of.remove(&key);
                }
                4 => {
                    store.purge_tag(tags::hash(tag.as_bytes()), false, 0);
                    tags_of.retain(|_, other| *other != tag);
                }
                _ => {
                    if has(&mut store, &key) {
                        prop_assert!(tags_of.contains_key(&key));
                    }
                }
            }
            prop_assert!(store.bytes() <= 10_000);
            let listed: u64 = store.slots.iter().flatten().map(|slot| slot.bytes).sum();
            prop_assert_eq!(store.bytes(), listed);
            let indexed: usize = store.index.values().map(Vec::len).sum();
            prop_assert_eq!(store.objects(), indexed);
        }
    }
}
