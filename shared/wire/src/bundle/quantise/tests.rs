use alloc::vec::Vec;

use edgewise_ranking::{NewCandidate, Profile, RankingConfig, score};
use proptest::prelude::*;

use super::*;
use crate::samples::{self, NOW_MS};

#[track_caller]
fn check(feature: Feature, value: f32, expected: f32) {
    let round = |value| Grid::of(feature).map_or(value, |it| it.round(feature, value));
    let rounded = round(value);
    assert_eq!(rounded.to_bits(), expected.to_bits(), "{value} {rounded}");
    assert_eq!(round(rounded).to_bits(), expected.to_bits(), "twice");
}

#[test]
fn small_counts_and_those_that_people_see_are_exact() {
    for count in 0..=256 {
        check(Feature::Impressions, count as f32, count as f32);
        check(Feature::TimedViews, count as f32, count as f32);
    }
    for count in 0..=128 {
        check(Feature::Clicks, count as f32, count as f32);
    }
    check(Feature::Impressions, 257.0, 258.0);
    check(Feature::Impressions, 100_000.0, 99_840.0);
    check(Feature::Clicks, 100_000.0, 100_352.0);
    for shown in [Feature::Likes, Feature::Comments, Feature::Shares] {
        check(shown, 123_457.0, 123_457.0);
    }
}

#[test]
fn smooth_quantities_keep_some_bits() {
    check(Feature::WatchRatioSum, 0.001, 0.0);
    check(Feature::WatchRatioSum, 1.251, 1.25);
    check(Feature::Hot24h, 1_000.3, 992.0);
    check(Feature::Hot1h, 0.04, 0.0625);
    check(Feature::Similarity, 1.0, 1.0);
    check(Feature::Similarity, 0.9999, 1.0);
    check(Feature::Duration, 15.0, 15.0);
    check(Feature::Duration, 15.04, 15.0);
}

#[test]
fn bad_values_stay_to_the_bit() {
    for feature in Feature::ALL {
        let bad = [
            f32::NAN,
            -f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            -1.3,
            -0.0,
            // Above what any feature may be.
            3.3e38,
            f32::MAX,
        ];
        for value in bad {
            check(feature, value, value);
        }
    }
    check(Feature::Impressions, 2.5, 2.5);
    // Would be rounded to more than there may be.
    for feature in [Feature::Hot7d, Feature::Impressions, Feature::WatchRatioSum] {
        let max = feature.spec().max;
        let rounded = Grid::of(feature).map(|grid| grid.round(feature, max));
        assert!(rounded.is_some_and(|rounded| rounded <= max && rounded > max * 0.9));
    }
    let grid = Grid { bits: 1, step: 0 };
    assert_eq!(grid.round(Feature::Impressions, 1e12), 1e12);
}

/// How far the formula of a well-formed row may be off, as the module says.
fn bound(profile: Profile, config: &RankingConfig) -> f64 {
    let error = 1.0 / 255.0;
    let (feed, video) = (&config.feed[1], &config.video[1]);
    match profile {
        Profile::Feed => feed.engagement * error,
        Profile::Video => {
            let step = 1.0 / 256.0 / config.completion_prior_views;
            video.engagement * error + video.completion * (2.0 * error + step)
        }
    }
}

/// Facts of one item, as the origin would count them.
fn facts() -> impl Strategy<Value = [Option<f32>; Feature::COUNT]> {
    // Over all magnitudes.
    let count =
        || (0.0_f64..1.0, 0_u32..24).prop_map(|(unit, size)| (unit * f64::from(1 << size)).floor());
    (
        count(),
        count(),
        count(),
        0.0_f64..=1.0,
        count(),
        count(),
        0_u32..40,
    )
        .prop_map(
            |(impressions, likes, views, ratio, comments, shares, interactions)| {
                let mut features = [None; Feature::COUNT];
                let mut set =
                    |feature: Feature, value: f64| features[feature as usize] = Some(value as f32);
                set(Feature::Impressions, impressions);
                set(Feature::Likes, likes);
                set(Feature::Comments, comments);
                set(Feature::Shares, shares);
                set(Feature::TimedViews, views);
                set(Feature::WatchRatioSum, views * ratio);
                set(Feature::Interactions, f64::from(interactions));
                features
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_formulas_score_is_within_the_stated_bound(
        rows in prop::collection::vec(facts(), 1..20),
        prior in 0.0_f64..=1.0,
    ) {
        let mut exact = Bundle::default();
        for &features in &rows {
            exact.candidates.push(&NewCandidate {
                id: "i",
                author: "a",
                created_at_ms: NOW_MS - 5_000_000,
                features,
                ..NewCandidate::default()
            });
        }
        let kept = Bundle::decode(&exact.encode()).unwrap();
        let config = RankingConfig::default();
        for profile in [Profile::Feed, Profile::Video] {
            let scores = |bundle: &Bundle| -> Vec<f64> {
                (0..rows.len())
                    .map(|row| score(profile, &bundle.candidates, row, &config, prior, NOW_MS).score)
                    .collect()
            };
            for (exact, kept) in scores(&exact).into_iter().zip(scores(&kept)) {
                let error = (exact - kept).abs();
                prop_assert!(error <= bound(profile, &config), "{exact} {kept}");
            }
        }
    }

    #[test]
    fn rounding_is_idempotent_and_monotone(
        feature in prop::sample::select(Feature::ALL.to_vec()),
        bits in any::<u32>(),
        small in 0.0_f32..2_000.0,
    ) {
        let Some(grid) = Grid::of(feature) else { return Ok(()) };
        for value in [f32::from_bits(bits), small, small.floor(), small / 2_000.0] {
            let once = grid.round(feature, value);
            prop_assert_eq!(grid.round(feature, once).to_bits(), once.to_bits());
            let next = f32::from_bits(value.to_bits().wrapping_add(1 << 10));
            if value > 0.0 && next <= feature.spec().max && grid.step < 0 {
                prop_assert!(once <= grid.round(feature, next));
            }
            if value > 0.0 && value <= feature.spec().max {
                let unit = 0.5_f64.powi(grid.bits as i32 + 1) * f64::from(value);
                let error = (f64::from(once) - f64::from(value)).abs();
                prop_assert!(error <= unit.max(2.0_f64.powi(grid.step - 1)), "{value} {once}");
            }
        }
    }
}

#[test]
fn labels_without_room_leave_a_bundle_before_it_is_ranked() {
    let mut bundle = samples::bundle();
    let candidates = &mut bundle.candidates;
    let rows = candidates.len();
    for label in candidates.labels.len()..LABELS_MAX + 2 {
        candidates.labels.push(&alloc::format!("label{label}"));
    }
    let last = LABELS_MAX as u16 - 1;
    candidates.language[0] = last + 1;
    candidates.region[0] = last;
    candidates.tags = [last, last + 1, last + 2].repeat(rows);
    candidates.tag_ends = (1..=rows as u32).map(|row| row * 3).collect();
    bundle.quantise();
    let read = Bundle::decode(&bundle.encode()).expect("what was encoded is read");
    for row in 0..rows {
        assert_eq!(bundle.candidates.tags_of(row), [last]);
        assert_eq!(read.candidates.tags_of(row), [last]);
    }
    assert_eq!(bundle.candidates.language, read.candidates.language);
    assert_eq!(read.candidates.language[0], NO_LABEL);
    assert_eq!(bundle.candidates.region[0], last);
}
