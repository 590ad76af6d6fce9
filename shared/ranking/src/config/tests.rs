//! Configurations in JSON, and what is refused.

use alloc::string::ToString;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::ConfigError;
use super::RankingConfig;
use super::fields::{FIELDS, WEIGHTS};
use crate::candidates::Kind;

#[track_caller]
fn check_error(json: &str, expect: Expect) {
    expect.assert_eq(&RankingConfig::from_json(json).unwrap_err().to_string());
}

#[test]
fn nothing_given_is_the_default() {
    assert_eq!(RankingConfig::from_json("{}"), Ok(RankingConfig::default()));
    assert_eq!(RankingConfig::default().validate(), Ok(()));
}

#[test]
fn every_field_is_written() {
    expect![[r#"{"completion_prior_views":10.0,"feed":{"affinity":0.3,"engagement":0.4,"freshness":0.3},"freshness_decay_per_hour":0.1,"hot":{"click":0.2,"comment":2.0,"completed_view":0.5,"follow":4.0,"half_life_minutes":[20.0,360.0,2880.0],"like":1.0,"share":3.0,"view":0.1},"name":"default","selection":{"author_max":2,"author_window":20,"explore_every":10,"variety_displacement":10,"variety_lambda":0.85,"variety_vectors":0.0},"sources":{"affinity_authors":20,"affinity_cap":200,"affinity_window_days":90,"explore_cap":50,"explore_impressions":200,"explore_window_hours":72,"follow_cap":500,"follow_enough":50,"follow_windows_hours":[72,168,720],"merged_cap":900,"seen_window_days":7,"similar_cap":100,"similar_window_days":30,"trending_cap":200,"trending_window_hours":24},"version":1,"video":{"affinity":0.15,"completion":0.4,"deep":0.05,"engagement":0.25,"freshness":0.15}}"#]].assert_eq(&RankingConfig::default().to_json());
}

#[test]
fn blends_are_read_and_written() {
    let text = r#"{"blend": [
        {"head": "click", "by_kind": {"image": 0.5}, "weight": 2},
        {"head": "formula", "weight": 0.25, "normalise": "min_max"},
        {"head": "vectors", "normalise": "sum"}]}"#;
    let config = RankingConfig::from_json(text).expect("a blend");
    assert_eq!(config.blend[0].weights, [2.0, 2.0, 0.5, 2.0]);
    assert_eq!(config.blend[1].normalise, super::Normalise::MinMax);
    assert_eq!(config.blend[2].weights, [1.0; 4]);
    assert_eq!(RankingConfig::from_json(&config.to_json()), Ok(config));
}

