//! The native server and command line of Edgewise.
//!
//! `edgewise serve` counts events exactly once in an embedded store, keeps the
//! catalogue in memory, and serves candidate bundles, hot lists and the overlay to
//! edges; through the same router it is a complete service without any edge.

pub mod backup;
pub mod candidates;
pub mod catalogue;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod http;
pub mod import;
pub mod ingest;
pub mod jobs;
pub mod lists;
pub mod model;
pub mod origin;
pub mod overlay;
pub mod purge;
pub mod rank;
pub mod replicate;
pub mod secrets;
pub mod serve;
pub mod store;
pub mod telemetry;
pub mod terminal;
pub mod time;
pub mod user;
pub mod vectors;
pub mod verify;
