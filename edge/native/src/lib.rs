//! The edge as one process, for operators with points of presence of their own.
//!
//! `api` runs the Edgewise API: `edge/core` decides, tokio and hyper do. [`proxy`] is a caching
//! reverse proxy for any origin: its decisions are [`edgewise_cache`]'s.

pub mod cli;
pub mod proxy;

mod admin;
mod api;
mod drain;
mod limits;
mod listen;
mod now;
mod telemetry;
mod upstream;
