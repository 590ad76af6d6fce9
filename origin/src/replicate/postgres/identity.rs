//! Whether a table is still the one that was copied.
//!
//! The stream speaks of tables and columns by their names, and a name can be given to another: a
//! table that is dropped and made anew, two columns that swap their names. The catalogue's numbers
//! belong to one thing for its life, so they are kept with the copy and compared from time to
//! time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::catalog::{File, PublishedTable, Table};
use super::tables::{Signature, is_padded};

/// What the catalogue knows a table by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The table's OID.
    pub oid: u32,
    /// The OID of what puts it into the publication; none where that was not known.
    pub membership: Option<u32>,
    /// The mapped columns.
    pub columns: BTreeMap<String, Mark>,
    /// The files of its rows, one a partition.
    pub files: Vec<File>,
}

/// What the catalogue knows a column by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Its number in the table, which no other column ever gets.
    pub number: i16,
    /// The transaction that last changed its definition.
    pub version: i64,
    /// Whether older rows have its default without holding it.
    pub is_missing: bool,
}

impl Identity {
    /// The identity of a table as the catalogue has it, of these columns.
    #[must_use]
    pub fn of(
        table: &Table,
        published: Option<&PublishedTable>,
        columns: &[(String, String)],
    ) -> Self {
        let is_mapped = |name: &String| columns.iter().any(|(mapped, _)| mapped == name);
        let marks = table
            .columns
            .iter()
            .filter(|column| is_mapped(&column.name));
        Self {
            oid: table.oid,
            membership: published.map(|published| published.membership),
            columns: marks
                .map(|column| (column.name.clone(), column.mark))
                .collect(),
            files: table.files.clone(),
        }
    }
}

/// Why a table cannot be followed any more, seen in the catalogue; `None` where it can. A column
/// that is gone is left to the stream, which knows whether it matters.
#[must_use]
pub fn altered(
    name: &str,
    publication: &str,
    was: &Signature,
    table: Option<&Table>,
    published: Option<&PublishedTable>,
) -> Option<String> {
    let Some(table) = table else {
        return Some(format!("table {name} was dropped or renamed"));
    };
    if let Some(identity) = &was.identity
        && identity.oid != table.oid
    {
        return Some(another(name));
    }
    let Some(published) = published else {
        return Some(format!("table {name} left publication {publication}"));
    };
    if let Some(filter) = &published.filter {
        return Some(format!(
            "publication {publication} publishes only rows of table {name} where {filter}"
        ));
    }
    if table.hides_rows {
        return Some(format!(
            "row-level security hides rows of table {name} from the user"
        ));
    }
    if let Some(problem) = super::catalog::inherited(table) {
        return Some(format!("table {name}: {problem}"));
    }
    let Some(identity) = &was.identity else {
        // As an older version did.
        let padded = was.columns.iter().find(|(_, name)| is_padded(name));
        return padded.map(|(column, _)| {
            format!(
                "mapped column {column} of type char(n) was copied with the blanks that fill it \
                 up: its values are read without them now"
            )
        });
    };
    if identity
        .membership
        .is_some_and(|oid| oid != published.membership)
    {
        return Some(format!(
            "table {name} left publication {publication} and came back: changes in between are lost"
        ));
    }
    was.columns
        .iter()
        .find_map(|(column, type_name)| altered_column(identity, table, column, type_name))
}

/// Why a partitioned table cannot be followed any more: one of its partitions went or was emptied
/// by itself, which does not show in the stream. Where the whole table was emptied, the stream says
/// so a little later.
#[must_use]
pub fn emptied(name: &str, was: &Identity, table: &Table) -> Option<String> {
    let partitions = was.files.iter().filter(|file| file.oid != was.oid);
    let emptied = |before: &File| match file(&table.files, before.oid) {
        None => Some("detached or dropped"),
        Some(now) if now.file != before.file && table.empty.contains(&now.oid) => {
            Some("truncated by itself")
        }
        Some(_) => None,
    };
    let mut how = partitions.filter_map(emptied);
    how.next()
        .map(|how| format!("a partition of table {name} was {how}: its rows would still count"))
}

/// Files are in the order of their tables' OIDs.
fn file(files: &[File], oid: u32) -> Option<File> {
    let place = files.binary_search_by_key(&oid, |file| file.oid);
    place.ok().and_then(|place| files.get(place)).copied()
}

/// Whether rows were written anew.
fn is_rewritten(was: &[File], now: &[File]) -> bool {
    let differs = |before: &File| file(now, before.oid).is_some_and(|now| now != *before);
    was.iter().any(differs)
}

/// A table's name belongs to another one now.
pub(super) fn another(name: &str) -> String {
    format!("table {name} is another table now: the one that was copied was dropped or renamed")
}

