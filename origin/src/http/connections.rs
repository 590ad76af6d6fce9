//! Listeners: accepts connections within limits and drains them at shutdown.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tower::Service;
use tracing::{debug, warn};

use crate::telemetry::HTTP_CONNECTIONS;

/// Where a request came from; an extension of every request.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddr(pub SocketAddr);

/// Limits of a listener.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// One permit a connection; may be shared by listeners.
    pub connections: Arc<Semaphore>,
    /// A connection that has not sent its headers is closed after this.
    pub header_timeout: Duration,
    /// Time given to open requests once `shutdown` turns true.
    pub drain: Duration,
}

/// Serves `router` until `shutdown` turns true, then drains.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stopped(&mut shutdown) => break,
            Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
            accepted = accept(&listener, &limits.connections) => accepted,
        };
        let Some((stream, addr, permit)) = accepted else {
            continue;
        };
        let connection = connection(
            stream,
            addr,
            router.clone(),
            limits.header_timeout,
            shutdown.clone(),
        );
        tasks.spawn(async move {
            let _permit = permit;
            gauge!(HTTP_CONNECTIONS).increment(1.0);
            connection.await;
            gauge!(HTTP_CONNECTIONS).decrement(1.0);
        });
    }
    // Nobody may connect to a listener that nobody answers.
    drop(listener);
    let drained = tokio::time::timeout(limits.drain, async {
        while tasks.join_next().await.is_some() {}
    });
    if drained.await.is_err() {
        warn!(
            connections = tasks.len(),
            "requests still open after the drain time were cut"
        );
        tasks.shutdown().await;
    }
}

/// The next connection; `None` where the system refused one (out of descriptors, reset).
async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    // The permit comes first: at the limit, connections wait in the kernel's backlog.
    let permit = Arc::clone(connections).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, addr)) => {
            let _ = stream.set_nodelay(true);
            Some((stream, addr, permit))
        }
        Err(error) => {
            debug!(%error, "a connection could not be accepted");
            // Out of descriptors does not pass at once.
            tokio::time::sleep(Duration::from_millis(20)).await;
            None
        }
    }
}

async fn connection(
    stream: TcpStream,
    addr: SocketAddr,
    router: Router,
    header_timeout: Duration,
    mut shutdown: watch::Receiver<bool>,
) {
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ClientAddr(addr));
        router.clone().call(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    let result = tokio::select! {
        result = served.as_mut() => result,
        () = stopped(&mut shutdown) => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = result {
        debug!(%error, "connection ended");
    }
}

/// Returns once the service stops (or whoever could say so is gone).
pub(crate) async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|&stop| stop).await;
}
