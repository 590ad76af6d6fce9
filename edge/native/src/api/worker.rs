//! One worker: a thread with its own runtime, listener and core. Nothing is shared between
//! workers but the stores, so a warm answer takes no lock.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::{IpAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use edgewise_edge_core::{Answer, Config, Edge, Effect, Output, Request as CoreRequest};
use edgewise_wire::problem::Problem;
use futures_util::FutureExt;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::{Counter, counter};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::task::{LocalSet, spawn_local};
use tracing::{debug, warn};

use super::assets::Assets;
use super::client::TrustedFronts;
use super::effects::{Services, perform_all};
use super::guard::Guarded;
use super::head;
use super::respond::{self, Answered};
use super::stats::Published;
use super::zones::Zones;
use crate::drain::{Phase, Tasks, draining};
use crate::limits::{
    BODIES_MAX, BODY_BYTES_MAX, BODY_TIMEOUT, HEAD_BYTES_MAX, HEADERS_MAX, KV_READERS_MAX,
};
use crate::listen::Connections;
use crate::now;
use crate::telemetry::SHED_TOTAL;

/// After the system refused a connection (out of descriptors), the next try waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// Counters of the core are published this often.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);

/// What all workers share.
pub(crate) struct Shared {
    /// JSON of the core's configuration; read once already, so it is right.
    pub(crate) config: String,
    pub(crate) services: Services,
    pub(crate) assets: Assets,
    pub(crate) fronts: TrustedFronts,
    pub(crate) connections: Arc<Connections>,
    pub(crate) bodies: AtomicUsize,
    pub(crate) phase: watch::Receiver<Phase>,
    /// A connection that sends nothing, or not all of its headers, is closed after this.
    pub(crate) idle: Duration,
    /// Open requests get this long after the last connection was accepted.
    pub(crate) drain: Duration,
}

struct Worker {
    shared: Arc<Shared>,
    core: RefCell<Guarded<Edge>>,
    random: RefCell<StdRng>,
    zones: RefCell<Zones>,
    tasks: Tasks,
    answered: Answered,
    shed: Counter,
}

/// A request that waits for effects.
struct Waiting {
    generation: u32,
    handle: u32,
    effects: Vec<Effect>,
}

/// Serves until the process drains and what is open is done.
///
/// # Errors
/// The system gives the thread no runtime, or does not take the listener.
pub(crate) fn run(shared: Arc<Shared>, listener: TcpListener) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(KV_READERS_MAX)
        .enable_all()
        .build()?;
    let local = LocalSet::new();
    local.block_on(&runtime, async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let worker = Rc::new(Worker::new(shared));
        spawn_local(Rc::clone(&worker).publish());
        worker.serve(listener).await;
        Ok(())
    })
}

/// A core of this configuration.
fn edge(config: &str) -> Edge {
    Edge::new(Config::from_json(config.as_bytes()).expect("it was read at start"))
}

impl Worker {
    fn new(shared: Arc<Shared>) -> Self {
        let config = shared.config.clone();
        Self {
            shared,
            core: RefCell::new(Guarded::new(move || edge(&config))),
            random: RefCell::new(StdRng::from_os_rng()),
            zones: RefCell::default(),
            tasks: Tasks::default(),
            answered: Answered::new(),
            shed: counter!(SHED_TOTAL, "what" => "body"),
        }
    }

    async fn serve(self: Rc<Self>, listener: tokio::net::TcpListener) {
        let mut phase = self.shared.phase.clone();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.take(stream, peer.ip()),
                    Err(error) => {
                        debug!(%error, "a connection could not be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                () = draining(&mut phase) => break,
            }
        }
        // Who is in the queue already was promised an answer.
        while let Some(Ok((stream, peer))) = listener.accept().now_or_never() {
            self.take(stream, peer.ip());
        }
        drop(listener);
        let left = self.tasks.finish(self.shared.drain).await;
        if left > 0 {
            warn!(left, "what was still open after the drain time was cut");
        }
    }

    /// Serves a connection in a task of its own, where there is room for it.
    fn take(self: &Rc<Self>, stream: TcpStream, peer: IpAddr) {
        let Some(admitted) = self.shared.connections.admit(&stream) else {
            return;
        };
        let (worker, task) = (Rc::clone(self), self.tasks.begin());
        spawn_local(async move {
            worker.connection(stream, peer).await;
            drop((admitted, task));
        });
    }

