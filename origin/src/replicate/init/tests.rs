//! What is guessed from which tables.

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
