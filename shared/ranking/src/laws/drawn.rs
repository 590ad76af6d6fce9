//! Random rankings: rows, queries, models and configurations.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use proptest::prelude::*;

use crate::blend::Head;
use crate::candidates::{Candidates, Kind, NewCandidate, Sources};
use crate::config::{BlendHead, Normalise, RankingConfig};
use crate::feature::{Feature, index_of};
use crate::query::{Context, Model, Profile, Query, Ranking, Selection};
use crate::sketch::{SKETCH_DIMS, UserVector};
use crate::trees::{Child, Ensemble, Forest, Link, Node, Test, Tree};
use crate::{id_hash, rank};

pub(super) const NOW_MS: i64 = 1_700_000_000_000;

/// A candidate as values, so that rows can be permuted and dropped.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) id: u32,
    pub(super) author: u8,
    pub(super) age_ms: i64,
    pub(super) sources: u8,
    pub(super) kind: usize,
    pub(super) tags: Vec<u8>,
    pub(super) language: Option<u8>,
    pub(super) features: [Option<f32>; Feature::COUNT],
    pub(super) sketch: [i8; SKETCH_DIMS],
}

pub(super) fn candidates(rows: &[Row]) -> Candidates {
    let mut candidates = Candidates {
        as_of_ms: NOW_MS - 600_000,
        ..Candidates::default()
    };
    candidates.sketch.scale = 0.1;
    for row in rows {
        let text = |prefix: &str, number: u8| alloc::format!("{prefix}{number}");
        let tags: Vec<String> = row.tags.iter().map(|&tag| text("t", tag)).collect();
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        candidates.push(&NewCandidate {
            id: &alloc::format!("{}", row.id),
            author: &text("a", row.author),
            created_at_ms: NOW_MS.wrapping_sub(row.age_ms),
            sources: Sources(row.sources),
            kind: Kind::ALL[row.kind],
            language: row.language.map(|language| text("l", language)).as_deref(),
            region: None,
            tags: &tags,
            features: row.features,
            sketch: row.sketch,
        });
    }
    candidates
}

/// Believable numbers with many ties, and any 32 bits now and then.
pub(super) fn feature() -> impl Strategy<Value = Option<f32>> {
    prop_oneof![
        2 => Just(None),
        5 => (0_u8..20).prop_map(|count| Some(f32::from(count))),
        1 => any::<u32>().prop_map(|bits| Some(f32::from_bits(bits))),
    ]
}

pub(super) fn age_ms() -> impl Strategy<Value = i64> {
    prop_oneof![9 => (-2_i64..72).prop_map(|hours| hours * 3_600_000), 1 => any::<i64>()]
}

pub(super) fn row(authors: u8) -> impl Strategy<Value = Row> {
    let tags = prop::collection::vec(0_u8..6, 0..4);
    let language = prop::option::of(0_u8..3);
    let features = prop::array::uniform20(feature());
    (
        0..authors,
        age_ms(),
        0_u8..32,
        0_usize..4,
        tags,
        language,
        features,
        prop::array::uniform8(-3_i8..4),
    )
        .prop_map(
            |(author, age_ms, sources, kind, tags, language, features, sketch)| Row {
                id: 0,
                author,
                age_ms,
                sources,
                kind,
                tags,
                language,
                features,
                sketch,
            },
        )
}

/// Up to 120 rows of distinct ids by few or many authors.
pub(super) fn rows() -> impl Strategy<Value = Vec<Row>> {
    prop_oneof![1_u8..4, 4_u8..16, 16_u8..100]
        .prop_flat_map(|authors| prop::collection::vec(row(authors), 0..120))
        .prop_map(|mut rows| {
            for (id, row) in rows.iter_mut().enumerate() {
                // Neither ascending as text nor by hash.
                row.id = id as u32 * 7919 % 1009;
            }
            rows
        })
}

/// What a request asks, as values.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) limit: u32,
    pub(super) video: bool,
    pub(super) position: u32,
    pub(super) carried: Vec<u64>,
    pub(super) removed: Vec<u64>,
    pub(super) hidden: Vec<u64>,
    pub(super) shown: Vec<u64>,
    pub(super) tag: bool,
    pub(super) language: bool,
    /// The configuration blends the model's trees, the vectors and the formula.
    pub(super) blend: bool,
    /// A late filter refuses one id in four.
    pub(super) late: bool,
    pub(super) seed: u64,
}

pub(super) fn asked() -> impl Strategy<Value = Asked> {
    let authors = |count| {
        prop::collection::vec(0_u8..16, 0..count).prop_map(|authors| {
            let hash = |author: u8| id_hash(&alloc::format!("a{author}"));
            authors.into_iter().map(hash).collect::<Vec<u64>>()
        })
    };
    let items = || {
        prop::collection::vec(0_u32..1009, 0..60).prop_map(|ids| {
            let hashes = ids.into_iter().map(|id| id_hash(&alloc::format!("{id}")));
            hashes
                .collect::<BTreeSet<u64>>()
                .into_iter()
                .collect::<Vec<u64>>()
        })
    };
    let flags = (
        any::<bool>(),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.2),
        any::<bool>(),
        prop::bool::weighted(0.3),
    );
    let limit = prop_oneof![Just(0_u32), 1_u32..30, 30_u32..200];
    (
        limit,
        0_u32..25,
        authors(25),
        items(),
        authors(3),
        items(),
        flags,
        any::<u64>(),
    )
        .prop_map(
            |(limit, position, carried, removed, mut hidden, shown, flags, seed)| {
                hidden.sort_unstable();
                let (video, tag, language, blend, late) = flags;
                Asked {
                    limit,
                    video,
                    position,
                    carried,
                    removed,
                    hidden,
                    shown,
                    tag,
                    language,
                    blend,
                    late,
                    seed,
                }
            },
        )
}

