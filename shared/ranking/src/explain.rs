//! Why a candidate has its score.

use alloc::vec::Vec;

use crate::candidates::Candidates;
use crate::config::RankingConfig;
use crate::query::Profile;
use crate::score::{Scorer, term_names};

/// One term of a score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contribution {
    /// The term: `freshness engagement affinity completion deep`.
    pub name: &'static str,
    /// Its value at the request's time.
    pub value: f64,
    /// Its weight in the configuration, for the item's kind.
    pub weight: f64,
    /// What it adds to the score.
    pub contribution: f64,
}

/// The terms of a row's score in the order they are summed.
///
/// The contributions, summed left to right, are the score of [`crate::score()`] bit by
/// bit. Where a score sank, every contribution is `-inf`: no single term is to blame.
#[must_use]
pub fn explain(
    profile: Profile,
    candidates: &Candidates,
    row: usize,
    config: &RankingConfig,
    prior: f64,
    now_ms: i64,
) -> Vec<Contribution> {
    let terms = Scorer::new(profile, candidates, config, prior, now_ms).terms(row);
    let sank = !terms.score().is_finite();
    let contribution = |term| {
        if sank {
            f64::NEG_INFINITY
        } else {
            terms.contribution(term)
        }
    };
    term_names(profile)
        .iter()
        .enumerate()
        .map(|(term, &name)| Contribution {
            name,
            value: terms.values[term],
            weight: terms.weights[term],
            contribution: contribution(term),
        })
        .collect()
}
