//! Change data capture against real servers: whatever happens to rows, the aggregates are what
//! the database computes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use edgewise_tests::http::eventually;
use edgewise_tests::servers::{MariaDb, Postgres, Version};
use edgewise_tests::shop::{Counts, Database, mapping};
use edgewise_tests::stack::Origin;

const PATIENCE: Duration = Duration::from_secs(60);

/// A database with the shop in it, and an origin that follows it.
pub(crate) struct Followed {
    pub(crate) database: Database,
    _dir: tempfile::TempDir,
    pub(crate) origin: Origin,
    markers: u64,
}

impl Followed {
    pub(crate) fn start(database: Database, rows: u64, options: &str) -> Self {
        database.fill(rows);
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = write_mapping(dir.path(), &database, options);
        let data = dir.path().join("data");
        std::fs::create_dir(&data).expect("a folder can be made");
        let origin = Origin::start(&data, &["--mapping", &path.to_string_lossy()]);
        Self {
            database,
            _dir: dir,
            origin,
            markers: 1_000_000_000,
        }
    }

    /// Waits until everything that was committed before this is applied.
    #[track_caller]
    pub(crate) fn catch_up(&mut self) {
        self.origin.streams(PATIENCE);
        self.markers += 1;
        let marker = self.markers;
        let created = self.database.dialect().moment("0");
        self.database.connect().sql(&format!(
            "insert into posts (id, author_id, title, created_at) values ({marker}, 1, 'marker', {created})"
        ));
        let path = format!("/admin/v1/items/{marker}");
        let origin = &self.origin;
        eventually("the stream has caught up", PATIENCE, || {
            (origin.admin("GET", &path, None).status == 200).then_some(())
        });
    }

    /// Catches up and compares every aggregate, `verify` included; returns the events counted.
    #[track_caller]
    pub(crate) fn check(&mut self, what: &str) -> u64 {
        self.catch_up();
        self.origin.kill();
        let mut session = self.database.connect();
        let expected = Counts::of_database(self.database.dialect(), &mut session);
        let found = Counts::of_store(&self.origin.data);
        let differences = expected.differences(&found);
        assert!(
            differences.is_empty(),
            "after {what}:\n{}",
            differences.join("\n")
        );
        self.origin.run();
        found.events()
    }
}

pub(crate) fn write_mapping(dir: &Path, database: &Database, options: &str) -> PathBuf {
    let path = dir.join("replicate.toml");
    let url = database.url_at(database.port());
    std::fs::write(&path, mapping(database.dialect(), &url, options))
        .expect("the mapping can be written");
    path
}

/// Every sort of change, one after the other.
fn follows_every_change(database: Database) {
    let dialect = database.dialect();
    let mut followed = Followed::start(database, 10_000, "snapshot = { chunk_rows = 1000 }");
    assert_eq!(followed.check("the first copy"), 10_000);
    let mut session = followed.database.connect();
    let now = dialect.moment("5000");
    for (what, sql) in [
        (
            "an insert",
            format!("insert into interactions values (20001, 1, 1, 3, null, {now})"),
        ),
        (
            "another kind",
            "update interactions set kind = 4 where id = 20001".to_owned(),
        ),
        (
            "another post",
            "update interactions set post_id = 2 where id = 20001".to_owned(),
        ),
        (
            "another key",
            "update interactions set id = 20002 where id = 20001".to_owned(),
        ),
        (
            "a deletion",
            "delete from interactions where id = 20002".to_owned(),
        ),
        (
            "many deletions",
            "delete from interactions where id % 7 = 0".to_owned(),
        ),
        (
            "a soft deletion",
            format!("update posts set deleted_at = {now} where id in (3, 4)"),
        ),
        (
            "its undoing",
            "update posts set deleted_at = null where id = 3".to_owned(),
        ),
        (
            "a title beside a value out of line",
            "update posts set title = 'New' where id = 5".to_owned(),
        ),
        (
            "no picture",
            "update posts set picture = null where id = 6".to_owned(),
        ),
        (
            "a hard deletion",
            "delete from posts where id = 150 and id not in (select post_id from interactions)"
                .to_owned(),
        ),
        (
            "unfollowing",
            "delete from follows where user_id % 2 = 0".to_owned(),
        ),
        (
            "a row that is refused",
            format!("insert into interactions values (20003, 1, 1, 3, -1, {now})"),
        ),
        (
            "its correction",
            "update interactions set watch_ms = 5 where id = 20003".to_owned(),
        ),
        (
            "its breaking again",
            "update interactions set watch_ms = -5 where id = 20003".to_owned(),
        ),
        (
            "a new column",
            "alter table interactions add column note text".to_owned(),
        ),
        (
            "a row after it",
            format!("insert into interactions values (20004, 1, 1, 3, null, {now}, 'x')"),
        ),
        (
            "a rolled back transaction",
            "begin; delete from interactions; rollback".to_owned(),
        ),
        (
            "a large transaction",
            format!(
                "insert into interactions select 30000 + seq, 1 + seq % 100, 1 + seq % 200, seq % 6, null, {now}, 'y' from {}",
                dialect.series(60_000),
            ),
        ),
        ("a truncated table", "truncate table follows".to_owned()),
        (
            "rows after it",
            format!("insert into follows values (1, 2, {now}), (2, 3, {now})"),
        ),
        ("everything gone", "truncate table interactions".to_owned()),
    ] {
        session.sql(&sql);
        followed.check(what);
    }
}

#[test]
fn postgres_15_is_followed_through_every_change() {
    if let Some(server) = Postgres::start(Version::Pg15) {
        follows_every_change(Database::Postgres(server));
    }
}

#[test]
fn a_newer_postgres_is_followed_through_every_change() {
    if let Some(server) = Postgres::start(Version::Pg18) {
        follows_every_change(Database::Postgres(server));
    }
}

#[test]
fn mariadb_is_followed_through_every_change() {
    if let Some(server) = MariaDb::start() {
        follows_every_change(Database::MariaDb(server));
    }
}
