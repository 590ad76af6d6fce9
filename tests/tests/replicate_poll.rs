//! Sources whose log may not be read: rows are asked for by watermark.

use std::time::Duration;

use edgewise_tests::http::eventually;
use edgewise_tests::servers::{MariaDb, Postgres, PostgresConfig, Session, Version};
use edgewise_tests::shop::{Counts, Dialect, Operator, Settled, mapping_in};

const ROWS: u64 = 3_000;
const PATIENCE: Duration = Duration::from_secs(40);

/// Every table gets a column that grows with each change, in an index.
fn watermarks(dialect: Dialect, session: &mut Session) {
    for table in ["posts", "follows", "interactions"] {
        match dialect {
            Dialect::Postgres => session.sql(&format!(
                "alter table {table} add column changed timestamptz not null default clock_timestamp(); \
                 create index on {table} (changed); \
                 create trigger changed before update on {table} for each row execute function changed()"
            )),
            Dialect::MariaDb => session.sql(&format!(
                "alter table {table} add column changed timestamp(6) not null \
                 default current_timestamp(6) on update current_timestamp(6), add index (changed)"
            )),
        };
    }
}

fn poll_mapping(schema: &str, url: &str) -> String {
    let options = "mode = \"poll\"\npoll = { every_ms = 100, page_rows = 200 }";
    mapping_in(schema, url, options).replace("\nto = ", "\nwatermark = \"changed\"\nto = ")
}

fn follows_by_watermark(dialect: Dialect, schema: &str, url: &str, connect: &dyn Fn() -> Session) {
    let session = &mut connect();
    if dialect == Dialect::Postgres {
        session.sql(
            "create function changed() returns trigger language plpgsql as \
             $$ begin new.changed := clock_timestamp(); return new; end $$",
        );
    }
    dialect.fill(session, ROWS);
    watermarks(dialect, session);
    let mut operator = Operator::following(&poll_mapping(schema, url), &[MariaDb::PASSWORD]);
    let counts = operator.exact(dialect, session, Settled::ByRounds);
    assert_eq!(counts.events(), ROWS);
    let _ = operator.check_passes();
    let (now, moment) = (dialect.moment("5000"), dialect.moment("900000"));
    for sql in [
        format!(
            "insert into interactions (id, user_id, post_id, kind, watch_ms, created_at) values (20001, 1, 1, 3, null, {now})"
        ),
        "update interactions set kind = 4, post_id = 2 where id = 20001".to_owned(),
        format!("update interactions set created_at = {moment} where id between 100 and 1400"),
        format!("update posts set deleted_at = {now} where id in (3, 4)"),
        "update posts set deleted_at = null, title = 'Back' where id = 3".to_owned(),
        format!(
            "insert into follows (user_id, author_id, created_at) select 1 + seq % 100, 1 + seq * 29 % 100, {now} from {} where seq % 100 > 90",
            dialect.series(100)
        ),
        // Many rows with one watermark are more than a page.
        format!(
            "insert into interactions (id, user_id, post_id, kind, watch_ms, created_at) \
             select 30000 + seq, 1 + seq % 100, 1 + seq % 200, seq % 6, null, {now} from {}",
            dialect.series(1_500)
        ),
        "update interactions set watch_ms = -1 where id between 30001 and 30010".to_owned(),
        "update interactions set watch_ms = 5 where id between 30001 and 30005".to_owned(),
    ] {
        session.try_sql(&sql).unwrap();
    }
    operator.exact(dialect, session, Settled::ByRounds);

    // A page is no longer than it may be, whatever is waiting.
    operator.origin.stop();
    session.sql("update interactions set kind = (kind + 1) % 6");
    operator.run();
    operator.exact(dialect, session, Settled::ByRounds);
    kills_lose_nothing(dialect, session, &mut operator);
    late_commits_count(dialect, session, &mut operator, connect);
    deletions_are_found(dialect, session, &mut operator, schema);
}

fn kills_lose_nothing(dialect: Dialect, session: &mut Session, operator: &mut Operator) {
    for round in 1..=3 {
        session.sql(&format!(
            "update interactions set kind = (kind + {round}) % 6 where id % {round} = 0"
        ));
        std::thread::sleep(Duration::from_millis(60 * round));
        operator.origin.kill();
        operator.run();
    }
    operator.exact(dialect, session, Settled::ByRounds);
}

