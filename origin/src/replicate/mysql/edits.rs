//! Where a table's columns stand after an `ALTER TABLE`. Events without column names
//! (`binlog_row_metadata`) are read by place; the catalogue may be statements ahead of them.

use super::catalog::ColumnInfo;
use super::words::{Reader, Word, is_same};

/// What a part of an `ALTER TABLE` does to the columns' places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    /// New columns; whether those that are there already are passed over.
    Add(Vec<String>, Place, bool),
    /// A column goes; whether one that is not there is passed over.
    Drop(String, bool),
    /// A column, by its old name, has a new name or type.
    Change(String, String, Place, bool),
}

/// Where a column goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Where it was; a new one at the end.
    Same,
    /// Before all others.
    First,
    /// After this one.
    After(String),
}

/// Words after `ADD` that are no column.
const NO_COLUMN: &[&str] = &[
    "CONSTRAINT",
    "INDEX",
    "KEY",
    "PRIMARY",
    "UNIQUE",
    "FULLTEXT",
    "SPATIAL",
    "FOREIGN",
    "CHECK",
    "PARTITION",
];

/// Reads a part; `None` where it changes no column's place.
pub(super) fn read(part: &[Word]) -> Option<Edit> {
    let mut reader = Reader::new(part);
    if reader.eat(&["ADD"]) {
        let is_other = NO_COLUMN.iter().any(|word| reader.is_at(&[word]))
            || reader.is_at(&["PERIOD", "FOR"])
            || reader.is_at(&["VECTOR", "INDEX"])
            || reader.is_at(&["VECTOR", "KEY"]);
        if is_other {
            return None;
        }
        reader.eat(&["COLUMN"]);
        let is_lenient = reader.eat(&["IF", "NOT", "EXISTS"]);
        if let Some(columns) = reader.arguments() {
            let is_other = |of: &Reader<'_>| NO_COLUMN.iter().any(|word| of.is_at(&[word]));
            let columns = columns.into_iter().map(Reader::new);
            let columns = columns.filter(|of| !is_other(of));
            let names = columns.map(|mut of| of.name()).collect::<Option<_>>()?;
            return Some(Edit::Add(names, Place::Same, is_lenient));
        }
        return Some(Edit::Add(vec![reader.name()?], place(part), is_lenient));
    }
    if reader.eat(&["DROP"]) {
        let is_other = NO_COLUMN.iter().any(|word| reader.is_at(&[word]));
        if is_other || reader.is_at(&["PERIOD", "FOR"]) || reader.is_at(&["SYSTEM", "VERSIONING"]) {
            return None;
        }
        let is_lenient = if_exists(&mut reader);
        return Some(Edit::Drop(reader.name()?, is_lenient));
    }
    if reader.eat(&["CHANGE"]) {
        let is_lenient = if_exists(&mut reader);
        let (from, to) = (reader.name()?, reader.name()?);
        return Some(Edit::Change(from, to, place(part), is_lenient));
    }
    if reader.eat(&["MODIFY"]) {
        let is_lenient = if_exists(&mut reader);
        let name = reader.name()?;
        return Some(Edit::Change(name.clone(), name, place(part), is_lenient));
    }
    if reader.is_at(&["RENAME", "COLUMN"]) {
        reader.eat(&["RENAME"]);
        let is_lenient = if_exists(&mut reader);
        let from = reader.name()?;
        reader.eat(&["TO"]);
        return Some(Edit::Change(from, reader.name()?, Place::Same, is_lenient));
    }
    None
}

fn if_exists(reader: &mut Reader<'_>) -> bool {
    reader.eat(&["COLUMN"]);
    reader.eat(&["IF", "EXISTS"])
}

/// What a column's definition ends with.
fn place(part: &[Word]) -> Place {
    let end = part
        .iter()
        .position(|word| word.is("PARTITION") || word.is("REMOVE") || word.is(";"));
    match part.get(..end.unwrap_or(part.len())) {
        Some([.., last]) if last.is("FIRST") => Place::First,
        Some([.., after, name]) if after.is("AFTER") && name.is_name() => {
            Place::After(name.text.clone())
        }
        _ => Place::Same,
    }
}

