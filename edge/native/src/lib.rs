//! The edge as one process, for operators with points of presence of their own.
//!
//! [`proxy`] is a caching reverse proxy for any origin: its decisions are
//! [`edgewise_cache`]'s, its I/O is hyper's on one runtime a core.

pub mod cli;
mod now;
pub mod proxy;
