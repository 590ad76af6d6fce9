//! The slot: where it stands, and whether it still has what is needed.

use tokio_postgres::types::PgLsn;
use tokio_postgres::{Client, Row};

use super::super::client::Server;
use super::super::error::PgError;
use super::super::position::Lsn;

/// A replication slot.
#[derive(Clone, Debug, Default)]
pub struct Slot {
    /// Its plug-in; empty for a physical one.
    pub plugin: String,
    /// Its database.
    pub database: String,
    /// Who uses it.
    pub active_pid: Option<i32>,
    /// `reserved extended unreserved lost`.
    pub wal_status: String,
    /// Why it is invalid, where it is.
    pub invalidation: Option<String>,
    /// Bytes that can be written until it is in danger.
    pub safe_wal_bytes: Option<i64>,
    /// Bytes it keeps from being removed.
    pub retained_bytes: Option<i64>,
    /// Up to where it was acknowledged.
    pub confirmed: Lsn,
    /// Where the server's log ends.
    pub end: Lsn,
}

impl Slot {
    /// Whether changes are lost for it.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.wal_status == "lost" || self.invalidation.is_some()
    }
}

const SLOT: &str = "
SELECT coalesce(plugin, '')::text, coalesce(database, '')::text, active_pid,
  coalesce(wal_status, 'lost'), nullif(coalesce(to_jsonb(s) ->> 'invalidation_reason',
    CASE WHEN to_jsonb(s) ->> 'conflicting' = 'true' THEN 'conflicting' END), ''),
  safe_wal_size, pg_wal_lsn_diff(now.lsn, restart_lsn)::int8, confirmed_flush_lsn, now.lsn
FROM pg_replication_slots s, (SELECT CASE WHEN pg_is_in_recovery()
  THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS lsn) now
WHERE slot_name = $1";

/// The source's slot.
///
/// # Errors
///
/// The session failed.
pub async fn slot(server: &Server, client: &Client) -> Result<Option<Slot>, PgError> {
    let row = client.query_opt(SLOT, &[&server.slot]).await;
    let lsn = |lsn: Option<PgLsn>| Lsn(lsn.map(u64::from).unwrap_or_default());
    let read = |row: &Row| -> Result<Slot, tokio_postgres::Error> {
        Ok(Slot {
            plugin: row.try_get(0)?,
            database: row.try_get(1)?,
            active_pid: row.try_get(2)?,
            wal_status: row.try_get(3)?,
            invalidation: row.try_get(4)?,
            safe_wal_bytes: row.try_get(5)?,
            retained_bytes: row.try_get(6)?,
            confirmed: lsn(row.try_get(7)?),
            end: lsn(row.try_get(8)?),
        })
    };
    let slot = row.and_then(|row| row.map(|row| read(&row)).transpose());
    slot.map_err(|error| server.error(&error))
}
