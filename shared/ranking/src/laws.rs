//! Laws that hold for any input: property tests over whole rankings.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use proptest::prelude::*;

use crate::blend::Head;
use crate::candidates::Sources;
use crate::config::{BlendHead, Normalise, RankingConfig};
use crate::feature::index_of;
use crate::query::{Model, Placement, Profile, Query, Ranking, Selection};
use crate::score::term_names;
use crate::trees::{Ensemble, Forest, Tree};
use crate::{explain, rank, score};

mod drawn;

use self::drawn::*;

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
