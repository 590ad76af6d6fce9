//! Tables that change under a follower in ways the stream does not tell: each is noticed, stops
//! its own table and no other, and counts exactly after the remedy.

use std::sync::Mutex;
use std::time::Duration;

use edgewise_tests::servers::{Postgres, PostgresConfig, Session, Version};
use edgewise_tests::shop::{Dialect, Operator, Settled, fixes, mapping, together};

const PG: Dialect = Dialect::Postgres;
const ROWS: u64 = 300;
const EVENTS: &str = "public.interactions->events";

/// A database of its own with the shop in it, and an operator that follows it.
struct Shop {
    session: Session,
    operator: Operator,
}

/// A database; `prepare` is run before anything follows it.
fn database(server: &Postgres, name: &str, prepare: &str) -> Session {
    // Copying the template twice at the same time is refused.
    static CREATE: Mutex<()> = Mutex::new(());
    {
        let _one = CREATE.lock();
        server.sql(&format!("create database {name}"));
    }
    let mut session = server.connect(name);
    session.sql("set time zone 'UTC'");
    PG.fill(&mut session, ROWS);
    session.sql(prepare);
    session
}

impl Shop {
    fn new(server: &Postgres, name: &str, prepare: &str) -> Self {
        let session = database(server, name, prepare);
        let text = mapping(PG, &server.url(name), &format!("slot = \"{name}\""));
        let operator = Operator::following(&text, &[]);
        operator.wait_streaming();
        Self { session, operator }
    }

    /// Changes the database while nobody follows it.
    fn while_down(&mut self, sql: &[&str]) {
        self.operator.catch_up(PG, &mut self.session);
        self.operator.origin.stop();
        for statement in sql {
            self.session.sql(statement);
        }
        self.operator.run();
    }

    /// The table of events stops in these words, the others go on, and what it says helps.
    #[track_caller]
    fn stops(&mut self, words: &[&str]) {
        self.operator.table_stops(EVENTS, words);
        let log = self.operator.log();
        let remedy = "edgewise replicate resync --table public.interactions";
        assert!(log.contains(remedy), "{}", self.operator.last_words());
        self.session.sql(
            "delete from follows where user_id = 5; update posts set title = 'After' where id = 3",
        );
        self.operator.catch_up(PG, &mut self.session);
        self.operator.resync(Some("public.interactions"));
        self.operator.wait("the table is back", |status| {
            let stopped = &status["tables"][EVENTS]["stopped"];
            stopped.is_null().then_some(())
        });
        self.is_exact();
    }

    #[track_caller]
    fn is_exact(&mut self) {
        let operator = &mut self.operator;
        operator.exact(PG, &mut self.session, Settled::InOrder);
    }
}

/// Columns whose names come to mean others, and what only looks like that.
fn columns_that_are_replaced(server: &Postgres) {
    let other = "create domain number as bigint; create domain person as number; \
                 alter table interactions alter column user_id type person, \
                   add column other bigint not null default 7";
    let mut shop = Shop::new(server, "replaced", other);
    shop.while_down(&[
        "alter table interactions rename column post_id to post",
        "alter table interactions rename column other to post_id",
    ]);
    shop.stops(&["post_id", "another column"]);
    shop.while_down(&[
        "alter table interactions drop column kind, add column kind smallint not null default 3",
    ]);
    shop.stops(&["kind", "another column"]);
    // Either alone is harmless, and so is a long value that no field reads.
    shop.while_down(&["vacuum full interactions"]);
    shop.while_down(&[
        "alter table interactions alter column watch_ms set default 5",
        "alter table interactions add column more text default 'x'",
        "alter table interactions alter column more set storage external",
        "update interactions set more = repeat('x', 70000000) where id = 1",
    ]);
    shop.is_exact();
    // While it runs.
    let rewrite = "alter table interactions alter column post_id type bigint using post_id % 5 + 1";
    shop.session.sql(rewrite);
    shop.stops(&["post_id", "rewritten"]);
}

/// Tables whose names come to mean others.
fn tables_that_are_replaced(server: &Postgres) {
    let mut shop = Shop::new(server, "recreated", "");
    shop.while_down(&[
        "create table anew (like interactions including all)",
        "insert into anew select * from interactions where id <= 50",
        "drop table interactions",
        "alter table anew rename to interactions",
    ]);
    shop.stops(&["public.interactions", "another table now"]);
    shop.while_down(&[
        "alter publication edgewise_shop drop table interactions",
        "delete from interactions where id <= 10",
        "alter publication edgewise_shop add table interactions",
    ]);
    shop.stops(&["public.interactions", "left publication", "came back"]);
    // While it runs.
    shop.operator.catch_up(PG, &mut shop.session);
    let more = "select max(id) + 1, 1, 1, 3, null, timestamptz '2026-11-01 10:00:00+00' from";
    for sql in [
        "alter table interactions rename to hidden".to_owned(),
        format!("insert into hidden {more} hidden"),
        "alter table hidden rename to interactions".to_owned(),
        format!("insert into interactions {more} interactions"),
    ] {
        shop.session.sql(&sql);
    }
    shop.stops(&["public.interactions", "renamed"]);
}

