//! What can go wrong with a MySQL or MariaDB source: each names the object and the remedy.

use super::wire::Malformed;

/// Anything that ends one life of the connector.
#[derive(Debug, thiserror::Error)]
pub enum MysqlError {
    /// The source's URL cannot be used.
    #[error("the source URL is not usable: {0}; write mysql://user:password@host:3306/database")]
    Url(String),
    /// The server cannot be reached.
    #[error("cannot reach {host}: {reason}; check the host name, the port and the firewall")]
    Unreachable {
        /// Host and port.
        host: String,
        /// What the system said.
        reason: String,
    },
    /// TLS did not come about.
    #[error(
        "TLS with {host} failed: {reason}; give the server's authority in tls.ca, or set \
         ?sslmode=disable where the network is trusted"
    )]
    Tls {
        /// Host and port.
        host: String,
        /// What the library said.
        reason: String,
    },
    /// The server refused the user.
    #[error("{host} refused user {user:?}: {reason}; check user name, password and host grants")]
    Credentials {
        /// Host and port.
        host: String,
        /// User name.
        user: String,
        /// What the server said.
        reason: String,
    },
    /// The database does not exist, or the user may not see it.
    #[error("database of the URL is not there for this user: {0}; check the name and its grants")]
    Database(String),
    /// A right is missing.
    #[error(
        "a privilege is missing: {0}; GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* and \
         SELECT ON the mapped tables to the user"
    )]
    Privilege(String),
    /// The server does not write a row binlog.
    #[error("server {host} cannot be followed: {problem}")]
    Setting {
        /// Host and port.
        host: String,
        /// Which setting is wrong.
        problem: String,
        /// What to set.
        remedy: String,
    },
    /// Another replica uses our number.
    #[error("server id {0} is in use by another replica of this server")]
    ServerIdTaken(u32),
    /// The position cannot be continued from.
    #[error("binlog position {position} cannot be continued: {reason}")]
    Lost {
        /// The stored position.
        position: String,
        /// Why.
        reason: String,
    },
    /// An event could not be read.
    #[error("binlog {position}: {reason}; the connection is opened anew")]
    Corrupt {
        /// Where.
        position: String,
        /// What is wrong.
        reason: String,
    },
    /// Nothing came for too long, not even a heartbeat.
    #[error("nothing came from {host} for {seconds} s, not even a heartbeat; connecting anew")]
    Silent {
        /// Host and port.
        host: String,
        /// How long.
        seconds: u64,
    },
    /// A table is not as the mapping needs it.
    #[error("table {table}: {problem}; {remedy}")]
    Table {
        /// Schema and table.
        table: String,
        /// What is wrong.
        problem: String,
        /// What helps.
        remedy: String,
    },
    /// The server answered with an error that has no sentence of its own.
    #[error("{doing} on {host} failed: {reason}")]
    Server {
        /// Host and port.
        host: String,
        /// What was tried.
        doing: String,
        /// Code of the server's error, 0 where there is none.
        code: u16,
        /// What the server said.
        reason: String,
    },
}

/// A text in single quotes, for statements.
pub(super) fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Server error codes with a meaning here.
mod code {
    pub(super) const TOO_MANY_CONNECTIONS: u16 = 1040;
    pub(super) const DB_ACCESS_DENIED: u16 = 1044;
    pub(super) const ACCESS_DENIED: u16 = 1045;
    pub(super) const BAD_DB: u16 = 1049;
    pub(super) const HOST_NOT_PRIVILEGED: u16 = 1130;
    pub(super) const TABLE_ACCESS_DENIED: u16 = 1142;
    pub(super) const COLUMN_ACCESS_DENIED: u16 = 1143;
    pub(super) const SPECIFIC_ACCESS_DENIED: u16 = 1227;
    pub(super) const FATAL_READING_BINLOG: u16 = 1236;
    pub(super) const NO_SUCH_TABLE: u16 = 1146;
    pub(super) const BAD_FIELD: u16 = 1054;
    pub(super) const MUST_CHANGE_PASSWORD: u16 = 1820;
}

