//! What the core asks its host to do, and what it hands out.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

/// A response, ready to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Header names (lower case) and values.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The body.
    pub body: Vec<u8>,
    /// Up to this wall time, Unix ms, the same request gets the same answer while nothing new
    /// comes in; 0 where that is not known.
    pub until_ms: i64,
}

impl Answer {
    /// An answer without headers or body.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::with_capacity(16),
            ..Self::default()
        }
    }

    /// Appends a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Sets the body and its type.
    #[must_use]
    pub fn body(mut self, content_type: &'static str, body: Vec<u8>) -> Self {
        self.headers
            .push(("content-type", Cow::Borrowed(content_type)));
        self.body = body;
        self
    }

    /// The first value of a header.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_ref())
    }
}

/// Something only a host can do. Its result is a [`Done`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Look a key up in the data centre's cache.
    CacheGet {
        /// Key, at most 512 bytes.
        key: String,
    },
    /// Store a value in the data centre's cache.
    CachePut {
        /// Key, at most 512 bytes.
        key: String,
        /// Seconds to keep it.
        ttl_s: u32,
        /// Enveloped value.
        body: Vec<u8>,
    },
    /// Look a key up in the global key-value store.
    KvGet {
        /// Key, at most 512 bytes.
        key: String,
    },
    /// Store a value in the global key-value store.
    KvPut {
        /// Key, at most 512 bytes.
        key: String,
        /// Seconds to keep it, at least 60.
        ttl_s: u32,
        /// Enveloped value.
        body: Vec<u8>,
    },
    /// Ask the origin; the host adds its bearer token.
    Fetch {
        /// Path and query.
        path: String,
        /// W3C trace context to pass on.
        traceparent: String,
        /// Give up after this long.
        timeout_ms: u32,
    },
    /// Put a message on the queue.
    Send {
        /// JSON, at most 100 KiB.
        body: Vec<u8>,
    },
    /// Ask the rate limiter: 200 or 429.
    Limit {
        /// Whom to count.
        key: String,
    },
    /// Wait.
    Sleep {
        /// How long.
        ms: u32,
    },
}

/// The result of one effect, in the order of the effects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done<'a> {
    /// Which effect, as numbered in the output.
    pub id: u32,
    /// 0 = absent, failed or timed out, else an HTTP-like status.
    pub status: u32,
    /// The value's age where it came from, seconds.
    pub age_s: u32,
    /// The value.
    pub body: &'a [u8],
}

/// What a step of the core puts out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Name of the request in `resume`; 0 where nothing is to be resumed.
    pub handle: u32,
    /// The answer, in exactly one output of a request.
    pub answer: Option<Answer>,
    /// Effects to do concurrently; numbered from 1 in this order.
    pub effects: Vec<Effect>,
    /// Nothing follows.
    pub done: bool,
    /// The host serves this path from its static assets.
    pub asset: bool,
}

impl Output {
    /// An output that answers and ends.
    #[must_use]
    pub fn finished(answer: Answer) -> Self {
        Self {
            answer: Some(answer),
            done: true,
            ..Self::default()
        }
    }

    /// An output that only ends.
    #[must_use]
    pub fn ended(handle: u32) -> Self {
        Self {
            handle,
            done: true,
            ..Self::default()
        }
    }
}
