//! What to do about an error: wait, or what a person writes.

use tokio_postgres::error::SqlState;

use super::super::ident::ident;
use super::PgError;

const RESYNC: &str = "run `edgewise replicate resync`: it drops the position, and the tables are \
                      copied and counted anew";

impl PgError {
    /// Whether the same may work a little later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Name { .. }
            | Self::Connect { .. }
            | Self::SlotBusy { .. }
            | Self::Decode(_)
            | Self::Protocol(_)
            // A length over the limit may be a corrupt one.
            | Self::TooLarge { .. }
            | Self::Lost(_)
            | Self::Timeout(_) => true,
            Self::Apply(error) => error.is_retryable(),
            Self::Server { code, .. } => is_passing(code),
            _ => false,
        }
    }

    /// What to do about it, a sentence or SQL.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Url(_) => "write it as postgres://user:password@host:5432/database?sslmode=verify-full".into(),
            Self::Certificate { path, .. } => format!("check that {path} is a PEM file that this user may read"),
            Self::Name { .. } => "check the host in the source's url and the name server".into(),
            Self::Connect { host, .. } => format!(
                "check that the server runs, listens on {host} (listen_addresses, port) and that no firewall is between"
            ),
            Self::Tls { .. } => "where the server has no TLS use sslmode=disable or turn ssl on; where its certificate \
                                 is not trusted name its root with tls.ca; verify-full needs the certificate's host name".into(),
            Self::Login { user, .. } => format!(
                "check user and password (EDGEWISE_SOURCE_<NAME>__URL, PGPASSWORD) and pg_hba.conf; ALTER ROLE {user} LOGIN PASSWORD '…';"
            ),
            Self::Database { database } => format!("check the database in the source's url; {database} is not on this server"),
            Self::Right { user, .. } => format!(
                "ALTER ROLE {} REPLICATION; (Amazon RDS: GRANT rds_replication TO {}) and allow the connection in pg_hba.conf",
                ident(user), ident(user)
            ),
            Self::WalLevel { .. } => "ALTER SYSTEM SET wal_level = logical; then restart the server".into(),
            Self::Version { .. } => "use mode = \"poll\" for this source, or a newer server".into(),
            Self::NoSlotFree { .. } => "drop unused slots (SELECT slot_name, active FROM pg_replication_slots;) or \
                                        ALTER SYSTEM SET max_replication_slots = 20; then restart the server".into(),
            Self::SlotBusy { slot, pid } => format!(
                "nothing, if this was just restarted: the server notices soon; else another process follows slot \
                 {slot}: stop it, or SELECT pg_terminate_backend({pid});"
            ),
            Self::SlotLost { .. } => format!("raise max_slot_wal_keep_size, then {RESYNC}"),
            Self::SlotForeign { slot, .. } => format!(
                "set another `slot` for this source in the mapping, or, if nobody needs it: SELECT pg_drop_replication_slot('{}');",
                slot.replace('\'', "''")
            ),
            Self::SlotMissing { .. } | Self::SlotAhead { .. } | Self::Diverged { .. } | Self::Checkpoint { .. } => RESYNC.into(),
            Self::OtherServer { .. } => format!("check the host in the source's url; if the server was replaced, {RESYNC}"),
            Self::PublicationGone { .. } => format!("keep publications as they are; now {RESYNC}"),
            Self::Catalogue { fix, .. } => fix.clone(),
            Self::Decode(_) | Self::Protocol(_) | Self::Lost(_) => "nothing: it connects again by itself".into(),
            Self::TooLarge { .. } => "nothing: its length must have been corrupted on the way, and it connects again by itself; if it \
                                      stays, see what is between here and the server".into(),
            Self::Timeout(_) => "nothing: it tries again; if it stays, look for locks (pg_stat_activity) and statement_timeout of the role".into(),
            Self::Server { .. } => "see the server's log".into(),
            Self::Apply(_) | Self::Store(_) => "see the error before and `edgewise verify`".into(),
        }
    }
}

/// Error codes that pass: the server restarts, is full, or broke a deadlock.
fn is_passing(code: &str) -> bool {
    let class = code.get(..2).unwrap_or_default();
    matches!(class, "08" | "40" | "53" | "57" | "58") || code == SqlState::LOCK_NOT_AVAILABLE.code()
}
