//! Names as SQL writes them.

/// A name as SQL writes it.
#[must_use]
pub(super) fn ident(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let first = name.chars().next();
    if name.chars().all(plain) && first.is_some_and(|c| !c.is_ascii_digit()) && !is_keyword(name) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Reserved words that are plausible names.
fn is_keyword(name: &str) -> bool {
    const WORDS: [&str; 20] = [
        "all",
        "analyse",
        "analyze",
        "and",
        "any",
        "array",
        "case",
        "check",
        "column",
        "default",
        "desc",
        "end",
        "from",
        "group",
        "limit",
        "order",
        "references",
        "table",
        "user",
        "when",
    ];
    WORDS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_where_sql_needs_it() {
        let quoted = ["posts", "Posts", "order", "9lives", "a\"b", ""].map(ident);
        assert_eq!(
            quoted,
            [
                "posts",
                "\"Posts\"",
                "\"order\"",
                "\"9lives\"",
                "\"a\"\"b\"",
                "\"\""
            ]
        );
    }
}
