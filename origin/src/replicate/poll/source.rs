//! The server that is polled: a table's description and pages of its rows.

use super::cursor::{Cursor, From};
use super::error::PollError;
use super::{mysql, postgres};
use crate::replicate::config::SourceConfig;
use crate::replicate::mapping::{BoundTable, Column, TablePlan};
use crate::replicate::value::OwnedValue;

/// How long a transaction may stay open with an older watermark than others that are read.
pub(super) const OVERLAP_SECONDS: u32 = 60;

/// The same for a watermark that is a number.
pub(super) const OVERLAP_NUMBERS: u32 = 10_000;

/// A watermark may be so much later than the server's clock: those of local time without its
/// offset are up to 14 hours. What is later still is refused.
pub(super) const AHEAD_HOURS: u32 = 24;

/// How a column is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// Integers.
    Number,
    /// Decimals.
    Decimal,
    /// Moments and days.
    Time,
    /// Bytes, written in hexadecimal.
    Bytes,
    /// Anything else.
    Text,
}

/// A column that orders the pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OrderColumn {
    /// Its name.
    pub(super) name: String,
    /// Its type, as the server writes it.
    pub(super) type_name: String,
    /// How it is compared.
    pub(super) sort: Sort,
}

/// A table that is polled.
#[derive(Clone, Debug)]
pub(super) struct PollTable {
    /// As the mapping names it.
    pub(super) name: String,
    /// As statements name it.
    pub(super) quoted: String,
    /// Its columns.
    pub(super) columns: Vec<Column>,
    /// The plan on them.
    pub(super) bound: BoundTable,
    /// The watermark, then the key.
    pub(super) order: Vec<OrderColumn>,
    /// Its indexes' columns.
    pub(super) indexes: Vec<Vec<String>>,
    /// The statement that makes the index that pages are read by.
    pub(super) create_index: String,
}

/// Rows in order, each with the cursor at it.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) rows: Vec<(Vec<OwnedValue>, Cursor)>,
}

/// What a server's catalogue says about a table.
pub(super) struct Described {
    pub(super) quoted: String,
    pub(super) columns: Vec<Column>,
    pub(super) indexes: Vec<Vec<String>>,
    /// The words before the `ON` of a statement that makes an index.
    pub(super) create_index: &'static str,
    /// A name as statements write it.
    pub(super) quote: fn(&str) -> String,
}

/// A server.
pub(super) enum Source {
    /// MySQL or MariaDB.
    Mysql(Box<mysql::Connection>),
    /// PostgreSQL.
    Postgres(Box<postgres::Connection>),
}

impl Source {
    /// Connects by the URL's scheme.
    pub(super) async fn connect(config: &SourceConfig) -> Result<Self, PollError> {
        match config.url.split_once("://").map(|(scheme, _)| scheme) {
            Some("mysql" | "mariadb") => Ok(Self::Mysql(Box::new(
                mysql::Connection::open(config).await?,
            ))),
            Some("postgres" | "postgresql") => Ok(Self::Postgres(Box::new(
                postgres::Connection::open(config).await?,
            ))),
            _ => Err(PollError::Scheme(config.name.clone())),
        }
    }

    /// Reads a table and binds its plan.
    pub(super) async fn table(&mut self, plan: &TablePlan) -> Result<PollTable, PollError> {
        let described = match self {
            Self::Mysql(connection) => connection.describe(plan.table()).await?,
            Self::Postgres(connection) => connection.describe(plan.table()).await?,
        };
        bind(plan, described)
    }

    /// Reads a page.
    pub(super) async fn page(
        &mut self,
        table: &PollTable,
        from: &From,
        limit: u32,
    ) -> Result<Page, PollError> {
        match self {
            Self::Mysql(connection) => connection.page(table, from, limit).await,
            Self::Postgres(connection) => connection.page(table, from, limit).await,
        }
    }
}

