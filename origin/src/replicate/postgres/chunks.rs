//! How a table is cut into chunks for its first copy, and how a chunk's rows are written.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::catalog::{self, Table};
use super::ident::ident;

/// Chunks of one table at most; a larger table has larger chunks.
pub const CHUNKS_MAX: u64 = 4_096;

/// Which rows of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Range {
    /// All.
    All,
    /// Those whose integer key is in `from..to`; open where there is no bound.
    Keys {
        /// The key's column.
        column: String,
        /// The first key.
        from: Option<i64>,
        /// After the last key.
        to: Option<i64>,
    },
    /// Those in the blocks `from..to`.
    Blocks {
        /// The first block.
        from: u32,
        /// After the last block.
        to: Option<u32>,
    },
}

/// A part of a first copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// The mapping entry.
    pub entry: String,
    /// Its number in the entry.
    pub number: u32,
    /// Its rows.
    pub range: Range,
}

impl Chunk {
    /// The checkpoint that says whether it is done.
    #[must_use]
    pub fn checkpoint(&self) -> String {
        format!("copy/{}/{}", self.entry, self.number)
    }

    /// The statement that reads its rows.
    #[must_use]
    pub fn sql(&self, table: &Table, columns: &[String]) -> String {
        let columns: Vec<String> = columns.iter().map(|name| ident(name)).collect();
        let condition = match &self.range {
            Range::All => String::new(),
            Range::Keys { column, from, to } => {
                let column = ident(column);
                let from = from.map(|from| format!("{column} >= {from}"));
                let to = to.map(|to| format!("{column} < {to}"));
                both(from, to)
            }
            Range::Blocks { from, to } => {
                let from = (*from > 0).then(|| format!("ctid >= '({from},0)'::tid"));
                let to = to.map(|to| format!("ctid < '({to},0)'::tid"));
                both(from, to)
            }
        };
        format!(
            "COPY (SELECT {} FROM {}{condition}) TO STDOUT",
            columns.join(", "),
            from_clause(table)
        )
    }
}

/// The table's own rows (those of heirs are published apart), or those of all partitions.
#[must_use]
pub fn from_clause(table: &Table) -> String {
    let (schema, name) = catalog::split(&table.name);
    let only = if table.kind == "r" { "ONLY " } else { "" };
    format!("{only}{}.{}", ident(schema), ident(name))
}

fn both(from: Option<String>, to: Option<String>) -> String {
    let parts: Vec<String> = from.into_iter().chain(to).collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", parts.join(" AND "))
    }
}

/// Cuts a table whose single integer key runs from `min` to `max` and that has about `rows`.
#[must_use]
pub fn by_keys(column: &str, min: i64, max: i64, rows: u64, chunk_rows: u32) -> Vec<Range> {
    let span = i128::from(max) - i128::from(min) + 1;
    let count = count(rows, chunk_rows).min(u64::try_from(span.max(1)).unwrap_or(u64::MAX));
    let bound = |index: u64| {
        let offset = span * i128::from(index) / i128::from(count);
        i64::try_from(i128::from(min) + offset).unwrap_or(max)
    };
    let range = |index: u64| Range::Keys {
        column: column.to_owned(),
        from: (index > 0).then(|| bound(index)),
        to: (index + 1 < count).then(|| bound(index + 1)),
    };
    (0..count).map(range).collect()
}

/// Cuts a table of `blocks` blocks and about `rows` rows.
#[must_use]
pub fn by_blocks(blocks: u64, rows: u64, chunk_rows: u32) -> Vec<Range> {
    let count = count(rows, chunk_rows).clamp(1, blocks.max(1));
    let bound = |index: u64| u32::try_from(blocks * index / count).unwrap_or(u32::MAX);
    let range = |index: u64| Range::Blocks {
        from: bound(index),
        to: (index + 1 < count).then(|| bound(index + 1)),
    };
    (0..count).map(range).collect()
}

fn count(rows: u64, chunk_rows: u32) -> u64 {
    rows.div_ceil(u64::from(chunk_rows.max(1)))
        .clamp(1, CHUNKS_MAX)
}

/// The fields of a line of COPY's text format; `None` = NULL.
pub fn fields(line: &[u8]) -> impl Iterator<Item = Option<Cow<'_, [u8]>>> {
    line.split(|byte| *byte == b'\t').map(|field| match field {
        b"\\N" => None,
        field if field.contains(&b'\\') => Some(Cow::Owned(unescape(field))),
        field => Some(Cow::Borrowed(field)),
    })
}

