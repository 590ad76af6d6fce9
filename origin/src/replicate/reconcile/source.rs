//! A session with a source: questions about counts, and pages of rows as the first copy reads
//! them.

use std::time::Duration;

use super::sql::Dialect;
use super::{ReconcileError, mysql, postgres};
use crate::replicate::config::{SourceConfig, TableConfig};
use crate::replicate::connect::named;
use crate::replicate::mapping::{BoundTable, Column, TablePlan};
use crate::replicate::mysql::catalog::ColumnInfo;
use crate::replicate::mysql::page;
use crate::replicate::supervise::SourceError;
use crate::replicate::value::OwnedValue;

/// Longest time of a question: counting a large table without an index takes minutes.
const QUERY_MAX: Duration = Duration::from_secs(3_600);

/// A row of an answer: a column's bytes, or NULL.
pub(super) type Row = Vec<Option<Vec<u8>>>;

/// What each row is given to; an error ends the question.
pub(super) type Visit<'a> = dyn FnMut(Row) -> Result<(), ReconcileError> + Send + 'a;

/// A mapped table as its source has it now.
pub(super) struct SourceTable {
    /// As statements name it.
    pub(super) name: String,
    /// Its mapping.
    pub(super) bound: BoundTable,
    /// What its server needs to read it.
    pub(super) shape: Shape,
}

/// What a server needs to read a table's columns, in the mapping's order.
pub(super) enum Shape {
    /// Whether values are filled up with blanks.
    Postgres(Vec<bool>),
    /// The columns of the catalogue.
    Mysql(Vec<ColumnInfo>),
}

/// A part of a key, as statements of its source take it back.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum KeyPart {
    /// PostgreSQL: text in the server's encoding.
    Text(Vec<u8>),
    /// MySQL and MariaDB: a parameter.
    Typed(page::Key),
}

/// A row, mapped columns first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PageRow {
    /// Its columns as the first copy has them, in the mapping's order.
    pub(super) values: Vec<OwnedValue>,
    /// Its key.
    pub(super) key: Vec<KeyPart>,
}

/// Which rows of a table, in the order of the key. Those whose key is NULL are in none: they
/// cannot be told apart, and never count.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Range<'a> {
    /// Only keys above this.
    pub(super) after: Option<&'a [KeyPart]>,
    /// Only keys up to this.
    pub(super) up_to: Option<&'a [KeyPart]>,
    /// Only this key.
    pub(super) is: Option<&'a [KeyPart]>,
    /// Most rows.
    pub(super) limit: usize,
}

/// A session with a source.
pub(super) enum Source {
    /// PostgreSQL.
    Postgres(Box<postgres::Session>),
    /// MySQL and MariaDB.
    Mysql(Box<mysql::Session>),
}

impl Source {
    /// Connects; times are in UTC and texts literal from here on.
    ///
    /// # Errors
    ///
    /// The source cannot be reached, or is none that keeps rows.
    pub(super) async fn connect(config: &SourceConfig) -> Result<Self, ReconcileError> {
        let refused = |reason: String| ReconcileError::Connect {
            source_name: config.name.clone(),
            reason,
        };
        let said = |error: SourceError| match error.remedy() {
            "" => refused(error.to_string()),
            remedy => refused(format!("{error}; {}", named(remedy, &config.name))),
        };
        match Dialect::of(&config.url) {
            Some(Dialect::Postgres) => {
                let session = postgres::Session::open(config).await;
                let session = session.map_err(|error| said(error.into()))?;
                session.set(Dialect::Postgres.session()).await?;
                Ok(Self::Postgres(Box::new(session)))
            }
            Some(Dialect::Mysql) => {
                let session = mysql::Session::open(config).await;
                let mut session = session.map_err(|error| said(error.into()))?;
                session.set(Dialect::Mysql.session()).await?;
                Ok(Self::Mysql(Box::new(session)))
            }
            None => Err(refused("a broker keeps no rows to compare with".to_owned())),
        }
    }

