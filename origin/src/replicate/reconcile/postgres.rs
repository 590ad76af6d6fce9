//! PostgreSQL: answers come through COPY, as the first copy's rows do. Text that is not UTF-8
//! (a database of encoding SQL_ASCII) is bytes there, and an error in any other protocol.

use futures_util::{StreamExt, pin_mut};

use super::ReconcileError;
use super::source::{KeyPart, PageRow, Range, Row, Shape, SourceTable, Visit, in_time, refused};
use super::sql::{literal, name, table_name};
use crate::replicate::config::{Mode, SourceConfig};
use crate::replicate::mapping::{BoundTable, Column};
use crate::replicate::postgres::client::Server;
use crate::replicate::postgres::error::PgError;
use crate::replicate::postgres::tables::{is_padded, text_value, unpadded};
use crate::replicate::postgres::{catalog, chunks};
use crate::replicate::value::{OwnedValue, Value};

/// A session.
pub(super) struct Session {
    server: Server,
    client: tokio_postgres::Client,
    /// Rows are read as a polled table's are, not as a first copy's.
    is_polled: bool,
}

impl Session {
    pub(super) async fn open(config: &SourceConfig) -> Result<Self, PgError> {
        let server = Server::new(config)?;
        let client = server.connect().await?;
        Ok(Self {
            server,
            client,
            is_polled: config.mode == Mode::Poll,
        })
    }

    pub(super) async fn set(&self, statements: &[&str]) -> Result<(), ReconcileError> {
        for sql in statements {
            let done = self.client.batch_execute(sql).await;
            done.map_err(|error| failed(sql, &error))?;
        }
        Ok(())
    }

    pub(super) async fn table(
        &self,
        table: &str,
        wrong: impl Fn(String) -> ReconcileError,
        bind: impl Fn(&[Column]) -> Result<BoundTable, ReconcileError>,
    ) -> Result<SourceTable, ReconcileError> {
        let full = catalog::full_name(table);
        let found = catalog::unsized_tables(&self.server, &self.client, &[&full]).await;
        let found = found.map_err(|error| wrong(error.to_string()))?;
        let found = found.into_values().next().ok_or_else(|| {
            wrong(format!(
                "the source has no table {full}, or this user may not see it; correct its name in \
                 the mapping, or GRANT SELECT"
            ))
        })?;
        let columns = found.mapping_columns();
        let bound = bind(&columns)?;
        let padded = bound.sources().iter().map(|at| {
            let column = columns.get(*at);
            column.is_some_and(|column| is_padded(&column.type_name))
        });
        Ok(SourceTable {
            name: match self.is_polled {
                true => table_name(&full),
                false => chunks::from_clause(&found),
            },
            shape: Shape::Postgres(padded.collect()),
            bound,
        })
    }

    pub(super) async fn each(
        &self,
        sql: &str,
        visit: &mut Visit<'_>,
    ) -> Result<(), ReconcileError> {
        let copy = format!("COPY ({sql}) TO STDOUT");
        let lines = self.client.copy_out(&copy).await;
        let lines = lines.map_err(|error| failed(sql, &error))?;
        pin_mut!(lines);
        let mut rest: Vec<u8> = Vec::new();
        while let Some(bytes) = lines.next().await {
            let bytes = bytes.map_err(|error| failed(sql, &error))?;
            rest.extend_from_slice(&bytes);
            // The server sends a line at a time; the protocol does not promise it.
            let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') else {
                continue;
            };
            let left = rest.split_off(end + 1);
            rest.truncate(end);
            for line in rest.split(|byte| *byte == b'\n') {
                let fields = chunks::fields(line);
                visit(
                    fields
                        .map(|field| field.map(std::borrow::Cow::into_owned))
                        .collect(),
                )?;
            }
            rest = left;
        }
        Ok(())
    }

    pub(super) async fn page(
        &self,
        table: &SourceTable,
        range: Range<'_>,
    ) -> Result<Vec<PageRow>, ReconcileError> {
        let sql = statement(table, range, self.is_polled);
        let mut rows = Vec::new();
        let mut keep = |row: Row| {
            rows.push(page_row(table, row));
            Ok(())
        };
        in_time(&sql, self.each(&sql, &mut keep)).await?;
        Ok(rows)
    }
}

