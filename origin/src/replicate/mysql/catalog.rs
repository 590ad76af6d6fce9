//! What the server's catalogue says about the mapped tables.

use super::client::{Client, TextRow};
use super::error::MysqlError;
use crate::replicate::mapping::Column;
use serde::{Deserialize, Serialize};

/// A column as `information_schema` describes it; kept in a checkpoint, because events of the
/// past need the table as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ColumnInfo {
    /// Name.
    pub(crate) name: String,
    /// `bigint`, `varchar`, … in lower case.
    pub(crate) data_type: String,
    /// `bigint(20) unsigned`, `enum('a','b')`, …
    pub(crate) column_type: String,
    /// Whether NULL is allowed.
    pub(crate) nullable: bool,
    /// Character set of text.
    pub(crate) charset: Option<String>,
    /// Longest text in bytes.
    pub(crate) octets: Option<u64>,
    /// Digits of a number.
    pub(crate) precision: Option<u64>,
    /// Digits after the point.
    pub(crate) scale: Option<u64>,
    /// Part of the primary key.
    pub(crate) is_key: bool,
    /// A statement has changed it, or added it, since the catalogue was asked.
    #[serde(default)]
    pub(crate) is_stale: bool,
}

impl ColumnInfo {
    /// Whether the column holds no negative numbers.
    pub(crate) fn is_unsigned(&self) -> bool {
        self.column_type.to_ascii_lowercase().contains("unsigned")
    }

    /// Whether its integers can be split into ranges.
    pub(crate) fn is_integer(&self) -> bool {
        matches!(
            self.data_type.as_str(),
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint"
        )
    }

    /// Labels of an ENUM or a SET.
    pub(crate) fn labels(&self) -> Vec<Box<str>> {
        labels(&self.column_type)
    }

    /// As the mapping wants to know it.
    pub(crate) fn to_column(&self) -> Column {
        let unsigned = if self.is_unsigned() { " unsigned" } else { "" };
        Column {
            name: self.name.clone(),
            type_name: format!("{}{unsigned}", self.data_type),
            is_key: self.is_key,
            nullable: Some(self.nullable),
        }
    }
}

/// `enum('a','it''s')` to its labels.
fn labels(column_type: &str) -> Vec<Box<str>> {
    let mut labels = Vec::new();
    let mut chars = column_type.chars().peekable();
    while let Some(char) = chars.next() {
        if char != '\'' {
            continue;
        }
        let mut label = String::new();
        while let Some(char) = chars.next() {
            match char {
                '\'' if chars.peek() == Some(&'\'') => {
                    chars.next();
                    label.push('\'');
                }
                '\'' => break,
                other => label.push(other),
            }
        }
        labels.push(label.into_boxed_str());
    }
    labels
}

/// An index over a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Index {
    /// Name; `PRIMARY` for the primary key.
    pub(crate) name: String,
    /// Whether its values are unique.
    pub(crate) unique: bool,
    /// Its columns in order.
    pub(crate) columns: Vec<String>,
}

/// A foreign key whose actions change this table without a trace in the binlog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cascade {
    /// Constraint.
    pub(crate) name: String,
    /// The table whose deletions reach this one.
    pub(crate) parent: String,
    /// `CASCADE` or `SET NULL`.
    pub(crate) rule: String,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// Database and name.
    pub(crate) name: TableName,
    /// `InnoDB`, …; empty for a view.
    pub(crate) engine: String,
    /// Columns in the table's order.
    pub(crate) columns: Vec<ColumnInfo>,
    /// Its indexes.
    pub(crate) indexes: Vec<Index>,
    /// Foreign keys that act behind the binlog's back.
    pub(crate) cascades: Vec<Cascade>,
}

impl Table {
    /// The primary key's columns; empty where there is none.
    pub(crate) fn primary_key(&self) -> &[String] {
        self.indexes
            .iter()
            .find(|i| i.name == "PRIMARY")
            .map_or(&[], |i| &i.columns)
    }

