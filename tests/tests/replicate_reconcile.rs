//! `reconcile` of columns that are not plain text: what it reads again is what the first copy
//! and the stream made of it, so what is exact stays so and what was made wrong is put right.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use edgewise_origin::store::{RedbStore, Store, read};
use edgewise_tests::http::eventually;
use edgewise_tests::servers::{MariaDb, Postgres, PostgresConfig, Session, Version};
use edgewise_tests::shop::{Dialect, Operator, Said, mapping, mapping_in};

const MARIA: Dialect = Dialect::MariaDb;
const PG: Dialect = Dialect::Postgres;

/// Every item that is there, with what it is and what counts for it.
fn items(data: &Path) -> BTreeMap<String, String> {
    let store = RedbStore::open_existing(data).expect("the store opens");
    let snapshot = store.read().expect("a snapshot");
    let mut items = BTreeMap::new();
    let mut keep = |state: edgewise_origin::ingest::ItemState| {
        if let (Some(item), None) = (&state.item, state.deleted_at_ms) {
            items.insert(state.id, format!("{item:?} {:?}", state.counters));
        }
    };
    read::all_items(&*snapshot, &mut keep).expect("items");
    items
}

#[track_caller]
fn is_same(expected: &BTreeMap<String, String>, found: &BTreeMap<String, String>) {
    let differs = |(id, state): &(&String, &String)| found.get(*id) != Some(*state);
    let missing: Vec<_> = expected.iter().filter(differs).take(3).collect();
    let more = found.keys().filter(|id| !expected.contains_key(*id));
    let more: Vec<_> = more.take(3).collect();
    assert!(
        missing.is_empty() && more.is_empty(),
        "expected {missing:#?}, too many {more:?} ({} and {})",
        expected.len(),
        found.len()
    );
}

#[track_caller]
fn letters(operator: &Operator) -> usize {
    let said = operator.edgewise(&["dead-letter", "list", "--json", "--limit", "10000"]);
    said.succeeded().json_lines().len()
}

/// What is said once the stream has passed where its source is.
#[track_caller]
fn reconcile(operator: &Operator, more: &[&str]) -> Said {
    let said = operator.edgewise(&[["reconcile"].as_slice(), more].concat());
    assert!(!said.all().contains("note: source"), "{}", said.all());
    said
}

/// More than a page of rows; the key of `acts` ends its pages within a kind, whose labels are in
/// another order than their numbers.
const TYPED: &str = "
create table things (id binary(16) primary key, author varchar(20) character set latin1 not null,
  title varchar(40) character set latin1, gone bit(1) not null default b'0', f float,
  tags set('x', 'y', 'z'), meta json, made datetime(3) not null);
insert into things select unhex(md5(seq)), concat('andré', seq % 7), concat('Crème ', seq), seq % 10 = 0,
  seq % 100 + 0.1, seq % 8, json_object('lang', if(seq % 2, 'de', 'fr')),
  timestamp '2026-11-01 00:00:00' + interval seq second from seq_1_to_6000;
create table acts (kind enum('view', 'click', 'like', 'comment'), thing binary(16),
  who varchar(20) character set latin1, made timestamp(3) not null, primary key (kind, thing, who));
insert into acts select 1 + seq % 4, unhex(md5(1 + seq div 4)), concat('zoë', seq % 3),
  timestamp '2026-11-01 00:00:00' + interval seq second from seq_1_to_8000";

const TYPED_MAPPING: &str = r#"
[[source.table]]
table = "things"
to = "items"
id = "id"
author = "author"
title = "title"
tags = "tags"
language = "meta ->> 'lang'"
created_at = "made"
deleted = "gone"
where = "f < 60.5"

[[source.table]]
table = "acts"
to = "events"
type = "kind"
user = "who"
item = "thing"
ts = "made"
"#;

fn typed_mapping(server: &MariaDb, server_id: u32) -> String {
    let options = format!("server_id = {server_id}\nsnapshot = {{ chunk_rows = 700 }}");
    let shop = mapping_in("typed", &server.url("typed"), &options);
    // In the database of the URL.
    shop.replace("\"typed.", "\"") + TYPED_MAPPING
}

fn typed_shop(server: &MariaDb) -> Session {
    server.sql("create database typed character set utf8mb4");
    let mut session = server.connect();
    session.sql("use typed; set time_zone = '+00:00'");
    MARIA.fill(&mut session, 0);
    session.sql(TYPED);
    session
}

/// What a first copy of the database makes of it.
fn copied(server: &MariaDb, server_id: u32) -> BTreeMap<String, String> {
    let mut operator = Operator::following(&typed_mapping(server, server_id), &[]);
    operator.wait_streaming();
    operator.origin.stop();
    let mut items = items(&operator.origin.data);
    // Those of `things`.
    items.retain(|id, _| id.len() == 32);
    items
}

