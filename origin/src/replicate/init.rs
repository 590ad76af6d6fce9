//! `edgewise replicate init`: a mapping file guessed from names in the source's catalogue.
//!
//! A guess is a starting point for a person: whatever is not evident carries a comment, and a
//! table that cannot be mapped as it is stands there commented out with the reason.

mod names;
#[cfg(test)]
mod tests;

use std::fmt::Write;

use self::names::{
    AUTHOR, CREATED, DELETED, FOLLOWED, FOLLOWER, Guess, HAPPENED, ITEM, TYPE, USER, kind_of,
};
use super::mapping::Column;

/// Most tables that are looked at.
pub const TABLES_MAX: usize = 2_000;

/// A table of the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CatalogTable {
    /// With its schema or database: `public.posts`.
    pub name: String,
    /// Its columns in order.
    pub columns: Vec<Column>,
}

/// A mapping file for what `tables` seem to be.
#[must_use]
pub fn guess(name: &str, url: &str, tables: &[CatalogTable]) -> String {
    let mut text = format!(
        "# Guessed from the catalogue by `edgewise replicate init`. Read it, correct it, then run\n\
         # `edgewise replicate check`. docs/mapping.md has every key.\n\n\
         [[source]]\nname = {}\n# Give the password in the environment: EDGEWISE_SOURCE_{}__URL\nurl = {}\n",
        quoted(name),
        name.to_uppercase(),
        quoted(url)
    );
    let mut found = 0;
    for table in tables.iter().take(TABLES_MAX) {
        if let Some(guess) = kind_of(&table.name) {
            text.push('\n');
            text.push_str(&entry(table, guess));
            found += 1;
        }
    }
    if found == 0 {
        text.push_str(
            "\n# No table has a name that says what it is. An entry looks like this:\n\
             # [[source.table]]\n# table = \"public.posts\"\n# to = \"items\"        # items, users, follows or events\n\
             # id = \"id\"\n# author = \"author_id\"\n# created_at = \"created_at\"\n",
        );
    }
    text
}

/// One field of an entry.
struct Field {
    name: &'static str,
    value: Option<String>,
    /// What was guessed.
    note: Option<&'static str>,
    is_required: bool,
}

fn entry(table: &CatalogTable, guess: Guess) -> String {
    let columns = Columns(&table.columns);
    let (to, fields) = match guess {
        Guess::Items => ("items", columns.items()),
        Guess::Users => ("users", columns.users()),
        Guess::Follows => ("follows", columns.follows()),
        Guess::Events(kind) => ("events", columns.events(kind)),
    };
    let mut lines = vec![
        "[[source.table]]".to_owned(),
        format!("table = {}", quoted(&table.name)),
        format!("to = {}", quoted(to)),
    ];
    for field in &fields {
        if let Some(value) = &field.value {
            let note = field.note.map(|note| format!("  # guessed: {note}"));
            let note = note.unwrap_or_default();
            lines.push(format!("{} = {}{note}", field.name, quoted(value)));
        }
    }
    let missing: Vec<&str> = fields
        .iter()
        .filter(|field| field.is_required && field.value.is_none())
        .map(|field| field.name)
        .collect();
    let mut why = String::new();
    if !missing.is_empty() {
        let names: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(
            why,
            "# {}: no column looks like {}; name it and remove the marks. Columns: {}",
            table.name,
            missing.join(", "),
            names.join(", ")
        );
    }
    if !table.columns.iter().any(|column| column.is_key) {
        let _ = writeln!(
            why,
            "# {}: it has no primary key, by which rows are told apart: ALTER TABLE {} ADD PRIMARY KEY (...);\n\
             # or name the columns of a unique index here: key = [\"...\"]",
            table.name, table.name
        );
    }
    let mark = if why.is_empty() { "" } else { "# " };
    lines.iter().fold(why, |mut text, line| {
        let _ = writeln!(text, "{mark}{line}");
        text
    })
}

/// A table's columns, asked by what they may be called.
struct Columns<'a>(&'a [Column]);

