//! Whole tables: configuration and columns in, facts out.

use expect_test::{Expect, expect};

use super::*;
use crate::ingest::rows::ItemField;
use crate::replicate::config::TableConfig;
use crate::replicate::value::Value::{self, Bytes, Float, Int, Null, Text, Unchanged};

pub(super) const POSTS: &str = r#"
table = "public.posts"
to = "items"
id = "id"
author = "user_id"
created_at = "created_at"
kind = "case kind when 1 then 'video' else 'post' end"
duration_ms = "duration"
tags = "tags"
region = "region"
title = "title"
thumbnail = "picture"
link = "'https://example.org/p/' || id"
deleted = "deleted_at"
where = "published"
[contract.columns.title]
not_null = true
max_length = 500
[contract.columns.duration]
min = 0
max = 3600000
[contract.columns.region]
one_of = ["de", "fr"]
"#;

pub(super) const POST_COLUMNS: &str = "id:int8! user_id:int8 created_at:timestamptz kind:int2 duration:int4 \
    tags:_text region:text title:text picture:text deleted_at:timestamptz published:bool body:text";

pub(super) const EVENTS: &str = r#"
table = "shop.actions"
to = "events"
type = "case kind when 1 then 'like' when 2 then 'view' when 3 then 'follow' end"
user = "user_id"
item = "post_id"
author = "author_id"
ts = "at"
watch_ms = "watched"
value = "amount"
"#;

pub(super) const EVENT_COLUMNS: &str = "id:bigint! kind:tinyint user_id:bigint post_id:bigint author_id:bigint at:datetime(3) watched:int amount:decimal(10,2)";

pub(super) fn plan(toml: &str) -> TablePlan {
    TablePlan::compile(&toml::from_str::<TableConfig>(toml).unwrap()).unwrap()
}

/// `name:type!` with `!` for the key's columns and `~` for a space.
pub(super) fn columns(text: &str) -> Vec<Column> {
    text.split_whitespace()
        .map(|column| {
            let (name, type_name) = column.split_once(':').unwrap_or((column, ""));
            Column {
                name: name.to_owned(),
                type_name: type_name.trim_end_matches('!').replace('~', " "),
                is_key: column.ends_with('!'),
                nullable: None,
            }
        })
        .collect()
}

pub(super) fn bound(toml: &str, text: &str) -> BoundTable {
    plan(toml).bind(&columns(text)).unwrap()
}

/// A plan-ordered row: named columns have a value, the others are NULL.
pub(super) fn row<'a>(bound: &BoundTable, values: &[(&str, Value<'a>)]) -> Vec<Value<'a>> {
    let value = |name: &String| values.iter().find(|(known, _)| known == name);
    let names = bound.columns().iter();
    names
        .map(|name| value(name).map_or(Null, |(_, value)| *value))
        .collect()
}

const POST: [(&str, Value<'static>); 9] = [
    ("id", Text("7")),
    ("user_id", Text("42")),
    ("created_at", Text("2026-11-21 13:40:00.5+00")),
    ("kind", Text("1")),
    ("duration", Text("9000")),
    ("tags", Text("{cats,\"big cats\",cats}")),
    ("region", Text("de")),
    ("title", Text("Hello")),
    ("published", Text("t")),
];

/// The post with some columns changed.
pub(super) fn post<'a>(
    bound: &BoundTable,
    changed: &[(&'static str, Value<'a>)],
) -> Vec<Value<'a>> {
    row(bound, &[changed, &POST].concat())
}

