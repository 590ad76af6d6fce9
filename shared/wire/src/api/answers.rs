//! What the routes answer. Fields are written in the order of the struct.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use super::{Item, Rung};

/// Answer of `GET /api/v1/feed`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FeedAnswer<'a> {
    /// 32 hexadecimal digits; comes back in events.
    pub request_id: &'a str,
    /// The page in display order.
    pub items: Vec<FeedItem<'a>>,
    /// `cursor` of the next page; null at the end.
    pub next_cursor: Option<String>,
    /// `session` of the next request; null without one.
    pub session: Option<String>,
    /// What became of the request's session.
    pub session_status: SessionStatus,
    /// Version of the model.
    pub model: &'a str,
    /// Ranking configuration, `name@version`.
    pub config: &'a str,
    /// How the answer was made.
    pub rung: Rung,
}

/// One item of a feed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FeedItem<'a> {
    /// Item id.
    pub id: &'a str,
    /// Author id.
    pub author: &'a str,
    /// Final score; null where it is not finite.
    pub score: f64,
    /// Sources that named it: `follow trending affinity similar explore`.
    pub sources: Vec<&'static str>,
    /// 1-based position in the feed, earlier pages counted.
    pub position: u32,
    /// Probability of the draw where it fills an explore slot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propensity: Option<f64>,
    /// With `explain=1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explain: Option<Explanation<'a>>,
}

/// Why an item is where it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation<'a> {
    /// Terms of the score; their contributions sum, left to right, to it.
    pub features: Vec<Term>,
    /// 1-based rank by score.
    pub score_rank: u32,
    /// 1-based position.
    pub position: u32,
    /// `score author_cap author_cap_relaxed variety explore`.
    pub moved_by: &'static str,
    /// Version of the model.
    pub model: &'a str,
    /// Ranking configuration, `name@version`.
    pub config: &'a str,
    /// Experiment arm.
    pub arm: &'a str,
    /// How the answer was made.
    pub rung: Rung,
}

/// One term of a score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Term {
    /// Name of the term.
    pub name: &'static str,
    /// Its value.
    pub value: f64,
    /// Its weight.
    pub weight: f64,
    /// value * weight.
    pub contribution: f64,
}

/// What became of the session that came with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionStatus {
    /// The request had none.
    #[default]
    New,
    /// It was taken.
    Ok,
    /// All it held was too old.
    Expired,
    /// It was ignored: malformed, changed, of an unknown key or another user's.
    Invalid,
}

/// Answer of `GET /api/v1/hot/trending`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HotAnswer<'a> {
    /// `1h 24h 7d`.
    pub window: &'static str,
    /// Wall time the list was made at, Unix ms.
    pub generated_at: i64,
    /// Hottest first.
    pub items: Vec<HotItem<'a>>,
    /// `hot` or `hot-stale`.
    pub rung: Rung,
}

/// One item of a hot list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HotItem<'a> {
    /// Item id.
    pub id: &'a str,
    /// Author id.
    pub author: &'a str,
    /// Hot score now.
    pub score: f64,
}

/// Answer of `GET /api/v1/similar/{item}`; also what is stored, up to the cap.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SimilarAnswer {
    /// The item that was asked for.
    pub item: String,
    /// Nearest first.
    pub items: Vec<SimilarItem>,
}

/// One similar item.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SimilarItem {
    /// Item id.
    pub id: String,
    /// Similarity, 0..=1.
    pub score: f64,
    /// Why: `behaviour tags author vector`.
    pub reasons: Vec<String>,
    /// Its tags, so that `tag` can filter what is stored; not answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// Answer of `GET /api/v1/discover/suggested-users`; also what is stored, up to the cap.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SuggestedAnswer {
    /// Best first.
    pub items: Vec<SuggestedUser>,
}

/// One suggested user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SuggestedUser {
    /// User id.
    pub user: String,
    /// Score, larger is better.
    pub score: f64,
    /// Number of follows in common.
    pub common: u32,
}

/// Answer of `GET /api/v1/items`; what does not exist is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ItemsAnswer {
    /// In the order that was asked for.
    pub items: Vec<Item>,
}

/// Answer of `POST /api/v1/events`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventsAnswer {
    /// Events taken (at the edge: queued).
    pub accepted: u32,
    /// Events that were counted before (at the edge: repeats within the batch).
    pub duplicate: u32,
    /// Events that were refused.
    pub rejected: Vec<Rejection>,
    /// `session` of the next request; null without one.
    pub session: Option<String>,
}

/// A refused entry of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Its 0-based index in the batch.
    pub index: u32,
    /// Why.
    pub reason: String,
}
