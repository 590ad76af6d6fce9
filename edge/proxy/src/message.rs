//! What the host says, understood or refused: lines of text.

use alloc::string::String;
use alloc::vec::Vec;

use edgewise_cache::fields::{FieldLines, Fields};
use edgewise_cache::key::{TARGET_BYTES_MAX, key};

use crate::headers;

/// A client's request.
#[derive(Clone, Debug)]
pub struct Asking {
    /// The method, with its case.
    pub method: String,
    /// `http` or `https`.
    pub scheme: String,
    /// The client's host, in lower case.
    pub host: String,
    /// Path and query.
    pub target: String,
    /// What it is stored under.
    pub key: String,
    /// The client's address; empty where it is not known.
    pub client: String,
    /// Header fields.
    pub fields: FieldLines,
    /// When it came, milliseconds since 1970.
    pub now_ms: i64,
    /// Uniform in 0..1.
    pub random: f64,
}

/// Why a request is refused: status and sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(pub u16, pub &'static str);

const MALFORMED: Refused = Refused(400, "the request is not understood\n");

impl Asking {
    /// Understands `method`, `URL`, `time`, `random`, `client` and header lines, one a line.
    ///
    /// # Errors
    /// What the client is told.
    pub fn parse(text: &str) -> Result<Self, Refused> {
        let mut lines = text.split('\n');
        let mut next = || lines.next().ok_or(MALFORMED);
        let (method, url, now_ms, random, client) = (next()?, next()?, next()?, next()?, next()?);
        let now_ms = now_ms.parse().map_err(|_| MALFORMED)?;
        let random = random.parse().map_err(|_| MALFORMED)?;
        let (scheme, rest) = url.split_once("://").ok_or(MALFORMED)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, target) = rest.split_at(end);
        let target = target.split('#').next().unwrap_or("");
        let target = match target.as_bytes().first() {
            Some(b'/') => String::from(target),
            _ => ["/", target].concat(),
        };
        if matches!(method, "CONNECT" | "TRACE") {
            return Err(Refused(405, "this method is refused\n"));
        }
        if target.len() > TARGET_BYTES_MAX {
            return Err(Refused(414, "the URL is too long\n"));
        }
        let fields = field_lines(lines);
        // The runtime makes the URL of this field, whatever it holds.
        let named = fields.first("host").unwrap_or(host.as_bytes());
        if !is_host(host.as_bytes()) || !is_host(named) {
            return Err(Refused(400, "one host is needed\n"));
        }
        if fields.len() > headers::LINES_MAX {
            return Err(Refused(431, "too many header lines\n"));
        }
        let has_body = fields
            .first("content-length")
            .is_some_and(|bytes| bytes != b"0")
            || fields.has("transfer-encoding");
        if has_body && matches!(method, "GET" | "HEAD") {
            // The runtime does not send it on, and without it the origin would answer another
            // question.
            return Err(Refused(400, "a GET with a body cannot be passed on\n"));
        }
        if headers::is_loop(&fields) {
            return Err(Refused(508, "a loop\n"));
        }
        Ok(Self {
            key: key(host, &target),
            method: String::from(method),
            scheme: String::from(scheme),
            host: host.to_ascii_lowercase(),
            target,
            client: String::from(client),
            fields,
            now_ms,
            random,
        })
    }
}

/// What came of a request to the origin.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// The number of the request.
    pub id: u32,
    /// The status code; 0 where there is no answer.
    pub status: u16,
    /// When, milliseconds since 1970.
    pub now_ms: i64,
    /// There is no answer because none came in time.
    pub timed_out: bool,
    /// Header fields.
    pub fields: FieldLines,
}

impl Arrived {
    /// Understands `number`, `status`, `time`, `timeout` or nothing, and header lines.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.split('\n');
        Some(Self {
            id: lines.next()?.parse().ok()?,
            status: lines.next()?.parse().ok()?,
            now_ms: lines.next()?.parse().ok()?,
            timed_out: lines.next()? == "timeout",
            fields: field_lines(lines),
        })
    }

    /// Whether it cannot be passed on: too many header lines, or a status that a Worker cannot
    /// answer with.
    pub(crate) fn is_unfit(&self) -> bool {
        self.fields.len() > headers::LINES_MAX || !(200..=599).contains(&self.status)
    }
}

fn is_host(host: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(byte);
    (1..=255).contains(&host.len()) && host.iter().all(is_plain)
}

fn field_lines<'a>(lines: impl Iterator<Item = &'a str>) -> FieldLines {
    lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (String::from(name), Vec::from(value)))
        .collect()
}
