//! Live traffic: people who scroll, watch and like at the edge, and posts that keep coming.
//!
//! People use the public routes only. New posts go through the admin route of the origin, as a
//! site's own back office would. The rate is bounded, errors are counted and waited out, and the
//! whole stops within a second of being told to.

mod api;
mod crowd;
mod replayer;
mod visitor;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde_json::json;

use self::api::Api;
use self::crowd::Crowd;
use self::visitor::Visitor;
use super::World;
use super::posts::{Post, Posters};
use super::rng::Rng;

/// Threads that play people; each plays one visit at a time.
const VISITORS: u64 = 3;
/// How long [`Traffic::stop`] waits for requests that are under way.
const STOP_WITHIN: Duration = Duration::from_millis(900);
/// Longest single nap, so that the stop flag is seen in time.
const NAP: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
/// Posts of this run that the crowd still remembers.
const NEW_POSTS: usize = 2000;

/// Where traffic goes and how much of it.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Base URL of the edge (or of an origin without one), without a slash at the end.
    pub(crate) edge_url: String,
    /// Base URL of the origin's admin routes.
    pub(crate) admin_url: String,
    /// Bearer token of the admin routes.
    pub(crate) admin_token: String,
    /// Who comes and what they like.
    pub(crate) seed: u64,
    /// Requests a second at the edge, all visitors together.
    pub(crate) rate_per_s: f64,
    /// Time between new posts; none come where the crowd is not the community.
    pub(crate) post_every: Duration,
}

impl Options {
    /// A gentle load: 20 requests a second, a new post every 3 s.
    pub(crate) fn gentle(edge_url: &str, admin_url: &str, admin_token: &str, seed: u64) -> Self {
        Self {
            edge_url: edge_url.trim_end_matches('/').to_owned(),
            admin_url: admin_url.trim_end_matches('/').to_owned(),
            admin_token: admin_token.to_owned(),
            seed,
            rate_per_s: 20.0,
            post_every: Duration::from_secs(3),
        }
    }
}

/// Who the traffic is.
#[derive(Clone, Debug)]
pub(crate) enum Players {
    /// The generated community, with its tastes.
    Community(Arc<World>),
    /// Users of another data set: they look at pages and lists and do nothing else.
    Users(Vec<String>),
}

/// What has been done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Requests that were answered 2xx.
    pub(crate) answered: u64,
    /// Requests that failed or were answered otherwise.
    pub(crate) errors: u64,
    /// Feed pages looked at.
    pub(crate) pages: u64,
    /// Events that were accepted.
    pub(crate) events: u64,
    /// Likes among them.
    pub(crate) likes: u64,
    /// New posts.
    pub(crate) posts: u64,
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} requests answered, {} failed; {} pages, {} events, {} likes, {} new posts",
            self.answered, self.errors, self.pages, self.events, self.likes, self.posts
        )
    }
}

#[derive(Debug, Default)]
struct Tally {
    answered: AtomicU64,
    errors: AtomicU64,
    pages: AtomicU64,
    events: AtomicU64,
    likes: AtomicU64,
    posts: AtomicU64,
}

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

/// What all threads share.
#[derive(Debug)]
struct Shared {
    options: Options,
    crowd: Crowd,
    stop: Arc<AtomicBool>,
    tally: Tally,
    /// When the next request at the edge may start.
    next_slot: Mutex<Instant>,
    /// Posts of this run by id.
    new_posts: Mutex<BTreeMap<String, Post>>,
    /// Makes event and item ids of this run differ from every other run's.
    run: String,
}

/// Running traffic; dropping it stops it within a second.
#[derive(Debug)]
pub(crate) struct Traffic {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Traffic {
    /// The community of `seed`: people at the edge, new posts at the origin (`admin_token`).
    ///
    /// # Errors
    ///
    /// Where a thread cannot be started.
    pub(crate) fn start(
        edge_url: &str,
        origin_url: &str,
        admin_token: &str,
        seed: u64,
        now_ms: i64,
        stop: Arc<AtomicBool>,
    ) -> Result<Self> {
        let world = Arc::new(World::new(seed, now_ms)?);
        // Other visits than those of the last run on the same data.
        let visits = seed ^ now_ms.unsigned_abs();
        let options = Options::gentle(edge_url, origin_url, admin_token, visits);
        Self::run(options, Players::Community(world), stop)
    }

    /// The users that the demo's description names look at pages and do nothing else.
    ///
    /// # Errors
    ///
    /// Where the description cannot be read or names nobody, or a thread cannot be started.
    pub(crate) fn readers(
        edge_url: &str,
        description: &Path,
        stop: Arc<AtomicBool>,
    ) -> Result<Self> {
        let users = super::replay::described_users(description)?;
        let options = Options {
            rate_per_s: 5.0,
            ..Options::gentle(edge_url, "", "", 1)
        };
        Self::run(options, Players::Users(users), stop)
    }

    /// Sends recorded events (JSON lines `{"event": {...}}`, by time) to the edge when they are
    /// due: domain time is `now_ms` now and runs at `speed`. Their users look at pages too.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read or a thread cannot be started.
    pub(crate) fn replay(
        edge_url: &str,
        replay: &Path,
        now_ms: i64,
        speed: f64,
        stop: Arc<AtomicBool>,
    ) -> Result<Self> {
        let users = super::replay::frequent_users(replay, 200)?;
        let options = Options {
            rate_per_s: 10.0,
            ..Options::gentle(edge_url, "", "", 1)
        };
        let mut traffic = Self::run(options, Players::Users(users), stop)?;
        let mut replayer = replayer::Replayer::open(replay, now_ms, speed)?;
        traffic.spawn("replay", move |shared| replayer.run(shared))?;
        Ok(traffic)
    }

