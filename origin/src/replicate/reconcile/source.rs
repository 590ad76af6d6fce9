//! Questions to a source in SQL; every value comes as text.

use std::time::Duration;

use futures_util::{StreamExt, pin_mut};
use mysql_async::prelude::Queryable;
use tokio_postgres::SimpleQueryMessage;

use super::ReconcileError;
use super::sql::Dialect;

/// Longest time of a question: counting a large table without an index takes minutes.
const QUERY_MAX: Duration = Duration::from_secs(3_600);

/// A row: a column's text, or NULL.
pub type Row = Vec<Option<String>>;

/// What each row is given to; an error ends the question.
pub type Visit<'a> = dyn FnMut(Row) -> Result<(), ReconcileError> + Send + 'a;

/// A session with a source.
pub enum Sql {
    /// PostgreSQL.
    Postgres(tokio_postgres::Client),
    /// MySQL and MariaDB.
    Mysql(Box<mysql_async::Conn>),
}

impl Sql {
    /// Whose SQL it takes.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres(_) => Dialect::Postgres,
            Self::Mysql(_) => Dialect::Mysql,
        }
    }

    /// Asks and visits each row as it comes: memory does not grow with the answer.
    ///
    /// # Errors
    ///
    /// The server refuses or goes away, or `visit` does not want more.
    pub async fn each(&mut self, sql: &str, visit: &mut Visit<'_>) -> Result<(), ReconcileError> {
        let asking = async {
            match self {
                Self::Postgres(client) => postgres(client, sql, visit).await,
                Self::Mysql(conn) => mysql(conn, sql, visit).await,
            }
        };
        tokio::time::timeout(QUERY_MAX, asking)
            .await
            .map_err(|_| ReconcileError::Query {
                sql: sql.to_owned(),
                reason: "it took over an hour".to_owned(),
                remedy: "ask for one table with --table, or when the server has less to do",
            })?
    }

    /// All rows of an answer that is known to be short.
    ///
    /// # Errors
    ///
    /// As [`Sql::each`].
    pub async fn all(&mut self, sql: &str) -> Result<Vec<Row>, ReconcileError> {
        let mut rows = Vec::new();
        let mut keep = |row| {
            rows.push(row);
            Ok(())
        };
        self.each(sql, &mut keep).await?;
        Ok(rows)
    }
}

fn refused(sql: &str, reason: String) -> ReconcileError {
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

async fn postgres(
    client: &tokio_postgres::Client,
    sql: &str,
    visit: &mut Visit<'_>,
) -> Result<(), ReconcileError> {
    let failed = |error: tokio_postgres::Error| {
        let said = error.as_db_error().map(ToString::to_string);
        refused(sql, said.unwrap_or_else(|| error.to_string()))
    };
    let messages = client.simple_query_raw(sql).await.map_err(failed)?;
    pin_mut!(messages);
    while let Some(message) = messages.next().await {
        if let SimpleQueryMessage::Row(row) = message.map_err(failed)? {
            visit(
                (0..row.len())
                    .map(|index| row.get(index).map(str::to_owned))
                    .collect(),
            )?;
        }
    }
    Ok(())
}

async fn mysql(
    conn: &mut mysql_async::Conn,
    sql: &str,
    visit: &mut Visit<'_>,
) -> Result<(), ReconcileError> {
    let failed = |error: mysql_async::Error| refused(sql, error.to_string());
    let mut answer = conn.query_iter(sql).await.map_err(failed)?;
    while let Some(row) = answer.next().await.map_err(failed)? {
        let text = |value: mysql_async::Value| match value {
            mysql_async::Value::NULL => None,
            // The text protocol sends bytes for every type.
            mysql_async::Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            other => Some(other.as_sql(true).trim_matches('\'').to_owned()),
        };
        visit(row.unwrap().into_iter().map(text).collect())?;
    }
    Ok(())
}
