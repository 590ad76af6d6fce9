//! The two formulas, term by term.
//!
//! A term is a weight times a value derived from stored facts; the score is the sum
//! of the terms from left to right in the order the design writes them. `explain`
//! reads the same terms, so what it shows sums to the score bit by bit.

use crate::blend::matrix_of;
use crate::candidates::{Candidates, Kind};
use crate::config::RankingConfig;
use crate::feature::{Feature, FeatureSet};
use crate::matrix::Matrix;
use crate::query::{Context, Profile};
use crate::terms::{self, Affinities};

/// The prior of `completion` where the catalogue has none, and of `deep`.
const PRIOR_DEFAULT: f64 = 0.5;

/// A row's score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// Never NaN and never `-0.0`; what is not finite sinks to `-inf`.
    pub score: f64,
    /// Numbers the formula read that were bad and took their default.
    pub degradations: u32,
}

/// Scores one row by the formula. `prior` is the catalogue's mean watch ratio, 0..=1; `now_ms` is
/// domain time, Unix ms. A row that does not exist scores as one without any fact.
///
/// [`crate::rank()`] gives every item exactly this score where the formula scores and the
/// query brings no vector of the user.
#[must_use]
pub fn score(
    profile: Profile,
    candidates: &Candidates,
    row: usize,
    config: &RankingConfig,
    prior: f64,
    now_ms: i64,
) -> Scored {
    let context = Context::default();
    let scorer = Scorer::new(profile, candidates, config, prior, now_ms, &context);
    let (terms, degradations) = scorer.terms(row);
    Scored {
        score: terms.score(),
        degradations: degradations + u32::from(scorer.is_prior_bad && scorer.formula_reads_prior()),
    }
}

/// Names of the profile's terms, in the order they are summed.
pub(crate) const fn term_names(profile: Profile) -> &'static [&'static str] {
    match profile {
        Profile::Feed => &["freshness", "engagement", "affinity"],
        Profile::Video => &["freshness", "completion", "engagement", "affinity", "deep"],
    }
}

/// The terms of one row; entries beyond the profile's are weight and value 0.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terms {
    pub(crate) values: [f64; 5],
    pub(crate) weights: [f64; 5],
}

impl Terms {
    /// Weight times value. Never `-0.0`, so that a sum may start at 0 or at the first term.
    #[inline]
    pub(crate) fn contribution(&self, term: usize) -> f64 {
        self.weights[term] * self.values[term] + 0.0
    }

    /// The sum from left to right; `-inf` where it is not finite.
    #[inline]
    pub(crate) fn score(&self) -> f64 {
        let mut sum = 0.0;
        // Terms the profile does not have add 0.0, which changes no bit of a sum that is
        // never -0.0; a loop of fixed length is unrolled.
        for term in 0..self.values.len() {
            sum += self.contribution(term);
        }
        if sum.is_finite() {
            sum
        } else {
            f64::NEG_INFINITY
        }
    }
}

/// What is the same for all rows of a request.
pub(crate) struct Scorer<'a> {
    profile: Profile,
    pub(crate) candidates: &'a Candidates,
    pub(crate) config: &'a RankingConfig,
    pub(crate) prior: f64,
    /// The prior was not a ratio and took its default.
    pub(crate) is_prior_bad: bool,
    pub(crate) now_ms: i64,
    pub(crate) context: &'a Context<'a>,
}

impl<'a> Scorer<'a> {
    pub(crate) fn new(
        profile: Profile,
        candidates: &'a Candidates,
        config: &'a RankingConfig,
        prior: f64,
        now_ms: i64,
        context: &'a Context<'a>,
    ) -> Self {
        let is_ratio = (0.0..=1.0).contains(&prior);
        Self {
            profile,
            candidates,
            config,
            prior: if is_ratio { prior } else { PRIOR_DEFAULT },
            is_prior_bad: !is_ratio,
            now_ms,
            context,
        }
    }

    /// The stored features that the formula reads.
    pub(crate) const fn reads(&self) -> FeatureSet {
        use Feature as F;
        let feed = FeatureSet::stored([
            F::Likes,
            F::Comments,
            F::Shares,
            F::Impressions,
            F::Interactions,
        ]);
        match self.profile {
            Profile::Feed => feed,
            Profile::Video => feed.union(FeatureSet::stored([
                F::WatchRatioSum,
                F::TimedViews,
                F::DeepDot,
            ])),
        }
    }

    /// Whether the formula reads the prior.
    pub(crate) fn formula_reads_prior(&self) -> bool {
        self.profile == Profile::Video
    }

