//! From candidates to a page.

use alloc::vec::Vec;

use crate::blend::{matrix_of, score_rows};
use crate::candidates::Candidates;
use crate::config::RankingConfig;
use crate::eligible::{author_of, eligible};
use crate::feature::FeatureSet;
use crate::matrix::Matrix;
use crate::order::{Entry, Order};
use crate::query::{Model, Placement, Query, Ranked, Ranking, Removed, Selection};
use crate::score::Scorer;
use crate::select::Selector;

/// Ranks candidates for a query: removal rules and filters, scores, selection.
///
/// `now_ms` is domain time, Unix ms; `seed` draws the explore slots (hash of the
/// request id). The result depends on nothing but the arguments, and not on the order
/// of the rows; where an id comes twice, the first row counts. It cannot fail: bad
/// numbers take their default and are counted in [`Ranking::degradations`].
///
/// What scores is the configuration's blend of the model's heads, else the profile's
/// formula; [`Ranking::scoring`] says which.
///
/// ```
/// use edgewise_ranking::{Candidates, Model, NewCandidate, Query, RankingConfig, rank};
/// let mut candidates = Candidates::default();
/// let hour_ms = 3_600_000;
/// for (id, created_at_ms) in [("old", 0), ("new", 9 * hour_ms)] {
///     candidates.push(&NewCandidate { id, author: id, created_at_ms, ..Default::default() });
/// }
/// let model = Model::formula("formula");
/// let query = Query { limit: 20, ..Query::default() };
/// let ranking = rank(&query, &candidates, &model, &RankingConfig::default(), 10 * hour_ms, 7);
/// assert_eq!(candidates.ids.get(ranking.items[0].row as usize), "new");
/// ```
#[must_use]
pub fn rank(
    query: &Query<'_>,
    candidates: &Candidates,
    model: &Model,
    config: &RankingConfig,
    now_ms: i64,
    seed: u64,
) -> Ranking {
    let scorer = Scorer::new(
        query.profile,
        candidates,
        config,
        query.completion_prior,
        now_ms,
        &query.context,
    );
    let eligible = eligible(query, candidates);
    let scored = score_rows(model, &scorer, &eligible.rows);
    let entries: Vec<Entry> = eligible
        .rows
        .iter()
        .zip(&scored.scores)
        .map(|(&row, &score)| Entry::new(score, row, author_of(candidates, row as usize)))
        .collect();
    let count = entries.len();
    let order = Order::new(&candidates.ids, entries);
    let (items, refused) = match query.selection {
        Selection::None => by_score(query, order),
        Selection::Diverse => {
            Selector::new(query, candidates, &config.selection, order, seed).run()
        }
    };
    Ranking {
        items,
        eligible: count as u32,
        removed: Removed {
            refused,
            ..eligible.removed
        },
        degradations: scored.degradations,
        scoring: scored.scoring,
    }
}

/// Values of `features` (rows of the feature table) for every candidate, as trees read them,
/// and how many stored ones were bad: for training, and to look at.
#[must_use]
pub fn feature_values(
    query: &Query<'_>,
    candidates: &Candidates,
    config: &RankingConfig,
    now_ms: i64,
    features: &[u16],
) -> (Matrix, u32) {
    let (profile, prior) = (query.profile, query.completion_prior);
    let scorer = Scorer::new(profile, candidates, config, prior, now_ms, &query.context);
    let rows: Vec<u32> = (0..candidates.len() as u32).collect();
    matrix_of(&scorer, &rows, FeatureSet::of_rows(features))
}

/// Pure score order, and how many `admits` refused.
fn by_score(query: &Query<'_>, mut order: Order<'_>) -> (Vec<Ranked>, u32) {
    let limit = query.limit as usize;
    let mut items = Vec::with_capacity(limit.min(order.len()));
    order.sort_to(limit.min(order.len()));
    let (mut rank, mut refused) = (0, 0);
    while items.len() < limit {
        let Some(entry) = order.get(rank as usize) else {
            break;
        };
        rank += 1;
        if query.admits.is_some_and(|admits| !admits(entry.row)) {
            refused += 1;
            continue;
        }
        items.push(Ranked {
            row: entry.row,
            score: entry.score(),
            score_rank: rank,
            position: query.position.saturating_add(items.len() as u32 + 1),
            placement: Placement::Score,
        });
    }
    (items, refused)
}
