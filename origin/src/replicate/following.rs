//! The sources that this process follows: started, replaced, asked and stopped as a whole.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use super::config::{KafkaOutConfig, Mapped, Mapping, SourceConfig};
use super::dead_letter::{LetterError, Selection};
use super::drift::{self, Drift};
use super::kafka::produce::{self, OutContext};
use super::load::{self, LoadError, Overrides, Urls};
use super::reconcile::ReconcileError;
use super::resync::{self, ResyncError, Resynced};
use super::status::{SourceStatus, StatusBoard};
use super::supervise::{Replication, StartError};
use crate::clock::Clock;
use crate::ingest::Writer;
use crate::store::{Store, StoreError, read};

/// A source that is told to stop is given up after this; what it has not applied comes again.
pub const STOP_MAX: Duration = Duration::from_secs(10);

/// Why sources are not followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The mapping file is no good.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The source cannot be started.
    #[error("source {source_name} cannot be followed: {reason}")]
    Start {
        /// Its name.
        source_name: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Store(#[from] StoreError),
    /// It cannot be forgotten.
    #[error(transparent)]
    Resync(#[from] ResyncError),
    /// Dead letters cannot be worked on.
    #[error(transparent)]
    Letters(#[from] LetterError),
    /// Nothing can be compared or repaired.
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
    /// A part of the program failed; the log has the cause.
    #[error("the work was cut off; the log has the cause")]
    CutOff,
}

/// What `POST /admin/v1/replicate` takes.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FollowCommand {
    /// The mapping file on the server's machine.
    pub mapping: PathBuf,
    /// A source's name, or a URL for the one there is; absent = all.
    pub source: Option<String>,
    /// URLs by source, in upper case: those of the environment of who asks.
    pub urls: BTreeMap<String, String>,
}

/// What `POST /admin/v1/replicate/resync` takes.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct ResyncCommand {
    /// Which sources.
    #[serde(flatten)]
    pub sources: FollowCommand,
    /// Only this table.
    #[serde(default)]
    pub table: Option<String>,
}

/// What `POST /admin/v1/dead-letters/replay` takes.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct ReplayCommand {
    /// The mapping as it is now.
    pub mapping: FollowCommand,
    /// Which letters.
    #[serde(default)]
    pub letters: Selection,
}

impl FollowCommand {
    /// Reads the mapping file.
    ///
    /// # Errors
    ///
    /// As [`load::load`].
    pub fn load(self) -> Result<Mapping, LoadError> {
        let overrides = Overrides {
            source: self.source,
            urls: urls_with(self.urls),
        };
        load::load(&self.mapping, &overrides)
    }
}

/// The URLs of the environment of who asks, and else of this process's: who asks a server may
/// know less than it does.
fn urls_with(asked: BTreeMap<String, String>) -> Urls {
    let mut urls = Urls::of(crate::cli::environment());
    urls.0.extend(asked);
    urls
}

/// How everything does that is followed here.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Overview {
    /// The sources.
    pub sources: Vec<SourceStatus>,
    /// Dead letters that are kept.
    pub dead_letters: u64,
    /// What is counted although the mapping no longer says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drifts: Vec<Drift>,
}

/// The sources that this process follows.
pub struct Following {
    /// Where they are counted.
    pub store: Arc<dyn Store>,
    /// The one way to change it.
    pub writer: Writer,
    /// Wall and domain time.
    pub clock: Clock,
    followed: tokio::sync::Mutex<BTreeMap<String, Followed>>,
    /// What each mapping file said when it was last read.
    mapped: Mutex<BTreeMap<PathBuf, Mapped>>,
    out: tokio::sync::Mutex<Option<Out>>,
}

/// What produces the accepted events to Kafka.
struct Out {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    status: Arc<StatusBoard>,
}

struct Followed {
    config: SourceConfig,
    replication: Replication,
}

