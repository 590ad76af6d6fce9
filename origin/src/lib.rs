//! The native server and command line of Edgewise.
//!
//! `edgewise serve` counts events exactly once in an embedded store, keeps the
//! catalogue in memory, and serves candidate bundles, hot lists and the overlay to
//! edges; through the same router it is a complete service without any edge.

pub mod clock;
pub mod config;
pub mod ingest;
pub mod store;