#[test]
fn typed_columns_are_repaired_as_they_were_copied() {
    let Some(server) = MariaDb::start() else {
        return;
    };
    let mut session = typed_shop(&server);
    let mut operator = Operator::following(&typed_mapping(&server, 301), &[MariaDb::PASSWORD]);
    operator.catch_up(MARIA, &mut session);
    let exact = |operator: &Operator| {
        for by in ["table", "day", "item"] {
            let said = reconcile(operator, &["--by", by]).succeeded();
            assert!(said.out.contains("no difference"), "{}", said.all());
        }
        assert_eq!(letters(operator), 0);
    };
    exact(&operator);
    let is_copied = |operator: &mut Operator, session: &mut Session, server_id| {
        let expected = copied(&server, server_id);
        operator.catch_up(MARIA, session);
        operator.origin.stop();
        let mut found = items(&operator.origin.data);
        found.retain(|id, _| id.len() == 32);
        is_same(&expected, &found);
        operator.run();
        operator.wait_streaming();
        expected.len()
    };

    // The stream's rows, then what is exact.
    session.sql(
        "update things set gone = not gone where conv(left(hex(id), 2), 16, 10) < 40; \
         update things set title = 'Été' where conv(left(hex(id), 2), 16, 10) = 50; \
         delete from acts where thing < x'40000000000000000000000000000000'",
    );
    assert!(is_copied(&mut operator, &mut session, 302) > 2_500);
    let row = |session: &mut Session, filter: &str| {
        let sql = format!("select lower(hex(id)) from things where {filter} order by id limit 1");
        session.sql(&sql).remove(0).remove(0)
    };
    let there = row(&mut session, "f < 60 and not gone and hex(id) > '8'");
    let key = format!("id={there}");
    let repair = ["--table", "things", "--repair", &key];
    let said = reconcile(&operator, &repair).succeeded();
    assert!(
        said.out.contains("1 rows were read again"),
        "{}",
        said.all()
    );
    let act = session.sql("select kind, lower(hex(thing)), who from acts limit 1 offset 1000");
    let act = format!("kind={} thing={} who={}", act[0][0], act[0][1], act[0][2]);
    let said = reconcile(&operator, &["--table", "acts", "--repair", &act]).succeeded();
    assert!(
        said.out.contains("1 rows were read again"),
        "{}",
        said.all()
    );
    let _ = reconcile(&operator, &["--repair-all"]).succeeded();
    is_copied(&mut operator, &mut session, 303);
    exact(&operator);

    // What is wrong: the binlog looks away.
    operator.catch_up(MARIA, &mut session);
    session.sql(&format!(
        "set sql_log_bin = 0; delete from things where id = unhex('{there}'); \
         update things set gone = not gone, title = 'Cliché' where hex(id) like '9%'; \
         delete from acts where hex(thing) like 'A%' and kind = 'like'; \
         insert into acts select 'like', unhex(md5(seq)), 'zoé', '2026-11-01' from seq_1_to_50; \
         set sql_log_bin = 1"
    ));
    let said = reconcile(&operator, &["--by", "item", "--export", "typed.csv"]);
    assert!(!said.ok, "{}", said.all());
    let export = std::fs::read_to_string(operator.dir().join("typed.csv")).expect("an export");
    let line = format!("shop,things->items,{there},0,1");
    assert!(
        export.lines().any(|found| found == line),
        "{line}\n{export}"
    );
    let said = reconcile(&operator, &repair).succeeded();
    assert!(
        said.out.contains("1 rows were read again"),
        "{}",
        said.all()
    );
    let _ = reconcile(&operator, &["--repair-all"]).succeeded();
    exact(&operator);
    let removed = items_of(&mut operator);
    assert!(!removed.contains_key(&there), "{there} is gone");
    is_copied(&mut operator, &mut session, 304);
    for wrong in ["id=xyz", "id=123"] {
        let said = reconcile(&operator, &["--table", "things", "--repair", wrong]);
        assert!(
            !said.ok && said.all().contains("hexadecimal"),
            "{}",
            said.all()
        );
    }
}

fn items_of(operator: &mut Operator) -> BTreeMap<String, String> {
    operator.origin.stop();
    let found = items(&operator.origin.data);
    operator.run();
    operator.wait_streaming();
    found
}

const BYTES: &str = "
create table things (id bytea primary key, author char(10) not null, title text, made timestamptz not null);
insert into things select decode(md5(i::text), 'hex'), 'a' || i % 5, 'Title ' || i, now()
  from generate_series(1, 300) as t(i);