    /// Starts the threads; they end when `stop` is set.
    ///
    /// # Errors
    ///
    /// Where there is nobody to play or a thread cannot be started.
    pub(crate) fn run(options: Options, players: Players, stop: Arc<AtomicBool>) -> Result<Self> {
        let crowd = Crowd::new(players)?;
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let shared = Arc::new(Shared {
            options,
            crowd,
            stop,
            tally: Tally::default(),
            next_slot: Mutex::new(Instant::now()),
            new_posts: Mutex::new(BTreeMap::new()),
            run: format!("{:x}", since_1970.as_millis()),
        });
        let mut traffic = Self {
            shared,
            threads: Vec::new(),
        };
        for number in 0..VISITORS {
            traffic.spawn(&format!("visitor-{number}"), move |shared| {
                visit_all(shared, number)
            })?;
        }
        if traffic.shared.crowd.world().is_some() {
            traffic.spawn("poster", post_all)?;
        }
        Ok(traffic)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce(&Shared) + Send + 'static) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(&shared))
            .with_context(|| format!("cannot start the thread {name}"))?;
        self.threads.push(thread);
        Ok(())
    }

    /// What has been done so far.
    pub(crate) fn counts(&self) -> Counts {
        let tally = &self.shared.tally;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            answered: get(&tally.answered),
            errors: get(&tally.errors),
            pages: get(&tally.pages),
            events: get(&tally.events),
            likes: get(&tally.likes),
            posts: get(&tally.posts),
        }
    }

    /// Sets the stop flag and waits, at most a second, for what is under way.
    ///
    /// A request that hangs longer is left to its own time limit.
    fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let until = Instant::now() + STOP_WITHIN;
        while Instant::now() < until && !self.threads.iter().all(JoinHandle::is_finished) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Stops, and says what was done.
impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop();
        eprintln!("traffic: {}", self.counts());
    }
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Sleeps unless told to stop; false once it is.
    fn sleep(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while !self.stopped() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(NAP));
        }
        false
    }

    /// Waits for the next request's turn; false when it is time to stop.
    fn wait_turn(&self) -> bool {
        let gap = Duration::from_secs_f64(1.0 / self.options.rate_per_s.max(0.1));
        let turn = {
            let mut slot = locked(&self.next_slot);
            let turn = (*slot).max(Instant::now());
            *slot = turn + gap;
            turn
        };
        self.sleep(turn.saturating_duration_since(Instant::now()))
    }
}

/// A poisoned lock still holds a map or an instant that is whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Doubles from 250 ms on while requests fail.
#[derive(Debug, Default)]
struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Whether the last request went well.
    fn is_clear(&self) -> bool {
        self.failures == 0
    }

    fn after(&mut self, ok: bool) -> Duration {
        if ok {
            self.failures = 0;
            return Duration::ZERO;
        }
        self.failures = (self.failures + 1).min(8);
        (Duration::from_millis(125) * 2_u32.pow(self.failures)).min(LONGEST_BACKOFF)
    }
}

/// One visit after the other, by one person after the other.
fn visit_all(shared: &Shared, number: u64) {
    let mut rng = Rng::stream(shared.options.seed, 100 + number);
    let api = Api::new(&shared.options.edge_url, None);
    let mut backoff = Backoff::default();
    let mut visits = 0_u64;
    while !shared.stopped() {
        visits += 1;
        let name = format!("t{}-{number}-{visits}", shared.run);
        let ok = Visitor::new(shared, &api, name, &mut rng).visit();
        let pause = backoff.after(ok);
        if !shared.sleep(pause) {
            return;
        }
    }
}

/// A new post now and then, by popular authors more often.
fn post_all(shared: &Shared) {
    let Some(world) = shared.crowd.world() else {
        return;
    };
    let api = Api::new(&shared.options.admin_url, Some(&shared.options.admin_token));
    let mut rng = Rng::stream(shared.options.seed, 99);
    let posters = Posters::new(&world.people);
    let mut backoff = Backoff::default();
    let mut pause = shared.options.post_every;
    for number in 0_u64.. {
        if !shared.sleep(pause) {
            return;
        }
        let author = posters.next(&mut rng);
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now_ms = i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX);
        let id = format!("v{}-{number}", shared.run);
        let post = Post::new(id, author, now_ms, &world.people, &world.topics, &mut rng);
        let body = json!({ "items": [post.to_json(&world.people)] });
        let ok = api.send("PUT", "/admin/v1/items", &body).is_ok();
        add(
            if ok {
                &shared.tally.answered
            } else {
                &shared.tally.errors
            },
            1,
        );
        if ok {
            add(&shared.tally.posts, 1);
            let mut posts = locked(&shared.new_posts);
            if posts.len() >= NEW_POSTS {
                posts.pop_first();
            }
            posts.insert(post.id.clone(), post);
        }
        pause = shared.options.post_every.max(backoff.after(ok));
    }
}

#[cfg(test)]
mod tests;
