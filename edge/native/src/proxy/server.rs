//! Threads, listeners and the end: each thread has its own listener (`SO_REUSEPORT`), its own
//! runtime and its own connections to the origin.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hyper::Uri;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};

use super::connection::Connection;
use super::handle::{Proxy, Worker, handle};
use super::live::Budget;
use super::options::{ARRIVING_SHARE, HEAD_BYTES_MAX, HEADER_LINES_MAX, Limits, Options};
use super::protect::Protection;
use super::shard::Shards;
use super::upstream::Upstream;

/// Connections that wait to be accepted, for each thread.
const BACKLOG: u32 = 4_096;

/// A pause after a failed accept: descriptors may have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running proxy.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts listening.
    ///
    /// # Errors
    /// The origin's URL cannot be used, or the address cannot be listened on.
    pub fn start(mut options: Options) -> Result<Self> {
        let origin_authority = check(&options.origin)?;
        // The same library as everywhere; another dependency may have chosen before.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let threads = options.threads.max(1);
        let (stop, stopped) = watch::channel(false);
        let proxy = Arc::new(Proxy {
            shards: Shards::new(options.cache, options.memory_bytes),
            arriving: Arc::new(Budget::new(options.memory_bytes / ARRIVING_SHARE)),
            protection: Arc::new(Protection::new(options.limits.origin_requests_max)),
            origin_authority,
            options: options.clone(),
        });
        let connections = Arc::new(Semaphore::new(options.limits.connections_max));
        let mut running = Vec::new();
        for number in 0..threads {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("a runtime")?;
            let listener = {
                let _inside = runtime.enter();
                bind(options.listen).with_context(|| format!("{}", options.listen))?
            };
            // The others share the port that the first was given.
            options.listen = listener.local_addr()?;
            let thread = Thread {
                proxy: Arc::clone(&proxy),
                connections: Arc::clone(&connections),
                stopped: stopped.clone(),
            };
            running.push(
                std::thread::Builder::new()
                    .name(format!("edge-{number}"))
                    .spawn(move || runtime.block_on(thread.serve(listener)))?,
            );
        }
        Ok(Self {
            address: options.listen,
            stop,
            threads: running,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for SIGTERM or SIGINT, then drains.
    ///
    /// # Errors
    /// Signals cannot be waited for.
    pub fn run_until_signal(self) -> Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            io::Result::Ok(())
        })?;
        tracing::info!("draining");
        self.stop();
        Ok(())
    }

    /// Stops accepting, lets open requests finish within their time, and ends.
    pub fn stop(self) {
        self.stop.send_replace(true);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the proxy panicked");
            }
        }
    }
}

fn check(origin: &Uri) -> Result<String> {
    let (Some(scheme), Some(authority)) = (origin.scheme_str(), origin.authority()) else {
        bail!("the origin {origin} needs a scheme and a host");
    };
    if !matches!(scheme, "http" | "https") {
        bail!("the origin {origin} is neither http nor https");
    }
    if origin.path() != "/" || origin.query().is_some() || authority.as_str().contains('@') {
        bail!("the origin {origin} may have a host and a port, and nothing else");
    }
    Ok(authority.as_str().to_owned())
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// One thread's share.
struct Thread {
    proxy: Arc<Proxy>,
    connections: Arc<Semaphore>,
    stopped: watch::Receiver<bool>,
}

impl Thread {
    async fn serve(mut self, listener: TcpListener) {
        let limits = self.proxy.options.limits;
        let worker = Arc::new(Worker {
            upstream: Upstream::new(&self.proxy.options),
            proxy: Arc::clone(&self.proxy),
        });
        // Each connection holds a sender: when all are gone, so are the connections.
        let (open, mut closed) = mpsc::channel::<()>(1);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = self.stopped.changed() => break,
            };
            let (stream, client) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let permit = tokio::select! {
                permit = Arc::clone(&self.connections).acquire_owned() => permit,
                _ = self.stopped.changed() => break,
            };
            let Ok(permit) = permit else { break };
            let (worker, stopped, open) = (Arc::clone(&worker), self.stopped.clone(), open.clone());
            tokio::spawn(async move {
                connection(worker, stream, client, stopped, limits).await;
                drop((permit, open));
            });
        }
        drop((listener, open));
        if tokio::time::timeout(limits.drain, closed.recv())
            .await
            .is_err()
        {
            tracing::warn!("connections were still open when the time to drain was over");
        }
    }
}

async fn connection(
    worker: Arc<Worker>,
    stream: TcpStream,
    client: SocketAddr,
    mut stopped: watch::Receiver<bool>,
    limits: Limits,
) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let wire = Connection::new(stream, limits.client_idle);
    let io = TokioIo::new(wire.clone());
    let service = service_fn(move |request| {
        let (worker, wire) = (Arc::clone(&worker), wire.clone());
        async move {
            Ok::<_, std::convert::Infallible>(handle(&worker, request, client.ip(), &wire).await)
        }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.client_idle)
        .max_header_size(HEAD_BYTES_MAX)
        .max_headers(HEADER_LINES_MAX)
        .serve_connection(io, service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        _ = stopped.changed() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
