//! A TCP proxy that breaks connections on command.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt};

/// How often a port is chosen where another process takes it.
const STARTS: usize = 20;
/// Connections at a time; further ones are reset.
const MAX_CONNECTIONS: usize = 256;
/// What one direction of a connection holds in memory.
const BUFFER_BYTES: usize = 64 * 1024;
/// How soon a direction whose receiver takes nothing notices that it was cut.
const TICK: Duration = Duration::from_millis(50);

/// What went through, up to now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that were forwarded.
    pub accepted: u64,
    /// Connections that were reset at once: refused, too many, or no server behind.
    pub refused: u64,
    /// Connections that were cut.
    pub cut: u64,
    /// Bytes let through from clients to the server.
    pub up_bytes: u64,
    /// Bytes let through from the server to clients.
    pub down_bytes: u64,
}

/// Forwards a port of the loopback interface to a server; stops with the value.
pub struct FaultProxy {
    /// The port that clients connect to.
    pub port: u16,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    upstream: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
    refuse: AtomicBool,
    stop: AtomicBool,
    accepted: AtomicU64,
    refused: AtomicU64,
    cut: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
}

#[derive(Default)]
struct State {
    links: Vec<Arc<Link>>,
    /// Nothing is forwarded before.
    stall: Option<Stall>,
    /// Bytes until everything is cut.
    budget: Option<u64>,
    /// Changes what servers say.
    tamper: Option<Tamper>,
}

/// Looks at what a server says as it comes, and may change it. True = it is done.
type Tamper = Box<dyn FnMut(&mut [u8]) -> bool + Send>;

#[derive(Clone, Copy)]
enum Stall {
    UntilResumed,
    Until(Instant),
}

/// A client's connection and its twin to the server.
struct Link {
    client: TcpStream,
    server: TcpStream,
    cut: AtomicBool,
}

impl FaultProxy {
    /// Starts a proxy before `127.0.0.1:upstream`.
    ///
    /// # Panics
    /// Where it cannot listen.
    #[must_use]
    pub fn start(upstream: u16) -> Self {
        // Another process may have taken the port since it was found free.
        let listener = (0..STARTS).find_map(|_| {
            let address = ("127.0.0.1", super::free_port());
            TcpListener::bind(address).ok()
        });
        Self::on(listener.expect("a port is free"), upstream)
    }

    /// Starts a proxy on `port` before `127.0.0.1:upstream`.
    ///
    /// # Panics
    /// Where it cannot listen.
    #[must_use]
    pub fn start_at(port: u16, upstream: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
        Self::on(listener, upstream)
    }

    fn on(listener: TcpListener, upstream: u16) -> Self {
        let address = listener.local_addr().expect("it is bound");
        let port = address.port();
        let shared = Arc::new(Shared {
            upstream: SocketAddr::from(([127, 0, 0, 1], upstream)),
            state: Mutex::default(),
            changed: Condvar::new(),
            refuse: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
        });
        let own = Arc::clone(&shared);
        let acceptor = named("proxy", move || accept(&listener, &own));
        Self {
            port,
            shared,
            acceptor: Some(acceptor),
        }
    }

    /// Resets all connections.
    pub fn cut(&self) {
        self.shared.cut_all(&mut self.shared.state());
    }

    /// Resets all connections once so many more bytes went through, both ways together.
    pub fn cut_after_bytes(&self, bytes: u64) {
        self.shared.state().budget = Some(bytes);
    }

    /// Stops forwarding both ways, without closing anything, until [`FaultProxy::resume`].
    pub fn stall(&self) {
        self.shared.state().stall = Some(Stall::UntilResumed);
    }

    /// Stops forwarding for so long.
    pub fn stall_for(&self, time: Duration) {
        self.shared.state().stall = Some(Stall::Until(Instant::now() + time));
    }

    /// Forwards again.
    pub fn resume(&self) {
        self.shared.state().stall = None;
        self.shared.changed.notify_all();
    }

    /// Lets `tamper` change what servers send to clients, piece by piece as it arrives, until it
    /// returns true.
    pub fn tamper(&self, tamper: impl FnMut(&mut [u8]) -> bool + Send + 'static) {
        self.shared.state().tamper = Some(Box::new(tamper));
    }

    /// Whether the last tampering is done.
    #[must_use]
    pub fn tampered(&self) -> bool {
        self.shared.state().tamper.is_none()
    }

    /// Whether new connections are reset at once.
    pub fn refuse(&self, refuse: bool) {
        self.shared.refuse.store(refuse, Ordering::SeqCst);
    }

