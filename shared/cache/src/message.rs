//! What the cache is told of a request, a response and the exchange between them.

use crate::fields::{Fields, has_token};

/// A request, as a cache sees it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a, F: ?Sized> {
    /// The method, with its case.
    pub method: &'a str,
    /// The key, of [`crate::key`].
    pub key: &'a str,
    /// Header fields.
    pub fields: &'a F,
}

/// A response without its body.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a, F: ?Sized> {
    /// The status code.
    pub status: u16,
    /// Header fields, hop-by-hop ones included.
    pub fields: &'a F,
}

/// When a request went to the origin and its response came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// When the request was sent, milliseconds since 1970.
    pub request_time_ms: i64,
    /// When the response's head came, milliseconds since 1970.
    pub response_time_ms: i64,
}

impl<F: Fields + ?Sized> Request<'_, F> {
    /// Whether a stored response may answer it.
    #[must_use]
    pub fn is_cacheable(&self) -> bool {
        self.method == "GET" || self.method == "HEAD"
    }

    /// Whether it changes nothing at the origin (RFC 9110 section 9.2.1).
    #[must_use]
    pub fn is_safe(&self) -> bool {
        matches!(self.method, "GET" | "HEAD" | "OPTIONS" | "TRACE")
    }

    /// Preconditions that only the origin can judge (RFC 9111 section 4.3.2).
    #[must_use]
    pub fn is_for_the_origin(&self) -> bool {
        self.fields.has("if-match")
            || self.fields.has("if-unmodified-since")
            || has_token(self.fields, "upgrade", "websocket")
    }
}

/// Whether an error means that the origin could not answer (RFC 5861 section 4).
#[must_use]
pub const fn is_origin_error(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504)
}
