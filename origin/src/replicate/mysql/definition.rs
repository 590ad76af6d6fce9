//! What a definition statement does to tables: which it takes away or puts in another's place,
//! and which columns it changes so that rows have other values without an event of theirs.
//!
//! A table that is not followed may be named; what cannot be read says so, and every followed
//! table that it names then stops.

use super::catalog::ColumnInfo;
use super::column_type::ColumnType;
use super::edits::{self, Edit};
use super::words::{Reader, Word, is_same};

/// A table as a statement names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// Its database, where the statement names one.
    pub(super) schema: Option<String>,
    /// Its name.
    pub(super) table: String,
}

impl Named {
    /// Whether this is that table, in a session whose database is `session`.
    pub(super) fn is(&self, session: &str, schema: &str, table: &str) -> bool {
        let named = self.schema.as_deref().unwrap_or(session);
        is_same(&self.table, table) && is_same(named, schema)
    }
}

/// What a statement does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Definition {
    /// These names mean another table afterwards, or none.
    pub(super) moved: Vec<(Named, Moved)>,
    /// This database is dropped.
    pub(super) database: Option<String>,
    /// This table's columns change.
    pub(super) altered: Option<(Named, Vec<Change>)>,
    /// How its columns stand afterwards.
    pub(super) edits: Vec<Edit>,
    /// It cannot be read.
    pub(super) is_unclear: bool,
}

/// Why a name does not mean the same table any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// It was dropped.
    Dropped,
    /// It was dropped and made anew.
    Replaced,
    /// It has another name.
    Renamed,
    /// Another table has taken its name.
    Taken,
}

impl Moved {
    /// In words that follow the statement.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Dropped => "took the table away",
            Self::Replaced => "put another table in this one's place",
            Self::Renamed => "gave the table another name",
            Self::Taken => "gave this name to another table",
        }
    }
}

/// A change of a table's columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A column is gone.
    Drop(String),
    /// A column has another name.
    Rename(String, String),
    /// A column has another type; `None` where its values are computed or cannot be told.
    Modify(String, Option<ColumnType>),
    /// Rows are told apart by other columns.
    DropPrimaryKey,
    /// Text is kept in a character set that may not have all of it.
    Convert,
    /// What this part does cannot be told.
    Unclear(String),
}

impl Change {
    /// Why an entry that reads these columns cannot go on, in words that follow the statement;
    /// `None` where it can.
    pub(super) fn harms(
        &self,
        reads: &[String],
        is_by_primary_key: bool,
        known: &[ColumnInfo],
        is_strict: bool,
    ) -> Option<String> {
        let is_read = |column: &String| reads.iter().any(|name| is_same(column, name));
        match self {
            Self::Drop(column) if is_read(column) => {
                Some(format!("dropped column {column}, which is mapped"))
            }
            Self::Rename(from, to) if is_read(from) => Some(format!(
                "gave column {from}, which is mapped, the name {to}"
            )),
            Self::Rename(from, to) if is_read(to) => {
                Some(format!("gave column {from} the name {to}, which is mapped"))
            }
            Self::Modify(column, to) if is_read(column) => {
                let old = known.iter().find(|info| is_same(column, &info.name));
                let is_kept = to
                    .as_ref()
                    .zip(old)
                    .is_some_and(|(to, old)| to.keeps(old, is_strict));
                (!is_kept).then(|| {
                    format!(
                        "changed the type of column {column}, which is mapped: rows may have \
                         other values, without an event that tells them"
                    )
                })
            }
            Self::DropPrimaryKey if is_by_primary_key => {
                Some("dropped the primary key, by which rows are told apart".to_owned())
            }
            Self::Convert => Some("may change text, without an event that tells it".to_owned()),
            Self::Unclear(part) => Some(format!(
                "cannot be read at `{part}`, so that rows may be others"
            )),
            _ => None,
        }
    }
}

/// Reads a definition statement.
pub(super) fn read(words: &[Word]) -> Definition {
    let mut reader = Reader::new(words);
    let read = match reader.word() {
        Some(word) if word.is("CREATE") => create(reader),
        Some(word) if word.is("DROP") => drop(reader),
        Some(word) if word.is("RENAME") => rename(reader),
        Some(word) if word.is("ALTER") => alter(reader),
        _ => Some(Definition::default()),
    };
    read.unwrap_or(Definition {
        is_unclear: true,
        ..Definition::default()
    })
}

