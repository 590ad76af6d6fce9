//! From a commit in the database to a changed answer at the edge, while 2,000 transactions a
//! second go by.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use edgewise_tests::servers::{Postgres, Session, Version};
use edgewise_tests::shop::{Database, PEOPLE, POSTS};
use serde_json::Value;

use super::drain::{Followed, percentile, settings, wait_for};
use super::site::wall_ms;
use crate::table::Table;
use crate::workerd::{ADMIN_TOKEN, Server, edge};

/// Transactions a second beside the probes.
const RATE: u64 = 2_000;
/// Pause between a hundredth of them and the next, s: a little short, for the time between rounds.
const PACE_S: f64 = 0.0097;
/// Connections that make them.
const LOADERS: u64 = 4;
/// Samples of each sort at the edge.
const SAMPLES: usize = 100;
/// Samples at the origin.
const ORIGIN_SAMPLES: usize = 300;
/// Authors with so many followers, and a follower of each.
const AUDIENCES: [(u64, u64, u64); 2] = [(10, 900_001, 910_001), (100_000, 900_002, 920_001)];
/// A change that is not seen after this is lost.
const LOST: Duration = Duration::from_secs(30);

pub(crate) fn run(table: &mut Table) -> Result<()> {
    let Some(server) = Postgres::start_with(settings(Version::Pg15)) else {
        return Ok(());
    };
    let mut followed = Followed::new(Database::Postgres(server), 0)?;
    let mut session = followed.database.connect();
    for (followers, author, first) in AUDIENCES {
        session.sql(&format!(
            "insert into follows select {first} - 1 + seq, {author}, now() from generate_series(1, {followers}) as s(seq)"
        ));
    }
    session.sql("update posts set created_at = now() - (id % 20) * interval '1 hour'");
    let origin = followed.start()?;
    let marker = followed.mark();
    wait_for(&origin, marker)?;
    let dir = tempfile::tempdir()?;
    let worker = edge(dir.path(), &origin.url())?;
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let started = Instant::now();
    let bench = Bench {
        database: &followed.database,
        origin: &origin,
        edge: &worker,
        next_post: AtomicU64::new(2_000_000),
    };
    let found = std::thread::scope(|scope| {
        for loader in 0..LOADERS {
            let (stop, sent) = (&stop, &sent);
            let session = followed.database.connect();
            scope.spawn(move || load(session, loader, stop, sent));
        }
        std::thread::sleep(Duration::from_secs(5));
        let found = bench.measure();
        stop.store(true, Ordering::SeqCst);
        found
    })?;
    let rate = sent.load(Ordering::SeqCst) as f64 / started.elapsed().as_secs_f64();
    for (what, latencies, bar) in found {
        let of = |percent| percentile(latencies.clone(), percent);
        let bar = table.bar(bar.text, of(95.0) < bar.p95_ms && of(99.0) < bar.p99_ms);
        table.row(
            what,
            format!("P50 {:.0}, P95 {:.0}, P99 {:.0} ms", of(50.0), of(95.0), of(99.0)),
            bar,
            format!(
                "{} samples at {rate:.0} transactions/s; from the commit's time in PostgreSQL 15, workerd polled every 20 ms",
                latencies.len()
            ),
        );
    }
    let marker = followed.mark();
    wait_for(&origin, marker)?;
    Ok(())
}

/// Single-row transactions at a steady rate, made by the server itself.
fn load(mut session: Session, loader: u64, stop: &AtomicBool, sent: &AtomicU64) {
    session.sql("set synchronous_commit = off");
    let mut next = 1 + loader * 100_000_000;
    // About ten milliseconds at a time.
    let chunk = RATE / LOADERS / 100;
    let rounds = 50;
    while !stop.load(Ordering::SeqCst) {
        let rows = chunk * rounds;
        session.sql(&format!(
            "do $$ declare began timestamptz := clock_timestamp(); n bigint := {next}; begin \
             for round in 1..{rounds} loop \
             for k in 1..{chunk} loop \
             insert into interactions values (n, 1 + n * 7919 % {PEOPLE}, 1 + n * 104729 % {POSTS}, n % 3, null, clock_timestamp()); \
             commit; n := n + 1; end loop; \
             perform pg_sleep(greatest(0, round * {PACE_S} - extract(epoch from clock_timestamp() - began))); \
             end loop; end $$"
        ));
        next += rows;
        sent.fetch_add(rows, Ordering::SeqCst);
    }
}

type Found = Vec<(String, Vec<f64>, Bar)>;

/// How late a change may be, ms.
#[derive(Clone, Copy)]
struct Bar {
    text: &'static str,
    p95_ms: f64,
    p99_ms: f64,
}

const AT_THE_EDGE: Bar = Bar {
    text: "P95 < 2 s, P99 < 3 s",
    p95_ms: 2_000.0,
    p99_ms: 3_000.0,
};
const AT_THE_ORIGIN: Bar = Bar {
    text: "P95 < 100 ms",
    p95_ms: 100.0,
    p99_ms: f64::INFINITY,
};

struct Bench<'a> {
    database: &'a Database,
    origin: &'a Server,
    edge: &'a Server,
    next_post: AtomicU64,
}

