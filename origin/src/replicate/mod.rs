//! Change data capture: follows the operator's database and counts its rows exactly once.
//!
//! A *connector* (`postgres`, `mysql`, `poll`, `kafka`) reads rows in the source's order; the
//! `mapping` turns each into a fact; an `apply::Applier` puts facts and the position after them
//! into batches for the [`Writer`](crate::ingest::Writer), whose transaction holds aggregates,
//! row memory, log and checkpoints. Only then is the source acknowledged.

pub mod apply;
pub mod check;
pub mod command;
pub mod config;
mod connect;
pub mod contract;
pub mod dead_letter;
pub mod drift;
pub mod following;
pub mod init;
pub mod kafka;
pub mod load;
pub mod mapping;
pub mod metrics;
pub mod mysql;
pub mod poll;
pub mod postgres;
pub mod reconcile;
pub mod redact;
pub mod resync;
#[cfg(test)]
mod simulation;
pub mod status;
pub mod supervise;
mod unsent;
pub mod value;
