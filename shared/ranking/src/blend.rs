//! Blends: a score as the weighted sum of heads, with the plain formula to fall back on.
//!
//! A configuration without a blend scores by its profile's formula. One with a blend names
//! heads: `formula`, `vectors` (the logistic of the vectors' dot product, 0.5 where either
//! is missing) and the model's trees by objective. Where a named head is not in the model,
//! the formula scores alone and the answer says so: half a blend is no blend.

use alloc::string::String;
use alloc::vec::Vec;

use crate::candidates::Kind;
use crate::config::{BlendHead, FORMULA, Normalise, VECTORS};
use crate::feature::{Derived, Feature, FeatureSet, Inputs, fill};
use crate::matrix::Matrix;
use crate::query::Model;
pub use crate::scale::Scale;
use crate::score::Scorer;
use crate::terms;
use crate::trees::Forest;

/// Trees of a model that score one objective.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// The objective a blend names: `click`, `like`, `completion`, ...
    pub name: String,
    /// The trees; their features are rows of the feature table.
    pub forest: Forest,
}

/// What scored a ranking.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Scoring {
    /// The profile's formula, as the configuration says.
    #[default]
    Formula,
    /// The configuration's blend; one scale a head, in its order.
    Blend {
        /// How each head's values were put on their scale.
        scales: Vec<Scale>,
    },
    /// The formula, because the model has no such head.
    Fallback {
        /// The head that is missing.
        missing: String,
    },
}

/// Scores of rows, in their order.
pub(crate) struct ScoredRows {
    /// Never NaN, never `-0.0`; what is not finite sinks to `-inf`.
    pub(crate) scores: Vec<f64>,
    pub(crate) degradations: u32,
    pub(crate) scoring: Scoring,
}

/// Scores rows as the configuration says and the model can.
pub(crate) fn score_rows(model: &Model, scorer: &Scorer<'_>, rows: &[u32]) -> ScoredRows {
    let blend = &scorer.config.blend;
    if blend.is_empty() {
        return by_formula(scorer, rows, Scoring::Formula);
    }
    if let Some(missing) = missing(model, blend) {
        let missing = missing.into();
        return by_formula(scorer, rows, Scoring::Fallback { missing });
    }
    let heads = Values::of(model, scorer, rows);
    let scales: Vec<Scale> = blend
        .iter()
        .zip(&heads.values)
        .map(|(head, values)| match head.normalise {
            Normalise::MinMax => Scale::min_max(values.iter().copied()),
            Normalise::Prediction | Normalise::Sum => Scale::UNCHANGED,
        })
        .collect();
    let mut scores = alloc::vec![0.0; rows.len()];
    for ((head, values), scale) in blend.iter().zip(&heads.values).zip(&scales) {
        for ((score, &value), &row) in scores.iter_mut().zip(values).zip(rows) {
            *score += contribution(head, scorer.kind(row as usize), scale.of(value));
        }
    }
    for score in &mut scores {
        if !score.is_finite() {
            *score = f64::NEG_INFINITY;
        }
    }
    ScoredRows {
        scores,
        degradations: heads.degradations,
        scoring: Scoring::Blend { scales },
    }
}

/// What a head adds to a score. Never `-0.0`.
#[inline]
pub(crate) fn contribution(head: &BlendHead, kind: Kind, value: f64) -> f64 {
    head.weights[kind as usize] * value + 0.0
}

/// Values of every head of the blend for one row, on no scale.
pub(crate) fn values_of_row(model: &Model, scorer: &Scorer<'_>, row: u32) -> Vec<f64> {
    let values = Values::of(model, scorer, &[row]).values;
    values
        .into_iter()
        .map(|values| values.first().copied().unwrap_or(0.0))
        .collect()
}

fn by_formula(scorer: &Scorer<'_>, rows: &[u32], scoring: Scoring) -> ScoredRows {
    let (matrix, degradations) = matrix_of(scorer, rows, scorer.reads());
    let is_prior_bad = scorer.is_prior_bad && scorer.formula_reads_prior();
    ScoredRows {
        scores: formula(scorer, &matrix, rows),
        degradations: degradations + u32::from(is_prior_bad),
        scoring,
    }
}

/// The formula's scores.
fn formula(scorer: &Scorer<'_>, matrix: &Matrix, rows: &[u32]) -> Vec<f64> {
    let mut scores = Vec::with_capacity(rows.len());
    scorer.each_terms(matrix, rows, |terms| scores.push(terms.score()));
    scores
}

/// Values of features for rows, and how many stored ones were bad: every one counts once,
/// however many heads read it.
pub(crate) fn matrix_of(scorer: &Scorer<'_>, rows: &[u32], features: FeatureSet) -> (Matrix, u32) {
    let features = features.with_inputs();
    let mut matrix = Matrix::new(rows.len(), &features.rows());
    let inputs = Inputs {
        candidates: scorer.candidates,
        rows,
        config: scorer.config,
        prior: scorer.prior,
        now_ms: scorer.now_ms,
        context: scorer.context,
    };
    let degradations = fill(&mut matrix, features, &inputs);
    (matrix, degradations)
}

/// The first head that the model does not have.
fn missing<'b>(model: &Model, blend: &'b [BlendHead]) -> Option<&'b str> {
    blend
        .iter()
        .map(|head| head.name.as_str())
        .find(|&name| name != FORMULA && name != VECTORS && find(model, name).is_none())
}

fn find<'m>(model: &'m Model, name: &str) -> Option<&'m Head> {
    model.heads.iter().find(|head| head.name == name)
}

/// Values of a blend's heads: one column a head, one entry a row.
struct Values {
    values: Vec<Vec<f64>>,
    degradations: u32,
}

impl Values {
    fn of(model: &Model, scorer: &Scorer<'_>, rows: &[u32]) -> Self {
        let blend = &scorer.config.blend;
        let mut features = FeatureSet::default();
        for head in blend {
            features = features.union(match head.name.as_str() {
                FORMULA => scorer.reads(),
                VECTORS => FeatureSet::stored([Feature::DeepDot]),
                name => find(model, name).map_or_else(FeatureSet::default, |head| {
                    FeatureSet::of_rows(head.forest.features())
                }),
            });
        }
        let (matrix, mut degradations) = matrix_of(scorer, rows, features);
        let has_formula = blend.iter().any(|head| head.name == FORMULA);
        let reads_prior = features.contains(Derived::Completion as usize)
            || has_formula && scorer.formula_reads_prior();
        degradations += u32::from(scorer.is_prior_bad && reads_prior);
        let mut values = Vec::with_capacity(blend.len());
        for head in blend {
            values.push(match head.name.as_str() {
                FORMULA => formula(scorer, &matrix, rows),
                VECTORS => {
                    let dots = &matrix.column(Feature::DeepDot as u16)[..rows.len()];
                    dots.iter()
                        .map(|&dot| terms::deep(f64::from(dot)))
                        .collect()
                }
                name => trees(model, name, &matrix, head.normalise),
            });
        }
        Self {
            values,
            degradations,
        }
    }
}

fn trees(model: &Model, name: &str, matrix: &Matrix, normalise: Normalise) -> Vec<f64> {
    let mut sums = Vec::new();
    let Some(head) = find(model, name) else {
        return alloc::vec![0.0; matrix.rows()];
    };
    head.forest.sums(matrix, &mut sums);
    if normalise != Normalise::Sum {
        for sum in &mut sums {
            *sum = head.forest.link(*sum);
        }
    }
    sums
}
