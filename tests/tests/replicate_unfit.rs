//! Tables and settings of PostgreSQL that do not fit: `check` and the origin say so before rows
//! are missing, and what they say helps.

use std::sync::Mutex;
use std::time::Duration;

use edgewise_tests::http::eventually;
use edgewise_tests::servers::{Postgres, PostgresConfig, Session, Version};
use edgewise_tests::shop::{Dialect, Operator, Settled, mapping, together};

const PG: Dialect = Dialect::Postgres;
const ROWS: u64 = 300;
const EVENTS: &str = "public.interactions->events";

fn database(server: &Postgres, name: &str) -> Session {
    // Copying the template twice at the same time is refused.
    static CREATE: Mutex<()> = Mutex::new(());
    {
        let _one = CREATE.lock();
        server.sql(&format!("create database {name}"));
    }
    let mut session = server.connect(name);
    session.sql("set time zone 'UTC'");
    PG.fill(&mut session, ROWS);
    session
}

fn shop(server: &Postgres, name: &str) -> String {
    mapping(PG, &server.url(name), &format!("slot = \"{name}\""))
}

/// A row of a child comes from a query of its parent, and under the child's name in the stream.
fn inheritance(server: &Postgres) {
    let mut session = database(server, "inherited");
    session.sql("create table archive (primary key (id)) inherits (interactions)");
    session.sql("insert into archive select id + 5000, user_id, post_id, kind, null, created_at from interactions");
    let mut operator = Operator::following(&shop(server, "inherited"), &[]);
    let words = ["public.interactions", "inherit", "public.archive"];
    let _ = operator.check_finds(&words);
    operator.says(&words);
    session.sql("alter table archive no inherit interactions");
    let _ = operator.check_passes();
    operator.follow();
    operator.exact(PG, &mut session, Settled::InOrder);
    // A child is followed by itself, also what is done to it by way of its parent.
    session.sql("create table every (like interactions)");
    session.sql("alter table interactions inherit every");
    session.sql("update every set kind = 3 where id % 7 = 0");
    session.sql("delete from every where id % 11 = 0");
    let _ = operator.check_passes();
    operator.exact(PG, &mut session, Settled::InOrder);
    // One that begins to inherit while its parent is followed.
    session.sql("alter table archive inherit interactions");
    operator.table_stops(EVENTS, &words);
    session.sql("alter table archive no inherit interactions");
    operator.resync(Some("public.interactions"));
    operator.wait("the table is back", |status| {
        let stopped = &status["tables"][EVENTS]["stopped"];
        stopped.is_null().then_some(())
    });
    operator.exact(PG, &mut session, Settled::InOrder);
}

fn system_table(server: &Postgres) {
    let _ = database(server, "systems");
    let own =
        "[[source.table]]\ntable = \"pg_catalog.pg_class\"\nto = \"users\"\nid = \"relname\"\n";
    let operator = Operator::new(&format!("{}{own}", shop(server, "systems")), &[]);
    let report = operator.check_finds(&["pg_catalog.pg_class", "table of the system"]);
    let report = report.to_string();
    assert!(!report.contains("ALTER TABLE pg_catalog"), "{report}");
}

fn read_only_role(server: &Postgres) {
    let mut session = database(server, "readonly");
    session.sql("alter database readonly set default_transaction_read_only = on");
    let mut operator = Operator::following(&shop(server, "readonly"), &[]);
    let words = [
        "role postgres",
        "default_transaction_read_only",
        "alter role",
    ];
    let _ = operator.check_finds(&words);
    operator.says(&words[1..]);
    let applied = operator.apply_fixes(&mut session);
    assert_eq!(applied.len(), 1, "{applied:?}");
    operator.follow();
    operator.exact(PG, &mut session, Settled::InOrder);
    // What is followed already needs nothing written.
    session.sql("alter role postgres in database readonly reset default_transaction_read_only");
    let _ = operator.check_passes();
}

/// The SQL for each of several tables can be run, whatever a column is called.
fn watermarks_without_index(server: &Postgres) {
    let mut session = database(server, "watermarks");
    for table in ["posts", "follows", "interactions"] {
        session.sql(&format!(
            "alter table {table} add column \"Upd\" timestamptz not null default now()"
        ));
    }
    let polled = mapping(PG, &server.url("watermarks"), "mode = \"poll\"");
    let polled = polled.replace("\nto = ", "\nwatermark = \"Upd\"\nto = ");
    let operator = Operator::new(&polled, &[]);
    let _ = operator.check_finds(&["public.interactions", "Upd", "concurrently"]);
    let applied = operator.apply_fixes(&mut session);
    assert_eq!(applied.len(), 3, "{applied:?}");
    let report = operator.check_passes().to_string();
    assert!(!report.contains("CREATE INDEX"), "{report}");
}

/// It is in no session, so pg_stat_activity does not show it.
fn prepared_transaction(server: &Postgres) {
    let mut session = database(server, "prepared");
    session.sql("begin");
    session.sql("delete from interactions where id = 1");
    session.sql("prepare transaction 'left over'");
    let mut operator = Operator::following(&shop(server, "prepared"), &[]);
    eventually("the log names it", Duration::from_secs(40), || {
        let log = operator.log();
        let is_named =
            log.contains("pg_prepared_xacts") && log.contains("'left over' of database prepared");
        is_named.then_some(())
    });
    session.sql("commit prepared 'left over'");
    operator.exact(PG, &mut session, Settled::InOrder);
}

fn server() -> Option<Postgres> {
    let config = PostgresConfig::new(Version::Pg15).with("fsync", "off");
    Postgres::start_with(config.with("max_prepared_transactions", "2"))
}

#[test]
fn what_does_not_fit_is_said_before_rows_are_missing() {
    let Some(server) = server() else { return };
    together(vec![
        ("inheritance", Box::new(|| inheritance(&server))),
        ("a table of the system", Box::new(|| system_table(&server))),
        (
            "watermarks without index",
            Box::new(|| watermarks_without_index(&server)),
        ),
        ("a read-only role", Box::new(|| read_only_role(&server))),
    ]);
}

/// Every slot's creation on the server waits for it.
#[test]
fn a_slot_that_waits_for_a_prepared_transaction_names_it() {
    let Some(server) = server() else { return };
    prepared_transaction(&server);
}
