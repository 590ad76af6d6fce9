//! What the host is told to do.

use alloc::string::String;
use alloc::vec::Vec;

use edgewise_cache::fields::FieldLines;
use serde::{Serialize, Serializer};

/// What the host does next. An answer and a fetch together: the fetch is made in the background.
#[derive(Debug, Default, Serialize)]
pub struct Control {
    /// What the client gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// What the origin is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fetch: Option<Fetch>,
    /// The origin's body is to be kept under this number, up to so many bytes, and
    /// [`Proxy::body`](crate::Proxy::body) told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<(u32, u64)>,
    /// Bodies to let go of, once this answer has been made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<u32>,
}

/// An answer to the client.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header fields.
    #[serde(serialize_with = "lines")]
    pub headers: FieldLines,
    /// The body.
    pub body: Body,
}

/// The body of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// None.
    Empty,
    /// The one that the origin is sending.
    Origin,
    /// A body that the host holds: number, first byte, byte after the last.
    Stored(u32, u64, u64),
    /// A sentence.
    Text(&'static str),
}

/// A request to the origin.
#[derive(Debug, Serialize)]
pub struct Fetch {
    /// Its number, to be given back with what comes of it.
    pub id: u32,
    /// The method.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// Header fields.
    #[serde(serialize_with = "lines")]
    pub headers: FieldLines,
    /// It may be sent a second time where the connection ends before an answer.
    pub repeatable: bool,
    /// How long to wait for the head of the answer, milliseconds.
    pub budget_ms: u32,
    /// After so many milliseconds something stale may be served:
    /// [`Proxy::late`](crate::Proxy::late) says what, and the fetch goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late_ms: Option<u32>,
}

/// Values came as text and go as text.
fn lines<S: Serializer>(fields: &FieldLines, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(
        fields
            .iter()
            .map(|(name, value)| (name, core::str::from_utf8(value).unwrap_or(""))),
    )
}
