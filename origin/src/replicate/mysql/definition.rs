//! What a definition statement does to tables: which it takes away or puts in another's place,
//! and which columns it changes so that rows have other values without an event of theirs.
//!
//! A table that is not followed may be named; what cannot be read says so, and every followed
//! table that it names then stops.

use super::catalog::ColumnInfo;
use super::column_type::ColumnType;
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
mod tests {
    use super::*;
    use crate::replicate::mysql::words::{Escapes, Words};
    use proptest::prelude::*;

    fn words(text: &str) -> Vec<Word> {
        Words::of(text, Escapes::Backslash).collect()
    }

    /// What becomes of `shop.posts`, whose columns `id`, `author` and `title` are mapped and
    /// `note` is not, for a session in `shop`.
    fn effect(text: &str) -> String {
        let read = read(&words(text));
        if read.is_unclear {
            return "unclear".to_owned();
        }
        if let Some((_, moved)) = read
            .moved
            .iter()
            .find(|(n, _)| n.is("shop", "shop", "posts"))
        {
            return moved.words().to_owned();
        }
        let columns = ["id", "author", "title", "note"].map(|name| ColumnInfo {
            column_type: "int(11)".to_owned(),
            ..ColumnInfo::gone(name)
        });
        let reads = ["id", "author", "title"].map(str::to_owned);
        let Some((named, changes)) = read.altered else {
            return String::new();
        };
        if !named.is("shop", "shop", "posts") {
            return String::new();
        }
        let mut changes = changes.iter();
        let harm = changes.find_map(|change| change.harms(&reads, true, &columns, false));
        harm.unwrap_or_default()
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let effect = effect(text);
        let is_right = match expected {
            "" => effect.is_empty(),
            expected => effect.contains(expected),
        };
        assert!(is_right, "{text}: {effect:?}, not {expected:?}");
    }

    #[test]
    fn a_table_that_is_renamed_stops_in_every_form() {
        let other = "another name";
        check("RENAME TABLE posts TO old", other);
        check(
            "rename tables `shop`.`posts` to `shop`.`old`, a to b",
            other,
        );
        check("RENAME TABLE a TO b, shop . posts WAIT 5 TO x.posts", other);
        check("RENAME TABLE IF EXISTS Posts NOWAIT TO old", other);
        check("RENAME /* swap */ TABLE -- now\n posts TO old", other);
        check("ALTER TABLE posts RENAME old", other);
        check("ALTER TABLE posts RENAME TO `a`.`old`", other);
        check("ALTER TABLE shop.posts RENAME AS old", other);
        check("ALTER TABLE posts ADD z int, RENAME = old, FORCE", other);
        check(
            "ALTER ONLINE IGNORE TABLE IF EXISTS posts WAIT 3 RENAME old",
            other,
        );
        check("/*!50001 RENAME TABLE */ posts TO old", other);
    }

    #[test]
    fn a_table_that_takes_the_name_stops_it_too() {
        let taken = "gave this name to another table";
        check("RENAME TABLE a TO posts", taken);
        check("RENAME TABLE archive.posts TO shop.posts", taken);
        check("ALTER TABLE a RENAME TO posts", taken);
        check("RENAME TABLE _x TO y, `_posts_new` TO \"posts\"", taken);
    }

    #[test]
    fn what_online_schema_changes_end_in_stops_the_table() {
        check(
            "RENAME TABLE `shop`.`posts` TO `shop`.`_posts_old`, `shop`.`_posts_new` TO `shop`.`posts`",
            "another name",
        );
        check(
            "rename /* gh-ost */ table `shop`.`posts` to `shop`.`_posts_del`, `shop`.`_posts_gho` to `shop`.`posts`",
            "another name",
        );
    }

    #[test]
    fn a_table_that_goes_stops() {
        check(
            "DROP TABLE IF EXISTS `x`, `shop`.`posts` /* generated */",
            "away",
        );
        check(
            "CREATE OR REPLACE TABLE posts (id int)",
            "in this one's place",
        );
        check("DROP TABLE other.posts", "");
        check("DROP TABLE posts_old, `posts 2`", "");
        check("DROP TEMPORARY TABLE posts", "");
        check("DROP /*!40005 TEMPORARY */ TABLE IF EXISTS posts", "");
        assert_eq!(
            read(&words("drop schema `shop`")).database.as_deref(),
            Some("shop")
        );
    }

    #[test]
    fn other_tables_and_other_databases_are_left_alone() {
        check("RENAME TABLE archive.posts TO archive.old", "");
        check("RENAME TABLE posts_a TO posts_b", "");
        check("RENAME USER posts TO old", "");
        check("ALTER TABLE archive.posts DROP COLUMN author", "");
        check("ALTER TABLE likes DROP COLUMN author", "");
        check("CREATE TABLE IF NOT EXISTS posts (id int)", "");
        check("CREATE TABLE copy LIKE posts", "");
        check(
            "CREATE TRIGGER t AFTER INSERT ON posts FOR EACH ROW SET @a = 1",
            "",
        );
        check("ALTER VIEW v AS SELECT * FROM posts", "");
    }

