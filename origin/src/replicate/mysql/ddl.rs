//! What a statement of the binlog means to the tables that are followed.

use super::words::{Kind, Word, is_same};
use super::xa::Xid;

/// A statement's meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Statement {
    /// A transaction begins.
    Begin,
    /// A place in a transaction.
    Savepoint,
    /// What followed such a place is undone.
    RollbackTo,
    /// It is committed.
    Commit,
    /// Its transactional part is undone (rows of other engines stay).
    Rollback,
    /// The rows of this XA transaction follow; `None` where its name cannot be read.
    XaStart(Option<Xid>),
    /// They end; how it goes on says an event of its own.
    XaEnd,
    /// A prepared XA transaction is committed.
    XaCommit(Option<Xid>),
    /// A prepared XA transaction is undone after its rows were in the binlog.
    XaRollback(Option<Xid>),
    /// Nothing to do with rows.
    Harmless,
    /// A table is emptied: database (where it names one) and table.
    Truncate(Option<String>, String),
    /// Columns, names or existence of tables may have changed.
    Definition,
    /// Rows of tables are changed by the statement's text: row events do not tell which.
    Rows,
}

/// Reads a statement.
pub(super) fn classify(words: &[Word]) -> Statement {
    let is = |index: usize, keyword: &str| words.get(index).is_some_and(|word| word.is(keyword));
    let Some(first) = words.first().filter(|word| word.kind == Kind::Plain) else {
        return Statement::Harmless;
    };
    match first.text.to_ascii_uppercase().as_str() {
        "BEGIN" => Statement::Begin,
        "START" if is(1, "TRANSACTION") => Statement::Begin,
        "COMMIT" => Statement::Commit,
        "ROLLBACK" if words.iter().any(|word| word.is("TO")) => Statement::RollbackTo,
        "SAVEPOINT" | "RELEASE" => Statement::Savepoint,
        "ROLLBACK" => Statement::Rollback,
        "XA" => distributed(words),
        "TRUNCATE" => truncated(words),
        "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "LOAD" | "WITH" => Statement::Rows,
        "ALTER" if moves_partition(words) => Statement::Rows,
        "ALTER" | "CREATE" | "DROP" | "RENAME" => Statement::Definition,
        _ => Statement::Harmless,
    }
}

fn distributed(words: &[Word]) -> Statement {
    let xid = || Xid::of_words(words.get(2..).unwrap_or_default());
    match words.get(1) {
        Some(verb) if verb.is("START") || verb.is("BEGIN") => Statement::XaStart(xid()),
        Some(verb) if verb.is("COMMIT") => Statement::XaCommit(xid()),
        Some(verb) if verb.is("ROLLBACK") => Statement::XaRollback(xid()),
        _ => Statement::XaEnd,
    }
}

fn truncated(words: &[Word]) -> Statement {
    let is_keyword = |word: &Word| ["TABLE", "IF", "EXISTS"].iter().any(|key| word.is(key));
    let mut names = words.iter().skip(1).filter(|word| !is_keyword(word));
    match (names.next(), names.next(), names.next()) {
        (Some(schema), Some(dot), Some(table)) if dot.is(".") => {
            Statement::Truncate(Some(schema.text.clone()), table.text.clone())
        }
        (Some(table), ..) => Statement::Truncate(None, table.text.clone()),
        _ => Statement::Definition,
    }
}

/// `ALTER TABLE … TRUNCATE|DROP|EXCHANGE PARTITION`, `CONVERT PARTITION … TO TABLE` and back, and
/// `DISCARD|IMPORT TABLESPACE` take rows away or bring them without a row event.
fn moves_partition(words: &[Word]) -> bool {
    const PAIRS: [[&str; 2]; 7] = [
        ["TRUNCATE", "PARTITION"],
        ["DROP", "PARTITION"],
        ["EXCHANGE", "PARTITION"],
        ["CONVERT", "PARTITION"],
        ["CONVERT", "TABLE"],
        ["DISCARD", "TABLESPACE"],
        ["IMPORT", "TABLESPACE"],
    ];
    words.windows(2).any(|pair| match pair {
        [first, second] => PAIRS.iter().any(|[a, b]| first.is(a) && second.is(b)),
        _ => false,
    })
}

/// Whether a statement names a table (as a word, whatever the case).
pub(super) fn names(words: &[Word], table: &str) -> bool {
    words.iter().any(|word| is_same(&word.text, table))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replicate::mysql::words::{Escapes, Words};
    use proptest::prelude::*;

    fn words(text: &str) -> Vec<Word> {
        Words::of(text, Escapes::Backslash).collect()
    }

    #[track_caller]
    fn check(text: &str, statement: Statement) {
        assert_eq!(classify(&words(text)), statement, "{text}");
    }

    #[test]
    fn statements_are_told_apart() {
        let truncate = |schema: Option<&str>, table: &str| {
            Statement::Truncate(schema.map(str::to_owned), table.to_owned())
        };
        check("BEGIN", Statement::Begin);
        check("COMMIT", Statement::Commit);
        check("/* app */ truncate table posts", truncate(None, "posts"));
        check(
            "TRUNCATE `shop`.`po``sts`",
            truncate(Some("shop"), "po`sts"),
        );
        check(
            "TRUNCATE TABLE shop . posts WAIT 3",
            truncate(Some("shop"), "posts"),
        );
        check("truncate `table`", truncate(None, "table"));
        check("-- x\nALTER TABLE posts ADD x int", Statement::Definition);
        check("ALTER TABLE posts TRUNCATE PARTITION p0", Statement::Rows);
        check(
            "ALTER TABLE posts /*!50100 DROP PARTITION p0 */",
            Statement::Rows,
        );
        check(
            "DROP TABLE IF EXISTS `posts` /* generated by server */",
            Statement::Definition,
        );
        check(
            "ALTER TABLE p CONVERT TABLE posts TO PARTITION p1",
            Statement::Rows,
        );
        check("insert into posts values (1)", Statement::Rows);
        check("WITH x AS (SELECT 1) DELETE FROM posts", Statement::Rows);
        let xid = Xid::of_words(&words("X'61',X'',1"));
        assert!(xid.is_some());
        check("XA START X'61',X'',1", Statement::XaStart(xid.clone()));
        check("XA END X'61',X'',1", Statement::XaEnd);
        check("XA COMMIT X'61',X'',1", Statement::XaCommit(xid.clone()));
        check("XA ROLLBACK X'61',X'',1", Statement::XaRollback(xid));
        check("XA ROLLBACK 0x61", Statement::XaRollback(None));
        check("GRANT ALL ON *.* TO x", Statement::Harmless);
        check("", Statement::Harmless);
    }

    #[test]
    fn a_table_is_named_as_a_word_only() {
        assert!(names(
            &words("ALTER TABLE `shop`.`Posts` ADD x int"),
            "posts"
        ));
        assert!(names(&words("drop table a, posts"), "posts"));
        assert!(!names(&words("ALTER TABLE posts_old ADD x int"), "posts"));
    }

    proptest! {
        #[test]
        fn noise_never_panics(text in ".{0,80}") {
            let _ = classify(&words(&text));
            let _ = names(&words(&text), "posts");
        }
    }
}
