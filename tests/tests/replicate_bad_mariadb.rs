//! MariaDB servers that cannot be followed as they are say so, with the remedy, and lose
//! nothing once it was carried out.

use std::time::Duration;

use edgewise_tests::http::eventually;
use edgewise_tests::servers::{FaultProxy, MariaDb, MariaDbConfig, Stop, Tls};
use edgewise_tests::shop::{Dialect, Operator, Settled, Shop, together};

const MARIA: Dialect = Dialect::MariaDb;

/// As [`Shop::write`], whatever other columns there are.
fn write_named(shop: &mut Shop<'_>) {
    let sql = "insert into interactions (id, user_id, post_id, kind, created_at) \
               select max(id) + 1, 5, 6, 2, timestamp '2026-11-03 00:00:00' from interactions; \
               update interactions set kind = 1 where id % 40 = 3";
    shop.session.sql(sql);
}

/// The interactions stop, loudly; what the reason says to do helps.
#[track_caller]
fn interactions_stop(shop: &mut Shop<'_>, operator: &mut Operator, words: &str) {
    let table = format!("{}.interactions", shop.name);
    let resync = format!("edgewise replicate resync --table {table}");
    operator.table_stops(&format!("{table}->events"), &[words, &resync]);
    let log = operator.log();
    let is_loud = |line: &str| line.contains("ERROR") && line.contains(&resync);
    assert!(log.lines().any(is_loud), "{}", operator.last_words());
    operator.resync(Some(&table));
    write_named(shop);
    operator.exact(MARIA, &mut shop.session, Settled::InOrder);
}

fn wrong_password(server: &MariaDb) {
    let mut shop = Shop::mariadb(server, "credentials", 101);
    let wrong = shop.url().replace(MariaDb::PASSWORD, "wr0ng-p4ss");
    let mut operator = shop.operator(&wrong, "");
    let words = ["edgewise", "127.0.0.1", "password"];
    let _ = operator.check_finds(&words);
    operator.says(&words);
    shop.write();
    operator.map(&shop.mapping(&shop.url(), ""));
    let _ = operator.check_passes();
    operator.follow();
    shop.is_exact(&mut operator);
}

fn no_replication_right(server: &MariaDb) {
    let mut shop = Shop::mariadb(server, "rights", 102);
    let password = MariaDb::PASSWORD;
    shop.session.sql(&format!(
        "create user reader@'%' identified by '{password}'; grant select on rights.* to reader@'%'"
    ));
    let url = shop.url().replace("//edgewise:", "//reader:");
    let mut operator = shop.operator(&url, "");
    let words = ["grant", "replication slave|binlog"];
    let _ = operator.check_finds(&words);
    operator.says(&words);
    shop.write();
    // Run by somebody else: it has to name whom it is for.
    let fixes = operator.apply_fixes(&mut shop.session).join(" ");
    assert!(fixes.contains("'reader'@'%'"), "{fixes}");
    let _ = operator.check_passes();
    operator.follow();
    shop.is_exact(&mut operator);
}

fn unknown_host(server: &MariaDb) {
    let mut shop = Shop::mariadb(server, "nowhere", 103);
    let url = shop.url().replace("127.0.0.1", "no-such-host.invalid");
    let mut operator = shop.operator(&url, "");
    let words = ["no-such-host.invalid", "check the host|resolve"];
    let _ = operator.check_finds(&words);
    operator.says(&words);
    operator.map(&shop.mapping(&shop.url(), ""));
    operator.follow();
    shop.is_exact(&mut operator);
}

/// The certificate is not trusted; then its authority is named.
fn unverified_certificate(server: &MariaDb) {
    let mut shop = Shop::mariadb(server, "certificate", 104);
    let certificates = server.certificates.as_ref().expect("it speaks TLS");
    let url = format!("{}?sslmode=verify-full", shop.url());
    let mut operator = shop.operator(&url, "");
    let words = ["certificate", "tls.ca"];
    let _ = operator.check_finds(&words);
    operator.says(&words);
    shop.write();
    let trust = format!("tls = {{ ca = \"{}\" }}", certificates.authority.display());
    operator.map(&shop.mapping(&url, &trust));
    let _ = operator.check_passes();
    operator.follow();
    shop.is_exact(&mut operator);
}

