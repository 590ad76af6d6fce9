//! Crashes at random moments, in first copies and in streams: afterwards every aggregate must
//! equal what the database itself computes.

use std::path::PathBuf;
use std::sync::RwLock;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::http::eventually;
use crate::servers::{FaultProxy, Stop};
use crate::shop::{Counts, Database, Rng, Traffic, mapping};
use crate::stack::Origin;

/// Writers on the database.
const WRITERS: u64 = 3;
/// Ids of the rows that tell when the stream has caught up.
const MARKERS: u64 = 1_000_000_000;
/// How long catching up may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Rows that are left when a first copy begins again: it is about its crashes, not its size.
const ROWS_LEFT: u64 = 200_000;

/// What happens how often. All at moments that the seed decides.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Seed of everything random but the scheduling of processes.
    pub seed: u64,
    /// `kill -9` of the origin.
    pub kills: u64,
    /// Restarts of the database server, by turns fast, immediate and by `kill -9`.
    pub restarts: u64,
    /// Connections cut or stalled in the proxy between origin and database.
    pub cuts: u64,
    /// Rows that the first copy finds.
    pub rows: u64,
    /// Faults after which everything is compared.
    pub compare_every: u64,
    /// Comparisons after which the store is thrown away, so that there is a first copy again.
    pub copy_every: u64,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// Faults of each sort.
    pub kills: u64,
    /// See [`Plan::restarts`].
    pub restarts: u64,
    /// See [`Plan::cuts`].
    pub cuts: u64,
    /// Kills while the first copy was under way.
    pub kills_in_copy: u64,
    /// Comparisons, all of them equal.
    pub comparisons: u64,
    /// Transactions committed meanwhile.
    pub transactions: u64,
    /// Events that the last comparison counted.
    pub events: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    Kill,
    Restart,
    Cut,
}

/// Runs `plan` against `database`, which is empty.
///
/// # Panics
/// Where anything was lost or counted twice, or the origin does not come back.
#[must_use]
pub fn run(plan: &Plan, database: Database) -> Done {
    database.fill(plan.rows);
    let proxy = FaultProxy::start(database.port());
    let mut chaos = Chaos::new(*plan, proxy, database);
    let traffic = Traffic::new(plan.rows + 1);
    let database = RwLock::new(chaos.database.take().expect("just put there"));
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (traffic, database) = (&traffic, &database);
            scope.spawn(move || traffic.write(database, plan.seed * 1_000 + writer));
        }
        let _stop = StopOnDrop(&traffic);
        chaos.faults(&traffic, &database);
    });
    chaos.done.transactions = traffic.committed.load(Ordering::SeqCst);
    chaos.done
}

/// Writers end when the faults do, even by a panic.
struct StopOnDrop<'a>(&'a Traffic);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

struct Chaos {
    plan: Plan,
    rng: Rng,
    proxy: FaultProxy,
    dir: tempfile::TempDir,
    mapping: PathBuf,
    origin: Option<Origin>,
    database: Option<Database>,
    stores: u64,
    done: Done,
}

