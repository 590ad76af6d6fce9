//! `edgewise serve`: opens, loads, listens, and stops in the right order.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tracing::{info, warn};

use crate::clock::Clock;
use crate::config::Config;
use crate::http::connections::{self, ConnectionLimits};
use crate::http::{AdminToken, Service, admin_router, public_router};
use crate::jobs::Jobs;
use crate::model::ServingModel;
use crate::origin::Origin;
use crate::store::{RedbStore, Store};
use crate::{secrets, telemetry};

/// File in the data directory by which other commands find the running server.
const SERVE_FILE: &str = "serve.json";

/// Connections of the admin listener held open at once.
const ADMIN_CONNECTIONS_MAX: usize = 256;

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

    fn write(&self, data: &Path) -> anyhow::Result<ServeFile> {
        let path = data.join(SERVE_FILE);
        secrets::write_private(&path, &serde_json::to_string(self)?)?;
        Ok(ServeFile(path))
    }
}

/// Removes the description when the server has stopped.
struct ServeFile(PathBuf);

impl Drop for ServeFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
///
/// The configuration, the store or a listener is no good; a sentence says which.
pub fn run(config: &Config) -> anyhow::Result<()> {
    telemetry::metrics_handle();
    let model = ServingModel::new(config.ranking_config()?);
    let clock = config.domain_clock()?;
    let data = &config.serve.data;
    let store: Arc<dyn Store> = Arc::new(RedbStore::open(data)?);
    let keys = secrets::token_keys(config.auth.token_keys.as_deref(), data)?;
    let token = secrets::admin_token(config.auth.admin_token.as_deref(), data)?;
    let service = Service::new(config, AdminToken::new(&token));
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
        serve(config, &service, [public, admin], move || {
            Origin::load(store, clock, model, keys)
        })
        .await
    })?;
    if let Some(origin) = origin {
        // The last in line: what was accepted is committed.
        origin.writer.stop();
    }
    info!("stopped");
    Ok(())
}

/// Serves on both listeners; returns the origin, whose writer still runs.
async fn serve(
    config: &Config,
    service: &Arc<Service>,
    [public, admin]: [TcpListener; 2],
    load: impl FnOnce() -> Result<Origin, crate::store::StoreError> + Send + 'static,
) -> anyhow::Result<Option<Arc<Origin>>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let limits = ConnectionLimits {
        connections: Arc::new(Semaphore::new(config.limits.connections)),
        header_timeout: Duration::from_millis(config.limits.header_timeout_ms),
        drain: Duration::from_millis(config.limits.drain_ms),
    };
    // Clients that take every public connection must not lock the operator out.
    let admin_limits = ConnectionLimits {
        connections: Arc::new(Semaphore::new(ADMIN_CONNECTIONS_MAX)),
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
    loop {
        tokio::select! {
            loaded = &mut loading, if origin.is_none() => {
                let loaded = Arc::new(loaded.context("loading panicked")??);
                jobs = Some(Jobs::start(&loaded)?);
                let items = loaded.catalogue.len();
                let position = loaded.catalogue.position();
                service.loaded(Arc::clone(&loaded));
                origin = Some(loaded);
                let (public, admin) = (addresses.0.to_string(), addresses.1.to_string());
                info!(public, admin, items, position, "serving");
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    info!("stopping: not ready any more, open requests finish");
    service.drain();
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

async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; stop what listens there or choose another {flag}")
    })
}

/// The address as a client on this machine reaches it.
fn reachable(address: SocketAddr) -> SocketAddr {
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
