//! What a statement of the binlog means to the tables that are followed.

/// A statement's meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Statement {
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
    /// A prepared XA transaction is undone after its rows were in the binlog.
    XaRollback,
    /// Nothing to do with rows.
    Harmless,
    /// A table is emptied: database (where it names one) and table.
    Truncate(Option<String>, String),
    /// Columns, names or existence of tables may have changed.
    Definition,
    /// Rows of tables are changed by the statement's text: row events do not tell which.
    Rows,
}

/// Reads a statement's first words.
pub(crate) fn classify(text: &str) -> Statement {
    let words = words(text, 12);
    let word = |index: usize| words.get(index).map_or("", |word| word.upper.as_str());
    match word(0) {
        "BEGIN" => Statement::Begin,
        "START" if word(1) == "TRANSACTION" => Statement::Begin,
        "COMMIT" => Statement::Commit,
        "ROLLBACK" if words.iter().any(|word| word.upper == "TO") => Statement::RollbackTo,
        "SAVEPOINT" | "RELEASE" => Statement::Savepoint,
        "ROLLBACK" => Statement::Rollback,
        "XA" if word(1) == "ROLLBACK" => Statement::XaRollback,
        "XA" if matches!(word(1), "START" | "BEGIN") => Statement::Begin,
        "XA" if word(1) == "COMMIT" => Statement::Commit,
        "TRUNCATE" => truncated(&words),
        "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "LOAD" => Statement::Rows,
        "ALTER" if removes_partition(text) => Statement::Rows,
        "ALTER" | "CREATE" | "DROP" | "RENAME" => Statement::Definition,
        _ => Statement::Harmless,
    }
}

fn truncated(words: &[Word]) -> Statement {
    let names = words
        .iter()
        .skip(1)
        .filter(|word| word.quoted || !matches!(word.upper.as_str(), "TABLE" | "IF" | "EXISTS"));
    let mut names = names.map(|word| word.text.clone());
    match (names.next(), names.next(), names.next()) {
        (Some(schema), Some(dot), Some(table)) if dot == "." => {
            Statement::Truncate(Some(schema), table)
        }
        (Some(table), ..) => Statement::Truncate(None, table),
        _ => Statement::Definition,
    }
}

/// `ALTER TABLE … TRUNCATE|DROP|EXCHANGE PARTITION` and `DISCARD|IMPORT TABLESPACE` take rows away
/// or bring them without a row event.
fn removes_partition(text: &str) -> bool {
    let words = words(text, 64);
    words.windows(2).any(|pair| match pair {
        [first, second] if !first.quoted && !second.quoted => matches!(
            (first.upper.as_str(), second.upper.as_str()),
            ("TRUNCATE" | "DROP" | "EXCHANGE", "PARTITION") | ("DISCARD" | "IMPORT", "TABLESPACE")
        ),
        _ => false,
    })
}

/// Whether a definition statement takes the table away as it was: dropped, replaced, or renamed
/// without another table taking its name.
pub(crate) fn takes_away(text: &str, schema: &str, table: &str) -> bool {
    let words = words(text, MAX_NAME_WORDS);
    let plain = |index: usize| {
        let word = words.get(index).filter(|word| !word.quoted);
        word.map_or("", |word| word.upper.as_str())
    };
    let is = |word: &Word, name: &str| word.text.eq_ignore_ascii_case(name);
    match (plain(0), plain(1)) {
        ("DROP", "DATABASE" | "SCHEMA") => words.iter().skip(2).any(|word| is(word, schema)),
        ("DROP", "TABLE") => words.iter().skip(2).any(|word| is(word, table)),
        ("CREATE", "OR") if plain(2) == "REPLACE" && plain(3) == "TABLE" => {
            words.iter().skip(4).take(3).any(|word| is(word, table))
        }
        ("RENAME", _) => {
            // `a TO b, c TO d`: what stands after TO (and its database) takes the name.
            let mut taken = false;
            let mut left = false;
            let mut after_to = false;
            for (index, word) in words.iter().enumerate().skip(2) {
                if !word.quoted && word.upper == "TO" {
                    after_to = true;
                } else if word.text == "." || words.get(index + 1).is_some_and(|w| w.text == ".") {
                    // A dot, or the database before it.
                } else {
                    taken |= after_to && is(word, table);
                    left |= !after_to && is(word, table);
                    after_to = false;
                }
            }
            left && !taken
        }
        _ => false,
    }
}

