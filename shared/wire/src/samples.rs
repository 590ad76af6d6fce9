//! Values that tests share: one small of each format, and realistic large ones.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use edgewise_ranking::Head;
use edgewise_ranking::candidates::NewCandidate;
use edgewise_ranking::feature::schema_hash;
use edgewise_ranking::trees::{Child, Ensemble, Forest, Link, Node, Test, Tree};
use edgewise_ranking::{
    Candidates, Feature, HotSum, HotWindow, Kind, RankingConfig, Sources, UserVector, id_hash,
    short_hash,
};

use crate::api::{Event, EventType, Rung, SessionStatus};
use crate::bundle::Bundle;
use crate::counters::Counters;
use crate::cursor::Cursor;
use crate::keys::Keys;
use crate::lists::{HotList, HotListItem};
use crate::model::ModelSnapshot;
use crate::overlay::{DomainClock, ModelPointer, Overlay, OverlayItem, Purge};
use crate::pack::{Pack, PackedCandidates};
use crate::session::Session;

/// The wall time of all samples, Unix ms.
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

/// SplitMix64 (Steele, Lea, Flood 2014): enough for test data.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// (0, 1]
    pub(crate) fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    fn uuid(&mut self) -> String {
        let hex = format!("{:016x}{:016x}", self.next(), self.next());
        let parts = [
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
        ];
        parts.join("-")
    }
}

pub(crate) fn keys() -> Keys {
    Keys::from_secret("k1", &[7; 32]).unwrap()
}

pub(crate) fn event(kind: EventType, id: &str, item: Option<&str>, author: Option<&str>) -> Event {
    Event {
        id: id.to_string(),
        kind,
        user: "u1".to_string(),
        item: item.map(str::to_string),
        author: author.map(str::to_string),
        ts_ms: None,
        watch_ms: None,
        duration_ms: None,
        value: None,
        request_id: None,
        position: None,
    }
}

pub(crate) fn bundle() -> Bundle {
    let mut candidates = Candidates::default();
    let mut features = [None; Feature::COUNT];
    features[Feature::Likes as usize] = Some(3.0);
    features[Feature::WatchRatioSum as usize] = Some(1.25);
    candidates.push(&NewCandidate {
        id: "42",
        author: "7",
        created_at_ms: NOW_MS - 1_000,
        sources: Sources::FOLLOW.union(Sources::TRENDING),
        kind: Kind::Video,
        language: Some("de"),
        region: None,
        tags: &["music", "live"],
        features,
        sketch: [127, -128, 0, 1, -1, 2, 3, 4],
    });
    features[Feature::Likes as usize] = Some(f32::NAN);
    candidates.push(&NewCandidate {
        id: "0188d0e2-1b2c-7d3e-8f40-a1b2c3d4e5f6",
        author: "anna",
        created_at_ms: -5,
        sources: Sources::EXPLORE,
        kind: Kind::Post,
        language: None,
        region: Some("BE"),
        tags: &[],
        features,
        ..NewCandidate::default()
    });
    candidates.push(&NewCandidate {
        id: "007",
        author: "7",
        ..NewCandidate::default()
    });
    candidates.as_of_ms = NOW_MS - 1;
    candidates.sketch.scale = 0.5;
    Bundle {
        user: Some("u1".to_string()),
        made_at_ms: NOW_MS,
        position: 99,
        completion_prior: 0.5,
        user_vector: Some(UserVector {
            scale: 0.25,
            values: [1, -1, 2, -2, 3, -3, 4, -128],
        }),
        follows: vec![1, 2, u32::MAX],
        hidden_authors: vec![id_hash("troll")],
        removed_items: vec![1, id_hash("seen")],
        applied_events: vec![short_hash("e1")],
        candidates,
    }
}

