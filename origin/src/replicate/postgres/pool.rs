//! SQL sessions that are kept: for heartbeats, the watch on the slot and rows that are read again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bb8::{ManageConnection, PooledConnection};
use tokio_postgres::Client;

use super::client::Server;
use super::error::PgError;

/// Sessions that are kept open.
pub const POOL_SIZE: u32 = 1;
/// Sessions beyond them when all are in use.
pub const POOL_OVERFLOW: u32 = 3;
/// A session is replaced at this age.
const AGE_MAX: Duration = Duration::from_secs(30 * 60);
/// A session beyond [`POOL_SIZE`] that nobody used for so long is closed.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// How long a session may take to answer the ping before it is used.
const PING_MAX: Duration = Duration::from_secs(3);

/// Opens and checks sessions.
#[derive(Clone)]
struct Sessions(Arc<Server>);

impl ManageConnection for Sessions {
    type Connection = Client;
    type Error = PgError;

    async fn connect(&self) -> Result<Client, PgError> {
        self.0.connect().await
    }

    async fn is_valid(&self, client: &mut Client) -> Result<(), PgError> {
        match tokio::time::timeout(PING_MAX, client.simple_query("")).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.0.error(&error)),
            Err(_) => Err(PgError::Lost("a session does not answer".to_owned())),
        }
    }

    fn has_broken(&self, client: &mut Client) -> bool {
        client.is_closed()
    }
}

/// The pool.
#[derive(Clone)]
pub struct Pool {
    sessions: bb8::Pool<Sessions>,
    waiting: Arc<AtomicUsize>,
}

/// What the pool's gauges show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolState {
    /// Open sessions.
    pub size: u32,
    /// Sessions in use.
    pub in_use: u32,
    /// Who waits for one.
    pub waiting: usize,
}

/// A session of the pool, given back when dropped.
pub struct Session<'a>(PooledConnection<'a, Sessions>);

impl std::ops::Deref for Session<'_> {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0
    }
}

impl Pool {
    /// A pool of sessions to `server`; none is opened yet.
    #[must_use]
    pub fn new(server: Arc<Server>) -> Self {
        let timeout = server.connect_timeout() + PING_MAX;
        let sessions = bb8::Pool::builder()
            .max_size(POOL_SIZE + POOL_OVERFLOW)
            .min_idle(Some(POOL_SIZE))
            .max_lifetime(Some(AGE_MAX))
            .idle_timeout(Some(IDLE_MAX))
            .connection_timeout(timeout)
            .test_on_check_out(true)
            .retry_connection(false)
            .build_unchecked(Sessions(server));
        Self {
            sessions,
            waiting: Arc::default(),
        }
    }

    /// A session that answered a ping.
    ///
    /// # Errors
    ///
    /// None can be opened in time.
    pub async fn session(&self) -> Result<Session<'_>, PgError> {
        let _waiting = Waiting::begin(&self.waiting);
        match self.sessions.get().await {
            Ok(session) => Ok(Session(session)),
            Err(bb8::RunError::User(error)) => Err(error),
            Err(bb8::RunError::TimedOut) => {
                let reason = "no SQL session became free in time".to_owned();
                Err(PgError::Timeout(reason))
            }
        }
    }

    /// For the gauges.
    #[must_use]
    pub fn state(&self) -> PoolState {
        let state = self.sessions.state();
        PoolState {
            size: state.connections,
            in_use: state.connections.saturating_sub(state.idle_connections),
            waiting: self.waiting.load(Ordering::Relaxed),
        }
    }
}

/// Counts who waits, also where the wait is given up.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
