use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use edgewise_ranking::{Feature, RankingConfig};
use edgewise_wire::counters::Counters;
use edgewise_wire::overlay::OverlayItem;
use proptest::prelude::*;

use super::*;
use crate::fixture::{NOW_MS, bundle, new_item, overlay, tombstones};

/// Ids of the merged view.
fn merged(bundle: Bundle, overlay: &Overlay) -> Vec<String> {
    let config = RankingConfig::default();
    let mut prepared = Prepared::new(bundle);
    prepared
        .current(Some(overlay), &config)
        .ids
        .iter()
        .map(String::from)
        .collect()
}

#[track_caller]
fn check_joins(bundle: Bundle, item: OverlayItem, joins: bool) {
    let id = item.id.clone();
    let ids = merged(bundle, &overlay(Vec::from([item])));
    assert_eq!(ids.contains(&id), joins, "{id}");
}

#[test]
fn new_items_of_followed_authors_join() {
    check_joins(bundle(100, 10), new_item("n1", "a1"), true);
    check_joins(bundle(100, 10), new_item("n1", "a9"), false);
    check_joins(
        bundle(100, 10),
        OverlayItem {
            is_new: false,
            ..new_item("n1", "a1")
        },
        false,
    );
}

#[test]
fn own_hidden_seen_and_deleted_items_do_not_join() {
    let mut own = bundle(100, 10);
    own.user = Some("a1".to_string());
    check_joins(own, new_item("n1", "a1"), false);
    let mut hidden = bundle(100, 10);
    hidden.hidden_authors = tombstones(&["a1"]);
    check_joins(hidden, new_item("n1", "a1"), false);
    let mut seen = bundle(100, 10);
    seen.removed_items = tombstones(&["n1"]);
    check_joins(seen, new_item("n1", "a1"), false);
    let mut deleted = overlay(Vec::from([new_item("n1", "a1")]));
    deleted.tombstones = tombstones(&["n1"]);
    assert!(!merged(bundle(100, 10), &deleted).contains(&"n1".to_string()));
}

#[test]
fn the_follow_window_widens_while_followed_items_are_few() {
    let hours_old = |hours: i64| OverlayItem {
        created_at_ms: NOW_MS - hours * 3_600_000,
        ..new_item("n1", "a1")
    };
    // 50 followed items are enough for 72 h, 5 are not.
    check_joins(bundle(100, 10), hours_old(71), true);
    check_joins(bundle(100, 10), hours_old(73), false);
    check_joins(bundle(10, 10), hours_old(73), true);
    check_joins(bundle(10, 10), hours_old(721), false);
}

#[test]
fn joined_rows_know_their_author_and_their_facts() {
    let config = RankingConfig::default();
    let mut prepared = Prepared::new(bundle(100, 10));
    let items = Vec::from([new_item("n1", "a3"), new_item("n2", "a0")]);
    let candidates = prepared.current(Some(&overlay(items)), &config);
    assert_eq!(candidates.len(), 102);
    assert_eq!(candidates.feature(100, Feature::Interactions), Some(3.0));
    assert_eq!(candidates.feature(101, Feature::Interactions), Some(0.0));
    assert_eq!(candidates.feature(100, Feature::Likes), Some(3.0));
    assert_eq!(candidates.sources[100], Sources::FOLLOW);
    assert_eq!(
        candidates.authors.get(candidates.author[100] as usize),
        "a3"
    );
    let tags = candidates
        .tags_of(100)
        .iter()
        .map(|&tag| candidates.labels.get(tag.into()));
    assert_eq!(tags.collect::<Vec<_>>(), ["fresh"]);
}

#[test]
fn counters_replace_those_of_rows() {
    let config = RankingConfig::default();
    let mut prepared = Prepared::new(bundle(10, 10));
    let counters = Counters {
        likes: 1_000,
        watch_ratio_sum: 2.5,
        ..Counters::default()
    };
    let touched = OverlayItem {
        counters,
        is_new: false,
        ..new_item("i4", "a4")
    };
    let view = prepared.current(Some(&overlay(Vec::from([touched]))), &config);
    assert_eq!(view.feature(4, Feature::Likes), Some(1_000.0));
    assert_eq!(view.feature(4, Feature::Impressions), Some(0.0));
    assert_eq!(view.feature(4, Feature::WatchRatioSum), Some(2.5));
    assert_eq!(view.feature(4, Feature::Interactions), Some(0.0));
    // Without the overlay the bundle is as it was.
    assert_eq!(prepared.current(None, &config), &bundle(10, 10).candidates);
}

#[test]
fn of_an_older_overlay_only_tombstones_count() {
    let mut old = overlay(Vec::from([new_item("n1", "a1"), new_item("i4", "a4")]));
    old.position = 99;
    old.tombstones = tombstones(&["i5"]);
    let config = RankingConfig::default();
    let mut prepared = Prepared::new(bundle(10, 10));
    let view = prepared.current(Some(&old), &config);
    assert_eq!(view.len(), 9);
    assert_eq!(view.feature(4, Feature::Likes), Some(28.0));
    assert!(view.ids.iter().all(|id| id != "n1" && id != "i5"));
}

