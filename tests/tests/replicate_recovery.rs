//! After servers were replaced, slots moved, backups restored and connections broken, an origin
//! either goes on exactly where it was or says why it cannot and how it can again.

use std::time::Duration;

use edgewise_tests::http::eventually;
use edgewise_tests::servers::{FaultProxy, Postgres, PostgresConfig, Version};
use edgewise_tests::shop::{Dialect, Settled, Shop, together};

const PG: Dialect = Dialect::Postgres;
const PATIENCE: Duration = Duration::from_secs(60);

/// A field of the shop's slot, as text.
fn slot(server: &Postgres, shop: &Shop<'_>, field: &str) -> String {
    let name = shop.name;
    server.value(&format!(
        "select {field} from pg_replication_slots where slot_name = '{name}'"
    ))
}

/// Another cluster under the same address, slot and publication included.
fn another_server(server: &Postgres, other: &Postgres) {
    let mut shop = Shop::postgres(server, "twin");
    let mut operator = shop.followed(server.port, "");
    let mut twin = Shop::postgres(other, "twin");
    twin.session
        .sql("create publication edgewise_shop for table posts, follows, interactions");
    twin.session
        .sql("select pg_create_logical_replication_slot('twin', 'pgoutput')");
    operator.map(&twin.mapping(&other.url("twin"), ""));
    operator.follow();
    let words = ["another server", "system id", "edgewise replicate resync"];
    operator.says(&words);
    shop.write_more();
    // It was the wrong address.
    operator.map(&shop.mapping(&server.url("twin"), ""));
    operator.follow();
    shop.is_exact_after_more(&mut operator);
    // It was the right one: the server was replaced.
    operator.map(&twin.mapping(&other.url("twin"), ""));
    operator.follow();
    operator.says(&words);
    // The slot there is nobody's: one's own is made anew.
    other.sql("select pg_drop_replication_slot('twin')");
    operator.resync(None);
    twin.is_exact_after_more(&mut operator);
}

/// Somebody drops the slot and makes one of the same name.
fn slot_recreated(server: &Postgres) {
    let mut shop = Shop::postgres(server, "anew");
    let mut operator = shop.followed(server.port, "");
    operator.origin.stop();
    shop.write_more();
    shop.session.sql("select pg_drop_replication_slot('anew')");
    shop.session
        .sql("select pg_create_logical_replication_slot('anew', 'pgoutput')");
    operator.run();
    operator.says(&[
        "slot anew",
        "created anew|not created for this store",
        "resync|drop_replication_slot",
    ]);
    operator.resync(None);
    shop.is_exact_after_more(&mut operator);
}

/// Backups from within the slot's range go on, older ones are refused.
fn backups(server: &Postgres) {
    let mut shop = Shop::postgres(server, "backups");
    let mut operator = shop.followed(server.port, "");
    let copies = [
        operator.dir().join("old.copy"),
        operator.dir().join("new.copy"),
    ];
    let copies = copies.map(|path| path.to_string_lossy().into_owned());
    shop.write_more();
    let _ = operator
        .edgewise(&["backup", "--to", &copies[0]])
        .succeeded();
    shop.is_exact_after_more(&mut operator);
    operator.origin.stop();
    let _ = operator
        .edgewise(&["backup", "--to", &copies[1]])
        .succeeded();
    shop.write_more();
    let _ = operator
        .edgewise(&["restore", "--from", &copies[1], "--force"])
        .succeeded();
    operator.run();
    shop.is_exact_after_more(&mut operator);

    operator.origin.stop();
    let _ = operator
        .edgewise(&["restore", "--from", &copies[0], "--force"])
        .succeeded();
    operator.run();
    operator.says(&[
        "slot backups",
        "ahead",
        "backup",
        "edgewise replicate resync",
    ]);
    operator.resync(None);
    shop.is_exact_after_more(&mut operator);
}