/// The server does not offer TLS (any more); then it does.
fn tls_refused(server: &MariaDb) {
    const SSL: u8 = 0x08;
    let mut shop = Shop::mariadb(server, "plain", 105);
    let proxy = FaultProxy::start(server.port);
    // The greeting: header, 10, version, 0, thread (4), salt (8), 0, capabilities (2).
    let refuse = |said: &mut [u8]| {
        if said.get(4) == Some(&10)
            && let Some(end) = said.iter().skip(5).position(|&byte| byte == 0)
        {
            let capabilities = 5 + end + 1 + 4 + 8 + 1;
            said[capabilities + 1] &= !SSL;
        }
        false
    };
    proxy.tamper(refuse);
    let url = format!("{}?sslmode=require", shop.url_at(proxy.port));
    let mut operator = shop.operator(&url, "");
    let words = ["tls", "sslmode"];
    let _ = operator.check_finds(&words);
    operator.says(&words);
    shop.write();
    proxy.tamper(|_| true);
    operator.follow();
    shop.is_exact(&mut operator);
}

/// Another table takes the name, as an online schema change ends.
fn tables_that_are_renamed(server: &MariaDb) {
    let mut shop = Shop::mariadb(server, "renamed", 109);
    let mut operator = shop.operator(&shop.url(), "");
    shop.is_exact(&mut operator);
    shop.session.sql(
        "create table _interactions_new like interactions; \
         insert into _interactions_new select * from interactions where id % 5 > 0; \
         rename table renamed.interactions to _interactions_old, `_interactions_new` to interactions",
    );
    shop.write();
    interactions_stop(
        &mut shop,
        &mut operator,
        "rename table renamed.interactions",
    );
    // Away and back, and through another database.
    shop.session.sql(
        "create database elsewhere; rename table posts to p2, p2 to posts; \
         rename table follows to elsewhere.follows, elsewhere.follows to renamed.follows",
    );
    operator.table_stops(
        "renamed.follows->follows",
        &["another name", "resync --table"],
    );
    operator.table_stops("renamed.posts->items", &["another name", "resync --table"]);
    operator.resync(Some("renamed.posts"));
    operator.resync(Some("renamed.follows"));
    // As ALTER TABLE says it.
    shop.session
        .sql("alter table renamed.interactions rename as `i 2`, force");
    operator.table_stops("renamed.interactions->events", &["another name"]);
    shop.session.sql("alter table `i 2` rename interactions");
    operator.catch_up(MARIA, &mut shop.session);
    operator.resync(Some("renamed.interactions"));
    shop.is_exact(&mut operator);
}

/// Rows that are there get other values, and no row event says so.
fn columns_that_are_replaced(server: &MariaDb) {
    let mut shop = Shop::mariadb(server, "replaced", 110);
    let mut operator = shop.operator(&shop.url(), "");
    shop.is_exact(&mut operator);
    for (sql, words) in [
        (
            "alter table interactions drop column kind, add column kind smallint not null default 3",
            "dropped column kind",
        ),
        (
            "alter table interactions add column p2 bigint not null default 7; \
             alter table interactions change post_id p3 bigint, change p2 post_id bigint not null",
            "gave column post_id",
        ),
        (
            "alter table interactions modify kind tinyint not null",
            "type of column kind",
        ),
    ] {
        shop.session.sql(sql);
        interactions_stop(&mut shop, &mut operator, words);
    }
    shop.session
        .sql("alter table interactions drop column watch_ms");
    operator.table_stops(
        "replaced.interactions->events",
        &["dropped column watch_ms"],
    );
    shop.session
        .sql("alter table interactions add column watch_ms integer");
    operator.catch_up(MARIA, &mut shop.session);
    operator.resync(Some("replaced.interactions"));
    // The columns are taken as they are when the copy begins.
    operator.exact(MARIA, &mut shop.session, Settled::InOrder);
    // These are followed: columns that nobody reads, and values that stay.
    for sql in [
        "alter table interactions add column note text first, modify kind bigint not null after id",
        "alter table interactions add column more int default 3 after kind, drop column note",
        "alter table interactions change more less int, add index (kind), engine = innodb",
    ] {
        shop.session.sql(sql);
        write_named(&mut shop);
    }
    operator.exact(MARIA, &mut shop.session, Settled::InOrder);
    let stopped = &operator.status()["tables"]["replaced.interactions->events"]["stopped"];
    assert!(stopped.is_null(), "{stopped}");
}