fn altered_column(was: &Identity, table: &Table, name: &str, type_name: &str) -> Option<String> {
    let before = was.columns.get(name)?;
    let column = table.columns.iter().find(|column| column.name == name)?;
    let now = column.mark;
    if now.number != before.number {
        return Some(format!(
            "mapped column {name} is another column now: the one that was copied was dropped or \
             renamed"
        ));
    }
    // Either alone is harmless: VACUUM FULL writes the rows anew, SET NOT NULL changes the
    // definition. VACUUM FULL also writes out defaults that older rows lacked.
    let is_filled = before.is_missing && !now.is_missing;
    let is_rewritten =
        is_rewritten(&was.files, &table.files) && now.version != before.version && !is_filled;
    (is_rewritten && column.type_name == type_name).then(|| {
        format!(
            "mapped column {name} was rewritten (ALTER COLUMN … TYPE … USING): its values changed \
             and no row's change says so"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::catalog::TableColumn;
    use super::*;

    fn table() -> Table {
        let column = |name: &str, number| TableColumn {
            name: name.to_owned(),
            type_name: "int4".to_owned(),
            mark: Mark {
                number,
                version: 700,
                is_missing: false,
            },
            ..TableColumn::default()
        };
        Table {
            oid: 16_400,
            columns: vec![column("id", 1), column("author", 2), column("other", 3)],
            files: vec![File {
                oid: 16_400,
                file: 16_400,
            }],
            ..Table::default()
        }
    }

    fn published() -> PublishedTable {
        PublishedTable {
            membership: 16_500,
            ..PublishedTable::default()
        }
    }

    fn signature() -> Signature {
        let columns = ["id", "author"].map(|name| (name.to_owned(), "int4".to_owned()));
        Signature {
            key: vec!["id".to_owned()],
            identity: Some(Identity::of(&table(), Some(&published()), &columns)),
            columns: columns.into(),
        }
    }

    /// What is said after `change`; empty = it is still the same table.
    #[track_caller]
    fn check(change: impl FnOnce(&mut Table, &mut PublishedTable), word: &str) {
        let (mut table, mut published) = (table(), published());
        change(&mut table, &mut published);
        let said = altered(
            "public.posts",
            "p",
            &signature(),
            Some(&table),
            Some(&published),
        );
        let said = said.unwrap_or_default();
        assert_eq!(said.is_empty(), word.is_empty(), "{said}");
        assert!(said.contains(word), "{said}");
    }

    #[test]
    fn another_table_or_column_under_the_same_name_is_noticed() {
        check(|_, _| {}, "");
        check(|table, _| table.oid += 1, "another table now");
        check(|_, published| published.membership += 1, "came back");
        check(|table, _| table.hides_rows = true, "row-level security");
        let filter = Some("(id > 5)".to_owned());
        check(|_, published| published.filter = filter, "only rows");
        check(
            |table, _| table.columns[1].mark.number = 4,
            "another column",
        );
        let swap = |table: &mut Table, _: &mut PublishedTable| {
            table.columns[1].name = "a".to_owned();
            table.columns[2].name = "author".to_owned();
        };
        check(swap, "mapped column author");
        // No field reads it.
        check(|table, _| table.columns[2].mark.number = 9, "");
    }

    #[test]
    fn a_rewrite_counts_where_a_mapped_column_was_redefined_with_it() {
        check(|table, _| table.files[0].file += 1, "");
        check(|table, _| table.columns[1].mark.version += 1, "");
        let rewrite = |table: &mut Table, _: &mut PublishedTable| {
            table.files[0].file += 1;
            table.columns[1].mark.version += 1;
        };
        check(rewrite, "was rewritten");
        // A wider type says the same.
        let widen = |table: &mut Table, published: &mut PublishedTable| {
            rewrite(table, published);
            table.columns[1].type_name = "int8".to_owned();
        };
        check(widen, "");
    }

    #[test]
    fn a_partition_that_was_emptied_by_itself_is_noticed() {
        let file = |oid, file| File { oid, file };
        let was = Identity {
            oid: 1,
            files: vec![file(2, 2), file(3, 3)],
            ..Identity::default()
        };
        let said = |files: &[File], empty: &[u32]| {
            let table = Table {
                files: files.to_vec(),
                empty: empty.to_vec(),
                ..Table::default()
            };
            emptied("t", &was, &table).unwrap_or_default()
        };
        assert_eq!(said(&[file(2, 2), file(3, 3)], &[2, 3]), "");
        // VACUUM FULL of one, and a new one.
        assert_eq!(said(&[file(2, 9), file(3, 3), file(4, 4)], &[4]), "");
        assert!(said(&[file(3, 3)], &[]).contains("dropped"));
        assert!(said(&[file(2, 2), file(3, 9)], &[3]).contains("truncated"));
        // A table without partitions is emptied in the stream.
        let was = Identity {
            oid: 1,
            files: vec![file(1, 1)],
            ..Identity::default()
        };
        let table = Table {
            files: vec![file(1, 2)],
            empty: vec![1],
            ..Table::default()
        };
        assert_eq!(emptied("t", &was, &table), None);
    }

    #[test]
    fn a_table_that_is_gone_or_not_published_is_named() {
        let gone = altered("public.posts", "p", &signature(), None, None);
        assert!(gone.is_some_and(|said| said.contains("dropped or renamed")));
        let left = altered("public.posts", "p", &signature(), Some(&table()), None);
        assert_eq!(
            left.as_deref(),
            Some("table public.posts left publication p")
        );
    }

    #[test]
    fn what_older_versions_stored_is_read() {
        let stored = r#"{"key":["id"],"columns":[["id","int4"]]}"#;
        let signature: Signature = serde_json::from_str(stored).expect("a signature");
        assert_eq!(signature.identity, None);
        let said = altered("t", "p", &signature, Some(&table()), Some(&published()));
        assert_eq!(said, None);
        let stored = r#"{"key":["id"],"columns":[["id","bpchar"]]}"#;
        let signature: Signature = serde_json::from_str(stored).expect("a signature");
        let said = altered("t", "p", &signature, Some(&table()), Some(&published()));
        assert!(said.is_some_and(|said| said.contains("char(n)")));
    }
}
