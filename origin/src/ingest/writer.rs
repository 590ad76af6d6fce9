//! The one thread that writes: takes a group of commands, commits it, tells everyone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use edgewise_ranking::config::HotConfig;
use tokio::sync::{oneshot, watch};

use super::batch::Batch;
use super::queue::{Limits, Queue};
use super::rewarm::rewarm;
use super::tables::Tables;
use super::{Changes, Command, Outcome, SubmitError, Subscriber, WriteError, Written};
use crate::clock::{Clock, Stopwatch};
use crate::store::{Store, StoreError, read};

/// Attempts at a commit before the writer gives up.
const ATTEMPTS_MAX: u32 = 3;

/// What the writer needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct WriterConfig {
    /// Parameters of the hot score.
    pub hot: HotConfig,
    /// Bounds of queue and groups.
    pub limits: Limits,
}

/// The answer to a submitted command.
pub type Reply = oneshot::Receiver<Result<Outcome, WriteError>>;

/// Hands commands to the writer's thread; clones hand to the same one.
#[derive(Clone)]
pub struct Writer(Arc<Handle>);

/// Stops the thread with the last clone of the writer.
struct Handle {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    queue: Queue<Queued>,
    clock: Clock,
    position: AtomicU64,
    running: watch::Sender<bool>,
}

struct Queued {
    command: Command,
    at: Written,
    reply: oneshot::Sender<Result<Outcome, WriteError>>,
}

impl Writer {
    /// Starts the thread `edgewise-writer`. Where the store's hot sums were made with other
    /// parameters they are made again from the log first.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn start(
        store: Arc<dyn Store>,
        clock: Clock,
        config: &WriterConfig,
        subscriber: Arc<dyn Subscriber>,
    ) -> Result<Self, StoreError> {
        rewarm(&*store, &config.hot)?;
        let position = read::position(&*store.read()?)?;
        let shared = Arc::new(Shared {
            queue: Queue::new(config.limits),
            clock,
            position: AtomicU64::new(position),
            running: watch::Sender::new(true),
        });
        let worker = Worker {
            shared: Arc::clone(&shared),
            store,
            hot: config.hot,
            retry_pause: config.limits.retry_pause,
            subscriber,
        };
        let thread = std::thread::Builder::new()
            .name("edgewise-writer".to_owned())
            .spawn(move || worker.run())
            .map_err(StoreError::engine)?;
        Ok(Self(Arc::new(Handle {
            shared,
            thread: Mutex::new(Some(thread)),
        })))
    }

    /// Queues `command`; its receipt time is now. The reply comes after the commit is durable.
    ///
    /// # Errors
    /// [`SubmitError::Overloaded`] where the queue is full.
    pub fn submit(&self, command: Command) -> Result<Reply, SubmitError> {
        self.push(command, false).map_err(|(error, _)| error)
    }

    /// Like [`Writer::submit`], but what is not queued comes back, so that it can be tried again.
    ///
    /// # Errors
    /// As [`Writer::submit`].
    pub fn offer(&self, command: Command) -> Result<Reply, (SubmitError, Box<Command>)> {
        self.push(command, false)
            .map_err(|(error, command)| (error, Box::new(command)))
    }

    /// Like [`Writer::submit`], but waits for room in the queue: for imports, off the async threads.
    ///
    /// # Errors
    /// [`SubmitError::Stopped`] and [`SubmitError::TooLarge`].
    pub fn submit_waiting(&self, command: Command) -> Result<Reply, SubmitError> {
        self.push(command, true).map_err(|(error, _)| error)
    }

    /// Queues `command` and waits for its outcome: for imports and tests, off the async threads.
    ///
    /// # Errors
    /// Where it is not queued or not committed.
    pub fn write(&self, command: Command) -> Result<Outcome, WriteError> {
        let reply = self
            .submit_waiting(command)
            .map_err(|_| WriteError::Stopped)?;
        reply.blocking_recv().unwrap_or(Err(WriteError::Stopped))
    }

    /// Sequence number of the last committed log record.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.0.shared.position.load(Ordering::Acquire)
    }

    /// Whether commands are still committed; false for good once a commit failed for good.
    #[must_use]
    pub fn is_running(&self) -> bool {
        *self.0.shared.running.borrow()
    }

    /// Returns once [`Writer::is_running`] is false.
    pub async fn stopped(&self) {
        // The sender lives as long as this handle: waiting cannot fail.
        let _ = self
            .0
            .shared
            .running
            .subscribe()
            .wait_for(|running| !running)
            .await;
    }

    /// Commands that wait in the queue.
    #[must_use]
    pub fn queue_len(&self) -> usize {
        self.0.shared.queue.len()
    }

    /// Takes no more commands, commits those that wait, and ends the thread.
    pub fn stop(&self) {
        self.0.stop();
    }

    fn push(&self, command: Command, wait: bool) -> Result<Reply, (SubmitError, Command)> {
        let wall_ms = self.0.shared.clock.wall_ms();
        let at = Written {
            wall_ms,
            domain_ms: self.0.shared.clock.domain().domain_ms(wall_ms),
        };
        let bytes = command.size_bytes();
        let (reply, receiver) = oneshot::channel();
        self.0
            .shared
            .queue
            .push(Queued { command, at, reply }, bytes, wait)
            .map_err(|(error, queued)| (error, queued.command))?;
        Ok(receiver)
    }
}