/// A standby that has the slot is promoted; one that misses what is applied is refused.
fn promoted_standby(server: &Postgres) {
    let mut shop = Shop::postgres(server, "loyal");
    let mut operator = shop.followed(server.port, "");
    let mut ahead = Shop::postgres(server, "ahead");
    let mut hasty = ahead.followed(server.port, "");
    let mut standby = server.standby("physical");
    standby.catch_up(server);
    // The standby has no log from before it was made.
    let made = server.value("select pg_current_wal_lsn()");
    for (shop, operator) in [(&mut shop, &mut operator), (&mut ahead, &mut hasty)] {
        eventually("the slot needs nothing older", PATIENCE, || {
            shop.write_more();
            operator.catch_up(PG, &mut shop.session);
            server.sql("checkpoint");
            (slot(server, shop, &format!("restart_lsn > '{made}'")) == "t").then_some(())
        });
    }
    standby.catch_up(server);
    for slot in ["loyal", "ahead"] {
        standby.carry_slot(server, slot);
    }
    shop.write_more();
    operator.exact(PG, &mut shop.session, Settled::InOrder);
    standby.catch_up(server);
    operator.origin.stop();
    standby.promote();
    // The old primary lives on for a while, and one origin with it.
    ahead.is_exact_after_more(&mut hasty);

    operator.map(&shop.mapping(&standby.url("loyal"), ""));
    operator.run();
    Shop::open_postgres(&standby, "loyal").is_exact_after_more(&mut operator);

    hasty.map(&ahead.mapping(&standby.url("ahead"), ""));
    hasty.follow();
    hasty.says(&["timeline", "does not contain", "edgewise replicate resync"]);
    hasty.resync(None);
    Shop::open_postgres(&standby, "ahead").is_exact_after_more(&mut hasty);
}

/// SIGTERM in the middle of a copy and of a large transaction.
fn stopped_in_the_middle(server: &Postgres) {
    let mut shop = Shop::postgres(server, "halfway");
    let more = PG.series(30_000);
    let insert = |first: u64| {
        let now = PG.moment("9000");
        format!(
            "insert into interactions select {first} + seq, 1 + seq % 90, 1 + seq % 190, seq % 6, null, {now} from {more}"
        )
    };
    shop.session.sql(&insert(100_000));
    let options = "snapshot = { chunk_rows = 500, rows_per_s = 20000 }";
    let mut operator = shop.operator(&shop.url(), options);
    operator.wait("some rows are copied", |status| {
        let tables = status["tables"].as_object()?;
        let copied: u64 = tables
            .values()
            .filter_map(|table| table["copied_rows"].as_u64())
            .sum();
        (copied > 1_000).then_some(())
    });
    operator.origin.stop();
    shop.write_more();
    operator.run();
    shop.is_exact_after_more(&mut operator);
    shop.session.sql(&insert(200_000));
    operator.origin.stop();
    operator.run();
    shop.is_exact_after_more(&mut operator);
}

/// The network goes quiet without closing anything.
fn stalled(server: &Postgres) {
    let mut shop = Shop::postgres(server, "stalled");
    let proxy = FaultProxy::start(server.port);
    let mut operator = shop.followed(proxy.port, "heartbeat_ms = 300\nconnect_timeout_ms = 1000");
    // Before, statements on the catalogue may be under way, which may take long.
    operator.catch_up(PG, &mut shop.session);
    let before = proxy.counts().accepted;
    proxy.stall();
    shop.write_more();
    eventually("it connects again", PATIENCE, || {
        (proxy.counts().accepted > before).then_some(())
    });
    operator.says(&["connection|answer|silent|nothing came"]);
    eventually("it is counted", PATIENCE, || {
        (operator.metric_sum("edgewise_replicate_reconnects_total", "shop") > 0.0).then_some(())
    });
    proxy.resume();
    shop.is_exact_after_more(&mut operator);
}

