//! Connections to a server: SQL sessions and the replication session.

use std::str::FromStr;
use std::time::Duration;

use pgwire_replication::{ReplicationClient, ReplicationConfig, SslMode, TlsConfig};
use rustls::crypto::aws_lc_rs;
use tokio_postgres::NoTls;
use tokio_postgres::config::Host;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::{PgError, Place};
use super::position::Lsn;
use super::tls;
use crate::replicate::config::{SourceConfig, TlsOptions};

/// Longest change of a row that is taken, bytes: the most that a server can send. A change has all
/// columns of its row, also those that no field reads, and one that is refused is sent again for
/// ever.
pub const MESSAGE_BYTES_MAX: usize = 1 << 30;
/// Changes that are read ahead of the mapping.
pub const READ_AHEAD_MAX: usize = 256;
/// How often the server hears what is durable.
const FEEDBACK_EVERY: Duration = Duration::from_millis(500);
/// A statement on the catalogue takes no longer.
pub const STATEMENT_MAX: Duration = Duration::from_secs(30);
/// An answer takes no longer: the server ends a statement by itself before, so what takes longer
/// was lost on the way.
pub const ANSWER_MAX: Duration = Duration::from_secs(40);
/// A silent network is noticed after this time.
const TCP_SILENCE: Duration = Duration::from_secs(30);

/// How values are written and which rows are seen, whatever role and database have as defaults: the
/// first copy and the stream must read alike. Where row-level security would hide rows the server
/// refuses to read instead.
const SETTINGS: [(&str, &str); 8] = [
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("standard_conforming_strings", "on"),
    ("idle_in_transaction_session_timeout", "0"),
    ("row_security", "off"),
];

/// A database of encoding SQL_ASCII takes any bytes for text, and would refuse to send some as
/// UTF-8. They come as they are; what is not UTF-8 is refused row by row.
const ANY_BYTES: &str = "SELECT set_config('client_encoding', 'SQL_ASCII', false) \
     WHERE current_setting('server_encoding') = 'SQL_ASCII'";

/// Where a source is and how to get in.
#[derive(Clone)]
pub struct Server {
    hosts: Vec<(String, u16)>,
    config: tokio_postgres::Config,
    mode: SslMode,
    tls: TlsOptions,
    connector: MakeRustlsConnect,
    connect_timeout: Duration,
    /// The replication slot.
    pub slot: String,
    /// The publication.
    pub publication: String,
    /// The user.
    pub user: String,
    /// The database.
    pub database: String,
}

impl Server {
    /// Reads the source's configuration and its certificates.
    ///
    /// # Errors
    ///
    /// The URL, a certificate or a key cannot be read.
    pub fn new(source: &SourceConfig) -> Result<Self, PgError> {
        let default_name = || format!("edgewise_{}", source.name);
        let slot = source.slot.clone().unwrap_or_else(default_name);
        let is_slot = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if slot.is_empty() || slot.len() > 63 || !slot.chars().all(is_slot) {
            return Err(PgError::Url(format!(
                "the slot's name {slot:?} is not 1 to 63 of a-z, 0-9 and _"
            )));
        }
        let (url, mode, tls) = tls::take(&source.url, &source.tls)?;
        let wrong = |error: &dyn std::error::Error| PgError::Url(super::error::chain(error));
        let mut config = tokio_postgres::Config::from_str(&url).map_err(|error| wrong(&error))?;
        let user = config.get_user().map(str::to_owned);
        let user = user.or_else(|| env("PGUSER")).or_else(|| env("USER"));
        let user = user.ok_or_else(|| PgError::Url("it names no user".to_owned()))?;
        let database = config.get_dbname().unwrap_or(&user).to_owned();
        if let (None, Some(password)) = (config.get_password(), env("PGPASSWORD")) {
            config.password(password);
        }
        let connect_timeout = Duration::from_millis(source.connect_timeout_ms.max(1));
        config
            .user(&user)
            .dbname(&database)
            .application_name("edgewise")
            .connect_timeout(connect_timeout)
            .tcp_user_timeout(TCP_SILENCE)
            .keepalives_idle(TCP_SILENCE)
            .ssl_mode(match mode {
                SslMode::Disable => tokio_postgres::config::SslMode::Disable,
                SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
                _ => tokio_postgres::config::SslMode::Require,
            });
        Ok(Self {
            hosts: hosts(&config)?,
            connector: MakeRustlsConnect::new(tls::client_config(mode, &tls)?),
            config,
            mode,
            tls,
            connect_timeout,
            slot,
            publication: source.publication.clone().unwrap_or_else(default_name),
            user,
            database,
        })
    }

