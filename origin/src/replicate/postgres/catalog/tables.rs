//! The tables, their columns, keys and files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, Row};

use super::super::client::Server;
use super::super::error::PgError;
use super::super::identity::Mark;
use super::split;
use crate::replicate::mapping::Column;

/// A table, view or the like.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Its OID.
    pub oid: u32,
    /// `schema.name`.
    pub name: String,
    /// `r` table, `p` partitioned, `v` view ...
    pub kind: String,
    /// `p` permanent, `u` unlogged, `t` temporary.
    pub persistence: String,
    /// Replica identity: `d n f i`.
    pub identity: String,
    /// Whether it is a partition of another table.
    pub is_partition: bool,
    /// The tables that inherit from it and are no partitions, as `schema.name`.
    pub children: Vec<String>,
    /// Whether rows can be read.
    pub is_readable: bool,
    /// Whether the user owns it.
    pub is_own: bool,
    /// About how many rows it has.
    pub rows: u64,
    /// Its blocks, of the largest partition where it has partitions.
    pub blocks: u64,
    /// Whether row-level security keeps rows from the user.
    pub hides_rows: bool,
    /// The files of its rows, one a partition.
    pub files: Vec<File>,
    /// The tables or partitions among them that had no rows when they were last counted.
    pub empty: Vec<u32>,
    /// Its columns.
    pub columns: Vec<TableColumn>,
    /// The primary key's columns in order.
    pub primary_key: Vec<String>,
    /// The primary key's constraint, where it is DEFERRABLE.
    pub deferrable_key: Option<String>,
    /// The columns of the index that is its replica identity.
    pub identity_index: Vec<String>,
}

/// Where the rows of a table or of a partition are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// The table's or partition's OID.
    pub oid: u32,
    /// Its file, another one after each rewrite.
    pub file: u32,
}

/// A table's column.
#[derive(Clone, Debug, Default)]
pub struct TableColumn {
    /// Its name.
    pub name: String,
    /// Its type; a domain's base type.
    pub type_name: String,
    /// Whether it is NOT NULL.
    pub not_null: bool,
    /// Whether it is computed (and so not in the stream).
    pub is_generated: bool,
    /// What tells it from another of the same name.
    pub mark: Mark,
}

impl Table {
    /// The columns as a mapping binds to them: what the stream carries.
    #[must_use]
    pub fn mapping_columns(&self) -> Vec<Column> {
        let key = self.key();
        let stored = self.columns.iter().filter(|column| !column.is_generated);
        let column = |column: &TableColumn| Column {
            name: column.name.clone(),
            type_name: column.type_name.clone(),
            is_key: key.contains(&column.name),
            nullable: Some(!column.not_null),
        };
        stored.map(column).collect()
    }

    /// The key a mapping takes where it names none: the primary key.
    #[must_use]
    pub fn key(&self) -> &[String] {
        &self.primary_key
    }

    /// The columns that a delete brings.
    #[must_use]
    pub fn identity_columns(&self) -> Vec<String> {
        match self.identity.as_str() {
            // The server takes no DEFERRABLE key for it.
            "d" if self.deferrable_key.is_some() => Vec::new(),
            "d" => self.primary_key.clone(),
            "i" => self.identity_index.clone(),
            "f" => self
                .columns
                .iter()
                .map(|column| column.name.clone())
                .collect(),
            _ => Vec::new(),
        }
    }
}

/// What is wrong with following a table that others inherit from: a query of it has their rows,
/// the stream has them under their own names.
#[must_use]
pub fn inherited(table: &Table) -> Option<String> {
    let children = table.children.join(", ");
    (!children.is_empty()).then(|| {
        format!(
            "tables inherit from it ({children}): their rows change under their own names, so the \
             stream of {} lacks them",
            table.name
        )
    })
}

