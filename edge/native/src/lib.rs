//! The edge as one process, for operators with points of presence of their own.
//!
//! `api` runs the Edgewise API: `edge/core` decides, tokio and hyper do.

pub mod cli;

mod admin;
mod api;
mod clock;
mod drain;
mod limits;
mod listen;
mod telemetry;
mod upstream;
