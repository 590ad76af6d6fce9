//! A caching reverse proxy.
//!
//! A request goes through `handle`: look up (`shard`), and where the origin is needed
//! `fetch`, which one request does for all that want the same (`flight`), guarded by
//! `protect`. Bodies that are stored are read while they arrive (`live`).

mod answer;
mod body;
mod connection;
mod failure;
mod fetch;
mod flight;
mod handle;
mod headers;
mod live;
mod options;
mod protect;
mod request;
mod respond;
mod server;
mod shard;
mod upstream;

pub use options::{Limits, Options};
pub use server::Server;
