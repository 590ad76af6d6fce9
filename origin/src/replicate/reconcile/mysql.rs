//! MySQL and MariaDB: counts come as text, pages typed, by the statements of the first copy.

use mysql_async::Value as Sql;
use mysql_async::prelude::Queryable;

use super::ReconcileError;
use super::source::{KeyPart, PageRow, Range, Shape, SourceTable, Visit, in_time, refused};
use crate::replicate::config::SourceConfig;
use crate::replicate::mapping::{BoundTable, Column};
use crate::replicate::mysql::catalog::{self, ColumnInfo, TableName, quote};
use crate::replicate::mysql::client::{Client, Target, TextRow};
use crate::replicate::mysql::page::{self, Key};
use crate::replicate::mysql::{MysqlError, missing};
use crate::replicate::value::{OwnedValue, Value};

/// A session.
pub(super) struct Session {
    client: Client,
}

impl Session {
    pub(super) async fn open(config: &SourceConfig) -> Result<Self, MysqlError> {
        let client = Target::new(config)?.connect().await?;
        Ok(Self { client })
    }

    pub(super) async fn set(&mut self, statements: &[&str]) -> Result<(), ReconcileError> {
        for sql in statements {
            let done = self.client.conn.query_drop(*sql).await;
            done.map_err(|error| refused(sql, error.to_string()))?;
        }
        Ok(())
    }

    pub(super) async fn table(
        &mut self,
        table: &str,
        wrong: impl Fn(String) -> ReconcileError,
        bind: impl Fn(&[Column]) -> Result<BoundTable, ReconcileError>,
    ) -> Result<SourceTable, ReconcileError> {
        let said = |error: MysqlError| wrong(error.to_string());
        let name = TableName::parse(table, self.client.target.database.as_deref());
        let name = name.map_err(said)?;
        let read = catalog::read(&mut self.client, &name).await.map_err(said)?;
        let read = read.ok_or_else(|| said(missing(&name)))?;
        let bound = bind(&read.mapping_columns())?;
        let infos = bound.sources().iter();
        let infos = infos.filter_map(|at| read.columns.get(*at).cloned());
        Ok(SourceTable {
            name: name.quoted(),
            shape: Shape::Mysql(infos.collect()),
            bound,
        })
    }

    pub(super) async fn each(
        &mut self,
        sql: &str,
        visit: &mut Visit<'_>,
    ) -> Result<(), ReconcileError> {
        let failed = |error: mysql_async::Error| refused(sql, error.to_string());
        let mut answer = self.client.conn.query_iter(sql).await.map_err(failed)?;
        while let Some(row) = answer.next().await.map_err(failed)? {
            let bytes = |value: Sql| match value {
                Sql::NULL => None,
                // The text protocol sends bytes for every type.
                Sql::Bytes(bytes) => Some(bytes),
                other => Some(other.as_sql(true).trim_matches('\'').as_bytes().to_vec()),
            };
            visit(row.unwrap().into_iter().map(bytes).collect())?;
        }
        Ok(())
    }

    pub(super) async fn page(
        &mut self,
        table: &SourceTable,
        range: Range<'_>,
    ) -> Result<Vec<PageRow>, ReconcileError> {
        let Shape::Mysql(infos) = &table.shape else {
            return Ok(Vec::new());
        };
        let key = key_infos(table, infos);
        let (sql, parameters) = statement(table, infos, &key, range);
        let asking = async {
            let rows = self
                .client
                .conn
                .exec::<mysql_async::Row, _, _>(&sql, parameters);
            rows.await.map_err(|error| refused(&sql, error.to_string()))
        };
        let rows = in_time(&sql, asking).await?;
        let row = |row: mysql_async::Row| {
            let row = TextRow::from(row);
            let values = row.values().iter().zip(infos);
            let values = values.map(|(value, info)| page::plain(value, info).to_owned());
            let parts = row.values().iter().skip(infos.len()).zip(&key);
            let parts = parts.map(|(value, info)| KeyPart::Typed(page::key(value, info)));
            PageRow {
                values: values.collect(),
                key: parts.collect(),
            }
        };
        Ok(rows.into_iter().map(row).collect())
    }
}

fn key_infos(table: &SourceTable, infos: &[ColumnInfo]) -> Vec<ColumnInfo> {
    let names = table.bound.key_columns().iter();
    let info = |name: &String| infos.iter().find(|info| info.name == *name).cloned();
    names.filter_map(info).collect()
}

