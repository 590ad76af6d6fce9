//! The feed's JSON.

use alloc::format;
use alloc::string::String;

use edgewise_ranking::{
    Candidates, Feature, Placement, Query, Ranked, Ranking, Scoring, Sources, explain,
};
use edgewise_wire::session::Session;

use crate::feed::FeedInput;
use crate::json::Json;

/// A ranked page and what its JSON names.
pub(crate) struct Page<'a> {
    pub(crate) input: &'a FeedInput<'a>,
    pub(crate) candidates: &'a Candidates,
    pub(crate) ranking: &'a Ranking,
    pub(crate) request_id: &'a str,
    pub(crate) query: &'a Query<'a>,
    /// Wall time the facts were put together at, Unix ms.
    pub(crate) made_at_ms: i64,
    /// Authors whose follow the session took back, ascending.
    pub(crate) unfollows: &'a [u64],
    pub(crate) session: &'a Session,
    pub(crate) next_cursor: Option<String>,
}

impl Page<'_> {
    pub(crate) fn write(&self) -> String {
        let per_item = if self.input.params.explain {
            1_200
        } else {
            240
        };
        let mut json = Json::with_capacity(4_096 + self.ranking.items.len() * per_item);
        let config = format!("{}@{}", self.input.config.name, self.input.config.version);
        json.open('{');
        json.key_text("request_id", self.request_id);
        json.key("items");
        json.open('[');
        for ranked in &self.ranking.items {
            self.item(&mut json, ranked, &config);
        }
        json.close(']');
        json.key("next_cursor");
        match &self.next_cursor {
            Some(token) => json.text(token),
            None => json.null(),
        }
        json.key_text("session", &self.session.encode(self.input.keys));
        json.key_text("session_status", self.input.session_status.name());
        json.key_text("model", &self.input.model.version);
        json.key_text("config", &config);
        if let Scoring::Fallback { missing } = &self.ranking.scoring {
            json.key_text(
                "fallback",
                &format!("formula: the model has no head {missing}"),
            );
        }
        json.key_text("rung", self.input.rung.name());
        json.key_integer("candidates", i64::from(self.ranking.eligible));
        if self
            .ranking
            .items
            .iter()
            .any(|item| item.placement == Placement::AuthorCapRelaxed)
        {
            json.key("author_cap_relaxed");
            json.boolean(true);
        }
        json.key_integer("made_at", self.made_at_ms);
        json.key_integer("now_ms", self.input.domain_ms);
        if self.ranking.degradations > 0 {
            json.key_integer("degradations", i64::from(self.ranking.degradations));
        }
        json.close('}');
        json.finish()
    }

    fn item(&self, json: &mut Json, ranked: &Ranked, config: &str) {
        let row = ranked.row as usize;
        let author = self.candidates.author.get(row).copied().unwrap_or(u32::MAX) as usize;
        let created_at_ms = self.candidates.created_at_ms.get(row).copied().unwrap_or(0);
        json.open('{');
        json.key_text("id", self.candidates.ids.get(row));
        json.key_text("author", self.candidates.authors.get(author));
        json.key_float("score", ranked.score);
        self.sources(json, row);
        json.key_integer("position", i64::from(ranked.position));
        // A hot list knows neither: its rows were created at 0 (see `hot::as_bundle`).
        json.key("created_at");
        if created_at_ms == 0 {
            json.null()
        } else {
            json.integer(created_at_ms)
        }
        json.key("kind");
        match self.candidates.kind.get(row) {
            Some(kind) if created_at_ms != 0 => json.text(kind.name()),
            _ => json.null(),
        }
        self.counters(json, row);
        if let Placement::Explore { propensity } = ranked.placement {
            json.key_float("propensity", propensity);
        }
        if self.input.params.explain {
            self.explain(json, ranked, config);
        }
        json.close('}');
    }

    /// What people read under an item. A hot list's rows know none.
    fn counters(&self, json: &mut Json, row: usize) {
        if self
            .candidates
            .created_at_ms
            .get(row)
            .is_none_or(|&created_at_ms| created_at_ms == 0)
        {
            return;
        }
        for feature in [Feature::Likes, Feature::Comments, Feature::Shares] {
            if let Some(count) = self.candidates.feature(row, feature) {
                json.key_integer(feature.name(), count as i64);
            }
        }
    }

    fn sources(&self, json: &mut Json, row: usize) {
        let mut sources = self
            .candidates
            .sources
            .get(row)
            .copied()
            .unwrap_or_default();
        let author = self.candidates.author.get(row);
        let author = author.and_then(|&at| self.candidates.author_hashes.get(at as usize));
        if author.is_some_and(|author| self.unfollows.binary_search(author).is_ok()) {
            sources = Sources(sources.0 & !Sources::FOLLOW.0);
        }
        json.key("sources");
        json.open('[');
        for name in sources.names() {
            json.text(name);
        }
        json.close(']');
    }

    /// Why the item is where it is. Contributions sum, in order, to the score.
    fn explain(&self, json: &mut Json, ranked: &Ranked, config: &str) {
        let row = ranked.row as usize;
        let input = self.input;
        json.key("explain");
        json.open('{');
        self.sources(json, row);
        json.key("features");
        json.open('[');
        let terms = explain(
            self.query,
            self.candidates,
            row,
            input.model,
            input.config,
            input.domain_ms,
            &self.ranking.scoring,
        );
        for term in terms {
            json.open('{');
            json.key_text("name", term.name);
            json.key_float("value", term.value);
            json.key_float("weight", term.weight);
            json.key_float("contribution", term.contribution);
            json.close('}');
        }
        json.close(']');
        json.key_float("score", ranked.score);
        json.key_integer("score_rank", i64::from(ranked.score_rank));
        json.key_integer("position", i64::from(ranked.position));
        json.key_text("moved_by", moved_by(ranked.placement));
        if let Placement::Explore { propensity } = ranked.placement {
            json.key_float("propensity", propensity);
        }
        json.key_text("model", &input.model.version);
        json.key_text("config", config);
        json.key_text("arm", &input.config.name);
        json.key_text("rung", input.rung.name());
        json.close('}');
    }
}

/// What moved an item: `score author_cap author_cap_relaxed variety explore`.
const fn moved_by(placement: Placement) -> &'static str {
    match placement {
        Placement::Score => "score",
        Placement::AuthorCap => "author_cap",
        Placement::AuthorCapRelaxed => "author_cap_relaxed",
        Placement::Variety => "variety",
        Placement::Explore { .. } => "explore",
    }
}
