//! Listeners: accepts connections within limits and drains them at shutdown.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::{counter, gauge};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tower::Service;
use tracing::{debug, warn};

use crate::telemetry::{HTTP_CONNECTIONS, HTTP_CONNECTIONS_REFUSED_TOTAL};

/// Where a request came from; an extension of every request.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddr(pub SocketAddr);

/// Limits of a listener.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// One permit a connection; may be shared by listeners.
    pub connections: Arc<Semaphore>,
    /// Connections held open at once of one client address (IPv6: one /64 network).
    pub per_client: usize,
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
    let clients = Clients::new(limits.per_client);
    loop {
        let accepted = tokio::select! {
            () = stopped(&mut shutdown) => break,
            Some(_) = tasks.join_next(), if !tasks.is_empty() => continue,
            accepted = accept(&listener, &limits.connections) => accepted,
        };
        let Some((stream, addr, permit)) = accepted else {
            continue;
        };
        // One client that takes every connection must not lock out the others.
        let Some(client) = clients.enter(addr.ip()) else {
            counter!(HTTP_CONNECTIONS_REFUSED_TOTAL).increment(1);
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
            let (_permit, _client) = (permit, client);
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

/// Open connections by client; bounded by the listener's connections.
#[derive(Clone)]
struct Clients {
    max: usize,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A client's open connection; counted until it is dropped.
struct Entered {
    clients: Clients,
    client: IpAddr,
}

impl Clients {
    fn new(max: usize) -> Self {
        let open = Arc::default();
        Self { max, open }
    }

    /// Counts a connection from `address`; `None` where its client has as many as it may.
    fn enter(&self, address: IpAddr) -> Option<Entered> {
        let client = client_of(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(client).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(Entered {
            clients: self.clone(),
            client,
        })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut open = self
            .clients
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let left = open.get(&self.client).map_or(0, |count| count - 1);
        if left == 0 {
            open.remove(&self.client);
        } else {
            open.insert(self.client, left);
        }
    }
}

/// Who an address counts as: a subscriber of IPv6 has a whole /64.
fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_so_many_connections_and_no_more() {
        let clients = Clients::new(2);
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let first = clients.enter(one).unwrap();
        let second = clients.enter("::ffff:192.0.2.1".parse().unwrap()).unwrap();
        assert!(clients.enter(one).is_none());
        let network = |end| format!("2001:db8::{end}").parse().unwrap();
        let _others = [
            clients.enter(network(1)).unwrap(),
            clients.enter(network(2)).unwrap(),
        ];
        assert!(clients.enter(network(3)).is_none());
        drop(first);
        let third = clients.enter(one).unwrap();
        assert!(clients.enter(one).is_none());
        drop(third);
        drop(second);
        assert_eq!(clients.open.lock().unwrap().len(), 1);
    }
}
