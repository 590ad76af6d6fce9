//! Stored lists: hot items, similar items, suggested users.

use alloc::string::String;
use alloc::vec::Vec;
use edgewise_ranking::HotSum;
use edgewise_ranking::config::HotWindow;

mod codec;

/// A hot list as it is stored and sent to the edge; scores are computed when it is answered.
#[derive(Clone, Debug, PartialEq)]
pub struct HotList {
    /// Window.
    pub window: HotWindow,
    /// At most one of region, language and tag narrows it.
    pub region: Option<String>,
    /// See `region`.
    pub language: Option<String>,
    /// See `region`.
    pub tag: Option<String>,
    /// Wall time it was made at, Unix ms.
    pub generated_at_ms: i64,
    /// At most 200, hottest first.
    pub items: Vec<HotListItem>,
}

/// An entry of a hot list.
#[derive(Clone, Debug, PartialEq)]
pub struct HotListItem {
    /// Item id.
    pub id: String,
    /// Author id.
    pub author: String,
    /// Its hot sum for the list's window.
    pub hot: HotSum,
    /// Domain time of its last event, Unix ms.
    pub last_event_ms: i64,
}
