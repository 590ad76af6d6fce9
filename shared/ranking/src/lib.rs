#![no_std]
#![doc = "Ranking as a pure function: `rank(query, candidates, model, config, now, seed)`."]
//!
//! No clock, no I/O, no randomness, no hash order: everything is an argument, so
//! the same input gives the same bits natively, in workerd, in wasmtime and in a
//! browser. Floating point goes through `libm`; features are `f32`, scores `f64`.
//!
//! A ranking goes through `eligible` (removal rules and filters), [`score()`] (the
//! formula), `order` (the total order) and `select` (caps, variety, explore slots).

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod blend;
pub mod candidates;
pub mod config;
mod eligible;
mod exp;
pub mod explain;
pub mod feature;
pub mod hot;
pub mod id;
mod index;
#[cfg(test)]
mod laws;
mod log1p;
mod matrix;
pub mod merge;
mod order;
pub mod query;
mod rank;
mod scale;
pub mod score;
mod select;
mod simd;
pub mod sketch;
pub mod sort;
mod terms;
pub mod trees;
pub mod vectors;

pub use blend::{Head, Scoring};
pub use candidates::{Candidates, Kind, NO_LABEL, NewCandidate, Sources, Texts};
pub use config::{HotWindow, RankingConfig};
pub use explain::{Contribution, explain};
pub use feature::{Derived, Feature, schema_hash};
pub use hot::HotSum;
pub use id::{id_hash, short_hash};
pub use matrix::{LANES, Matrix};
pub use merge::{Merged, Merger};
pub use query::{Context, Model, Placement, Profile, Query, Ranked, Ranking, Removed, Selection};
pub use rank::{feature_values, rank};
pub use score::{Scored, score};
pub use sketch::{SKETCH_DIMS, Sketches, UserVector};