    async fn connection(self: Rc<Self>, stream: TcpStream, peer: IpAddr) {
        let mut phase = self.shared.phase.clone();
        let service = service_fn(|request| {
            let worker = Rc::clone(&self);
            async move {
                let response = Rc::clone(&worker).respond(request, peer).await;
                worker.answered.count(&response);
                Ok::<_, Infallible>(response.map(Full::new))
            }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.shared.idle)
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(served);
        let ended = tokio::select! {
            ended = served.as_mut() => ended,
            () = draining(&mut phase) => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        };
        if let Err(error) = ended {
            debug!(%error, "a connection ended");
        }
    }

    async fn respond(self: Rc<Self>, request: Request<Incoming>, peer: IpAddr) -> Response<Bytes> {
        let (head, body) = request.into_parts();
        let body = if body.is_end_stream() {
            Bytes::new()
        } else {
            match self.read(body).await {
                Ok(body) => body,
                Err(response) => return *response,
            }
        };
        let path = head.uri.path();
        let query = head.uri.query().unwrap_or_default();
        if path == "/readyz" && *self.shared.phase.borrow() != Phase::Serving {
            return respond::problem(&Problem::unavailable("this edge is draining", 1));
        }
        let client = self.shared.fronts.client(peer, &head.headers);
        let wall_ms = now::wall_ms();
        let (timezone, utc_offset_minutes) = self
            .zones
            .borrow_mut()
            .of(path, query, client.timezone, wall_ms)
            .unwrap_or_default();
        let ip = client.ip.to_string();
        let asked = CoreRequest {
            method: head.method.as_str(),
            path,
            query,
            wall_ms,
            random: self.random.borrow_mut().random(),
            client_ip: &ip,
            country: client.country,
            region: client.region,
            timezone: &timezone,
            utc_offset_minutes,
            headers: &head::lines(&head.headers),
        };
        match self.start(&asked, &body) {
            Started::Asset => {
                let mut file = self.shared.assets.answer(path, &head.headers);
                if head.method == Method::HEAD {
                    let length = file.body().len();
                    file.headers_mut().insert("content-length", length.into());
                    *file.body_mut() = Bytes::new();
                }
                file
            }
            Started::Answered(answer) => respond::of(answer),
            Started::Waits(answer) => match answer.await {
                Ok(answer) => respond::of(answer),
                Err(_) => respond::problem(&Problem::internal()),
            },
            Started::Lost => respond::problem(&Problem::internal()),
        }
    }

    /// The body, cut one byte after what the core takes; a slow one is a 408.
    async fn read(&self, body: Incoming) -> Result<Bytes, Box<Response<Bytes>>> {
        let reading = Reading::begin(&self.shared.bodies);
        if reading.before >= BODIES_MAX {
            self.shed.increment(1);
            let problem = Problem::unavailable("too many bodies are being read", 1);
            return Err(Box::new(respond::problem(&problem)));
        }
        match tokio::time::timeout(BODY_TIMEOUT, whole(body)).await {
            Ok(Ok(body)) => Ok(body),
            // The client is gone or late: nobody may be there to read this.
            Ok(Err(_)) | Err(_) => Err(Box::new(respond::incomplete())),
        }
    }

    fn start(self: &Rc<Self>, asked: &CoreRequest<'_>, body: &[u8]) -> Started {
        let mut core = self.core.borrow_mut();
        let generation = core.generation();
        let Ok(output) = core.call(generation, |edge| edge.start(asked, body)) else {
            return Started::Lost;
        };
        drop(core);
        if output.asset {
            return Started::Asset;
        }
        let Output {
            handle,
            answer,
            effects,
            done,
            ..
        } = output;
        let waiting = Waiting {
            generation,
            handle,
            effects,
        };
        match (answer, done) {
            (Some(answer), true) => Started::Answered(answer),
            (Some(answer), false) => {
                spawn_local(Rc::clone(self).drive(waiting, None));
                Started::Answered(answer)
            }
            (None, false) => {
                // Not the connection's future: a client that goes away must leave no request
                // half done in the core, where others wait for what it loads.
                let (reply, answer) = oneshot::channel();
                spawn_local(Rc::clone(self).drive(waiting, Some(reply)));
                Started::Waits(answer)
            }
            (None, true) => Started::Lost,
        }
    }

    /// Does effects and resumes until nothing follows.
    async fn drive(
        self: Rc<Self>,
        mut waiting: Waiting,
        mut reply: Option<oneshot::Sender<Answer>>,
    ) {
        let _task = self.tasks.begin();
        loop {
            let effects = std::mem::take(&mut waiting.effects);
            let outcomes = perform_all(&self.shared.services, effects).await;
            let results: Vec<_> = outcomes
                .iter()
                .enumerate()
                .map(|(index, outcome)| outcome.view(index))
                .collect();
            let (handle, wall_ms) = (waiting.handle, now::wall_ms());
            let resumed = self.core.borrow_mut().call(waiting.generation, |edge| {
                edge.resume(handle, wall_ms, &results)
            });
            // A lost core answers nobody: the dropped sender is a 500.
            let Ok(output) = resumed else { return };
            if let Some(answer) = output.answer
                && let Some(reply) = reply.take()
            {
                let _ = reply.send(answer);
            }
            if output.done {
                return;
            }
            waiting.handle = output.handle;
            waiting.effects = output.effects;
        }
    }

    /// Brings what the core counts to the metrics, as long as the worker lives.
    async fn publish(self: Rc<Self>) {
        let mut published = Published::new();
        loop {
            tokio::time::sleep(PUBLISH_EVERY).await;
            let mut core = self.core.borrow_mut();
            let generation = core.generation();
            if let Ok(stats) = core.call(generation, |edge| edge.stats()) {
                published.publish(generation, &stats);
            }
        }
    }
}

/// How a request began.
enum Started {
    Asset,
    Answered(Answer),
    Waits(oneshot::Receiver<Answer>),
    /// The core panicked.
    Lost,
}

/// A body that is being read; counted until it is dropped.
struct Reading<'a> {
    open: &'a AtomicUsize,
    before: usize,
}

impl<'a> Reading<'a> {
    fn begin(open: &'a AtomicUsize) -> Self {
        let before = open.fetch_add(1, Ordering::Relaxed);
        Self { open, before }
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn whole(mut body: Incoming) -> Result<Bytes, hyper::Error> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            let room = BODY_BYTES_MAX - read.len();
            read.extend_from_slice(data.get(..room).unwrap_or(data));
            if read.len() >= BODY_BYTES_MAX {
                break;
            }
        }
    }
    Ok(read.into())
}
