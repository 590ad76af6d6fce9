//! What a server's catalogue says: settings, rights, tables, publication, slot.

mod publication;
mod slot;
mod tables;

pub use publication::{Publication, PublishedTable, publication};
pub use slot::{Slot, slot};
pub use tables::{File, Table, TableColumn, files, inherited, tables, unsized_tables};

use tokio_postgres::{Client, Row};

use super::client::Server;
use super::error::PgError;

/// Oldest server that is followed, as `server_version_num`.
pub const VERSION_MIN: i32 = 140_000;

/// Settings and rights.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// `server_version`.
    pub version: String,
    /// `server_version_num`.
    pub version_num: i32,
    /// `wal_level`.
    pub wal_level: String,
    /// `max_replication_slots`.
    pub slots_max: i64,
    /// Slots there are.
    pub slots: i64,
    /// `max_wal_senders`.
    pub senders_max: i64,
    /// Walsenders that run.
    pub senders: i64,
    /// `max_slot_wal_keep_size`, MB; -1 = no limit.
    pub slot_keep_mb: i64,
    /// Whether the server replays another's log.
    pub is_replica: bool,
    /// Whether the user may replicate.
    pub may_replicate: bool,
    /// Whether the user may create a publication in this database.
    pub may_create: bool,
    /// The database's encoding.
    pub encoding: String,
    /// The role the session has.
    pub user: String,
    /// Whether its transactions may not write (`default_transaction_read_only`).
    pub is_read_only: bool,
}

const FACTS: &str = "
SELECT current_setting('server_version'),
  current_setting('server_version_num')::int4,
  current_setting('wal_level'),
  current_setting('max_replication_slots')::int8,
  (SELECT count(*) FROM pg_replication_slots),
  current_setting('max_wal_senders')::int8,
  (SELECT count(*) FROM pg_stat_replication),
  (SELECT setting::int8 FROM pg_settings WHERE name = 'max_slot_wal_keep_size'),
  pg_is_in_recovery(),
  coalesce((SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user), false)
    OR EXISTS (SELECT FROM pg_roles WHERE rolname IN ('rds_replication', 'cloudsqlsuperuser',
      'azure_pg_admin') AND pg_has_role(oid, 'MEMBER')),
  has_database_privilege(current_database(), 'CREATE'),
  current_setting('server_encoding'), current_user::text,
  current_setting('default_transaction_read_only')::bool";

/// Settings and rights.
///
/// # Errors
///
/// The session failed.
pub async fn facts(server: &Server, client: &Client) -> Result<Facts, PgError> {
    let row = client.query_one(FACTS, &[]).await;
    let read = |row: &Row| -> Result<Facts, tokio_postgres::Error> {
        Ok(Facts {
            version: row.try_get(0)?,
            version_num: row.try_get(1)?,
            wal_level: row.try_get(2)?,
            slots_max: row.try_get(3)?,
            slots: row.try_get(4)?,
            senders_max: row.try_get(5)?,
            senders: row.try_get(6)?,
            slot_keep_mb: row.try_get::<_, Option<i64>>(7)?.unwrap_or(-1),
            is_replica: row.try_get(8)?,
            may_replicate: row.try_get(9)?,
            may_create: row.try_get(10)?,
            encoding: row.try_get(11)?,
            user: row.try_get(12)?,
            is_read_only: row.try_get(13)?,
        })
    };
    row.and_then(|row| read(&row))
        .map_err(|error| server.error(&error))
}

/// Prepared transactions of every database as `'gid' of database`, the oldest first.
const PREPARED: &str = "
SELECT quote_literal(gid) || ' of database ' || database FROM pg_prepared_xacts
ORDER BY prepared LIMIT 10";

/// The oldest transactions that were prepared and not ended, as people name them.
///
/// # Errors
///
/// The session failed.
pub async fn prepared(server: &Server, client: &Client) -> Result<Vec<String>, PgError> {
    let rows = client.query(PREPARED, &[]).await;
    let named = rows.and_then(|rows| rows.iter().map(|row| row.try_get(0)).collect());
    named.map_err(|error| server.error(&error))
}

/// Schema and name of `schema.name`; `public` where it has no schema.
#[must_use]
pub fn split(name: &str) -> (&str, &str) {
    name.split_once('.').unwrap_or(("public", name))
}

/// Whether a table (`schema.name`) is the server's own.
#[must_use]
pub fn is_of_system(name: &str) -> bool {
    let (schema, _) = split(name);
    matches!(schema, "pg_catalog" | "information_schema") || schema.starts_with("pg_toast")
}

/// A table's name as the catalogue and the stream give it.
#[must_use]
pub fn full_name(name: &str) -> String {
    let (schema, relation) = split(name);
    format!("{schema}.{relation}")
}