    /// Whose SQL it takes.
    #[must_use]
    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres(_) => Dialect::Postgres,
            Self::Mysql(_) => Dialect::Mysql,
        }
    }

    /// Fits a table's plan to what it is now.
    ///
    /// # Errors
    ///
    /// It is not there, or not as the mapping needs it.
    pub(super) async fn table(
        &mut self,
        config: &TableConfig,
    ) -> Result<SourceTable, ReconcileError> {
        let wrong = |reason: String| ReconcileError::Table {
            table: config.entry_name(),
            reason,
        };
        let plan = TablePlan::compile(config).map_err(|error| wrong(error.to_string()))?;
        let bind = |columns: &[Column]| {
            plan.bind(columns).map_err(|errors| {
                let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
                wrong(errors.join("; "))
            })
        };
        match self {
            Self::Postgres(session) => session.table(plan.table(), wrong, bind).await,
            Self::Mysql(session) => session.table(plan.table(), wrong, bind).await,
        }
    }

    /// Asks and visits each row as it comes: memory does not grow with the answer.
    ///
    /// # Errors
    ///
    /// The server refuses or goes away, or `visit` does not want more.
    pub(super) async fn each(
        &mut self,
        sql: &str,
        visit: &mut Visit<'_>,
    ) -> Result<(), ReconcileError> {
        let asking = async {
            match self {
                Self::Postgres(session) => session.each(sql, visit).await,
                Self::Mysql(session) => session.each(sql, visit).await,
            }
        };
        in_time(sql, asking).await
    }

    /// All rows of an answer that is known to be short.
    ///
    /// # Errors
    ///
    /// As [`Source::each`].
    pub(super) async fn all(&mut self, sql: &str) -> Result<Vec<Row>, ReconcileError> {
        let mut rows = Vec::new();
        let mut keep = |row| {
            rows.push(row);
            Ok(())
        };
        self.each(sql, &mut keep).await?;
        Ok(rows)
    }

    /// Rows of a range, as the first copy reads them.
    ///
    /// # Errors
    ///
    /// The server refuses or goes away.
    pub(super) async fn page(
        &mut self,
        table: &SourceTable,
        range: Range<'_>,
    ) -> Result<Vec<PageRow>, ReconcileError> {
        match self {
            Self::Postgres(session) => session.page(table, range).await,
            Self::Mysql(session) => session.page(table, range).await,
        }
    }

    /// The key that `texts` say, one for each key column, and a row of nothing but it.
    ///
    /// # Errors
    ///
    /// A text is no value of its column.
    pub(super) fn key(
        table: &SourceTable,
        texts: &[String],
    ) -> Result<(Vec<KeyPart>, Vec<OwnedValue>), String> {
        let (columns, names) = (table.bound.columns(), table.bound.key_columns());
        let mut row = vec![OwnedValue::Null; columns.len()];
        let mut key = Vec::with_capacity(names.len());
        for (name, text) in names.iter().zip(texts) {
            let at = columns.iter().position(|column| column == name);
            let place = at.and_then(|at| row.get_mut(at).map(|place| (at, place)));
            let (at, place) = place.ok_or_else(|| format!("it has no column {name}"))?;
            let (part, value) = match &table.shape {
                Shape::Postgres(_) => postgres::typed(text, table.bound.is_binary(at)),
                Shape::Mysql(infos) => mysql::typed(text, infos.get(at))
                    .map_err(|problem| format!("{name}={text:?} {problem}"))?,
            };
            key.push(part);
            *place = value;
        }
        Ok((key, row))
    }
}

/// Waits for an answer no longer than [`QUERY_MAX`].
pub(super) async fn in_time<T>(
    sql: &str,
    asking: impl Future<Output = Result<T, ReconcileError>>,
) -> Result<T, ReconcileError> {
    let answer = tokio::time::timeout(QUERY_MAX, asking).await;
    answer.map_err(|_| ReconcileError::Query {
        sql: sql.to_owned(),
        reason: "it took over an hour".to_owned(),
        remedy: "ask for one table with --table, or when the server has less to do",
    })?
}

/// What a server says about a statement that fails.
pub(super) fn refused(sql: &str, reason: String) -> ReconcileError {
    let is_denied = ["denied", "must be owner"];
    let remedy = if is_denied.iter().any(|words| reason.contains(words)) {
        "see that the user may SELECT there"
    } else {
        "the statement is made of the mapping's `where` and fields: run it at the source to find \
         the row that it fails on, then correct that row or the expression"
    };
    ReconcileError::Query {
        sql: sql.to_owned(),
        reason,
        remedy,
    }
}
