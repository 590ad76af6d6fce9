//! What goes wrong with a PostgreSQL source, and what to do about it.

use std::io;

use pgwire_replication::PgWireError;
use tokio_postgres::error::SqlState;

use super::decode::DecodeError;
use crate::replicate::supervise::SourceFault;

/// Why a PostgreSQL source cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum PgError {
    /// The URL cannot be read.
    #[error("the url of the source is wrong: {0}")]
    Url(String),
    /// A certificate or key cannot be read.
    #[error("the {what} {path} cannot be read: {reason}")]
    Certificate {
        /// Which file.
        what: &'static str,
        /// Where.
        path: String,
        /// Why.
        reason: String,
    },
    /// The host's name does not resolve.
    #[error("the name of host {host} cannot be resolved: {source}")]
    Name {
        /// The host.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// Nobody answers.
    #[error("no connection to {host}: {reason}")]
    Connect {
        /// Host and port.
        host: String,
        /// Why.
        reason: String,
    },
    /// The server and we do not agree on TLS.
    #[error("no TLS connection to {host}: {reason}")]
    Tls {
        /// Host and port.
        host: String,
        /// Why.
        reason: String,
    },
    /// The server does not let the user in.
    #[error("{host} refuses user {user}: {reason}")]
    Login {
        /// Host and port.
        host: String,
        /// The user.
        user: String,
        /// The server's words.
        reason: String,
    },
    /// The database does not exist.
    #[error("database {database} does not exist")]
    Database {
        /// Its name.
        database: String,
    },
    /// The user may not replicate.
    #[error("user {user} may not use replication: {reason}")]
    Right {
        /// The user.
        user: String,
        /// The server's words.
        reason: String,
    },
    /// The server's log lacks what is needed.
    #[error("wal_level of the server is {level}, but must be logical")]
    WalLevel {
        /// What it is.
        level: String,
    },
    /// The server is too old.
    #[error("the server is PostgreSQL {version}, but must be 14 or newer")]
    Version {
        /// Its version.
        version: String,
    },
    /// No slot is free.
    #[error("no replication slot is free: {reason}")]
    NoSlotFree {
        /// The server's words.
        reason: String,
    },
    /// Somebody uses the slot.
    #[error("replication slot {slot} is in use by process {pid} of the server")]
    SlotBusy {
        /// The slot.
        slot: String,
        /// Who.
        pid: i32,
    },
    /// The slot is gone.
    #[error("replication slot {slot} does not exist any more: changes since {position} are lost")]
    SlotMissing {
        /// The slot.
        slot: String,
        /// Where we stand.
        position: String,
    },
    /// The server gave up the slot.
    #[error("the server invalidated replication slot {slot} ({reason}): changes are lost")]
    SlotLost {
        /// The slot.
        slot: String,
        /// Why.
        reason: String,
    },
    /// A slot of that name is there, but is not ours.
    #[error("replication slot {slot} exists, but was not created for this store: {reason}")]
    SlotForeign {
        /// The slot.
        slot: String,
        /// How that is known.
        reason: String,
    },
    /// Somebody else read from the slot, it was created anew, or the store is an older one.
    #[error(
        "replication slot {slot} is at {confirmed}, ahead of the store at {position}: it was \
         created anew or read by somebody else, or the store was restored from a backup"
    )]
    SlotAhead {
        /// The slot.
        slot: String,
        /// Where it stands.
        confirmed: String,
        /// Where we stand.
        position: String,
    },
    /// Another cluster than the one that was followed.
    #[error("this is another server: its system id is {found}, the store follows {expected}")]
    OtherServer {
        /// The id we follow.
        expected: String,
        /// The id it has.
        found: String,
    },
    /// The server's history does not contain our position.
    #[error(
        "the server's log (timeline {found}) does not contain position {position} of timeline \
         {expected}{}", .ended.as_ref().map(|at| format!(", which ended at {at}")).unwrap_or_default()
    )]
    Diverged {
        /// Where we stand.
        position: String,
        /// Our timeline.
        expected: u32,
        /// Its timeline.
        found: u32,
        /// Where ours ended there.
        ended: Option<String>,
    },
    /// The publication is gone.
    #[error("publication {publication} does not exist any more: changes without it are lost")]
    PublicationGone {
        /// Its name.
        publication: String,
    },
    /// What the catalogue says does not do.
    #[error("{object}: {problem}")]
    Catalogue {
        /// Table, publication, column.
        object: String,
        /// What is wrong.
        problem: String,
        /// SQL or a sentence.
        fix: String,
    },
    /// Bytes that are no message.
    #[error("the server's stream is corrupt: {0}")]
    Decode(#[from] DecodeError),
    /// Messages that make no sense in their order.
    #[error("the server's stream is corrupt: {0}")]
    Protocol(String),
    /// A message over the bound, which is as long as a server's messages get.
    #[error("a message of {bytes} bytes is longer than a server can send ({limit})")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The connection ended or is silent.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// A statement took too long.
    #[error("a statement took longer than allowed: {0}")]
    Timeout(String),
    /// Another error of the server.
    #[error("the server says: {message} ({code})")]
    Server {
        /// SQLSTATE.
        code: String,
        /// Its words.
        message: String,
    },
    /// A checkpoint in the store is not what this version writes.
    #[error("the stored checkpoint {checkpoint} cannot be read")]
    Checkpoint {
        /// Which.
        checkpoint: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The store does not take what it is given.
    #[error("the store does not take the changes")]
    Apply(#[from] crate::replicate::apply::ApplyError),
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Store(#[from] crate::store::StoreError),
}

const RESYNC: &str = "run `edgewise replicate resync`: it drops the position, and the tables are \
                      copied and counted anew";

impl SourceFault for PgError {
    fn is_retryable(&self) -> bool {
        self.is_retryable()
    }

    fn remedy(&self) -> String {
        self.remedy()
    }
}

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

    /// Names the error of a session to `host` as `user`.
    pub(super) fn from_session(error: &tokio_postgres::Error, place: &Place<'_>) -> Self {
        if let Some(db) = error.as_db_error() {
            return Self::from_server(db.code().code(), db.message(), place);
        }
        let text = chain(error);
        let host = place.host.to_owned();
        if text.contains("TLS handshake") || text.contains("certificate") {
            return Self::Tls { host, reason: text };
        }
        if text.starts_with("error connecting to server") {
            return Self::Connect { host, reason: text };
        }
        if text.contains("invalid configuration") || text.contains("password missing") {
            let user = place.user.to_owned();
            return Self::Login {
                host,
                user,
                reason: text,
            };
        }
        Self::Lost(text)
    }

    /// Names the error of a replication session.
    pub(super) fn from_wire(error: &PgWireError, place: &Place<'_>) -> Self {
        let host = place.host.to_owned();
        match error {
            PgWireError::Server(text) => {
                let (message, code) = sqlstate(text);
                Self::from_server(code, message, place)
            }
            PgWireError::Auth(reason) => Self::Login {
                host,
                user: place.user.to_owned(),
                reason: reason.clone(),
            },
            PgWireError::Tls(reason) => Self::Tls {
                host,
                reason: reason.clone(),
            },
            PgWireError::Protocol(text) => Self::Protocol(text.clone()),
            PgWireError::MessageTooLarge {
                payload_bytes,
                limit_bytes,
            } => Self::TooLarge {
                bytes: *payload_bytes,
                limit: *limit_bytes,
            },
            other => Self::Lost(other.to_string()),
        }
    }

    /// Names an error that the server reported.
    pub(super) fn from_server(code: &str, message: &str, place: &Place<'_>) -> Self {
        let user = place.user.to_owned();
        let host = place.host.to_owned();
        let reason = message.to_owned();
        match code {
            "28P01" => Self::Login { host, user, reason },
            "28000" if message.contains("replication") => Self::Right { user, reason },
            "28000" => Self::Login { host, user, reason },
            "3D000" => Self::Database {
                database: place.database.to_owned(),
            },
            "42501" if message.contains("replication") || message.contains("walsender") => {
                Self::Right { user, reason }
            }
            "53400" => Self::NoSlotFree { reason },
            "55006" => Self::SlotBusy {
                slot: place.slot.to_owned(),
                pid: pid_in(message),
            },
            "55000" if message.contains("wal_level") => Self::WalLevel {
                level: "too low".into(),
            },
            // Of a slot that came from elsewhere, such as to a promoted replica.
            "58P01" if message.contains("WAL segment") => Self::SlotLost {
                slot: place.slot.to_owned(),
                reason,
            },
            "55000" if message.contains("slot") => Self::SlotLost {
                slot: place.slot.to_owned(),
                reason,
            },
            "42704" if message.contains("replication slot") => Self::SlotMissing {
                slot: place.slot.to_owned(),
                position: "the stored position".to_owned(),
            },
            "42704" if message.contains("publication") => Self::PublicationGone {
                publication: place.publication.to_owned(),
            },
            "57014" | "55P03" => Self::Timeout(reason),
            _ => Self::Server {
                code: code.to_owned(),
                message: reason,
            },
        }
    }
}

/// Where a session goes, for errors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// Host and port.
    pub host: &'a str,
    /// The user.
    pub user: &'a str,
    /// The database.
    pub database: &'a str,
    /// The slot.
    pub slot: &'a str,
    /// The publication.
    pub publication: &'a str,
}

/// Error codes that pass: the server restarts, is full, or broke a deadlock.
fn is_passing(code: &str) -> bool {
    let class = code.get(..2).unwrap_or_default();
    matches!(class, "08" | "40" | "53" | "57" | "58") || code == SqlState::LOCK_NOT_AVAILABLE.code()
}

/// The message and the code in `… (SQLSTATE 28P01)`.
fn sqlstate(text: &str) -> (&str, &str) {
    let Some((message, rest)) = text.split_once(" (SQLSTATE ") else {
        return (text, "");
    };
    (message, rest.get(..5).unwrap_or_default())
}

fn pid_in(message: &str) -> i32 {
    let pid = message
        .split(|c: char| !c.is_ascii_digit())
        .rfind(|word| !word.is_empty());
    pid.and_then(|word| word.parse().ok()).unwrap_or_default()
}

/// An error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// A name as SQL writes it.
#[must_use]
pub(super) fn ident(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let first = name.chars().next();
    if name.chars().all(plain) && first.is_some_and(|c| !c.is_ascii_digit()) && !is_keyword(name) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Reserved words that are plausible names.
fn is_keyword(name: &str) -> bool {
    const WORDS: [&str; 20] = [
        "all",
        "analyse",
        "analyze",
        "and",
        "any",
        "array",
        "case",
        "check",
        "column",
        "default",
        "desc",
        "end",
        "from",
        "group",
        "limit",
        "order",
        "references",
        "table",
        "user",
        "when",
    ];
    WORDS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'static> = Place {
        host: "db:5432",
        user: "app",
        database: "shop",
        slot: "edgewise_main",
        publication: "edgewise_main",
    };

    #[track_caller]
    fn check(code: &str, message: &str, expected: &str, retryable: bool) {
        let error = PgError::from_server(code, message, &PLACE);
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.is_retryable(), retryable, "{expected}");
        assert!(!error.remedy().is_empty());
    }

    #[test]
    fn the_servers_errors_name_what_they_are_about() {
        check(
            "28P01",
            "password authentication failed for user \"app\"",
            "db:5432 refuses user app: password authentication failed for user \"app\"",
            false,
        );
        check(
            "3D000",
            "database \"shop\" does not exist",
            "database shop does not exist",
            false,
        );
        check(
            "42501",
            "must be superuser or replication role to start walsender",
            "user app may not use replication: must be superuser or replication role to start walsender",
            false,
        );
        check(
            "55006",
            "replication slot \"edgewise_main\" is active for PID 4711",
            "replication slot edgewise_main is in use by process 4711 of the server",
            true,
        );
        check(
            "57P01",
            "terminating connection due to administrator command",
            "the server says: terminating connection due to administrator command (57P01)",
            true,
        );
        check(
            "42P01",
            "relation \"x\" does not exist",
            "the server says: relation \"x\" does not exist (42P01)",
            false,
        );
        check(
            "57014",
            "canceling statement due to statement timeout",
            "a statement took longer than allowed: canceling statement due to statement timeout",
            true,
        );
    }

    #[test]
    fn what_is_lost_for_good_names_the_way_out() {
        let error = PgError::SlotMissing {
            slot: "s".into(),
            position: "0/1".into(),
        };
        assert!(!error.is_retryable());
        assert!(error.remedy().contains("edgewise replicate resync"));
        let wire = PgWireError::Server(
            "cannot read from logical replication slot \"s\" (SQLSTATE 55000)".into(),
        );
        let error = PgError::from_wire(&wire, &PLACE);
        assert!(matches!(error, PgError::SlotLost { .. }), "{error}");
    }

    #[test]
    fn names_are_quoted_where_sql_needs_it() {
        let quoted = ["posts", "Posts", "order", "9lives", "a\"b", ""].map(ident);
        assert_eq!(
            quoted,
            [
                "posts",
                "\"Posts\"",
                "\"order\"",
                "\"9lives\"",
                "\"a\"\"b\"",
                "\"\""
            ]
        );
    }
}
