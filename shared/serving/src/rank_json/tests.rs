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
    check(
        &of(&format!("{A},{B}")),
        expect![[r#"
        {"id":"b","score":0.7394449154672438,"bits":"0x3fe7a9886224026e","score_rank":1,"position":1}
        {"id":"a","score":0.3763969311977843,"bits":"0x3fd816e32773caae","score_rank":2,"position":2}
    "#]],
    );
}

#[test]
fn numbers_that_json_cannot_say_have_names() {
    let named = r#"{"id":"n","author":"x","created_at_ms":0,"likes":"NaN","shares":"-Infinity",
        "comments":null,"interactions":1e-45}"#;
    check(
        &of(named),
        expect![[r#"
        {"id":"n","score":0.27145122541078787,"bits":"0x3fd15f74f5e64d23","score_rank":1,"position":1}
    "#]],
    );
}

#[test]
fn what_is_asked_holds() {
    let ask = |query: &str| {
        let tagged = r#"{"id":"c","author":"z","created_at_ms":0,"tags":["t"],"kind":"post"}"#;
        let input = format!(r#"{{"query":{query},"candidates":[{A},{B},{tagged}]}}"#);
        let lines = rank(input.as_bytes()).unwrap();
        let id = |line: &str| {
            serde_json::from_str::<Value>(line).unwrap()["id"]
                .as_str()
                .unwrap()
                .to_string()
        };
        lines.lines().map(id).collect::<Vec<String>>().join("")
    };
    assert_eq!(ask(r#"{"now_ms":0}"#).len(), 3);
    assert_eq!(ask(r#"{"now_ms":0,"limit":1}"#).len(), 1);
    assert_eq!(ask(r#"{"now_ms":0,"tag":"t","unknown":1}"#), "c");
    assert_eq!(ask(r#"{"now_ms":0,"exclude":["a","b"]}"#), "c");
    assert_eq!(
        ask(r#"{"now_ms":0,"user":"x","hidden_authors":["y"]}"#),
        "c"
    );
    assert_eq!(
        ask(r#"{"now_ms":0,"shown":["c","b"],"seed":"0xff","profile":"video"}"#),
        "a"
    );
    assert_eq!(
        ask(r#"{"now_ms":0.0,"selection":"diverse","request_id":"r"}"#).len(),
        3
    );
}

#[test]
fn a_wrong_input_is_named() {
    check(
        "{",
        expect!["the input is not JSON: EOF while parsing an object at line 1 column 1"],
    );
    check("[]", expect!["the input must be an object"]);
    check("{}", expect!["candidates must be an array of objects"]);
    check(r#"{"candidates":[]}"#, expect!["query must be an object"]);
    check(
        r#"{"candidates":[],"query":{}}"#,
        expect!["query.now_ms must be an integer, Unix ms"],
    );
    check(
        r#"{"candidates":[],"query":{"now_ms":1,"limit":0}}"#,
        expect!["query.limit must be an integer, 1 to 10000"],
    );
    check(
        r#"{"candidates":[],"query":{"now_ms":1,"seed":-1}}"#,
        expect![[
            r#"query.seed must be an integer, 0 to 18446744073709551615, or "0x" and hex digits"#
        ]],
    );
    check(
        r#"{"candidates":[],"query":{"now_ms":1,"profile":"x"}}"#,
        expect![[r#"query.profile must be "feed" or "video""#]],
    );
    check(
        r#"{"candidates":[],"query":{"now_ms":1},"prior":"x"}"#,
        expect![[r#"prior must be a number, null, "NaN", "Infinity" or "-Infinity""#]],
    );
    check(
        &of(&format!("{A},{A}")),
        expect![[r#"the candidate id "a" is given twice"#]],
    );
    check(&of("7"), expect!["candidates[0] must be an object"]);
    check(
        &of(r#"{"id":"a"}"#),
        expect![
            "candidates[0].author must be an id: a string of 1 to 64 bytes without control characters"
        ],
    );
    check(
        &of(r#"{"id":"","author":"x","created_at_ms":0}"#),
        expect![
            "candidates[0].id must be an id: a string of 1 to 64 bytes without control characters"
        ],
    );
    check(
        &of(r#"{"id":"a","author":"x","created_at_ms":0,"lieks":1}"#),
        expect![[r#"candidates[0] has an unknown field "lieks""#]],
    );
    check(
        &of(r#"{"id":"a","author":"x","created_at_ms":0,"likes":"1"}"#),
        expect![[
            r#"candidates[0].likes must be a number, null, "NaN", "Infinity" or "-Infinity""#
        ]],
    );
    check(
        &of(r#"{"id":"a","author":"x","created_at_ms":0.5}"#),
        expect!["candidates[0].created_at_ms must be an integer, Unix ms"],
    );
    check(
        &of(r#"{"id":"a","author":"x","created_at_ms":0,"sources":["f1"]}"#),
        expect![
            "candidates[0].sources must be an array of follow, trending, affinity, similar, explore"
        ],
    );
}

#[test]
fn nothing_to_rank_is_no_line() {
    check(&of(""), expect![[""]]);
}

#[test]
fn too_many_candidates_are_refused() {
    let rows: Vec<Value> = (0..=CANDIDATES_MAX)
        .map(|row| json!({ "id": row }))
        .collect();
    let input = json!({ "query": { "now_ms": 0 }, "candidates": rows }).to_string();
    assert!(matches!(
        rank(input.as_bytes()),
        Err(RankInputError::TooMany { count: 10_001 })
    ));
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
