//! `like`: `%` any text, `_` one character, `\` takes the next literally.

/// A compiled pattern: the parts between its `%`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pattern {
    /// At least one; each a sequence of characters, `None` = any one.
    parts: Vec<Vec<Option<char>>>,
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Self {
        let mut parts = vec![Vec::new()];
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let element = match c {
                '%' => {
                    parts.push(Vec::new());
                    continue;
                }
                '_' => None,
                '\\' => Some(chars.next().unwrap_or('\\')),
                c => Some(c),
            };
            if let Some(part) = parts.last_mut() {
                part.push(element);
            }
        }
        Self { parts }
    }

    /// The pattern with `escape` before what is taken literally.
    pub(crate) fn escaped(&self, escape: char) -> String {
        let mut parts = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let mut text = String::new();
            for element in part {
                match element {
                    None => text.push('_'),
                    Some(c) => {
                        if ['%', '_', escape].contains(c) {
                            text.push(escape);
                        }
                        text.push(*c);
                    }
                }
            }
            parts.push(text);
        }
        parts.join("%")
    }

    /// Whether the whole text is like the pattern: the first part at its start, the last at its
    /// end, the others one after another between, each as early as it can be.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let (Some(first), Some(last)) = (self.parts.first(), self.parts.last()) else {
            return text.is_empty();
        };
        let Some(mut rest) = prefix(first, text) else {
            return false;
        };
        if self.parts.len() == 1 {
            return rest.is_empty();
        }
        for part in self.parts.get(1..self.parts.len() - 1).unwrap_or_default() {
            match find(part, rest) {
                Some(after) => rest = after,
                None => return false,
            }
        }
        is_suffix(last, rest)
    }
}

/// What follows `part` at the start of `text`.
fn prefix<'a>(part: &[Option<char>], text: &'a str) -> Option<&'a str> {
    let mut chars = text.chars();
    for element in part {
        let c = chars.next()?;
        if element.is_some_and(|wanted| wanted != c) {
            return None;
        }
    }
    Some(chars.as_str())
}

/// What follows the first place where `part` is in `text`.
fn find<'a>(part: &[Option<char>], text: &'a str) -> Option<&'a str> {
    let mut rest = text;
    loop {
        if let Some(after) = prefix(part, rest) {
            return Some(after);
        }
        let mut chars = rest.chars();
        chars.next()?;
        rest = chars.as_str();
    }
}

fn is_suffix(part: &[Option<char>], text: &str) -> bool {
    let mut chars = text.chars();
    part.iter().rev().all(|element| {
        chars
            .next_back()
            .is_some_and(|c| element.is_none_or(|wanted| wanted == c))
    })
}