/// The columns after these edits, as a server makes them: what goes and what stays in its place
/// first, then what is put somewhere, in the statement's order. `None` where the columns are not
/// those that the statement found.
pub(super) fn apply(known: &[ColumnInfo], edits: &[Edit]) -> Option<Vec<ColumnInfo>> {
    let mut columns: Vec<ColumnInfo> = Vec::with_capacity(known.len());
    let mut put: Vec<(ColumnInfo, &Place)> = Vec::new();
    let knows = |name: &String| known.iter().any(|info| is_same(name, &info.name));
    let goes = |name: &str| {
        edits
            .iter()
            .any(|edit| matches!(edit, Edit::Drop(gone, _) if is_same(gone, name)))
    };
    for info in known.iter().filter(|info| !goes(&info.name)) {
        let change = edits.iter().find_map(|edit| match edit {
            Edit::Change(from, to, place, _) if is_same(from, &info.name) => Some((to, place)),
            _ => None,
        });
        match change {
            None => columns.push(info.clone()),
            Some((to, Place::Same)) => columns.push(changed(info, to)),
            Some(_) => {}
        }
    }
    for edit in edits {
        match edit {
            Edit::Drop(name, is_lenient) if !knows(name) && !is_lenient => return None,
            Edit::Change(from, _, _, is_lenient) if !knows(from) && !is_lenient => return None,
            Edit::Change(from, to, place, _) if *place != Place::Same => {
                let info = known.iter().find(|info| is_same(from, &info.name));
                put.extend(info.map(|info| (changed(info, to), place)));
            }
            Edit::Add(names, place, is_lenient) => {
                for name in names {
                    let is_there = knows(name) && !goes(name);
                    if is_there && !is_lenient {
                        return None;
                    }
                    if !is_there {
                        put.push((ColumnInfo::new_by_statement(name), place));
                    }
                }
            }
            _ => {}
        }
    }
    for (info, place) in put {
        let at = match place {
            Place::Same => columns.len(),
            Place::First => 0,
            Place::After(name) => 1 + columns.iter().position(|c| is_same(name, &c.name))?,
        };
        columns.insert(at, info);
    }
    Some(columns)
}

/// A column under its name of now, whose type the catalogue has to tell.
fn changed(info: &ColumnInfo, name: &str) -> ColumnInfo {
    if is_same(name, &info.name) {
        return ColumnInfo {
            is_stale: true,
            ..info.clone()
        };
    }
    ColumnInfo::new_by_statement(name)
}

#[cfg(test)]
mod tests {
    use super::super::definition;
    use super::super::words::{Escapes, Words};
    use super::*;

    #[track_caller]
    fn check(sql: &str, expected: Option<&str>) {
        let known = ["id", "author", "note"].map(ColumnInfo::gone);
        let words: Vec<Word> = Words::of(sql, Escapes::Backslash).collect();
        let edits = definition::read(&words).edits;
        let columns = apply(&known, &edits).map(|columns| {
            let names = columns.iter().map(|info| {
                let mark = if info.is_stale { "*" } else { "" };
                format!("{}{mark}", info.name)
            });
            names.collect::<Vec<_>>().join(" ")
        });
        assert_eq!(columns.as_deref(), expected, "{sql}");
    }

    #[test]
    fn columns_stand_where_the_statement_puts_them() {
        let check =
            |parts: &str, expected| check(&format!("ALTER TABLE p {parts}"), Some(expected));
        check("ADD z int", "id author note z*");
        check("ADD COLUMN z int DEFAULT 3 AFTER `id`", "id z* author note");
        check(
            "ADD z int FIRST, ADD y int AFTER z;",
            "z* y* id author note",
        );
        check(
            "ADD (z int, KEY (z), y decimal(3,1))",
            "id author note z* y*",
        );
        check(
            "ADD z enum('a', 'b') COMMENT 'AFTER id'",
            "id author note z*",
        );
        check("DROP note, ADD note int AFTER id", "id note* author");
        check("MODIFY note int FIRST", "note* id author");
        check("MODIFY author int", "id author* note");
        check(
            "CHANGE note n text AFTER id, ADD z int AFTER n",
            "id n* z* author",
        );
        check("RENAME COLUMN note TO n", "id author n*");
        check(
            "CHANGE author note int, CHANGE note author int",
            "id note* author*",
        );
        check(
            "ADD INDEX i (note), DROP KEY i, ENGINE=InnoDB",
            "id author note",
        );
        check("ADD COLUMN IF NOT EXISTS note int", "id author note");
        check("DROP COLUMN IF EXISTS z", "id author note");
        check(
            "ADD z int AFTER id PARTITION BY HASH (id)",
            "id z* author note",
        );
    }

    #[test]
    fn columns_that_the_statement_did_not_find_are_not_known() {
        check("ALTER TABLE p ADD note int", None);
        check("ALTER TABLE p DROP z", None);
        check("ALTER TABLE p ADD z int AFTER y", None);
        check("ALTER TABLE p CHANGE z y int", None);
        check("ALTER TABLE p MODIFY z int", None);
    }
}