impl Chaos {
    fn new(plan: Plan, proxy: FaultProxy, database: Database) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("replicate.toml");
        let options = "snapshot = { chunk_rows = 2000, parallel = 2 }";
        let text = mapping(database.dialect(), &database.url_at(proxy.port), options);
        std::fs::write(&path, text).expect("the mapping can be written");
        let mut chaos = Self {
            plan,
            rng: Rng::new(plan.seed),
            proxy,
            dir,
            mapping: path,
            origin: None,
            database: Some(database),
            stores: 0,
            done: Done::default(),
        };
        chaos.start();
        chaos
    }

    /// Starts an origin on a store of its own.
    fn start(&mut self) {
        self.stores += 1;
        let data = self.dir.path().join(format!("store-{}", self.stores));
        std::fs::create_dir(&data).expect("a folder can be made");
        let mapping = self.mapping.to_string_lossy().into_owned();
        self.origin = Some(Origin::start(&data, &["--mapping", &mapping]));
    }

    fn origin(&mut self) -> &mut Origin {
        self.origin.as_mut().expect("it was started")
    }

    fn faults(&mut self, traffic: &Traffic, database: &RwLock<Database>) {
        let (mut since, mut comparisons) = (0, 0);
        while let Some(fault) = self.next_fault() {
            std::thread::sleep(Duration::from_millis(10 + self.rng.below(600)));
            self.strike(fault, database);
            since += 1;
            if since == self.plan.compare_every {
                since = 0;
                self.compare(traffic, database);
                comparisons += 1;
                if comparisons % self.plan.copy_every == 0 {
                    self.copy_again(database);
                }
            }
        }
        self.compare(traffic, database);
    }

    /// One of those that are left, in proportion.
    fn next_fault(&mut self) -> Option<Fault> {
        let left = [
            (Fault::Kill, self.plan.kills - self.done.kills),
            (Fault::Restart, self.plan.restarts - self.done.restarts),
            (Fault::Cut, self.plan.cuts - self.done.cuts),
        ];
        let all: u64 = left.iter().map(|(_, count)| count).sum();
        let mut at = (all > 0).then(|| self.rng.below(all))?;
        for (fault, count) in left {
            if at < count {
                return Some(fault);
            }
            at -= count;
        }
        None
    }

    fn strike(&mut self, fault: Fault, database: &RwLock<Database>) {
        match fault {
            Fault::Kill => {
                self.done.kills_in_copy += u64::from(self.is_copying());
                self.origin().kill();
                self.origin().run();
                self.done.kills += 1;
            }
            Fault::Restart => {
                let how = [Stop::Fast, Stop::Immediate, Stop::Kill][self.rng.below(3) as usize];
                let mut database = database
                    .write()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                match &mut *database {
                    Database::Postgres(server) => server.restart(how),
                    Database::MariaDb(server) => server.restart(how),
                }
                self.done.restarts += 1;
            }
            Fault::Cut => {
                match self.rng.below(3) {
                    0 => self.proxy.cut(),
                    1 => self.proxy.cut_after_bytes(self.rng.below(100_000)),
                    _ => self
                        .proxy
                        .stall_for(Duration::from_millis(self.rng.below(1_500))),
                }
                self.done.cuts += 1;
            }
        }
    }

    fn is_copying(&mut self) -> bool {
        let status = self.origin().admin("GET", "/admin/v1/replicate", None);
        status.text.contains("copying")
    }

    /// Lets the stream catch up with a database at rest, stops the origin, and compares.
    fn compare(&mut self, traffic: &Traffic, database: &RwLock<Database>) {
        traffic.pause(true, WRITERS);
        let database = database
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        self.origin().streams(PATIENCE);
        let mut session = database.connect();
        let marker = MARKERS + self.done.comparisons;
        let created = database.dialect().moment("0");
        session.sql(&format!(
            "insert into posts (id, author_id, title, created_at) values ({marker}, 1, 'marker', {created})"
        ));
        let began = Instant::now();
        let seed = self.plan.seed;
        let origin = self.origin();
        eventually("the stream has caught up", PATIENCE, || {
            let path = format!("/admin/v1/items/{marker}");
            (origin.admin("GET", &path, None).status == 200).then_some(())
        });
        origin.kill();
        let data = origin.data.clone();
        let expected = Counts::of_database(database.dialect(), &mut session);
        let found = Counts::of_store(&data);
        let differences = expected.differences(&found);
        let done = self.done;
        assert!(
            differences.is_empty(),
            "seed {seed}, {done:?}, after catching up in {:?}:\n{}",
            began.elapsed(),
            differences.join("\n")
        );
        self.done.comparisons += 1;
        self.done.events = found.events();
        self.origin().run();
        traffic.pause(false, WRITERS);
    }

    /// A new store: the first copy begins again, while everything goes on.
    fn copy_again(&mut self, database: &RwLock<Database>) {
        self.origin().kill();
        let old = self.origin().data.clone();
        let database = database
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Database::Postgres(server) = &*database {
            eventually("the slot can be dropped", PATIENCE, || {
                let sql = "select pg_drop_replication_slot(slot_name) from pg_replication_slots";
                server.try_sql(sql).ok()
            });
        }
        let _ = std::fs::remove_dir_all(old);
        let mut session = database.connect();
        eventually("old rows can be deleted", PATIENCE, || {
            // A deadlock with the writers ends it.
            let sql = format!(
                "delete from interactions where id <= (select most from \
                 (select max(id) - {ROWS_LEFT} as most from interactions) as newest)"
            );
            session.try_sql(&sql).ok()
        });
        self.start();
    }
}