    /// The row's kind.
    #[inline]
    pub(crate) fn kind(&self, row: usize) -> Kind {
        self.candidates.kind.get(row).copied().unwrap_or_default()
    }

    /// The terms of `rows` in the design's order, one after the other. `matrix` has the
    /// values of [`Scorer::reads`] for them.
    pub(crate) fn each_terms(&self, matrix: &Matrix, rows: &[u32], mut each: impl FnMut(Terms)) {
        let ages = rows.iter().map(|&row| self.age_hours(row as usize));
        let freshness = terms::freshness(ages, self.config.freshness_decay_per_hour);
        let engagement = terms::engagement(matrix);
        let affinities = Affinities::new();
        let affinity = matrix.stored(Feature::Interactions);
        let affinity = affinity
            .iter()
            .map(|&count| affinities.of(f64::from(count)));
        let shared = freshness.into_iter().zip(engagement).zip(affinity);
        let shared = rows.iter().map(|&row| self.kind(row as usize)).zip(shared);
        match self.profile {
            Profile::Feed => {
                for (kind, ((freshness, engagement), affinity)) in shared {
                    let weights = &self.config.feed[kind as usize];
                    each(Terms {
                        values: [freshness, engagement, affinity, 0.0, 0.0],
                        weights: [
                            weights.freshness,
                            weights.engagement,
                            weights.affinity,
                            0.0,
                            0.0,
                        ],
                    });
                }
            }
            Profile::Video => {
                let column = |feature| matrix.stored(feature).iter().map(|&value| f64::from(value));
                let watched = column(Feature::WatchRatioSum).zip(column(Feature::TimedViews));
                let views = self.config.completion_prior_views;
                let completion =
                    watched.map(|(sum, timed)| terms::completion(sum, timed, self.prior, views));
                let deep = column(Feature::DeepDot).map(terms::deep);
                for ((kind, ((freshness, engagement), affinity)), (completion, deep)) in
                    shared.zip(completion.zip(deep))
                {
                    let weights = &self.config.video[kind as usize];
                    each(Terms {
                        values: [freshness, completion, engagement, affinity, deep],
                        weights: [
                            weights.freshness,
                            weights.completion,
                            weights.engagement,
                            weights.affinity,
                            weights.deep,
                        ],
                    });
                }
            }
        }
    }

    /// The row's terms in the design's order, and how many bad numbers they read.
    pub(crate) fn terms(&self, row: usize) -> (Terms, u32) {
        let rows = [u32::try_from(row).unwrap_or(u32::MAX)];
        let (matrix, degradations) = matrix_of(self, &rows, self.reads());
        let mut terms = Terms::default();
        self.each_terms(&matrix, &rows, |row| terms = row);
        (terms, degradations)
    }