/// The rows of a range: the mapped columns, then the key's.
fn statement(
    table: &SourceTable,
    infos: &[ColumnInfo],
    key: &[ColumnInfo],
    range: Range<'_>,
) -> (String, Vec<Sql>) {
    let names: Vec<String> = key.iter().map(|info| quote(&info.name)).collect();
    let marks: Vec<&str> = key.iter().map(page::placeholder).collect();
    let columns = infos
        .iter()
        .map(|info| page::select(&info.name, Some(info)));
    let columns: Vec<String> = columns.chain(key.iter().map(page::key_column)).collect();
    let mut filter: Vec<String> = names
        .iter()
        .map(|name| format!("{name} IS NOT NULL"))
        .collect();
    let mut parameters = Vec::new();
    if let Some(after) = range.after {
        filter.push(page::after(&names, &marks));
        parameters.extend(page::parameters(&keys(after)));
    }
    if let Some(up_to) = range.up_to {
        filter.push(page::up_to(&names, &marks));
        parameters.extend(page::parameters(&keys(up_to)));
    }
    if let Some(is) = range.is {
        let equal = names.iter().zip(&marks);
        filter.extend(equal.map(|(name, mark)| format!("{name} = {mark}")));
        parameters.extend(keys(is).iter().map(Key::to_sql));
    }
    let sql = format!(
        "SELECT {} FROM {} WHERE {} ORDER BY {} LIMIT {}",
        columns.join(", "),
        table.name,
        filter.join(" AND "),
        names.join(", "),
        range.limit
    );
    (sql, parameters)
}

fn keys(parts: &[KeyPart]) -> Vec<Key> {
    let key = |part: &KeyPart| match part {
        KeyPart::Typed(key) => key.clone(),
        KeyPart::Text(bytes) => Key::Bytes(bytes.clone()),
    };
    parts.iter().map(key).collect()
}

/// A key column's text as people write it, as if it had been read: binary is hexadecimal.
pub(super) fn typed(
    text: &str,
    info: Option<&ColumnInfo>,
) -> Result<(KeyPart, OwnedValue), String> {
    let info = info.ok_or("is of no column")?;
    let value = match info.data_type.as_str() {
        "bit" => {
            let number: u64 = text.parse().map_err(|_| "is not a whole number")?;
            Sql::Bytes(number.to_be_bytes().to_vec())
        }
        "float" => Sql::Float(text.parse().map_err(|_| "is not a number")?),
        "double" => Sql::Double(text.parse().map_err(|_| "is not a number")?),
        _ if info.is_integer() || info.data_type == "year" => {
            let signed = text.parse().map(Sql::Int);
            let number = signed.or_else(|_| text.parse().map(Sql::UInt));
            number.map_err(|_| "is not a whole number")?
        }
        _ if page::is_binary(info) => Sql::Bytes(
            unhex(text).ok_or("is not in hexadecimal digits, as binary keys are written")?,
        ),
        _ => Sql::Bytes(text.as_bytes().to_vec()),
    };
    let plain: Value<'_> = page::plain(&value, info);
    Ok((KeyPart::Typed(page::key(&value, info)), plain.to_owned()))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let is_hex = digits.iter().all(u8::is_ascii_hexdigit) && digits.len().is_multiple_of(2);
    is_hex.then(|| digits.chunks(2).map_while(byte).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_typed_as_its_column_is() {
        let of = |data_type: &str, text: &str| {
            let info = ColumnInfo {
                name: "k".to_owned(),
                data_type: data_type.to_owned(),
                column_type: data_type.to_owned(),
                nullable: false,
                charset: None,
                octets: None,
                precision: None,
                scale: None,
                is_key: true,
                is_stale: false,
            };
            typed(text, Some(&info))
        };
        let key = |key| KeyPart::Typed(key);
        assert_eq!(
            of("bigint", "7"),
            Ok((key(Key::Int(7)), OwnedValue::Int(7)))
        );
        assert_eq!(of("bit", "1"), Ok((key(Key::Uint(1)), OwnedValue::Uint(1))));
        let binary = (
            key(Key::Bytes(vec![0xff, 0])),
            OwnedValue::Bytes(vec![0xff, 0]),
        );
        assert_eq!(of("binary", "FF00"), Ok(binary));
        for (data_type, text) in [
            ("binary", "xy"),
            ("binary", "abc"),
            ("int", "7x"),
            ("bit", ""),
        ] {
            assert!(of(data_type, text).is_err(), "{data_type} {text}");
        }
    }
}