/// Trees of two features each, one of them a category; and the configuration that blends them.
pub(super) fn model() -> Model {
    let feature = |name| index_of(name).expect("the table has it");
    let leaf = |value: f64| Tree {
        nodes: Vec::new(),
        leaves: alloc::vec![value],
    };
    let split = |feature, test, leaves: [f64; 2]| Tree {
        nodes: alloc::vec![Node {
            feature,
            test,
            left: Child::Leaf(0),
            right: Child::Leaf(1),
        }],
        leaves: leaves.into(),
    };
    let at_most = |threshold, nan_left| Test::AtMost {
        threshold,
        nan_left,
        zero_left: None,
    };
    let is_kind = Test::OneOf {
        first: 0,
        words: 1,
        nan_left: false,
    };
    let ensemble = Ensemble {
        features: ["age_hours", "likes", "kind", "duration_s", "session_tags"]
            .map(feature)
            .into(),
        trees: alloc::vec![
            split(0, at_most(12.0, false), [0.3, -0.2]),
            split(1, at_most(5.0, true), [-0.4, 0.25]),
            split(2, is_kind, [0.7, 0.1]),
            split(3, at_most(9.0, true), [0.01, 0.02]),
            split(4, at_most(0.4, true), [0.0, 1.0]),
            leaf(0.125),
        ],
        categories: alloc::vec![0b0110],
        link: Link::Logistic { scale: 1.0 },
        ..Ensemble::default()
    };
    Model {
        version: String::from("test"),
        heads: alloc::vec![Head {
            name: String::from("click"),
            forest: Forest::new(ensemble).expect("the trees are valid"),
        }],
    }
}

pub(super) fn config_of(asked: &Asked) -> RankingConfig {
    let mut config = RankingConfig::default();
    if asked.blend {
        let head = |name: &str, weight, normalise| BlendHead {
            name: String::from(name),
            weights: [weight, weight, -weight, 2.0 * weight],
            normalise,
        };
        config.blend = alloc::vec![
            head("click", 1.5, Normalise::Prediction),
            head("formula", 0.4, Normalise::MinMax),
            head("vectors", 0.3, Normalise::Prediction),
        ];
        config.selection.variety_vectors = 0.5;
    }
    config
}

/// What `asked` makes of the rest of a query.
pub(super) fn with_query<T>(
    asked: &Asked,
    candidates: &Candidates,
    work: impl FnOnce(&Query<'_>) -> T,
) -> T {
    let was_shown = |id: u64| asked.shown.binary_search(&id).is_ok();
    let admits = |row: u32| is_admitted(candidates, row);
    let tags = [crate::short_hash("t2")];
    let query = Query {
        profile: if asked.video {
            Profile::Video
        } else {
            Profile::Feed
        },
        own_author: Some(id_hash("a0")).filter(|_| asked.tag),
        removed_items: &asked.removed,
        hidden_authors: &asked.hidden,
        shown: Some(&was_shown),
        tag: Some("t1").filter(|_| asked.tag),
        language: Some("l1").filter(|_| asked.language),
        position: asked.position,
        recent_authors: &asked.carried,
        context: Context {
            session_tags: &tags,
            vector: asked.blend.then_some(UserVector {
                scale: 0.02,
                values: [1, -2, 3, 0, 5, 6, -7, 100],
            }),
            ..Context::default()
        },
        admits: asked.late.then_some(&admits as &dyn Fn(u32) -> bool),
        ..Query::default()
    };
    work(&query)
}

pub(super) fn is_admitted(candidates: &Candidates, row: u32) -> bool {
    !candidates.id_hashes[row as usize].is_multiple_of(4)
}

pub(super) fn ranked(rows: &[Row], asked: &Asked, selection: Selection) -> (Candidates, Ranking) {
    ranked_with(rows, asked, selection, &config_of(asked))
}

pub(super) fn ranked_with(
    rows: &[Row],
    asked: &Asked,
    selection: Selection,
    config: &RankingConfig,
) -> (Candidates, Ranking) {
    let candidates = candidates(rows);
    let ranking = with_query(asked, &candidates, |query| {
        let query = Query {
            limit: asked.limit,
            selection,
            ..*query
        };
        rank(&query, &candidates, &model(), config, NOW_MS, asked.seed)
    });
    (candidates, ranking)
}

pub(super) fn ids(candidates: &Candidates, ranking: &Ranking) -> Vec<String> {
    let id = |item: &crate::Ranked| String::from(candidates.ids.get(item.row as usize));
    ranking.items.iter().map(id).collect()
}

/// Whether a row survives the removal rules, by the rules' words.
pub(super) fn is_eligible(candidates: &Candidates, row: usize, asked: &Asked) -> bool {
    let id = candidates.id_hashes[row];
    let author = candidates.author[row] as usize;
    let author_hash = candidates.author_hashes[author];
    let mut tags = candidates
        .tags_of(row)
        .iter()
        .map(|&tag| candidates.labels.get(tag.into()));
    let language = candidates.labels.get(candidates.language[row].into());
    let is_own = asked.tag && candidates.authors.get(author) == "a0";
    let is_removed = [&asked.removed, &asked.shown]
        .iter()
        .any(|ids| ids.contains(&id))
        || asked.hidden.contains(&author_hash);
    let is_asked =
        (!asked.tag || tags.any(|tag| tag == "t1")) && (!asked.language || language == "l1");
    is_asked && !is_removed && !is_own
}
