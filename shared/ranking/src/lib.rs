#![no_std]
#![doc = "Ranking as a pure function: `rank(query, candidates, model, config, now, seed)`."]
//!
//! No clock, no I/O, no randomness, no hash order: everything is an argument, so
//! the same input gives the same bits natively, in workerd, in wasmtime and in a
//! browser. Floating point goes through `libm`; features are `f32`, scores `f64`.

extern crate alloc;

pub mod candidates;
pub mod config;
pub mod feature;
pub mod hot;
pub mod id;
pub mod query;

pub use candidates::{Candidates, Kind, NO_LABEL, NewCandidate, Sources, Texts};
pub use config::{HotWindow, RankingConfig};
pub use feature::Feature;
pub use hot::HotSum;
pub use id::{id_hash, short_hash};
pub use query::{Model, Placement, Profile, Query, Ranked, Ranking, Removed, Selection};
