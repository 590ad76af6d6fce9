//! What tests of the data side share: a store that can fail, a writer on it, short events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use edgewise_ranking::RankingConfig;
use edgewise_wire::api::{Event, EventType, Item};

use super::{Changes, Command, EventSource, Limits, Outcome, Subscriber, Writer, WriterConfig};
use crate::clock::Clock;
use crate::store::{RedbStore, Snapshot, Store, StoreError, Work};
use crate::verify;

/// 2023-11-14 22:13:20 UTC.
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

/// Fails the next commits: before they happen, or after (as a lost acknowledgement).
pub(crate) struct Flaky {
    inner: RedbStore,
    pub(crate) fail_before: AtomicU32,
    pub(crate) fail_after: AtomicU32,
}

impl Flaky {
    pub(crate) fn new(inner: RedbStore) -> Self {
        Self {
            inner,
            fail_before: AtomicU32::new(0),
            fail_after: AtomicU32::new(0),
        }
    }

    fn error() -> StoreError {
        StoreError::engine(std::io::Error::other("the test's disk is full"))
    }
}

fn take_one(left: &AtomicU32) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
        left.checked_sub(1)
    })
    .is_ok()
}

impl Store for Flaky {
    fn read(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        self.inner.read()
    }

    fn write(&self, work: &mut Work<'_>) -> Result<(), StoreError> {
        if take_one(&self.fail_before) {
            return self.inner.write(&mut |tx| {
                work(tx)?;
                Err(Self::error())
            });
        }
        self.inner.write(work)?;
        if take_one(&self.fail_after) {
            Err(Self::error())
        } else {
            Ok(())
        }
    }
}

/// Remembers the changes of every commit.
#[derive(Default)]
pub(crate) struct Seen(pub(crate) Mutex<Vec<Changes>>);

impl Subscriber for Seen {
    fn committed(&self, changes: &Changes) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(changes.clone());
    }
}

/// A writer on a store in memory, with a clock that the test moves.
pub(crate) struct Rig {
    pub(crate) store: Arc<Flaky>,
    pub(crate) clock: Clock,
    pub(crate) seen: Arc<Seen>,
    pub(crate) writer: Writer,
    pub(crate) config: WriterConfig,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::on(RedbStore::in_memory().unwrap())
    }

    pub(crate) fn on(store: RedbStore) -> Self {
        let store = Arc::new(Flaky::new(store));
        let clock = Clock::manual(NOW_MS);
        let seen = Arc::new(Seen::default());
        let hot = RankingConfig::default().hot;
        let limits = Limits {
            retry_pause: Duration::ZERO,
            ..Limits::default()
        };
        let config = WriterConfig { hot, limits };
        let writer = start(&store, &clock, &config, &seen);
        Self {
            store,
            clock,
            seen,
            writer,
            config,
        }
    }

    /// Stops the writer and starts another on what is stored.
    pub(crate) fn restart(&mut self) {
        self.writer.stop();
        self.writer = start(&self.store, &self.clock, &self.config, &self.seen);
    }

    pub(crate) fn write(&self, command: Command) -> Outcome {
        self.writer.write(command).unwrap()
    }

    pub(crate) fn events(&self, events: Vec<Event>) -> Outcome {
        self.write(Command::Events {
            events,
            source: EventSource::Public,
        })
    }

    pub(crate) fn read(&self) -> Box<dyn Snapshot> {
        self.store.read().unwrap()
    }

    /// Everything adds up.
    #[track_caller]
    pub(crate) fn check(&self) -> verify::Report {
        let report = verify::verify(&*self.store).unwrap();
        assert!(report.ok, "{:#?}", report.mismatches);
        report
    }
}

fn start(store: &Arc<Flaky>, clock: &Clock, config: &WriterConfig, seen: &Arc<Seen>) -> Writer {
    let store: Arc<dyn Store> = Arc::clone(store) as _;
    Writer::start(store, clock.clone(), config, Arc::clone(seen) as _).unwrap()
}

pub(crate) fn event(id: &str, kind: EventType, user: &str, item: &str) -> Event {
    Event {
        id: id.to_owned(),
        kind,
        user: user.to_owned(),
        item: (!item.is_empty()).then(|| item.to_owned()),
        author: None,
        ts_ms: None,
        watch_ms: None,
        duration_ms: None,
        value: None,
        request_id: None,
        position: None,
    }
}

pub(crate) fn item(id: &str, author: &str) -> Item {
    Item {
        id: id.to_owned(),
        author: author.to_owned(),
        created_at_ms: NOW_MS,
        duration_ms: Some(10_000),
        tags: vec!["cats".to_owned()],
        title: format!("About {id}"),
        ..Item::default()
    }
}
