//! MariaDB that restarts, begins its log anew, goes quiet or says nonsense is followed exactly
//! or not at all.

use std::time::Duration;

use edgewise_tests::http::eventually;
use edgewise_tests::servers::{FaultProxy, MariaDb, Stop};
use edgewise_tests::shop::{Dialect, Shop, together};

const MARIA: Dialect = Dialect::MariaDb;

/// Backups from within the log go on.
fn backups(server: &MariaDb) {
    let mut shop = Shop::mariadb(server, "backups", 201);
    let mut operator = shop.followed(server.port, "");
    let copy = operator.dir().join("copy").to_string_lossy().into_owned();
    shop.write_more();
    let _ = operator.edgewise(&["backup", "--to", &copy]).succeeded();
    shop.is_exact_after_more(&mut operator);
    operator.origin.stop();
    shop.session.sql("flush binary logs");
    shop.write_more();
    // Nothing is acknowledged to a MariaDB server: what it kept can be read again.
    let _ = operator
        .edgewise(&["restore", "--from", &copy, "--force"])
        .succeeded();
    operator.run();
    shop.is_exact_after_more(&mut operator);
}

fn stalled(server: &MariaDb) {
    let mut shop = Shop::mariadb(server, "stalled", 202);
    let proxy = FaultProxy::start(server.port);
    let options = "heartbeat_ms = 300\nconnect_timeout_ms = 1000";
    let mut operator = shop.followed(proxy.port, options);
    // Before, questions to the catalogue may be under way, which may take long.
    operator.catch_up(MARIA, &mut shop.session);
    let before = proxy.counts().accepted;
    proxy.stall();
    shop.write_more();
    operator.wait("it connects again", |_| {
        (proxy.counts().accepted > before).then_some(())
    });
    proxy.resume();
    shop.is_exact_after_more(&mut operator);
}

/// What the server says is not what it should be. A changed value can only be told by the
/// event's checksum.
fn corrupt(server: &MariaDb) {
    const VALUE: i64 = 0x0123_4567_89ab;
    let mut shop = Shop::mariadb(server, "corrupt", 203);
    let proxy = FaultProxy::start(server.port);
    let mut operator = shop.followed(proxy.port, "heartbeat_ms = 500");
    let found =
        |said: &[u8], what: &[u8]| said.windows(what.len()).position(|window| window == what);
    type Tamper = Box<dyn FnMut(&mut [u8]) -> bool + Send>;
    let value = move |said: &mut [u8]| {
        found(said, &VALUE.to_le_bytes()).is_some_and(|at| {
            said[at] ^= 1;
            true
        })
    };
    let name = move |said: &mut [u8]| {
        found(said, b"corrupt\0\x0cinteractions\0").is_some_and(|at| {
            said[at + 10] = b'I';
            true
        })
    };
    // The packet's number, right before its status and the event's time.
    let packet = move |said: &mut [u8]| {
        let now = u32::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
        (now - 5..=now).any(|second| {
            let status = [[0].as_slice(), &second.to_le_bytes()].concat();
            let Some(at) = found(said, &status).filter(|at| *at >= 4) else {
                return false;
            };
            said[at - 1] ^= 0x40;
            true
        })
    };
    let distortions: Vec<(&str, Tamper)> = vec![
        ("another value", Box::new(value)),
        ("another table", Box::new(name)),
        ("a packet out of order", Box::new(packet)),
    ];
    for (what, distortion) in distortions {
        let before = proxy.counts().accepted;
        proxy.tamper(distortion);
        eventually(what, Duration::from_secs(30), || {
            shop.session.sql(&format!(
                "insert into interactions (id, user_id, post_id, kind, watch_ms, created_at) values ({VALUE}, 1, 1, 3, null, {}); \
                 delete from interactions where id = {VALUE}",
                MARIA.moment("1")
            ));
            proxy.tampered().then_some(())
        });
        operator.wait(what, |_| (proxy.counts().accepted > before).then_some(()));
        operator.catch_up(MARIA, &mut shop.session);
    }
    shop.is_exact_after_more(&mut operator);
}

/// A table is dropped and comes back; a mapped column goes.
fn tables_that_change(server: &MariaDb) {
    let mut shop = Shop::mariadb(server, "changing", 204);
    let mut operator = shop.followed(server.port, "");
    let entry = "changing.interactions->events";
    shop.session
        .sql("alter table interactions drop column kind");
    shop.session.sql(&format!(
        "insert into interactions (id, user_id, post_id, created_at) values (9001, 1, 1, {})",
        MARIA.moment("1")
    ));
    operator.table_stops(entry, &["kind"]);
    shop.session
        .sql("update posts set title = 'After' where id = 3");
    operator.catch_up(MARIA, &mut shop.session);
    shop.session
        .sql("alter table interactions add column kind smallint not null default 3");
    operator.resync(Some("changing.interactions"));
    shop.is_exact_after_more(&mut operator);
}

/// The server is restarted, then begins its log anew.
fn log_begun_anew(server: &mut MariaDb) {
    let mut operator = {
        let mut shop = Shop::mariadb(server, "anew", 205);
        let operator = shop.followed(server.port, "");
        shop.write_more();
        operator
    };
    server.restart(Stop::Kill);
    let mut shop = Shop::open_mariadb(server, "anew", 205);
    shop.is_exact_after_more(&mut operator);
    operator.origin.stop();
    shop.write_more();
    shop.session.sql("reset master");
    for _ in 0..3 {
        shop.session.sql("flush binary logs");
        shop.write_more();
    }
    operator.run();
    operator.says(&["binlog", "edgewise replicate resync"]);
    operator.resync(None);
    shop.is_exact_after_more(&mut operator);
}

#[test]
fn mariadb_is_followed_exactly_or_not_at_all() {
    let Some(mut server) = MariaDb::start() else {
        return;
    };
    {
        let server = &server;
        together(vec![
            ("backups", Box::new(|| backups(server))),
            (
                "tables that change",
                Box::new(|| tables_that_change(server)),
            ),
            ("stalled", Box::new(|| stalled(server))),
            ("corrupt", Box::new(|| corrupt(server))),
        ]);
    }
    log_begun_anew(&mut server);
}