fn told(mapped: &Mapped) -> String {
    match mapped {
        Mapped::Put(Fact::Item(item)) => serde_json::to_string(item).unwrap(),
        Mapped::Put(fact) => format!("{fact:?}"),
        Mapped::Patch(item, kept) => {
            format!("{} kept {:b}", serde_json::to_string(item).unwrap(), kept.0)
        }
        Mapped::Remove => "remove".to_owned(),
        Mapped::Refused(violation) => {
            format!(
                "refused {} [{}]: {}",
                violation.rule, violation.column, violation.reason
            )
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a line a case")]
fn a_row_becomes_an_item_a_patch_nothing_or_a_refusal() {
    let bound = bound(POSTS, POST_COLUMNS);
    let long = "é".repeat(200);
    let many = format!(
        "{{{}}}",
        (0..20).map(|n| n.to_string()).collect::<Vec<_>>().join(",")
    );
    let cases: &[&[(&'static str, Value<'_>)]] = &[
        &[],
        &[
            ("kind", Null),
            ("duration", Null),
            ("tags", Null),
            ("region", Null),
        ],
        &[("title", Text(&long))],
        &[("tags", Text(&many))],
        &[("picture", Text(""))],
        &[("published", Text("f"))],
        &[("published", Null)],
        &[("deleted_at", Text("2026-11-21 14:00:00+00"))],
        &[
            ("deleted_at", Text("2026-11-21 14:00:00+00")),
            ("title", Null),
        ],
        &[("title", Unchanged), ("picture", Unchanged)],
        &[
            ("user_id", Unchanged),
            ("tags", Unchanged),
            ("created_at", Unchanged),
        ],
        &[("id", Unchanged)],
        &[("published", Unchanged)],
        &[("deleted_at", Unchanged)],
        &[("title", Null)],
        &[("user_id", Null)],
        &[("created_at", Text("infinity"))],
        &[("created_at", Null)],
        &[("duration", Text("-5"))],
        &[("duration", Text("4000000"))],
        &[("region", Text("xx"))],
        &[("title", Bytes(b"ab\xff"))],
        &[("picture", Text("javascript:alert(1)"))],
        &[("tags", Text("{{a}}"))],
        &[("kind", Text("one"))],
    ];
    let told: Vec<String> = cases
        .iter()
        .map(|changed| {
            format!(
                "{changed:.60?}\n    {}\n",
                told(&bound.map(&post(&bound, changed)))
            )
        })
        .collect();
    expect![[r#"
        []
            {"id":"7","author":"42","created_at":1795268400500,"kind":"video","duration_ms":9000,"tags":["cats","big cats"],"region":"de","title":"Hello","link":"https://example.org/p/7"}
        [("kind", Null), ("duration", Null), ("tags", Null), ("region", Null)]
            {"id":"7","author":"42","created_at":1795268400500,"kind":"post","tags":[],"title":"Hello","link":"https://example.org/p/7"}
        [("title", Text("éééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé"))]
            {"id":"7","author":"42","created_at":1795268400500,"kind":"video","duration_ms":9000,"tags":["cats","big cats"],"region":"de","title":"éééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé","link":"https://example.org/p/7"}
        [("tags", Text("{0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19}"))]
            {"id":"7","author":"42","created_at":1795268400500,"kind":"video","duration_ms":9000,"tags":["0","1","2","3","4","5","6","7","8","9","10","11","12","13","14","15"],"region":"de","title":"Hello","link":"https://example.org/p/7"}
        [("picture", Text(""))]
            {"id":"7","author":"42","created_at":1795268400500,"kind":"video","duration_ms":9000,"tags":["cats","big cats"],"region":"de","title":"Hello","link":"https://example.org/p/7"}
        [("published", Text("f"))]
            remove
        [("published", Null)]
            remove
        [("deleted_at", Text("2026-11-21 14:00:00+00"))]
            remove
        [("deleted_at", Text("2026-11-21 14:00:00+00")), ("title", Null)]
            remove
        [("title", Unchanged), ("picture", Unchanged)]
            {"id":"7","author":"42","created_at":1795268400500,"kind":"video","duration_ms":9000,"tags":["cats","big cats"],"region":"de","title":"","link":"https://example.org/p/7"} kept 110000000
        [("user_id", Unchanged), ("tags", Unchanged), ("created_at", Unchanged)]
            {"id":"7","author":"","created_at":0,"kind":"video","duration_ms":9000,"tags":[],"region":"de","title":"Hello","link":"https://example.org/p/7"} kept 10011
        [("id", Unchanged)]
            refused unchanged [id]: id reads a value that was not sent because it did not change; make the source send it: ALTER TABLE … REPLICA IDENTITY FULL (PostgreSQL), binlog_row_image = FULL (MySQL, MariaDB)
        [("published", Unchanged)]
            refused unchanged [where]: where reads a value that was not sent because it did not change; make the source send it: ALTER TABLE … REPLICA IDENTITY FULL (PostgreSQL), binlog_row_image = FULL (MySQL, MariaDB)
        [("deleted_at", Unchanged)]
            refused unchanged [deleted_at]: deleted (column deleted_at) reads a value that was not sent because it did not change; make the source send it: ALTER TABLE … REPLICA IDENTITY FULL (PostgreSQL), binlog_row_image = FULL (MySQL, MariaDB)
        [("title", Null)]
            refused not_null [title]: column title is NULL, but the contract says not_null
        [("user_id", Null)]
            refused not_null [user_id]: author (column user_id) is NULL, but every such row needs it; correct the row or filter it with `where`
        [("created_at", Text("infinity"))]
            refused time [created_at]: created_at is "infinity", which no clock reaches; correct the row, or filter it by cast(column as text) in `where`
        [("created_at", Null)]
            refused not_null [created_at]: created_at is NULL, but every such row needs it; correct the row or filter it with `where`
        [("duration", Text("-5"))]
            refused range [duration]: column duration is -5, but the contract says in 0..3600000
        [("duration", Text("4000000"))]
            refused range [duration]: column duration is 4000000, but the contract says in 0..3600000
        [("region", Text("xx"))]
            refused one_of [region]: column region is "xx", but the contract says one of de, fr
        [("title", Bytes([97, 98, 255]))]
            refused utf8 [title]: title is not UTF-8 (byte 3 of 3); correct the row's text or map a binary column
        [("picture", Text("javascript:alert(1)"))]
            refused limit [picture]: thumbnail (column picture) is "javascript:alert(1)", but must be at most 4096 bytes: an http, https or relative URL, or data:image/; correct the row, or map it with an expression such as case … else null end
        [("tags", Text("{{a}}"))]
            refused type [tags]: tags is "{{a}}", which is not a list: it has more dimensions
        [("kind", Text("one"))]
            refused type [kind]: kind is "one", which is not a number
    "#]].assert_eq(&told.concat());
    let short = bound.map(&[Null]);
    assert!(matches!(
        short,
        Mapped::Refused(Violation { rule: "shape", .. })
    ));
}

#[test]
fn rows_become_events_follows_and_users() {
    let events = bound(EVENTS, EVENT_COLUMNS);
    let at = Text("2026-11-21 13:40:00.250");
    let event = |values: &[(&str, Value<'static>)]| {
        let all = [
            values,
            &[
                ("kind", Int(1)),
                ("user_id", Int(5)),
                ("post_id", Int(7)),
                ("at", at),
            ],
        ];
        told(&events.map(&row(&events, &all.concat())))
    };
    let follows = bound(
        "table='f'\nto='follows'\nuser='a'\nauthor='b'\nsince='epoch_s(at)'",
        "a:text! b:text! at:int8",
    );
    let follow = |values: &[(&str, Value<'static>)]| told(&follows.map(&row(&follows, values)));
    let users = bound(
        "table='u'\nto='users'\nid='lower(mail)'\ndeleted='gone'",
        "id! mail gone",
    );
    let user = |values: &[(&str, Value<'static>)]| told(&users.map(&row(&users, values)));
    let lines = [
        event(&[]),
        event(&[
            ("kind", Text("2")),
            ("watched", Int(1_500)),
            ("amount", Text("9.50")),
        ]),
        event(&[("kind", Int(3)), ("post_id", Null), ("author_id", Int(9))]),
        event(&[("post_id", Null)]),
        event(&[("kind", Int(9))]),
        event(&[("kind", Null)]),
        event(&[("kind", Unchanged)]),
        event(&[("user_id", Unchanged)]),
        event(&[("at", Null)]),
        event(&[("at", Int(5))]),
        event(&[("watched", Int(-1))]),
        event(&[("watched", Int(700_000_000))]),
        event(&[("amount", Float(f64::NAN))]),
        follow(&[
            ("a", Text("ann")),
            ("b", Text("bob")),
            ("at", Text("1700000000")),
        ]),
        follow(&[("a", Text("ann")), ("b", Text("bob"))]),
        follow(&[("a", Text("ann")), ("b", Text("bob")), ("at", Unchanged)]),
        follow(&[("a", Text("ann")), ("b", Text(""))]),
        user(&[("id", Int(1)), ("mail", Text("Ann@example.org"))]),
        user(&[
            ("id", Int(1)),
            ("mail", Text("a")),
            ("gone", Value::Bool(true)),
        ]),
        user(&[
            ("id", Int(1)),
            ("mail", Text("a")),
            ("gone", Value::Bool(false)),
        ]),
    ];
    expect![[r#"
        Event(EventFact { kind: Like, user: "5", item: Some("7"), author: None, ts_ms: 1795268400250, watch_ms: None, duration_ms: None, value: None })
        Event(EventFact { kind: View, user: "5", item: Some("7"), author: None, ts_ms: 1795268400250, watch_ms: Some(1500), duration_ms: None, value: Some(9.5) })
        Event(EventFact { kind: Follow, user: "5", item: None, author: Some("9"), ts_ms: 1795268400250, watch_ms: None, duration_ms: None, value: None })
        refused not_null [post_id]: item (column post_id) is NULL, but every such row needs it; correct the row or filter it with `where`
        refused not_null [type]: type is NULL, but every such row needs it; correct the row or filter it with `where`
        refused not_null [type]: type is NULL, but every such row needs it; correct the row or filter it with `where`
        refused unchanged [type]: type reads a value that was not sent because it did not change; make the source send it: ALTER TABLE … REPLICA IDENTITY FULL (PostgreSQL), binlog_row_image = FULL (MySQL, MariaDB)
        refused unchanged [user_id]: user (column user_id) reads a value that was not sent because it did not change; make the source send it: ALTER TABLE … REPLICA IDENTITY FULL (PostgreSQL), binlog_row_image = FULL (MySQL, MariaDB)
        refused not_null [at]: ts (column at) is NULL, but every such row needs it; correct the row or filter it with `where`
        refused time [at]: ts (column at) is a number, but must be a time: write epoch_ms(column) or epoch_s(column) in the mapping
        refused range [watched]: watch_ms (column watched) is -1, but must be in 0..604800000; correct the row or its unit
        refused range [watched]: watch_ms (column watched) is 700000000, but must be in 0..604800000; correct the row or its unit
        refused range [amount]: value (column amount) is NaN, but must be a finite number; correct the row, or filter it by cast(column as text) in `where`
        Follow { user: "ann", author: "bob", since_ms: Some(1700000000000) }
        Follow { user: "ann", author: "bob", since_ms: None }
        refused unchanged [since]: since reads a value that was not sent because it did not change; make the source send it: ALTER TABLE … REPLICA IDENTITY FULL (PostgreSQL), binlog_row_image = FULL (MySQL, MariaDB)
        refused id [b]: author (column b) is "", which is empty; an id has 1 to 64 bytes without control characters: map a shorter column
        User { id: "ann@example.org" }
        remove
        User { id: "a" }
    "#]].assert_eq(&(lines.join("\n") + "\n"));
}

#[track_caller]
fn check_plan(toml: &str, expect: Expect) {
    let config = toml::from_str::<TableConfig>(toml).unwrap();
    expect.assert_eq(&TablePlan::compile(&config).unwrap_err().to_string());
}

#[test]
fn a_wrong_entry_is_refused_by_name() {
    check_plan(
        "table='t'\nto='users'\nid='id'\ntitle='t'",
        expect!["t->users: title is no field of users; it has id, deleted"],
    );
    check_plan(
        "table='t'\nto='items'\nid='id'",
        expect![[
            r#"t->items: author is missing; add `author = "column or expression"` to its entry"#
        ]],
    );
    check_plan(
        "table='t'\nto='users'\nid='a +'",
        expect![[r#"t->users: id = "a +" cannot be read: Expected: an expression, found: EOF"#]],
    );
    check_plan(
        "table='t'\nto='users'\nid='id'\nwhere='sqrt(a) > 1'",
        expect![[
            r#"t->users: where = "sqrt(a) > 1" cannot be read: function sqrt is not supported at Line: 1, Column: 1 (sqrt(a) > 1); there are columns, literals, || + - * / comparisons, and, or, not, is null, in, between, like, case, coalesce, nullif, lower, upper, trim, left, substring, cast, epoch_ms, epoch_s, split and ->> 'name'"#
        ]],
    );
    check_plan(
        "table='t'\nto='events'\nuser='u'\nts='t'\ntype=\"'liked'\"",
        expect![[
            r#"t->events: type = "'liked'" cannot be read: "liked" is no event type; there are impression, view, click, like, unlike, comment, share, follow, unfollow, hide, purchase"#
        ]],
    );
    check_plan(
        "table='t'\nto='events'\nuser='u'\nts='t'\ntype=\"case k when 1 then 'lke' end\"",
        expect![[
            r#"t->events: type = "case k when 1 then 'lke' end" cannot be read: "lke" is no event type; there are impression, view, click, like, unlike, comment, share, follow, unfollow, hide, purchase"#
        ]],
    );
    check_plan(
        "table=''\nto='users'\nid='id'",
        expect![[
            r#"->users: table is "", but must be a name of 1 to 200 bytes, such as public.posts"#
        ]],
    );
    check_plan(
        "table='t'\nto='users'\nid='id'\n[contract.columns.a]\nmin=5\nmax=1",
        expect![
            "t->users: contract.columns.a.min is 5 with max 1, but must be finite and at most max"
        ],
    );
    check_plan(
        "table='t'\nto='users'\nid='id'\n[contract.columns.a]\ntype='number?'",
        expect![[
            r#"t->users: contract.columns.a.type is "number?", but must be integer, number, boolean, text, time or json"#
        ]],
    );
    check_plan(
        "table='t'\nto='users'\nid='id'\n[contract]\nmax_null_ratio=30.0",
        expect!["t->users: contract.max_null_ratio is 30, but must be 0 to 1"],
    );
}

#[test]
fn what_the_table_cannot_be_is_told_all_at_once() {
    let errors = |toml: &str, text: &str| {
        let errors = plan(toml).bind(&columns(text)).unwrap_err();
        errors
            .iter()
            .map(|error| format!("{error}\n"))
            .collect::<String>()
    };
    let post = errors(
        POSTS,
        "id:int8! userid:int8 created_at:timestamptz kind:int2 duration:int4 titel:text published:bool deleted_at:timestamp tags:_text region:text",
    );
    expect![[r#"
        public.posts->items: column user_id, which author reads, is not in the table (there is userid); correct the mapping or add the column
        public.posts->items: column title, which title, contract.columns reads, is not in the table (there is titel); correct the mapping or add the column
        public.posts->items: column picture, which thumbnail reads, is not in the table; correct the mapping or add the column
    "#]].assert_eq(&post);
    let types = errors(
        EVENTS,
        "id:int8! kind:int2 user_id:float8 post_id:jsonb author_id:int8 at:int8 watched:interval amount:bool",
    );
    expect![[r#"
        shop.actions->events: user reads column user_id of type float8, which is a number; map a column of whole numbers, text or uuid
        shop.actions->events: item reads column post_id of type jsonb, which is JSON; map a column of whole numbers, text or uuid
        shop.actions->events: ts reads column at of type int8, which is a whole number; write epoch_ms(at) or epoch_s(at), whichever its unit is
        shop.actions->events: value reads column amount of type bool, which is a truth value; map a column of numbers
    "#]].assert_eq(&types);
    let user = "table='t'\nto='users'\nid='ID'";
    expect![[r#"
        t->users has no primary key, so its rows cannot be told apart; ALTER TABLE … ADD PRIMARY KEY, or name the columns of a unique index that are NOT NULL with `key = ["…"]` (PostgreSQL: and ALTER TABLE … REPLICA IDENTITY USING INDEX …)
    "#]].assert_eq(&errors(user, "id:int8"));
    expect![[r#"
        t->users: column ID, which id reads, may be "Id" or "iD"; write the one that is meant in double quotes
    "#]].assert_eq(&errors(user, "Id:int8! iD:int8"));
    expect![[r#"
        t->users: column ID, which id reads, is not in the table (there is id); correct the mapping or add the column
    "#]].assert_eq(&errors("table='t'\nto='users'\nid='\"ID\"'", "id:int8!"));
}

#[test]
fn a_changed_or_dropped_column_is_seen_where_it_is_mapped() {
    let bound = bound(POSTS, POST_COLUMNS);
    let after = |from: &str, to: &str| {
        let changes = bound.changed(&columns(&POST_COLUMNS.replace(from, to)));
        changes.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(after("body:text", "body2:bytea"), Vec::<String>::new());
    assert_eq!(after("user_id:int8", "user_id:int4"), Vec::<String>::new());
    assert_eq!(after("title:text", ""), ["column title is gone"]);
    assert_eq!(
        after("duration:int4", "duration:text"),
        ["column duration was int4 and is text"]
    );
    assert_eq!(
        after("id:int8!", "extra:text id:int8!"),
        Vec::<String>::new()
    );
}

#[test]
fn values_are_delivered_in_plan_order() {
    let bound = bound(EVENTS, EVENT_COLUMNS);
    let found: Vec<_> = bound
        .sources()
        .iter()
        .map(|at| columns(EVENT_COLUMNS)[*at].name.clone())
        .collect();
    assert_eq!(found, bound.columns());
    assert_eq!(
        bound.columns().last().unwrap(),
        "id",
        "the catalogue's key comes last"
    );
    assert_eq!(bound.key_columns(), ["id"]);
}

#[test]
fn kept_bits_are_those_of_the_fields() {
    let bound = bound(POSTS, POST_COLUMNS);
    let mapped = bound.map(&post(&bound, &[("title", Unchanged), ("tags", Unchanged)]));
    let Mapped::Patch(item, kept) = mapped else {
        panic!("{mapped:?}")
    };
    assert_eq!(kept.0, ItemField::Title as u16 | ItemField::Tags as u16);
    assert_eq!((item.title.as_str(), item.author.as_str()), ("", "42"));
}

#[test]
fn the_example_of_the_documentation_compiles() {
    let page = include_str!("../../../../docs/mapping.md");
    let example = page
        .split("```toml")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let mapping: crate::replicate::config::Mapping = toml::from_str(example.unwrap()).unwrap();
    let tables = &mapping.sources[0].tables;
    assert_eq!(tables.len(), 4);
    for table in tables {
        TablePlan::compile(table).unwrap();
    }
}