/// What the server says is not what it should be.
fn corrupt(server: &Postgres) {
    let mut shop = Shop::postgres(server, "corrupt");
    let proxy = FaultProxy::start(server.port);
    // A first copy that breaks off again and again.
    for bytes in [6_000, 30_000, 90_000] {
        proxy.cut_after_bytes(bytes);
    }
    let mut operator = shop.followed(proxy.port, "heartbeat_ms = 500");
    let oid: u32 = shop.session.sql("select 'interactions'::regclass::oid")[0][0]
        .parse()
        .unwrap();
    let insert = [b"I".as_slice(), &oid.to_be_bytes(), b"N"].concat();
    let change = |at: usize, bytes: &'static [u8]| {
        let insert = insert.clone();
        move |said: &mut [u8]| {
            let found = said
                .windows(insert.len() + 2)
                .position(|window| window.starts_with(&insert));
            found.is_some_and(|start| {
                said[start + at..start + at + bytes.len()].copy_from_slice(bytes);
                true
            })
        }
    };
    // A frame that begins a transaction: the client passes over a frame of a kind that it does
    // not know, and nothing in the protocol tells that a row is missing.
    let frame = |bytes: &'static [u8], at: usize| {
        move |said: &mut [u8]| {
            let found = said.windows(31).position(|frame| {
                frame[0] == b'd' && frame[1..3] == [0, 0] && frame[5] == b'w' && frame[30] == b'B'
            });
            found.is_some_and(|start| {
                said[start + at..start + at + bytes.len()].copy_from_slice(bytes);
                true
            })
        }
    };
    type Tamper = Box<dyn FnMut(&mut [u8]) -> bool + Send>;
    let distortions: Vec<(&str, Tamper)> = vec![
        ("a message of no kind", Box::new(change(0, b"?"))),
        ("a row of no kind", Box::new(change(5, b"?"))),
        ("too many columns", Box::new(change(6, &[0x7f, 0xff]))),
        (
            "a table nobody knows",
            Box::new(change(1, &[0xff, 0xff, 0xff, 0xff])),
        ),
        (
            "a frame that never ends",
            Box::new(frame(&[0x7f, 0xff, 0xff, 0xff], 1)),
        ),
        ("a frame of no length", Box::new(frame(&[0, 0, 0, 0], 1))),
        ("a frame of no kind", Box::new(frame(&[0], 0))),
        ("a payload of no kind", Box::new(frame(b"?", 5))),
    ];
    for (what, distortion) in distortions {
        let before = proxy.counts().accepted;
        proxy.tamper(distortion);
        eventually(what, Duration::from_secs(30), || {
            shop.write_more();
            proxy.tampered().then_some(())
        });
        operator.wait(what, |_| (proxy.counts().accepted > before).then_some(()));
        operator.catch_up(PG, &mut shop.session);
    }
    shop.is_exact_after_more(&mut operator);
}

/// Others write and the mapped tables do not: the server's log must not pile up for us.
fn idle(server: &Postgres) {
    let mut shop = Shop::postgres(server, "idle");
    let operator = shop.followed(server.port, "heartbeat_ms = 300");
    operator.wait_streaming();
    server.sql("create table if not exists noise (id int, text text)");
    for field in ["confirmed_flush_lsn", "restart_lsn"] {
        let written = server.value("select pg_current_wal_lsn()");
        eventually(field, PATIENCE, || {
            server
                .sql("insert into noise select n, repeat('x', 500) from generate_series(1, 200) n");
            // Says which transactions run, which lets the server forget older ones.
            server.sql("checkpoint");
            let passed = slot(server, &shop, &format!("{field} > '{written}'"));
            (passed == "t").then_some(())
        });
    }
    let retained = operator.metric_sum("edgewise_replicate_slot_retained_bytes", "shop");
    assert!(
        retained < 64e6,
        "{retained} bytes are kept for an idle slot"
    );
    shop.write_more();
}

#[test]
fn postgres_is_followed_exactly_or_not_at_all() {
    let config = || {
        PostgresConfig::new(Version::Pg15)
            .with("fsync", "off")
            .with("wal_sender_timeout", "5s")
    };
    let (Some(server), Some(other)) = (
        Postgres::start_with(config()),
        Postgres::start_with(config()),
    ) else {
        return;
    };
    let (server, other) = (&server, &other);
    together(vec![
        ("idle", Box::new(|| idle(server))),
        ("backups", Box::new(|| backups(server))),
        ("slot recreated", Box::new(|| slot_recreated(server))),
        ("another server", Box::new(|| another_server(server, other))),
        (
            "stopped in the middle",
            Box::new(|| stopped_in_the_middle(server)),
        ),
        ("stalled", Box::new(|| stalled(server))),
        ("corrupt", Box::new(|| corrupt(server))),
        ("promoted standby", Box::new(|| promoted_standby(server))),
    ]);
}
