//! What a server's catalogue says: settings, rights, tables, publication, slot.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio_postgres::types::PgLsn;
use tokio_postgres::{Client, Row};

use super::client::Server;
use super::error::PgError;
use super::identity::Mark;
use super::position::Lsn;
use crate::replicate::mapping::Column;

/// Oldest server that is followed, as `server_version_num`.
pub const VERSION_MIN: i32 = 140_000;
/// First server whose publications take schemas.
const SCHEMAS_VERSION: i32 = 150_000;

/// Settings and rights.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// `server_version`.
    pub version: String,
    /// `server_version_num`.
    pub version_num: i32,
    /// `wal_level`.
    pub wal_level: String,
    /// `max_replication_slots`.
    pub slots_max: i64,
    /// Slots there are.
    pub slots: i64,
    /// `max_wal_senders`.
    pub senders_max: i64,
    /// Walsenders that run.
    pub senders: i64,
    /// `max_slot_wal_keep_size`, MB; -1 = no limit.
    pub slot_keep_mb: i64,
    /// Whether the server replays another's log.
    pub is_replica: bool,
    /// Whether the user may replicate.
    pub may_replicate: bool,
    /// Whether the user may create a publication in this database.
    pub may_create: bool,
    /// The database's encoding.
    pub encoding: String,
    /// The role the session has.
    pub user: String,
    /// Whether its transactions may not write (`default_transaction_read_only`).
    pub is_read_only: bool,
}

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

/// A publication.
#[derive(Clone, Debug, Default)]
pub struct Publication {
    /// Whether it is of all tables.
    pub all_tables: bool,
    /// What it leaves out of insert, update, delete, truncate.
    pub missing: Vec<&'static str>,
    /// Whether partitions' rows come under the parent's name.
    pub via_root: bool,
    /// Whether the user owns it.
    pub is_own: bool,
    /// Its tables.
    pub tables: BTreeMap<String, PublishedTable>,
}

/// A table of a publication.
#[derive(Clone, Debug, Default)]
pub struct PublishedTable {
    /// The columns it publishes; none = all.
    pub columns: Option<Vec<String>>,
    /// The rows it publishes, as SQL; none = all.
    pub filter: Option<String>,
    /// The OID of what puts it there: of the table's or schema's membership, or of a publication
    /// of all tables. A table that leaves and comes back gets another.
    pub membership: u32,
}

/// A replication slot.
#[derive(Clone, Debug, Default)]
pub struct Slot {
    /// Its plug-in; empty for a physical one.
    pub plugin: String,
    /// Its database.
    pub database: String,
    /// Who uses it.
    pub active_pid: Option<i32>,
    /// `reserved extended unreserved lost`.
    pub wal_status: String,
    /// Why it is invalid, where it is.
    pub invalidation: Option<String>,
    /// Bytes that can be written until it is in danger.
    pub safe_wal_bytes: Option<i64>,
    /// Bytes it keeps from being removed.
    pub retained_bytes: Option<i64>,
    /// Up to where it was acknowledged.
    pub confirmed: Lsn,
    /// Where the server's log ends.
    pub end: Lsn,
}

impl Slot {
    /// Whether changes are lost for it.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.wal_status == "lost" || self.invalidation.is_some()
    }
}

const FACTS: &str = "
SELECT current_setting('server_version'),
  current_setting('server_version_num')::int4,
  current_setting('wal_level'),
  current_setting('max_replication_slots')::int8,
  (SELECT count(*) FROM pg_replication_slots),
  current_setting('max_wal_senders')::int8,
  (SELECT count(*) FROM pg_stat_replication),
  (SELECT setting::int8 FROM pg_settings WHERE name = 'max_slot_wal_keep_size'),
  pg_is_in_recovery(),
  coalesce((SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user), false)
    OR EXISTS (SELECT FROM pg_roles WHERE rolname IN ('rds_replication', 'cloudsqlsuperuser',
      'azure_pg_admin') AND pg_has_role(oid, 'MEMBER')),
  has_database_privilege(current_database(), 'CREATE'),
  current_setting('server_encoding'), current_user::text,
  current_setting('default_transaction_read_only')::bool";

/// Settings and rights.
///
/// # Errors
///
/// The session failed.
pub async fn facts(server: &Server, client: &Client) -> Result<Facts, PgError> {
    let row = client.query_one(FACTS, &[]).await;
    let read = |row: &Row| -> Result<Facts, tokio_postgres::Error> {
        Ok(Facts {
            version: row.try_get(0)?,
            version_num: row.try_get(1)?,
            wal_level: row.try_get(2)?,
            slots_max: row.try_get(3)?,
            slots: row.try_get(4)?,
            senders_max: row.try_get(5)?,
            senders: row.try_get(6)?,
            slot_keep_mb: row.try_get::<_, Option<i64>>(7)?.unwrap_or(-1),
            is_replica: row.try_get(8)?,
            may_replicate: row.try_get(9)?,
            may_create: row.try_get(10)?,
            encoding: row.try_get(11)?,
            user: row.try_get(12)?,
            is_read_only: row.try_get(13)?,
        })
    };
    row.and_then(|row| read(&row))
        .map_err(|error| server.error(&error))
}

/// Prepared transactions of every database as `'gid' of database`, the oldest first.
const PREPARED: &str = "
SELECT quote_literal(gid) || ' of database ' || database FROM pg_prepared_xacts
ORDER BY prepared LIMIT 10";