    #[inline]
    fn age_hours(&self, row: usize) -> f64 {
        let created_at_ms = self.candidates.created_at_ms.get(row).copied();
        terms::age_hours(self.now_ms, created_at_ms.unwrap_or(i64::MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidates::NewCandidate;

    const HOUR_MS: i64 = 3_600_000;

    fn one(created_at_ms: i64, facts: &[(Feature, f32)]) -> Candidates {
        let mut row = NewCandidate {
            id: "i",
            author: "a",
            created_at_ms,
            ..Default::default()
        };
        for &(feature, value) in facts {
            row.features[feature as usize] = Some(value);
        }
        let mut candidates = Candidates::default();
        candidates.push(&row);
        candidates
    }

    #[track_caller]
    fn check(
        profile: Profile,
        prior: f64,
        age_hours: i64,
        facts: &[(Feature, f32)],
        expected: f64,
    ) {
        let now_ms = 1_700_000_000_000;
        let candidates = one(now_ms - age_hours * HOUR_MS, facts);
        let scored = score(
            profile,
            &candidates,
            0,
            &RankingConfig::default(),
            prior,
            now_ms,
        );
        let error = (scored.score - expected).abs();
        assert!(
            error <= 2.0 * f64::EPSILON * expected,
            "{} is not {expected}",
            scored.score
        );
        assert_eq!(scored.degradations, 0);
    }

    // Expected values were computed by hand with 50 decimal digits.

    #[test]
    fn feed_formula() {
        let facts = [
            (Feature::Likes, 8.0),
            (Feature::Comments, 3.0),
            (Feature::Shares, 2.0),
            (Feature::Impressions, 50.0),
            (Feature::Interactions, 4.0),
        ];
        // 0.3 * 0.548811636... + 0.4 * 0.336472236... + 0.3 * 1.609437912...
        check(Profile::Feed, 0.5, 6, &facts, 0.782_063_759_206_923_2);
    }

    #[test]
    fn feed_formula_without_impressions_and_from_the_future() {
        let facts = [(Feature::Likes, 5.0)];
        check(Profile::Feed, 0.5, 0, &facts, 1.016_703_787_691_222);
        check(Profile::Feed, 0.5, -5, &facts, 1.016_703_787_691_222);
        check(Profile::Feed, 0.5, 0, &[], 0.3);
    }

    #[test]
    fn video_formula() {
        let facts = [
            (Feature::Likes, 1.0),
            (Feature::Shares, 1.0),
            (Feature::Impressions, 16.0),
            (Feature::TimedViews, 10.0),
            (Feature::WatchRatioSum, 7.5),
            (Feature::DeepDot, 1.5),
        ];
        // 0.15 * 0.301194211... + 0.4 * 0.575 + 0.25 * 0.223143551... + 0 + 0.05 * 0.817574476...
        check(Profile::Video, 0.4, 12, &facts, 0.371_843_743_425_064_94);
    }

    #[test]
    fn video_formula_where_nothing_is_known_has_half_of_completion_and_deep() {
        check(Profile::Video, 0.5, 0, &[], 0.375);
    }

    #[test]
    fn bits_are_pinned() {
        // The same on every target; a change here is a change of every ranking.
        let now_ms = 1_700_000_000_000;
        let all: alloc::vec::Vec<(Feature, f32)> = Feature::ALL
            .iter()
            .map(|&feature| (feature, 0.75 + feature as u8 as f32))
            .collect();
        let candidates = one(now_ms - 12_345_678, &all);
        let bits = [Profile::Feed, Profile::Video].map(|profile| {
            score(
                profile,
                &candidates,
                0,
                &RankingConfig::default(),
                0.3,
                now_ms,
            )
            .score
            .to_bits()
        });
        expect_test::expect![[r#"
            [
                0x3ff733d6ead7e8c7,
                0x3ff1893da2ac9a54,
            ]"#]]
        .assert_eq(&alloc::format!("{bits:#x?}"));
    }

    #[test]
    fn bad_numbers_take_the_default_and_are_counted() {
        let now_ms = 0;
        let config = RankingConfig::default();
        let plain = score(Profile::Video, &one(0, &[]), 0, &config, 0.5, now_ms);
        let candidates = one(0, &[]);
        let context = Context::default();
        let reads = Scorer::new(Profile::Video, &candidates, &config, 0.5, 0, &context).reads();
        for feature in Feature::ALL {
            let spec = feature.spec();
            for bad in [
                f32::NAN,
                f32::INFINITY,
                f32::NEG_INFINITY,
                f32::MIN,
                f32::MAX,
            ] {
                let candidates = one(0, &[(feature, bad)]);
                let scored = score(Profile::Video, &candidates, 0, &config, 0.5, now_ms);
                assert_eq!(
                    scored.score.to_bits(),
                    plain.score.to_bits(),
                    "{} {bad}",
                    spec.name
                );
                let is_read = reads.contains(feature as usize);
                assert_eq!(
                    scored.degradations,
                    u32::from(is_read),
                    "{} {bad}",
                    spec.name
                );
            }
        }
        for bad in [f64::NAN, f64::INFINITY, -0.1, 1.1] {
            let scored = score(Profile::Video, &one(0, &[]), 0, &config, bad, now_ms);
            assert_eq!(
                scored,
                Scored {
                    degradations: 1,
                    ..plain
                }
            );
            assert_eq!(
                score(Profile::Feed, &one(0, &[]), 0, &config, bad, 0).degradations,
                0
            );
        }
    }

    #[test]
    fn weights_follow_the_kind_and_what_is_not_finite_sinks() {
        let mut candidates = one(0, &[]);
        let mut config = RankingConfig::default();
        config.feed[Kind::Dataset as usize].freshness = f64::MAX;
        config.feed[Kind::Dataset as usize].affinity = f64::MAX;
        assert_eq!(
            score(Profile::Feed, &candidates, 0, &config, 0.5, 0).score,
            0.3
        );
        candidates.kind[0] = Kind::Dataset;
        candidates.columns[Feature::Interactions as usize][0] = 1e9;
        candidates.present[0] |= 1 << Feature::Interactions as u32;
        let sunk = score(Profile::Feed, &candidates, 0, &config, 0.5, 0);
        assert_eq!(sunk.score, f64::NEG_INFINITY);
        let query = crate::Query::default();
        let model = crate::Model::default();
        let scoring = crate::Scoring::Formula;
        let terms = crate::explain(&query, &candidates, 0, &model, &config, 0, &scoring);
        assert_eq!(
            terms.iter().map(|term| term.contribution).sum::<f64>(),
            sunk.score
        );
    }
}