pub(crate) fn overlay() -> Overlay {
    let item = OverlayItem {
        id: "42".to_string(),
        author: "7".to_string(),
        created_at_ms: NOW_MS - 1_000,
        duration_ms: 15_000,
        kind: Kind::Video,
        region: Some("BE".to_string()),
        language: None,
        tags: vec!["music".to_string(), "live".to_string()],
        is_new: true,
        counters: Counters {
            impressions: 10,
            likes: 3,
            watch_ratio_sum: 1.25,
            ..Counters::default()
        },
        hot: [HotSum {
            sum: 1.5,
            at_ms: NOW_MS,
        }; 3],
        last_event_ms: NOW_MS,
    };
    Overlay {
        position: 100,
        made_at_ms: NOW_MS,
        clock: DomainClock {
            base_domain_ms: NOW_MS,
            base_wall_ms: NOW_MS,
            speed: 60.0,
        },
        completion_prior: 0.4,
        items: vec![
            item,
            OverlayItem {
                id: "b".to_string(),
                ..OverlayItem::default()
            },
        ],
        tombstones: vec![5, id_hash("gone")],
        model: ModelPointer {
            stable: "formula@1".to_string(),
            canary: Some("formula@2".to_string()),
            canary_permille: 50,
        },
        purges: vec![
            Purge {
                tag: 0,
                before_ms: 1,
            },
            Purge {
                tag: 9,
                before_ms: NOW_MS,
            },
        ],
    }
}

pub(crate) fn hot_list() -> HotList {
    let item = |id: &str, sum: f64| HotListItem {
        id: id.to_string(),
        author: "7".to_string(),
        hot: HotSum {
            sum,
            at_ms: NOW_MS - 5,
        },
        last_event_ms: NOW_MS - 5,
    };
    HotList {
        window: HotWindow::Day,
        region: None,
        language: None,
        tag: Some("music".to_string()),
        generated_at_ms: NOW_MS,
        items: vec![item("42", 9.5), item("x", 0.1)],
    }
}

pub(crate) fn snapshot() -> ModelSnapshot {
    ModelSnapshot {
        version: "formula@1".to_string(),
        schema_hash: schema_hash(),
        configs: vec![RankingConfig::default()],
        heads: vec![Head {
            name: "click".to_string(),
            forest: Forest::new(ensemble()).unwrap(),
        }],
    }
}

/// Trees with every kind of test, a lone leaf and both sides of missing values.
pub(crate) fn ensemble() -> Ensemble {
    let node = |feature, test, left, right| Node {
        feature,
        test,
        left,
        right,
    };
    let at_most = |threshold, nan_left, zero_left| Test::AtMost {
        threshold,
        nan_left,
        zero_left,
    };
    let set = Test::OneOf {
        first: 1,
        words: 1,
        nan_left: true,
    };
    let nodes = vec![
        node(0, at_most(1.5, true, None), Child::Node(1), Child::Node(2)),
        node(
            1,
            at_most(f32::NEG_INFINITY, false, Some(true)),
            Child::Leaf(0),
            Child::Leaf(1),
        ),
        node(2, set, Child::Leaf(2), Child::Node(3)),
        node(
            0,
            at_most(f32::INFINITY, false, Some(false)),
            Child::Leaf(3),
            Child::Leaf(4),
        ),
    ];
    Ensemble {
        features: vec![0, 20, 46],
        trees: vec![
            Tree {
                nodes,
                leaves: vec![0.25, -0.1, 1e-3, 7.0, -0.0],
            },
            Tree {
                nodes: vec![],
                leaves: vec![0.5],
            },
        ],
        categories: vec![0, 0b1010],
        base: 0.125,
        link: Link::Logistic { scale: 1.0 },
        ..Ensemble::default()
    }
}

pub(crate) fn cursor(shown: u64) -> Cursor {
    let mut cursor = Cursor::new(id_hash("u1"));
    let mut random = Random(1);
    for _ in 0..shown {
        cursor.record(random.next(), random.next());
    }
    cursor
}

pub(crate) fn session() -> Session {
    let mut session = Session::new(id_hash("u1"));
    let like = event(EventType::Like, "e1", Some("42"), None);
    session.apply(&like, Some("7"), &["music", "live"], NOW_MS);
    session.apply(
        &event(EventType::Hide, "e2", Some("43"), None),
        None,
        &[],
        NOW_MS,
    );
    session
}

