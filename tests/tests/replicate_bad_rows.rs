//! Rows and tables that cannot be counted: they are kept with a reason, never count, and never
//! stop what can be counted.

use std::collections::BTreeMap;
use std::time::Duration;

use edgewise_tests::http::eventually;
use edgewise_tests::servers::{Postgres, PostgresConfig, Session, Version};
use edgewise_tests::shop::{Counts, Dialect, Operator, Settled, Shop, fixes, together};
use serde_json::Value;

const PG: Dialect = Dialect::Postgres;

/// Tables whose rows the database lets be anything.
const LOOSE: &str = "
create table things (id text primary key, author text, title text, made timestamptz, ms numeric, kind text);
create table acts (id bigint primary key, who text, thing text, kind text, at timestamptz, ms bigint);";

const LOOSE_MAPPING: &str = r#"
[[source.table]]
table = "public.things"
to = "items"
id = "id"
author = "author"
title = "title"
created_at = "made"
duration_ms = "ms"
kind = "kind"
[source.table.contract.columns.title]
not_null = true
[source.table.contract.columns.ms]
min = 0
max = 3600000
[source.table.contract.columns.kind]
one_of = ["video", "image"]

[[source.table]]
table = "public.acts"
to = "events"
type = "kind"
user = "who"
item = "thing"
ts = "at"
watch_ms = "ms"
[source.table.contract.columns.ms]
min = 0
max = 100000
"#;

const GOOD: &str = "timestamptz '2026-11-01 10:00:00+00'";

/// Things that are refused: id, author, title, made, ms, kind; words of the reason. GOOD stands
/// for a time without fault.
const BAD_THINGS: &str = r"
    repeat('x', 65) ; '1'             ; 'T'  ; GOOD         ; 5                  ; 'video' ; id 64
    ''              ; '1'             ; 'T'  ; GOOD         ; 5                  ; 'video' ; id 64|empty
    E'a\x01b'       ; '1'             ; 'T'  ; GOOD         ; 5                  ; 'video' ; id control
    'long author'   ; repeat('y', 65) ; 'T'  ; GOOD         ; 5                  ; 'video' ; author 64
    'forever'       ; '1'             ; 'T'  ; 'infinity'   ; 5                  ; 'video' ; made infinity
    'never'         ; '1'             ; 'T'  ; '-infinity'  ; 5                  ; 'video' ; made infinity
    'ancient'       ; '1'             ; 'T'  ; '0044-03-15 00:00:00+00 BC'  ; 5  ; 'video' ; made
    'huge'          ; '1'             ; 'T'  ; GOOD         ; 99999999999999999999999999 ; 'video' ; ms
    'nan'           ; '1'             ; 'T'  ; GOOD         ; 'NaN'              ; 'video' ; ms
    'negative'      ; '1'             ; 'T'  ; GOOD         ; -1                 ; 'video' ; ms 0
    'endless'       ; '1'             ; 'T'  ; GOOD         ; 3600001            ; 'video' ; ms 3600000
    'untitled'      ; '1'             ; null ; GOOD         ; 5                  ; 'video' ; title null
    'sound'         ; '1'             ; 'T'  ; GOOD         ; 5                  ; 'audio' ; kind audio";

/// Acts that are refused: id, who, thing, kind, at, ms; words of the reason.
const BAD_ACTS: &str = r"
    101 ; null            ; '1'  ; 'like'  ; GOOD       ; 5                   ; who null
    102 ; '1'             ; null ; 'like'  ; GOOD       ; 5                   ; thing null
    103 ; '1'             ; '1'  ; 'dance' ; GOOD       ; 5                   ; kind dance
    104 ; '1'             ; '1'  ; 'view'  ; 'infinity' ; 5                   ; at infinity
    105 ; '1'             ; '1'  ; 'view'  ; GOOD       ; 9223372036854775807 ; ms
    106 ; '1'             ; '1'  ; 'view'  ; GOOD       ; 100001              ; ms 100000
    107 ; repeat('z', 65) ; '1'  ; 'view'  ; GOOD       ; 5                   ; who 64";

/// Rows that are refused: their insertion, their key, and words of the reason.
fn refused_rows() -> Vec<(String, String, Vec<&'static str>)> {
    let mut rows = Vec::new();
    for (table, lines) in [("things", BAD_THINGS), ("acts", BAD_ACTS)] {
        for line in lines.trim().lines() {
            let (values, words) = line.rsplit_once(';').unwrap();
            let values = values.replace("GOOD", GOOD).replace(" ;", ",");
            let key = match values.split_once(',').unwrap().0.trim() {
                "repeat('x', 65" | "repeat('x'" => "x".repeat(65),
                r"E'a\x01b'" => "a".to_owned(),
                plain => plain.trim_matches('\'').to_owned(),
            };
            rows.push((
                format!("insert into {table} values ({values})"),
                format!("id={key}"),
                words.split_whitespace().collect(),
            ));
        }
    }
    rows
}

