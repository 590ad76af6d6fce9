//! What goes wrong with a PostgreSQL source, and what to do about it.

mod remedy;
#[cfg(test)]
mod tests;

use std::io;

use pgwire_replication::PgWireError;

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

impl SourceFault for PgError {
    fn is_retryable(&self) -> bool {
        self.is_retryable()
    }

    fn remedy(&self) -> String {
        self.remedy()
    }
}

impl PgError {
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