/// `$1` schemas and `$2` names, or every table where both are NULL; `$3` whether sizes are wanted,
/// which waits for whoever has a table locked. `pg_partition_tree` has no row for a table without
/// partitions.
const TABLES: &str = "
SELECT c.oid, n.nspname || '.' || c.relname, c.relkind::text, c.relpersistence::text,
  c.relreplident::text, c.relispartition, has_table_privilege(c.oid, 'SELECT'),
  pg_has_role(c.relowner, 'USAGE'),
  CASE WHEN $3::bool THEN coalesce((SELECT sum(greatest(p.reltuples, -1)::float8)::float8
    FROM pg_partition_tree(c.oid) t JOIN pg_class p ON p.oid = t.relid WHERE t.isleaf),
    c.reltuples::float8) ELSE 0 END AS tuples,
  CASE WHEN $3::bool THEN coalesce((SELECT max(pg_relation_size(t.relid))
    FROM pg_partition_tree(c.oid) t WHERE t.isleaf),
    CASE WHEN c.relkind = 'r' THEN pg_relation_size(c.oid) END, 0) ELSE 0 END
    / current_setting('block_size')::int8 AS blocks,
  row_security_active(c.oid),
  ARRAY(SELECT s.nspname || '.' || k.relname FROM pg_inherits i
    JOIN pg_class k ON k.oid = i.inhrelid JOIN pg_namespace s ON s.oid = k.relnamespace
    WHERE i.inhparent = c.oid AND NOT k.relispartition AND k.relpersistence <> 't' ORDER BY 1)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND CASE WHEN $1::text[] IS NULL
  THEN c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p'
    AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_toast'
  ELSE EXISTS (SELECT FROM unnest($1::text[], $2::text[]) w(s, r)
    WHERE w.s = n.nspname AND w.r = c.relname) END
ORDER BY 2 LIMIT 10000";

/// A domain's type is that of the last domain under it.
const COLUMNS: &str = "
SELECT a.attrelid, a.attname::text, (
  WITH RECURSIVE base(typname, typtype, typbasetype) AS (
    SELECT t.typname, t.typtype, t.typbasetype FROM pg_type t WHERE t.oid = a.atttypid
    UNION ALL
    SELECT t.typname, t.typtype, t.typbasetype FROM base b
    JOIN pg_type t ON b.typtype = 'd' AND t.oid = b.typbasetype)
  SELECT typname::text FROM base WHERE typtype <> 'd' LIMIT 1), a.attnotnull,
  a.attgenerated <> '', a.attnum, a.xmin::text::int8, a.atthasmissing
FROM pg_attribute a
WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum";

const KEYS: &str = "
SELECT i.indrelid, i.indisprimary, i.indisreplident, ARRAY(
  SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, at)
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
  WHERE k.at <= i.indnkeyatts ORDER BY k.at), i.indimmediate, c.relname::text
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = ANY ($1) AND (i.indisprimary OR i.indisreplident)";

/// Not `pg_partition_tree`: it waits for whoever has a partition locked.
const FILES: &str = "
WITH RECURSIVE tree(root, oid) AS (
  SELECT o, o FROM unnest($1::oid[]) o
  UNION ALL
  SELECT t.root, i.inhrelid FROM tree t JOIN pg_inherits i ON i.inhparent = t.oid
  JOIN pg_class c ON c.oid = i.inhrelid AND c.relispartition)
SELECT t.root, c.oid, c.relfilenode, c.reltuples <= 0
FROM tree t JOIN pg_class c ON c.oid = t.oid AND c.relkind = 'r' ORDER BY 1, 2";

/// Rows of a block where nothing was ever counted.
const ROWS_PER_BLOCK: u64 = 60;

/// The named tables (`schema.name`) by name, or all tables of users; absent ones are left out.
///
/// # Errors
///
/// The session failed.
pub async fn tables(
    server: &Server,
    client: &Client,
    names: Option<&[&str]>,
) -> Result<BTreeMap<String, Table>, PgError> {
    read_tables(server, client, names, true).await
}

