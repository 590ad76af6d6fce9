//! Pages of MySQL and MariaDB tables.

use mysql_async::Value as Sql;

use super::cursor::{Cursor, From};
use super::error::PollError;
use super::source::{
    AHEAD_HOURS, Described, OVERLAP_NUMBERS, OVERLAP_SECONDS, OrderColumn, Page, PollTable, Sort,
    after,
};
use crate::replicate::config::SourceConfig;
use crate::replicate::mysql::catalog::{self, ColumnInfo, TableName, quote};
use crate::replicate::mysql::client::{Client, Target};
use crate::replicate::mysql::{missing, plain, select};
use std::collections::HashMap;

/// A session.
pub(super) struct Connection {
    client: Client,
    target: Target,
    /// Columns of the tables that were described, by the table's quoted name.
    infos: HashMap<String, Vec<ColumnInfo>>,
}

impl Connection {
    pub(super) async fn open(config: &SourceConfig) -> Result<Self, PollError> {
        let target = Target::new(config)?;
        let client = target.connect().await?;
        Ok(Self {
            client,
            target,
            infos: HashMap::new(),
        })
    }

    pub(super) async fn describe(&mut self, table: &str) -> Result<Described, PollError> {
        let name = TableName::parse(table, self.target.database.as_deref())?;
        let read = catalog::read(&mut self.client, &name).await?;
        let read = read.ok_or_else(|| missing(&name))?;
        let described = Described {
            quoted: name.quoted(),
            // Its name is the table's own.
            create_index: "CREATE INDEX edgewise_watermark",
            quote,
            columns: read.mapping_columns(),
            indexes: read
                .indexes
                .into_iter()
                .map(|index| index.columns)
                .collect(),
        };
        self.infos.insert(described.quoted.clone(), read.columns);
        Ok(described)
    }

    pub(super) async fn page(
        &mut self,
        table: &PollTable,
        from: &From,
        limit: u32,
    ) -> Result<Page, PollError> {
        let infos = self
            .infos
            .get(&table.quoted)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let info = |name: &String| {
            infos
                .iter()
                .find(|info| info.name.eq_ignore_ascii_case(name))
        };
        let columns: Vec<_> = table.bound.columns().iter().map(info).collect();
        let (sql, parameters) = statement(table, &columns, from, limit);
        let rows = self.client.page(&sql, parameters).await?;
        let rows = rows.into_iter().map(|row| {
            let values = row.values().iter().zip(&columns);
            let values = values.map(|(value, info)| {
                info.map_or(crate::replicate::value::Value::Null, |info| {
                    plain(value, info)
                })
                .to_owned()
            });
            let at = (0..table.order.len()).map(|index| row.text(columns.len() + index));
            (values.collect(), Cursor(at.collect()))
        });
        Ok(Page {
            rows: rows.collect(),
        })
    }
}

fn statement(
    table: &PollTable,
    columns: &[Option<&ColumnInfo>],
    from: &From,
    limit: u32,
) -> (String, Vec<Sql>) {
    let selected = table
        .bound
        .columns()
        .iter()
        .zip(columns)
        .map(|(name, info)| select(name, *info));
    let selected: Vec<String> = selected.chain(table.order.iter().map(as_text)).collect();
    let order: Vec<String> = table
        .order
        .iter()
        .map(|column| quote(&column.name))
        .collect();
    let mut parameters = Vec::new();
    let condition = match (from, table.order.first(), order.first()) {
        (From::After(cursor), ..) => {
            let pairs: Vec<_> = table.order.iter().zip(cursor.0.iter()).collect();
            // As `after` uses them: the first alone, then ever more of them.
            parameters.extend(
                pairs
                    .first()
                    .and_then(|(column, value)| parameter(column, value)),
            );
            for upto in 1..=pairs.len() {
                let used = pairs.iter().take(upto);
                parameters.extend(used.filter_map(|(column, value)| parameter(column, value)));
            }
            let values: Vec<_> = pairs
                .iter()
                .map(|(column, value)| literal(column, value))
                .collect();
            after(&order, &values)
        }
        (From::Before(cursor), Some(watermark), Some(name)) => {
            let value = cursor.0.first().map(String::as_str).unwrap_or_default();
            parameters.extend(parameter(watermark, value));
            let value = literal(watermark, value);
            match watermark.sort {
                Sort::Time => format!("{name} >= {value} - INTERVAL {OVERLAP_SECONDS} SECOND"),
                Sort::Number | Sort::Decimal => {
                    // Signed, so that an unsigned one does not wrap.
                    format!("{name} >= CAST({value} AS SIGNED) - {OVERLAP_NUMBERS}")
                }
                Sort::Bytes | Sort::Text => format!("{name} >= {value}"),
            }
        }
        _ => "TRUE".to_owned(),
    };
    let not_null = order
        .first()
        .map_or(String::new(), |name| format!(" AND {name} IS NOT NULL"));
    // A watermark that no clock has reached must not move the cursor past all that comes.
    let reached = match (table.order.first(), order.first()) {
        (Some(watermark), Some(name)) if watermark.sort == Sort::Time => {
            let sign = if *from == From::Ahead { ">" } else { "<=" };
            format!(" AND {name} {sign} UTC_TIMESTAMP(6) + INTERVAL {AHEAD_HOURS} HOUR")
        }
        _ => String::new(),
    };
    let sql = format!(
        "SELECT {} FROM {} WHERE {condition}{not_null}{reached} ORDER BY {} LIMIT {limit}",
        selected.join(", "),
        table.quoted,
        order.join(", ")
    );
    (sql, parameters)
}

/// A column that orders, as text that a statement takes back exactly.
fn as_text(column: &OrderColumn) -> String {
    let name = quote(&column.name);
    match column.sort {
        Sort::Bytes => format!("HEX({name})"),
        _ => format!("CAST({name} AS CHAR)"),
    }
}

/// How a value stands in a statement.
fn literal(column: &OrderColumn, value: &str) -> String {
    match column.sort {
        // Digits: text against an integer compares as floating point.
        Sort::Number if is_number(value) => value.to_owned(),
        Sort::Number | Sort::Decimal => "CAST(? AS DECIMAL(65,30))".to_owned(),
        Sort::Time => "CAST(? AS DATETIME(6))".to_owned(),
        Sort::Bytes => "UNHEX(?)".to_owned(),
        Sort::Text => "?".to_owned(),
    }
}

fn parameter(column: &OrderColumn, value: &str) -> Option<Sql> {
    let stands = column.sort == Sort::Number && is_number(value);
    (!stands).then(|| Sql::Bytes(value.as_bytes().to_vec()))
}

fn is_number(value: &str) -> bool {
    value.parse::<i128>().is_ok()
}
