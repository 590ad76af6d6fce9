//! Facts that the tests of this package share.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use edgewise_ranking::{Candidates, Feature, Kind, NewCandidate, Sources, id_hash, short_hash};
use edgewise_wire::api::{Event, EventType};
use edgewise_wire::bundle::Bundle;
use edgewise_wire::counters::Counters;
use edgewise_wire::keys::Keys;
use edgewise_wire::overlay::{DomainClock, Overlay, OverlayItem};

/// Wall and domain time of the tests, Unix ms.
pub(crate) const NOW_MS: i64 = 1_790_000_000_000;

pub(crate) fn keys() -> Keys {
    Keys::from_secret("k1", &[7; 32]).unwrap()
}

/// A bundle of `u1`: items `i0`.. by authors `a0`.., of whom the first half is followed.
pub(crate) fn bundle(rows: usize, authors: usize) -> Bundle {
    let mut candidates = Candidates::default();
    for row in 0..rows {
        let mut features = [None; Feature::COUNT];
        features[Feature::Likes as usize] = Some((row * 7 % 50) as f32);
        features[Feature::Impressions as usize] = Some((row * 13 % 400) as f32);
        features[Feature::Interactions as usize] = Some((row % authors % 4) as f32);
        let author = row % authors;
        let followed = author < authors.div_ceil(2);
        candidates.push(&NewCandidate {
            id: &format!("i{row}"),
            author: &format!("a{author}"),
            created_at_ms: NOW_MS - row as i64 * 120_000,
            sources: if followed {
                Sources::FOLLOW
            } else {
                Sources::TRENDING
            },
            kind: if row % 3 == 0 {
                Kind::Post
            } else {
                Kind::Video
            },
            language: Some(if row % 2 == 0 { "en" } else { "de" }),
            region: Some("CH"),
            tags: &[&format!("t{}", row % 5), "all"],
            features,
            ..NewCandidate::default()
        });
    }
    let mut follows: Vec<u32> = (0..authors.div_ceil(2))
        .map(|author| short_hash(&format!("a{author}")))
        .collect();
    follows.sort_unstable();
    Bundle {
        user: Some("u1".to_string()),
        made_at_ms: NOW_MS,
        position: 100,
        completion_prior: 0.5,
        follows,
        candidates,
        ..Bundle::default()
    }
}

/// An overlay just after [`bundle`].
pub(crate) fn overlay(items: Vec<OverlayItem>) -> Overlay {
    Overlay {
        position: 101,
        made_at_ms: NOW_MS,
        clock: DomainClock {
            base_domain_ms: NOW_MS,
            base_wall_ms: NOW_MS,
            speed: 1.0,
        },
        completion_prior: 0.5,
        items,
        ..Overlay::default()
    }
}

/// A new overlay item, a second old.
pub(crate) fn new_item(id: &str, author: &str) -> OverlayItem {
    OverlayItem {
        id: id.to_string(),
        author: author.to_string(),
        created_at_ms: NOW_MS - 1_000,
        is_new: true,
        tags: Vec::from(["fresh".to_string()]),
        counters: Counters {
            likes: 3,
            impressions: 9,
            ..Counters::default()
        },
        ..OverlayItem::default()
    }
}

pub(crate) fn tombstones(ids: &[&str]) -> Vec<u64> {
    let mut hashes: Vec<u64> = ids.iter().map(|id| id_hash(id)).collect();
    hashes.sort_unstable();
    hashes
}

/// An event of `u1`; `item` and `author` may be empty.
pub(crate) fn event(id: &str, kind: EventType, item: &str, author: &str) -> Event {
    let named = |text: &str| (!text.is_empty()).then(|| String::from(text));
    Event {
        id: id.to_string(),
        kind,
        user: "u1".to_string(),
        item: named(item),
        author: named(author),
        ts_ms: None,
        watch_ms: None,
        duration_ms: None,
        value: None,
        request_id: None,
        position: None,
    }
}
