//! `edgewise serve`: opens, loads, listens, and stops in the right order.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::config::{Config, PlainUser};
use crate::http::connections::{self, ConnectionLimits};
use crate::http::{AdminToken, Service, admin_router, public_router};
use crate::jobs::Jobs;
use crate::model::ServingModel;
use crate::origin::Origin;
use crate::replicate::config::Mapping;
use crate::replicate::following::Following;
use crate::replicate::load::{self, Overrides, Urls};
use crate::store::Store;
use crate::vectors::Vectors;
use crate::{commands, secrets, telemetry};

/// File in the data directory by which other commands find the running server.
const SERVE_FILE: &str = "serve.json";

/// Connections of the admin listener held open at once.
pub(crate) const ADMIN_CONNECTIONS_MAX: usize = 256;

/// How to reach the server that runs on a data directory; readable by its owner only.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Running {
    /// Base URL of its admin listener.
    pub admin_url: String,
    /// Its admin token.
    pub token: String,
    /// Its process.
    pub pid: u32,
}

impl Running {
    /// The server on the data directory, as it described itself.
    ///
    /// # Errors
    ///
    /// There is no such file, or it cannot be read.
    pub fn find(data: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(data.join(SERVE_FILE))?;
        Ok(serde_json::from_str(&text)?)
    }

    pub(crate) fn write(&self, data: &Path) -> anyhow::Result<ServeFile> {
        let path = data.join(SERVE_FILE);
        secrets::write_private(&path, &serde_json::to_string(self)?)?;
        Ok(ServeFile(path))
    }
}

/// Removes the description when the server has stopped.
pub(crate) struct ServeFile(PathBuf);

impl Drop for ServeFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What to do where the writer gave up; the log line before names the cause.
pub(crate) const WRITER_STOPPED: &str = "the store takes no more writes; see that its disk has room and works, then start again (what was answered is kept)";