    /// What went through.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        Counts {
            accepted: read(&self.shared.accepted),
            refused: read(&self.shared.refused),
            cut: read(&self.shared.cut),
            up_bytes: read(&self.shared.up),
            down_bytes: read(&self.shared.down),
        }
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the acceptor.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        self.cut();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut_all(&self, state: &mut State) {
        state.budget = None;
        for link in state.links.drain(..) {
            link.cut.store(true, Ordering::SeqCst);
            // Closing then resets; both directions wake up from reading and let go.
            for stream in [&link.client, &link.server] {
                reset_on_close(stream);
                let _ = stream.shutdown(Shutdown::Read);
            }
            self.cut.fetch_add(1, Ordering::SeqCst);
        }
        self.changed.notify_all();
    }

    /// Waits while forwarding is stalled, then takes `bytes` off the budget. How many may go
    /// through; the connection is cut after them where it is fewer.
    fn pass(&self, link: &Link, bytes: usize) -> usize {
        let mut state = self.state();
        while let Some(stall) = state.stall {
            if link.cut.load(Ordering::SeqCst) {
                return 0;
            }
            let rest = match stall {
                Stall::UntilResumed => TICK,
                Stall::Until(end) => end.saturating_duration_since(Instant::now()),
            };
            if rest.is_zero() {
                state.stall = None;
                break;
            }
            let waited = self.changed.wait_timeout(state, rest.min(TICK));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let Some(budget) = &mut state.budget else {
            return bytes;
        };
        let passed = bytes.min(usize::try_from(*budget).unwrap_or(usize::MAX));
        *budget -= passed as u64;
        passed
    }

    /// Changes what the server says where somebody wants that.
    fn distort(&self, said: &mut [u8]) {
        let mut state = self.state();
        if state.tamper.as_mut().is_some_and(|tamper| tamper(said)) {
            state.tamper = None;
        }
    }

    /// Cuts everything where the budget is used up.
    fn spend(&self) {
        let mut state = self.state();
        if state.budget == Some(0) {
            self.cut_all(&mut state);
        }
    }
}

/// Accepts until it is told to stop.
fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok(client) = client else {
            // Out of file handles, say: do not spin.
            std::thread::sleep(TICK);
            continue;
        };
        let full = shared.state().links.len() >= MAX_CONNECTIONS;
        let server = (!full && !shared.refuse.load(Ordering::SeqCst))
            .then(|| TcpStream::connect_timeout(&shared.upstream, Duration::from_secs(2)));
        let Some(Ok(server)) = server else {
            shared.refused.fetch_add(1, Ordering::SeqCst);
            reset_on_close(&client);
            continue;
        };
        for stream in [&client, &server] {
            let _ = stream.set_nodelay(true);
            let _ = stream.set_write_timeout(Some(TICK));
        }
        let link = Arc::new(Link {
            client,
            server,
            cut: AtomicBool::new(false),
        });
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        shared.state().links.push(Arc::clone(&link));
        let both = (Arc::clone(&link), Arc::clone(shared));
        named("proxy up", move || {
            let (link, shared) = both;
            forward(&link, &link.client, &link.server, &shared, &shared.up);
        });
        let shared = Arc::clone(shared);
        named("proxy down", move || {
            forward(&link, &link.server, &link.client, &shared, &shared.down);
            // The server has said all: the connection is over.
            let _ = link.client.shutdown(Shutdown::Read);
            shared
                .state()
                .links
                .retain(|other| !Arc::ptr_eq(other, &link));
        });
    }
}

/// Forwards one direction until its end or a cut.
fn forward(link: &Link, from: &TcpStream, to: &TcpStream, shared: &Shared, count: &AtomicU64) {
    let mut buffer = vec![0; BUFFER_BYTES];
    let (mut source, mut sink) = (from, to);
    loop {
        let read = match source.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Ok(read @ 1..) => read,
            _ => break,
        };
        if std::ptr::eq(count, &shared.down) {
            shared.distort(&mut buffer[..read]);
        }
        let passed = shared.pass(link, read);
        // Counted first: who has received them finds them counted.
        count.fetch_add(passed as u64, Ordering::SeqCst);
        let mut rest = &buffer[..passed];
        while !rest.is_empty() && !link.cut.load(Ordering::SeqCst) {
            match sink.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                    ) => {}
                Err(_) => {
                    // The receiver is gone: so is the sender's connection.
                    let _ = source.shutdown(Shutdown::Both);
                    return;
                }
            }
        }
        shared.spend();
        if link.cut.load(Ordering::SeqCst) {
            return;
        }
    }
    if !link.cut.load(Ordering::SeqCst) {
        let _ = sink.shutdown(Shutdown::Write);
    }
}

/// Makes closing send a reset instead of an orderly end.
fn reset_on_close(stream: &TcpStream) {
    let at_once = linger {
        l_onoff: 1,
        l_linger: 0,
    };
    let _ = setsockopt(stream, sockopt::Linger, &at_once);
}

fn named(name: &str, run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(run).expect("a thread can be started")
}
