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