/// Serves until SIGTERM or SIGINT, or until the store takes no more writes.
///
/// # Errors
///
/// The configuration, the store or a listener is no good, or the writer gave up; a sentence
/// says which.
pub fn run(config: &Config) -> anyhow::Result<()> {
    telemetry::metrics_handle();
    let mut model = ServingModel::new(config.ranking_config()?, config.heads()?)
        .context("the model is more than edges take; train a smaller one")?;
    for head in model.missing_heads() {
        warn!(
            head,
            "the blend names a head that ranking.heads lacks: the formula ranks alone"
        );
    }
    if let Some(path) = &config.ranking.vectors {
        let vectors = Vectors::load(path)?;
        let [items, users] = vectors.counts();
        info!(items, users, "vectors were read");
        model = model.with_vectors(vectors);
    }
    let clock = config.domain_clock()?;
    let data = &config.serve.data;
    let mapping = config.mapping()?;
    let store: Arc<dyn Store> = Arc::new(commands::open(config)?);
    let keys = secrets::token_keys(config.auth.token_keys.as_deref(), data)?;
    let token = secrets::admin_token(config.auth.admin_token.as_deref(), data)?;
    let service = Service::new(config, AdminToken::new(&token));
    say_who_names_users(config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("edgewise-http")
        .enable_all()
        .build()
        .context("the system gives no more threads")?;
    let origin = runtime.block_on(async {
        let public = bind(config.serve.listen, "--listen").await?;
        let admin = bind(config.serve.admin_listen, "--admin-listen").await?;
        let running = Running {
            admin_url: format!("http://{}", reachable(admin.local_addr()?)),
            token,
            pid: std::process::id(),
        };
        let _file = running.write(data)?;
        let load = move || Origin::load(store, clock, model, keys);
        serve(config, &service, [public, admin], mapping, load).await
    })?;
    origin.map_or(Ok(()), |origin| finish(&origin))?;
    info!("stopped");
    Ok(())
}

/// The last in line: what was accepted is committed.
fn finish(origin: &Origin) -> anyhow::Result<()> {
    let wrote = origin.writer.is_running();
    origin.writer.stop();
    // A supervisor starts the process again, which opens the store again.
    ensure!(wrote, WRITER_STOPPED);
    Ok(())
}

/// Serves on both listeners; returns the origin, whose writer still runs.
async fn serve(
    config: &Config,
    service: &Arc<Service>,
    [public, admin]: [TcpListener; 2],
    mut mapping: Option<Mapping>,
    load: impl FnOnce() -> Result<Origin, crate::store::StoreError> + Send + 'static,
) -> anyhow::Result<Option<Arc<Origin>>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let limits = ConnectionLimits {
        connections: Arc::new(Semaphore::new(config.limits.connections)),
        per_client: config.limits.connections_per_client,
        header_timeout: Duration::from_millis(config.limits.header_timeout_ms),
        drain: Duration::from_millis(config.limits.drain_ms),
    };
    // Clients that take every public connection must not lock the operator out.
    let admin_limits = ConnectionLimits {
        connections: Arc::new(Semaphore::new(ADMIN_CONNECTIONS_MAX)),
        per_client: ADMIN_CONNECTIONS_MAX,
        ..limits.clone()
    };
    let (stop, stopped) = watch::channel(false);
    let addresses = (public.local_addr()?, admin.local_addr()?);
    let listeners = [
        tokio::spawn(connections::serve(
            public,
            public_router(service),
            limits,
            stopped.clone(),
        )),
        tokio::spawn(connections::serve(
            admin,
            admin_router(service),
            admin_limits,
            stopped,
        )),
    ];
    let mut loading = tokio::task::spawn_blocking(load);
    let mut origin = None;
    let mut jobs = None;
    let mut following = None;
    loop {
        tokio::select! {
            loaded = &mut loading, if origin.is_none() => {
                let loaded = Arc::new(loaded.context("loading panicked")??);
                jobs = Some(Jobs::start(&loaded)?);
                let items = loaded.catalogue.len();
                let position = loaded.catalogue.position();
                warn_of_later_events(&loaded, config.clock.now.is_some());
                service.loaded(Arc::clone(&loaded));
                following = Some(follow(service, &loaded, mapping.take()).await?);
                origin = Some(loaded);
                let (public, admin) = (addresses.0.to_string(), addresses.1.to_string());
                info!(public, admin, items, position, "serving");
            }
            () = writer_stopped(origin.as_deref()) => {
                error!("{WRITER_STOPPED}");
                break;
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    info!("stopping: not ready any more, sources stop, open requests finish");
    service.drain();
    if let Some(following) = following {
        following.stop().await;
    }
    stop.send_replace(true);
    for listener in listeners {
        if let Err(error) = listener.await {
            warn!(%error, "a listener ended early");
        }
    }
    if let Some(jobs) = jobs {
        tokio::task::spawn_blocking(move || jobs.stop())
            .await
            .context("jobs cannot be stopped")?;
    }
    Ok(origin)
}

/// Follows the sources of `mapping`, and lets operators add others.
async fn follow(
    service: &Service,
    origin: &Origin,
    mapping: Option<Mapping>,
) -> anyhow::Result<Arc<Following>> {
    let (store, clock) = (Arc::clone(&origin.store), origin.clock.clone());
    let following = Arc::new(Following::new(store, origin.writer.clone(), clock));
    if let Some(mapping) = mapping {
        following.follow(mapping).await?;
    }
    service.follows(Arc::clone(&following));
    Ok(following)
}

/// Returns once the origin's writer has given up; never before there is one.
async fn writer_stopped(origin: Option<&Origin>) {
    match origin {
        Some(origin) => origin.writer.stopped().await,
        None => std::future::pending().await,
    }
}

/// Says whether the `user` parameter counts without a token, and why.
fn say_who_names_users(config: &Config) {
    let listen = config.serve.listen;
    let why = match config.auth.plain_user {
        Some(_) => "auth.plain_user says so",
        None => "auth.plain_user is not set and follows from the public address",
    };
    match config.plain_user() {
        PlainUser::Allow => info!(%listen, why, "the user parameter counts without a token"),
        PlainUser::Deny => info!(%listen, why, "the user parameter needs a signed token"),
    }
}

/// Warns where a replay begins before the newest of the stored events.
fn warn_of_later_events(origin: &Origin, is_replay: bool) {
    let now_ms = origin.clock.domain_ms();
    let Some(newest_ms) = origin.catalogue.newest_event_ms() else {
        return;
    };
    if is_replay && newest_ms > now_ms {
        warn!(
            now_ms,
            newest_event_ms = newest_ms,
            "--now is before the newest stored event: items with later events are in no hot list \
             until that time comes; use a later --now or another data directory"
        );
    }
}

pub(crate) async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; stop what listens there or choose another {flag}")
    })
}

