//! SQL that counts and reads a mapped table at its source.

use super::super::config::{TableConfig, Target};
use crate::cli::replicate::By;

/// Whose SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    Mysql,
}

impl Dialect {
    /// The dialect of a URL; `None` where nothing can be asked.
    #[must_use]
    pub fn of(url: &str) -> Option<Self> {
        match url.split_once("://")?.0 {
            "postgres" | "postgresql" => Some(Self::Postgres),
            "mysql" | "mariadb" => Some(Self::Mysql),
            _ => None,
        }
    }

    /// Settings that make days UTC and texts literal.
    #[must_use]
    pub fn session(self) -> &'static [&'static str] {
        match self {
            Self::Postgres => &[
                "SET TIME ZONE 'UTC'",
                "SET statement_timeout = 0",
                "SET standard_conforming_strings = on",
            ],
            Self::Mysql => &[
                "SET time_zone = '+00:00'",
                "SET SESSION sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES'",
            ],
        }
    }

    /// Statements of which one has the server's position as its answer, by version: see
    /// [`super::position`].
    #[must_use]
    pub fn position(self) -> &'static [&'static str] {
        match self {
            Self::Postgres => &[
                "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() \
                 ELSE pg_current_wal_lsn() END",
            ],
            Self::Mysql => &["SHOW MASTER STATUS", "SHOW BINARY LOG STATUS"],
        }
    }
}

/// `"a""b"`: both dialects, MySQL under `ANSI_QUOTES`.
#[must_use]
pub fn name(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// `"public"."posts"`.
#[must_use]
pub fn table_name(text: &str) -> String {
    let parts: Vec<String> = text.split('.').map(name).collect();
    parts.join(".")
}

/// A text literal.
#[must_use]
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Counts the rows of a table that should count, grouped; two columns: group and count. `None`
/// where the group cannot be said in SQL (then the table is counted as a whole).
#[must_use]
pub fn counts(table: &TableConfig, by: By, dialect: Dialect) -> Option<String> {
    let group = match by {
        By::Table => "''".to_owned(),
        By::Day => day(table.fields.get(time_field(table.to)?)?, dialect)?,
        By::Item => text(table.fields.get(item_field(table.to)?)?, dialect),
    };
    let from = table_name(&table.table);
    let mut wanted: Vec<String> = table
        .filter
        .iter()
        .map(|filter| format!("({filter})"))
        .collect();
    wanted.extend(table.fields.get("deleted").map(|gone| alive(gone, dialect)));
    let filter = match wanted.as_slice() {
        [] => String::new(),
        wanted => format!(" WHERE {}", wanted.join(" AND ")),
    };
    Some(format!(
        "SELECT {group} AS g, count(*) AS n FROM {from}{filter} GROUP BY 1"
    ))
}

/// The field whose day a row counts on.
#[must_use]
pub fn time_field(target: Target) -> Option<&'static str> {
    match target {
        Target::Items => Some("created_at"),
        Target::Follows => Some("since"),
        Target::Events => Some("ts"),
        Target::Users => None,
    }
}

/// The field that names the item a row counts for.
#[must_use]
pub fn item_field(target: Target) -> Option<&'static str> {
    match target {
        Target::Items => Some("id"),
        Target::Events => Some("item"),
        Target::Users | Target::Follows => None,
    }
}

fn text(expression: &str, dialect: Dialect) -> String {
    match dialect {
        Dialect::Postgres => format!("({expression})::text"),
        Dialect::Mysql => format!("cast(({expression}) AS char)"),
    }
}

/// Not soft-deleted: null, false or zero.
fn alive(gone: &str, dialect: Dialect) -> String {
    let text = text(gone, dialect);
    format!("(({gone}) IS NULL OR {text} IN ('false', '0'))")
}

/// The UTC day of a time; `None` where the expression uses the mapping's own functions inside.
fn day(expression: &str, dialect: Dialect) -> Option<String> {
    let expression = expression.trim();
    let per_second = |name: &str| {
        let inner = expression.strip_prefix(name)?.trim_start();
        inner.strip_prefix('(')?.strip_suffix(')')
    };
    let seconds = match (per_second("epoch_ms"), per_second("epoch_s")) {
        (Some(inner), _) => Some(format!("floor(({inner}) / 1000.0)")),
        (None, Some(inner)) => Some(format!("({inner})")),
        (None, None) => None,
    };
    if seconds.is_none() && (expression.contains("epoch_ms") || expression.contains("epoch_s")) {
        return None;
    }
    Some(match (dialect, seconds) {
        (Dialect::Postgres, Some(seconds)) => {
            format!("to_char(to_timestamp({seconds})::timestamp, 'YYYY-MM-DD')")
        }
        (Dialect::Postgres, None) => {
            format!("to_char(({expression})::timestamp, 'YYYY-MM-DD')")
        }
        (Dialect::Mysql, Some(seconds)) => {
            format!("date_format(date_add('1970-01-01', INTERVAL {seconds} SECOND), '%Y-%m-%d')")
        }
        (Dialect::Mysql, None) => format!("date_format(({expression}), '%Y-%m-%d')"),
    })
}