fn named(reader: &mut Reader<'_>) -> Option<Named> {
    let first = reader.name()?;
    if !reader.eat(&["."]) {
        return Some(Named {
            schema: None,
            table: first,
        });
    }
    Some(Named {
        schema: Some(first),
        table: reader.name()?,
    })
}

/// `WAIT 3` and `NOWAIT`.
fn wait(reader: &mut Reader<'_>) {
    if reader.eat(&["WAIT"]) {
        reader.word();
    } else {
        reader.eat(&["NOWAIT"]);
    }
}

fn create(mut reader: Reader<'_>) -> Option<Definition> {
    let mut done = Definition::default();
    if reader.eat(&["OR", "REPLACE", "TABLE"]) {
        done.moved = vec![(named(&mut reader)?, Moved::Replaced)];
    }
    Some(done)
}

fn drop(mut reader: Reader<'_>) -> Option<Definition> {
    let mut done = Definition::default();
    if reader.eat_one(&["DATABASE", "SCHEMA"]) {
        reader.eat(&["IF", "EXISTS"]);
        done.database = Some(reader.name()?);
    } else if reader.eat_one(&["TABLE", "TABLES"]) {
        reader.eat(&["IF", "EXISTS"]);
        for part in reader.parts() {
            done.moved
                .push((named(&mut Reader::new(part))?, Moved::Dropped));
        }
    } else if reader.eat(&["INDEX"]) {
        reader.eat(&["IF", "EXISTS"]);
        let index = reader.name()?;
        if !reader.eat(&["ON"]) {
            return None;
        }
        if is_same(&index, "PRIMARY") {
            done.altered = Some((named(&mut reader)?, vec![Change::DropPrimaryKey]));
        }
    }
    Some(done)
}

fn rename(mut reader: Reader<'_>) -> Option<Definition> {
    let mut done = Definition::default();
    if reader.eat_one(&["USER", "ROLE"]) {
        return Some(done);
    }
    if !reader.eat_one(&["TABLE", "TABLES"]) {
        return None;
    }
    reader.eat(&["IF", "EXISTS"]);
    for part in reader.parts() {
        let mut pair = Reader::new(part);
        let from = named(&mut pair)?;
        wait(&mut pair);
        if !pair.eat(&["TO"]) {
            return None;
        }
        let to = named(&mut pair)?;
        done.moved
            .extend([(from, Moved::Renamed), (to, Moved::Taken)]);
    }
    Some(done)
}

fn alter(mut reader: Reader<'_>) -> Option<Definition> {
    let mut done = Definition::default();
    while reader.eat_one(&["ONLINE", "OFFLINE", "IGNORE"]) {}
    if !reader.eat(&["TABLE"]) {
        return Some(done);
    }
    reader.eat(&["IF", "EXISTS"]);
    let table = named(&mut reader)?;
    wait(&mut reader);
    let mut changes = Vec::new();
    for part in reader.parts() {
        done.edits.extend(edits::read(part));
        let mut reader = Reader::new(part);
        if reader.eat(&["RENAME"]) && !reader.is_at(&["COLUMN"]) {
            if reader.eat_one(&["INDEX", "KEY"]) {
                continue;
            }
            let _ = reader.eat_one(&["TO", "AS", "="]);
            done.moved.extend([
                (table.clone(), Moved::Renamed),
                (named(&mut reader)?, Moved::Taken),
            ]);
            continue;
        }
        changes.extend(change(part)?);
        if Reader::new(part).is_at(&["ORDER"]) {
            // What follows are columns to sort by.
            break;
        }
    }
    done.altered = Some((table, changes));
    Some(done)
}