pub(super) fn bind(plan: &TablePlan, described: Described) -> Result<PollTable, PollError> {
    let Described {
        quoted,
        columns,
        indexes,
        create_index,
        quote,
    } = described;
    let refused = |problem: String, remedy: &str| PollError::Table {
        table: plan.table().to_owned(),
        problem,
        remedy: remedy.to_owned(),
    };
    let bound = plan.bind(&columns).map_err(|errors| {
        let sentences: Vec<_> = errors.iter().map(ToString::to_string).collect();
        refused(sentences.join("; "), "correct the mapping")
    })?;
    let watermark = plan.watermark().ok_or_else(|| {
        refused(
            "it has no watermark in the mapping".to_owned(),
            "name the column that grows with every change, such as watermark = \"updated_at\"",
        )
    })?;
    let names = std::iter::once(watermark).chain(bound.key_columns().iter().map(String::as_str));
    let mut order: Vec<OrderColumn> = Vec::new();
    for name in names {
        let column = columns
            .iter()
            .find(|column| column.name.eq_ignore_ascii_case(name));
        let column = column.ok_or_else(|| {
            refused(
                format!("it has no column {name}"),
                "correct the watermark in the mapping",
            )
        })?;
        if order.iter().all(|known| known.name != column.name) {
            order.push(OrderColumn {
                name: column.name.clone(),
                type_name: column.type_name.clone(),
                sort: sort_of(&column.type_name),
            });
        }
    }
    let by: Vec<String> = order.iter().map(|column| quote(&column.name)).collect();
    Ok(PollTable {
        name: plan.table().to_owned(),
        create_index: format!("{create_index} ON {quoted} ({});", by.join(", ")),
        quoted,
        columns,
        bound,
        order,
        indexes,
    })
}

fn sort_of(type_name: &str) -> Sort {
    let first = type_name.split([' ', '(']).next().unwrap_or_default();
    match first {
        "smallint" | "integer" | "bigint" | "int" | "int2" | "int4" | "int8" | "tinyint"
        | "mediumint" | "serial" | "bigserial" | "year" => Sort::Number,
        "decimal" | "numeric" => Sort::Decimal,
        "timestamp" | "timestamptz" | "datetime" | "date" => Sort::Time,
        "bytea" | "binary" | "varbinary" => Sort::Bytes,
        _ if first.ends_with("blob") => Sort::Bytes,
        _ => Sort::Text,
    }
}

/// `(a > x) OR (a = x AND b > y)`, the first as a bound of its own so that an index is used.
pub(super) fn after(columns: &[String], values: &[String]) -> String {
    let pairs: Vec<_> = columns.iter().zip(values).collect();
    let alternatives = (0..pairs.len()).map(|upto| {
        let terms = pairs
            .iter()
            .take(upto + 1)
            .enumerate()
            .map(|(index, (column, value))| {
                format!("{column} {} {value}", if index == upto { ">" } else { "=" })
            });
        format!("({})", terms.collect::<Vec<_>>().join(" AND "))
    });
    let alternatives = alternatives.collect::<Vec<_>>().join(" OR ");
    match pairs.first() {
        Some((column, value)) => format!("{column} >= {value} AND ({alternatives})"),
        None => "TRUE".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_begins_after_watermark_and_key() {
        let columns = ["at".to_owned(), "id".to_owned()];
        let values = ["5".to_owned(), "7".to_owned()];
        assert_eq!(
            after(&columns, &values),
            "at >= 5 AND ((at > 5) OR (at = 5 AND id > 7))"
        );
    }

    #[test]
    fn types_say_how_they_compare() {
        assert_eq!(sort_of("bigint unsigned"), Sort::Number);
        assert_eq!(sort_of("timestamp with time zone"), Sort::Time);
        assert_eq!(sort_of("numeric(10,2)"), Sort::Decimal);
        assert_eq!(sort_of("varbinary"), Sort::Bytes);
        assert_eq!(sort_of("uuid"), Sort::Text);
    }
}
