//! The Edgewise API as a native process: `edge/core` decides, this does what it asks for.
//!
//! ```text
//! client ─▶ worker (thread: runtime, listener, core) ─▶ answer
//!              │ effects
//!              ├─▶ tiers     cache in memory, key-value store on disk
//!              ├─▶ flights   one request to the origin a path, on the background runtime
//!              └─▶ spool     events on disk ─▶ delivery ─▶ POST /internal/v1/events
//! ```

mod assets;
mod cache;
mod client;
mod dead_letters;
mod delivery;
mod effects;
mod flights;
mod guard;
mod head;
mod kv;
mod limiter;
mod respond;
mod settings;
mod spool;
mod stats;
mod tiers;
mod warm;
mod worker;
mod zones;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{info, warn};

use self::assets::Assets;
use self::cache::Cache;
use self::client::TrustedFronts;
use self::delivery::Delivery;
use self::effects::Services;
use self::flights::Flights;
use self::kv::Kv;
use self::limiter::Limiter;
use self::settings::Settings;
use self::spool::Spool;
use self::tiers::Tiers;
use self::worker::Shared;
use crate::cli::Cli;
use crate::drain::Phase;
use crate::limits::WORKERS_MAX;
use crate::listen::{self, Connections};
use crate::upstream::Upstream;
use crate::{admin, telemetry};

const MIB: u64 = 1 << 20;
/// Key-value store in the data directory.
const KV_FILE: &str = "kv.redb";
/// Events on their way.
const SPOOL_FILE: &str = "spool.redb";
/// Events that the origin refuses for good.
const DEAD_LETTERS_FILE: &str = "dead-letters.jsonl";

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// The configuration, the data directory or a listener is no good, or a worker gave up; a
/// sentence says which.
pub(crate) fn run(cli: &Cli) -> anyhow::Result<()> {
    telemetry::metrics_handle();
    let settings = Settings::read(&cli.api)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the system gives no runtime")?;
    let served = runtime.block_on(serve(cli, settings));
    // Whoever asked twice does not wait for threads that finish requests.
    runtime.shutdown_background();
    served?;
    info!("stopped");
    Ok(())
}

async fn serve(cli: &Cli, settings: Settings) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let drain = Duration::from_secs(cli.host.drain_s);
    let upstream = Arc::new(Upstream::new(&cli.origin, settings.bearer));
    let spool = Arc::new(open_spool(cli)?);
    let tiers = Arc::new(open_tiers(cli)?);
    let (phase, watched) = watch::channel(Phase::Serving);
    let services = Services {
        tiers: Arc::clone(&tiers),
        flights: Flights::new(Arc::clone(&upstream), tokio::runtime::Handle::current()),
        spool: Arc::clone(&spool),
        limiter: Limiter::new(),
    };
    let shared = Shared {
        config: settings.core,
        services,
        assets: match &cli.api.assets {
            Some(folder) => Assets::load(folder)?,
            None => Assets::default(),
        },
        fronts: TrustedFronts::new(cli.host.trust_forwarded.clone()),
        connections: Connections::new(cli.host.connections as usize),
        bodies: Default::default(),
        phase: watched.clone(),
        idle: Duration::from_secs(cli.host.client_idle_s),
        drain,
    };
    let mut workers = Workers::start(cli, shared)?;
    let mut background = JoinSet::new();
    if let Some(address) = cli.host.admin {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("--admin {address} cannot be bound"))?;
        info!(admin = %listener.local_addr()?, "serving metrics");
        let spool = Arc::clone(&spool);
        background.spawn(admin::serve(listener, move || spool.publish()));
    }
    let dead = cli.api.data_dir.as_deref();
    let dead = dead.map(|folder| folder.join(DEAD_LETTERS_FILE));
    let (last, nothing_more) = watch::channel(false);
    let delivery = Delivery::new(Arc::clone(&spool), Arc::clone(&upstream), dead);
    let delivery = tokio::spawn(delivery.run(watched.clone(), nothing_more, drain));
    background.spawn(warm::run(upstream, tiers, watched));

    let ended = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        ended = workers.ended() => ended,
    };
    info!("stopping: not ready any more, open requests finish");
    phase.send_replace(Phase::Leaving);
    let delay = Duration::from_secs(cli.host.drain_delay_s);
    let stop = async {
        tokio::time::sleep(delay).await;
        phase.send_replace(Phase::Draining);
        workers.join().await;
        last.send_replace(true);
        if delivery.await.is_err() {
            warn!("the delivery of events ended early; the next start goes on");
        }
    };
    tokio::select! {
        () = stop => {}
        // Asked twice: what is accepted is on disk.
        _ = terminate.recv() => warn!("stopped at once"),
        _ = interrupt.recv() => warn!("stopped at once"),
    }
    background.shutdown().await;
    ended
}

fn open_spool(cli: &Cli) -> anyhow::Result<Spool> {
    let path = match &cli.api.data_dir {
        Some(folder) => {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("--data-dir {} cannot be made", folder.display()))?;
            Some(folder.join(SPOOL_FILE))
        }
        None => {
            warn!(
                "no --data-dir: events on their way and stored values are in memory only, and a crash loses them"
            );
            None
        }
    };
    Spool::open(path.as_deref(), cli.api.spool_mib * MIB)
}

fn open_tiers(cli: &Cli) -> anyhow::Result<Tiers> {
    let open = |folder: &Path| Kv::open(&folder.join(KV_FILE), cli.api.kv_mib * MIB);
    let kv = cli.api.data_dir.as_deref().map(open).transpose()?;
    Ok(Tiers::new(Cache::new(cli.host.memory_mib * MIB), kv))
}

/// The threads that answer.
struct Workers {
    threads: Vec<JoinHandle<()>>,
    ends: mpsc::Receiver<std::io::Result<()>>,
}

impl Workers {
    fn start(cli: &Cli, shared: Shared) -> anyhow::Result<Self> {
        let count = match cli.host.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads.into(),
        }
        .min(WORKERS_MAX);
        let listeners = listen::bind(cli.host.listen, count)
            .with_context(|| format!("--listen {} cannot be bound", cli.host.listen))?;
        let address = listeners.first().map(|listener| listener.local_addr());
        let shared = Arc::new(shared);
        let (end, ends) = mpsc::channel(WORKERS_MAX);
        let mut threads = Vec::with_capacity(count);
        for (index, listener) in listeners.into_iter().enumerate() {
            let (shared, end) = (Arc::clone(&shared), end.clone());
            let work = move || {
                let ended = worker::run(shared, listener);
                let _ = end.try_send(ended);
            };
            let thread = std::thread::Builder::new().name(format!("edge-{index}"));
            threads.push(thread.spawn(work)?);
        }
        if let Some(address) = address {
            info!(listen = %address?, origin = cli.origin, workers = count, "serving");
        }
        Ok(Self { threads, ends })
    }

    /// Returns where a worker ended that nobody had asked to: an error, since a share of the
    /// connections has nobody then.
    async fn ended(&mut self) -> anyhow::Result<()> {
        match self.ends.recv().await {
            Some(Err(error)) => Err(error).context("a worker cannot serve"),
            _ => anyhow::bail!("a worker ended early"),
        }
    }

    /// Waits for all; each ends within the drain time.
    async fn join(&mut self) {
        let threads = std::mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(move || {
            threads.into_iter().all(|thread| thread.join().is_ok())
        });
        if !joined.await.unwrap_or(false) {
            warn!("a worker had panicked");
        }
    }
}
