//! The table, its documentation, and what features come to.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use expect_test::{expect, expect_file};

use super::{Derived, Feature, FeatureSet, Inputs, TABLE, WIDTH, fill, index_of, schema_hash};
use crate::candidates::{Candidates, Kind, NewCandidate, Sources};
use crate::config::RankingConfig;
use crate::matrix::Matrix;
use crate::query::Context;
use crate::short_hash;
use crate::sketch::UserVector;

const HOUR_MS: i64 = 3_600_000;
/// Tuesday, 14 November 2023, 22:13:20 UTC.
const NOW_MS: i64 = 1_700_000_000_000;

#[test]
fn the_table_is_in_order_with_defaults_in_range() {
    for (row, feature) in Feature::ALL.into_iter().enumerate() {
        assert_eq!(feature as usize, row);
        assert_eq!(Feature::from_name(feature.name()), Some(feature));
    }
    for (row, derived) in Derived::ALL.into_iter().enumerate() {
        assert_eq!(derived as usize, Feature::COUNT + row);
        assert_eq!(Feature::from_name(derived.spec().name), None);
    }
    for (row, spec) in TABLE.iter().enumerate() {
        assert_eq!(index_of(spec.name), Some(row as u16), "named once");
        let missing = spec.default.is_nan();
        assert!(
            missing || (spec.min..=spec.max).contains(&spec.default),
            "{}",
            spec.name
        );
    }
    const { assert!(WIDTH >= 30) };
}

#[test]
fn schema_hash_is_pinned() {
    // A change here makes every stored bundle and model unreadable: on purpose only.
    expect!["0xd38c2710b788b7ef"].assert_eq(&format!("{:#018x}", schema_hash()));
}

#[test]
fn the_documentation_is_the_table() {
    let mut rows = String::new();
    for (row, spec) in TABLE.iter().enumerate() {
        let kinds = Kind::ALL.into_iter();
        let kinds: Vec<&str> = kinds
            .filter(|kind| spec.kinds >> *kind as u8 & 1 == 1)
            .map(Kind::name)
            .collect();
        let kinds = if kinds.len() == Kind::ALL.len() {
            String::from("all")
        } else {
            kinds.join(", ")
        };
        let default = if spec.default.is_nan() {
            String::from("missing")
        } else {
            format!("{}", spec.default)
        };
        rows += &format!(
            "| {row} | `{}` | {} | {default} | {} to {} | {kinds} | {} |\n",
            spec.name, spec.unit, spec.min, spec.max, spec.how
        );
    }
    let text = include_str!("features.md")
        .replace("{hash}", &format!("{:#018x}", schema_hash()))
        .replace("{stored}", &format!("{}", Feature::COUNT))
        .replace("{rows}\n", &rows);
    expect_file!["../../../../docs/features.md"].assert_eq(&text);
}

/// The value of every feature for one row.
fn values(candidates: &Candidates, context: &Context<'_>) -> (Vec<f32>, u32) {
    let every: Vec<u16> = (0..WIDTH as u16).collect();
    let features = FeatureSet::of_rows(&every);
    let mut matrix = Matrix::new(1, &every);
    let config = RankingConfig::default();
    let inputs = Inputs {
        candidates,
        rows: &[0],
        config: &config,
        prior: 0.4,
        now_ms: NOW_MS,
        context,
    };
    let degradations = fill(&mut matrix, features, &inputs);
    let row = every.iter().map(|&feature| matrix.column(feature)[0]);
    (row.collect(), degradations)
}

fn one(row: &NewCandidate<'_>) -> Candidates {
    let mut candidates = Candidates {
        as_of_ms: NOW_MS - HOUR_MS / 3,
        ..Candidates::default()
    };
    candidates.sketch.scale = 0.5;
    candidates.push(row);
    candidates
}

