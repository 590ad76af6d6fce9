//! Where a polled table stands: the watermark and the key of the last row that was read.

use std::fmt;
use std::sync::Arc;

use super::error::PollError;
use super::source::PollTable;
use crate::replicate::apply::Position;

/// Watermark and key of a row, as the server writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor(pub(super) Arc<[String]>);

/// Which rows a page has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// The first ones.
    Start,
    /// Those after this row.
    After(Cursor),
    /// Those of the time before this row's watermark, and so on.
    Before(Cursor),
}

impl Cursor {
    /// Reads what [`Position::encode`] wrote for this table.
    pub(super) fn decode(bytes: &[u8], table: &PollTable) -> Result<Self, PollError> {
        let parts: Option<Vec<String>> = serde_json::from_slice(bytes).ok();
        let parts = parts.filter(|parts| parts.len() == table.order.len());
        parts
            .map(|parts| Self(parts.into()))
            .ok_or_else(|| PollError::Table {
                table: table.name.clone(),
                problem: "its stored watermark does not fit the table's watermark and key"
                    .to_owned(),
                remedy: "run `edgewise replicate resync --table` for it".to_owned(),
            })
    }
}

impl Position for Cursor {
    fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(&*self.0).expect("texts serialise")
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}
