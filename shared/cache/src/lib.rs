#![no_std]
#![doc = "An HTTP cache as decisions: what to do with a request, what to store, which headers say so."]
//!
//! Pure: requests, responses, ages and the time come in; decisions and header values go out.
//! A host keeps bodies and does I/O. [`Cache`] is where to begin; [`decide()`] says what to do
//! with a request and [`receive()`] with an answer.

extern crate alloc;

mod cache;
pub mod cache_status;
pub mod coalesce;
pub mod conditional;
mod config;
pub mod date;
mod decide;
pub mod directives;
pub mod etag;
pub mod fields;
pub mod freshness;
pub mod headers;
pub mod invalidation;
pub mod key;
pub mod lifetime;
mod message;
pub mod purge;
pub mod range;
mod receive;
mod storable;
pub mod store;
pub mod tags;
pub mod targeted;
pub mod update;
pub mod vary;
pub mod xfetch;

pub use cache::{Cache, Entry, Lookup, freshened};
pub use config::{Config, OBJECT_BYTES_MAX, SetCookie};
pub use decide::{Answer, Candidate, Decision, Forward, Found, Reason, Serve, decide, serve};
pub use etag::{etag, if_none_match_matches};
pub use headers::{CacheStatus, cache_control, cache_status, cdn_cache_control, x_cache_status};
pub use lifetime::{Freshness, Lifetime, state};
pub use message::{Exchange, Request, Response, is_origin_error};
pub use receive::{Received, receive};
pub use storable::{Refusal, Stored, storable};
pub use store::Object;
