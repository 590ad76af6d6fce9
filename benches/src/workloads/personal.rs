//! A whole personal ranking: from a bundle's bytes to a page's JSON.

use edgewise_ranking::config::{BlendHead, Normalise};
use edgewise_ranking::feature::index_of;
use edgewise_ranking::{Model, Query, RankingConfig, feature_values};
use edgewise_serving::{FeedInput, Prepared, SessionStatus, feed};
use edgewise_wire::api::Rung;
use edgewise_wire::bundle::Bundle;
use edgewise_wire::keys::Keys;
use edgewise_wire::model::ModelSnapshot;
use edgewise_wire::params::FeedParams;
use edgewise_wire::session::Session;

use crate::input::Input;
use crate::{BATCHES, NOW_MS, bundle};

/// The features that the bench's model of the feature table reads.
pub const FEATURES: [&str; 30] = [
    "likes",
    "comments",
    "shares",
    "impressions",
    "clicks",
    "timed_views",
    "watch_ratio_sum",
    "interactions",
    "similarity",
    "completed_views",
    "hot_1h",
    "hot_24h",
    "hot_7d",
    "region_popularity",
    "language_popularity",
    "duration_s",
    "source_position",
    "age_hours",
    "completion",
    "deep",
    "like_rate",
    "comment_rate",
    "click_rate",
    "completed_rate",
    "trend_day",
    "trend_week",
    "from_follow",
    "source_count",
    "kind",
    "tag_count",
];

/// The configuration: trees and formula, variety by tags and vectors.
#[must_use]
pub fn config() -> RankingConfig {
    let head = |name: &str, weight, normalise| BlendHead {
        name: name.to_owned(),
        weights: [weight; 4],
        normalise,
    };
    let mut config = RankingConfig {
        name: "bench".to_owned(),
        blend: vec![
            head("click", 1.0, Normalise::Prediction),
            head("formula", 0.2, Normalise::MinMax),
        ],
        ..RankingConfig::default()
    };
    config.selection.variety_vectors = 0.5;
    config
}

/// Rows of [`FEATURES`] for `count` bundles of `rows` candidates: what the model is trained on.
#[must_use]
pub fn rows(count: usize, rows: usize) -> Vec<f32> {
    let features = FEATURES.map(|name| index_of(name).expect("the table has it"));
    let mut values = Vec::with_capacity(count * rows * FEATURES.len());
    for batch in 0..count {
        let bundle = bundle(batch as u64, rows);
        let mut query = Query::default();
        query.context.vector = bundle.user_vector;
        let candidates = &bundle.candidates;
        let (matrix, _) = feature_values(&query, candidates, &config(), NOW_MS, &features);
        for row in 0..rows {
            values.extend(features.iter().map(|&feature| matrix.column(feature)[row]));
        }
    }
    values
}

/// Bundles as an edge gets them, and the model.
pub struct Personal {
    encoded: Vec<Vec<u8>>,
    model: Model,
    config: RankingConfig,
    params: FeedParams,
    keys: Keys,
}

impl Personal {
    /// Forty bundles of `rows` candidates.
    ///
    /// # Panics
    ///
    /// Where the input is no model.
    #[must_use]
    pub fn new(input: &Input, rows: usize) -> Self {
        let model = ModelSnapshot::decode(&input.snapshot).expect("a snapshot");
        Self {
            encoded: (0..BATCHES)
                .map(|batch| bundle(batch as u64, rows).encode())
                .collect(),
            model: Model {
                version: model.version,
                heads: model.heads,
            },
            config: config(),
            params: FeedParams::parse("limit=20").expect("valid parameters"),
            keys: Keys::from_secret("bench", &[7; 32]).expect("a key"),
        }
    }

    /// Answers batch `index`.
    ///
    /// # Panics
    ///
    /// Where the bundle does not decode.
    #[must_use]
    pub fn page(&self, index: usize) -> Vec<u8> {
        let bundle = Bundle::decode(&self.encoded[index]).expect("a bundle");
        let input = FeedInput {
            params: &self.params,
            user: None,
            session: &Session::new(0),
            session_status: SessionStatus::New,
            cursor: None,
            overlay: None,
            config: &self.config,
            model: &self.model,
            keys: &self.keys,
            wall_ms: NOW_MS,
            domain_ms: NOW_MS,
            request_id: [index as u8; 16],
            rung: Rung::Personal,
            region: Some("DE"),
            utc_offset_minutes: 60,
        };
        feed::answer(&mut Prepared::new(bundle), &input).body
    }

    /// A digest of the page, which depends on every byte.
    #[must_use]
    pub fn run(&self, index: usize) -> u64 {
        let page = self.page(index);
        page.iter().fold(0, |digest: u64, &byte| {
            digest.rotate_left(5).wrapping_add(u64::from(byte))
        })
    }
}