fn failed(sql: &str, error: &tokio_postgres::Error) -> ReconcileError {
    let said = error.as_db_error().map(ToString::to_string);
    refused(sql, said.unwrap_or_else(|| error.to_string()))
}

fn page_row(table: &SourceTable, mut row: Row) -> PageRow {
    let key = row.split_off(table.bound.columns().len().min(row.len()));
    let padded = match &table.shape {
        Shape::Postgres(padded) => padded.as_slice(),
        Shape::Mysql(_) => &[],
    };
    let value = |(at, field): (usize, &Option<Vec<u8>>)| {
        let value = field.as_deref().map_or(Value::Null, text_value);
        match padded.get(at) {
            Some(true) => unpadded(value).to_owned(),
            _ => value.to_owned(),
        }
    };
    PageRow {
        values: row.iter().enumerate().map(value).collect(),
        // Rows whose key is NULL are not asked for.
        key: key
            .into_iter()
            .map(|part| KeyPart::Text(part.unwrap_or_default()))
            .collect(),
    }
}

/// The rows of a range: the mapped columns, then the key's.
fn statement(table: &SourceTable, range: Range<'_>, is_polled: bool) -> String {
    let cast = if is_polled { "::text" } else { "" };
    let names: Vec<String> = table.bound.key_columns().iter().map(|k| name(k)).collect();
    let key = names.join(", ");
    let columns = table.bound.columns().iter();
    let columns = columns.map(|column| format!("{}{cast}", name(column)));
    let columns: Vec<String> = columns.chain(names.iter().cloned()).collect();
    let mut filter: Vec<String> = names
        .iter()
        .map(|name| format!("{name} IS NOT NULL"))
        .collect();
    for (operator, bound) in [(">", range.after), ("<=", range.up_to), ("=", range.is)] {
        if let Some(bound) = bound {
            let values: Vec<String> = bound.iter().map(value).collect();
            filter.push(format!("({key}) {operator} ({})", values.join(", ")));
        }
    }
    // With their table: a bare name would mean what is selected under it.
    let order: Vec<String> = names.iter().map(|name| format!("t.{name}")).collect();
    format!(
        "SELECT {} FROM {} AS t WHERE {} ORDER BY {} LIMIT {}",
        columns.join(", "),
        table.name,
        filter.join(" AND "),
        order.join(", "),
        range.limit
    )
}

/// A part of a key as a statement has it.
fn value(part: &KeyPart) -> String {
    match part {
        KeyPart::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => literal(text),
            Err(_) => {
                let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("convert_from(decode('{digits}', 'hex'), getdatabaseencoding()::name)")
            }
        },
        KeyPart::Typed(_) => "NULL".to_owned(),
    }
}

/// A key column's text as people write it: a bytea's is hexadecimal.
pub(super) fn typed(text: &str, is_binary: bool) -> (KeyPart, OwnedValue) {
    let text = match is_binary && !text.starts_with("\\x") {
        true => format!("\\x{text}"),
        false => text.to_owned(),
    };
    (
        KeyPart::Text(text.clone().into_bytes()),
        OwnedValue::Text(text),
    )
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::replicate::mapping::TablePlan;

    fn table() -> SourceTable {
        let text = "table = 't'\nto = 'users'\nid = '\"a\"\"b\"'\nkey = ['id']";
        let plan = TablePlan::compile(&toml::from_str(text).expect("a table")).expect("a plan");
        let columns = ["id", "a\"b"].map(|name| Column {
            name: name.to_owned(),
            type_name: "text".to_owned(),
            is_key: name == "id",
            nullable: None,
        });
        SourceTable {
            name: "public.t".to_owned(),
            bound: plan.bind(&columns).expect("it fits"),
            shape: Shape::Postgres(vec![false, false]),
        }
    }

    #[test]
    fn pages_quote_what_they_are_given() {
        let after = [KeyPart::Text(b"o'x".to_vec())];
        let up_to = [KeyPart::Text(b"p\xff".to_vec())];
        let range = Range {
            after: Some(&after),
            up_to: Some(&up_to),
            limit: 10,
            ..Range::default()
        };
        expect![[r#"SELECT "id", "a""b", "id" FROM public.t AS t WHERE "id" IS NOT NULL AND ("id") > ('o''x') AND ("id") <= (convert_from(decode('70ff', 'hex'), getdatabaseencoding()::name)) ORDER BY t."id" LIMIT 10"#]].assert_eq(&statement(&table(), range, false));
    }
}
