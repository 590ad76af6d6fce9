//! Two-phase commit at a MariaDB server: rows of an XA transaction count when it is committed,
//! however long after they were prepared, and whatever happened to the origin in between.

use std::time::Duration;

use edgewise_tests::http::eventually;
use edgewise_tests::servers::{MariaDb, Session};
use edgewise_tests::shop::{Dialect, Operator, Settled, mapping_in};

const MARIA: Dialect = Dialect::MariaDb;
const ROWS: u64 = 300;

/// A database of its own with the shop in it.
struct Shop<'a> {
    server: &'a MariaDb,
    name: &'static str,
    session: Session,
    /// The next free id of an interaction.
    next: u64,
}

impl<'a> Shop<'a> {
    fn new(server: &'a MariaDb, name: &'static str) -> Self {
        server.sql(&format!("create database {name}"));
        let mut session = server.connect();
        session.sql(&format!("use {name}; set time_zone = '+00:00'"));
        MARIA.fill(&mut session, ROWS);
        let next = ROWS + 1;
        Self {
            server,
            name,
            session,
            next,
        }
    }

    fn following(&self) -> Operator {
        let url = format!("{}?sslmode=disable", self.server.url(self.name));
        Operator::following(&mapping_in(self.name, &url, ""), &[MariaDb::PASSWORD])
    }

    /// Two inserts, an update and a delete, as `insert` is called.
    fn changes(&mut self) -> String {
        let (id, at) = (self.next, MARIA.moment("9000"));
        self.next += 2;
        format!(
            "insert into interactions (id, user_id, post_id, kind, watch_ms, created_at) values \
               ({id}, 3, 4, 3, null, {at}), ({}, 5, 4, 2, null, {at}); \
             update interactions set kind = (kind + 1) % 6 where id = {}; \
             delete from interactions where id = {}; \
             delete from follows where user_id = {}",
            id + 1,
            id % 100 + 1,
            id % 100 + 101,
            id % 100 + 1,
        )
    }

    /// Prepares such changes and leaves: anybody may decide them now.
    fn prepare(&mut self, xid: &str) {
        let changes = self.changes();
        let mut owner = self.server.connect();
        owner.sql(&format!(
            "use {}; xa start {xid}; {changes}; xa end {xid}; xa prepare {xid}",
            self.name
        ));
    }

    /// Once the server has noticed that the owner has left.
    fn decide(&mut self, decision: &str) {
        eventually(decision, Duration::from_secs(20), || {
            self.session.try_sql(decision).ok()
        });
    }

    #[track_caller]
    fn is_exact(&mut self, operator: &mut Operator) {
        let changes = self.changes();
        self.session.sql(&changes);
        operator.exact(MARIA, &mut self.session, Settled::InOrder);
        let status = operator.status();
        for entry in ["interactions->events", "follows->follows", "posts->items"] {
            let stopped = &status["tables"][format!("{}.{entry}", self.name)]["stopped"];
            assert!(stopped.is_null(), "{entry}: {stopped}");
        }
    }
}

/// A first copy does not see what is prepared, and the stream would begin behind it.
#[test]
fn xa_prepared_before_the_first_copy_is_waited_for() {
    let Some(server) = &MariaDb::start() else {
        return;
    };
    let mut shop = Shop::new(server, "first");
    shop.prepare("'x4', 'b', 7");
    let mut operator = shop.following();
    let report = operator.check_passes().to_string();
    assert!(report.contains("X'7834',X'62',7"), "{report}");
    operator.says(&["prepared", "X'7834',X'62',7", "xa commit", "xa rollback"]);
    // Who comes later does not keep it waiting.
    shop.prepare("'later'");
    shop.decide("xa commit 'x4', 'b', 7");
    shop.is_exact(&mut operator);
    shop.decide("xa commit 'later'");
    shop.is_exact(&mut operator);

    shop.prepare("'all'");
    shop.prepare("'none'");
    operator.resync(None);
    operator.says(&["prepared", "X'616c6c',X'',1", "xa commit"]);
    shop.decide("xa commit 'all'");
    shop.decide("xa rollback 'none'");
    shop.is_exact(&mut operator);

    // One table is copied anew: the stream has held what it does not see.
    shop.prepare("'one'");
    operator.catch_up(MARIA, &mut shop.session);
    operator.resync(Some("first.interactions"));
    shop.is_exact(&mut operator);
    shop.decide("xa commit 'one'");
    shop.is_exact(&mut operator);
}