/// The oldest transactions that were prepared and not ended, as people name them.
///
/// # Errors
///
/// The session failed.
pub async fn prepared(server: &Server, client: &Client) -> Result<Vec<String>, PgError> {
    let rows = client.query(PREPARED, &[]).await;
    let named = rows.and_then(|rows| rows.iter().map(|row| row.try_get(0)).collect());
    named.map_err(|error| server.error(&error))
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
    WHERE i.inhparent = c.oid AND NOT k.relispartition ORDER BY 1)
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

/// Schema and name of `schema.name`; `public` where it has no schema.
#[must_use]
pub fn split(name: &str) -> (&str, &str) {
    name.split_once('.').unwrap_or(("public", name))
}

/// Whether a table (`schema.name`) is the server's own.
#[must_use]
pub fn is_of_system(name: &str) -> bool {
    let (schema, _) = split(name);
    matches!(schema, "pg_catalog" | "information_schema") || schema.starts_with("pg_toast")
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

/// A table's name as the catalogue and the stream give it.
#[must_use]
pub fn full_name(name: &str) -> String {
    let (schema, relation) = split(name);
    format!("{schema}.{relation}")
}

const PUBLICATION: &str = "
SELECT puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot,
  pg_has_role(pubowner, 'USAGE'), current_setting('server_version_num')::int4
FROM pg_publication WHERE pubname = $1";

/// Row filters, column lists and schemas came with 15. Without a list of its own a table is
/// published with whatever columns it has: naming those here would race with a change of the
/// table.
fn published_sql(version_num: i32) -> String {
    let schema = if version_num >= SCHEMAS_VERSION {
        "(SELECT s.oid FROM pg_publication_namespace s WHERE s.pnpubid = o.oid AND s.pnnspid = n.oid)"
    } else {
        "NULL::oid"
    };
    format!(
        "SELECT p.schemaname || '.' || p.tablename, to_jsonb(p) ->> 'rowfilter',
  CASE WHEN to_jsonb(r) ->> 'prattrs' IS NOT NULL
    THEN ARRAY(SELECT jsonb_array_elements_text(to_jsonb(p) -> 'attnames')) END,
  coalesce(r.oid, {schema}, o.oid)
FROM pg_publication_tables p JOIN pg_publication o ON o.pubname = p.pubname
JOIN pg_namespace n ON n.nspname = p.schemaname
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
LEFT JOIN pg_publication_rel r ON r.prpubid = o.oid AND r.prrelid = c.oid
WHERE p.pubname = $1"
    )
}

/// The server's publication.
///
/// # Errors
///
/// The session failed.
pub async fn publication(server: &Server, client: &Client) -> Result<Option<Publication>, PgError> {
    let name = &server.publication;
    let read = async {
        let Some(row) = client.query_opt(PUBLICATION, &[name]).await? else {
            return Ok(None);
        };
        let mut missing = Vec::new();
        for (index, operation) in ["insert", "update", "delete", "truncate"]
            .into_iter()
            .enumerate()
        {
            if !row.try_get::<_, bool>(index + 1)? {
                missing.push(operation);
            }
        }
        let mut tables = BTreeMap::new();
        let sql = published_sql(row.try_get(7)?);
        for row in client.query(&sql, &[name]).await? {
            let published = PublishedTable {
                filter: row.try_get(1)?,
                columns: row.try_get(2)?,
                membership: row.try_get(3)?,
            };
            tables.insert(row.try_get(0)?, published);
        }
        Ok(Some(Publication {
            all_tables: row.try_get(0)?,
            missing,
            via_root: row.try_get(5)?,
            is_own: row.try_get(6)?,
            tables,
        }))
    };
    read.await
        .map_err(|error: tokio_postgres::Error| server.error(&error))
}

const SLOT: &str = "
SELECT coalesce(plugin, '')::text, coalesce(database, '')::text, active_pid,
  coalesce(wal_status, 'lost'), nullif(coalesce(to_jsonb(s) ->> 'invalidation_reason',
    CASE WHEN to_jsonb(s) ->> 'conflicting' = 'true' THEN 'conflicting' END), ''),
  safe_wal_size, pg_wal_lsn_diff(now.lsn, restart_lsn)::int8, confirmed_flush_lsn, now.lsn
FROM pg_replication_slots s, (SELECT CASE WHEN pg_is_in_recovery()
  THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS lsn) now
WHERE slot_name = $1";

/// The source's slot.
///
/// # Errors
///
/// The session failed.
pub async fn slot(server: &Server, client: &Client) -> Result<Option<Slot>, PgError> {
    let row = client.query_opt(SLOT, &[&server.slot]).await;
    let lsn = |lsn: Option<PgLsn>| Lsn(lsn.map(u64::from).unwrap_or_default());
    let read = |row: &Row| -> Result<Slot, tokio_postgres::Error> {
        Ok(Slot {
            plugin: row.try_get(0)?,
            database: row.try_get(1)?,
            active_pid: row.try_get(2)?,
            wal_status: row.try_get(3)?,
            invalidation: row.try_get(4)?,
            safe_wal_bytes: row.try_get(5)?,
            retained_bytes: row.try_get(6)?,
            confirmed: lsn(row.try_get(7)?),
            end: lsn(row.try_get(8)?),
        })
    };
    let slot = row.and_then(|row| row.map(|row| read(&row)).transpose());
    slot.map_err(|error| server.error(&error))
}
