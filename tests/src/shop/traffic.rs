//! Random transactions on the shop: what applications do, and what goes wrong in them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::{Database, Dialect, KINDS, PEOPLE, POSTS};

/// A small seeded generator (PCG-like multiplier; quality is no matter here).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The sequence of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound.max(1)
    }
}

/// Writers on one database, stopped when they are told.
pub struct Traffic {
    next_id: AtomicU64,
    stop: AtomicBool,
    pause: AtomicBool,
    paused: AtomicU64,
    /// Transactions that were committed.
    pub committed: AtomicU64,
}

impl Traffic {
    /// Interactions get ids from `first_id` on.
    #[must_use]
    pub fn new(first_id: u64) -> Self {
        Self {
            next_id: AtomicU64::new(first_id),
            stop: AtomicBool::new(false),
            pause: AtomicBool::new(false),
            paused: AtomicU64::new(0),
            committed: AtomicU64::new(0),
        }
    }

    /// Ends every writer.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// Stops between transactions (or goes on); returns when `writers` have stopped.
    pub fn pause(&self, pause: bool, writers: u64) {
        self.pause.store(pause, Ordering::SeqCst);
        while pause && self.paused.load(Ordering::SeqCst) < writers {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Writes random transactions until it is told to stop. `database` is asked for a new
    /// connection whenever the old one broke.
    pub fn write(&self, database: &std::sync::RwLock<Database>, seed: u64) {
        let mut rng = Rng::new(seed);
        let read = || {
            database
                .read()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
        };
        let dialect = read().dialect();
        let mut session = None;
        while !self.stop.load(Ordering::SeqCst) {
            if self.pause.load(Ordering::SeqCst) {
                self.paused.fetch_add(1, Ordering::SeqCst);
                while self.pause.load(Ordering::SeqCst) && !self.stop.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                self.paused.fetch_sub(1, Ordering::SeqCst);
                continue;
            }
            let sql = self.transaction(dialect, &mut rng);
            let open = session.get_or_insert_with(|| read().connect());
            match open.try_sql(&sql) {
                Ok(_) => {
                    self.committed.fetch_add(1, Ordering::SeqCst);
                }
                Err(error) if error.starts_with("the client is gone") => {
                    session = None;
                    std::thread::sleep(Duration::from_millis(50));
                }
                // A deadlock, or the server is shutting down.
                Err(_) if open.try_sql("rollback").is_err() => {
                    session = None;
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(_) => {}
            }
            std::thread::sleep(Duration::from_millis(rng.below(8)));
        }
    }

    fn transaction(&self, dialect: Dialect, rng: &mut Rng) -> String {
        let mut statements = vec![self.statement(dialect, rng)];
        while rng.below(3) == 0 {
            statements.push(self.statement(dialect, rng));
        }
        let end = if rng.below(30) == 0 {
            "rollback"
        } else {
            "commit"
        };
        format!("begin; {}; {end}", statements.join("; "))
    }

    fn statement(&self, dialect: Dialect, rng: &mut Rng) -> String {
        let known = self.next_id.load(Ordering::SeqCst);
        let id = 1 + rng.below(known);
        let post = 1 + rng.below(POSTS);
        match rng.below(100) {
            0..52 => {
                let rows = 1 + rng.below(20);
                self.insert(dialect, rng, rows, "null")
            }
            52..62 => format!(
                "update interactions set kind = {} where id between {id} and {}",
                rng.below(KINDS.len() as u64),
                id + rng.below(4)
            ),
            62..66 => format!(
                "update interactions set post_id = {post}, created_at = {} where id = {id}",
                dialect.moment(&rng.below(1_000_000).to_string())
            ),
            66..76 => format!(
                "delete from interactions where id between {id} and {}",
                id + rng.below(4)
            ),
            76..79 => format!(
                "update posts set deleted_at = {} where id = {}",
                dialect.moment("1000000"),
                deletable(post)
            ),
            79..82 => format!(
                "update posts set deleted_at = null where id = {}",
                deletable(post)
            ),
            82..86 => format!(
                "update posts set title = 'Title {}' where id = {post}",
                rng.below(1_000)
            ),
            86..88 => format!(
                "update posts set picture = {} where id = {post}",
                dialect.noise(&rng.below(1_000_000).to_string())
            ),
            88..92 => follow(dialect, rng),
            92..95 => format!(
                "delete from follows where user_id = {} and author_id % 3 = {}",
                1 + rng.below(PEOPLE),
                rng.below(3)
            ),
            95..97 => self.insert(dialect, rng, 2, "-5"),
            97..99 => self.insert(dialect, rng, 1_500, "null"),
            // A changed key is a row that goes and a row that comes.
            _ => {
                let fresh = self.next_id.fetch_add(1, Ordering::SeqCst);
                format!("update interactions set id = {fresh} where id = {id}")
            }
        }
    }

    fn insert(&self, dialect: Dialect, rng: &mut Rng, rows: u64, watch_ms: &str) -> String {
        let first = self.next_id.fetch_add(rows, Ordering::SeqCst) - 1;
        let (a, b) = (1 + rng.below(1_000), 1 + rng.below(1_000));
        format!(
            "insert into interactions (id, user_id, post_id, kind, watch_ms, created_at) \
             select {first} + seq, 1 + (seq * {a} + {b}) % {PEOPLE}, 1 + (seq * {b} + {a}) % {POSTS}, \
             (seq + {a}) % {}, {watch_ms}, {} from {}",
            KINDS.len(),
            dialect.moment(&format!("{b} * 1000 + seq")),
            dialect.series(rows),
        )
    }
}

/// A post that traffic may delete: those whose authors' number ends in 1.
fn deletable(post: u64) -> u64 {
    (post / 10).max(1) * 10
}

fn follow(dialect: Dialect, rng: &mut Rng) -> String {
    let (user, author) = (1 + rng.below(PEOPLE), 1 + rng.below(PEOPLE));
    let created = dialect.moment("0");
    match dialect {
        Dialect::Postgres => format!(
            "insert into follows values ({user}, {author}, {created}) on conflict do nothing"
        ),
        Dialect::MariaDb => {
            format!("insert ignore into follows values ({user}, {author}, {created})")
        }
    }
}