/// Nothing counts before it is committed, and nothing stops where it is rolled back.
#[test]
fn xa_counts_when_it_is_committed() {
    let Some(server) = &MariaDb::start() else {
        return;
    };
    let mut shop = Shop::new(server, "undecided");
    let mut operator = shop.following();
    operator.catch_up(MARIA, &mut shop.session);
    shop.prepare("'a'");
    shop.prepare("X'00ff0a', X'27'");
    shop.is_exact(&mut operator);
    shop.decide("xa rollback 'a'");
    shop.is_exact(&mut operator);
    shop.decide("xa commit X'00ff0a', X'27'");
    shop.is_exact(&mut operator);
    // The same names again, at once, and without a PREPARE.
    shop.prepare("'a'");
    shop.decide("xa commit 'a'");
    let changes = shop.changes();
    shop.session.sql(&format!(
        "xa start 'a'; {changes}; xa end 'a'; xa commit 'a' one phase"
    ));
    shop.is_exact(&mut operator);
}

/// The origin is killed while transactions are prepared; some are decided while it is away.
#[test]
fn xa_survives_a_kill_in_between() {
    let Some(server) = &MariaDb::start() else {
        return;
    };
    let mut shop = Shop::new(server, "killed");
    let mut operator = shop.following();
    operator.catch_up(MARIA, &mut shop.session);
    for xid in ["'while away'", "'undone'", "'after'"] {
        shop.prepare(xid);
    }
    operator.catch_up(MARIA, &mut shop.session);
    operator.origin.kill();
    shop.session.sql("flush binary logs");
    shop.prepare("'unseen'");
    shop.decide("xa commit 'while away'");
    shop.decide("xa rollback 'undone'");
    operator.run();
    shop.is_exact(&mut operator);
    operator.catch_up(MARIA, &mut shop.session);
    operator.origin.kill();
    operator.run();
    shop.decide("xa commit 'after'");
    shop.decide("xa commit 'unseen'");
    shop.is_exact(&mut operator);
}

/// More rows than are kept in memory, cut off in the middle of their COMMIT too.
#[test]
fn xa_larger_than_memory_is_read_again() {
    let Some(server) = &MariaDb::start() else {
        return;
    };
    let mut shop = Shop::new(server, "larger");
    shop.session
        .sql("alter table interactions add column filler mediumtext");
    let mut operator = shop.following();
    operator.catch_up(MARIA, &mut shop.session);
    let mut owner = server.connect();
    owner.sql(
        "use larger; xa start 'large'; \
         update interactions set kind = (kind + 1) % 6, filler = repeat(md5(id), 2100); \
         xa end 'large'; xa prepare 'large'",
    );
    operator.catch_up(MARIA, &mut shop.session);
    owner.sql("xa commit 'large'");
    shop.session.sql("delete from follows where user_id = 2");
    operator.origin.kill();
    operator.run();
    operator.exact(MARIA, &mut shop.session, Settled::InOrder);
}

/// What can neither be read nor be told stops every table, with the remedy.
#[test]
fn xa_rows_that_are_gone_stop_every_table() {
    let Some(server) = &MariaDb::start() else {
        return;
    };
    let mut shop = Shop::new(server, "gone");
    let mut operator = shop.following();
    operator.catch_up(MARIA, &mut shop.session);
    shop.prepare("'old'");
    shop.session.sql("flush binary logs");
    operator.catch_up(MARIA, &mut shop.session);
    operator.origin.kill();
    let last = shop.session.sql("show master status")[0][0].clone();
    shop.session.sql(&format!("purge binary logs to '{last}'"));
    operator.run();
    operator.catch_up(MARIA, &mut shop.session);
    shop.decide("xa commit 'old'");
    for entry in ["interactions->events", "follows->follows", "posts->items"] {
        let entry = format!("gone.{entry}");
        let words = ["X'6f6c64'", "cannot be read", "resync --table gone."];
        operator.table_stops(&entry, &words);
    }
    operator.resync(None);
    shop.is_exact(&mut operator);
}
