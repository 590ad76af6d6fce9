//! SQL that counts and reads a mapped table at its source.

use super::super::config::Target;
use super::super::mapping::{BoundTable, Slot};
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
    /// `reconcile::position`.
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
/// where the group cannot be said in SQL (then the table is counted as a whole). `from` is the
/// table as the source names it.
#[must_use]
pub fn counts(bound: &BoundTable, from: &str, by: By, dialect: Dialect) -> Option<String> {
    let to = bound.plan().target();
    let group = match by {
        By::Table => "''".to_owned(),
        By::Day => day(&bound.sql_value(time_field(to)?, dialect)?, dialect),
        By::Item => bound.sql_id(item_field(to)?, dialect)?,
    };
    let filter = match bound.sql_conditions(dialect)?.as_slice() {
        [] => String::new(),
        wanted => format!(" WHERE {}", wanted.join(" AND ")),
    };
    Some(format!(
        "SELECT {group} AS g, count(*) AS n FROM {from}{filter} GROUP BY 1"
    ))
}

/// The field whose day a row counts on.
fn time_field(target: Target) -> Option<Slot> {
    match target {
        Target::Items => Some(Slot::CreatedAt),
        Target::Follows => Some(Slot::Since),
        Target::Events => Some(Slot::Ts),
        Target::Users => None,
    }
}

/// The field that names the item a row counts for.
fn item_field(target: Target) -> Option<Slot> {
    match target {
        Target::Items => Some(Slot::Id),
        Target::Events => Some(Slot::Item),
        Target::Users | Target::Follows => None,
    }
}

