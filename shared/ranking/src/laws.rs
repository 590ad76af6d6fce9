//! Laws that hold for any input: property tests over whole rankings.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use proptest::prelude::*;

use crate::blend::Head;
use crate::candidates::{Candidates, Kind, NewCandidate, Sources};
use crate::config::{BlendHead, Normalise, RankingConfig};
use crate::feature::{Feature, index_of};
use crate::query::{Context, Model, Placement, Profile, Query, Ranking, Selection};
use crate::score::term_names;
use crate::sketch::{SKETCH_DIMS, UserVector};
use crate::trees::{Child, Ensemble, Forest, Link, Node, Test, Tree};
use crate::{explain, id_hash, rank, score};

const NOW_MS: i64 = 1_700_000_000_000;

/// A candidate as values, so that rows can be permuted and dropped.
#[derive(Clone, Debug)]
struct Row {
    id: u32,
    author: u8,
    age_ms: i64,
    sources: u8,
    kind: usize,
    tags: Vec<u8>,
    language: Option<u8>,
    features: [Option<f32>; Feature::COUNT],
    sketch: [i8; SKETCH_DIMS],
}

fn candidates(rows: &[Row]) -> Candidates {
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
fn feature() -> impl Strategy<Value = Option<f32>> {
    prop_oneof![
        2 => Just(None),
        5 => (0_u8..20).prop_map(|count| Some(f32::from(count))),
        1 => any::<u32>().prop_map(|bits| Some(f32::from_bits(bits))),
    ]
}

fn age_ms() -> impl Strategy<Value = i64> {
    prop_oneof![9 => (-2_i64..72).prop_map(|hours| hours * 3_600_000), 1 => any::<i64>()]
}

fn row(authors: u8) -> impl Strategy<Value = Row> {
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
fn rows() -> impl Strategy<Value = Vec<Row>> {
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
struct Asked {
    limit: u32,
    video: bool,
    position: u32,
    carried: Vec<u64>,
    removed: Vec<u64>,
    hidden: Vec<u64>,
    shown: Vec<u64>,
    tag: bool,
    language: bool,
    /// The configuration blends the model's trees, the vectors and the formula.
    blend: bool,
    /// A late filter refuses one id in four.
    late: bool,
    seed: u64,
}

fn asked() -> impl Strategy<Value = Asked> {
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
fn model() -> Model {
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

fn config_of(asked: &Asked) -> RankingConfig {
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
fn with_query<T>(asked: &Asked, candidates: &Candidates, work: impl FnOnce(&Query<'_>) -> T) -> T {
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

fn is_admitted(candidates: &Candidates, row: u32) -> bool {
    !candidates.id_hashes[row as usize].is_multiple_of(4)
}

fn ranked(rows: &[Row], asked: &Asked, selection: Selection) -> (Candidates, Ranking) {
    ranked_with(rows, asked, selection, &config_of(asked))
}

fn ranked_with(
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

fn ids(candidates: &Candidates, ranking: &Ranking) -> Vec<String> {
    let id = |item: &crate::Ranked| String::from(candidates.ids.get(item.row as usize));
    ranking.items.iter().map(id).collect()
}

/// Whether a row survives the removal rules, by the rules' words.
fn is_eligible(candidates: &Candidates, row: usize, asked: &Asked) -> bool {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn page_is_a_full_subset_without_repeats(rows in rows(), asked in asked(), diverse: bool) {
        let selection = if diverse { Selection::Diverse } else { Selection::None };
        let (candidates, ranking) = ranked(&rows, &asked, selection);
        let eligible: Vec<usize> =
            (0..rows.len()).filter(|&row| is_eligible(&candidates, row, &asked)).collect();
        let page: BTreeSet<usize> = ranking.items.iter().map(|item| item.row as usize).collect();
        prop_assert_eq!(page.len(), ranking.items.len(), "an item repeats");
        prop_assert!(page.iter().all(|row| eligible.contains(row)));
        prop_assert_eq!(ranking.eligible as usize, eligible.len());
        // What the late filter refuses is made up for from behind.
        let admitted =
            |row: &&usize| !asked.late || is_admitted(&candidates, **row as u32);
        prop_assert!(page.iter().all(|row| admitted(&row)));
        let left = eligible.iter().filter(admitted).count();
        prop_assert_eq!(page.len(), left.min(asked.limit as usize));
        prop_assert!(ranking.removed.refused as usize <= eligible.len() - left);
        let removed = ranking.removed;
        let gone = removed.own + removed.items + removed.hidden_authors + removed.shown
            + removed.filtered + removed.repeated;
        prop_assert_eq!(gone as usize + eligible.len(), rows.len());
    }

    #[test]
    fn rank_by_score_and_position_are_right(rows in rows(), asked in asked(), diverse: bool) {
        let selection = if diverse { Selection::Diverse } else { Selection::None };
        let (candidates, ranking) = ranked(&rows, &asked, selection);
        let whole = Asked { limit: u32::MAX, late: false, ..asked.clone() };
        let (_, by_score) = ranked(&rows, &whole, Selection::None);
        let id = |row: u32| candidates.ids.bytes_of(row as usize);
        let is_sorted = by_score.items.is_sorted_by(|a, b| {
            a.score > b.score || a.score == b.score && id(a.row) < id(b.row)
        });
        prop_assert!(is_sorted);
        for (index, item) in ranking.items.iter().enumerate() {
            prop_assert_eq!(item.position, asked.position + index as u32 + 1);
            let first = &by_score.items[item.score_rank as usize - 1];
            prop_assert_eq!((first.row, first.score.to_bits()), (item.row, item.score.to_bits()));
        }
    }

    #[test]
    fn author_cap_holds_on_every_prefix_unless_nothing_else_is_left(rows in rows(), asked in asked()) {
        let (candidates, ranking) = ranked(&rows, &asked, Selection::Diverse);
        let author = |row: u32| candidates.author_hashes[candidates.author[row as usize] as usize];
        let mut history = asked.carried.clone();
        let mut left: Vec<u32> = (0..rows.len() as u32)
            .filter(|&row| is_eligible(&candidates, row as usize, &asked))
            .filter(|&row| !asked.late || is_admitted(&candidates, row))
            .collect();
        for item in &ranking.items {
            let recent = &history[history.len().saturating_sub(19)..];
            let allows = |row: u32| {
                recent.iter().filter(|&&other| other == author(row)).count() < 2
            };
            if item.placement == Placement::AuthorCapRelaxed {
                prop_assert!(!left.iter().any(|&row| allows(row)), "something else was left");
            } else {
                prop_assert!(allows(item.row), "position {} breaks the cap", item.position);
            }
            left.retain(|&row| row != item.row);
            history.push(author(item.row));
        }
    }

    #[test]
    fn explore_slots_draw_from_all_of_f5_that_may_stand_there(rows in rows(), asked in asked()) {
        let (candidates, ranking) = ranked(&rows, &asked, Selection::Diverse);
        let author = |row: u32| candidates.author_hashes[candidates.author[row as usize] as usize];
        let mut history = asked.carried.clone();
        let mut pool: Vec<u32> = (0..rows.len() as u32)
            .filter(|&row| is_eligible(&candidates, row as usize, &asked))
            .filter(|&row| candidates.sources[row as usize].contains(Sources::EXPLORE))
            .filter(|&row| !asked.late || is_admitted(&candidates, row))
            .collect();
        for item in &ranking.items {
            let recent = &history[history.len().saturating_sub(19)..];
            let choices = pool.iter().filter(|&&row| {
                recent.iter().filter(|&&other| other == author(row)).count() < 2
            });
            let count = choices.count();
            let is_slot = item.position % 10 == 0 && count > 0;
            if let Placement::Explore { propensity } = item.placement {
                prop_assert!(is_slot && pool.contains(&item.row));
                prop_assert_eq!(propensity, 1.0 / count as f64);
            } else {
                prop_assert!(!is_slot, "position {} explores nothing", item.position);
            }
            pool.retain(|&row| row != item.row);
            history.push(author(item.row));
        }
    }

    #[test]
    fn variety_moves_at_most_ten_places_from_the_capped_order(rows in rows(), asked in asked()) {
        let mut config = RankingConfig::default();
        config.selection.explore_every = 0;
        let asked = Asked { limit: asked.limit.min(100), ..asked };
        config.blend = config_of(&asked).blend;
        let (_, varied) = ranked_with(&rows, &asked, Selection::Diverse, &config);
        config.selection.variety_lambda = 1.0;
        let whole = Asked { limit: u32::MAX, ..asked.clone() };
        let (_, capped) = ranked_with(&rows, &whole, Selection::Diverse, &config);
        let is_relaxed = |item: &crate::Ranked| item.placement == Placement::AuthorCapRelaxed;
        let relaxed = capped.items.iter().take(varied.items.len()).any(is_relaxed);
        for (place, item) in varied.items.iter().enumerate() {
            let before = capped.items.iter().position(|other| other.row == item.row).unwrap();
            prop_assert!(before.abs_diff(place) <= 10, "from {before} to {place}");
            // Where the cap was relaxed, the capped order itself depends on what variety did.
            let is_named = before == place || item.placement == Placement::Variety;
            prop_assert!(is_named || relaxed, "{:?} from {before} to {place}", item.placement);
        }
    }

    #[test]
    fn a_worse_item_never_moves_a_better_one_in_scored_order(rows in rows(), asked in asked()) {
        let asked = Asked { limit: u32::MAX, ..asked };
        // Not where a head is scaled by the worst: its leaving moves the others.
        let mut config = config_of(&asked);
        for head in &mut config.blend {
            head.normalise = Normalise::Prediction;
        }
        let (all, ranking) = ranked_with(&rows, &asked, Selection::None, &config);
        let all_ids = ids(&all, &ranking);
        for (rank, item) in ranking.items.iter().enumerate().rev().take(8) {
            let mut fewer = rows.clone();
            fewer.remove(item.row as usize);
            let (candidates, without) = ranked_with(&fewer, &asked, Selection::None, &config);
            prop_assert_eq!(&ids(&candidates, &without)[..rank], &all_ids[..rank]);
        }
    }

    #[test]
    fn explained_contributions_sum_to_the_score_bit_by_bit(rows in rows(), asked in asked()) {
        let asked = Asked { limit: u32::MAX, ..asked };
        let (candidates, ranking) = ranked(&rows, &asked, Selection::None);
        let config = config_of(&asked);
        let profile = if asked.video { Profile::Video } else { Profile::Feed };
        let model = model();
        for item in &ranking.items {
            let row = item.row as usize;
            let terms = with_query(&asked, &candidates, |query| {
                explain(query, &candidates, row, &model, &config, NOW_MS, &ranking.scoring)
            });
            let heads = if asked.blend { 3 } else { term_names(profile).len() };
            prop_assert_eq!(terms.len(), heads);
            for start in [0.0, -0.0] {
                let sum = terms.iter().fold(start, |sum, term| sum + term.contribution);
                prop_assert_eq!(sum.to_bits(), item.score.to_bits());
            }
            if asked.blend {
                continue;
            }
            let alone = score(profile, &candidates, row, &config, 0.5, NOW_MS);
            prop_assert_eq!(alone.score.to_bits(), item.score.to_bits());
        }
    }

    #[test]
    fn any_bits_rank_without_nan(
        rows in prop::collection::vec((row(8), prop::array::uniform20(any::<u32>())), 0..60),
        asked in asked(),
        now_ms: i64,
        prior_bits: u64,
        weight_bits: u64,
    ) {
        let rows: Vec<Row> = rows
            .into_iter()
            .enumerate()
            .map(|(id, (row, bits))| {
                Row { id: id as u32, features: bits.map(|bits| Some(f32::from_bits(bits))), ..row }
            })
            .collect();
        let candidates = candidates(&rows);
        let mut config = RankingConfig::default();
        config.feed[1].engagement = f64::from_bits(weight_bits);
        config.selection.variety_lambda = f64::from_bits(prior_bits.rotate_left(7));
        config.blend = config_of(&asked).blend;
        if let Some(head) = config.blend.first_mut() {
            head.weights[1] = f64::from_bits(weight_bits);
        }
        let query = Query {
            limit: asked.limit,
            profile: if asked.video { Profile::Video } else { Profile::Feed },
            completion_prior: f64::from_bits(prior_bits),
            ..Query::default()
        };
        let ranking = rank(&query, &candidates, &model(), &config, now_ms, asked.seed);
        prop_assert!(ranking.items.iter().all(|item| item.score < f64::INFINITY));
        prop_assert_eq!(ranking.items.len(), rows.len().min(asked.limit as usize));
    }

    #[test]
    fn order_of_rows_does_not_matter(
        (rows, shuffled) in rows().prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
        asked in asked(),
        diverse: bool,
    ) {
        let selection = if diverse { Selection::Diverse } else { Selection::None };
        let (candidates, ranking) = ranked(&rows, &asked, selection);
        let (candidates_2, ranking_2) = ranked(&shuffled, &asked, selection);
        prop_assert_eq!(ids(&candidates, &ranking), ids(&candidates_2, &ranking_2));
        let bits = |ranking: &Ranking| {
            let scores = ranking.items.iter().map(|item| item.score.to_bits());
            scores.collect::<Vec<u64>>()
        };
        prop_assert_eq!(bits(&ranking), bits(&ranking_2));
        prop_assert_eq!(ranking.degradations, ranking_2.degradations);
        prop_assert_eq!(ranking.removed, ranking_2.removed);
    }

    #[test]
    fn pages_in_a_row_show_every_item_once(rows in rows(), seed: u64) {
        let candidates = candidates(&rows);
        let model = model();
        let config = RankingConfig::default();
        let mut shown: Vec<u64> = Vec::new();
        let mut recent_authors: Vec<u64> = Vec::new();
        for page in 0..=rows.len().div_ceil(20) {
            let was_shown = |id: u64| shown.contains(&id);
            let query = Query {
                shown: Some(&was_shown),
                position: shown.len() as u32,
                recent_authors: &recent_authors,
                ..Query::default()
            };
            let ranking = rank(&query, &candidates, &model, &config, NOW_MS, seed ^ page as u64);
            prop_assert_eq!(ranking.items.len(), 20.min(rows.len() - shown.len()));
            for item in ranking.items {
                shown.push(candidates.id_hashes[item.row as usize]);
                recent_authors.push(
                    candidates.author_hashes[candidates.author[item.row as usize] as usize],
                );
            }
        }
        let distinct: BTreeSet<u64> = shown.iter().copied().collect();
        prop_assert_eq!(distinct.len(), rows.len());
    }
}

#[test]
fn a_bad_prior_counts_once_where_a_head_reads_it() {
    let reading = |name: &str| Ensemble {
        features: alloc::vec![index_of(name).expect("the table has it")],
        trees: alloc::vec![Tree {
            nodes: Vec::new(),
            leaves: alloc::vec![1.0],
        }],
        ..Ensemble::default()
    };
    let degradations = |profile, heads: &[&str]| {
        let head = |name: &&str| Head {
            name: String::from(*name),
            forest: Forest::new(reading(name)).expect("the trees are valid"),
        };
        let trees = heads.iter().filter(|&&name| name != "formula");
        let model = Model {
            version: String::from("test"),
            heads: trees.map(head).collect(),
        };
        let blended = |name: &&str| BlendHead {
            name: String::from(*name),
            weights: [1.0; 4],
            normalise: Normalise::Prediction,
        };
        let config = RankingConfig {
            blend: heads.iter().map(blended).collect(),
            ..RankingConfig::default()
        };
        let query = Query {
            profile,
            completion_prior: f64::NAN,
            ..Query::default()
        };
        rank(&query, &candidates(&[]), &model, &config, NOW_MS, 0).degradations
    };
    assert_eq!(degradations(Profile::Feed, &["completion"]), 1);
    assert_eq!(degradations(Profile::Video, &["completion", "formula"]), 1);
    assert_eq!(degradations(Profile::Video, &["likes", "formula"]), 1);
    assert_eq!(degradations(Profile::Feed, &["likes", "formula"]), 0);
    assert_eq!(degradations(Profile::Video, &["likes"]), 0);
}
