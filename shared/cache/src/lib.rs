#![no_std]
#![doc = "HTTP cache decisions: is it fresh, stale or usable on error, and which headers say so."]
//!
//! Pure: ages and lifetimes come in, decisions and header values go out.

extern crate alloc;

pub mod etag;
pub mod headers;
pub mod lifetime;

pub use etag::{etag, if_none_match_matches};
pub use headers::{CacheStatus, cache_control, cache_status, cdn_cache_control, x_cache_status};
pub use lifetime::{Freshness, Lifetime, state};