fn letters(operator: &Operator) -> Vec<Value> {
    let said = operator.edgewise(&["dead-letter", "list", "--json", "--limit", "1000"]);
    said.succeeded().json_lines()
}

/// Asserts that every refused row is kept with its reason.
#[track_caller]
fn check_letters(operator: &Operator, rows: &[(String, String, Vec<&str>)]) {
    let letters = letters(operator);
    for (sql, key, words) in rows {
        let letter = letters.iter().find(|letter| {
            letter["key"].as_str().is_some_and(|found| {
                found == key || key.len() == 4 && found.starts_with(key.as_str())
            })
        });
        let letter = letter.unwrap_or_else(|| panic!("no letter {key:?} of {sql}: {letters:#?}"));
        let reason = letter["reason"].as_str().unwrap_or_default().to_lowercase();
        for word in words {
            let known = word.split('|').any(|word| reason.contains(word));
            assert!(known, "{word:?} is not in the reason of {sql}: {letter}");
        }
    }
}

/// Waits until the metric has as many dead letters as there are.
#[track_caller]
fn kept_by_the_metric(operator: &Operator, letters: usize) {
    eventually("the metric follows", Duration::from_secs(10), || {
        let lines = operator.metric("edgewise_replicate_dead_letters{");
        let kept: f64 = lines.first()?.rsplit(' ').next()?.parse().ok()?;
        (kept as usize == letters).then_some(())
    });
}

/// What must be counted besides the shop's rows.
#[track_caller]
fn exact_with(
    operator: &mut Operator,
    session: &mut Session,
    extra: &BTreeMap<u64, &str>,
    acts: [u64; 6],
) {
    operator.catch_up(PG, session);
    operator.origin.stop();
    let mut expected = Counts::of_database(PG, session);
    for (&id, &title) in extra {
        expected.posts.insert(id, (title.to_owned(), String::new()));
    }
    let hour = (1, 1_793_527_200 / 3600);
    let kinds = expected.hours.entry(hour).or_default();
    for (count, more) in kinds.iter_mut().zip(acts) {
        *count += more;
    }
    if acts[2..].iter().any(|&count| count > 0) {
        let author: u64 = session.sql("select author_id from posts where id = 1")[0][0]
            .parse()
            .unwrap();
        *expected
            .affinity
            .entry((1, hour.1 / 24, author))
            .or_default() += acts[2..].iter().sum::<u64>();
    }
    let found = Counts::of_store(&operator.origin.data);
    let differences = expected.differences(&found);
    assert!(
        differences.is_empty(),
        "{}\n{:#?}\n{}",
        differences.join("\n"),
        letters(operator),
        operator.last_words()
    );
    operator.run();
}

fn rows_that_are_refused(server: &Postgres) {
    let mut shop = Shop::postgres(server, "loose");
    shop.session.sql(LOOSE);
    let rows = refused_rows();
    // The first copy meets the even ones, the stream the odd ones.
    for (sql, ..) in rows.iter().step_by(2) {
        shop.session.sql(sql);
    }
    let text = shop.mapping(&shop.url(), "") + LOOSE_MAPPING;
    let mut operator = Operator::following(&text, &[]);
    operator.wait_streaming();
    for (sql, ..) in rows.iter().skip(1).step_by(2) {
        shop.session.sql(sql);
    }
    shop.session.sql(&format!(
        "insert into things values ('5001', '1', 'Good', {GOOD}, 5, 'image'); \
         insert into acts values (1, '1', '1', 'like', {GOOD}, null)"
    ));
    exact_with(
        &mut operator,
        &mut shop.session,
        &[(5001, "Good")].into(),
        [0, 0, 0, 1, 0, 0],
    );
    check_letters(&operator, &rows);
    assert_eq!(
        letters(&operator).len(),
        rows.len(),
        "{:#?}",
        letters(&operator)
    );
    operator.wait_streaming();
    kept_by_the_metric(&operator, rows.len());

    // Corrected rows count by themselves; a good row that breaks is taken back.
    shop.session
        .sql("update things set id = '5002', ms = 7 where id = 'negative'");
    shop.session
        .sql("update things set ms = -7 where id = '5001'");
    exact_with(
        &mut operator,
        &mut shop.session,
        &[(5002, "T")].into(),
        [0, 0, 0, 1, 0, 0],
    );

    // A wider contract: what it lets through counts when it is replayed, the rest stays.
    operator.map(&text.replace("max = 100000", "max = 200000"));
    operator.follow();
    let said = operator.edgewise(&[
        "dead-letter",
        "replay",
        "--table",
        "public.acts",
        "--mapping",
        "replicate.toml",
    ]);
    let said = said.succeeded();
    exact_with(
        &mut operator,
        &mut shop.session,
        &[(5002, "T")].into(),
        [0, 1, 0, 1, 0, 0],
    );
    let left = letters(&operator);
    assert!(
        left.iter().all(|letter| letter["key"] != "id=106"),
        "{}",
        said.all()
    );
    assert!(
        left.iter().any(|letter| letter["key"] == "id=103"),
        "{left:#?}"
    );
    let _ = operator
        .edgewise(&["dead-letter", "drop", "--all"])
        .succeeded();
    assert!(letters(&operator).is_empty());
    kept_by_the_metric(&operator, 0);
    exact_with(
        &mut operator,
        &mut shop.session,
        &[(5002, "T")].into(),
        [0, 1, 0, 1, 0, 0],
    );
}