/// One part of an `ALTER TABLE`; `None` where it breaks off.
fn change(part: &[Word]) -> Option<Option<Change>> {
    let unclear = || {
        let words: Vec<_> = part.iter().take(4).map(|word| word.text.as_str()).collect();
        Some(Some(Change::Unclear(words.join(" "))))
    };
    let mut reader = Reader::new(part);
    let if_exists = |reader: &mut Reader<'_>| {
        reader.eat(&["COLUMN"]);
        reader.eat(&["IF", "EXISTS"]);
    };
    let Some(head) = reader.word() else {
        return Some(None);
    };
    if head.is("ADD") {
        if reader.is_at(&["SYSTEM", "VERSIONING"]) {
            return unclear();
        }
        return Some(None);
    }
    if head.is("DROP") {
        if reader.eat(&["PRIMARY", "KEY"]) {
            return Some(Some(Change::DropPrimaryKey));
        }
        if reader.eat_one(&["INDEX", "KEY", "CONSTRAINT"]) {
            reader.eat(&["IF", "EXISTS"]);
            let is_primary = is_same(&reader.name()?, "PRIMARY");
            return Some(is_primary.then_some(Change::DropPrimaryKey));
        }
        if reader.is_at(&["SYSTEM", "VERSIONING"]) {
            return unclear();
        }
        if reader.is_at(&["FOREIGN", "KEY"])
            || reader.is_at(&["PERIOD", "FOR"])
            || reader.is_at(&["CHECK"])
        {
            return Some(None);
        }
        if_exists(&mut reader);
        return Some(Some(Change::Drop(reader.name()?)));
    }
    if head.is("RENAME") {
        if_exists(&mut reader);
        let from = reader.name()?;
        if !reader.eat(&["TO"]) {
            return None;
        }
        return Some(Some(Change::Rename(from, reader.name()?)));
    }
    if head.is("CHANGE") {
        if_exists(&mut reader);
        let (from, to) = (reader.name()?, reader.name()?);
        return Some(Some(if is_same(&from, &to) && from == to {
            Change::Modify(from, ColumnType::read(reader.rest()))
        } else {
            Change::Rename(from, to)
        }));
    }
    if head.is("MODIFY") {
        if_exists(&mut reader);
        let column = reader.name()?;
        let to = ColumnType::read(reader.rest());
        return Some(Some(Change::Modify(column, to)));
    }
    if head.is("CONVERT") {
        let charset = reader.eat(&["TO", "CHARACTER", "SET"]) || reader.eat(&["TO", "CHARSET"]);
        let is_whole = charset && reader.eat(&["UTF8MB4"]);
        return Some((!is_whole).then_some(Change::Convert));
    }
    if head.is("ENGINE") {
        reader.eat(&["="]);
        return if reader.is_at(&["BLACKHOLE"]) {
            unclear()
        } else {
            Some(None)
        };
    }
    let is_option = head.is_name() && reader.is_at(&["="]);
    if is_option || HARMLESS.iter().any(|harmless| head.is(harmless)) {
        return Some(None);
    }
    unclear()
}

/// First words of the parts of an `ALTER TABLE` that leave rows and columns as they are. What
/// moves rows in or out of partitions is told before.
const HARMLESS: &[&str] = &[
    "ALGORITHM",
    "ALTER",
    "ANALYZE",
    "AUTO_INCREMENT",
    "AUTOEXTEND_SIZE",
    "AVG_ROW_LENGTH",
    "CHARACTER",
    "CHARSET",
    "CHECK",
    "CHECKSUM",
    "COALESCE",
    "COLLATE",
    "COMMENT",
    "COMPRESSION",
    "CONNECTION",
    "DATA",
    "DEFAULT",
    "DELAY_KEY_WRITE",
    "DISABLE",
    "ENABLE",
    "ENCRYPTED",
    "ENCRYPTION",
    "ENCRYPTION_KEY_ID",
    "FORCE",
    "INDEX",
    "INSERT_METHOD",
    "KEY_BLOCK_SIZE",
    "LOCK",
    "MAX_ROWS",
    "MIN_ROWS",
    "NOWAIT",
    "OPTIMIZE",
    "ORDER",
    "PACK_KEYS",
    "PAGE_CHECKSUM",
    "PAGE_COMPRESSED",
    "PAGE_COMPRESSION_LEVEL",
    "PARTITION",
    "REBUILD",
    "REMOVE",
    "REORGANIZE",
    "REPAIR",
    "ROW_FORMAT",
    "STATS_AUTO_RECALC",
    "STATS_PERSISTENT",
    "STATS_SAMPLE_PAGES",
    "STORAGE",
    "TABLE_CHECKSUM",
    "TABLESPACE",
    "TRANSACTIONAL",
    "UNION",
    "UPGRADE",
    "WAIT",
    "WITH",
    "WITHOUT",
];

#[cfg(test)]
#[path = "definition_tests.rs"]
mod tests;
