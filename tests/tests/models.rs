//! Models from files: trees and vectors from the origin's configuration to the edge's answer.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use edgewise_tests::http::eventually;
use edgewise_tests::places;
use edgewise_tests::stack::{Edge, Origin};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::site::{ITEMS, items};

/// Item ids end up right of 2.5 hours, or left of it, by age alone; 1 adds by likes.
const CLICK: &str = "tree
version=v4
num_class=1
num_tree_per_iteration=1
max_feature_idx=1
objective=binary sigmoid:1
feature_names=age_hours likes
tree_sizes=1 1

Tree=0
num_leaves=2
num_cat=0
split_feature=0
threshold=2.5
decision_type=10
left_child=-1
right_child=-2
leaf_value=-1.5 1.5
is_linear=0
shrinkage=1

Tree=1
num_leaves=2
num_cat=0
split_feature=1
threshold=0.5
decision_type=10
left_child=-1
right_child=-2
leaf_value=0 0.25
is_linear=0
shrinkage=1

end of trees
";

/// The trees as a program reads them: probability of the logistic link.
fn click(age_hours: f64, likes: f64) -> f64 {
    let sum = if age_hours <= 2.5 { -1.5 } else { 1.5 } + if likes <= 0.5 { 0.0 } else { 0.25 };
    1.0 / (1.0 + f64::exp(-sum))
}

/// A configuration file that names `heads`, and the folder it lies in.
fn configured(blend: &Value, click: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).expect("the file is written");
        path.display().to_string()
    };
    let ranking = json!({ "name": "clicks", "version": 3, "blend": blend });
    let ranking = write("ranking.json", &ranking.to_string());
    let click = write("click.txt", click);
    let mut vectors = String::from("{\"user\": \"ann\", \"vector\": [1, 0.5, 0]}\n");
    for item in 0..ITEMS {
        let vector = [item as f64 / ITEMS as f64, (item % 7) as f64 / 7.0, 1.0];
        vectors += &json!({ "item": item.to_string(), "vector": vector }).to_string();
        vectors.push('\n');
    }
    let vectors = write("vectors.jsonl", &vectors);
    write(
        "edgewise.toml",
        &format!(
            "[ranking]\nconfig = '{ranking}'\nvectors = '{vectors}'\n[ranking.heads]\nclick = '{click}'\n"
        ),
    );
    dir
}

fn config(dir: &Path) -> String {
    dir.join("edgewise.toml").display().to_string()
}

#[test]
fn trees_from_a_file_rank_at_the_edge_as_at_the_origin() {
    let blend = json!([
        { "head": "click", "weight": 2.0 },
        { "head": "vectors", "weight": 0.5 },
        { "head": "formula", "weight": 0.1, "normalise": "min_max" },
    ]);
    let dir = configured(&blend, CLICK);
    let data = tempfile::tempdir().expect("a temporary folder");
    let origin = Origin::start(data.path(), &["--config", &config(dir.path())]);
    origin.upsert(&items());
    let edge = Edge::start(data.path(), &origin.url, &[]);
    let path = "/api/v1/feed?user=ann&limit=40&explain=1&selection=none";
    let page = eventually("the model is at the edge", Duration::from_secs(20), || {
        let answer = edge.get(path);
        let model = answer.json()["model"].as_str().map(str::to_owned);
        let is_trees = model.is_some_and(|model| model.starts_with("trees-"));
        (is_trees && answer.header("edgewise-rung") == "personal").then_some(answer)
    });
    assert!(page.json().get("fallback").is_none(), "{}", page.text);
    let items = page.json()["items"].as_array().expect("items").clone();
    assert_eq!(items.len(), 40);
    let now_ms = page.json()["now_ms"].as_f64().expect("a time");
    let mut dots = 0;
    for item in &items {
        let terms = item["explain"]["features"].as_array().expect("terms");
        let names: Vec<&str> = terms
            .iter()
            .filter_map(|term| term["name"].as_str())
            .collect();
        assert_eq!(names, ["click", "vectors", "formula"]);
        let number = |value: &Value| value.as_f64().expect("a number");
        let age_hours = (now_ms - number(&item["created_at"])) / 3.6e6;
        let expected = click(age_hours, number(&item["likes"]));
        assert!(
            (number(&terms[0]["value"]) - expected).abs() < 1e-12,
            "{item}"
        );
        dots += usize::from(number(&terms[1]["value"]) != 0.5);
        let sum: f64 = terms.iter().map(|term| number(&term["contribution"])).sum();
        assert_eq!(sum.to_bits(), number(&item["score"]).to_bits(), "{item}");
    }
    assert_eq!(dots, items.len(), "every item has a vector");
    // Ages differ by the moment, and no tree is asked about a moment: the same order and all
    // but the same formula.
    let there = edgewise_tests::http::get(&format!("{}{path}", origin.url));
    assert_eq!(there.json()["model"], page.json()["model"]);
    assert_eq!(there.ids(), page.ids());
}

#[test]
fn a_head_that_is_missing_leaves_the_formula_and_says_so() {
    let dir = configured(&json!([{ "head": "like" }, { "head": "click" }]), CLICK);
    let data = tempfile::tempdir().expect("a temporary folder");
    let origin = Origin::start(data.path(), &["--config", &config(dir.path())]);
    origin.upsert(&items());
    let page = edgewise_tests::http::get(&format!(
        "{}/api/v1/feed?user=ann&limit=3&explain=1",
        origin.url
    ));
    assert_eq!(
        page.json()["fallback"],
        "formula: the model has no head like"
    );
    let terms = &page.json()["items"][0]["explain"]["features"];
    assert_eq!(terms[0]["name"], "freshness", "{}", page.text);
}

#[test]
fn models_that_cannot_rank_are_refused_at_start() {
    let cases = [
        (CLICK.replace("likes", "charm"), "charm"),
        (CLICK.replace("num_class=1", "num_class=3"), "3"),
        (CLICK.replace("threshold=2.5", "threshold=nan"), "threshold"),
        (
            CLICK.replace(
                "left_child=-1\nright_child=-2\nleaf_value=-1.5",
                "left_child=0\nright_child=-2\nleaf_value=-1.5",
            ),
            "tree 0",
        ),
        (CLICK[..CLICK.len() / 2].to_owned(), "click.txt"),
        (String::from("not a model"), "click.txt"),
    ];
    for (model, why) in cases {
        let dir = configured(&json!([{ "head": "click" }]), &model);
        let data = tempfile::tempdir().expect("a temporary folder");
        let output = Command::new(places::edgewise())
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--admin-listen",
                "127.0.0.1:0",
                "--data",
            ])
            .arg(data.path())
            .args(["--config", &config(dir.path())])
            .output()
            .expect("edgewise runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "started with {model}");
        assert!(
            said.contains("ranking.heads.click") && said.contains(why),
            "{said}"
        );
        assert!(!said.contains("panicked"), "{said}");
    }
}
