#![no_std]
#![doc = "What crosses a process: API types, candidate bundle, overlay, model snapshot, signed tokens."]
//!
//! Any bytes decode to a value or a named error: never a panic, never an allocation
//! beyond the limits in [`limits`].

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod api;
pub mod bundle;
mod codec;
pub mod counters;
pub mod cursor;
pub mod decode;
pub mod events;
#[doc(hidden)]
pub mod fuzz;
pub mod ids;
pub mod import;
pub mod internal;
pub mod items;
pub mod json;
pub mod jwt;
pub mod keys;
pub mod limits;
pub mod lists;
pub mod model;
pub mod openapi;
pub mod overlay;
pub mod pack;
pub mod params;
pub mod problem;
pub mod query;
pub mod served;
pub mod session;
pub mod shown;
pub mod token;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod samples;

pub use bundle::Bundle;
pub use counters::Counters;
pub use cursor::Cursor;
pub use decode::DecodeError;
pub use keys::Keys;
pub use lists::{HotList, HotListItem};
pub use model::ModelSnapshot;
pub use openapi::OPENAPI;
pub use overlay::{DomainClock, ModelPointer, Overlay, OverlayItem, Purge};
pub use pack::{Pack, PackedCandidates};
pub use problem::Problem;
pub use served::ServedSlot;
pub use session::{Session, SessionEntry};
pub use shown::ShownSet;
pub use token::TokenError;