/// The named tables without their sizes, so that no lock of others is waited for.
///
/// # Errors
///
/// The session failed.
pub async fn unsized_tables(
    server: &Server,
    client: &Client,
    names: &[&str],
) -> Result<BTreeMap<String, Table>, PgError> {
    read_tables(server, client, Some(names), false).await
}

async fn read_tables(
    server: &Server,
    client: &Client,
    names: Option<&[&str]>,
    with_sizes: bool,
) -> Result<BTreeMap<String, Table>, PgError> {
    let read = async {
        let pairs = names.map(|names| names.iter().map(|name| split(name)).unzip());
        let (schemas, relations): (Option<Vec<&str>>, Option<Vec<&str>>) = pairs.unzip();
        let rows = client
            .query(TABLES, &[&schemas, &relations, &with_sizes])
            .await?;
        let mut tables = BTreeMap::new();
        for row in rows {
            let table = table(&row)?;
            tables.insert(table.oid, table);
        }
        let oids: Vec<u32> = tables.keys().copied().collect();
        for row in client.query(COLUMNS, &[&oids]).await? {
            if let Some(table) = tables.get_mut(&row.try_get::<_, u32>(0)?) {
                table.columns.push(TableColumn {
                    name: row.try_get(1)?,
                    type_name: row.try_get(2)?,
                    not_null: row.try_get(3)?,
                    is_generated: row.try_get(4)?,
                    mark: Mark {
                        number: row.try_get(5)?,
                        version: row.try_get(6)?,
                        is_missing: row.try_get(7)?,
                    },
                });
            }
        }
        for row in client.query(KEYS, &[&oids]).await? {
            if let Some(table) = tables.get_mut(&row.try_get::<_, u32>(0)?) {
                let columns: Vec<String> = row.try_get(3)?;
                if row.try_get(1)? {
                    table.primary_key.clone_from(&columns);
                    let is_immediate: bool = row.try_get(4)?;
                    if !is_immediate {
                        table.deferrable_key = row.try_get(5)?;
                    }
                }
                if row.try_get(2)? {
                    table.identity_index = columns;
                }
            }
        }
        for row in client.query(FILES, &[&oids]).await? {
            if let Some(table) = tables.get_mut(&row.try_get::<_, u32>(0)?) {
                let file = file(&row)?;
                table.files.push(file);
                if row.try_get(3)? {
                    table.empty.push(file.oid);
                }
            }
        }
        Ok(tables
            .into_values()
            .map(|table| (table.name.clone(), table))
            .collect())
    };
    read.await.map_err(|error| server.error(&error))
}

/// The files of a table's rows, one a partition.
///
/// # Errors
///
/// The session failed.
pub async fn files(server: &Server, client: &Client, oid: u32) -> Result<Vec<File>, PgError> {
    let rows = client.query(FILES, &[&&[oid][..]]).await;
    let files = rows.and_then(|rows| rows.iter().map(file).collect());
    files.map_err(|error| server.error(&error))
}

fn file(row: &Row) -> Result<File, tokio_postgres::Error> {
    Ok(File {
        oid: row.try_get(1)?,
        file: row.try_get(2)?,
    })
}

fn table(row: &Row) -> Result<Table, tokio_postgres::Error> {
    let tuples: f64 = row.try_get(8)?;
    let blocks: i64 = row.try_get(9)?;
    let blocks = u64::try_from(blocks).unwrap_or_default();
    // -1 = nobody counted yet.
    let rows = if tuples > 0.0 {
        tuples as u64
    } else {
        blocks * ROWS_PER_BLOCK
    };
    Ok(Table {
        oid: row.try_get(0)?,
        name: row.try_get(1)?,
        kind: row.try_get(2)?,
        persistence: row.try_get(3)?,
        identity: row.try_get(4)?,
        is_partition: row.try_get(5)?,
        is_readable: row.try_get(6)?,
        is_own: row.try_get(7)?,
        hides_rows: row.try_get(10)?,
        children: row.try_get(11)?,
        rows,
        blocks,
        ..Table::default()
    })
}
