//! `edgewise replicate init`: a mapping file guessed from names in the source's catalogue.
//!
//! A guess is a starting point for a person: whatever is not evident carries a comment, and a
//! table that cannot be mapped as it is stands there commented out with the reason.

use std::fmt::Write;

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

/// What a table's name says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guess {
    Items,
    Users,
    Follows,
    /// With the event type that every row is, where the table is of one type.
    Events(Option<&'static str>),
}

const TABLE_NAMES: [(&[&str], Guess); 13] = [
    (
        &[
            "post", "video", "item", "article", "product", "clip", "story", "reel", "short",
            "media", "content", "track", "episode", "photo",
        ],
        Guess::Items,
    ),
    (&["user", "account", "profile", "member"], Guess::Users),
    (
        &[
            "follow",
            "follower",
            "following",
            "subscription",
            "user_follow",
        ],
        Guess::Follows,
    ),
    (
        &["like", "favorite", "favourite", "heart", "upvote"],
        Guess::Events(Some("like")),
    ),
    (&["comment", "reply"], Guess::Events(Some("comment"))),
    (
        &["share", "repost", "retweet"],
        Guess::Events(Some("share")),
    ),
    (
        &["view", "play", "watch", "watch_history"],
        Guess::Events(Some("view")),
    ),
    (&["click"], Guess::Events(Some("click"))),
    (&["impression"], Guess::Events(Some("impression"))),
    (&["purchase", "order"], Guess::Events(Some("purchase"))),
    (&["hide", "mute", "block"], Guess::Events(Some("hide"))),
    (
        &["event", "activity", "interaction", "user_event"],
        Guess::Events(None),
    ),
    (&["engagement"], Guess::Events(None)),
];

const AUTHOR: &[&str] = &[
    "author_id",
    "user_id",
    "creator_id",
    "owner_id",
    "seller_id",
    "channel_id",
    "account_id",
    "author",
    "created_by",
];
const CREATED: &[&str] = &[
    "created_at",
    "published_at",
    "inserted_at",
    "posted_at",
    "uploaded_at",
    "created_on",
    "created",
    "created_ms",
    "created_at_ms",
    "timestamp",
    "ts",
    "ts_ms",
];
const HAPPENED: &[&str] = &[
    "ts",
    "ts_ms",
    "occurred_at",
    "happened_at",
    "event_time",
    "created_at",
    "viewed_at",
    "watched_at",
    "liked_at",
    "clicked_at",
    "shared_at",
    "timestamp",
    "created",
    "created_ms",
    "time",
];
const USER: &[&str] = &[
    "user_id",
    "viewer_id",
    "actor_id",
    "account_id",
    "member_id",
    "author_id",
    "customer_id",
    "user",
    "created_by",
];
const ITEM: &[&str] = &[
    "item_id",
    "post_id",
    "video_id",
    "article_id",
    "product_id",
    "clip_id",
    "story_id",
    "reel_id",
    "media_id",
    "content_id",
    "track_id",
    "episode_id",
    "photo_id",
    "target_id",
    "item",
    "post",
    "video",
];
const FOLLOWER: &[&str] = &[
    "follower_id",
    "subscriber_id",
    "from_user_id",
    "user_id",
    "follower",
];
const FOLLOWED: &[&str] = &[
    "followee_id",
    "followed_id",
    "following_id",
    "author_id",
    "channel_id",
    "target_id",
    "to_user_id",
    "creator_id",
    "followed_user_id",
    "user_id",
    "followee",
];
const DELETED: &[&str] = &["deleted_at", "removed_at", "deleted", "is_deleted"];
const TYPE: &[&str] = &["type", "event_type", "kind", "action", "event", "name"];

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