    #[test]
    fn a_mapped_column_that_is_replaced_stops_its_entries() {
        let dropped = "dropped column author";
        check(
            "alter table posts drop column author, add column author int default 6",
            dropped,
        );
        check("alter table posts add x int, drop `author`", dropped);
        check(
            "ALTER TABLE posts DROP COLUMN IF EXISTS Author"
                .to_uppercase()
                .as_str(),
            "dropped column AUTHOR",
        );
        check("ALTER TABLE posts CHANGE author a3 int", "the name a3");
        check(
            "ALTER TABLE posts CHANGE COLUMN note author int",
            "author, which is mapped",
        );
        check(
            "ALTER TABLE posts RENAME COLUMN author TO a, RENAME COLUMN note TO author",
            "the name a",
        );
        check(
            "ALTER TABLE posts RENAME COLUMN `note` TO `author`",
            "author, which is mapped",
        );
        check(
            "ALTER TABLE posts MODIFY COLUMN author smallint",
            "the type of column author",
        );
        check(
            "ALTER TABLE posts CHANGE author author int AS (id % 5)",
            "the type of column author",
        );
        check(
            "ALTER TABLE posts MODIFY author",
            "the type of column author",
        );
        check(
            "ALTER TABLE posts DROP PRIMARY KEY, ADD PRIMARY KEY (note)",
            "primary key",
        );
        check("DROP INDEX `PRIMARY` ON posts", "primary key");
        check("ALTER TABLE posts DROP KEY `primary`", "primary key");
        check(
            "ALTER TABLE posts CONVERT TO CHARACTER SET latin1",
            "may change text",
        );
    }

    #[test]
    fn what_leaves_mapped_columns_alone_is_followed() {
        check(
            "ALTER TABLE posts ADD COLUMN z int DEFAULT 3 AFTER author, ADD y text",
            "",
        );
        check(
            "ALTER TABLE posts ADD COLUMN (z int, y varchar(10) DEFAULT 'drop, author')",
            "",
        );
        check(
            "ALTER TABLE posts ADD COLUMN z enum('a)', ',drop author', 'it''s \\', b')",
            "",
        );
        check(
            "ALTER TABLE posts DROP note, DROP COLUMN z, CHANGE note n int, MODIFY note text",
            "",
        );
        check(
            "ALTER TABLE posts MODIFY author bigint COMMENT 'who, drop'",
            "",
        );
        check(
            "ALTER TABLE posts ADD INDEX i (author, title), DROP INDEX author, DROP KEY title",
            "",
        );
        check(
            "ALTER TABLE posts DROP FOREIGN KEY author, DROP CONSTRAINT c, ADD CHECK (author > 0)",
            "",
        );
        check(
            "ALTER TABLE posts ALTER COLUMN author SET DEFAULT 4, ALTER title DROP DEFAULT",
            "",
        );
        check(
            "ALTER TABLE posts ENGINE=InnoDB ROW_FORMAT=DYNAMIC, ALGORITHM=INPLACE, LOCK=NONE",
            "",
        );
        check(
            "ALTER TABLE posts AUTO_INCREMENT 7, COMMENT 'rename to x', FORCE",
            "",
        );
        check(
            "ALTER TABLE posts CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            "",
        );
        check("ALTER TABLE posts ORDER BY author, title", "");
        check(
            "ALTER TABLE posts RENAME INDEX author TO a2, RENAME KEY a TO title",
            "",
        );
        check("ALTER TABLE posts PARTITION BY HASH (id) PARTITIONS 4", "");
        check("CREATE UNIQUE INDEX author ON posts (author)", "");
        check("DROP INDEX author ON posts", "");
    }

    #[test]
    fn what_cannot_be_read_says_so() {
        check("RENAME TABLE posts", "unclear");
        check("RENAME SOMETHING posts TO x", "unclear");
        check("ALTER TABLE posts RENAME", "unclear");
        check(
            "ALTER TABLE posts ADD SYSTEM VERSIONING",
            "cannot be read at `ADD SYSTEM VERSIONING`",
        );
        check("ALTER TABLE posts ENGINE = BLACKHOLE", "cannot be read at");
        check(
            "ALTER TABLE posts FROBNICATE author",
            "cannot be read at `FROBNICATE author`",
        );
    }

    proptest! {
        #[test]
        fn noise_never_panics(head in "(ALTER|RENAME|DROP|CREATE OR REPLACE) TABLE ", text in ".{0,60}") {
            let _ = effect(&(head + &text));
        }

        #[test]
        fn keywords_in_any_order_never_panic(
            text in "(ALTER|RENAME|DROP) (TABLE )?((posts|TO|ADD|DROP|\\(|\\)|,|'|`|COLUMN|author|CHANGE|MODIFY|int|/\\*|\\.) ?){0,20}"
        ) {
            let _ = effect(&text);
        }
    }
}
