//! Sources that cannot be followed as they are: `check` and a running origin name the object
//! and the remedy, the origin goes on serving, and once the operator has done what is said,
//! nothing is missing.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use edgewise_tests::http::eventually;
use edgewise_tests::servers::{
    Auth, FaultProxy, Postgres, PostgresConfig, Stop, Tls, Version, pg_recvlogical,
};
use edgewise_tests::shop::{Operator, Shop, together};

/// Says it, keeps saying it while rows are written, is put right by `remedy`, and is exact.
#[track_caller]
fn refuses(
    shop: &mut Shop<'_>,
    operator: &mut Operator,
    words: &[&str],
    remedy: impl FnOnce(&mut Shop<'_>, &Operator),
) {
    let _ = operator.check_finds(words);
    operator.says(words);
    shop.write();
    remedy(shop, operator);
    let _ = operator.check_passes();
    operator.follow();
    shop.is_exact(operator);
}

fn wrong_password(server: &Postgres) {
    let mut shop = Shop::postgres(server, "credentials");
    let wrong = shop.url().replace(Postgres::PASSWORD, "wr0ng-p4ss");
    let mut operator = shop.operator(&wrong, "");
    let words = ["postgres", "password", "pg_hba|user and password"];
    refuses(&mut shop, &mut operator, &words, |shop, operator| {
        operator.map(&shop.mapping(&shop.url(), ""));
    });
}

fn no_replication_right(server: &Postgres) {
    let mut shop = Shop::postgres(server, "rights");
    let password = Postgres::PASSWORD;
    shop.session.sql(&format!(
        "create role reader login password '{password}'; grant select on all tables in schema public to reader"
    ));
    let url = shop
        .url()
        .replace("postgres://postgres:", "postgres://reader:");
    let mut operator = shop.operator(&url, "");
    let words = ["reader", "replication", "alter role reader"];
    refuses(&mut shop, &mut operator, &words, |shop, operator| {
        let fixes = operator.apply_fixes(&mut shop.session).join(" ");
        assert!(
            fixes.to_uppercase().contains("ALTER ROLE READER"),
            "{fixes}"
        );
    });
}

fn slot_in_use(server: &Postgres) {
    let Some(receiver) = pg_recvlogical() else {
        return;
    };
    let mut shop = Shop::postgres(server, "busy");
    let mut operator = shop.operator(&shop.url(), "");
    shop.is_exact(&mut operator);
    operator.origin.stop();
    let mut other = occupy(&receiver, server, shop.name);
    operator.run();
    let words = ["slot busy", "in use", "process"];
    operator.says(&words);
    let report = operator.check_passes().to_string();
    assert!(
        report.contains("slot busy") && report.contains("process"),
        "{report}"
    );
    shop.write();
    other.kill().unwrap();
    other.wait().unwrap();
    // Nobody has to do more.
    shop.is_exact(&mut operator);
}

/// Another consumer of the slot that acknowledges nothing.
fn occupy(receiver: &std::path::Path, server: &Postgres, slot: &str) -> Child {
    let mut command = Command::new(receiver);
    command.args([
        "--start",
        "--slot",
        slot,
        "-f",
        "/dev/null",
        "-F",
        "0",
        "-s",
        "0",
    ]);
    command.args([
        "-o",
        "proto_version=1",
        "-o",
        "publication_names=edgewise_shop",
    ]);
    command
        .arg("-d")
        .arg(format!("{}?sslmode=disable", server.url(slot)));
    let other = command.stderr(Stdio::null()).spawn().unwrap();
    eventually("the slot is taken", Duration::from_secs(10), || {
        let active = format!("select active from pg_replication_slots where slot_name = '{slot}'");
        (server.value(&active) == "t").then_some(())
    });
    other
}

fn slot_dropped(server: &Postgres) {
    let mut shop = Shop::postgres(server, "dropped");
    let mut operator = shop.operator(&shop.url(), "");
    shop.is_exact(&mut operator);
    for running in [false, true] {
        if !running {
            operator.origin.stop();
        }
        drop_slot(server, shop.name);
        shop.write();
        if !running {
            operator.run();
        }
        let words = ["slot dropped", "exist", "edgewise replicate resync"];
        operator.says(&words);
        operator.resync(None);
        shop.is_exact(&mut operator);
    }
}

/// Drops a slot, whoever uses it.
fn drop_slot(server: &Postgres, slot: &str) {
    let of = format!("from pg_replication_slots where slot_name = '{slot}'");
    eventually("the slot is dropped", Duration::from_secs(20), || {
        let _ = server.try_sql(&format!("select pg_terminate_backend(active_pid) {of}"));
        server
            .try_sql(&format!("select pg_drop_replication_slot(slot_name) {of}"))
            .ok()
    });
}

fn publication_without_a_table(server: &Postgres) {
    let mut shop = Shop::postgres(server, "publication");
    let password = Postgres::PASSWORD;
    shop.session.sql(&format!(
        "create role limited login replication password '{password}'; \
         grant select on all tables in schema public to limited; \
         create publication edgewise_shop for table posts, follows"
    ));
    let url = shop
        .url()
        .replace("postgres://postgres:", "postgres://limited:");
    let mut operator = shop.operator(&url, "");
    let words = [
        "edgewise_shop",
        "public.interactions",
        "alter publication edgewise_shop add table",
    ];
    refuses(&mut shop, &mut operator, &words, |shop, operator| {
        let fixes = operator.apply_fixes(&mut shop.session).join(" ");
        assert!(fixes.contains("interactions"), "{fixes}");
    });
    // Later it is taken out under the running stream.
    let left = "alter publication edgewise_shop drop table interactions";
    shop.session.sql(left);
    let entry = "public.interactions->events";
    operator.table_stops(entry, &["public.interactions", "edgewise_shop"]);
    shop.write();
    operator.apply_fixes(&mut shop.session);
    operator.resync(Some("public.interactions"));
    shop.is_exact(&mut operator);
}

fn replica_identity_nothing(server: &Postgres) {
    let mut shop = Shop::postgres(server, "identity");
    shop.session
        .sql("alter table interactions replica identity nothing");
    let mut operator = shop.operator(&shop.url(), "");
    let words = ["public.interactions", "replica identity", "alter table"];
    refuses_quietly(&mut shop, &mut operator, &words);
}

/// As [`refuses`]; nothing is written meanwhile, because the server itself would refuse it.
fn refuses_quietly(shop: &mut Shop<'_>, operator: &mut Operator, words: &[&str]) {
    let _ = operator.check_finds(words);
    operator.says(words);
    operator.apply_fixes(&mut shop.session);
    operator.follow();
    shop.is_exact(operator);
}

fn unknown_host(server: &Postgres) {
    let mut shop = Shop::postgres(server, "nowhere");
    let url = shop.url().replace("127.0.0.1", "no-such-host.invalid");
    let mut operator = shop.operator(&url, "");
    let words = [
        "no-such-host.invalid",
        "resolve",
        "check the host|host name",
    ];
    refuses(&mut shop, &mut operator, &words, |shop, operator| {
        operator.map(&shop.mapping(&shop.url(), ""));
    });
}

fn tls_refused(server: &Postgres) {
    let mut shop = Shop::postgres(server, "plain");
    // Says no to TLS as a server without it does.
    let proxy = FaultProxy::start(server.port);
    let refuse = |said: &mut [u8]| {
        if let [answer] = said {
            *answer = b'N';
        }
        false
    };
    proxy.tamper(refuse);
    let url = format!("{}?sslmode=require", shop.url_at(proxy.port));
    let mut operator = shop.operator(&url, "");
    let words = ["127.0.0.1", "tls", "sslmode"];
    refuses(&mut shop, &mut operator, &words, |_, _| {
        proxy.tamper(|_| true)
    });
}

fn unverified_certificate(server: &Postgres) {
    let mut shop = Shop::postgres(server, "certificate");
    let certificates = server.certificates.as_ref().expect("it speaks TLS");
    let url = format!("{}?sslmode=verify-full", shop.url());
    // The server's own certificate is no authority for itself.
    let wrong = format!(
        "tls = {{ ca = \"{}\" }}",
        certificates.certificate.display()
    );
    let right = format!("tls = {{ ca = \"{}\" }}", certificates.authority.display());
    let mut operator = shop.operator(&url, "");
    let words = ["certificate", "tls.ca"];
    let _ = operator.check_finds(&words);
    operator.says(&words);
    operator.map(&shop.mapping(&url, &wrong));
    operator.follow();
    refuses(&mut shop, &mut operator, &words, |shop, operator| {
        operator.map(&shop.mapping(&url, &right));
    });
}

fn old_server(server: &Postgres) {
    let mut shop = Shop::postgres(server, "old");
    let proxy = FaultProxy::start(server.port);
    let version = server.value("show server_version");
    let number: i32 = server.value("show server_version_num").parse().unwrap();
    let old_version = version.replacen("15", "13", 1);
    let pairs = [
        (
            number.to_be_bytes().to_vec(),
            (number - 20_000).to_be_bytes().to_vec(),
        ),
        (
            number.to_string().into_bytes(),
            (number - 20_000).to_string().into_bytes(),
        ),
        (version.into_bytes(), old_version.into_bytes()),
    ];
    proxy.tamper(move |said| {
        for (from, to) in &pairs {
            for at in 0..said.len().saturating_sub(from.len() - 1) {
                if said[at..].starts_with(from) {
                    said[at..at + to.len()].copy_from_slice(to);
                }
            }
        }
        false
    });
    let url = format!("{}?sslmode=disable", shop.url_at(proxy.port));
    let mut operator = shop.operator(&url, "");
    let words = ["13.", "14", "newer"];
    refuses(&mut shop, &mut operator, &words, |_, _| {
        proxy.tamper(|_| true)
    });
}

/// While it is stopped the server gives the slot up.
fn slot_invalidated(server: &Postgres) {
    let mut shop = Shop::postgres(server, "invalidated");
    let mut operator = shop.operator(&shop.url(), "");
    shop.is_exact(&mut operator);
    operator.origin.stop();
    server.sql("alter system set max_slot_wal_keep_size = '1MB'");
    server.sql("select pg_reload_conf()");
    shop.write();
    let status = "select wal_status from pg_replication_slots where slot_name = 'invalidated'";
    eventually("the slot is given up", Duration::from_secs(30), || {
        server.sql(
            "select pg_switch_wal() from pg_logical_emit_message(false, 'x', repeat('x', 1000000))",
        );
        server.sql("checkpoint");
        (server.value(status) == "lost").then_some(())
    });
    operator.run();
    let words = [
        "slot invalidated",
        "max_slot_wal_keep_size",
        "edgewise replicate resync",
    ];
    operator.says(&words);
    let _ = operator.check_finds(&words);
    server.sql("alter system reset max_slot_wal_keep_size");
    server.sql("select pg_reload_conf()");
    operator.resync(None);
    shop.is_exact(&mut operator);
}

/// The server's log has too little in it; what `check` says is done literally.
fn wal_level(server: &mut Postgres) {
    let operator = {
        let shop = Shop::postgres(server, "level");
        shop.operator(&shop.url(), "")
    };
    let words = ["wal_level", "replica", "logical", "alter system"];
    let report = operator.check_finds(&words);
    operator.says(&words);
    for sql in edgewise_tests::shop::fixes(&report, "error") {
        server.sql(&sql);
    }
    server.restart(Stop::Fast);
    assert_eq!(server.value("show wal_level"), "logical");
    let mut operator = operator;
    let mut shop = Shop::open_postgres(server, "level");
    operator.follow();
    shop.is_exact(&mut operator);
}

#[test]
fn postgres_sources_that_cannot_be_followed_say_what_to_do() {
    let mut config = PostgresConfig::new(Version::Pg15).with("fsync", "off");
    config.auth = Auth::Scram;
    config.tls = Tls::Offered;
    config.wal_level = "replica";
    let Some(mut server) = Postgres::start_with(config) else {
        return;
    };
    wal_level(&mut server);
    let server = &server;
    together(vec![
        ("wrong password", Box::new(|| wrong_password(server))),
        (
            "no right to replicate",
            Box::new(|| no_replication_right(server)),
        ),
        ("slot in use", Box::new(|| slot_in_use(server))),
        ("slot dropped", Box::new(|| slot_dropped(server))),
        (
            "publication without a table",
            Box::new(|| publication_without_a_table(server)),
        ),
        (
            "replica identity nothing",
            Box::new(|| replica_identity_nothing(server)),
        ),
        ("unknown host", Box::new(|| unknown_host(server))),
        ("TLS refused", Box::new(|| tls_refused(server))),
        (
            "unverified certificate",
            Box::new(|| unverified_certificate(server)),
        ),
        ("old server", Box::new(|| old_server(server))),
    ]);
    // It makes every slot of the server that lags invalid.
    slot_invalidated(server);
}
