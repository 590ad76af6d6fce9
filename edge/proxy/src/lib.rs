#![no_std]
#![doc = "A caching reverse proxy for any origin, sans-IO: what is built as `proxy.wasm`."]
//!
//! The decisions are those of `shared/cache`; this crate turns a client's request into an answer
//! or a request to the origin ([`Proxy::request`]), and what the origin says into an answer and
//! something to keep ([`Proxy::response`], [`Proxy::body`]). The host (`edge/worker/proxy.mjs`)
//! moves bytes and holds bodies; it decides nothing. Time and randomness are arguments.

extern crate alloc;

mod bodies;
mod control;
#[cfg(target_arch = "wasm32")]
pub mod exports;
mod headers;
mod isolate;
mod message;
mod pending;
mod proxy;
mod respond;

pub use control::{Answer, Body, Control, Fetch};
pub use isolate::Isolate;
pub use message::{Arrived, Asking, Refused};
pub use pending::PENDING_MAX;
pub use proxy::{Options, Proxy};
