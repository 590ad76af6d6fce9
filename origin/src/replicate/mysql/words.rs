//! The words of a statement of the binlog.

/// What a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword, a number or a name without quotes.
    Plain,
    /// A name in backquotes or double quotes.
    Quoted,
    /// Text in single quotes.
    Text,
    /// A single other character.
    Mark,
}

/// A word, without its quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) kind: Kind,
}

impl Word {
    /// Whether this is a keyword (given in capitals) or a mark.
    pub(super) fn is(&self, keyword: &str) -> bool {
        matches!(self.kind, Kind::Plain | Kind::Mark) && self.text.eq_ignore_ascii_case(keyword)
    }

    /// Whether this can be a name.
    pub(super) fn is_name(&self) -> bool {
        matches!(self.kind, Kind::Plain | Kind::Quoted)
    }
}

/// Whether a statement's word may be this name. Names have no case here; a statement in another
/// character set than UTF-8 cannot be read where the name is not ASCII, and may mean it.
pub(super) fn is_same(word: &str, name: &str) -> bool {
    word.eq_ignore_ascii_case(name)
        || !name.is_ascii()
            && (word.to_lowercase() == name.to_lowercase()
                || word.contains(char::REPLACEMENT_CHARACTER))
}

/// How a session writes text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escapes {
    /// `\'` stands for a quote.
    Backslash,
    /// `sql_mode` has `NO_BACKSLASH_ESCAPES`: only a doubled quote does.
    Doubled,
}

/// The words of a statement. Comments are passed over, but what stands in executable ones
/// (`/*!50001 … */`) counts, whatever the version.
pub(super) struct Words<'a> {
    rest: &'a str,
    escapes: Escapes,
}

impl<'a> Words<'a> {
    pub(super) fn of(text: &'a str, escapes: Escapes) -> Self {
        Self {
            rest: text,
            escapes,
        }
    }

    /// Passes over space and comments.
    fn skip(&mut self) {
        loop {
            let rest = self.rest.trim_start();
            let executable = rest
                .strip_prefix("/*!")
                .or_else(|| rest.strip_prefix("/*M!"));
            self.rest = if let Some(after) = executable {
                after.trim_start_matches(|char: char| char.is_ascii_digit())
            } else if let Some(after) = rest.strip_prefix("*/") {
                after
            } else if let Some(after) = rest.strip_prefix("/*") {
                after.split_once("*/").map_or("", |(_, after)| after)
            } else if rest.starts_with('#') || is_dashes(rest) {
                rest.split_once('\n').map_or("", |(_, after)| after)
            } else {
                self.rest = rest;
                return;
            };
        }
    }
}

/// `--` begins a comment only before a space.
fn is_dashes(rest: &str) -> bool {
    rest.strip_prefix("--")
        .is_some_and(|after| after.chars().next().is_none_or(char::is_whitespace))
}

impl Iterator for Words<'_> {
    type Item = Word;

    fn next(&mut self) -> Option<Word> {
        self.skip();
        let first = self.rest.chars().next()?;
        let (text, kind, rest) = match first {
            '`' | '"' => {
                let (inner, rest) = quoted(self.rest, first, self.escapes);
                (inner, Kind::Quoted, rest)
            }
            '\'' => {
                let (inner, rest) = quoted(self.rest, first, self.escapes);
                (inner, Kind::Text, rest)
            }
            _ if is_word(first) => {
                let end = self.rest.find(|char| !is_word(char));
                let (inner, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
                (inner.to_owned(), Kind::Plain, rest)
            }
            mark => {
                let rest = self.rest.strip_prefix(mark).unwrap_or_default();
                (mark.to_string(), Kind::Mark, rest)
            }
        };
        self.rest = rest;
        Some(Word { text, kind })
    }
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '_' | '$' | char::REPLACEMENT_CHARACTER)
}

/// The text between quotes (doubled ones stand for themselves) and what follows.
fn quoted(rest: &str, quote: char, escapes: Escapes) -> (String, &str) {
    let mut inner = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, char)) = chars.next() {
        if char == '\\' && quote != '`' && escapes == Escapes::Backslash {
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

/// A reader of words, from the first to the last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [Word],
}

impl<'a> Reader<'a> {
    pub(super) fn new(words: &'a [Word]) -> Self {
        Self { rest: words }
    }

    pub(super) fn rest(&self) -> &'a [Word] {
        self.rest
    }

    /// Whether these keywords come next.
    pub(super) fn is_at(&self, keywords: &[&str]) -> bool {
        self.rest.len() >= keywords.len()
            && self.rest.iter().zip(keywords).all(|(w, key)| w.is(key))
    }

    /// Passes over these keywords where they come next.
    pub(super) fn eat(&mut self, keywords: &[&str]) -> bool {
        let is_here = self.is_at(keywords);
        if is_here {
            self.rest = self.rest.get(keywords.len()..).unwrap_or_default();
        }
        is_here
    }

    /// Passes over one of these keywords.
    pub(super) fn eat_one(&mut self, of: &[&str]) -> bool {
        of.iter().any(|keyword| self.eat(&[keyword]))
    }

    pub(super) fn word(&mut self) -> Option<&'a Word> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// A name.
    pub(super) fn name(&mut self) -> Option<String> {
        let name = self.word().filter(|word| word.is_name())?;
        Some(name.text.clone())
    }

    /// The parts between commas that stand in no parentheses.
    pub(super) fn parts(&self) -> Vec<&'a [Word]> {
        let mut depth = 0_usize;
        let parts = self.rest.split(|word| {
            if word.is("(") {
                depth += 1;
            } else if word.is(")") {
                depth = depth.saturating_sub(1);
            }
            depth == 0 && word.is(",")
        });
        parts.collect()
    }

    /// What stands in the parentheses that come next, by commas.
    pub(super) fn arguments(&mut self) -> Option<Vec<&'a [Word]>> {
        if !self.eat(&["("]) {
            return None;
        }
        let mut depth = 1_usize;
        let end = self.rest.iter().position(|word| {
            if word.is("(") {
                depth += 1;
            } else if word.is(")") {
                depth -= 1;
            }
            depth == 0
        })?;
        let inside = Self::new(self.rest.get(..end)?);
        self.rest = self.rest.get(end + 1..)?;
        Some(inside.parts())
    }
}
