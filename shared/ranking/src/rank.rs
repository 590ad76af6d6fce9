//! From candidates to a page.

use alloc::vec::Vec;

use crate::candidates::Candidates;
use crate::config::RankingConfig;
use crate::eligible::eligible;
use crate::order::Order;
use crate::query::{Model, Placement, Query, Ranked, Ranking, Selection};
use crate::score::Scorer;
use crate::select::Selector;

/// Ranks candidates for a query: removal rules and filters, scores, selection.
///
/// `now_ms` is domain time, Unix ms; `seed` draws the explore slots (hash of the
/// request id). The result depends on nothing but the arguments, and not on the order
/// of the rows; where an id comes twice, the first row counts. It cannot fail: bad
/// numbers take their default and are counted in [`Ranking::degradations`].
///
/// The model names what was answered with; both profiles are formulas whose weights
/// are in the configuration, so it does not enter the score.
///
/// ```
/// use edgewise_ranking::{Candidates, Model, NewCandidate, Query, RankingConfig, rank};
/// let mut candidates = Candidates::default();
/// let hour_ms = 3_600_000;
/// for (id, created_at_ms) in [("old", 0), ("new", 9 * hour_ms)] {
///     candidates.push(&NewCandidate { id, author: id, created_at_ms, ..Default::default() });
/// }
/// let model = Model { version: "formula".into() };
/// let query = Query { limit: 20, ..Query::default() };
/// let ranking = rank(&query, &candidates, &model, &RankingConfig::default(), 10 * hour_ms, 7);
/// assert_eq!(candidates.ids.get(ranking.items[0].row as usize), "new");
/// ```
#[must_use]
pub fn rank(
    query: &Query<'_>,
    candidates: &Candidates,
    _model: &Model,
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
    );
    let eligible = eligible(query, candidates, &scorer);
    let count = eligible.entries.len();
    let order = Order::new(&candidates.ids, eligible.entries);
    let items = match query.selection {
        Selection::None => by_score(query, order),
        Selection::Diverse => {
            Selector::new(query, candidates, &config.selection, order, seed).run()
        }
    };
    Ranking {
        items,
        eligible: count as u32,
        removed: eligible.removed,
        degradations: eligible.degradations,
    }
}

/// Pure score order.
fn by_score(query: &Query<'_>, mut order: Order<'_>) -> Vec<Ranked> {
    let limit = order.len().min(query.limit as usize);
    order.sort_to(limit);
    (0..limit)
        .filter_map(|rank| order.get(rank).map(|entry| (rank as u32 + 1, entry)))
        .map(|(score_rank, entry)| Ranked {
            row: entry.row,
            score: entry.score(),
            score_rank,
            position: query.position.saturating_add(score_rank),
            placement: Placement::Score,
        })
        .collect()
}