impl Bench<'_> {
    fn measure(&self) -> Result<Found> {
        let mut found = Vec::new();
        for (followers, author, follower) in AUDIENCES {
            let (new, gone) = self.posts(author, follower)?;
            found.push((
                format!("new post of an author with {followers} followers, to a follower's feed at the edge"),
                new,
                AT_THE_EDGE,
            ));
            found.push((
                format!("its deletion, to the same feed ({followers} followers)"),
                gone,
                AT_THE_EDGE,
            ));
        }
        found.push((
            "like, to the trending list at the edge".to_owned(),
            self.likes()?,
            AT_THE_EDGE,
        ));
        found.push((
            "like, to the origin's aggregates".to_owned(),
            self.aggregates()?,
            AT_THE_ORIGIN,
        ));
        Ok(found)
    }

    /// New posts and their deletions, in the feed of a follower.
    fn posts(&self, author: u64, follower: u64) -> Result<(Vec<f64>, Vec<f64>)> {
        let mut session = self.database.connect();
        let path = format!("/api/v1/feed?user={follower}&limit=100&selection=none");
        self.ask(&path)?;
        let (mut new, mut gone) = (Vec::new(), Vec::new());
        for sample in 0..SAMPLES {
            let id = self.next_post.fetch_add(1, Ordering::SeqCst);
            // Spread over the second, so that no phase of the overlay is favoured.
            std::thread::sleep(Duration::from_millis(sample as u64 * 137 % 1_000));
            session.sql(&format!(
                "insert into posts (id, author_id, title, created_at) values ({id}, {author}, 'news', now())"
            ));
            let committed = commit_us(&mut session, id);
            new.push(self.until(committed, &path, |answer| has(answer, id))?);
            session.sql(&format!("delete from posts where id = {id}"));
            // The row is gone: the end of its transaction is now, at the latest.
            let committed = wall_us();
            gone.push(self.until(committed, &path, |answer| !has(answer, id))?);
        }
        Ok((new, gone))
    }

    /// Likes of a post that nobody else touches, in its score in the trending list.
    fn likes(&self) -> Result<Vec<f64>> {
        let mut session = self.database.connect();
        let id = self.next_post.fetch_add(1, Ordering::SeqCst);
        let path = "/api/v1/hot/trending?window=24h&limit=200";
        session.sql(&format!(
            "insert into posts (id, author_id, title, created_at) values ({id}, 1, 'liked', now())"
        ));
        let mut like = 900_000_000;
        let mut latencies = Vec::new();
        let mut push = |session: &mut Session, count: u64| {
            session.sql(&format!(
                "insert into interactions select {like} + seq, {like} + seq, {id}, 3, null, now() from generate_series(1, {count}) as s(seq)"
            ));
            like += count;
        };
        push(&mut session, 2_000);
        self.until(wall_us(), path, |answer| score(answer, id).is_some())?;
        std::thread::sleep(Duration::from_secs(3));
        for sample in 0..SAMPLES {
            std::thread::sleep(Duration::from_millis(sample as u64 * 137 % 1_000));
            let before = score(&self.ask(path)?, id).context("it is listed")?;
            push(&mut session, 20);
            let committed = wall_us();
            // Twenty likes are far more than what a score loses meanwhile.
            latencies.push(self.until(committed, path, |answer| {
                score(answer, id).is_some_and(|score| score > before + 10.0)
            })?);
        }
        Ok(latencies)
    }

    /// Likes of one post, in its counter at the origin.
    fn aggregates(&self) -> Result<Vec<f64>> {
        let mut session = self.database.connect();
        let id = self.next_post.fetch_add(1, Ordering::SeqCst);
        let url = format!("{}/admin/v1/items/{id}", self.origin.url());
        let mut latencies = Vec::new();
        for like in 0..ORIGIN_SAMPLES as u64 {
            let row = 950_000_000 + like;
            session.sql(&format!(
                "insert into interactions values ({row}, {row}, {id}, 3, null, now())"
            ));
            let committed = wall_us();
            let deadline = Instant::now() + LOST;
            loop {
                let answer = json(&url, true).unwrap_or_default();
                if answer["counters"]["likes"].as_u64() == Some(like + 1) {
                    break;
                }
                ensure!(Instant::now() < deadline, "like {like} was lost: {answer}");
                std::thread::sleep(Duration::from_millis(3));
            }
            latencies.push((wall_us() - committed) as f64 / 1e3);
        }
        Ok(latencies)
    }

    fn ask(&self, path: &str) -> Result<Value> {
        json(&format!("{}{path}", self.edge.url()), false)
    }

    /// ms from the commit until the edge answers so.
    fn until(&self, committed_us: i64, path: &str, seen: impl Fn(&Value) -> bool) -> Result<f64> {
        let deadline = Instant::now() + LOST;
        loop {
            let answer = self.ask(path)?;
            if seen(&answer) {
                return Ok((wall_us() - committed_us) as f64 / 1e3);
            }
            ensure!(Instant::now() < deadline, "{path}: a change was lost");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn has(answer: &Value, id: u64) -> bool {
    let id = id.to_string();
    let items = answer["items"].as_array();
    items.is_some_and(|items| items.iter().any(|item| item["id"] == id.as_str()))
}

fn score(answer: &Value, id: u64) -> Option<f64> {
    let id = id.to_string();
    let mut items = answer["items"].as_array()?.iter();
    items
        .find(|item| item["id"] == id.as_str())
        .and_then(|item| item["score"].as_f64())
}

fn json(url: &str, admin: bool) -> Result<Value> {
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let mut request = ureq::get(url);
    if admin {
        request = request.header("authorization", &bearer);
    }
    Ok(request.call()?.body_mut().read_json()?)
}

/// When the transaction that wrote the post committed, Unix µs.
fn commit_us(session: &mut Session, id: u64) -> i64 {
    let rows = session.sql(&format!(
        "select (extract(epoch from pg_xact_commit_timestamp(xmin)) * 1000000)::bigint from posts where id = {id}"
    ));
    rows.first()
        .and_then(|row| row.first()?.parse().ok())
        .unwrap_or_else(|| wall_ms() * 1_000)
}

fn wall_us() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |elapsed| elapsed.as_micros() as i64)
}
