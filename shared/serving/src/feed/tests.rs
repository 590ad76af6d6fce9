use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::ToString as _;
use alloc::vec::Vec;

use edgewise_ranking::{Feature, Sources, short_hash};
use edgewise_wire::api::{Event, EventType};
use edgewise_wire::overlay::OverlayItem;
use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::events::session_after;
use crate::fixture::{NOW_MS, bundle, event, keys, new_item, overlay, tombstones};
use crate::session::open;

mod session;

/// What a page is asked with; the rest is the same for all tests.
struct Ask<'a> {
    query: &'a str,
    session: Session,
    status: SessionStatus,
    cursor: Option<Cursor>,
    overlay: Option<Overlay>,
    rung: Rung,
    request: u8,
}

impl Default for Ask<'_> {
    fn default() -> Self {
        Self {
            query: "",
            session: Session::new(id_hash("u1")),
            status: SessionStatus::New,
            cursor: None,
            overlay: None,
            rung: Rung::Personal,
            request: 1,
        }
    }
}

/// The one place that asks for a page.
fn page(prepared: &mut Prepared, ask: &Ask<'_>) -> (Value, FeedOutcome) {
    let input = FeedInput {
        params: &FeedParams::parse(ask.query).unwrap(),
        user: Some("u1"),
        session: &ask.session,
        session_status: ask.status,
        cursor: ask.cursor.as_ref(),
        overlay: ask.overlay.as_ref(),
        config: &RankingConfig::default(),
        model: &Model::formula("linear-1"),
        keys: &keys(),
        wall_ms: NOW_MS,
        domain_ms: NOW_MS,
        request_id: [ask.request; 16],
        rung: ask.rung,
        region: None,
        utc_offset_minutes: 0,
    };
    let outcome = answer(prepared, &input);
    (serde_json::from_slice(&outcome.body).unwrap(), outcome)
}

fn ids(body: &Value) -> Vec<&str> {
    body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["id"].as_str().unwrap())
        .collect()
}

/// The session after `events` of u1, by what the bundle knows of their items.
fn session(prepared: &Prepared, events: &[Event]) -> Session {
    let events: Vec<(u32, Event)> = (0..).zip(events.iter().cloned()).collect();
    let empty = Session::new(id_hash("u1"));
    session_after(&events, empty, |id| prepared.item_facts(id, None), NOW_MS)
}

/// Interactions by item, as `explain`'s affinity sees them.
fn affinities(body: &Value) -> Vec<(&str, &str, f64)> {
    let affinity = |item: &Value| {
        let terms = item["explain"]["features"].as_array().unwrap();
        terms
            .iter()
            .find(|term| term["name"] == "affinity")
            .unwrap()["value"]
            .as_f64()
            .unwrap()
    };
    let mut rows: Vec<_> = body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            (
                item["id"].as_str().unwrap(),
                item["author"].as_str().unwrap(),
                affinity(item),
            )
        })
        .collect();
    rows.sort_by(|a, b| a.0.cmp(b.0));
    rows
}

fn check_golden(prepared: &mut Prepared, ask: &Ask<'_>, expect: Expect) {
    let (mut body, _) = page(prepared, ask);
    for token in ["session", "next_cursor"] {
        let length = body[token].as_str().map_or(0, str::len);
        body[token] = Value::from(format!("{length} characters"));
    }
    expect.assert_eq(&serde_json::to_string_pretty(&body).unwrap());
}

