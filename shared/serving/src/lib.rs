#![no_std]
#![doc = "From stored facts to an answer's bytes: the same code on the edge and at the origin."]
//!
//! Everything is an argument: bundle, overlay, list, tokens, times. The functions cannot
//! fail on facts that decoded; what is read from stored JSON or from people returns a named
//! error. The same input gives the same bytes in every process.
//!
//! | module | answers |
//! |---|---|
//! | [`feed`] | `/api/v1/feed` from [`Prepared`] candidates |
//! | [`hot`] | `/api/v1/hot/trending` from a list, and the feed's `hot` rung |
//! | [`similar`], [`items`], [`suggested`] | the routes that answer from stored JSON |
//! | [`events`] | the session after a batch of events, and the 202's body |
//! | [`rank_json`] | `edgewise rank` and `edge_rank` |

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod events;
pub mod feed;
pub mod hot;
pub mod items;
pub mod prepared;
pub mod rank_json;
pub mod session;
pub mod similar;
pub mod stored;
pub mod suggested;

mod effects;
#[cfg(test)]
mod fixture;
mod json;
mod merge;
mod page;

pub use edgewise_wire::served::ServedSlot;
pub use feed::{FeedInput, FeedOutcome};
pub use merge::{counted_features, duration_s, hot_features};
pub use prepared::Prepared;
pub use session::SessionStatus;