/// A bundle as a busy site makes it: `rows` items of 300 authors over 72 hours, counters
/// with long tails, two of 40 tags each, 100 followed authors.
pub(crate) fn realistic_bundle(rows: usize, uuids: bool) -> Bundle {
    let mut random = Random(rows as u64);
    let id = |random: &mut Random, range: u64| {
        if uuids {
            random.uuid()
        } else {
            random.below(range).to_string()
        }
    };
    let authors: Vec<String> = (0..300).map(|_| id(&mut random, 10_000_000)).collect();
    let tags: Vec<String> = (0..40).map(|tag| format!("topic-{tag}")).collect();
    let mut candidates = Candidates::default();
    for row in 0..rows {
        let item = id(&mut random, 1_000_000_000);
        let picked = [0; 2].map(|_| tags[random.below(40) as usize].as_str());
        candidates.push(&NewCandidate {
            id: &item,
            author: &authors[random.below(300) as usize],
            created_at_ms: NOW_MS - random.below(3 * 86_400_000) as i64,
            sources: Sources([1, 2, 3, 4, 16][row * 5 / rows]),
            kind: Kind::Video,
            language: Some(["de", "fr", "en"][random.below(3) as usize]),
            region: Some(["BE", "DE", "FR", "NL"][random.below(4) as usize]),
            tags: &picked,
            features: realistic_features(&mut random, row),
            sketch: core::array::from_fn(|_| random.next() as i8),
        });
    }
    let mut follows: Vec<u32> = authors
        .iter()
        .take(100)
        .map(|author| short_hash(author))
        .collect();
    follows.sort_unstable();
    Bundle {
        follows,
        candidates,
        ..bundle()
    }
}

/// The same quantities as the bundles of `benches` have.
fn realistic_features(random: &mut Random, row: usize) -> [Option<f32>; Feature::COUNT] {
    // Zipf-like: most items were shown some hundred times, some tens of thousands of times.
    let impressions = (50_000.0 / (1.0 + random.unit() * 400.0)).floor();
    let likes = (impressions * 0.1 * random.unit()).floor();
    let views = (impressions * (0.4 + 0.4 * random.unit())).floor();
    let ratio = random.unit();
    let week = likes * 1.5 * random.unit();
    let day = week * random.unit();
    let mut features = [None; Feature::COUNT];
    let mut set = |feature: Feature, value: f64| features[feature as usize] = Some(value as f32);
    let mut share = |of: f64, up_to: f64| (of * up_to * random.unit()).floor();
    set(Feature::Impressions, impressions);
    set(Feature::Likes, likes);
    set(Feature::Comments, share(likes, 0.4));
    set(Feature::Shares, share(likes, 0.2));
    set(Feature::Clicks, share(impressions, 0.5));
    set(Feature::TimedViews, views);
    set(Feature::WatchRatioSum, views * (0.1 + 0.8 * ratio));
    set(Feature::CompletedViews, (views * ratio * 0.6).floor());
    set(Feature::Interactions, share(1.0, 5.0));
    set(Feature::Hides, share(impressions, 0.01));
    set(Feature::Follows, share(likes, 0.1));
    set(Feature::Hot7d, week);
    set(Feature::Hot24h, day);
    set(Feature::Hot1h, day * 0.3 * random.unit());
    set(Feature::RegionPopularity, (day / 4_000.0).min(1.0));
    set(Feature::LanguagePopularity, (day / 2_500.0).min(1.0));
    let duration_ms = 5_000 + random.below(115_000);
    set(Feature::Duration, duration_ms as f64 / 1_000.0);
    set(Feature::SourcePosition, (1 + row % 180) as f64);
    if row.is_multiple_of(9) {
        set(Feature::Similarity, random.unit());
    }
    features
}

/// The parts of a pack, encoded.
pub(crate) struct Packed {
    bundle: Vec<u8>,
    overlay: Vec<u8>,
    snapshot: Vec<u8>,
}

/// A small pack's parts.
pub(crate) fn packed() -> Packed {
    Packed {
        bundle: bundle().encode(),
        overlay: overlay().encode(),
        snapshot: snapshot().encode(),
    }
}

impl Packed {
    pub(crate) fn pack(&self) -> Pack<'_> {
        Pack {
            packed_at_ms: NOW_MS,
            stored_at_ms: NOW_MS - 1_500,
            rung: Rung::Personal,
            user: Some("u1".to_string()),
            region: Some("BE".to_string()),
            utc_offset_minutes: 60,
            session: session(),
            session_status: SessionStatus::Ok,
            cursor: Some(cursor(30)),
            candidates: PackedCandidates::Bundle(&self.bundle),
            overlay: Some(&self.overlay),
            snapshot: Some(&self.snapshot),
        }
    }
}