/// The same while nobody follows: the binlog has the statements in order.
fn definitions_while_the_origin_is_down(server: &MariaDb) {
    let mut shop = Shop::mariadb(server, "behind", 111);
    let mut operator = shop.operator(&shop.url(), "");
    shop.is_exact(&mut operator);
    operator.origin.stop();
    // Events in between have no column of the same type at its place as the catalogue has now.
    shop.session
        .sql("alter table interactions add column note bigint not null default 77 after id");
    write_named(&mut shop);
    shop.session
        .sql("alter table interactions drop column note, add column more bigint after user_id");
    write_named(&mut shop);
    operator.run();
    operator.exact(MARIA, &mut shop.session, Settled::InOrder);
    operator.origin.stop();
    shop.session.sql(
        "alter table interactions drop column kind; alter table interactions add column kind smallint not null default 3; \
         create table p2 like posts; insert into p2 select * from posts; update p2 set title = 'Swapped' where id % 3 = 0; \
         rename table posts to p3, p2 to posts",
    );
    operator.run();
    operator.table_stops(
        "behind.posts->items",
        &["rename table posts", "resync --table behind.posts"],
    );
    operator.resync(Some("behind.posts"));
    interactions_stop(&mut shop, &mut operator, "dropped column kind");
}

/// Statements in the binlog say nothing of rows. The server is for this alone while it lasts.
fn statement_format(server: &MariaDb) {
    let mut shop = Shop::mariadb(server, "statements", 106);
    server.sql("set global binlog_format = 'STATEMENT'");
    let mut operator = shop.operator(&shop.url(), "");
    let words = ["binlog_format", "statement", "row"];
    let _ = operator.check_finds(&words);
    operator.says(&words);
    shop.write();
    server.sql("set global binlog_format = 'ROW'");
    let _ = operator.check_passes();
    operator.follow();
    shop.is_exact(&mut operator);

    // A session that goes its own way is noticed before its changes are passed over.
    shop.session.sql("set session binlog_format = 'STATEMENT'");
    shop.session
        .sql("update interactions set kind = (kind + 1) % 6 where id < 100");
    shop.session.sql("set session binlog_format = 'ROW'");
    operator.table_stops(
        "statements.interactions->events",
        &["row events", "binlog_format"],
    );
    operator.resync(Some("statements.interactions"));
    shop.is_exact(&mut operator);
}

/// What was not read yet is thrown away by the server.
fn purged(server: &MariaDb) {
    let mut shop = Shop::mariadb(server, "purged", 107);
    let mut operator = shop.operator(&shop.url(), "");
    shop.is_exact(&mut operator);
    operator.origin.stop();
    shop.write();
    eventually("the file is gone", Duration::from_secs(20), || {
        // A file that is still read is passed over; what is written ends who reads it.
        shop.session.sql("flush binary logs");
        shop.write();
        let newest = shop.session.sql("show master status").remove(0).remove(0);
        shop.session
            .sql(&format!("purge binary logs to '{newest}'"));
        let files = shop.session.sql("show binary logs");
        (files.len() == 1).then_some(())
    });
    operator.run();
    let words = ["binlog", "edgewise replicate resync"];
    operator.says(&words);
    operator.resync(None);
    shop.is_exact(&mut operator);
}

/// The server writes no binlog; then it does.
fn binlog_off(server: &mut MariaDb) {
    server.set_arguments(&["--skip-log-bin"]);
    server.restart(Stop::Fast);
    let operator = {
        let shop = Shop::mariadb(server, "nolog", 108);
        shop.operator(&shop.url(), "")
    };
    let words = ["binlog|log_bin|log-bin", "log-bin|log_bin"];
    let _ = operator.check_finds(&words);
    operator.says(&words);
    server.set_arguments(&[]);
    server.restart(Stop::Fast);
    let mut operator = operator;
    let mut shop = Shop::open_mariadb(server, "nolog", 108);
    let _ = operator.check_passes();
    operator.follow();
    shop.is_exact(&mut operator);
}

#[test]
fn mariadb_sources_that_cannot_be_followed_say_what_to_do() {
    let config = MariaDbConfig {
        tls: Tls::Offered,
        arguments: Vec::new(),
    };
    let Some(mut server) = MariaDb::start_with(config) else {
        return;
    };
    {
        let server = &server;
        together(vec![
            ("wrong password", Box::new(|| wrong_password(server))),
            (
                "no right to replicate",
                Box::new(|| no_replication_right(server)),
            ),
            ("unknown host", Box::new(|| unknown_host(server))),
            (
                "unverified certificate",
                Box::new(|| unverified_certificate(server)),
            ),
            ("TLS refused", Box::new(|| tls_refused(server))),
            (
                "tables that are renamed",
                Box::new(|| tables_that_are_renamed(server)),
            ),
            (
                "columns that are replaced",
                Box::new(|| columns_that_are_replaced(server)),
            ),
            (
                "definitions while the origin is down",
                Box::new(|| definitions_while_the_origin_is_down(server)),
            ),
        ]);
        statement_format(server);
        purged(server);
    }
    binlog_off(&mut server);
}
