//! An operator's database: posts, follows and interactions, traffic on them, and what the
//! database itself says every aggregate should be.

mod cases;
mod counts;
mod debezium;
mod fixture;
mod operator;
mod said;
mod traffic;

use std::fmt::Write as _;

use crate::servers::{MariaDb, Postgres, Session};

pub use cases::{Case, together};
pub use counts::Counts;
pub use debezium::{Connector, messages};
pub use fixture::Shop;
pub use operator::{Operator, Settled};
pub use said::{Said, fixes};
pub use traffic::{Rng, Traffic};

/// Posts of the shop at the start; ids from 1.
pub const POSTS: u64 = 200;
/// People, who are authors too; ids from 1.
pub const PEOPLE: u64 = 100;
/// What the small integer in `kind` stands for, from 0.
pub const KINDS: [&str; 6] = ["impression", "view", "click", "like", "comment", "share"];

/// The server the shop's tables are in.
pub enum Database {
    /// PostgreSQL.
    Postgres(Postgres),
    /// MariaDB.
    MariaDb(MariaDb),
}

/// What differs in the SQL of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL's.
    Postgres,
    /// MariaDB's.
    MariaDb,
}

impl Database {
    /// Its dialect.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres(_) => Dialect::Postgres,
            Self::MariaDb(_) => Dialect::MariaDb,
        }
    }

    /// A connection to the shop's database, in UTC.
    #[must_use]
    pub fn connect(&self) -> Session {
        let (mut session, utc) = match self {
            Self::Postgres(server) => (server.connect("postgres"), "set time zone 'UTC'"),
            Self::MariaDb(server) => (server.connect(), "use shop; set time_zone = '+00:00'"),
        };
        // A server that is down says so with the first statement.
        let _ = session.try_sql(utc);
        session
    }

    /// Its TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::Postgres(server) => server.port,
            Self::MariaDb(server) => server.port,
        }
    }

    /// Its URL behind another port.
    #[must_use]
    pub fn url_at(&self, port: u16) -> String {
        match self {
            Self::Postgres(server) => server.url_at(port, "postgres"),
            Self::MariaDb(server) => server.url_at(port, "shop"),
        }
    }

    /// Makes the shop's tables with [`POSTS`] posts and `interactions` rows of [`PEOPLE`].
    pub fn fill(&self, interactions: u64) {
        if let Self::MariaDb(server) = self {
            server.sql("create database if not exists shop");
        }
        self.dialect().fill(&mut self.connect(), interactions);
    }
}

impl Dialect {
    /// Makes the shop's tables in the session's database, with [`POSTS`] posts and
    /// `interactions` rows of [`PEOPLE`].
    pub fn fill(self, session: &mut Session, interactions: u64) {
        for statement in self.schema() {
            session.sql(statement);
        }
        let created = self.moment("seq * 60");
        session.sql(&format!(
            "insert into posts (id, author_id, title, picture, created_at) \
             select seq, 1 + seq * 7 % {PEOPLE}, concat('Post ', seq), {}, {created} from {}",
            self.noise("seq"),
            self.series(POSTS),
        ));
        session.sql(&format!(
            "insert into follows (user_id, author_id, created_at) \
             select 1 + seq % {PEOPLE}, 1 + seq * 13 % {PEOPLE}, {created} from {} where seq % 3 = 0",
            self.series(300),
        ));
        if interactions > 0 {
            session.sql(&format!(
                "insert into interactions (id, user_id, post_id, kind, watch_ms, created_at) \
                 select seq, 1 + seq * 31 % {PEOPLE}, 1 + seq * 17 % {POSTS}, seq % 6, null, {} from {}",
                self.moment("seq * 37 % 1000000"),
                self.series(interactions),
            ));
        }
    }

    /// `seq` from 1 to `n`, for `from`.
    #[must_use]
    pub fn series(self, n: u64) -> String {
        match self {
            Self::Postgres => format!("generate_series(1::bigint, {n}) as s(seq)"),
            Self::MariaDb => format!("seq_1_to_{n}"),
        }
    }

    /// The moment so many seconds after the shop opened.
    #[must_use]
    pub fn moment(self, seconds: &str) -> String {
        match self {
            Self::Postgres => {
                format!("timestamptz '2026-11-01 00:00:00+00' + ({seconds}) * interval '1 second'")
            }
            Self::MariaDb => {
                format!("timestamp '2026-11-01 00:00:00' + interval ({seconds}) second")
            }
        }
    }

    /// Text of 2,880 characters that does not compress: PostgreSQL keeps it out of line.
    #[must_use]
    pub fn noise(self, seed: &str) -> String {
        match self {
            Self::Postgres => format!(
                "(select string_agg(md5(concat({seed}, '-', n)), '') from generate_series(1, 90) as t(n))"
            ),
            Self::MariaDb => format!("repeat(md5({seed}), 90)"),
        }
    }

    fn schema(self) -> [&'static str; 3] {
        match self {
            Self::Postgres => [
                "create table posts (id bigint primary key, author_id bigint not null, title text not null, \
                 picture text, created_at timestamptz not null, deleted_at timestamptz)",
                "create table follows (user_id bigint, author_id bigint, created_at timestamptz not null, \
                 primary key (user_id, author_id))",
                "create table interactions (id bigint primary key, user_id bigint not null, \
                 post_id bigint not null, kind smallint not null, watch_ms integer, \
                 created_at timestamptz not null)",
            ],
            Self::MariaDb => [
                "create table posts (id bigint primary key, author_id bigint not null, title text not null, \
                 picture mediumtext, created_at datetime(3) not null, deleted_at datetime(3))",
                "create table follows (user_id bigint, author_id bigint, created_at datetime(3) not null, \
                 primary key (user_id, author_id))",
                "create table interactions (id bigint primary key, user_id bigint not null, \
                 post_id bigint not null, kind smallint not null, watch_ms integer, \
                 created_at datetime(3) not null)",
            ],
        }
    }

    fn schema_name(self) -> &'static str {
        match self {
            Self::Postgres => "public",
            Self::MariaDb => "shop",
        }
    }
}

/// The mapping of the shop at `url`; `options` are further lines of the source.
#[must_use]
pub fn mapping(dialect: Dialect, url: &str, options: &str) -> String {
    mapping_in(dialect.schema_name(), url, options)
}

/// The same where the tables are in another schema (PostgreSQL) or database (MariaDB).
#[must_use]
pub fn mapping_in(schema: &str, url: &str, options: &str) -> String {
    let mut kinds = String::from("case kind");
    for (number, kind) in KINDS.iter().enumerate() {
        let _ = write!(kinds, " when {number} then '{kind}'");
    }
    kinds.push_str(" end");
    format!(
        r#"[[source]]
name = "shop"
url = "{url}"
{options}

[[source.table]]
table = "{schema}.posts"
to = "items"
id = "id"
author = "author_id"
title = "title"
thumbnail = "picture"
created_at = "created_at"
deleted = "deleted_at"

[[source.table]]
table = "{schema}.follows"
to = "follows"
user = "user_id"
author = "author_id"
since = "created_at"

[[source.table]]
table = "{schema}.interactions"
to = "events"
type = "{kinds}"
user = "user_id"
item = "post_id"
ts = "created_at"
watch_ms = "watch_ms"
"#
    )
}