impl MysqlError {
    /// Whether trying again may help without a person.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Corrupt { .. } | Self::Silent { .. } => true,
            Self::Server { code, .. } => !matches!(
                *code,
                code::NO_SUCH_TABLE | code::BAD_FIELD | code::MUST_CHANGE_PASSWORD
            ),
            Self::Url(_)
            | Self::Tls { .. }
            | Self::Credentials { .. }
            | Self::Database(_)
            | Self::Privilege(_)
            | Self::Setting { .. }
            | Self::ServerIdTaken(_)
            | Self::Lost { .. }
            | Self::Table { .. } => false,
        }
    }

    /// What to do about it: a step where the message already says what to look at.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Url(_) => "correct `url` of the source, or EDGEWISE_SOURCE_<NAME>__URL; \
                             percent-encode what is special in the password"
                .to_owned(),
            Self::Unreachable { host, .. } => {
                format!("see that the server runs and listens on {host} (bind_address, port)")
            }
            Self::Tls { .. } => "name the server's authority in [source.tls] ca, or set \
                                 ?sslmode=disable inside a network of your own"
                .to_owned(),
            Self::Credentials { user, .. } => format!(
                "set EDGEWISE_SOURCE_<NAME>__URL with the right password, or at the server: ALTER \
                 USER {}@'%' IDENTIFIED BY '…';",
                text(user)
            ),
            Self::Database(_) => "correct the database in `url`, or GRANT SELECT ON it to the \
                                  user; `edgewise replicate check` names everything"
                .to_owned(),
            Self::Privilege(_) => "as an administrator of the server: GRANT REPLICATION SLAVE, \
                                   REPLICATION CLIENT ON *.* TO the user; GRANT SELECT ON the \
                                   mapped tables TO the user;"
                .to_owned(),
            Self::Setting { remedy, .. } => remedy.clone(),
            Self::Table { .. } => "`edgewise replicate check` names everything that does not \
                                   fit; then start the source again"
                .to_owned(),
            Self::ServerIdTaken(_) => "give the source another `server_id` in the mapping, or \
                                       stop what else follows this server under this number"
                .to_owned(),
            Self::Lost { .. } => "run `edgewise replicate resync` to copy the tables anew; let \
                                  the server keep its binlog longer (binlog_expire_logs_seconds)"
                .to_owned(),
            Self::Corrupt { .. } => "nothing, if it passes: the place is read again; else see \
                                     with `mysqlbinlog --verify-binlog-checksum` whether the \
                                     server's file is whole, then `edgewise replicate resync`"
                .to_owned(),
            Self::Silent { .. } => "nothing, if it passes; else see that the server answers and \
                                    that no firewall drops idle connections"
                .to_owned(),
            Self::Server { .. } if self.is_retryable() => "nothing, if it passes: it is tried \
                                                           again; else see the server's error \
                                                           log"
            .to_owned(),
            Self::Server { .. } => {
                "see what changed at the server; `edgewise replicate check` names everything"
                    .to_owned()
            }
        }
    }

    /// An event that could not be read at `position`.
    pub(crate) fn malformed(position: String, what: Malformed) -> Self {
        Self::Corrupt {
            position,
            reason: what.to_string(),
        }
    }

    /// Puts an error of the client into words.
    pub(crate) fn client(host: &str, user: &str, doing: &str, error: mysql_async::Error) -> Self {
        use mysql_async::{Error, IoError};
        let host = host.to_owned();
        match error {
            Error::Server(server) => Self::server(host, user, doing, server),
            Error::Io(IoError::Tls(tls)) => Self::Tls {
                host,
                reason: tls.to_string(),
            },
            // What fails during a handshake of TLS comes as an error of the socket.
            Error::Io(IoError::Io(io)) if io.get_ref().is_some_and(|e| e.is::<rustls::Error>()) => {
                Self::Tls {
                    host,
                    reason: io.to_string(),
                }
            }
            Error::Io(IoError::Io(io)) => Self::Unreachable {
                host,
                reason: io.to_string(),
            },
            Error::Driver(mysql_async::DriverError::NoClientSslFlagFromServer) => Self::Tls {
                host,
                reason: "the server does not offer TLS".to_owned(),
            },
            Error::Driver(mysql_async::DriverError::UnknownAuthPlugin { name }) => {
                let reason = format!("its authentication plugin {name} is not supported");
                Self::Credentials {
                    host,
                    user: user.to_owned(),
                    reason,
                }
            }
            Error::Url(url) => Self::Url(url.to_string()),
            other => Self::Server {
                host,
                doing: doing.to_owned(),
                code: 0,
                reason: other.to_string(),
            },
        }
    }

    fn server(host: String, user: &str, doing: &str, server: mysql_async::ServerError) -> Self {
        let reason = server.message;
        match server.code {
            code::ACCESS_DENIED | code::HOST_NOT_PRIVILEGED | code::MUST_CHANGE_PASSWORD => {
                Self::Credentials {
                    host,
                    user: user.to_owned(),
                    reason,
                }
            }
            code::DB_ACCESS_DENIED | code::BAD_DB => Self::Database(reason),
            code::TABLE_ACCESS_DENIED
            | code::COLUMN_ACCESS_DENIED
            | code::SPECIFIC_ACCESS_DENIED => Self::Privilege(reason),
            code::TOO_MANY_CONNECTIONS => Self::Unreachable { host, reason },
            code => Self::Server {
                host,
                doing: doing.to_owned(),
                code,
                reason,
            },
        }
    }

    /// The same for errors of the binlog dump: a position that is not there any more is lost.
    pub(crate) fn dump(
        host: &str,
        user: &str,
        server_id: u32,
        position: &str,
        error: mysql_async::Error,
    ) -> Self {
        if let mysql_async::Error::Server(server) = &error {
            let text = server.message.to_lowercase();
            // The user was let in before: it is following that they may not.
            if server.code == code::ACCESS_DENIED {
                return Self::Privilege(server.message.clone());
            }
            if text.contains("same server_uuid/server_id") || text.contains("same server_id") {
                return Self::ServerIdTaken(server_id);
            }
            let lost = [
                "could not find",
                "purged",
                "impossible position",
                "file size",
                "missing",
                "more gtids",
                "not found",
                "bogus data",
                "diverged",
                "unknown binlog",
            ];
            if server.code == code::FATAL_READING_BINLOG && lost.iter().any(|w| text.contains(w)) {
                return Self::Lost {
                    position: position.to_owned(),
                    reason: server.message.clone(),
                };
            }
        }
        Self::client(host, user, "following the binlog", error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replicate::supervise::{SourceError, SourceFault};

    fn server(code: u16, message: &str) -> mysql_async::Error {
        mysql_async::Error::Server(mysql_async::ServerError {
            code,
            message: message.to_owned(),
            state: "HY000".to_owned(),
        })
    }

    #[test]
    fn every_error_has_a_remedy() {
        let [host, reason] = ["db:3306", "why"].map(str::to_owned);
        let mut errors = vec![
            MysqlError::Url(reason.clone()),
            MysqlError::ServerIdTaken(7),
            MysqlError::malformed("binlog.000001:4".to_owned(), Malformed("rows")),
            MysqlError::Silent {
                host: host.clone(),
                seconds: 3,
            },
            MysqlError::Tls { host, reason },
            MysqlError::dump(
                "db",
                "app",
                1,
                "f:4",
                server(1236, "Could not find first log"),
            ),
        ];
        for code in [1040, 1044, 1045, 1142, 1146, 1205] {
            errors.push(MysqlError::client(
                "db",
                "o'k",
                "asking",
                server(code, "no"),
            ));
        }
        for error in errors {
            let said = error.to_string();
            let source = SourceError::from(error);
            assert!(source.remedy().len() > 20, "{said}: {}", source.remedy());
            assert!(!said.contains(source.remedy()), "{said}: said twice");
        }
    }

    #[test]
    fn a_lost_position_names_the_resync() {
        let lost = server(
            1236,
            "Could not find first log file name in binary log index file",
        );
        let error = MysqlError::dump("db", "app", 1, "binlog.000001:4", lost);
        assert!(!error.is_retryable());
        assert!(SourceFault::remedy(&error).contains("edgewise replicate resync"));
    }
}
