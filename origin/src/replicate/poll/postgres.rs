//! Pages of PostgreSQL tables.

use tokio_postgres::types::ToSql;

use super::cursor::{Cursor, From};
use super::error::PollError;
use super::source::{
    AHEAD_HOURS, Described, OVERLAP_NUMBERS, OVERLAP_SECONDS, OrderColumn, Page, PollTable, Sort,
    after,
};
use crate::replicate::config::SourceConfig;
use crate::replicate::postgres::catalog;
use crate::replicate::postgres::client::Server;
use crate::replicate::value::OwnedValue;

/// A session.
pub(super) struct Connection {
    server: Server,
    client: tokio_postgres::Client,
}

const INDEXES: &str = "
SELECT ARRAY(
  SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS k(number, place)
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number ORDER BY k.place)
FROM pg_index i WHERE i.indrelid = $1::oid AND i.indpred IS NULL AND i.indisvalid";

impl Connection {
    pub(super) async fn open(config: &SourceConfig) -> Result<Self, PollError> {
        let server = Server::new(config)?;
        let client = server.connect().await?;
        Ok(Self { server, client })
    }

    pub(super) async fn describe(&mut self, table: &str) -> Result<Described, PollError> {
        let name = catalog::full_name(table);
        let tables = catalog::tables(&self.server, &self.client, Some(&[&name])).await?;
        let table = tables
            .into_values()
            .next()
            .ok_or_else(|| PollError::Table {
                table: name.clone(),
                problem: "it does not exist, or this user may not see it".to_owned(),
                remedy: format!(
                    "correct its name in the mapping, or GRANT SELECT ON {name} to the user"
                ),
            })?;
        let indexes = self.client.query(INDEXES, &[&table.oid]).await;
        let indexes = indexes.map_err(|error| self.server.error(&error))?;
        let (schema, relation) = catalog::split(&table.name);
        Ok(Described {
            quoted: format!("{}.{}", quote(schema), quote(relation)),
            // An index's name is the schema's, so the server makes one up; writers go on, but a
            // partitioned table cannot do that.
            create_index: match table.kind.as_str() {
                "p" => "CREATE INDEX",
                _ => "CREATE INDEX CONCURRENTLY",
            },
            quote,
            columns: table.mapping_columns(),
            indexes: indexes
                .iter()
                .filter_map(|row| row.try_get(0).ok())
                .collect(),
        })
    }

    pub(super) async fn page(
        &mut self,
        table: &PollTable,
        from: &From,
        limit: u32,
    ) -> Result<Page, PollError> {
        let sql = statement(table, from, limit);
        let parameters: Vec<&(dyn ToSql + Sync)> = match from {
            From::Start | From::Ahead => Vec::new(),
            From::After(cursor) => cursor
                .0
                .iter()
                .map(|text| text as &(dyn ToSql + Sync))
                .collect(),
            From::Before(cursor) => cursor
                .0
                .iter()
                .take(1)
                .map(|text| text as &(dyn ToSql + Sync))
                .collect(),
        };
        let failed = |error: &tokio_postgres::Error| self.server.error(error);
        let rows = self
            .client
            .query(&sql, &parameters)
            .await
            .map_err(|error| failed(&error))?;
        let width = table.bound.columns().len();
        let mut page = Page::default();
        for row in rows {
            let text = |index: usize| row.try_get::<_, Option<String>>(index);
            let values =
                (0..width).map(|index| Ok(text(index)?.map_or(OwnedValue::Null, OwnedValue::Text)));
            let values: Result<Vec<_>, tokio_postgres::Error> = values.collect();
            let at =
                (0..table.order.len()).map(|index| Ok(text(width + index)?.unwrap_or_default()));
            let at: Result<Vec<String>, tokio_postgres::Error> = at.collect();
            let values = values.map_err(|error| failed(&error))?;
            let at = at.map_err(|error| failed(&error))?;
            page.rows.push((values, Cursor(at.into())));
        }
        Ok(page)
    }
}

fn statement(table: &PollTable, from: &From, limit: u32) -> String {
    let selected = table
        .bound
        .columns()
        .iter()
        .map(|name| format!("{}::text", quote(name)));
    let texts = table
        .order
        .iter()
        .map(|column| format!("{}::text", quote(&column.name)));
    let selected: Vec<String> = selected.chain(texts).collect();
    // With their table: a bare name would mean the text that is selected under it.
    let order = table.order.iter();
    let order: Vec<String> = order.map(|c| format!("t.{}", quote(&c.name))).collect();
    let value = |(index, column): (usize, &OrderColumn)| {
        format!("${}::text::{}", index + 1, column.type_name)
    };
    let values: Vec<String> = table.order.iter().enumerate().map(value).collect();
    let condition = match (from, table.order.first(), order.first(), values.first()) {
        (From::After(_), ..) => after(&order, &values),
        (From::Before(_), Some(watermark), Some(name), Some(value)) => match watermark.sort {
            Sort::Time => format!("{name} >= {value} - interval '{OVERLAP_SECONDS} seconds'"),
            Sort::Number | Sort::Decimal => format!("{name} >= {value} - {OVERLAP_NUMBERS}"),
            Sort::Bytes | Sort::Text => format!("{name} >= {value}"),
        },
        _ => "TRUE".to_owned(),
    };
    let not_null = order
        .first()
        .map_or(String::new(), |name| format!(" AND {name} IS NOT NULL"));
    // A watermark that no clock has reached must not move the cursor past all that comes.
    let reached = match (table.order.first(), order.first()) {
        (Some(watermark), Some(name)) if watermark.sort == Sort::Time => {
            let sign = if *from == From::Ahead { ">" } else { "<=" };
            format!(" AND {name} {sign} now() + interval '{AHEAD_HOURS} hours'")
        }
        _ => String::new(),
    };
    format!(
        "SELECT {} FROM {} AS t WHERE {condition}{not_null}{reached} ORDER BY {} LIMIT {limit}",
        selected.join(", "),
        table.quoted,
        order.join(", ")
    )
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replicate::config::TableConfig;
    use crate::replicate::mapping::{Column, TablePlan};

    #[test]
    fn pages_are_in_the_order_of_the_columns_not_of_their_text() {
        let config: TableConfig =
            toml::from_str("table = 'public.users'\nto = 'users'\nid = 'id'\nwatermark = 'at'")
                .unwrap();
        let column = |name: &str, of: &str| Column {
            name: name.to_owned(),
            type_name: of.to_owned(),
            is_key: name == "id",
            nullable: Some(false),
        };
        let columns = vec![column("id", "bigint"), column("at", "timestamptz")];
        let plan = TablePlan::compile(&config).unwrap();
        let described = Described {
            quoted: "\"public\".\"users\"".to_owned(),
            create_index: "CREATE INDEX",
            quote,
            columns,
            indexes: Vec::new(),
        };
        let table = super::super::source::bind(&plan, described).unwrap();
        let cursor = Cursor(["2026-11-21".to_owned(), "7".to_owned()].into());
        assert_eq!(
            statement(&table, &From::After(cursor), 10),
            "SELECT \"id\"::text, \"at\"::text, \"at\"::text, \"id\"::text FROM \"public\".\"users\" AS t WHERE \
             t.\"at\" >= $1::text::timestamptz AND ((t.\"at\" > $1::text::timestamptz) OR \
             (t.\"at\" = $1::text::timestamptz AND t.\"id\" > $2::text::bigint)) AND \
             t.\"at\" IS NOT NULL AND t.\"at\" <= now() + interval '24 hours' ORDER BY t.\"at\", t.\"id\" LIMIT 10"
        );
    }
}
