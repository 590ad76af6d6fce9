//! Following without serving: this process has the store, an admin listener and nothing else.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tracing::{error, info, warn};

use super::super::config::Mapping;
use super::super::following::Following;
use crate::commands::start_writer;
use crate::config::Config;
use crate::http::connections::{self, ConnectionLimits};
use crate::http::{AdminToken, Service, follower_router};
use crate::serve::{ADMIN_CONNECTIONS_MAX, Running, WRITER_STOPPED, bind, reachable};
use crate::store::{RedbStore, Store};
use crate::{secrets, telemetry};

/// Follows `mapping` until SIGTERM or SIGINT, or until the store takes no more writes.
pub(super) fn run(config: &Config, store: RedbStore, mapping: Mapping) -> anyhow::Result<()> {
    telemetry::metrics_handle();
    let store: Arc<dyn Store> = Arc::new(store);
    let writer = start_writer(config, Arc::clone(&store))?;
    let clock = config.domain_clock()?;
    let following = Arc::new(Following::new(store, writer.clone(), clock));
    let followed = super::runtime()?.block_on(async {
        let token = secrets::admin_token(config.auth.admin_token.as_deref(), &config.serve.data)?;
        let admin = bind(config.serve.admin_listen, "--admin-listen").await?;
        let running = Running {
            admin_url: format!("http://{}", reachable(admin.local_addr()?)),
            token: token.clone(),
            pid: std::process::id(),
        };
        let _file = running.write(&config.serve.data)?;
        let service = Service::new(config, AdminToken::new(&token));
        service.follows(Arc::clone(&following));
        follow(config, &service, admin, &following, mapping).await
    });
    let wrote = writer.is_running();
    writer.stop();
    followed?;
    // A supervisor starts the process again, which opens the store again.
    ensure!(wrote, WRITER_STOPPED);
    info!("stopped");
    Ok(())
}

async fn follow(
    config: &Config,
    service: &Arc<Service>,
    admin: TcpListener,
    following: &Following,
    mapping: Mapping,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let address = admin.local_addr()?;
    let limits = ConnectionLimits {
        connections: Arc::new(Semaphore::new(ADMIN_CONNECTIONS_MAX)),
        per_client: ADMIN_CONNECTIONS_MAX,
        header_timeout: Duration::from_millis(config.limits.header_timeout_ms),
        drain: Duration::from_millis(config.limits.drain_ms),
    };
    let (stop, stopped) = watch::channel(false);
    let router = follower_router(service);
    let listener = tokio::spawn(connections::serve(admin, router, limits, stopped));
    following.follow(mapping).await?;
    info!(admin = %address, "following; edges and browsers are not served by this process");
    tokio::select! {
        () = following.writer.stopped() => error!("{WRITER_STOPPED}"),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    info!("stopping: sources apply what they have read");
    service.drain();
    following.stop().await;
    stop.send_replace(true);
    if let Err(error) = listener.await.context("the admin listener ended early") {
        warn!(%error);
    }
    Ok(())
}
