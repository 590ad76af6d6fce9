//! MariaDB servers that cannot be followed as they are say so, with the remedy, and lose
//! nothing once it was carried out.

use std::time::Duration;

use edgewise_tests::http::eventually;
use edgewise_tests::servers::{FaultProxy, MariaDb, MariaDbConfig, Session, Stop, Tls};
use edgewise_tests::shop::{Dialect, Operator, Settled, mapping_in, together};

const MARIA: Dialect = Dialect::MariaDb;
const ROWS: u64 = 600;

/// A database of the server with the shop in it.
struct Shop<'a> {
    server: &'a MariaDb,
    name: &'static str,
    options: String,
    session: Session,
}

impl<'a> Shop<'a> {
    fn new(server: &'a MariaDb, name: &'static str, server_id: u32) -> Self {
        server.sql(&format!("create database {name}"));
        let mut shop = Self::open(server, name, server_id);
        MARIA.fill(&mut shop.session, ROWS);
        shop
    }

    fn open(server: &'a MariaDb, name: &'static str, server_id: u32) -> Self {
        let mut session = server.connect();
        session.sql(&format!("use {name}; set time_zone = '+00:00'"));
        let options = format!("server_id = {server_id}");
        Self {
            server,
            name,
            options,
            session,
        }
    }

    fn mapping(&self, url: &str, options: &str) -> String {
        mapping_in(self.name, url, &format!("{}\n{options}", self.options))
    }

    fn url(&self) -> String {
        self.server.url(self.name)
    }

    fn operator(&self, url: &str, options: &str) -> Operator {
        let secrets = [MariaDb::PASSWORD, "wr0ng-p4ss"];
        Operator::following(&self.mapping(url, options), &secrets)
    }

    fn write(&mut self) {
        let sql = "insert into interactions select max(id) + 1, 3, 4, 3, null, timestamp '2026-11-02 00:00:00' \
                   from interactions; delete from interactions where id % 50 = 7";
        self.session.sql(sql);
    }

    #[track_caller]
    fn is_exact(&mut self, operator: &mut Operator) {
        self.write();
        let counts = operator.exact(MARIA, &mut self.session, Settled::InOrder);
        assert!(counts.events() > ROWS / 2, "{}", counts.events());
    }
}

fn wrong_password(server: &MariaDb) {
    let mut shop = Shop::new(server, "credentials", 101);
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
    let mut shop = Shop::new(server, "rights", 102);
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
    shop.session
        .sql("grant replication slave, replication client on *.* to reader@'%'");
    let _ = operator.check_passes();
    operator.follow();
    shop.is_exact(&mut operator);
}

fn unknown_host(server: &MariaDb) {
    let mut shop = Shop::new(server, "nowhere", 103);
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
    let mut shop = Shop::new(server, "certificate", 104);
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
    let mut shop = Shop::new(server, "plain", 105);
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
    let url = format!("{}?sslmode=require", server.url_at(proxy.port, shop.name));
    let mut operator = shop.operator(&url, "");
    let words = ["tls", "sslmode"];
    let _ = operator.check_finds(&words);
    operator.says(&words);
    shop.write();
    proxy.tamper(|_| true);
    operator.follow();
    shop.is_exact(&mut operator);
}

/// Statements in the binlog say nothing of rows. The server is for this alone while it lasts.
fn statement_format(server: &MariaDb) {
    let mut shop = Shop::new(server, "statements", 106);
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
    let mut shop = Shop::new(server, "purged", 107);
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
        let shop = Shop::new(server, "nolog", 108);
        shop.operator(&shop.url(), "")
    };
    let words = ["binlog|log_bin|log-bin", "log-bin|log_bin"];
    let _ = operator.check_finds(&words);
    operator.says(&words);
    server.set_arguments(&[]);
    server.restart(Stop::Fast);
    let mut operator = operator;
    let mut shop = Shop::open(server, "nolog", 108);
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
        ]);
        statement_format(server);
        purged(server);
    }
    binlog_off(&mut server);
}
