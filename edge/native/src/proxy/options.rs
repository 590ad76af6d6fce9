//! What an operator decides about the proxy, and limits that nobody has to set.

use std::net::SocketAddr;
use std::time::Duration;

use edgewise_cache::Config;
use hyper::Uri;

/// What an operator decides.
#[derive(Clone, Debug)]
pub struct Options {
    /// Scheme and authority of the origin.
    pub origin: Uri,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Threads, each with its own listener and connections to the origin.
    pub threads: usize,
    /// The origin gets the client's `Host`.
    pub preserve_host: bool,
    /// Memory for stored answers, bytes.
    pub memory_bytes: u64,
    /// How the cache decides.
    pub cache: Config,
    /// Budgets and limits.
    pub limits: Limits,
}

/// Budgets and limits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long to wait for the head of an answer.
    pub origin_budget: Duration,
    /// The same where a stale answer may be served that the origin allowed for errors.
    pub stale_budget: Duration,
    /// How long to wait for a connection.
    pub connect_budget: Duration,
    /// How long a body may pause.
    pub body_idle: Duration,
    /// How long a client may take to send its headers, and a connection may be idle.
    pub client_idle: Duration,
    /// How long open requests may take once the process is told to stop.
    pub drain: Duration,
    /// Requests to the origin at once.
    pub origin_requests_max: usize,
    /// Connections of clients at once.
    pub connections_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            origin_budget: Duration::from_secs(2),
            stale_budget: Duration::from_millis(80),
            connect_budget: Duration::from_secs(1),
            body_idle: Duration::from_secs(30),
            client_idle: Duration::from_secs(30),
            drain: Duration::from_secs(10),
            origin_requests_max: 1_024,
            connections_max: 16_384,
        }
    }
}

/// Bytes of a request's head; beyond, 431.
pub(crate) const HEAD_BYTES_MAX: usize = 64 << 10;

/// Header lines of a request or an answer; beyond, 431 or 502.
pub(crate) const HEADER_LINES_MAX: usize = 128;

/// Bytes of an answer's head; beyond, 502.
pub(crate) const ORIGIN_HEAD_BYTES_MAX: usize = 256 << 10;

/// How long the origin may take for an answer to a request with a body.
pub(crate) const UPLOAD_BUDGET: Duration = Duration::from_secs(60);

/// Parts that the store is split into, each behind its own lock.
pub(crate) const SHARDS: usize = 8;

/// Bytes that readers of an answer too large to store may lie apart.
pub(crate) const WINDOW_BYTES: u64 = 256 << 10;

/// Of the memory for stored answers, one part in so many may be held by bodies that arrive,
/// besides it.
pub(crate) const ARRIVING_SHARE: u64 = 2;

/// Idle connections to the origin that a thread keeps.
pub(crate) const IDLE_CONNECTIONS_MAX: usize = 128;

/// How long they are kept: shorter than the 5 s after which common origins close them, since a
/// request with a body that meets a closing connection cannot be sent again.
pub(crate) const IDLE_CONNECTION: Duration = Duration::from_secs(4);

/// How often a request joins another's fetch before it fetches by itself.
pub(crate) const JOINS_MAX: usize = 3;

/// Times that a request may come through this proxy before it is refused as a loop (RFC 8586).
pub(crate) const LOOPS_MAX: usize = 3;