#[test]
fn every_feature_of_a_video() {
    let mut row = NewCandidate {
        id: "i",
        author: "a",
        created_at_ms: NOW_MS - 6 * HOUR_MS,
        sources: Sources(0b01010),
        kind: Kind::Video,
        language: Some("de"),
        region: Some("AT"),
        tags: &["x", "y"],
        sketch: [2, 0, 0, 0, 0, 0, 0, -1],
        ..NewCandidate::default()
    };
    for feature in Feature::ALL {
        row.features[feature as usize] = Some(f32::from(feature as u8 + 1));
    }
    let ratios = [
        Feature::Similarity,
        Feature::RegionPopularity,
        Feature::LanguagePopularity,
    ];
    for ratio in ratios {
        row.features[ratio as usize] = Some(0.5);
    }
    row.features[Feature::DeepDot as usize] = None;
    let context = Context {
        language: Some("de"),
        region: Some("DE"),
        utc_offset_minutes: 120,
        session_authors: &[(crate::id_hash("a"), 3.0)],
        session_tags: &[short_hash("y")],
        vector: Some(UserVector {
            scale: 2.0,
            values: [3, 1, 1, 1, 1, 1, 1, 4],
        }),
    };
    let (values, degradations) = values(&one(&row), &context);
    assert_eq!(degradations, 0);
    let lines: Vec<String> = TABLE
        .iter()
        .zip(values)
        .map(|(spec, value)| format!("{} {value}\n", spec.name))
        .collect();
    expect![[r#"
        likes 1
        comments 2
        shares 3
        impressions 4
        clicks 5
        timed_views 6
        watch_ratio_sum 7
        interactions 8
        deep_dot 2
        similarity 0.5
        completed_views 11
        hides 12
        follows 13
        hot_1h 7
        hot_24h 14.433357
        hot_7d 15.923169
        region_popularity 0.5
        language_popularity 0.5
        duration_s 19
        source_position 20
        age_hours 6
        freshness 0.5488116
        engagement 1.5040774
        affinity 2.1972246
        completion 0.6875
        deep 0.8807971
        like_rate 0.041666668
        comment_rate 0.083333336
        share_rate 0.125
        click_rate 0.20833333
        hide_rate 0.5
        completed_rate 0.6875
        trend_day 0.453563
        trend_week 0.8528756
        from_follow 0
        from_trending 1
        from_affinity 0
        from_similar 1
        from_explore 0
        source_count 2
        session_author 3
        session_tags 0.5
        hour 0
        weekday 2
        language_match 1
        region_match 0
        kind 1
        tag_count 2
    "#]]
    .assert_eq(&lines.concat());
}

#[test]
fn what_is_absent_is_missing_or_its_default() {
    let (row, degradations) = values(&one(&NewCandidate::default()), &Context::default());
    assert_eq!(degradations, 0);
    let missing: Vec<&str> = TABLE
        .iter()
        .zip(&row)
        .filter(|(_, value)| value.is_nan())
        .map(|(spec, _)| spec.name)
        .collect();
    let expected = [
        "duration_s",
        "source_position",
        "language_match",
        "region_match",
    ];
    assert_eq!(missing, expected);
    for feature in Feature::ALL {
        let (value, default) = (row[feature as usize], feature.spec().default);
        assert!(value == default || default.is_nan(), "{}", feature.name());
    }
}

#[test]
fn bad_values_take_the_default_and_are_counted_and_kinds_keep_to_theirs() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1e13, f32::MAX] {
        for feature in Feature::ALL {
            let mut row = NewCandidate::default();
            row.features[feature as usize] = Some(bad);
            let (row, degradations) = values(&one(&row), &Context::default());
            assert_eq!(degradations, 1, "{} {bad}", feature.name());
            let (value, default) = (row[feature as usize], feature.spec().default);
            assert!(value == default || default.is_nan() && value.is_nan());
        }
    }
    let mut post = NewCandidate {
        kind: Kind::Post,
        ..NewCandidate::default()
    };
    post.features[Feature::Duration as usize] = Some(30.0);
    let (row, degradations) = values(&one(&post), &Context::default());
    assert!(
        row[Feature::Duration as usize].is_nan(),
        "a post has no duration"
    );
    assert_eq!(degradations, 0);
}

#[test]
fn a_negative_zero_is_zero() {
    let mut row = NewCandidate::default();
    row.features[Feature::Likes as usize] = Some(-0.0);
    let (row, _) = values(&one(&row), &Context::default());
    assert_eq!(row[Feature::Likes as usize].to_bits(), 0);
}