fn kind_of(table: &str) -> Option<Guess> {
    let last = table.rsplit('.').next().unwrap_or(table).to_lowercase();
    let is = |word: &str| {
        last == word
            || last == format!("{word}s")
            || word
                .strip_suffix('y')
                .is_some_and(|stem| last == format!("{stem}ies"))
    };
    TABLE_NAMES
        .iter()
        .find(|(words, _)| words.iter().any(|word| is(word)))
        .map(|&(_, guess)| guess)
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

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    /// `table: column type key, ...` a line.
    fn catalogue(text: &str) -> Vec<CatalogTable> {
        let column = |text: &str| {
            let mut words = text.split_whitespace();
            Column {
                name: words.next().unwrap_or_default().to_owned(),
                type_name: words.next().unwrap_or_default().to_owned(),
                is_key: words.next() == Some("key"),
                nullable: None,
            }
        };
        let table = |line: &str| {
            let (name, columns) = line.split_once(':').expect("table: columns");
            CatalogTable {
                name: name.trim().to_owned(),
                columns: columns.split(',').map(column).collect(),
            }
        };
        text.lines()
            .filter(|l| !l.trim().is_empty())
            .map(table)
            .collect()
    }

    #[track_caller]
    fn check(tables: &str, expected: Expect) {
        let text = guess("main", "postgres://app@db/shop", &catalogue(tables));
        let parsed: Result<crate::replicate::config::Mapping, _> = toml::from_str(&text);
        parsed.unwrap_or_else(|error| panic!("{error}\n{text}"));
        let (_, entries) = text.split_once("/shop\"\n").expect("a head");
        expected.assert_eq(entries);
    }

    #[test]
    fn the_obvious_schema_is_mapped_whole() {
        check(
            "public.posts: id int8 key, author_id int8, title text, tags text[], created_at timestamptz, deleted_at timestamptz
             public.users: id int8 key, email text
             public.follows: follower_id int8 key, followee_id int8 key, created_at timestamptz
             public.likes: id int8 key, user_id int8, post_id int8, created_at timestamptz
             public.migrations: id int4 key",
            expect![[r#"

                [[source.table]]
                table = "public.posts"
                to = "items"
                id = "id"
                author = "author_id"
                created_at = "created_at"
                tags = "tags"
                title = "title"
                deleted = "deleted_at"

                [[source.table]]
                table = "public.users"
                to = "users"
                id = "id"

                [[source.table]]
                table = "public.follows"
                to = "follows"
                user = "follower_id"
                author = "followee_id"
                since = "created_at"

                [[source.table]]
                table = "public.likes"
                to = "events"
                type = "'like'"
                user = "user_id"
                item = "post_id"
                ts = "created_at"
            "#]],
        );
    }

    #[test]
    fn guesses_carry_a_comment() {
        check(
            "shop.videos: video_id bigint key, creator_id bigint, created bigint, duration int, lang varchar
             shop.events: id bigint key, kind varchar, user_id bigint, video_id bigint, ts_ms bigint, watch_ms int",
            expect![[r#"

                [[source.table]]
                table = "shop.videos"
                to = "items"
                id = "video_id"
                author = "creator_id"
                created_at = "epoch_s(created)"  # guessed: seconds; epoch_ms(...) where it is milliseconds
                duration_ms = "duration * 1000"  # guessed: it is in seconds
                language = "lang"

                [[source.table]]
                table = "shop.events"
                to = "events"
                type = "kind"  # guessed: its values are event types; else map them with case ... when ... end
                user = "user_id"
                item = "video_id"
                ts = "epoch_ms(ts_ms)"
                watch_ms = "watch_ms"
            "#]],
        );
    }

    #[test]
    fn what_cannot_be_mapped_stands_there_with_the_reason() {
        check(
            "public.views: user_id int8, video_id int8, at timestamptz
             public.followers: id int8 key, user_id int8, follower_id int8",
            expect![[r#"

                # public.views: no column looks like ts; name it and remove the marks. Columns: user_id, video_id, at
                # public.views: it has no primary key, by which rows are told apart: ALTER TABLE public.views ADD PRIMARY KEY (...);
                # or name the columns of a unique index here: key = ["..."]
                # [[source.table]]
                # table = "public.views"
                # to = "events"
                # type = "'view'"
                # user = "user_id"
                # item = "video_id"

                [[source.table]]
                table = "public.followers"
                to = "follows"
                user = "follower_id"
                author = "user_id"
            "#]],
        );
    }

    #[test]
    fn a_catalogue_of_other_things_gets_an_example() {
        check(
            "public.invoices: id int8 key",
            expect![[r#"

            # No table has a name that says what it is. An entry looks like this:
            # [[source.table]]
            # table = "public.posts"
            # to = "items"        # items, users, follows or events
            # id = "id"
            # author = "author_id"
            # created_at = "created_at"
        "#]],
        );
    }
}
