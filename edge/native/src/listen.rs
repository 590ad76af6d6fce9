//! Listeners: one a worker on the same address, connections within a limit.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use metrics::{Counter, Gauge, counter, gauge};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpStream;

use crate::limits::{BACKLOG, UNREAD_TIMEOUT};
use crate::telemetry::{CONNECTIONS, SHED_TOTAL};

/// What a connection over the limit is told.
const SHED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\n\
connection: close\r\n\r\n";

/// `count` listeners on one address, among which the kernel spreads connections
/// (`SO_REUSEPORT`), so that workers share no accept queue.
///
/// # Errors
/// The address is taken, or is not this host's.
pub(crate) fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    // A second process would silently take a share of the connections: the first bind, without
    // sharing, finds it.
    let address = socket(address, false)?.local_addr()?;
    (0..count).map(|_| socket(address, true)).collect()
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    if shared {
        socket.listen(BACKLOG)?;
    }
    Ok(socket.into())
}

/// The connections of all workers.
#[derive(Debug)]
pub(crate) struct Connections {
    open: AtomicUsize,
    max: usize,
    gauge: Gauge,
    shed: Counter,
}

/// An open connection; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Admitted(Arc<Connections>);

impl Connections {
    /// At most `max` at once.
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(0),
            max,
            gauge: gauge!(CONNECTIONS),
            shed: counter!(SHED_TOTAL, "what" => "connection"),
        })
    }

    /// Admits a connection, or tells it to come back and closes it.
    pub(crate) fn admit(self: &Arc<Self>, stream: &TcpStream) -> Option<Admitted> {
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        let admitted = Admitted(Arc::clone(self));
        self.gauge.increment(1.0);
        if before >= self.max {
            self.shed.increment(1);
            // Fits the empty send buffer of a new connection.
            let _ = stream.try_write(SHED);
            return None;
        }
        let _ = stream.set_nodelay(true);
        let _ = SockRef::from(stream).set_tcp_user_timeout(Some(UNREAD_TIMEOUT));
        Some(admitted)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.gauge.decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_an_address_and_processes_do_not() {
        let address = "127.0.0.1:0".parse().expect("an address");
        let listeners = bind(address, 3).expect("a free port");
        let taken = listeners[0].local_addr().expect("bound");
        assert!(
            listeners
                .iter()
                .all(|one| one.local_addr().is_ok_and(|address| address == taken))
        );
        let error = bind(taken, 3).expect_err("it is taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
