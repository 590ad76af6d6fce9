//! Tables of MariaDB that are altered while nobody follows, in ways that are hard to follow, and
//! what is known of the binlog's length meanwhile.

use edgewise_tests::servers::{MariaDb, Session};
use edgewise_tests::shop::{Dialect, Operator, Settled, mapping_in};

const MARIA: Dialect = Dialect::MariaDb;
const ROWS: u64 = 300;

fn shop(server: &MariaDb, name: &str) -> (Session, Operator) {
    server.sql(&format!("create database {name}"));
    let mut session = server.connect();
    session.sql(&format!("use {name}; set time_zone = '+00:00'"));
    MARIA.fill(&mut session, ROWS);
    let url = format!("{}?sslmode=disable", server.url(name));
    let operator = Operator::following(&mapping_in(name, &url, ""), &[MariaDb::PASSWORD]);
    (session, operator)
}

/// Whatever other columns there are.
fn write(session: &mut Session) {
    session.sql(
        "insert into interactions (id, user_id, post_id, kind, created_at) \
         select max(id) + 1, 5, 6, 2, timestamp '2026-11-03 00:00:00' from interactions; \
         update interactions set kind = (kind + 1) % 6 where id % 40 = 3",
    );
}

/// Statements of `binlog_alter_two_phase` stand in the binlog where they begin, too, and where
/// they are given up.
fn altered_in_two_phases(server: &MariaDb) {
    let (mut session, mut operator) = shop(server, "phases");
    operator.catch_up(MARIA, &mut session);
    operator.origin.stop();
    session.sql("set session binlog_alter_two_phase = 1");
    write(&mut session);
    session.sql("alter table interactions add column note bigint not null default 77 after id");
    write(&mut session);
    let refused =
        session.try_sql("alter table interactions drop column kind, add unique (post_id)");
    assert!(refused.is_err(), "posts have many interactions");
    write(&mut session);
    session.sql(
        "alter table interactions drop column note, add column more bigint default 78 after user_id",
    );
    write(&mut session);
    operator.run();
    operator.exact(MARIA, &mut session, Settled::InOrder);
    let entry = "phases.interactions->events";
    let stopped = &operator.status()["tables"][entry]["stopped"];
    assert!(stopped.is_null(), "{stopped}");
    session.sql("alter table interactions drop column watch_ms");
    operator.table_stops(entry, &["dropped column watch_ms"]);
}

/// A table is copied anew while the stream is behind one of its statements: its columns are
/// those of now, in places that rows of before do not have.
fn copied_anew_while_behind(server: &MariaDb) {
    let (mut session, mut operator) = shop(server, "anew");
    session.sql("alter table interactions add column a bigint not null default 77 after id");
    operator.catch_up(MARIA, &mut session);
    operator.origin.stop();
    write(&mut session);
    session.sql(
        "alter table interactions drop column a, add column b bigint not null default 78 after user_id",
    );
    write(&mut session);
    let table = "anew.interactions";
    let _ = operator
        .edgewise(&["replicate", "resync", "--table", table, "--yes"])
        .succeeded();
    operator.run();
    let words = ["other columns", "resync --table anew.interactions"];
    operator.table_stops(&format!("{table}->events"), &words);
    operator.catch_up(MARIA, &mut session);
    operator.resync(Some(table));
    write(&mut session);
    operator.exact(MARIA, &mut session, Settled::InOrder);
}

/// Status and metrics say how many bytes of the binlog are not applied.
fn behind_by_bytes(server: &MariaDb) {
    let (mut session, mut operator) = shop(server, "lagging");
    operator.catch_up(MARIA, &mut session);
    operator.origin.stop();
    let bytes = |operator: &Operator, what: &str, is_wanted: fn(u64) -> bool| {
        operator.wait(what, |status| {
            let bytes = status["lag_bytes"].as_u64()?;
            is_wanted(bytes).then_some(())
        });
    };
    session.sql("create table other (note mediumtext)");
    for _ in 0..4 {
        session.sql("insert into other select repeat(md5(seq), 30000) from seq_1_to_10");
        session.sql("flush binary logs");
    }
    session.sql(
        "insert into interactions (id, user_id, post_id, kind, created_at) \
         select 10000 + seq, 5, 6, 2, timestamp '2026-11-03 00:00:00' from seq_1_to_20000",
    );
    operator.run();
    bytes(&operator, "it is behind", |bytes| bytes > 30_000_000);
    operator.catch_up(MARIA, &mut session);
    bytes(&operator, "it has caught up", |bytes| bytes == 0);
    let sum = operator.metric_sum("edgewise_replicate_lag_bytes", "shop");
    assert!(!operator.metric("edgewise_replicate_lag_bytes").is_empty());
    assert!(sum < 1.0, "{sum}");
}

#[test]
fn mariadb_tables_that_are_altered_are_followed_or_stop() {
    let Some(server) = MariaDb::start() else {
        return;
    };
    altered_in_two_phases(&server);
    copied_anew_while_behind(&server);
}

#[test]
fn mariadb_says_how_far_behind_it_is() {
    if let Some(server) = MariaDb::start() {
        behind_by_bytes(&server);
    }
}