fn unescape(field: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(field.len());
    let mut bytes = field.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            text.push(byte);
            continue;
        }
        // The server writes only these; another escaped byte stands for itself.
        match bytes.next() {
            Some(b'b') => text.push(8),
            Some(b'f') => text.push(12),
            Some(b'n') => text.push(b'\n'),
            Some(b'r') => text.push(b'\r'),
            Some(b't') => text.push(b'\t'),
            Some(b'v') => text.push(11),
            Some(other) => text.push(other),
            None => text.push(b'\\'),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_chunk_reads_its_range_of_its_table() {
        let table = Table {
            name: "public.Posts".to_owned(),
            kind: "r".to_owned(),
            ..Table::default()
        };
        let columns = ["id".to_owned(), "user".to_owned()];
        let chunk = |range| Chunk {
            entry: "e".to_owned(),
            number: 0,
            range,
        };
        let [first, .., last] = &by_keys("id", 1, 100, 100, 25)[..] else {
            panic!("chunks")
        };
        assert_eq!(
            chunk(first.clone()).sql(&table, &columns),
            r#"COPY (SELECT id, "user" FROM ONLY public."Posts" WHERE id < 26) TO STDOUT"#
        );
        assert_eq!(
            chunk(last.clone()).sql(&table, &columns),
            r#"COPY (SELECT id, "user" FROM ONLY public."Posts" WHERE id >= 76) TO STDOUT"#
        );
        let blocks = by_blocks(10, 1_000, 500);
        assert_eq!(
            chunk(blocks[1].clone()).sql(&table, &columns),
            r#"COPY (SELECT id, "user" FROM ONLY public."Posts" WHERE ctid >= '(5,0)'::tid) TO STDOUT"#
        );
        assert!(
            chunk(Range::All)
                .sql(&table, &columns)
                .ends_with(r#""Posts") TO STDOUT"#)
        );
    }

    #[test]
    fn lines_are_read_as_copy_writes_them() {
        let read = |line: &[u8]| -> Vec<Option<String>> {
            let text = |field: Option<Cow<'_, [u8]>>| {
                field.map(|f| String::from_utf8_lossy(&f).into_owned())
            };
            fields(line).map(text).collect()
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read(b"7\t\\N\t\tx"), [some("7"), None, some(""), some("x")]);
        assert_eq!(read(br"a\tb\nc\\d\\N"), [some("a\tb\nc\\d\\N")]);
        assert_eq!(read(br"\x\"), [some("x\\")]);
    }

    fn holds(range: &Range, key: i64) -> bool {
        let Range::Keys { from, to, .. } = range else {
            return false;
        };
        from.is_none_or(|from| key >= from) && to.is_none_or(|to| key < to)
    }

    proptest! {
        #[test]
        fn every_key_is_in_exactly_one_chunk(
            a in any::<i64>(), b in any::<i64>(), key in any::<i64>(),
            rows in 0..10_000_000_u64, chunk_rows in 0..100_000_u32,
        ) {
            let ranges = by_keys("id", a.min(b), a.max(b), rows, chunk_rows);
            prop_assert!(ranges.len() as u64 <= CHUNKS_MAX);
            for key in [key, a, b, i64::MIN, i64::MAX] {
                prop_assert_eq!(ranges.iter().filter(|range| holds(range, key)).count(), 1);
            }
        }

        #[test]
        fn blocks_are_covered_without_a_gap(blocks in 0..u64::from(u32::MAX), rows in 0..10_000_000_u64, chunk_rows in 0..100_000_u32) {
            let ranges = by_blocks(blocks, rows, chunk_rows);
            let mut next = Some(0);
            for range in &ranges {
                let Range::Blocks { from, to } = range else { panic!("blocks") };
                prop_assert_eq!(Some(*from), next);
                next = *to;
            }
            prop_assert_eq!(next, None);
        }

        #[test]
        fn any_line_is_read(line in prop::collection::vec(any::<u8>(), 0..100)) {
            let tabs = line.iter().filter(|byte| **byte == b'\t').count();
            prop_assert_eq!(fields(&line).count(), tabs + 1);
        }
    }
}
