//! The candidate bundle: what a feed is ranked from.

use alloc::string::String;
use alloc::vec::Vec;
use edgewise_ranking::{Candidates, UserVector};

mod codec;
mod quantise;

/// Candidates of a user, or of a segment, with what ranking needs to know of the user.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bundle {
    /// The user, or `None` for a segment pool.
    pub user: Option<String>,
    /// Wall time it was made at, Unix ms.
    pub made_at_ms: i64,
    /// Position of the event log it was made at.
    pub position: u64,
    /// The catalogue's mean watch ratio at that time.
    pub completion_prior: f32,
    /// The user's vector in the space of the candidates' sketches, where the origin has one.
    pub user_vector: Option<UserVector>,
    /// Short hashes (`edgewise_ranking::short_hash`) of followed authors, ascending.
    pub follows: Vec<u32>,
    /// XXH3-64 of hidden authors, ascending.
    pub hidden_authors: Vec<u64>,
    /// XXH3-64 of items younger than the overlay's reach that the user has seen or hidden,
    /// ascending: the overlay must not bring them back.
    pub removed_items: Vec<u64>,
    /// The user's last applied interactions as short hashes of event ids, newest first, at
    /// most 64: a session's interaction that is among them is already counted.
    pub applied_events: Vec<u32>,
    /// The candidates, merged and capped.
    pub candidates: Candidates,
}
