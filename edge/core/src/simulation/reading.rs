//! Reading answers.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::Value;

use super::world::{Answered, Ask, World};

pub(super) fn json(answered: &Answered) -> Value {
    serde_json::from_slice(&answered.answer.body).expect("JSON")
}

pub(super) fn ids(answered: &Answered) -> Vec<String> {
    let body = json(answered);
    let items = body["items"].as_array().expect("items").iter();
    items
        .map(|item| item["id"].as_str().expect("id").to_string())
        .collect()
}

pub(super) fn get(world: &mut World, target: &str) -> Answered {
    world.ask(&Ask::get(target))
}

pub(super) fn rung(answered: &Answered) -> &str {
    answered.answer.get("edgewise-rung").unwrap_or("")
}

/// Paths asked of the origin since `from`, but for the overlay's.
pub(super) fn fetched_since(world: &World, from: usize) -> Vec<&str> {
    let paths = world.fetched[from..].iter().map(String::as_str);
    paths.filter(|path| !path.ends_with("/overlay")).collect()
}