/// Words of a statement that names tables.
const MAX_NAME_WORDS: usize = 4_096;

/// Whether a statement names a table (as a word, whatever the case).
pub(crate) fn names(text: &str, table: &str) -> bool {
    words(text, usize::MAX)
        .iter()
        .any(|word| word.text.eq_ignore_ascii_case(table))
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    text: String,
    upper: String,
    quoted: bool,
}

/// The first words of a statement: identifiers (also quoted) and dots; comments are passed over,
/// but what stands in executable comments (`/*!50001 … */`) counts.
fn words(text: &str, most: usize) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = text;
    while words.len() < most {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else {
            break;
        };
        if let Some(after) = rest
            .strip_prefix("/*!")
            .or_else(|| rest.strip_prefix("/*M!"))
        {
            rest = after.trim_start_matches(|char: char| char.is_ascii_digit());
        } else if let Some(after) = rest.strip_prefix("/*") {
            rest = after.split_once("*/").map_or("", |(_, after)| after);
        } else if first == '#' || rest.starts_with("-- ") {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
        } else if let '`' | '"' | '\'' = first {
            let (inner, after) = quoted(rest, first);
            words.push(Word {
                upper: inner.to_uppercase(),
                text: inner,
                quoted: true,
            });
            rest = after;
        } else if is_word(first) {
            let end = rest.find(|char| !is_word(char)).unwrap_or(rest.len());
            let (inner, after) = rest.split_at(end);
            let text = inner.to_owned();
            words.push(Word {
                upper: text.to_uppercase(),
                text,
                quoted: false,
            });
            rest = after;
        } else {
            if first == '.' {
                words.push(Word {
                    text: ".".into(),
                    upper: ".".into(),
                    quoted: false,
                });
            }
            rest = rest.strip_prefix(first).unwrap_or_default();
        }
    }
    words
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_' || char == '$'
}

/// The text between quotes (doubled ones stand for themselves) and what follows.
fn quoted(rest: &str, quote: char) -> (String, &str) {
    let mut inner = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, char)) = chars.next() {
        if char == '\\' && quote != '`' {
            inner.extend(chars.next().map(|(_, char)| char));
        } else if char != quote {
            inner.push(char);
        } else if chars.peek().is_some_and(|(_, next)| *next == quote) {
            chars.next();
            inner.push(quote);
        } else {
            return (inner, rest.get(at + char.len_utf8()..).unwrap_or_default());
        }
    }
    (inner, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, statement: Statement) {
        assert_eq!(classify(text), statement, "{text}");
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
        check("insert into posts values (1)", Statement::Rows);
        check("XA ROLLBACK 'a'", Statement::XaRollback);
        check("GRANT ALL ON *.* TO x", Statement::Harmless);
        check("", Statement::Harmless);
    }

    #[test]
    fn a_table_that_goes_is_told_from_one_that_is_swapped() {
        let gone = |text: &str| takes_away(text, "shop", "posts");
        assert!(gone("DROP TABLE IF EXISTS `shop`.`posts`,`x`"));
        assert!(gone("drop database shop"));
        assert!(gone("RENAME TABLE posts TO old"));
        assert!(gone("RENAME TABLE `shop`.`posts` TO `shop`.`old`, a TO b"));
        assert!(gone("CREATE OR REPLACE TABLE posts (id int)"));
        assert!(!gone(
            "RENAME TABLE `posts` TO `_posts_old`, `_posts_new` TO `posts`"
        ));
        assert!(!gone("RENAME TABLE a TO posts_b"));
        assert!(!gone("DROP TEMPORARY TABLE posts"));
        assert!(!gone("ALTER TABLE posts DROP COLUMN x"));
        assert!(!gone("DROP TABLE posts_old"));
    }

    #[test]
    fn a_table_is_named_as_a_word_only() {
        assert!(names("ALTER TABLE `shop`.`Posts` ADD x int", "posts"));
        assert!(names("drop table a, posts", "posts"));
        assert!(!names("ALTER TABLE posts_old ADD x int", "posts"));
    }

    proptest! {
        #[test]
        fn noise_never_panics(text in ".{0,80}") {
            let _ = classify(&text);
            let _ = names(&text, "posts");
        }
    }
}
