//! Pages small enough to follow by hand.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use expect_test::{Expect, expect};

use crate::candidates::{Candidates, NewCandidate, Sources};
use crate::config::RankingConfig;
use crate::feature::Feature;
use crate::query::{Model, Placement, Query, Ranking};
use crate::{id_hash, rank};

/// Rows of `(id, author, tags, sources)`, best first: each has one interaction fewer.
fn candidates(rows: &[(&str, &str, &[&str], Sources)]) -> Candidates {
    let mut candidates = Candidates::default();
    for (place, &(id, author, tags, sources)) in rows.iter().enumerate() {
        let mut row = NewCandidate {
            id,
            author,
            tags,
            sources,
            ..NewCandidate::default()
        };
        row.features[Feature::Interactions as usize] = Some((rows.len() - place) as f32);
        candidates.push(&row);
    }
    candidates
}

fn page(candidates: &Candidates, query: &Query<'_>) -> Ranking {
    let model = Model::formula("test");
    rank(query, candidates, &model, &RankingConfig::default(), 0, 7)
}

/// `id`, with what moved it where that was not its score alone.
#[track_caller]
fn check(candidates: &Candidates, query: &Query<'_>, expect: Expect) {
    let shown: Vec<String> = page(candidates, query)
        .items
        .iter()
        .map(|item| {
            let id = candidates.ids.get(item.row as usize);
            match item.placement {
                Placement::Score => String::from(id),
                Placement::AuthorCap => format!("{id}:cap"),
                Placement::AuthorCapRelaxed => format!("{id}:relaxed"),
                Placement::Variety => format!("{id}:variety"),
                Placement::Explore { propensity } => format!("{id}:explore {propensity}"),
            }
        })
        .collect();
    expect.assert_eq(&shown.join(" "));
}

const NONE: Sources = Sources(0);

#[test]
fn third_item_of_an_author_waits_and_what_passes_it_says_so() {
    let rows = [
        ("a1", "a", &[][..], NONE),
        ("a2", "a", &[], NONE),
        ("a3", "a", &[], NONE),
        ("b1", "b", &[], NONE),
        ("c1", "c", &[], NONE),
    ];
    check(
        &candidates(&rows),
        &Query::default(),
        expect!["a1 a2 b1:cap c1:cap a3:relaxed"],
    );
    let recent_authors = [id_hash("a"), id_hash("x")];
    let query = Query {
        recent_authors: &recent_authors,
        position: 2,
        ..Query::default()
    };
    check(
        &candidates(&rows),
        &query,
        expect!["a1 b1:cap c1:cap a2:relaxed a3:relaxed"],
    );
}

#[test]
fn variety_parts_items_of_the_same_tags() {
    let rows = [
        ("cat1", "a", &["cat"][..], NONE),
        ("cat2", "b", &["cat"], NONE),
        ("cat3", "c", &["cat"], NONE),
        ("dog1", "d", &["dog"], NONE),
        ("cat4", "e", &["cat", "dog"], NONE),
        ("fish", "f", &["fish"], NONE),
        ("none", "g", &[], NONE),
    ];
    check(
        &candidates(&rows),
        &Query::default(),
        expect!["cat1 cat2 dog1:variety cat3:variety cat4 fish none"],
    );
}

#[test]
fn tenth_position_explores_and_the_cap_binds_it() {
    let names: Vec<String> = (0..14).map(|number| format!("i{number:02}")).collect();
    let row = |name: &'static str, author| (name, author, &[][..], Sources::EXPLORE);
    let mut rows: Vec<(&str, &str, &[&str], Sources)> = names
        .iter()
        .map(|name| (name.as_str(), name.as_str(), &[][..], NONE))
        .collect();
    rows.push(row("new1", "i00"));
    rows.push(row("new2", "i00"));
    rows.push(row("new3", "twice"));
    let rows = candidates(&rows);
    check(
        &rows,
        &Query {
            limit: 12,
            ..Query::default()
        },
        expect!["i00 i01 i02 i03 i04 i05 i06 i07 i08 new2:explore 0.3333333333333333 i09 i10"],
    );
    // On this page positions 10 and 20 are slots; `twice` was shown twice just before.
    let recent_authors = [id_hash("twice"), id_hash("twice")];
    let query = Query {
        recent_authors: &recent_authors,
        position: 9,
        ..Query::default()
    };
    check(
        &rows,
        &query,
        expect![
            "new2:explore 0.5 i00 i01 i02 i03 i04 i05 i06 i07 i08 i09 i10 i11 i12 i13 new1:relaxed new3:relaxed"
        ],
    );
}

#[test]
fn explore_draws_each_candidate_as_often_as_its_propensity_says() {
    let rows: Vec<(String, String)> = (0..30)
        .map(|n| (format!("i{n}"), format!("a{n}")))
        .collect();
    let source = |n| if n >= 25 { Sources::EXPLORE } else { NONE };
    let rows: Vec<(&str, &str, &[&str], Sources)> = rows
        .iter()
        .enumerate()
        .map(|(n, (id, author))| (id.as_str(), author.as_str(), &[][..], source(n)))
        .collect();
    let candidates = candidates(&rows);
    let model = Model::formula("test");
    let query = Query {
        limit: 10,
        ..Query::default()
    };
    let mut drawn = [0_u32; 30];
    for seed in 0..5_000 {
        let page = rank(
            &query,
            &candidates,
            &model,
            &RankingConfig::default(),
            0,
            seed,
        );
        let last = page.items[9];
        assert_eq!(last.placement, Placement::Explore { propensity: 0.2 });
        assert_eq!(last.score_rank, last.row + 1);
        drawn[last.row as usize] += 1;
    }
    // Binomial: mean 1,000, standard deviation 28.
    assert!(
        drawn[25..]
            .iter()
            .all(|&count| (880..1_120).contains(&count)),
        "{drawn:?}"
    );
}
