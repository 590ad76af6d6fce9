//! From a database to durable aggregates: rows a second beside the raw drain of the same
//! changes, memory, and the first copy.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use edgewise_tests::servers::{MariaDb, Postgres, PostgresConfig, Session, Version};
use edgewise_tests::shop::{Counts, Database, Dialect, KINDS, PEOPLE, POSTS, mapping};

use crate::http_load;
use crate::table::Table;
use crate::workerd::{ADMIN_TOKEN, Server, origin};

/// Rows of the one large transaction.
const LARGE: u64 = 1_000_000;
/// Transactions of one row.
const SMALL: u64 = 200_000;
/// Rows of the transaction that memory is measured with.
const HUGE: u64 = 5_000_000;
/// People who do something, and posts that they do it with.
const CROWD: u64 = 10_000;
const SHELF: u64 = 2_000;
/// Pairs of drains.
const PAIRS: usize = 3;
/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// A followed shop.
pub(super) struct Followed {
    pub(super) database: Database,
    dir: tempfile::TempDir,
    mapping: PathBuf,
    markers: u64,
}

impl Followed {
    pub(super) fn new(database: Database, rows: u64) -> Result<Self> {
        database.fill(rows);
        let dialect = database.dialect();
        let more = format!(
            "insert into posts (id, author_id, title, created_at) \
             select {POSTS} + seq, 1 + seq * 7 % {PEOPLE}, concat('Post ', seq), {} from {}",
            dialect.moment("0"),
            dialect.series(SHELF - POSTS),
        );
        database.connect().sql(&more);
        let dir = tempfile::tempdir()?;
        let mapping_path = dir.path().join("replicate.toml");
        let url = database.url_at(database.port());
        std::fs::write(&mapping_path, mapping(database.dialect(), &url, ""))?;
        std::fs::create_dir(dir.path().join("data"))?;
        Ok(Self {
            database,
            dir,
            mapping: mapping_path,
            markers: 1_000_000_000,
        })
    }

    pub(super) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(super) fn start(&self) -> Result<Server> {
        origin(
            &self.data(),
            &["--mapping", &self.mapping.to_string_lossy()],
        )
    }

    /// Starts an origin for the first time, which makes publication and slot, and stops it.
    fn begin(&mut self) -> Result<()> {
        let origin = self.start()?;
        let marker = self.mark();
        wait_for(&origin, marker)
    }

    /// Commits a row that tells when everything before it was applied.
    pub(super) fn mark(&mut self) -> u64 {
        self.markers += 1;
        let (marker, created) = (self.markers, self.database.dialect().moment("0"));
        self.database.connect().sql(&format!(
            "insert into posts (id, author_id, title, created_at) values ({marker}, 1, 'marker', {created})"
        ));
        marker
    }

    /// Every aggregate equals what the database computes. The origin must have stopped.
    pub(super) fn check(&self) -> Result<()> {
        let mut session = self.database.connect();
        let expected = Counts::of_database(self.database.dialect(), &mut session);
        let differences = expected.differences(&Counts::of_store(&self.data()));
        ensure!(differences.is_empty(), "{}", differences.join("\n"));
        Ok(())
    }
}

