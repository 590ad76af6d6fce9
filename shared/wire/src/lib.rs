#![no_std]
#![doc = "What crosses a process: API types, candidate bundle, overlay, model snapshot, signed tokens."]
//!
//! Any bytes decode to a value or a named error: never a panic, never an allocation
//! beyond the limits in [`limits`].

extern crate alloc;

pub mod api;
pub mod bundle;
pub mod counters;
pub mod lists;
pub mod overlay;