/// A database that takes any bytes for text.
fn text_that_is_not_utf8(server: &Postgres) {
    let how = "encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C' template template0";
    let mut shop = Shop::postgres_as(server, "bytes", how);
    let post =
        |id: u32| format!("insert into posts values ({id}, 1, E'caf\\xe9', null, {GOOD}, null)");
    shop.session.sql(&post(7001));
    let mut operator = shop.operator(&shop.url(), "");
    operator.wait_streaming();
    shop.session.sql(&post(7002));
    shop.session.sql(&format!(
        "insert into posts values (7003, 1, E'caf\\xc3\\xa9', null, {GOOD}, null)"
    ));
    operator.catch_up(PG, &mut shop.session);
    let rows: Vec<_> = [7001, 7002]
        .map(|id| (post(id), format!("id={id}"), vec!["title", "utf-8"]))
        .into();
    check_letters(&operator, &rows);
    shop.session
        .sql("update posts set title = 'cafe' where id in (7001, 7002)");
    operator.exact(PG, &mut shop.session, Settled::InOrder);
}

/// A table without a key, until it has one.
fn table_without_a_key(server: &Postgres) {
    let mut shop = Shop::postgres(server, "keyless");
    shop.session
        .sql("alter table interactions drop constraint interactions_pkey");
    let mut operator = shop.operator(&shop.url(), "");
    let words = ["public.interactions", "key", "alter table"];
    let report = operator.check_finds(&words);
    operator.says(&words);
    let fixes = fixes(&report, "error").join(" ");
    assert!(fixes.contains("interactions"), "{fixes}");
    shop.session
        .sql("alter table interactions add primary key (id)");
    let _ = operator.check_passes();
    operator.follow();
    operator.exact(PG, &mut shop.session, Settled::InOrder);
}

/// Mapped columns that go or become something else stop their table and no other.
fn columns_that_change(server: &Postgres) {
    let mut shop = Shop::postgres(server, "columns");
    let mut operator = shop.operator(&shop.url(), "");
    operator.exact(PG, &mut shop.session, Settled::InOrder);
    let entry = "public.interactions->events";
    let like = format!(
        "insert into interactions (id, user_id, post_id, created_at) select max(id) + 1, 1, 1, {GOOD} from interactions"
    );
    for (what, change, back, words) in [
        (
            "dropped",
            "alter table interactions drop column kind",
            "alter table interactions add column kind smallint not null default 3",
            ["kind", "mapping|map a column"],
        ),
        (
            "renamed",
            "alter table interactions rename column kind to sort",
            "alter table interactions rename column sort to kind",
            ["kind", "mapping|map a column"],
        ),
        (
            "of another type",
            "alter table interactions alter column created_at type bytea using 'x'::bytea",
            "alter table interactions alter column created_at type timestamptz using timestamptz '2026-11-01 00:00:00+00'",
            ["created_at", "mapping|map a column"],
        ),
    ] {
        shop.session.sql(change);
        let insert = like.replace(
            GOOD,
            if what == "of another type" {
                "'x'::bytea"
            } else {
                GOOD
            },
        );
        shop.session.sql(&insert);
        operator.table_stops(entry, &words);
        let log = operator.log();
        let loud = log
            .lines()
            .any(|line| line.contains("ERROR") && line.contains("interactions"));
        assert!(
            loud,
            "{what}: nothing in the log: {}",
            operator.last_words()
        );
        eventually("the metric says it", Duration::from_secs(10), || {
            (operator.metric_sum("edgewise_replicate_table_stopped", entry) > 0.0).then_some(())
        });
        // The others go on.
        shop.session.sql(
            "update posts set title = 'After' where id = 3; delete from follows where user_id = 5",
        );
        operator.catch_up(PG, &mut shop.session);
        shop.session.sql(back);
        operator.resync(Some("public.interactions"));
        operator.wait("the table is back", |status| {
            status["tables"][entry]["stopped"].is_null().then_some(())
        });
        operator.exact(PG, &mut shop.session, Settled::InOrder);
    }
}

#[test]
fn rows_and_tables_that_cannot_be_counted_are_kept_with_a_reason() {
    let config = PostgresConfig::new(Version::Pg15).with("fsync", "off");
    let Some(server) = Postgres::start_with(config) else {
        return;
    };
    let server = &server;
    together(vec![
        (
            "text that is not UTF-8",
            Box::new(|| text_that_is_not_utf8(server)),
        ),
        (
            "a table without a key",
            Box::new(|| table_without_a_key(server)),
        ),
        (
            "columns that change",
            Box::new(|| columns_that_change(server)),
        ),
        (
            "rows that are refused",
            Box::new(|| rows_that_are_refused(server)),
        ),
    ]);
}