#[test]
fn bad_blends_are_refused() {
    check_error(
        r#"{"blend": {}}"#,
        expect!["blend must be an array of at most 8 heads, not {}"],
    );
    check_error(
        r#"{"blend": [{"weight": 1}]}"#,
        expect![[
            r#"blend.0.head must be a string of 1 to 64 bytes without control characters, not """#
        ]],
    );
    check_error(
        r#"{"blend": [{"head": "click", "weigth": 1}]}"#,
        expect![
            "blend.0.weigth is no field of a ranking configuration; allowed: head, weight, by_kind, normalise"
        ],
    );
    check_error(
        r#"{"blend": [{"head": "click", "weight": 1e9}]}"#,
        expect!["blend.0.weight must be a number from -100 to 100, not 1000000000.0"],
    );
    check_error(
        r#"{"blend": [{"head": "click", "normalise": "rank"}]}"#,
        expect![[r#"blend.0.normalise must be one of prediction, sum, min_max, not "rank""#]],
    );
    check_error(
        r#"{"blend": [{"head": "click"}, {"head": "click"}]}"#,
        expect!["blend.1.head must be named once, not click"],
    );
    check_error(
        r#"{"blend": [{"head": "click", "by_kind": {"song": 1}}]}"#,
        expect![
            "blend.0.by_kind.song is no field of a ranking configuration; allowed: post, video, image, dataset"
        ],
    );
}

#[test]
fn errors_name_field_and_range() {
    check_error(
        "nonsense",
        expect!["the ranking configuration is not JSON: expected ident at line 1 column 2"],
    );
    check_error("[]", expect!["the configuration must be an object, not []"]);
    check_error(
        r#"{"nmae": "x"}"#,
        expect![
            "nmae is no field of a ranking configuration; allowed: name, blend, feed, video, version, freshness_decay_per_hour, completion_prior_views, selection, hot, sources"
        ],
    );
    check_error(
        r#"{"name": ""}"#,
        expect![[r#"name must be a string of 1 to 64 bytes without control characters, not """#]],
    );
    check_error(
        r#"{"name": "a\u0000b"}"#,
        expect![[
            r#"name must be a string of 1 to 64 bytes without control characters, not "a\0b""#
        ]],
    );
    check_error(
        r#"{"version": -1}"#,
        expect!["version must be an integer from 0 to 4294967295, not -1"],
    );
    check_error(
        r#"{"version": 1.5}"#,
        expect!["version must be an integer from 0 to 4294967295, not 1.5"],
    );
    check_error(
        r#"{"selection": {"author_window": 21}}"#,
        expect!["selection.author_window must be an integer from 1 to 20, not 21"],
    );
    check_error(
        r#"{"selection": {"author_windw": 20}}"#,
        expect![
            "selection.author_windw is no field of a ranking configuration; allowed: author_max, author_window, variety_lambda, variety_vectors, variety_displacement, explore_every"
        ],
    );
    check_error(
        r#"{"selection": 3}"#,
        expect!["selection must be an object, not 3"],
    );
    check_error(
        r#"{"hot": {"half_life_minutes": [20, 360]}}"#,
        expect!["hot.half_life_minutes must be an array of 3 numbers, not [20,360]"],
    );
    check_error(
        r#"{"hot": {"half_life_minutes": [20, 0, 1]}}"#,
        expect!["hot.half_life_minutes.1 must be a number from 1 to 525600, not 0"],
    );
    check_error(
        r#"{"hot": {"like": "1"}}"#,
        expect![[r#"hot.like must be a number from 0 to 1000, not "1""#]],
    );
    check_error(
        r#"{"feed": {"freshness": 101}}"#,
        expect!["feed.freshness must be a number from -100 to 100, not 101"],
    );
    check_error(
        r#"{"feed": {"deep": 0.1}}"#,
        expect![
            "feed.deep is no field of a ranking configuration; allowed: freshness, engagement, affinity, by_kind"
        ],
    );
    check_error(
        r#"{"video": {"by_kind": {"film": {"deep": 0.1}}}}"#,
        expect![
            "video.by_kind.film is no field of a ranking configuration; allowed: post, video, image, dataset"
        ],
    );
    check_error(
        r#"{"video": {"by_kind": {"video": {"deep": null}}}}"#,
        expect!["video.by_kind.video.deep must be a number from -100 to 100, not null"],
    );
    check_error(
        r#"{"sources": {"follow_windows_hours": [72, 24, 720]}}"#,
        expect!["sources.follow_windows_hours must be ascending, not [72, 24, 720]"],
    );
}

#[test]
fn validate_refuses_what_is_not_finite() {
    let mut config = RankingConfig::default();
    config.video[Kind::Image as usize].deep = f64::NAN;
    expect!["video.by_kind.image.deep must be a number from -100 to 100, not NaN"]
        .assert_eq(&config.validate().unwrap_err().to_string());
}

proptest! {
    #[test]
    fn json_reads_back_to_the_same_bits(
        weights in prop::collection::vec(-100.0..100.0_f64, WEIGHTS.len() * Kind::ALL.len()),
        shares in prop::collection::vec(0.0..1.0_f64, FIELDS.len()),
        name in "[a-z\"\\\\ü]{1,20}",
    ) {
        let mut config = RankingConfig { name, ..RankingConfig::default() };
        for (place, &value) in weights.iter().enumerate() {
            let weight = &WEIGHTS[place % WEIGHTS.len()];
            (weight.set)(&mut config, Kind::ALL[place / WEIGHTS.len()], value);
        }
        for (field, share) in FIELDS.iter().zip(shares) {
            let value = field.range.min + share * (field.range.max - field.range.min);
            (field.set)(&mut config, if field.range.integer { libm::trunc(value) } else { value });
        }
        config.sources.follow_windows_hours.sort_unstable();
        prop_assert_eq!(RankingConfig::from_json(&config.to_json()), Ok(config));
    }
}

#[test]
fn a_refused_document_is_not_repeated_whole() {
    let json = alloc::format!(r#"{{"selection": "{}"}}"#, "ü".repeat(10_000));
    let Err(ConfigError::Invalid { found, .. }) = RankingConfig::from_json(&json) else {
        panic!("a text is no selection");
    };
    assert_eq!(found.chars().count(), 83);
}

#[test]
fn a_kind_overrides_what_is_for_all_whatever_the_order() {
    let json = r#"{"video": {"by_kind": {"post": {"deep": 0.5}}, "deep": 0.25}}"#;
    let config = RankingConfig::from_json(json).unwrap();
    assert_eq!(
        config.video.map(|weights| weights.deep),
        [0.5, 0.25, 0.25, 0.25]
    );
    assert_eq!(
        config.video[0].completion, 0.40,
        "what is left out has its default"
    );
}