/// A transaction that commits after later watermarks were read.
fn late_commits_count(
    dialect: Dialect,
    session: &mut Session,
    operator: &mut Operator,
    connect: &dyn Fn() -> Session,
) {
    let insert = |id: u32| {
        let now = dialect.moment("5000");
        format!(
            "insert into interactions (id, user_id, post_id, kind, watch_ms, created_at) values ({id}, 7, 7, 3, null, {now})"
        )
    };
    let mut late = connect();
    late.sql("begin");
    late.sql(&insert(50_001));
    session.sql(&insert(50_002));
    operator.catch_up(dialect, session);
    let likes = |operator: &Operator| {
        let answer = operator.origin.admin("GET", "/admin/v1/items/7", None);
        answer.json()["counters"]["likes"].as_u64().unwrap()
    };
    eventually("the row before the late one counts", PATIENCE, || {
        let all = "select count(*) from interactions where post_id = 7 and kind = 3";
        let committed: u64 = session.sql(all)[0][0].parse().unwrap();
        (likes(operator) == committed).then_some(())
    });
    let before = likes(operator);
    late.sql("commit");
    // The last minute is read again every now and then.
    eventually("the late row counts", PATIENCE, || {
        (likes(operator) == before + 1).then_some(())
    });
    operator.exact(dialect, session, Settled::ByRounds);
}

/// A watermark cannot show what is gone: reconciling finds it, says it, and puts it right.
fn deletions_are_found(
    dialect: Dialect,
    session: &mut Session,
    operator: &mut Operator,
    schema: &str,
) {
    // Rows that are refused are in the source and do not count: that is a difference too.
    let table = format!("{schema}.interactions");
    let reconcile = [
        "reconcile",
        "--source",
        "shop",
        "--mapping",
        "replicate.toml",
    ];
    let said = operator.edgewise(&reconcile);
    assert!(
        !said.ok && said.all().contains("5 rows wait as dead letters"),
        "{}",
        said.all()
    );
    session.sql("update interactions set watch_ms = 1 where watch_ms < 0");
    operator.exact(dialect, session, Settled::ByRounds);
    let _ = operator.edgewise(&reconcile).succeeded();

    session.sql("delete from interactions where id between 30100 and 30109");
    session.sql("delete from follows where user_id = 9");
    operator.catch_up(dialect, session);
    let said = operator.edgewise(&[
        "reconcile",
        "--source",
        "shop",
        "--mapping",
        "replicate.toml",
        "--by",
        "day",
        "--export",
        "differences.csv",
    ]);
    assert!(!said.ok, "reconcile is content: {}", said.all());
    let export = std::fs::read_to_string(operator.dir().join("differences.csv")).unwrap();
    assert!(
        export.contains(&table) && export.contains("2026-11-01"),
        "{export}"
    );
    let said = operator.edgewise(&[
        "reconcile",
        "--source",
        "shop",
        "--mapping",
        "replicate.toml",
        "--repair-all",
    ]);
    let _ = said.succeeded();
    let expected = {
        operator.catch_up(dialect, session);
        operator.origin.stop();
        Counts::of_database(dialect, session)
    };
    let found = Counts::of_store(&operator.origin.data);
    let differences = expected.differences(&found);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    operator.run();
    let said = operator.edgewise(&[
        "reconcile",
        "--source",
        "shop",
        "--mapping",
        "replicate.toml",
        "--by",
        "item",
    ]);
    let _ = said.succeeded();
}

#[test]
fn postgres_is_followed_by_watermark() {
    let mut config = PostgresConfig::new(Version::Pg15).with("fsync", "off");
    config.wal_level = "replica";
    let Some(server) = Postgres::start_with(config) else {
        return;
    };
    let connect = || {
        let mut session = server.connect("postgres");
        session.sql("set time zone 'UTC'");
        session
    };
    follows_by_watermark(
        Dialect::Postgres,
        "public",
        &server.url("postgres"),
        &connect,
    );
}

#[test]
fn mariadb_is_followed_by_watermark() {
    let config = edgewise_tests::servers::MariaDbConfig {
        arguments: vec!["--skip-log-bin".to_owned()],
        ..Default::default()
    };
    let Some(server) = MariaDb::start_with(config) else {
        return;
    };
    server.sql("create database shop");
    let connect = || {
        let mut session = server.connect();
        session.sql("use shop; set time_zone = '+00:00'");
        session
    };
    follows_by_watermark(Dialect::MariaDb, "shop", &server.url("shop"), &connect);
}