impl Following {
    /// Nothing is followed yet.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, writer: Writer, clock: Clock) -> Self {
        Self {
            store,
            writer,
            clock,
            followed: tokio::sync::Mutex::default(),
            mapped: Mutex::default(),
            out: tokio::sync::Mutex::default(),
        }
    }

    /// Reads a mapping file and follows its sources.
    ///
    /// # Errors
    ///
    /// As [`load::load`] and [`Following::follow`].
    pub async fn follow_file(&self, command: FollowCommand) -> Result<Vec<String>, FollowError> {
        self.follow(command.load()?).await
    }

    /// Follows every source of `mapping`; one that is followed already begins anew, with the
    /// mapping as it is now. Returns their names.
    ///
    /// # Errors
    ///
    /// Names the source that cannot be started; those before it are followed.
    pub async fn follow(&self, mapping: Mapping) -> Result<Vec<String>, FollowError> {
        if !mapping.file.as_os_str().is_empty() {
            self.mapped()
                .insert(mapping.file.clone(), mapping.mapped.clone());
        }
        for drift in self.unmapped()? {
            let Drift {
                source,
                table,
                problem,
                remedy,
            } = drift;
            error!(source, table, remedy, "{problem}");
        }
        if let Some(out) = &mapping.kafka_out {
            self.produce(out).await;
        }
        let mut followed = self.followed.lock().await;
        let mut names = Vec::new();
        for config in mapping.sources {
            let name = config.name.clone();
            if let Some(before) = followed.remove(&name) {
                stop(&name, before.replication).await;
            }
            let replication = self.start(&config)?;
            info!(
                source = name,
                url = super::redact::url(&config.url),
                "following"
            );
            followed.insert(
                name.clone(),
                Followed {
                    config,
                    replication,
                },
            );
            names.push(name);
        }
        Ok(names)
    }

    // Nothing panics while it is held.
    fn mapped(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Mapped>> {
        self.mapped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is stored and in none of the mapping files that were read.
    fn unmapped(&self) -> Result<Vec<Drift>, StoreError> {
        let mut all = Mapped::new();
        if self.mapped().is_empty() {
            return Ok(Vec::new());
        }
        for (source, entries) in self.mapped().values().flatten() {
            let known = all.entry(source.clone()).or_default();
            known.extend(entries.iter().cloned());
        }
        drift::unmapped(&*self.store.read()?, &all)
    }

    /// All that drifted from a mapping file as it is now. Off the async threads.
    ///
    /// # Errors
    ///
    /// As [`load::load`]; or the store cannot be read.
    pub fn drifts(&self, command: FollowCommand) -> Result<Vec<Drift>, FollowError> {
        Ok(drift::find(&*self.store, &command.load()?)?)
    }

    /// Produces accepted events to Kafka, as `[kafka_out]` says now.
    async fn produce(&self, config: &KafkaOutConfig) {
        let mut out = self.out.lock().await;
        if let Some(before) = out.take() {
            before.stop().await;
        }
        let (stop, stopped) = watch::channel(false);
        let status = StatusBoard::new(produce::SOURCE, &config.brokers, self.clock.clone());
        let status = Arc::new(status);
        let context = OutContext {
            config: config.clone(),
            store: Arc::clone(&self.store),
            writer: self.writer.clone(),
            stop: stopped,
            status: Arc::clone(&status),
        };
        // What ends it is in its status and the log.
        let task = tokio::spawn(async move {
            let _ = produce::keep(context).await;
        });
        *out = Some(Out { stop, task, status });
    }

    fn start(&self, config: &SourceConfig) -> Result<Replication, FollowError> {
        let one = Mapping {
            sources: vec![config.clone()],
            ..Mapping::default()
        };
        Replication::start(
            one,
            Arc::clone(&self.store),
            self.writer.clone(),
            self.clock.clone(),
        )
        .map_err(|error: StartError| FollowError::Start {
            source_name: config.name.clone(),
            reason: error.to_string(),
        })
    }

    /// How the sources do.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub async fn overview(&self) -> Result<Overview, FollowError> {
        let followed = self.followed.lock().await;
        let out = self.out.lock().await;
        let sources = followed.values().flat_map(|one| one.replication.status());
        let out = out.iter().map(|out| out.status.read());
        Ok(Overview {
            sources: sources.chain(out).collect(),
            dead_letters: read::dead_letter_count(&*self.store.read()?)?,
            drifts: self.unmapped()?,
        })
    }

    /// Forgets each source of the mapping (or one table of it), so that it is copied anew. A
    /// source that is followed stops meanwhile and begins again after, whatever happened.
    ///
    /// # Errors
    ///
    /// As [`resync::forget`]; or the source cannot be started again.
    pub async fn resync(&self, command: ResyncCommand) -> Result<Vec<Resynced>, FollowError> {
        let table = command.table.as_deref();
        let mapping = match command.sources.clone().load() {
            Ok(mapping) => mapping,
            Err(error) => match error.unmapped(command.sources.source.as_deref()) {
                Some(name) => {
                    let done = self.forget_unmapped(name, &command.sources.urls, table);
                    return Ok(vec![done.await?]);
                }
                None => return Err(error.into()),
            },
        };
        let mut done = Vec::new();
        for config in mapping.sources {
            done.push(self.resync_one(&config, table).await?);
        }
        Ok(done)
    }

    /// Forgets a source (or a table of it) that is not in the mapping file, and does not follow
    /// it any more.
    async fn forget_unmapped(
        &self,
        name: &str,
        urls: &BTreeMap<String, String>,
        table: Option<&str>,
    ) -> Result<Resynced, FollowError> {
        let mut followed = self.followed.lock().await;
        resync::known(&*self.store, name, table)?;
        let slot = drift::slot_of(&*self.store.read()?, name)?;
        let mut config = SourceConfig {
            name: name.to_owned(),
            url: urls_with(urls.clone())
                .0
                .remove(&name.to_uppercase())
                .unwrap_or_default(),
            ..SourceConfig::default()
        };
        if !config.url.is_empty() {
            load::check_url(&config)?;
        }
        if let Some(before) = followed.remove(name) {
            config = before.config;
            stop(name, before.replication).await;
        }
        let forgotten = self.forget(&config, table).await?;
        let left = slot.filter(|_| config.url.is_empty() && table.is_none());
        Ok(match left {
            Some(slot) => Resynced {
                slot: Some(resync::slot_left(&slot)),
                ..forgotten
            },
            None => forgotten,
        })
    }

    async fn resync_one(
        &self,
        config: &SourceConfig,
        table: Option<&str>,
    ) -> Result<Resynced, FollowError> {
        // Held until the end: nobody starts the source in between.
        let mut followed = self.followed.lock().await;
        let before = followed.remove(&config.name);
        let config = match &before {
            Some(before) => with_login_of(config.clone(), &before.config),
            None => config.clone(),
        };
        let was_followed = before.is_some();
        if let Some(before) = before {
            stop(&config.name, before.replication).await;
        }
        let forgotten = self.forget(&config, table).await;
        if was_followed {
            let replication = self.start(&config)?;
            let name = config.name.clone();
            let one = Followed {
                config,
                replication,
            };
            followed.insert(name, one);
        }
        forgotten
    }

    async fn forget(
        &self,
        config: &SourceConfig,
        table: Option<&str>,
    ) -> Result<Resynced, FollowError> {
        let slot = match table {
            // The other tables go on from where the slot is.
            Some(_) => None,
            None => super::connect::drop_slot(config, &*self.store).await,
        };
        let (store, writer) = (Arc::clone(&self.store), self.writer.clone());
        let (name, table) = (config.name.clone(), table.map(str::to_owned));
        let work = move || resync::forget(&*store, &writer, &name, table.as_deref());
        let done = tokio::task::spawn_blocking(work).await;
        let done = done.map_err(|_| FollowError::CutOff)??;
        Ok(Resynced { slot, ..done })
    }

    /// A source as its file has it, with the password that it is followed with here where the
    /// file has none.
    pub async fn with_login(&self, config: SourceConfig) -> SourceConfig {
        match self.followed.lock().await.get(&config.name) {
            Some(followed) => with_login_of(config, &followed.config),
            None => config,
        }
    }

    /// How a source does; `None` where it is not followed here.
    pub async fn status_of(&self, name: &str) -> Option<SourceStatus> {
        let followed = self.followed.lock().await;
        followed.get(name)?.replication.status().into_iter().next()
    }

    /// Stops every source.
    pub async fn stop(&self) {
        let followed = std::mem::take(&mut *self.followed.lock().await);
        let stopping = followed
            .into_iter()
            .map(|(name, one)| async move { stop(&name, one.replication).await });
        futures_util::future::join_all(stopping).await;
        if let Some(out) = self.out.lock().await.take() {
            out.stop().await;
        }
    }
}

/// A source as its file has it, with the password that it is followed with where the file has
/// none.
fn with_login_of(config: SourceConfig, followed: &SourceConfig) -> SourceConfig {
    let is_same = super::redact::without_password(&followed.url) == config.url;
    let url = if is_same { &followed.url } else { &config.url };
    SourceConfig {
        url: url.clone(),
        ..config
    }
}

impl Out {
    async fn stop(self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(STOP_MAX, self.task).await.is_err() {
            warn!(
                "the producer did not stop in time and is given up; it goes on from its checkpoint"
            );
        }
    }
}

async fn stop(name: &str, replication: Replication) {
    if tokio::time::timeout(STOP_MAX, replication.stop())
        .await
        .is_err()
    {
        warn!(
            source = name,
            "the source did not stop in time and is given up; what was not applied comes again"
        );
    }
}