impl Columns<'_> {
    fn find(&self, names: &[&str]) -> Option<&Column> {
        names.iter().find_map(|name| {
            self.0
                .iter()
                .find(|column| column.name.eq_ignore_ascii_case(name))
        })
    }

    fn named(&self, names: &[&str], but: Option<&str>) -> Option<String> {
        let names: Vec<&str> = names
            .iter()
            .copied()
            .filter(|name| but.is_none_or(|but| !but.eq_ignore_ascii_case(name)))
            .collect();
        self.find(&names).map(|column| column.name.clone())
    }

    fn field(&self, name: &'static str, names: &[&str], is_required: bool) -> Field {
        Field {
            name,
            value: self.named(names, None),
            note: None,
            is_required,
        }
    }

    /// A time: integers are milliseconds where their name says so, else seconds.
    fn time(&self, name: &'static str, names: &[&str], is_required: bool) -> Field {
        let column = self.find(names);
        let (value, note) = match column {
            None => (None, None),
            Some(column) if is_integer(column) && column.name.to_lowercase().ends_with("_ms") => {
                (Some(format!("epoch_ms({})", column.name)), None)
            }
            Some(column) if is_integer(column) => (
                Some(format!("epoch_s({})", column.name)),
                Some("seconds; epoch_ms(...) where it is milliseconds"),
            ),
            Some(column) => (Some(column.name.clone()), None),
        };
        Field {
            name,
            value,
            note,
            is_required,
        }
    }

    fn duration(&self) -> Field {
        let seconds = self
            .named(
                &[
                    "duration_s",
                    "duration_seconds",
                    "length_s",
                    "length_seconds",
                ],
                None,
            )
            .map(|column| (format!("{column} * 1000"), None));
        let bare = self
            .named(&["duration", "length"], None)
            .map(|column| (format!("{column} * 1000"), Some("it is in seconds")));
        let exact = self.named(&["duration_ms", "length_ms"], None);
        let (value, note) = exact
            .map(|column| (column, None))
            .or(seconds)
            .or(bare)
            .map_or((None, None), |(value, note)| (Some(value), note));
        Field {
            name: "duration_ms",
            value,
            note,
            is_required: false,
        }
    }

    /// `id`, else the key where it is one column.
    fn id(&self) -> Field {
        let mut keys = self.0.iter().filter(|column| column.is_key);
        let key = keys.next().filter(|_| keys.next().is_none());
        Field {
            name: "id",
            value: self
                .named(&["id", "uuid"], None)
                .or_else(|| key.map(|column| column.name.clone())),
            note: None,
            is_required: true,
        }
    }

    fn items(&self) -> Vec<Field> {
        vec![
            self.id(),
            self.field("author", AUTHOR, true),
            self.time("created_at", CREATED, true),
            self.field(
                "kind",
                &["kind", "content_type", "media_type", "type"],
                false,
            ),
            self.duration(),
            self.field("tags", &["tags", "topics", "hashtags"], false),
            self.field("region", &["region", "country", "country_code"], false),
            self.field("language", &["language", "lang", "locale"], false),
            self.field("title", &["title", "headline", "name", "caption"], false),
            self.field(
                "thumbnail",
                &[
                    "thumbnail",
                    "thumbnail_url",
                    "cover_url",
                    "image_url",
                    "poster_url",
                ],
                false,
            ),
            self.field(
                "link",
                &["link", "url", "permalink", "canonical_url"],
                false,
            ),
            self.field("deleted", DELETED, false),
        ]
    }

    fn users(&self) -> Vec<Field> {
        vec![self.id(), self.field("deleted", DELETED, false)]
    }

    fn follows(&self) -> Vec<Field> {
        let user = self.named(FOLLOWER, None);
        let author = self.named(FOLLOWED, user.as_deref());
        vec![
            Field {
                name: "user",
                value: user,
                note: None,
                is_required: true,
            },
            Field {
                name: "author",
                value: author,
                note: None,
                is_required: true,
            },
            self.time("since", CREATED, false),
            self.field("deleted", DELETED, false),
        ]
    }

    fn events(&self, kind: Option<&'static str>) -> Vec<Field> {
        let kind = match kind {
            Some(kind) => Field {
                name: "type",
                value: Some(format!("'{kind}'")),
                note: None,
                is_required: true,
            },
            None => Field {
                note: Some("its values are event types; else map them with case ... when ... end"),
                ..self.field("type", TYPE, true)
            },
        };
        vec![
            kind,
            self.field("user", USER, true),
            self.field("item", ITEM, true),
            self.time("ts", HAPPENED, true),
            self.field(
                "watch_ms",
                &["watch_ms", "watched_ms", "watch_time_ms", "play_ms"],
                false,
            ),
            self.duration(),
            self.field(
                "value",
                &["value", "amount", "price", "total", "rating"],
                false,
            ),
            self.field("deleted", DELETED, false),
        ]
    }
}

fn is_integer(column: &Column) -> bool {
    column.type_name.contains("int") || column.type_name.contains("serial")
}

/// A TOML string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => {
                // Writing to a string cannot fail.
                let _ = write!(quoted, "\\u{:04X}", u32::from(control));
            }
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}