/// Rows of a table: those of a key range, in the order of the key.
#[derive(Clone, Debug, Default)]
pub struct Page<'a> {
    /// Columns that are read.
    pub columns: &'a [String],
    /// The key's columns.
    pub key: &'a [String],
    /// Only keys above this.
    pub after: Option<&'a [String]>,
    /// Only keys up to this.
    pub up_to: Option<&'a [String]>,
    /// Only this key.
    pub is: Option<&'a [String]>,
    /// Most rows.
    pub limit: usize,
}

impl Page<'_> {
    /// The statement.
    #[must_use]
    pub fn sql(&self, table: &str) -> String {
        let names = |columns: &[String]| {
            let names: Vec<String> = columns.iter().map(|column| name(column)).collect();
            names.join(", ")
        };
        let key = names(self.key);
        let bound = |operator: &str, values: &[String]| {
            let values: Vec<String> = values.iter().map(|value| literal(value)).collect();
            format!("({key}) {operator} ({})", values.join(", "))
        };
        let bounds: Vec<String> = [(">", self.after), ("<=", self.up_to), ("=", self.is)]
            .into_iter()
            .filter_map(|(operator, values)| values.map(|values| bound(operator, values)))
            .collect();
        let filter = match bounds.as_slice() {
            [] => String::new(),
            bounds => format!(" WHERE {}", bounds.join(" AND ")),
        };
        format!(
            "SELECT {} FROM {}{filter} ORDER BY {key} LIMIT {}",
            names(self.columns),
            table_name(table),
            self.limit
        )
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn table(toml: &str) -> TableConfig {
        toml::from_str(toml).expect("a table")
    }

    #[track_caller]
    fn check(by: By, dialect: Dialect, fields: &str, expected: Expect) {
        let table = table(&format!("table = 'shop.likes'\nto = 'events'\n{fields}"));
        let sql = counts(&table, by, dialect).unwrap_or_else(|| "none".to_owned());
        expected.assert_eq(&sql);
    }

    #[test]
    fn counts_are_of_the_rows_that_count() {
        check(
            By::Table,
            Dialect::Postgres,
            "where = 'kind = 1'\ndeleted = 'deleted_at'",
            expect![[
                r#"SELECT '' AS g, count(*) AS n FROM "shop"."likes" WHERE (kind = 1) AND ((deleted_at) IS NULL OR (deleted_at)::text IN ('false', '0')) GROUP BY 1"#
            ]],
        );
        check(
            By::Day,
            Dialect::Postgres,
            "ts = 'created_at'",
            expect![[
                r#"SELECT to_char((created_at)::timestamp, 'YYYY-MM-DD') AS g, count(*) AS n FROM "shop"."likes" GROUP BY 1"#
            ]],
        );
        check(
            By::Day,
            Dialect::Mysql,
            "ts = 'epoch_ms(at_ms)'",
            expect![[
                r#"SELECT date_format(date_add('1970-01-01', INTERVAL floor((at_ms) / 1000.0) SECOND), '%Y-%m-%d') AS g, count(*) AS n FROM "shop"."likes" GROUP BY 1"#
            ]],
        );
        check(
            By::Day,
            Dialect::Mysql,
            "ts = 'coalesce(a, epoch_s(b))'",
            expect!["none"],
        );
        check(
            By::Item,
            Dialect::Mysql,
            "item = 'post_id'",
            expect![[
                r#"SELECT cast((post_id) AS char) AS g, count(*) AS n FROM "shop"."likes" GROUP BY 1"#
            ]],
        );
    }

    #[test]
    fn pages_quote_what_they_are_given() {
        let columns = ["id".to_owned(), "a\"b".to_owned()];
        let page = Page {
            columns: &columns,
            key: &columns[..1],
            after: Some(&["o'x".to_owned()]),
            limit: 10,
            ..Page::default()
        };
        expect![[r#"SELECT "id", "a""b" FROM "public"."t" WHERE ("id") > ('o''x') ORDER BY "id" LIMIT 10"#]]
            .assert_eq(&page.sql("public.t"));
    }
}