/// What would be counted wrong from the start is refused, with a remedy that harms nothing else.
fn tables_that_are_refused(server: &Postgres) {
    let password = Postgres::PASSWORD;
    let mut session = database(
        server,
        "refused",
        &format!(
            "create role tenant login replication password '{password}'; \
             grant select on all tables in schema public to tenant; \
             alter table interactions enable row level security; \
             create policy few on interactions for select to tenant using (id < 50); \
             create publication edgewise_shop for table posts where (id > 5), follows, interactions"
        ),
    );
    let url = server
        .url("refused")
        .replace("postgres://postgres", "postgres://tenant");
    let text = mapping(PG, &url, "slot = \"refused\"");
    let mut operator = Operator::following(&text, &[]);
    let words = ["public.interactions", "row-level security", "bypassrls"];
    let report = operator.check_finds(&words);
    operator.says(&words);
    let _ = operator.check_finds(&["public.posts", "only rows", "drop table public.posts"]);
    for sql in fixes(&report, "error") {
        session.sql(&sql);
    }
    session.sql("alter table interactions drop constraint interactions_pkey, add primary key (id) deferrable");
    let words = ["public.interactions", "deferrable", "add primary key"];
    let _ = operator.check_finds(&words);
    operator.follow();
    operator.says(&words);
    operator.apply_fixes(&mut session);
    let tables =
        session.sql("select count(*) from pg_publication_tables where pubname = 'edgewise_shop'");
    assert_eq!(tables[0][0], "3", "the others are still published");
    operator.follow();
    operator.exact(PG, &mut session, Settled::InOrder);
    session.sql("revoke select on follows from tenant");
    let _ = operator.check_finds(&["public.follows", "may not read"]);
    // Run by somebody else: it has to name whom it is for.
    let fixes = operator.apply_fixes(&mut session).join(" ");
    assert!(
        fixes.contains("\"tenant\"") || fixes.contains("TO tenant"),
        "{fixes}"
    );
}

/// Partitions that are emptied with their table, and one that is emptied by itself.
fn partitions_that_are_emptied(server: &Postgres) {
    let prepare = "create table whole (like interactions, primary key (id)) partition by range (id); \
                   create table low partition of whole for values from (minvalue) to (150); \
                   create table high partition of whole for values from (150) to (1000000); \
                   insert into whole select * from interactions; \
                   drop table interactions; \
                   alter table whole rename to interactions; \
                   analyze interactions";
    let mut shop = Shop::new(server, "partitions", prepare);
    shop.while_down(&[
        "create table kept as select * from interactions",
        "truncate interactions",
        "insert into interactions select * from kept where id % 3 = 0",
        "create table top partition of interactions for values from (1000000) to (maxvalue)",
        "insert into interactions select id + 1000000, user_id, post_id, kind, watch_ms, created_at from kept",
        "vacuum full high",
    ]);
    shop.is_exact();
    shop.operator.catch_up(PG, &mut shop.session);
    // The catalogue is looked at again.
    std::thread::sleep(Duration::from_secs(6));
    let status = shop.operator.status();
    assert!(status["tables"][EVENTS]["stopped"].is_null(), "{status}");
    shop.while_down(&["truncate low"]);
    shop.stops(&["public.interactions", "partition", "truncated by itself"]);
}

/// A copy that is cut off goes on in a table that VACUUM FULL has rewritten meanwhile.
fn copy_of_a_table_that_is_rewritten(server: &Postgres) {
    let name = "rewritten";
    // Without a single integer key the chunks are blocks.
    let mut session = database(
        server,
        name,
        "alter table interactions drop constraint interactions_pkey, add primary key (id, user_id); \
         insert into interactions select id * 1000 + n, user_id, post_id, kind, null, created_at \
           from interactions, generate_series(1, 60) n; \
         analyze interactions",
    );
    let text = |rate: u32| {
        let snapshot =
            format!("snapshot = {{ chunk_rows = 1000, rows_per_s = {rate}, parallel = 1 }}");
        mapping(
            PG,
            &server.url(name),
            &format!("slot = \"{name}\"\n{snapshot}"),
        )
    };
    let mut operator = Operator::following(&text(5_000), &[]);
    operator.wait("a part is copied", |status| {
        let copied = status["tables"][EVENTS]["chunks_done"].as_u64()?;
        (copied >= 6).then_some(())
    });
    operator.origin.kill();
    session.sql("delete from interactions where id between 1000 and 150000");
    session.sql("vacuum full interactions");
    operator.map(&text(0));
    operator.run();
    operator.exact(PG, &mut session, Settled::InOrder);
    let log = operator.log();
    assert!(
        log.contains("copied from the start"),
        "{}",
        operator.last_words()
    );
}

#[test]
fn tables_that_change_behind_the_stream_are_noticed() {
    let config = PostgresConfig::new(Version::Pg15).with("fsync", "off");
    let Some(server) = Postgres::start_with(config) else {
        return;
    };
    let server = &server;
    together(vec![
        (
            "tables that are refused",
            Box::new(|| tables_that_are_refused(server)),
        ),
        (
            "a copy of a table that is rewritten",
            Box::new(|| copy_of_a_table_that_is_rewritten(server)),
        ),
        (
            "partitions that are emptied",
            Box::new(|| partitions_that_are_emptied(server)),
        ),
        (
            "columns that are replaced",
            Box::new(|| columns_that_are_replaced(server)),
        ),
        (
            "tables that are replaced",
            Box::new(|| tables_that_are_replaced(server)),
        ),
    ]);
}
