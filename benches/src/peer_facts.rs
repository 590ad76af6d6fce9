//! What the plain JavaScript Worker knows: a bundle, trees and a configuration as JSON.
//!
//! Every number reads back to the same bits. JSON has no word for what is not finite: those
//! are the strings that JavaScript's `Number` reads, `NaN`, `Infinity` and `-Infinity`.

use edgewise_ranking::config::{BlendHead, Normalise};
use edgewise_ranking::feature::TABLE;
use edgewise_ranking::trees::{Child, Ensemble, Library, Link, Node, Test};
use edgewise_ranking::{Candidates, Feature, Head, Kind, RankingConfig, id_hash};
use edgewise_wire::bundle::Bundle;
use serde_json::{Value, json};

/// Facts of a personal feed's first page. `user` asks; `prior` is the catalogue's mean watch
/// ratio.
pub(crate) fn feed_facts(
    bundle: &Bundle,
    heads: &[Head],
    config: &RankingConfig,
    user: Option<&str>,
    prior: f32,
) -> Value {
    let own = user.or(bundle.user.as_deref()).map(id_hash);
    json!({
        "own_author": hashes(own),
        "removed_items": hashes(bundle.removed_items.iter().copied()),
        "hidden_authors": hashes(bundle.hidden_authors.iter().copied()),
        "prior": prior,
        "user_vector": bundle.user_vector.map(|vector| json!({
            "scale": vector.scale,
            "values": vector.values,
        })),
        "candidates": candidates(&bundle.candidates),
        "table": TABLE.iter().map(|spec| json!({
            "name": spec.name,
            "default": number(spec.default),
            "min": number(spec.min),
            "max": number(spec.max),
            "kinds": spec.kinds,
        })).collect::<Vec<_>>(),
        "heads": heads.iter().map(|head| json!({
            "name": head.name,
            "ensemble": ensemble(head.forest.ensemble()),
        })).collect::<Vec<_>>(),
        "config": configuration(config),
    })
}

fn configuration(config: &RankingConfig) -> Value {
    let selection = &config.selection;
    let head = |head: &BlendHead| {
        json!({
            "head": head.name,
            "weights": head.weights,
            "normalise": match head.normalise {
                Normalise::Prediction => "prediction",
                Normalise::Sum => "sum",
                Normalise::MinMax => "min_max",
            },
        })
    };
    json!({
        "name": format!("{}@{}", config.name, config.version),
        "feed": config.feed.map(|weights| [
            weights.freshness,
            weights.engagement,
            weights.affinity,
        ]),
        "blend": config.blend.iter().map(head).collect::<Vec<_>>(),
        "freshness_decay_per_hour": config.freshness_decay_per_hour,
        "completion_prior_views": config.completion_prior_views,
        "half_life_minutes": config.hot.half_life_minutes,
        "author_max": selection.author_max,
        "author_window": selection.author_window,
        "variety_lambda": selection.variety_lambda,
        "variety_vectors": selection.variety_vectors,
        "variety_displacement": selection.variety_displacement,
        "explore_every": selection.explore_every,
    })
}

fn candidates(rows: &Candidates) -> Value {
    let columns = Feature::ALL.map(|feature| {
        let column = rows.columns[feature as usize].iter();
        column.map(|&value| number(value)).collect::<Vec<_>>()
    });
    let sources = rows.sources.iter();
    json!({
        "ids": rows.ids.iter().collect::<Vec<_>>(),
        "id_hashes": hashes(rows.id_hashes.iter().copied()),
        "authors": rows.authors.iter().collect::<Vec<_>>(),
        "author_hashes": hashes(rows.author_hashes.iter().copied()),
        "author": rows.author,
        "created_at_ms": rows.created_at_ms,
        "sources": sources.clone().map(|sources| sources.0).collect::<Vec<_>>(),
        "source_names": sources.map(|sources| sources.names().collect()).collect::<Vec<Vec<_>>>(),
        "kind": rows.kind.iter().map(|&kind| kind as u8).collect::<Vec<_>>(),
        "kind_names": Kind::ALL.map(Kind::name),
        "tag_ends": rows.tag_ends,
        "tags": rows.tags,
        "columns": columns,
        "present": rows.present,
        "as_of_ms": rows.as_of_ms,
        "sketch_scale": rows.sketch.scale,
        "sketches": rows.sketch.values.as_flattened(),
    })
}

fn ensemble(ensemble: &Ensemble) -> Value {
    let tree = |tree: &edgewise_ranking::trees::Tree| {
        json!({
            "nodes": tree.nodes.iter().map(node).collect::<Vec<_>>(),
            "leaves": tree.leaves,
        })
    };
    json!({
        "is_f32": ensemble.library == Library::XgBoost,
        "features": ensemble.features,
        "trees": ensemble.trees.iter().map(tree).collect::<Vec<_>>(),
        "categories": ensemble.categories,
        "base": ensemble.base,
        "average": ensemble.average,
        "link": match ensemble.link {
            Link::Identity => json!({ "name": "identity" }),
            Link::Logistic { scale } => json!({ "name": "logistic", "scale": scale }),
            Link::Exp => json!({ "name": "exp" }),
        },
    })
}

fn node(node: &Node) -> Value {
    let [left, right] = [node.left, node.right].map(|child| match child {
        Child::Node(index) => i32::from(index),
        Child::Leaf(index) => !i32::from(index),
    });
    let test = match node.test {
        Test::AtMost {
            threshold,
            nan_left,
            zero_left,
        } => json!({
            "threshold": number(threshold),
            "nan_left": nan_left,
            "zero_left": zero_left,
        }),
        Test::OneOf {
            first,
            words,
            nan_left,
        } => json!({ "first": first, "words": words, "nan_left": nan_left }),
    };
    json!({ "feature": node.feature, "left": left, "right": right, "test": test })
}

fn number(value: f32) -> Value {
    match f64::from(value) {
        value if value.is_finite() => json!(value),
        value if value.is_nan() => json!("NaN"),
        value if value > 0.0 => json!("Infinity"),
        _ => json!("-Infinity"),
    }
}

/// The upper and the lower 32 bits of each.
fn hashes(hashes: impl IntoIterator<Item = u64>) -> Value {
    let (high, low): (Vec<u64>, Vec<u64>) = hashes
        .into_iter()
        .map(|hash| (hash >> 32, hash & u64::from(u32::MAX)))
        .unzip();
    json!({ "high": high, "low": low })
}
