//! Why a candidate has its score.

use alloc::vec::Vec;

use crate::blend::{Scoring, contribution, values_of_row};
use crate::candidates::Candidates;
use crate::config::RankingConfig;
use crate::query::{Model, Query};
use crate::score::{Scorer, term_names};

/// One term of a score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contribution<'a> {
    /// The formula's term (`freshness engagement affinity completion deep`) or the blend's
    /// head.
    pub name: &'a str,
    /// Its value at the request's time; of a head, on the blend's scale.
    pub value: f64,
    /// Its weight in the configuration, for the item's kind.
    pub weight: f64,
    /// What it adds to the score.
    pub contribution: f64,
}

/// The terms of a row's score in the order they are summed. `scoring` is what the ranking
/// of the same arguments said of itself.
///
/// The contributions, summed left to right, are the row's score of that ranking bit by bit.
/// Where a score sank, every contribution is `-inf`: no single term is to blame.
#[must_use]
pub fn explain<'a>(
    query: &Query<'_>,
    candidates: &Candidates,
    row: usize,
    model: &Model,
    config: &'a RankingConfig,
    now_ms: i64,
    scoring: &Scoring,
) -> Vec<Contribution<'a>> {
    let scorer = Scorer::new(
        query.profile,
        candidates,
        config,
        query.completion_prior,
        now_ms,
        &query.context,
    );
    let mut terms = match scoring {
        Scoring::Blend { scales } => {
            let kind = scorer.kind(row);
            let values = values_of_row(model, &scorer, u32::try_from(row).unwrap_or(u32::MAX));
            let values = values
                .iter()
                .zip(scales)
                .map(|(&value, scale)| scale.of(value));
            let heads = config.blend.iter().zip(values);
            heads
                .map(|(head, value)| Contribution {
                    name: &head.name,
                    value,
                    weight: head.weights[kind as usize],
                    contribution: contribution(head, kind, value),
                })
                .collect()
        }
        Scoring::Formula | Scoring::Fallback { .. } => formula(query, &scorer, row),
    };
    let score: f64 = terms.iter().fold(0.0, |sum, term| sum + term.contribution);
    if !score.is_finite() {
        for term in &mut terms {
            term.contribution = f64::NEG_INFINITY;
        }
    }
    terms
}

fn formula<'a>(query: &Query<'_>, scorer: &Scorer<'_>, row: usize) -> Vec<Contribution<'a>> {
    let (terms, _) = scorer.terms(row);
    let names = term_names(query.profile).iter().enumerate();
    names
        .map(|(term, &name)| Contribution {
            name,
            value: terms.values[term],
            weight: terms.weights[term],
            contribution: terms.contribution(term),
        })
        .collect()
}
