#![no_std]
#![doc = "What an edge does, sans-IO: requests in, effects and answers out."]
//!
//! Built natively (tests, simulation, other hosts) and as `edge.wasm`, one module without
//! imports whose interface is in ARCHITECTURE.md.
//!
//! ```text
//! start ─▶ router ─▶ route ── answers from memory ──▶ answer
//!                      │ lacks something                │
//!                      ▼                                ▼
//!                  awaited jobs (store/load)        refreshes (overlay first)
//!                  cache + KV → origin → memory     cache → origin → memory → cache, KV
//! ```
//!
//! Loads fill memory and routes answer from memory, so there is one rule of freshness for
//! every tier ([`edgewise_cache`]) and one place where values enter (`state`).

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod abi;
pub mod config;
pub mod device;
pub mod edge;
pub mod effect;
pub mod frame;
pub mod limits;
pub mod request;
pub mod warm;

mod answer;
mod answers;
mod context;
mod cors;
mod identity;
mod job;
mod ladder;
mod lifetime;
mod live;
mod models;
mod overlay;
mod repeat;
mod resource;
mod router;
mod routes;
mod served;
mod state;
mod stats;
mod store;
mod trace;

pub use config::Config;
pub use edge::Edge;
pub use effect::{Answer, Done, Effect, Output};
pub use request::Request;
pub use stats::Stats;

#[cfg(test)]
mod simulation;