    /// Longest time a connection may take.
    #[must_use]
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// The first host, for errors that are not about one.
    #[must_use]
    pub fn host(&self) -> String {
        let first = self.hosts.first();
        first
            .map(|(host, port)| format!("{host}:{port}"))
            .unwrap_or_default()
    }

    pub(super) fn place<'a>(&'a self, host: &'a str) -> Place<'a> {
        Place {
            host,
            user: &self.user,
            database: &self.database,
            slot: &self.slot,
            publication: &self.publication,
        }
    }

    /// Names an error of a session.
    #[must_use]
    pub fn error(&self, error: &tokio_postgres::Error) -> PgError {
        PgError::from_session(error, &self.place(&self.host()))
    }

    /// A SQL session with the first host that takes one.
    ///
    /// # Errors
    ///
    /// None does; says why the last one did not.
    pub async fn connect(&self) -> Result<tokio_postgres::Client, PgError> {
        let mut last = PgError::Url("it names no host".to_owned());
        for (host, port) in &self.hosts {
            match self.connect_host(host, *port).await {
                Ok(client) => return Ok(client),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn connect_host(&self, host: &str, port: u16) -> Result<tokio_postgres::Client, PgError> {
        let name = format!("{host}:{port}");
        let late = || PgError::Connect {
            host: name.clone(),
            reason: format!("no answer within {} ms", self.connect_timeout.as_millis()),
        };
        let opening = async {
            if !host.starts_with('/') {
                let found = tokio::net::lookup_host((host, port)).await;
                drop(found.map_err(|source| PgError::Name {
                    host: host.to_owned(),
                    source,
                })?);
            }
            let place = self.place(&name);
            let config = self.only(host, port);
            let wrong = |error| PgError::from_session(&error, &place);
            // The task that drives a session ends with its client.
            let client = if host.starts_with('/') {
                let (client, connection) = config.connect(NoTls).await.map_err(wrong)?;
                tokio::spawn(drive(connection));
                client
            } else {
                let connecting = config.connect(self.connector.clone());
                let (client, connection) = connecting.await.map_err(wrong)?;
                tokio::spawn(drive(connection));
                client
            };
            let set = SETTINGS
                .map(|(name, value)| format!("SET {name} = '{value}';"))
                .concat();
            let set = format!(
                "{set}SET statement_timeout = {};{ANY_BYTES};",
                STATEMENT_MAX.as_millis()
            );
            let done = client.batch_execute(&set).await;
            done.map_err(|error| PgError::from_session(&error, &place))?;
            Ok(client)
        };
        let opened = tokio::time::timeout(self.connect_timeout, Box::pin(opening)).await;
        opened.unwrap_or_else(|_| Err(late()))
    }

    fn only(&self, host: &str, port: u16) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config
            .host(host)
            .port(port)
            .user(&self.user)
            .dbname(&self.database)
            .application_name("edgewise")
            .ssl_mode(self.config.get_ssl_mode())
            .connect_timeout(self.connect_timeout)
            .tcp_user_timeout(TCP_SILENCE)
            .keepalives_idle(TCP_SILENCE)
            .target_session_attrs(self.config.get_target_session_attrs());
        if let Some(password) = self.config.get_password() {
            config.password(password);
        }
        if let Some(options) = self.config.get_options() {
            config.options(options);
        }
        config
    }

    /// A replication session that waits for commands; streaming begins at `start`.
    ///
    /// # Errors
    ///
    /// No host takes one; says why the last one did not.
    pub async fn connect_replication(&self, start: Lsn) -> Result<Replication, PgError> {
        let mut last = PgError::Url("it names no host".to_owned());
        for (host, port) in &self.hosts {
            match self.replication_host(host, *port, start).await {
                Ok(replication) => return Ok(replication),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn replication_host(
        &self,
        host: &str,
        port: u16,
        start: Lsn,
    ) -> Result<Replication, PgError> {
        // The client takes the process's provider; ours is chosen by the first to come.
        let _ = aws_lc_rs::default_provider().install_default();
        let password = self.config.get_password().unwrap_or_default();
        let password = String::from_utf8_lossy(password).into_owned();
        let options = SETTINGS
            .map(|(name, value)| format!("-c {name}={value}"))
            .join(" ");
        let config = ReplicationConfig::new(
            host,
            &self.user,
            password,
            &self.database,
            &self.slot,
            self.publication.as_str(),
        )
        .with_status_interval(FEEDBACK_EVERY)
        .with_buffer_size(READ_AHEAD_MAX)
        .with_port(port)
        .with_tls(TlsConfig {
            mode: self.mode,
            ca_pem_path: self.tls.ca.clone(),
            sni_hostname: Some(host.to_owned()),
            client_cert_pem_path: self.tls.cert.clone(),
            client_key_pem_path: self.tls.key.clone(),
        })
        .with_start_lsn(start.0.into())
        .with_options(options)
        .with_max_message_size(MESSAGE_BYTES_MAX)
        .with_application_name("edgewise");
        let name = format!("{host}:{port}");
        let opening = async {
            let mut client = ReplicationClient::connect_gated(config).await?;
            let system = client.identify_system().await?;
            client.simple_query(ANY_BYTES).await?;
            Ok((client, system))
        };
        match tokio::time::timeout(self.connect_timeout, opening).await {
            Ok(Ok((client, system))) => Ok(Replication {
                client,
                system,
                host: name,
            }),
            Ok(Err(error)) => Err(PgError::from_wire(&error, &self.place(&name))),
            Err(_) => Err(PgError::Connect {
                host: name,
                reason: format!("no answer within {} ms", self.connect_timeout.as_millis()),
            }),
        }
    }
}

/// A replication session.
pub struct Replication {
    /// The session.
    pub client: ReplicationClient,
    /// What the server said it is.
    pub system: pgwire_replication::IdentifySystem,
    /// Host and port.
    pub host: String,
}

/// Waits for the server no longer than [`ANSWER_MAX`].
///
/// # Errors
///
/// What was asked failed, or nothing came.
pub async fn answer<T>(asking: impl Future<Output = Result<T, PgError>>) -> Result<T, PgError> {
    let late = |_| PgError::Lost(format!("no answer within {} s", ANSWER_MAX.as_secs()));
    tokio::time::timeout(ANSWER_MAX, Box::pin(asking))
        .await
        .map_err(late)?
}

async fn drive<C: Future<Output = Result<(), tokio_postgres::Error>>>(connection: C) {
    if let Err(error) = connection.await {
        tracing::debug!(error = %super::error::chain(&error), "a session ended");
    }
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn hosts(config: &tokio_postgres::Config) -> Result<Vec<(String, u16)>, PgError> {
    let ports = config.get_ports();
    let host = |(index, host): (usize, &Host)| {
        let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        let name = match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.to_string_lossy().into_owned(),
        };
        (name, port)
    };
    let hosts: Vec<_> = config.get_hosts().iter().enumerate().map(host).collect();
    if hosts
        .iter()
        .any(|(host, _)| host.contains(['@', ':']) && !host.contains("::"))
    {
        // It may be a part of the password, so it is not shown.
        let problem = "the user or the password has an @ or a / that is not percent-encoded";
        return Err(PgError::Url(problem.to_owned()));
    }
    if hosts.is_empty() {
        return Err(PgError::Url("it names no host".to_owned()));
    }
    Ok(hosts)
}
