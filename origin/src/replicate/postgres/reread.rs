//! Reads a row from its table again, where the stream leaves out columns that did not change.

use std::time::Duration;

use tokio_postgres::SimpleQueryMessage;

use super::check::sql_name;
use super::client::Server;
use super::error::PgError;
use super::ident::ident;
use super::pool::Pool;
use super::position::Lsn;
use super::tables::Bound;

/// How long such a read may take.
const READ_MAX: Duration = Duration::from_secs(35);

/// A row's columns as text, in the mapping's order.
pub(super) type Row = Vec<Option<String>>;

/// The row with this key, where it is still there, and where the server's log ended then.
///
/// # Errors
///
/// The session failed.
pub(super) async fn read_again(
    server: &Server,
    pool: &Pool,
    table: &Bound,
    values: &[String],
) -> Result<(Option<Row>, Lsn), PgError> {
    let sql = statement(
        table.bound.columns(),
        table.bound.key_columns(),
        &table.table,
        values,
    );
    let Some(sql) = sql else {
        return Ok((None, Lsn(0)));
    };
    let reading = async {
        let session = pool.session().await?;
        // Text as the stream has it: the simple protocol uses the same output functions.
        let found = session.simple_query(&sql).await;
        found.map_err(|error| server.error(&error))
    };
    let late = |_| PgError::Timeout(format!("a row of table {} was read", table.table));
    let messages = tokio::time::timeout(READ_MAX, reading)
        .await
        .map_err(late)??;
    let mut row = None;
    let mut end = Lsn(0);
    for message in messages {
        let SimpleQueryMessage::Row(found) = message else {
            continue;
        };
        match found
            .columns()
            .first()
            .map(tokio_postgres::SimpleColumn::name)
        {
            Some("edgewise_log_end") => {
                let text = found.try_get(0).map_err(|error| server.error(&error))?;
                end = text.and_then(|text| text.parse().ok()).unwrap_or_default();
            }
            _ => {
                // Text that is not UTF-8 counts as missing: the mapping refuses what it needs.
                let text = |index| found.try_get(index).ok().flatten().map(str::to_owned);
                row = Some((0..found.len()).map(text).collect());
            }
        }
    }
    Ok((row, end))
}

/// The row first, then the log's end: the end is never before the row.
fn statement(columns: &[String], key: &[String], table: &str, values: &[String]) -> Option<String> {
    if key.is_empty() || key.len() != values.len() {
        return None;
    }
    let columns: Vec<String> = columns.iter().map(|name| ident(name)).collect();
    let quoted = |value: &String| format!("'{}'", value.replace('\'', "''"));
    let equal = key
        .iter()
        .zip(values)
        .map(|(name, value)| format!("{} = {}", ident(name), quoted(value)));
    Some(format!(
        "SELECT {} FROM {} WHERE {} LIMIT 1; SELECT CASE WHEN pg_is_in_recovery() \
         THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS edgewise_log_end",
        columns.join(", "),
        sql_name(table),
        equal.collect::<Vec<_>>().join(" AND "),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_found_by_its_whole_key_and_text_cannot_leave_its_quotes() {
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let sql = statement(
            &names(&["id", "Title"]),
            &names(&["id", "lang"]),
            "public.posts",
            &names(&["7", "o'x"]),
        );
        let sql = sql.expect("a key");
        let expected =
            "SELECT id, \"Title\" FROM public.posts WHERE id = '7' AND lang = 'o''x' LIMIT 1;";
        assert!(sql.starts_with(expected), "{sql}");
        assert_eq!(
            statement(&names(&["id"]), &names(&["id"]), "public.posts", &[]),
            None
        );
    }
}
