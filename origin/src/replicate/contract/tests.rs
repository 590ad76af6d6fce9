//! A table's measures against its contract.

use expect_test::expect;

use super::*;
use crate::ingest::rows::TableId;
use crate::replicate::mapping::{BoundTable, Column, TablePlan, deliver};
use crate::replicate::value::Value::{self, Int, Null, Text};

const HOUR_MS: i64 = 3_600_000;

const TABLE: &str = "
table = 'posts'
to = 'items'
id = 'id'
author = 'author'
created_at = 'epoch_ms(at)'
title = 'title'
region = 'region'
deleted = 'gone'
[contract]
unique = ['title']
rows_per_hour = { min = 10, max = 5000 }
[contract.columns.region]
max_null_ratio = 1.0
one_of = ['de', 'fr']
";

fn table() -> BoundTable {
    let names = ["id", "author", "at", "title", "region", "gone"];
    let columns = names.map(|name| Column {
        name: name.to_owned(),
        is_key: name == "id",
        ..Column::default()
    });
    let plan = TablePlan::compile(&toml::from_str(TABLE).unwrap()).unwrap();
    plan.bind(&columns).unwrap()
}

/// Delivers `(id, author, title, region)` at `at_ms`; `at` and the soft-deletion mark are fixed.
fn give(
    bound: &BoundTable,
    quality: &mut TableQuality,
    row: (i64, i64, Value<'_>, Value<'_>),
    at_ms: i64,
) -> bool {
    let (id, author, title, region) = row;
    let values: Vec<Value<'_>> = (bound.columns().iter())
        .map(|name| match name.as_str() {
            "id" => Int(id),
            "author" => Int(author),
            "at" => Int(1_000),
            "title" => title,
            "region" => region,
            _ => Null,
        })
        .collect();
    deliver(bound, TableId(1), &values, "p", quality, at_ms)
        .1
        .is_none()
}

fn breached(quality: &TableQuality, now_ms: i64) -> Vec<String> {
    let report = quality.report(now_ms);
    serde_json::from_value(report["measures"]["breached"].clone()).unwrap()
}

fn title(id: i64) -> String {
    format!("title {id}")
}

#[test]
fn a_good_table_breaches_nothing_and_a_silent_one_its_freshness() {
    let bound = table();
    let mut quality = TableQuality::new("main", &bound, 0);
    for id in 0..2_000 {
        assert!(give(
            &bound,
            &mut quality,
            (id, id % 100, Text(&title(id)), Null),
            0
        ));
    }
    assert_eq!(breached(&quality, 1_000), Vec::<String>::new());
    assert_eq!(quality.report(1_000)["measures"]["quality_score"], 100.0);
    assert_eq!(breached(&quality, 6 * HOUR_MS), ["rows_per_hour"]);
    assert_eq!(
        breached(&quality, 6 * HOUR_MS + 1),
        ["freshness", "rows_per_hour"]
    );
    quality.deleted(6 * HOUR_MS);
    assert_eq!(breached(&quality, 6 * HOUR_MS + 1), ["rows_per_hour"]);
}

#[test]
fn nulls_are_judged_by_the_last_minutes() {
    let bound = table();
    let mut quality = TableQuality::new("main", &bound, 0);
    for id in 0..4_000 {
        give(
            &bound,
            &mut quality,
            (id, id % 100, Text(&title(id)), Null),
            0,
        );
    }
    // Two minutes later titles begin to be missing: a million good rows must not hide it.
    for id in 0..4_000 {
        give(&bound, &mut quality, (id, id % 100, Null, Null), 120_000);
    }
    assert!(breached(&quality, 120_000).contains(&"null_ratio".to_owned()));
}

#[test]
fn skew_repeats_and_volume_are_found() {
    let bound = table();
    let mut quality = TableQuality::new("main", &bound, 0);
    for id in 0..6_000 {
        // Half of the rows are of one of 1,001 authors; every title is that of two rows.
        let author = if id % 2 == 0 { 0 } else { 1 + id % 1_000 };
        give(
            &bound,
            &mut quality,
            (id, author, Text(&title(id / 2)), Null),
            0,
        );
    }
    assert_eq!(breached(&quality, 0), ["skew", "unique", "rows_per_hour"]);
    let measures = &quality.report(0)["measures"];
    // 3,000 rows of the heaviest over 6,000 rows of 501 authors.
    let skew = measures["skew"].as_f64().unwrap();
    assert!((230.0..=260.0).contains(&skew), "{skew}");
    assert_eq!(measures["uniqueness"], 0.0);
    assert_eq!(measures["rows_per_hour"], 6_000);
}

#[test]
fn redelivered_rows_are_no_repeats() {
    let bound = table();
    let mut quality = TableQuality::new("main", &bound, 0);
    for id in (0..1_000).chain(0..1_000) {
        give(&bound, &mut quality, (id, id, Text(&title(id)), Null), 0);
    }
    assert_eq!(breached(&quality, 0), Vec::<String>::new());
}

#[test]
fn violations_are_counted_and_sampled_in_bounded_memory() {
    let bound = table();
    let mut quality = TableQuality::new("main", &bound, 0);
    for id in 0..100 {
        let region = if id % 2 == 0 { Text("xx") } else { Text("de") };
        let counts = give(&bound, &mut quality, (id, id, Text(&title(id)), region), id);
        assert_eq!(counts, id % 2 == 1);
    }
    let report = quality.report(100);
    expect![[r#"{"one_of region":50}"#]].assert_eq(&report["violations"].to_string());
    let samples = report["samples"].as_array().unwrap();
    assert_eq!(samples.len(), 20);
    expect![[r#"{"at_ms":98,"column":"region","key":"id=98","reason":"column region is \"xx\", but the contract says one of de, fr","rule":"one_of"}"#]].assert_eq(&samples[19].to_string());
    assert_eq!(report["measures"]["validity"], 0.5);
    assert_eq!(
        breached(&quality, 100),
        Vec::<String>::new(),
        "a score of 85 is over 70"
    );
    quality.publish(100);
    quality.publish(200);
}

#[test]
fn what_was_cut_to_fit_is_counted() {
    let bound = table();
    let mut quality = TableQuality::new("main", &bound, 0);
    let long = "x".repeat(301);
    assert!(give(&bound, &mut quality, (1, 1, Text(&long), Null), 0));
    assert!(give(&bound, &mut quality, (2, 1, Text("short"), Null), 0));
    let report = quality.report(0);
    assert_eq!(
        (&report["titles_cut"], &report["tags_cut"]),
        (&1.into(), &0.into())
    );
}