#[test]
fn a_page_has_the_fields_of_the_contract() {
    let ask = Ask {
        query: "limit=1&explain=1&profile=feed",
        ..Ask::default()
    };
    check_golden(
        &mut Prepared::new(bundle(4, 3)),
        &ask,
        expect![[r#"
            {
              "candidates": 4,
              "config": "default@1",
              "items": [
                {
                  "author": "a2",
                  "created_at": 1789999760000,
                  "explain": {
                    "arm": "default",
                    "config": "default@1",
                    "features": [
                      {
                        "contribution": 0.2980066518765103,
                        "name": "freshness",
                        "value": 0.9933555062550344,
                        "weight": 0.3
                      },
                      {
                        "contribution": 0.1723131664369817,
                        "name": "engagement",
                        "value": 0.4307829160924542,
                        "weight": 0.4
                      },
                      {
                        "contribution": 0.32958368660043286,
                        "name": "affinity",
                        "value": 1.0986122886681096,
                        "weight": 0.3
                      }
                    ],
                    "model": "linear-1",
                    "moved_by": "score",
                    "position": 1,
                    "rung": "personal",
                    "score": 0.7999035049139249,
                    "score_rank": 1,
                    "sources": [
                      "trending"
                    ]
                  },
                  "id": "i2",
                  "kind": "video",
                  "likes": 14,
                  "position": 1,
                  "score": 0.7999035049139249,
                  "sources": [
                    "trending"
                  ]
                }
              ],
              "made_at": 1790000000000,
              "model": "linear-1",
              "next_cursor": "83 characters",
              "now_ms": 1790000000000,
              "request_id": "01010101010101010101010101010101",
              "rung": "personal",
              "session": "67 characters",
              "session_status": "new"
            }"#]],
    );
}

#[test]
fn the_body_is_what_clients_read_byte_by_byte() {
    let ask = Ask {
        query: "limit=1",
        ..Ask::default()
    };
    let (_, outcome) = page(&mut Prepared::new(bundle(1, 1)), &ask);
    let body = alloc::string::String::from_utf8(outcome.body).unwrap();
    let session = Session::new(id_hash("u1")).encode(&keys());
    let body = body.replace(&session, "SESSION");
    expect![[r#"{"request_id":"01010101010101010101010101010101","items":[{"id":"i0","author":"a0","score":0.3,"sources":["follow"],"position":1,"created_at":1790000000000,"kind":"post","likes":0}],"next_cursor":null,"session":"SESSION","session_status":"new","model":"linear-1","config":"default@1","rung":"personal","candidates":1,"made_at":1790000000000,"now_ms":1790000000000}"#]].assert_eq(&body);
}

#[test]
fn twenty_pages_repeat_nothing_and_the_feed_ends() {
    let mut prepared = Prepared::new(bundle(900, 60));
    let mut shown = BTreeSet::new();
    let mut cursor = None;
    for number in 1..=60_u8 {
        // New items keep coming while the reader scrolls.
        let mut moved = overlay(Vec::from([new_item(&format!("n{}", number % 9), "a1")]));
        moved.position += u64::from(number);
        let overlay = Some(moved);
        let ask = Ask {
            cursor,
            overlay,
            request: number,
            ..Ask::default()
        };
        let (body, outcome) = page(&mut prepared, &ask);
        for id in ids(&body) {
            assert!(shown.insert(id.to_string()), "{id} again on page {number}");
        }
        let Some(token) = body["next_cursor"].as_str() else {
            // At most 1 in 256 of what is left is taken for shown, a page.
            assert!(
                number > 40 && shown.len() > 850,
                "{} items in {number} pages",
                shown.len()
            );
            return;
        };
        assert_eq!(outcome.items, 20, "page {number}");
        assert_eq!(body["items"][0]["position"], u32::from(number - 1) * 20 + 1);
        cursor = Some(Cursor::decode(token, &keys(), id_hash("u1")).unwrap());
    }
    panic!("the feed did not end");
}

#[test]
fn the_last_page_has_no_cursor() {
    let mut prepared = Prepared::new(bundle(5, 5));
    let (all, _) = page(
        &mut prepared,
        &Ask {
            query: "limit=5",
            ..Ask::default()
        },
    );
    assert!(all["next_cursor"].is_null());
    let (most, _) = page(
        &mut prepared,
        &Ask {
            query: "limit=4",
            ..Ask::default()
        },
    );
    assert!(most["next_cursor"].is_string());
    let (none, outcome) = page(
        &mut prepared,
        &Ask {
            query: "tag=nothing",
            ..Ask::default()
        },
    );
    assert!(none["next_cursor"].is_null() && ids(&none).is_empty() && outcome.candidates == 0);
}

#[test]
fn filters_and_exclude_hold() {
    let mut prepared = Prepared::new(bundle(30, 30));
    let query = "tag=t1&language=de&region=CH&exclude=i1,i11";
    let (body, _) = page(
        &mut prepared,
        &Ask {
            query,
            ..Ask::default()
        },
    );
    assert_eq!(
        ids(&body).into_iter().collect::<BTreeSet<_>>(),
        BTreeSet::from(["i21"])
    );
}

#[test]
fn a_deleted_item_is_on_nobodys_page() {
    let mut prepared = Prepared::new(bundle(12, 6));
    let mut dead = overlay(Vec::new());
    dead.tombstones = tombstones(&["i0", "i1"]);
    let (body, outcome) = page(
        &mut prepared,
        &Ask {
            overlay: Some(dead),
            ..Ask::default()
        },
    );
    assert_eq!((ids(&body).len(), outcome.candidates), (10, 10));
    assert!(!ids(&body).contains(&"i0"));
}

#[test]
fn explore_draws_are_served_with_their_propensity() {
    let mut explore = bundle(60, 30);
    for row in 40..60 {
        explore.candidates.sources[row] = Sources::EXPLORE;
    }
    let mut prepared = Prepared::new(explore);
    let (body, outcome) = page(&mut prepared, &Ask::default());
    assert!(!outcome.served.is_empty());
    for slot in &outcome.served {
        let item = &body["items"][slot.position as usize - 1];
        assert_eq!(
            (item["id"].as_str(), slot.at_ms),
            (Some(slot.item.as_str()), NOW_MS)
        );
        assert_eq!(item["propensity"].as_f64(), Some(slot.propensity));
        assert_eq!(body["request_id"].as_str(), Some(slot.request_id.as_str()));
    }
}

#[test]
fn bad_numbers_are_counted_and_never_written() {
    let mut bad = bundle(12, 6);
    for feature in Feature::ALL {
        bad.candidates.columns[feature as usize][3] = f32::NAN;
        bad.candidates.columns[feature as usize][4] = f32::INFINITY;
        bad.candidates.present[3] |= 1 << feature as u16;
        bad.candidates.present[4] |= 1 << feature as u16;
    }
    let ask = Ask {
        query: "explain=1&profile=video",
        ..Ask::default()
    };
    let (body, outcome) = page(&mut Prepared::new(bad), &ask);
    assert_eq!(outcome.items, 12);
    assert_eq!(
        body["degradations"].as_u64(),
        Some(u64::from(outcome.degradations))
    );
    assert!(outcome.degradations > 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn explanations_sum_to_the_score(
        rows in 1..60_usize,
        authors in 1..20_usize,
        video in any::<bool>(),
        none in any::<bool>(),
    ) {
        let mut prepared = Prepared::new(bundle(rows, authors));
        let profile = if video { "video" } else { "feed" };
        let selection = if none { "none" } else { "diverse" };
        let query = format!("limit=100&explain=1&profile={profile}&selection={selection}");
        let items = Vec::from([new_item("n1", "a0")]);
        let ask = Ask { query: &query, overlay: Some(overlay(items)), ..Ask::default() };
        let (body, outcome) = page(&mut prepared, &ask);
        prop_assert_eq!(outcome.items as usize, rows + 1);
        for item in body["items"].as_array().unwrap() {
            let terms = item["explain"]["features"].as_array().unwrap();
            let sum = terms.iter().fold(0.0, |sum, term| sum + term["contribution"].as_f64().unwrap());
            prop_assert_eq!(sum.to_bits(), item["score"].as_f64().unwrap().to_bits());
        }
    }

    #[test]
    fn an_overlay_item_appears_for_followers_unless_it_is_hidden(
        author in 0..10_usize,
        hidden in any::<bool>(),
    ) {
        let mut bundle = bundle(20, 10);
        let name = format!("a{author}");
        if hidden {
            bundle.hidden_authors = tombstones(&[&name]);
        }
        let item = OverlayItem { created_at_ms: NOW_MS, ..new_item("n1", &name) };
        let ask = Ask {
            query: "limit=100",
            overlay: Some(overlay(Vec::from([item]))),
            ..Ask::default()
        };
        let (body, _) = page(&mut Prepared::new(bundle), &ask);
        prop_assert_eq!(ids(&body).contains(&"n1"), author < 5 && !hidden);
    }
}