create table words (id text primary key, who char(10) not null, thing text not null, made timestamptz not null);
insert into words select 'w' || i, 'u' || i % 9, md5(i::text), now() from generate_series(1, 5100) as t(i);
insert into words select E'v\\xff' || i, 'u1', md5('1'), now() from generate_series(1, 7) as t(i);
insert into words values ('x1', 'u1', E'bad\\xff', now()), ('x2', 'u2', 'only-here', now()),
  (E'x3\\x1b[31m\nforged', 'u3', E'no\\x1bid', now())";

const BYTES_MAPPING: &str = r#"
[[source.table]]
table = "things"
to = "items"
id = "id"
author = "author"
title = "title"
created_at = "made"

[[source.table]]
table = "words"
to = "events"
type = "'like'"
user = "who"
item = "thing"
ts = "made"
"#;

/// A database that takes any bytes for text, with binary and padded columns beside.
#[test]
fn text_that_is_not_utf8_is_compared_and_repaired() {
    let Some(server) =
        Postgres::start_with(PostgresConfig::new(Version::Pg18).with("fsync", "off"))
    else {
        return;
    };
    server.sql(
        "create database bytes encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C' template template0",
    );
    let mut session = server.connect("bytes");
    session.sql("set time zone 'UTC'");
    PG.fill(&mut session, 0);
    session.sql(BYTES);
    let text = mapping(PG, &server.url("bytes"), "slot = \"bytes\"") + BYTES_MAPPING;
    let mut operator = Operator::following(&text, &[Postgres::PASSWORD]);
    operator.catch_up(PG, &mut session);
    eventually("the rows are refused", Duration::from_secs(30), || {
        (letters(&operator) == 9).then_some(())
    });
    let before = items_of(&mut operator);
    assert!(before.len() > 500, "{}", before.len());

    // Refused rows are all that differs.
    let said = reconcile(&operator, &["--by", "item", "--export", "bytes.csv"]);
    assert!(
        !said.ok && said.all().contains("were refused"),
        "{}",
        said.all()
    );
    let export = std::fs::read_to_string(operator.dir().join("bytes.csv")).expect("an export");
    for line in [
        r"shop,words->events,bad\xff,1,0".to_owned(),
        format!(
            "shop,words->events,{},8,1",
            "c4ca4238a0b923820dcc509a6f75849b"
        ),
    ] {
        assert!(
            export.lines().any(|found| found == line),
            "{line}\n{export}"
        );
    }
    for _ in 0..2 {
        let said = reconcile(&operator, &["--repair-all"]);
        let words = ["were refused", "the keys of 7 rows cannot be read"];
        let says_all = words.iter().all(|words| said.all().contains(words));
        assert!(!said.ok && says_all, "{}", said.all());
        assert!(!said.all().contains('\u{1b}'), "{}", said.all());
        assert_eq!(letters(&operator), 9, "no letter is added");
    }
    operator.catch_up(PG, &mut session);
    let mut after = items_of(&mut operator);
    after.retain(|id, _| before.contains_key(id));
    is_same(&before, &after);
    let said = reconcile(&operator, &["--table", "words", "--repair", "id=x1"]);
    assert!(said.all().contains("UTF-8"), "{}", said.all());

    // What data says is no line and no colour of a terminal.
    let listed = operator.edgewise(&["dead-letter", "list"]).succeeded();
    assert_eq!(listed.out.lines().count(), 9, "{}", listed.out);
    assert!(!listed.out.contains('\u{1b}'), "{:?}", listed.out);
    assert!(
        listed.out.contains(r"id=x3\u{1b}[31m\nforged"),
        "{}",
        listed.out
    );

    // Rows that are wrong, of binary and of padded columns; nobody knows the item of `x2`.
    let hidden = "c4ca4238a0b923820dcc509a6f75849b";
    session.sql("alter publication edgewise_shop set (publish = 'insert')");
    session.sql(&format!(
        "delete from things where id = '\\x{hidden}'; update things set author = 'b7' where author = 'a3'; \
         insert into things values ('\\x00ff', 'c', 'New', now())"
    ));
    session
        .sql("alter publication edgewise_shop set (publish = 'insert, update, delete, truncate')");
    operator.catch_up(PG, &mut session);
    let streamed = items_of(&mut operator);
    let key = format!("id={hidden}");
    let said = reconcile(
        &operator,
        &["--table", "things", "--repair", &key, "id=00ff"],
    )
    .succeeded();
    assert!(
        said.out.contains("2 rows were read again"),
        "{}",
        said.all()
    );
    let found = items_of(&mut operator);
    let is_there = |id: &str| found.get(id).is_some_and(|state| state.contains("title"));
    assert!(
        !is_there(hidden) && is_there("00ff"),
        "{:?}",
        found.get(hidden)
    );
    assert_eq!(
        found.get("00ff"),
        streamed.get("00ff"),
        "its author is padded"
    );
    let _ = reconcile(&operator, &["--table", "things", "--by", "item"]).succeeded();
}
