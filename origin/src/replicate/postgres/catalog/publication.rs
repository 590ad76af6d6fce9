//! The publication: which tables, columns and rows it sends.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use super::super::client::Server;
use super::super::error::PgError;

/// First server whose publications take schemas.
const SCHEMAS_VERSION: i32 = 150_000;

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
