//! Connections to the server: options from the URL, TLS, and queries with errors in words.

use super::error::MysqlError;
use crate::replicate::config::SourceConfig;
use mysql_async::prelude::Queryable;
use mysql_async::{ClientIdentity, Conn, Opts, OptsBuilder, SslOpts, Value};
use rustls::crypto::aws_lc_rs;
use std::time::Duration;

/// The most bytes of one packet: a row event of the binlog, a row of a query.
const MAX_PACKET_BYTES: usize = 256 << 20;

/// How long one query of the catalogue may take.
const QUERY_TIMEOUT: Duration = Duration::from_secs(60);

/// Port of a URL without one.
const DEFAULT_PORT: u16 = 3306;

/// What TLS must prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TlsMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// How to reach a server.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Host and port, for people.
    pub(crate) host: String,
    /// User name.
    pub(crate) user: String,
    /// The URL's database.
    pub(crate) database: Option<String>,
    options: Opts,
    plain: Option<Opts>,
    connect_timeout: Duration,
}

impl Target {
    /// Reads the source's URL, `MYSQL_PWD` and TLS files.
    pub(crate) fn new(config: &SourceConfig) -> Result<Self, MysqlError> {
        let (address, query) = match config.url.split_once('?') {
            Some((address, query)) => (address, query),
            None => (config.url.as_str(), ""),
        };
        let address = match address.strip_prefix("mariadb://") {
            Some(rest) => format!("mysql://{rest}"),
            None => address.to_owned(),
        };
        let parsed =
            Opts::from_url(&address).map_err(|error| MysqlError::Url(error.to_string()))?;
        let (mode, socket) = parameters(query)?;
        let pass = parsed
            .pass()
            .map(str::to_owned)
            .or_else(|| std::env::var("MYSQL_PWD").ok());
        let base = OptsBuilder::from_opts(parsed.clone())
            .pass(pass)
            .socket(socket)
            .prefer_socket(false)
            .tcp_keepalive(Some(Duration::from_secs(30)))
            .max_allowed_packet(Some(MAX_PACKET_BYTES))
            .stmt_cache_size(Some(32_usize));
        let plain: Opts = base.clone().ssl_opts(None::<SslOpts>).into();
        let options = match ssl(mode, config) {
            Some(ssl) => base.ssl_opts(Some(ssl)).into(),
            None => plain.clone(),
        };
        let port = if parsed.tcp_port() == 0 {
            DEFAULT_PORT
        } else {
            parsed.tcp_port()
        };
        Ok(Self {
            host: format!("{}:{port}", parsed.ip_or_hostname()),
            user: parsed.user().unwrap_or_default().to_owned(),
            database: parsed
                .db_name()
                .map(str::to_owned)
                .filter(|name| !name.is_empty()),
            options,
            plain: (mode == TlsMode::Prefer).then_some(plain),
            connect_timeout: Duration::from_millis(config.connect_timeout_ms),
        })
    }

    /// Connects; times are in UTC and text is in UTF-8 from here on.
    pub(crate) async fn connect(&self) -> Result<Client, MysqlError> {
        let mut connected = self.open(self.options.clone()).await;
        if let (Err(MysqlError::Tls { .. }), Some(plain)) = (&connected, &self.plain) {
            connected = self.open(plain.clone()).await;
        }
        let mut client = Client {
            conn: connected?,
            target: self.clone(),
        };
        client
            .run("SET time_zone = '+00:00', NAMES utf8mb4, sql_mode = ''")
            .await?;
        Ok(client)
    }

    async fn open(&self, options: Opts) -> Result<Conn, MysqlError> {
        // The client takes the process's provider; ours is chosen by the first to come.
        let _ = aws_lc_rs::default_provider().install_default();
        match tokio::time::timeout(self.connect_timeout, Conn::new(options)).await {
            Ok(conn) => conn.map_err(|error| self.error("connecting", error)),
            Err(_) => Err(MysqlError::Unreachable {
                host: self.host.clone(),
                reason: format!(
                    "no connection within {} ms",
                    self.connect_timeout.as_millis()
                ),
            }),
        }
    }

    /// Puts an error into words.
    pub(crate) fn error(&self, doing: &str, error: mysql_async::Error) -> MysqlError {
        MysqlError::client(&self.host, &self.user, doing, error)
    }
}

/// TLS mode and socket of a URL's query; other parameters are errors.
fn parameters(query: &str) -> Result<(TlsMode, Option<String>), MysqlError> {
    let (mut mode, mut socket) = (TlsMode::Prefer, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name.to_ascii_lowercase().replace('_', "-").as_str() {
            "sslmode" | "ssl-mode" => mode = tls_mode(value)?,
            "socket" => socket = Some(value.to_owned()),
            _ => return Err(MysqlError::Url(format!("parameter {name:?} is not known"))),
        }
    }
    Ok((mode, socket))
}

fn tls_mode(value: &str) -> Result<TlsMode, MysqlError> {
    match value.to_ascii_lowercase().replace('_', "-").as_str() {
        "disable" | "disabled" => Ok(TlsMode::Disable),
        "prefer" | "preferred" | "allow" => Ok(TlsMode::Prefer),
        "require" | "required" => Ok(TlsMode::Require),
        "verify-ca" => Ok(TlsMode::VerifyCa),
        "verify-full" | "verify-identity" => Ok(TlsMode::VerifyFull),
        _ => Err(MysqlError::Url(format!(
            "sslmode {value:?} is none of disable, prefer, require, verify-ca and verify-full"
        ))),
    }
}

