//! Text for a terminal: what data says cannot move the cursor or begin a line of its own, and
//! commands can be pasted into a shell.

use std::borrow::Cow;

/// A text on one line: control characters, and those that turn the direction of text or that
/// nobody sees, are escaped (`\n`, `\u{1b}`).
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_hidden)
}

/// The same for a text of several lines.
#[must_use]
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && is_hidden(c))
}

fn escaped(text: &str, is_hidden: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_hidden(c) {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

fn is_hidden(c: char) -> bool {
    let is_format = matches!(
        c,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    );
    c.is_control() || is_format
}

/// A word of a command, in quotes where a shell would read it otherwise.
#[must_use]
pub fn shell_word(word: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_alphanumeric() || "_-./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_data_reaches_a_terminal_but_as_text() {
        assert_eq!(line("id=7 café 日本"), "id=7 café 日本");
        assert_eq!(
            line("a\u{1b}[31mb\nc\u{9b}\u{202e}"),
            r"a\u{1b}[31mb\nc\u{9b}\u{202e}"
        );
        assert_eq!(lines("a\nb\rc\u{7f}"), "a\nb\\rc\\u{7f}");
    }

    #[test]
    fn commands_are_quoted_where_a_shell_asks_for_it() {
        assert_eq!(shell_word("public.posts"), "public.posts");
        assert_eq!(shell_word("My Schema.Posts"), "'My Schema.Posts'");
        assert_eq!(shell_word("public.posts->items"), "'public.posts->items'");
        assert_eq!(shell_word("o'x$(id)"), r"'o'\''x$(id)'");
        assert_eq!(shell_word(""), "''");
    }
}
