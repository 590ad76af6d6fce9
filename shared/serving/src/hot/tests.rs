use alloc::format;
use alloc::string::ToString as _;

use edgewise_ranking::Model;
use edgewise_ranking::config::{BlendHead, Normalise, VECTORS};
use edgewise_wire::lists::HotListItem;
use edgewise_wire::params::FeedParams;
use edgewise_wire::session::Session;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::feed::{self, FeedInput};
use crate::fixture::{NOW_MS, keys, new_item, overlay, tombstones};
use crate::{Prepared, SessionStatus};

fn list(sums: &[f64]) -> HotList {
    HotList {
        window: HotWindow::Hour,
        region: None,
        language: None,
        tag: None,
        generated_at_ms: NOW_MS - 60_000,
        items: (0..)
            .zip(sums)
            .map(|(at, &sum)| HotListItem {
                id: format!("h{at}"),
                author: format!("a{at}"),
                hot: HotSum {
                    sum,
                    at_ms: NOW_MS - 60_000,
                },
                last_event_ms: NOW_MS - 60_000,
            })
            .collect(),
    }
}

fn touched(id: &str, sum: f64) -> OverlayItem {
    let hot = HotSum { sum, at_ms: NOW_MS };
    OverlayItem {
        hot: [hot; 3],
        last_event_ms: NOW_MS,
        ..new_item(id, "zoe")
    }
}

/// The one place that asks for a list: ids and the answer.
fn trending(list: &HotList, overlay: Option<&Overlay>, query: &str) -> (String, Value) {
    let params = HotParams::parse(query).unwrap();
    let config = RankingConfig::default();
    let body = answer(list, overlay, &params, &config, NOW_MS, Rung::Hot);
    let body: Value = serde_json::from_slice(&body).unwrap();
    let items = body["items"].as_array().unwrap();
    let ids: Vec<&str> = items
        .iter()
        .map(|item| item["id"].as_str().unwrap())
        .collect();
    (ids.join(" "), body)
}

#[track_caller]
fn check(list: &HotList, overlay: Option<&Overlay>, ids: &str) {
    assert_eq!(trending(list, overlay, "").0, ids);
}

#[test]
fn scores_are_those_of_now() {
    let (ids, body) = trending(&list(&[4.0, 2.0]), None, "limit=1");
    assert_eq!(ids, "h0");
    let score = body["items"][0]["score"].as_f64().unwrap();
    assert!((score - 4.0 * 0.5_f64.powf(1.0 / 20.0)).abs() < 1e-12);
    assert_eq!(body["window"], "1h");
    assert_eq!(body["generated_at"], NOW_MS - 60_000);
    assert_eq!(body["rung"], "hot");
}

#[test]
fn the_overlay_reorders_joins_and_removes() {
    let mut overlay = overlay(Vec::from([touched("h1", 9.0), touched("new", 5.0)]));
    check(&list(&[4.0, 2.0, 1.0]), Some(&overlay), "h1 new h0 h2");
    overlay.tombstones = tombstones(&["h0", "new"]);
    check(&list(&[4.0, 2.0, 1.0]), Some(&overlay), "h1 h2");
    // A list made after the overlay knows better; the dead stay dead.
    overlay.made_at_ms = NOW_MS - 120_000;
    check(&list(&[4.0, 2.0, 1.0]), Some(&overlay), "h1 h2");
}

#[test]
fn items_without_an_event_in_the_window_leave() {
    let mut old = list(&[4.0, 2.0, 1.0]);
    old.items[0].last_event_ms = NOW_MS - 3_600_000;
    old.items[1].last_event_ms = NOW_MS - 3_599_999;
    check(&old, None, "h1 h2");
    check(&old, Some(&overlay(Vec::from([touched("h1", 0.0)]))), "h2");
}