/// The address as a client on this machine reaches it.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    let loopback: std::net::IpAddr = if address.is_ipv4() {
        std::net::Ipv4Addr::LOCALHOST.into()
    } else {
        std::net::Ipv6Addr::LOCALHOST.into()
    };
    SocketAddr::new(loopback, address.port())
}

impl Config {
    /// The sources that `serve` follows: those of `replicate.mapping`.
    fn mapping(&self) -> anyhow::Result<Option<Mapping>> {
        let Some(path) = &self.replicate.mapping else {
            return Ok(None);
        };
        let overrides = Overrides {
            source: None,
            urls: Urls::of(crate::cli::environment()),
        };
        Ok(Some(load::load(path, &overrides)?))
    }

    /// The clock: the machine's, or a replay's.
    ///
    /// # Errors
    ///
    /// `clock.now` is no time.
    pub fn domain_clock(&self) -> anyhow::Result<Clock> {
        let wall_ms = Clock::system().wall_ms();
        let is_real_time = (self.clock.speed - 1.0).abs() < f64::EPSILON;
        match &self.clock.now {
            None if is_real_time => Ok(Clock::system()),
            None => Ok(Clock::replay(wall_ms, self.clock.speed)),
            Some(text) => {
                let now_ms = crate::time::parse(text).with_context(|| {
                    format!("clock.now `{text}` is no time; use RFC 3339 or Unix milliseconds")
                })?;
                Ok(Clock::replay(now_ms, self.clock.speed))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use edgewise_ranking::RankingConfig;
    use edgewise_wire::keys::Keys;

    use super::*;
    use crate::ingest::Command;
    use crate::ingest::testing::{Flaky, NOW_MS};
    use crate::store::RedbStore;

    #[tokio::test]
    async fn a_server_whose_store_takes_no_writes_ends_with_an_error() {
        let config = Config::default();
        let service = Service::new(&config, AdminToken::new("an-admin-token-for-tests"));
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listeners = [
            bind(any, "--listen").await.unwrap(),
            bind(any, "--admin-listen").await.unwrap(),
        ];
        let store = Arc::new(Flaky::new(RedbStore::in_memory().unwrap()));
        let disk = Arc::clone(&store);
        let (loaded, writer) = tokio::sync::oneshot::channel();
        let load = move || {
            let model =
                ServingModel::new(RankingConfig::default(), Vec::new()).expect("the formula");
            let keys = Keys::from_secret("t1", &[7; 32]).unwrap();
            let origin = Origin::load(store, Clock::manual(NOW_MS), model, keys)?;
            let _ = loaded.send(origin.writer.clone());
            Ok(origin)
        };
        let client = tokio::spawn(async move {
            let writer = writer.await.unwrap();
            disk.fail_before.store(u32::MAX, Ordering::Relaxed);
            let reply = writer.submit(Command::DeleteUser("u".to_owned())).unwrap();
            assert!(reply.await.unwrap().is_err());
        });
        let served = serve(&config, &service, listeners, None, load);
        let served = tokio::time::timeout(Duration::from_secs(20), served).await;
        let origin = served.expect("it ends by itself").unwrap().unwrap();
        client.await.unwrap();
        let error = finish(&origin).unwrap_err().to_string();
        assert!(error.contains("takes no more writes"), "{error}");
    }
}