fn ssl(mode: TlsMode, config: &SourceConfig) -> Option<SslOpts> {
    let mut ssl = SslOpts::default();
    if let Some(ca) = &config.tls.ca {
        ssl = ssl
            .with_root_certs(vec![ca.clone().into()])
            .with_disable_built_in_roots(true);
    }
    if let (Some(cert), Some(key)) = (&config.tls.cert, &config.tls.key) {
        let identity = ClientIdentity::new(cert.clone().into(), key.clone().into());
        ssl = ssl.with_client_identity(Some(identity));
    }
    match mode {
        TlsMode::Disable => None,
        TlsMode::Prefer | TlsMode::Require => Some(
            ssl.with_danger_accept_invalid_certs(config.tls.ca.is_none())
                .with_danger_skip_domain_validation(true),
        ),
        TlsMode::VerifyCa => Some(ssl.with_danger_skip_domain_validation(true)),
        TlsMode::VerifyFull => Some(ssl),
    }
}

/// A row whose values are read as text.
#[derive(Debug)]
pub(crate) struct TextRow(Vec<Value>);

impl TextRow {
    /// A value as text; empty where it is NULL.
    pub(crate) fn text(&self, index: usize) -> String {
        self.maybe(index).unwrap_or_default()
    }

    /// A value as text.
    pub(crate) fn maybe(&self, index: usize) -> Option<String> {
        match self.0.get(index)? {
            Value::NULL => None,
            Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Value::Int(number) => Some(number.to_string()),
            Value::UInt(number) => Some(number.to_string()),
            Value::Float(number) => Some(number.to_string()),
            Value::Double(number) => Some(number.to_string()),
            other => Some(other.as_sql(true).trim_matches('\'').to_owned()),
        }
    }

    /// A value as a number.
    pub(crate) fn number(&self, index: usize) -> Option<u64> {
        self.maybe(index)?.parse().ok()
    }

    /// The values themselves.
    pub(crate) fn values(&self) -> &[Value] {
        &self.0
    }
}

impl From<mysql_async::Row> for TextRow {
    fn from(row: mysql_async::Row) -> Self {
        Self(
            row.unwrap_raw()
                .into_iter()
                .map(|value| value.unwrap_or(Value::NULL))
                .collect(),
        )
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    /// The connection itself.
    pub(crate) conn: Conn,
    /// Where it leads.
    pub(crate) target: Target,
}

impl Client {
    /// Runs a statement without an answer.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<(), MysqlError> {
        match tokio::time::timeout(QUERY_TIMEOUT, self.conn.query_drop(sql)).await {
            Ok(done) => done.map_err(|error| self.target.error(&format!("`{sql}`"), error)),
            Err(_) => Err(self.timed_out(sql)),
        }
    }

    /// Rows of a query of the catalogue (few).
    pub(crate) async fn rows(
        &mut self,
        sql: &str,
        parameters: Vec<Value>,
    ) -> Result<Vec<TextRow>, MysqlError> {
        // A statement without parameters goes as text: SHOW cannot be prepared everywhere.
        if !parameters.is_empty() {
            return self.page(sql, parameters).await;
        }
        let query = self.conn.query::<mysql_async::Row, _>(sql);
        match tokio::time::timeout(QUERY_TIMEOUT, query).await {
            Ok(Ok(rows)) => Ok(rows.into_iter().map(TextRow::from).collect()),
            Ok(Err(error)) => Err(self.target.error(&format!("`{sql}`"), error)),
            Err(_) => Err(self.timed_out(sql)),
        }
    }

    /// Rows of a table, typed: a page that fits into memory.
    pub(crate) async fn page(
        &mut self,
        sql: &str,
        parameters: Vec<Value>,
    ) -> Result<Vec<TextRow>, MysqlError> {
        let query = self.conn.exec::<mysql_async::Row, _, _>(sql, parameters);
        match tokio::time::timeout(QUERY_TIMEOUT, query).await {
            Ok(Ok(rows)) => Ok(rows.into_iter().map(TextRow::from).collect()),
            Ok(Err(error)) => Err(self.target.error(&format!("`{sql}`"), error)),
            Err(_) => Err(self.timed_out(sql)),
        }
    }

    /// The first row of a query.
    pub(crate) async fn row(&mut self, sql: &str) -> Result<Option<TextRow>, MysqlError> {
        Ok(self.rows(sql, Vec::new()).await?.into_iter().next())
    }

    /// A global variable; `None` where the server does not have it.
    pub(crate) async fn variable(&mut self, name: &str) -> Result<Option<String>, MysqlError> {
        let row = self
            .row(&format!("SHOW GLOBAL VARIABLES LIKE '{name}'"))
            .await?;
        Ok(row.map(|row| row.text(1)))
    }

    fn timed_out(&self, sql: &str) -> MysqlError {
        MysqlError::Unreachable {
            host: self.target.host.clone(),
            reason: format!("`{sql}` had no answer within {} s", QUERY_TIMEOUT.as_secs()),
        }
    }
}