    /// A column by its name, which has no case in MySQL.
    pub(crate) fn column(&self, name: &str) -> Option<&ColumnInfo> {
        self.columns
            .iter()
            .find(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// Columns as the mapping wants to know them.
    pub(crate) fn mapping_columns(&self) -> Vec<Column> {
        self.columns.iter().map(ColumnInfo::to_column).collect()
    }
}

/// A table's name with its database.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TableName {
    /// Database.
    pub(crate) schema: String,
    /// Table.
    pub(crate) table: String,
}

impl TableName {
    /// Reads `shop.posts`, or `posts` in the URL's database.
    pub(crate) fn parse(text: &str, database: Option<&str>) -> Result<Self, MysqlError> {
        let plain = text.replace('`', "");
        match (plain.split_once('.'), database) {
            (Some((schema, table)), _) => Ok(Self {
                schema: schema.to_owned(),
                table: table.to_owned(),
            }),
            (None, Some(schema)) => Ok(Self {
                schema: schema.to_owned(),
                table: plain,
            }),
            (None, None) => Err(MysqlError::Table {
                table: text.to_owned(),
                problem: "its database is not known".to_owned(),
                remedy: "write database.table in the mapping, or a database in the URL".to_owned(),
            }),
        }
    }

    /// With backquotes, for statements.
    pub(crate) fn quoted(&self) -> String {
        format!("{}.{}", quote(&self.schema), quote(&self.table))
    }
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

/// An identifier in backquotes.
pub(crate) fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

const COLUMNS: &str = "SELECT COLUMN_NAME, LOWER(DATA_TYPE), COLUMN_TYPE, IS_NULLABLE, \
    CHARACTER_SET_NAME, CHARACTER_OCTET_LENGTH, NUMERIC_PRECISION, NUMERIC_SCALE, COLUMN_KEY \
    FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? \
    ORDER BY ORDINAL_POSITION";

const INDEXES: &str = "SELECT INDEX_NAME, NON_UNIQUE, COLUMN_NAME \
    FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? \
    ORDER BY INDEX_NAME, SEQ_IN_INDEX";

const CASCADES: &str = "SELECT CONSTRAINT_NAME, REFERENCED_TABLE_NAME, DELETE_RULE, UPDATE_RULE \
    FROM information_schema.REFERENTIAL_CONSTRAINTS \
    WHERE CONSTRAINT_SCHEMA = ? AND TABLE_NAME = ?";

const TABLE: &str = "SELECT ENGINE FROM information_schema.TABLES \
    WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?";

/// Reads a table; `None` where it does not exist or the user may not see it.
pub(crate) async fn read(
    client: &mut Client,
    name: &TableName,
) -> Result<Option<Table>, MysqlError> {
    let of = || vec![name.schema.as_str().into(), name.table.as_str().into()];
    let Some(table) = client.rows(TABLE, of()).await?.into_iter().next() else {
        return Ok(None);
    };
    let columns = client
        .rows(COLUMNS, of())
        .await?
        .iter()
        .map(column)
        .collect();
    let mut indexes: Vec<Index> = Vec::new();
    for row in client.rows(INDEXES, of()).await? {
        let (index, column) = (row.text(0), row.text(2));
        match indexes.last_mut() {
            Some(last) if last.name == index => last.columns.push(column),
            _ => indexes.push(Index {
                name: index,
                unique: row.number(1) == Some(0),
                columns: vec![column],
            }),
        }
    }
    let cascades = client
        .rows(CASCADES, of())
        .await?
        .iter()
        .filter_map(cascade)
        .collect();
    let engine = table.text(0);
    Ok(Some(Table {
        name: name.clone(),
        engine,
        columns,
        indexes,
        cascades,
    }))
}

fn column(row: &TextRow) -> ColumnInfo {
    ColumnInfo {
        name: row.text(0),
        data_type: row.text(1),
        column_type: row.text(2),
        nullable: row.text(3).eq_ignore_ascii_case("yes"),
        charset: row.maybe(4),
        octets: row.number(5),
        precision: row.number(6),
        scale: row.number(7),
        is_key: row.text(8) == "PRI",
        is_stale: false,
    }
}

fn cascade(row: &TextRow) -> Option<Cascade> {
    let acts = |rule: &str| matches!(rule, "CASCADE" | "SET NULL" | "SET DEFAULT");
    let rule = [row.text(2), row.text(3)]
        .into_iter()
        .find(|rule| acts(rule))?;
    Some(Cascade {
        name: row.text(0),
        parent: row.text(1),
        rule,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_their_quotes_and_commas() {
        let of = |text: &str| {
            labels(text)
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(of("enum('a','it''s','x,y','')"), ["a", "it's", "x,y", ""]);
        assert_eq!(of("int(11)"), Vec::<String>::new());
    }

    #[test]
    fn a_table_needs_a_database() {
        let name = TableName::parse("shop.posts", None).unwrap();
        assert_eq!(name.quoted(), "`shop`.`posts`");
        assert_eq!(TableName::parse("posts", Some("shop")).unwrap(), name);
        assert!(
            TableName::parse("posts", None)
                .unwrap_err()
                .to_string()
                .contains("database")
        );
    }
}
