//! The shop in a database of its own, on a server that the cases of a test share.

use std::sync::Mutex;

use super::{Dialect, Operator, Settled, mapping, mapping_in};
use crate::servers::{MariaDb, Postgres, Session};

/// Interactions that each first copy finds.
const ROWS: u64 = 600;
/// Passwords in the mappings of cases: the servers', and one that is wrong.
const SECRETS: [&str; 3] = [Postgres::PASSWORD, MariaDb::PASSWORD, "wr0ng-p4ss"];

/// A database of a server with the shop in it.
pub struct Shop<'a> {
    server: Server<'a>,
    /// The database's name.
    pub name: &'static str,
    /// The line of every mapping that keeps cases on one server apart.
    apart: String,
    /// A session in the database, in UTC.
    pub session: Session,
}

enum Server<'a> {
    Postgres(&'a Postgres),
    MariaDb(&'a MariaDb),
}

impl<'a> Shop<'a> {
    /// A new database; its slot has its name.
    #[must_use]
    pub fn postgres(server: &'a Postgres, name: &'static str) -> Self {
        Self::postgres_as(server, name, "")
    }

    /// Like [`Shop::postgres`]; `how` are further words of `create database`.
    #[must_use]
    pub fn postgres_as(server: &'a Postgres, name: &'static str, how: &str) -> Self {
        // Copying the template twice at the same time is refused.
        static CREATE: Mutex<()> = Mutex::new(());
        {
            let _one = CREATE.lock();
            server.sql(&format!("create database {name} {how}"));
        }
        let mut shop = Self::open_postgres(server, name);
        Dialect::Postgres.fill(&mut shop.session, ROWS);
        shop
    }

    /// A database that is there: its server was started again, or is another one.
    #[must_use]
    pub fn open_postgres(server: &'a Postgres, name: &'static str) -> Self {
        let mut session = server.connect(name);
        session.sql("set time zone 'UTC'");
        Self {
            server: Server::Postgres(server),
            name,
            apart: format!("slot = \"{name}\""),
            session,
        }
    }

    /// A new database, followed as the replica `server_id`.
    #[must_use]
    pub fn mariadb(server: &'a MariaDb, name: &'static str, server_id: u32) -> Self {
        server.sql(&format!("create database {name}"));
        let mut shop = Self::open_mariadb(server, name, server_id);
        Dialect::MariaDb.fill(&mut shop.session, ROWS);
        shop
    }

    /// A database that is there: its server was started again.
    #[must_use]
    pub fn open_mariadb(server: &'a MariaDb, name: &'static str, server_id: u32) -> Self {
        let mut session = server.connect();
        session.sql(&format!("use {name}; set time_zone = '+00:00'"));
        Self {
            server: Server::MariaDb(server),
            name,
            apart: format!("server_id = {server_id}"),
            session,
        }
    }

    fn dialect(&self) -> Dialect {
        match self.server {
            Server::Postgres(_) => Dialect::Postgres,
            Server::MariaDb(_) => Dialect::MariaDb,
        }
    }

    /// Its mapping at `url`; `options` are further lines of the source.
    #[must_use]
    pub fn mapping(&self, url: &str, options: &str) -> String {
        let options = format!("{}\n{options}", self.apart);
        match self.server {
            Server::Postgres(_) => mapping(Dialect::Postgres, url, &options),
            Server::MariaDb(_) => mapping_in(self.name, url, &options),
        }
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        match self.server {
            Server::Postgres(server) => server.url(self.name),
            Server::MariaDb(server) => server.url(self.name),
        }
    }

    /// Its URL behind another port.
    #[must_use]
    pub fn url_at(&self, port: u16) -> String {
        match self.server {
            Server::Postgres(server) => server.url_at(port, self.name),
            Server::MariaDb(server) => server.url_at(port, self.name),
        }
    }

    /// An origin that follows it at `url`, or says why it cannot.
    #[must_use]
    pub fn operator(&self, url: &str, options: &str) -> Operator {
        Operator::following(&self.mapping(url, options), &SECRETS)
    }

    /// An origin that has followed it up to now through `port`, without TLS.
    #[track_caller]
    pub fn followed(&mut self, port: u16, options: &str) -> Operator {
        let url = format!("{}?sslmode=disable", self.url_at(port));
        let mut operator = self.operator(&url, options);
        operator.exact(self.dialect(), &mut self.session, Settled::InOrder);
        operator
    }

    /// A row is written and some are deleted, whether anything follows or not.
    pub fn write(&mut self) {
        let at = self.dialect().moment("86400");
        self.session.sql(&format!(
            "insert into interactions select max(id) + 1, 3, 4, 3, null, {at} from interactions; \
             delete from interactions where id % 50 = 7"
        ));
    }

    /// Many rows are written, some are changed and some deleted.
    pub fn write_more(&mut self) {
        let dialect = self.dialect();
        self.session.sql(&format!(
            "insert into interactions (id, user_id, post_id, kind, watch_ms, created_at) \
             select m + seq, 1 + seq % 90, 1 + seq % 190, seq % 6, null, {} \
             from {}, (select max(id) as m from interactions) as top; \
             update interactions set kind = (kind + 1) % 6 where id % 31 = 0; \
             delete from interactions where id % 97 = 5",
            dialect.moment("7000"),
            dialect.series(40),
        ));
    }

    /// After [`Shop::write`] the origin has counted exactly what the database has.
    #[track_caller]
    pub fn is_exact(&mut self, operator: &mut Operator) {
        self.write();
        let counts = operator.exact(self.dialect(), &mut self.session, Settled::InOrder);
        assert!(counts.events() > ROWS / 2, "{}", counts.events());
    }

    /// The same after [`Shop::write_more`].
    #[track_caller]
    pub fn is_exact_after_more(&mut self, operator: &mut Operator) {
        self.write_more();
        operator.exact(self.dialect(), &mut self.session, Settled::InOrder);
    }
}