impl Handle {
    fn stop(&self) {
        self.shared.queue.close();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the writer's thread panicked");
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Worker {
    shared: Arc<Shared>,
    store: Arc<dyn Store>,
    hot: HotConfig,
    retry_pause: Duration,
    subscriber: Arc<dyn Subscriber>,
}

impl Worker {
    fn run(self) {
        // Runs on a panic too: whoever waits for a reply or for room is told.
        let _stopped = StopOnDrop(&self.shared);
        let mut tables = Tables::new();
        while let Some(group) = self.shared.queue.take_group() {
            if let Err(error) = self.commit(group, &mut tables) {
                tracing::error!(
                    error = &*error as &dyn std::error::Error,
                    "the writer gives up"
                );
                return;
            }
        }
    }

    /// Commits `group` whole, publishes its changes, replies. An error is for good.
    fn commit(&self, group: Vec<Queued>, tables: &mut Tables) -> Result<(), Arc<StoreError>> {
        let (commands, replies): (Vec<_>, Vec<_>) = group
            .into_iter()
            .map(|queued| ((queued.command, queued.at), queued.reply))
            .unzip();
        let stopwatch = Stopwatch::start();
        match self.attempt(&commands, tables) {
            Ok((outcomes, mut changes)) => {
                changes.took = stopwatch.elapsed();
                self.shared
                    .position
                    .store(changes.position, Ordering::Release);
                self.subscriber.committed(&changes);
                for (reply, outcome) in replies.into_iter().zip(outcomes) {
                    // The client may have gone; its events are counted all the same.
                    let _ = reply.send(Ok(outcome));
                }
                Ok(())
            }
            Err(error) => {
                let error = Arc::new(error);
                self.shared.queue.close();
                for reply in replies {
                    let _ = reply.send(Err(WriteError::Store(Arc::clone(&error))));
                }
                Err(error)
            }
        }
    }

    /// A failed commit may have happened: trying again counts nothing twice, because event
    /// ids and import positions are looked up in whatever state there is then.
    fn attempt(
        &self,
        commands: &[(Command, Written)],
        tables: &mut Tables,
    ) -> Result<(Vec<Outcome>, Changes), StoreError> {
        let mut attempt = 1_u32;
        loop {
            let mut done = None;
            let result = self.store.write(&mut |transaction| {
                done = Some(Batch::run(
                    transaction,
                    tables,
                    &self.hot,
                    commands,
                    attempt > 1,
                )?);
                Ok(())
            });
            if result.is_err() {
                // It may have happened or not: what is at hand may not be what is stored.
                *tables = Tables::new();
            }
            match (result, done) {
                (Ok(()), Some(done)) => return Ok(done),
                (Err(error), _) if attempt < ATTEMPTS_MAX && error.is_retryable() => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        attempt,
                        "a commit failed and is tried again"
                    );
                    std::thread::sleep(self.retry_pause * attempt);
                    attempt += 1;
                }
                (Err(error), _) => return Err(error),
                (Ok(()), None) => return Ok((Vec::new(), Changes::default())),
            }
        }
    }
}

struct StopOnDrop<'a>(&'a Shared);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.running.send_replace(false);
        self.0.queue.close();
        // Dropping what waits drops its reply senders.
        while self.0.queue.take_group().is_some() {}
    }
}
