use alloc::string::ToString as _;

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::json;

use super::*;

#[track_caller]
fn check(input: &str, expect: Expect) {
    expect.assert_eq(&match rank(input.as_bytes()) {
        Ok(lines) => lines,
        Err(error) => error.to_string(),
    });
}

/// Candidates wrapped in an input that is otherwise right.
fn of(candidates: &str) -> String {
    format!(r#"{{"query":{{"now_ms":3600000}},"candidates":[{candidates}]}}"#)
}

const A: &str = r#"{"id":"a","author":"x","created_at_ms":0,"likes":3,"impressions":10}"#;
const B: &str = r#"{"id":"b","author":"y","created_at_ms":3600000,"features":{"comments":1}}"#;

#[test]
fn lines_carry_the_bits() {
    check(&of(&format!("{A},{B}")), expect![[""]]);
}

#[test]
fn numbers_that_json_cannot_say_have_names() {
    let named = r#"{"id":"n","author":"x","created_at_ms":0,"likes":"NaN","shares":"-Infinity",
        "comments":null,"interactions":1e-45}"#;
    check(&of(named), expect![[""]]);
}

#[test]
fn what_is_asked_holds() {
    let ask = |query: &str| {
        let tagged = r#"{"id":"c","author":"z","created_at_ms":0,"tags":["t"],"kind":"post"}"#;
        let input = format!(r#"{{"query":{query},"candidates":[{A},{B},{tagged}]}}"#);
        let lines = rank(input.as_bytes()).unwrap();
        let id = |line: &str| {
            serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_string()
        };
        lines.lines().map(id).collect::<Vec<String>>().join("")
    };
    assert_eq!(ask(r#"{"now_ms":0}"#).len(), 3);
    assert_eq!(ask(r#"{"now_ms":0,"limit":1}"#).len(), 1);
    assert_eq!(ask(r#"{"now_ms":0,"tag":"t","unknown":1}"#), "c");
    assert_eq!(ask(r#"{"now_ms":0,"exclude":["a","b"]}"#), "c");
    assert_eq!(ask(r#"{"now_ms":0,"user":"x","hidden_authors":["y"]}"#), "c");
    assert_eq!(ask(r#"{"now_ms":0,"shown":["c","b"],"seed":"0xff","profile":"video"}"#), "a");
    assert_eq!(ask(r#"{"now_ms":0.0,"selection":"diverse","request_id":"r"}"#).len(), 3);
}

#[test]
fn a_wrong_input_is_named() {
    check("{", expect![[""]]);
    check("[]", expect![[""]]);
    check("{}", expect![[""]]);
    check(r#"{"candidates":[]}"#, expect![[""]]);
    check(r#"{"candidates":[],"query":{}}"#, expect![[""]]);
    check(r#"{"candidates":[],"query":{"now_ms":1,"limit":0}}"#, expect![[""]]);
    check(r#"{"candidates":[],"query":{"now_ms":1,"seed":-1}}"#, expect![[""]]);
    check(r#"{"candidates":[],"query":{"now_ms":1,"profile":"x"}}"#, expect![[""]]);
    check(r#"{"candidates":[],"query":{"now_ms":1},"prior":"x"}"#, expect![[""]]);
    check(&of(&format!("{A},{A}")), expect![[""]]);
    check(&of("7"), expect![[""]]);
    check(&of(r#"{"id":"a"}"#), expect![[""]]);
    check(&of(r#"{"id":"","author":"x","created_at_ms":0}"#), expect![[""]]);
    check(&of(r#"{"id":"a","author":"x","created_at_ms":0,"lieks":1}"#), expect![[""]]);
    check(&of(r#"{"id":"a","author":"x","created_at_ms":0,"likes":"1"}"#), expect![[""]]);
    check(&of(r#"{"id":"a","author":"x","created_at_ms":0.5}"#), expect![[""]]);
    check(&of(r#"{"id":"a","author":"x","created_at_ms":0,"sources":["f1"]}"#), expect![[""]]);
}

#[test]
fn nothing_to_rank_is_no_line() {
    check(&of(""), expect![[""]]);
}

#[test]
fn too_many_candidates_are_refused() {
    let rows: Vec<Value> = (0..=CANDIDATES_MAX).map(|row| json!({ "id": row })).collect();
    let input = json!({ "query": { "now_ms": 0 }, "candidates": rows }).to_string();
    assert!(matches!(rank(input.as_bytes()), Err(RankInputError::TooMany { count: 10_001 })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_bytes_are_ranked_or_named(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = rank(&bytes);
    }

    #[test]
    fn a_score_reads_back_to_its_bits(
        likes in prop::collection::vec(any::<f32>(), 1..30),
        now_ms in any::<i32>(),
    ) {
        let rows: Vec<Value> = (0..)
            .zip(&likes)
            .map(|(row, likes): (i64, _)| {
                let likes = match likes {
                    likes if likes.is_nan() => json!("NaN"),
                    likes if likes.is_infinite() => json!("Infinity"),
                    likes => json!(likes),
                };
                json!({ "id": format!("i{row}"), "author": "a", "created_at_ms": row, "likes": likes })
            })
            .collect();
        let input = json!({ "query": { "now_ms": now_ms }, "candidates": rows }).to_string();
        let lines = rank(input.as_bytes()).unwrap();
        prop_assert_eq!(lines.lines().count(), likes.len());
        for line in lines.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let bits = line["bits"].as_str().unwrap().strip_prefix("0x").unwrap();
            let bits = u64::from_str_radix(bits, 16).unwrap();
            prop_assert_eq!(line["score"].as_f64().map(f64::to_bits), Some(bits));
        }
    }
}