#[test]
fn a_view_is_kept_until_the_overlay_moves() {
    let config = RankingConfig::default();
    let mut prepared = Prepared::new(bundle(10, 10));
    let mut overlay = overlay(Vec::from([new_item("n1", "a1")]));
    let before = prepared
        .current(Some(&overlay), &config)
        .ids
        .get(0)
        .as_ptr();
    let again = prepared
        .current(Some(&overlay), &config)
        .ids
        .get(0)
        .as_ptr();
    assert_eq!(before, again);
    overlay.position += 1;
    overlay.items.push(new_item("n2", "a2"));
    assert_eq!(prepared.current(Some(&overlay), &config).len(), 12);
}

#[test]
fn repeated_ids_of_a_bundle_are_dropped() {
    let mut twice = bundle(4, 2);
    let row = edgewise_ranking::NewCandidate {
        id: "i1",
        author: "a1",
        ..Default::default()
    };
    twice.candidates.push(&row);
    let mut prepared = Prepared::new(twice);
    let ids: Vec<_> = prepared
        .current(None, &RankingConfig::default())
        .ids
        .iter()
        .collect();
    assert_eq!(ids, ["i0", "i1", "i2", "i3"]);
}

#[test]
fn item_facts_come_from_bundle_and_overlay() {
    let prepared = Prepared::new(bundle(10, 10));
    let overlay = overlay(Vec::from([new_item("n1", "zoe")]));
    let known = prepared.item_facts("i3", None).unwrap();
    assert_eq!((known.author, known.tags.contains(&"t3")), ("a3", true));
    let new = prepared.item_facts("n1", Some(&overlay)).unwrap();
    assert_eq!((new.author, new.tags), ("zoe", Vec::from(["fresh"])));
    assert_eq!(prepared.item_facts("n1", None), None);
}

/// Items that may be rows of the bundle (`i`), new (`n`), by followed authors or not.
fn items() -> impl Strategy<Value = Vec<OverlayItem>> {
    let item = (
        0..60_usize,
        0..12_usize,
        any::<bool>(),
        0..500_u32,
        0..900_i64,
    );
    let item = item.prop_map(|(id, author, is_new, likes, age_hours)| OverlayItem {
        is_new,
        created_at_ms: NOW_MS - age_hours * 3_600_000,
        counters: Counters {
            likes,
            ..Counters::default()
        },
        ..new_item(
            &format!("{}{id}", if id < 40 { 'i' } else { 'n' }),
            &format!("a{author}"),
        )
    });
    prop::collection::vec(item, 0..50)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_merge_neither_repeats_nor_resurrects(
        items in items(),
        dead in prop::collection::btree_set(0..60_usize, 0..20),
        position in 95..110_u64,
    ) {
        let dead: Vec<String> = dead
            .iter()
            .map(|id| format!("{}{id}", if *id < 40 { 'i' } else { 'n' }))
            .collect();
        let dead: Vec<&str> = dead.iter().map(String::as_str).collect();
        let mut overlay = overlay(items);
        overlay.position = position;
        overlay.tombstones = tombstones(&dead);
        let config = RankingConfig::default();
        let mut prepared = Prepared::new(bundle(40, 12));
        let view = prepared.current(Some(&overlay), &config).clone();
        let distinct: BTreeSet<&str> = view.ids.iter().collect();
        prop_assert_eq!(distinct.len(), view.len());
        prop_assert!(dead.iter().all(|id| !distinct.contains(id)));
        let alive = (0..40).filter(|row| !dead.contains(&format!("i{row}").as_str())).count();
        prop_assert!(view.len() >= alive);
        for (row, id) in view.ids.iter().enumerate() {
            prop_assert_eq!(view.id_hashes[row], id_hash(id));
            prop_assert!(view.authors.get(view.author[row] as usize).starts_with('a'));
            let last = overlay.items.iter().rev().find(|item| item.id == id);
            if let Some(item) = last.filter(|_| position >= 100 && id.starts_with('i')) {
                let likes = view.feature(row, Feature::Likes);
                prop_assert_eq!(likes, Some(item.counters.likes as f32));
            }
        }
        prop_assert!(view.columns.iter().all(|column| column.len() == view.len()));
        prop_assert_eq!(view.tag_ends.len(), view.len());
        prop_assert_eq!(view.present.len(), view.len());
        // A view does not depend on the overlays before it.
        let mut later = overlay.clone();
        later.position += 1;
        later.items.clear();
        prepared.current(Some(&later), &config);
        prop_assert_eq!(prepared.current(Some(&overlay), &config), &view);
    }
}