/// Waits until the marker is there.
pub(super) fn wait_for(server: &Server, marker: u64) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let path = format!("/admin/v1/items/{marker}");
    let request = http_load::get_as(&server.address, &path, ADMIN_TOKEN);
    while http_load::status(&server.address, &request).unwrap_or(0) != 200 {
        ensure!(
            Instant::now() < deadline,
            "the stream did not catch up within {PATIENCE:?}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Whether the first copy is done and changes are followed.
fn streams(server: &Server) -> bool {
    let request = ureq::get(format!("{}/admin/v1/replicate", server.url()))
        .header("authorization", format!("Bearer {ADMIN_TOKEN}"));
    let answer = request
        .call()
        .and_then(|mut answer| answer.body_mut().read_to_string());
    answer.is_ok_and(|text| text.contains("streaming"))
}

/// As an operator's server would be, with checkpoints out of the way of the measurement.
pub(super) fn settings(version: Version) -> PostgresConfig {
    PostgresConfig::new(version)
        .with("max_wal_size", "8GB")
        .with("shared_buffers", "512MB")
        .with("track_commit_timestamp", "on")
}

/// PostgreSQL's log beside its raw drain.
pub(crate) fn postgres(table: &mut Table) -> Result<()> {
    let Some(server) = Postgres::start_with(settings(Version::Pg15)) else {
        return Ok(());
    };
    let mut followed = Followed::new(Database::Postgres(server), 0)?;
    followed.begin()?;
    let mut next = 1;
    let mut large = Vec::new();
    let mut small = Vec::new();
    for _ in 0..PAIRS {
        large.push(pair(&mut followed, |session| {
            session.sql(&insert(Dialect::Postgres, next, LARGE));
            next += LARGE;
            LARGE
        })?);
        small.push(pair(&mut followed, |session| {
            session.sql(&singles(next, SMALL));
            next += SMALL;
            SMALL
        })?);
    }
    row(
        table,
        "PostgreSQL 15, one transaction of 1,000,000 rows",
        large,
        1.0,
    );
    row(
        table,
        "PostgreSQL 15, 200,000 transactions of one row",
        small,
        0.9,
    );
    followed.check()
}

/// Rows a second of the raw drain and of ours, of the same changes.
struct Pair {
    raw: f64,
    ours: f64,
}

fn pair(followed: &mut Followed, load: impl FnOnce(&mut Session) -> u64) -> Result<Pair> {
    let Database::Postgres(server) = &followed.database else {
        anyhow::bail!("the raw drain is PostgreSQL's")
    };
    server.sql("select pg_create_logical_replication_slot('raw', 'pgoutput')");
    let mut session = followed.database.connect();
    session.sql("set synchronous_commit = off");
    let rows = load(&mut session);
    let marker = followed.mark();
    let Database::Postgres(server) = &followed.database else {
        anyhow::bail!("the raw drain is PostgreSQL's")
    };
    let end = server.value("select pg_current_wal_lsn()");
    server.sql("checkpoint");
    let started = Instant::now();
    let status =
        Command::new(edgewise_tests::servers::pg_recvlogical().context("no pg_recvlogical")?)
            .args([
                "-d",
                "postgres",
                "-h",
                "127.0.0.1",
                "-U",
                "postgres",
                "--slot",
                "raw",
            ])
            .args([
                "-p",
                &server.port.to_string(),
                "--start",
                "--no-loop",
                "-f",
                "/dev/null",
            ])
            .args(["--endpos", &end, "-o", "proto_version=1"])
            .args(["-o", "publication_names=edgewise_shop"])
            .stderr(Stdio::null())
            .status()?;
    ensure!(status.success(), "pg_recvlogical failed");
    let raw = rows as f64 / started.elapsed().as_secs_f64();
    server.sql("select pg_drop_replication_slot('raw')");
    let started = Instant::now();
    let origin = followed.start()?;
    wait_for(&origin, marker)?;
    let ours = rows as f64 / started.elapsed().as_secs_f64();
    eprintln!("{rows} rows: {ours:.0} rows/s, raw drain {raw:.0}");
    Ok(Pair { raw, ours })
}

fn row(table: &mut Table, what: &str, mut pairs: Vec<Pair>, bar: f64) {
    pairs.sort_by(|a, b| (a.ours / a.raw).total_cmp(&(b.ours / b.raw)));
    let median = &pairs[pairs.len() / 2];
    let bar = table.bar(&format!("{bar:.2}"), median.ours / median.raw >= bar);
    table.row(
        what,
        format!(
            "{:.0} rows/s to durable aggregates, {:.2} of the raw drain",
            median.ours,
            median.ours / median.raw
        ),
        format!("pg_recvlogical to /dev/null: {:.0} rows/s; {bar}", median.raw),
        "median of 3 pairs, each from the start of the process; every aggregate compared with SQL afterwards",
    );
}

/// Who does it with which post, of `n`: Zipf's law with exponent 1/2. With 1 one person would do
/// a tenth of everything, most of it with one post, which nobody does.
fn drawn(n: &str) -> String {
    let zipf = |count: u64, factor: u64| {
        format!("1 + floor({count} * power(({n} * {factor} % 1000003) / 1000003.0, 2))")
    };
    let (user, post) = (zipf(CROWD, 7_919), zipf(SHELF, 104_729));
    format!("{user}, {post}")
}

/// A hundred a second.
fn insert(dialect: Dialect, first: u64, rows: u64) -> String {
    format!(
        "insert into interactions (id, user_id, post_id, kind, watch_ms, created_at) \
         select {first} - 1 + seq, {}, seq * 31 % {}, null, {} from {}",
        drawn("seq"),
        KINDS.len(),
        dialect.moment("floor(seq / 100)"),
        dialect.series(rows),
    )
}

fn singles(first: u64, rows: u64) -> String {
    format!(
        "do $$ begin for n in {first}..{} loop \
         insert into interactions (id, user_id, post_id, kind, watch_ms, created_at) \
         values (n, {}, n % 6, null, {}); commit; end loop; end $$",
        first + rows - 1,
        drawn("n::bigint"),
        Dialect::Postgres.moment("n / 100"),
    )
}

/// A transaction that is larger than the memory of the process may be.
pub(crate) fn memory(table: &mut Table) -> Result<()> {
    let Some(server) = Postgres::start_with(settings(Version::Pg15)) else {
        return Ok(());
    };
    let mut followed = Followed::new(Database::Postgres(server), 0)?;
    followed.begin()?;
    let mut session = followed.database.connect();
    session.sql(&insert(Dialect::Postgres, 1, HUGE));
    let marker = followed.mark();
    let started = Instant::now();
    let origin = followed.start()?;
    wait_for(&origin, marker)?;
    let rate = HUGE as f64 / started.elapsed().as_secs_f64();
    let peak = origin.peak_mib()?;
    drop(origin);
    followed.check()?;
    let bar = table.bar("256 MiB", peak < 256.0);
    table.row(
        "memory while one transaction of 5,000,000 rows is applied",
        format!("{peak:.0} MiB at most, {rate:.0} rows/s"),
        bar,
        "VmHWM of the serving process; every aggregate compared with SQL afterwards",
    );
    Ok(())
}

/// A million rows found at the first start, with a client on the database meanwhile.
pub(crate) fn first_copy(table: &mut Table) -> Result<()> {
    let Some(server) = Postgres::start_with(settings(Version::Pg15)) else {
        return Ok(());
    };
    let mut followed = Followed::new(Database::Postgres(server), LARGE)?;
    let mut client = followed.database.connect();
    client.sql("vacuum analyze interactions");
    let idle = reads(&mut client, Duration::from_secs(2));
    let started = Instant::now();
    let origin = followed.start()?;
    let mut busy = Vec::new();
    while !streams(&origin) {
        ensure!(started.elapsed() < PATIENCE, "the first copy does not end");
        busy.extend(reads(&mut client, Duration::from_millis(50)));
    }
    let seconds = started.elapsed().as_secs_f64();
    let marker = followed.mark();
    wait_for(&origin, marker)?;
    let peak = origin.peak_mib()?;
    drop(origin);
    followed.check()?;
    let bar = table.bar("20 s", seconds < 20.0);
    table.row(
        "first copy of 1,000,000 rows",
        format!(
            "{seconds:.1} s, {:.0} rows/s, {peak:.0} MiB at most",
            LARGE as f64 / seconds
        ),
        format!(
            "{bar}; a client's read by key meanwhile: P95 {:.1} ms (idle {:.1} ms)",
            percentile(busy, 95.0),
            percentile(idle, 95.0)
        ),
        "from the start of the process to the status `streaming`; then compared with SQL",
    );
    Ok(())
}

/// Latencies of reads of one row for so long, ms.
fn reads(client: &mut Session, time: Duration) -> Vec<f64> {
    let started = Instant::now();
    let mut latencies = Vec::new();
    while started.elapsed() < time {
        let one = Instant::now();
        client.sql(&format!(
            "select title from posts where id = {}",
            1 + latencies.len() as u64 % POSTS
        ));
        latencies.push(one.elapsed().as_secs_f64() * 1e3);
    }
    latencies
}

pub(super) fn percentile(mut latencies: Vec<f64>, percent: f64) -> f64 {
    latencies.sort_by(f64::total_cmp);
    let at = (latencies.len() as f64 * percent / 100.0) as usize;
    let last = latencies.len().saturating_sub(1);
    latencies.get(at.min(last)).copied().unwrap_or(f64::NAN)
}

/// MariaDB's binlog.
pub(crate) fn mariadb(table: &mut Table) -> Result<()> {
    let Some(server) = MariaDb::start() else {
        return Ok(());
    };
    let mut followed = Followed::new(Database::MariaDb(server), 0)?;
    followed.begin()?;
    let mut next = 1;
    let mut rates = Vec::new();
    for _ in 0..PAIRS {
        let mut session = followed.database.connect();
        for _ in 0..10 {
            session.sql(&insert(Dialect::MariaDb, next, LARGE / 10));
            next += LARGE / 10;
        }
        let marker = followed.mark();
        let started = Instant::now();
        let origin = followed.start()?;
        wait_for(&origin, marker)?;
        let rate = LARGE as f64 / started.elapsed().as_secs_f64();
        eprintln!("MariaDB: {rate:.0} rows/s");
        rates.push(rate);
    }
    followed.check()?;
    rates.sort_by(f64::total_cmp);
    let rate = rates[rates.len() / 2];
    let bar = table.bar("300,000 rows/s", rate >= 300_000.0);
    table.row(
        "MariaDB 10.11, 10 transactions of 100,000 rows",
        format!("{rate:.0} rows/s to durable aggregates"),
        bar,
        "row binlog, median of 3, each from the start of the process; every aggregate compared with SQL afterwards",
    );
    Ok(())
}