#[test]
fn only_items_of_the_lists_label_join() {
    let mut tagged = list(&[1.0]);
    tagged.tag = Some("cats".to_string());
    let mut cat = touched("cat", 2.0);
    cat.tags.push("cats".to_string());
    check(
        &tagged,
        Some(&overlay(Vec::from([cat, touched("dog", 2.0)]))),
        "cat h0",
    );
    let mut swiss = list(&[1.0]);
    swiss.region = Some("CH".to_string());
    let here = OverlayItem {
        region: Some("CH".to_string()),
        ..touched("here", 2.0)
    };
    check(
        &swiss,
        Some(&overlay(Vec::from([here, touched("there", 2.0)]))),
        "here h0",
    );
    let mut german = list(&[1.0]);
    german.language = Some("de".to_string());
    let ours = OverlayItem {
        language: Some("de".to_string()),
        ..touched("ours", 2.0)
    };
    check(
        &german,
        Some(&overlay(Vec::from([ours, touched("theirs", 2.0)]))),
        "ours h0",
    );
}

#[test]
fn ties_ascend_by_id() {
    check(
        &list(&[1.0, 1.0, 1.0]),
        Some(&overlay(Vec::new())),
        "h0 h1 h2",
    );
}

#[test]
fn a_feed_of_the_hot_rung_keeps_the_lists_order() {
    keeps_the_lists_order(&RankingConfig::default());
}

#[test]
fn a_blend_does_not_order_the_hot_rung() {
    // All rows the same: nobody has a vector.
    let head = BlendHead {
        name: VECTORS.into(),
        weights: [1.0; 4],
        normalise: Normalise::Prediction,
    };
    keeps_the_lists_order(&RankingConfig {
        blend: Vec::from([head]),
        ..RankingConfig::default()
    });
}

#[track_caller]
fn keeps_the_lists_order(config: &RankingConfig) {
    let list = list(&[4.0, 9.0, 1.0, 0.5]);
    let overlay = overlay(Vec::from([touched("h2", 30.0), touched("new", 5.0)]));
    let mut prepared = Prepared::new(as_bundle(&list, Some(&overlay), config, NOW_MS));
    let input = FeedInput {
        params: &FeedParams::parse("selection=none").unwrap(),
        user: None,
        session: &Session::new(0),
        session_status: SessionStatus::New,
        cursor: None,
        overlay: Some(&overlay),
        config,
        model: &Model::formula("linear-1"),
        keys: &keys(),
        wall_ms: NOW_MS,
        domain_ms: NOW_MS,
        request_id: [3; 16],
        rung: Rung::Hot,
        region: None,
        utc_offset_minutes: 0,
    };
    let outcome = feed::answer(&mut prepared, &input);
    let body: Value = serde_json::from_slice(&outcome.body).unwrap();
    let items = body["items"].as_array().unwrap();
    let ids: Vec<&str> = items
        .iter()
        .map(|item| item["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.join(" "), trending(&list, Some(&overlay), "").0);
    assert!(body["items"][0]["created_at"].is_null() && body["items"][0]["kind"].is_null());
    assert_eq!(
        (body["rung"].as_str(), body["degradations"].as_u64()),
        (Some("hot"), None)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_list_is_in_the_order_of_its_scores(
        sums in prop::collection::vec(0.01..100.0_f64, 0..40),
        fresh in prop::collection::vec((0..60_usize, 0.01..100.0_f64), 0..40),
    ) {
        let fresh = fresh.iter().map(|(at, sum)| touched(&format!("h{at}"), *sum)).collect();
        let (ids, body) = trending(&list(&sums), Some(&overlay(fresh)), "limit=200");
        let mut distinct: Vec<&str> = ids.split(' ').collect();
        let listed = distinct.len();
        distinct.sort_unstable();
        distinct.dedup();
        prop_assert_eq!(distinct.len(), listed);
        let items = body["items"].as_array().unwrap();
        let scores: Vec<f64> = items.iter().map(|item| item["score"].as_f64().unwrap()).collect();
        prop_assert!(scores.windows(2).all(|pair| pair[0] >= pair[1] - 1e-9));
    }
}