/// The UTC day of a time.
fn day(time: &str, dialect: Dialect) -> String {
    match dialect {
        Dialect::Postgres => format!("to_char(({time})::timestamp, 'YYYY-MM-DD')"),
        Dialect::Mysql => format!("date_format({time}, '%Y-%m-%d')"),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::replicate::mapping::{Column, TablePlan};

    #[track_caller]
    fn check(by: By, dialect: Dialect, fields: &str, expected: Expect) {
        expected.assert_eq(&counted(by, dialect, fields));
    }

    #[track_caller]
    fn counted(by: By, dialect: Dialect, fields: &str) -> String {
        let text = format!(
            "table = 'shop.likes'\nto = 'events'\ntype = \"'like'\"\nuser = 'User'\n{fields}"
        );
        let text = match fields.contains("ts = ") {
            true => text,
            false => format!("{text}\nts = 'at'"),
        };
        let plan = TablePlan::compile(&toml::from_str(&text).expect("a table")).expect("a plan");
        let columns = [
            ("Id", "bigint"),
            ("User", "int"),
            ("Title", "text"),
            ("at", "timestamp"),
            ("at_ms", "bigint"),
            ("deleted_at", "timestamp"),
            ("hidden", "boolean"),
            ("kind", "int"),
            ("price", "numeric(10,2)"),
            ("raw", "bytea"),
        ];
        let columns = columns.map(|(name, of)| Column {
            name: name.to_owned(),
            type_name: of.to_owned(),
            is_key: name == "Id",
            nullable: None,
        });
        let bound = plan.bind(&columns).expect("bound");
        let sql = counts(&bound, &table_name("shop.likes"), by, dialect);
        sql.unwrap_or_else(|| "none".to_owned())
    }

    #[test]
    fn counts_are_of_the_rows_that_count() {
        check(
            By::Table,
            Dialect::Postgres,
            "where = 'kind = 1'\ndeleted = 'deleted_at'",
            expect![[
                r#"SELECT '' AS g, count(*) AS n FROM "shop"."likes" WHERE ("kind" = 1) AND ("deleted_at" IS NULL OR (("deleted_at")::text LIKE '0000-00-00%')) GROUP BY 1"#
            ]],
        );
        check(
            By::Day,
            Dialect::Postgres,
            "",
            expect![[
                r#"SELECT to_char(("at")::timestamp, 'YYYY-MM-DD') AS g, count(*) AS n FROM "shop"."likes" GROUP BY 1"#
            ]],
        );
        check(
            By::Day,
            Dialect::Mysql,
            "ts = 'epoch_ms(at_ms)'",
            expect![[
                r#"SELECT date_format((CASE WHEN (cast("at_ms" AS decimal(65)) / 1000.0) BETWEEN 0 AND 253402300799 THEN date_add('1970-01-01', INTERVAL floor((cast("at_ms" AS decimal(65)) / 1000.0)) SECOND) END), '%Y-%m-%d') AS g, count(*) AS n FROM "shop"."likes" GROUP BY 1"#
            ]],
        );
        check(
            By::Day,
            Dialect::Postgres,
            "ts = 'coalesce(at, epoch_s(at_ms))'",
            expect![[
                r#"SELECT to_char((coalesce("at", (CASE WHEN (("at_ms")::numeric / 1.0) BETWEEN 0 AND 253402300799 THEN to_timestamp((("at_ms")::numeric / 1.0)) END)))::timestamp, 'YYYY-MM-DD') AS g, count(*) AS n FROM "shop"."likes" GROUP BY 1"#
            ]],
        );
        check(
            By::Item,
            Dialect::Mysql,
            "item = 'id'",
            expect![[
                r#"SELECT cast(("Id") AS char) AS g, count(*) AS n FROM "shop"."likes" GROUP BY 1"#
            ]],
        );
    }

    #[test]
    fn items_are_told_apart_by_their_bytes() {
        for (dialect, item, group) in [
            (Dialect::Postgres, "raw", r#"encode("raw", 'hex')"#),
            (Dialect::Mysql, "raw", r#"lower(hex("raw"))"#),
            (Dialect::Postgres, "title", r#"("Title")::text COLLATE "C""#),
            (
                Dialect::Mysql,
                "title",
                r#"cast(convert(cast(("Title") AS char) USING utf8mb4) AS binary)"#,
            ),
        ] {
            let sql = counted(By::Item, dialect, &format!("item = '{item}'"));
            let expected =
                format!(r#"SELECT {group} AS g, count(*) AS n FROM "shop"."likes" GROUP BY 1"#);
            assert_eq!(sql, expected);
        }
    }

    #[test]
    fn names_are_as_the_table_spells_them_and_text_is_compared_by_its_bytes() {
        for dialect in [Dialect::Postgres, Dialect::Mysql] {
            let expected = match dialect {
                Dialect::Postgres => expect![[
                    r#"SELECT ("Id")::text AS g, count(*) AS n FROM "shop"."likes" WHERE (("Title")::text COLLATE "C" <> 'x''y' COLLATE "C") GROUP BY 1"#
                ]],
                Dialect::Mysql => expect![[
                    r#"SELECT cast(("Id") AS char) AS g, count(*) AS n FROM "shop"."likes" WHERE (cast(convert(cast(("Title") AS char) USING utf8mb4) AS binary) <> cast(convert('x''y' USING utf8mb4) AS binary)) GROUP BY 1"#
                ]],
            };
            check(
                By::Item,
                dialect,
                "item = 'ID'\nwhere = \"Title <> 'x''y'\"",
                expected,
            );
        }
    }

    #[test]
    fn no_row_makes_the_statement_fail_where_the_mapping_only_refuses_the_row() {
        for (filter, postgres, mysql) in [
            (
                "kind / user > 2",
                expect![[
                    r#"SELECT '' AS g, count(*) AS n FROM "shop"."likes" WHERE (div(("kind")::numeric, nullif(("User")::numeric, 0)) > 2) GROUP BY 1"#
                ]],
                expect![[
                    r#"SELECT '' AS g, count(*) AS n FROM "shop"."likes" WHERE ((cast("kind" AS decimal(65)) DIV nullif(cast("User" AS decimal(65)), 0)) > 2) GROUP BY 1"#
                ]],
            ),
            (
                "kind * 1000000000 > 5",
                expect![[
                    r#"SELECT '' AS g, count(*) AS n FROM "shop"."likes" WHERE ((("kind")::numeric * (1000000000)::numeric) > 5) GROUP BY 1"#
                ]],
                expect![[
                    r#"SELECT '' AS g, count(*) AS n FROM "shop"."likes" WHERE ((cast("kind" AS decimal(65)) * cast(1000000000 AS decimal(65))) > 5) GROUP BY 1"#
                ]],
            ),
            (
                "cast(title as int) = 5",
                expect![[
                    r#"SELECT '' AS g, count(*) AS n FROM "shop"."likes" WHERE ((CASE WHEN ("Title")::text ~ '^ *[+-]?[0-9]+ *$' THEN (("Title")::text)::numeric END) = 5) GROUP BY 1"#
                ]],
                expect![[
                    r#"SELECT '' AS g, count(*) AS n FROM "shop"."likes" WHERE ((CASE WHEN cast(("Title") AS char) REGEXP '^ *[+-]?[0-9]+ *$' THEN cast(cast(("Title") AS char) AS decimal(65)) END) = 5) GROUP BY 1"#
                ]],
            ),
            (
                "title > 7",
                expect![[
                    r#"SELECT '' AS g, count(*) AS n FROM "shop"."likes" WHERE ((CASE WHEN ("Title")::text ~ '^ *[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)? *$' THEN (("Title")::text)::numeric END) > 7) GROUP BY 1"#
                ]],
                expect![[
                    r#"SELECT '' AS g, count(*) AS n FROM "shop"."likes" WHERE ((CASE WHEN cast(("Title") AS char) REGEXP '^ *[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)? *$' THEN (cast(("Title") AS char) + 0) END) > 7) GROUP BY 1"#
                ]],
            ),
            (
                "hidden = 0",
                expect![[
                    r#"SELECT '' AS g, count(*) AS n FROM "shop"."likes" WHERE ((CASE WHEN "hidden" THEN 1 WHEN NOT "hidden" THEN 0 END) = 0) GROUP BY 1"#
                ]],
                expect![[
                    r#"SELECT '' AS g, count(*) AS n FROM "shop"."likes" WHERE ((CASE WHEN ("hidden" <> 0) THEN 1 WHEN NOT ("hidden" <> 0) THEN 0 END) = 0) GROUP BY 1"#
                ]],
            ),
            (
                "hidden = 'no'",
                expect![[
                    r#"SELECT '' AS g, count(*) AS n FROM "shop"."likes" WHERE ("hidden" = FALSE) GROUP BY 1"#
                ]],
                expect![[
                    r#"SELECT '' AS g, count(*) AS n FROM "shop"."likes" WHERE (("hidden" <> 0) = FALSE) GROUP BY 1"#
                ]],
            ),
            (
                "not hidden and title like 'a_b%|'",
                expect![[
                    r#"SELECT '' AS g, count(*) AS n FROM "shop"."likes" WHERE ((NOT "hidden") AND (("Title")::text COLLATE "C" LIKE 'a_b%||' ESCAPE '|')) GROUP BY 1"#
                ]],
                expect![[
                    r#"SELECT '' AS g, count(*) AS n FROM "shop"."likes" WHERE ((NOT ("hidden" <> 0)) AND (convert(cast(("Title") AS char) USING utf8mb4) COLLATE utf8mb4_bin LIKE 'a_b%||' ESCAPE '|')) GROUP BY 1"#
                ]],
            ),
            (
                "case kind when 1 then price else null end between 1 and 2.5",
                expect![[
                    r#"SELECT '' AS g, count(*) AS n FROM "shop"."likes" WHERE (((CASE WHEN ("kind" = 1) THEN "price" ELSE NULL END) >= 1) AND ((CASE WHEN ("kind" = 1) THEN "price" ELSE NULL END) <= (2.5))) GROUP BY 1"#
                ]],
                expect![[
                    r#"SELECT '' AS g, count(*) AS n FROM "shop"."likes" WHERE (((CASE WHEN ("kind" = 1) THEN "price" ELSE NULL END) >= 1) AND ((CASE WHEN ("kind" = 1) THEN "price" ELSE NULL END) <= (2.5))) GROUP BY 1"#
                ]],
            ),
            (
                "kind in (1, 2) and title is not null",
                expect![[
                    r#"SELECT '' AS g, count(*) AS n FROM "shop"."likes" WHERE ((("kind" = 1) OR ("kind" = 2)) AND (NOT ("Title" IS NULL))) GROUP BY 1"#
                ]],
                expect![[
                    r#"SELECT '' AS g, count(*) AS n FROM "shop"."likes" WHERE ((("kind" = 1) OR ("kind" = 2)) AND (NOT ("Title" IS NULL))) GROUP BY 1"#
                ]],
            ),
        ] {
            let filter = format!("where = \"{filter}\"");
            check(By::Table, Dialect::Postgres, &filter, postgres);
            check(By::Table, Dialect::Mysql, &filter, mysql);
        }
    }
}
