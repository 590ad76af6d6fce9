//! One request of a client, from its head to its answer.

use std::net::IpAddr;
use std::sync::Arc;

use edgewise_cache::cache_status::Handling;
use edgewise_cache::coalesce::Joined;
use edgewise_cache::{Decision, Forward, Reason, Request as Asked, Serve, vary};
use hyper::body::{Body, Incoming};
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::{Method, Request, StatusCode, Version};
use tokio::sync::oneshot;

use super::answer::{self, Answered};
use super::body::{AnswerBody, Passed};
use super::connection::Connection;
use super::failure::Failure;
use super::fetch::{Job, Outcome, run};
use super::flight::{Flight, Leading, News};
use super::headers::{self, Hop};
use super::live::Budget;
use super::options::{JOINS_MAX, Options};
use super::protect::Protection;
use super::request::{Asking, understand};
use super::shard::{Entry, Read, Shard, Shards};
use super::upstream::Upstream;
use crate::now::{random, wall_ms};

/// What all threads share.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) options: Options,
    pub(crate) shards: Shards,
    pub(crate) protection: Arc<Protection>,
    /// What bodies that arrive may hold.
    pub(crate) arriving: Arc<Budget>,
    pub(crate) origin_authority: String,
}

/// One thread.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) upstream: Upstream,
}

/// What a request does next.
enum Step {
    /// With the lead of a refresh, and the store's sequence at the lookup.
    Serve(Serve, Entry, Option<(Leading, u64)>),
    GatewayTimeout,
    Lead(Leading, Wanted),
    Follow(Arc<Flight>, Wanted),
    Alone(Wanted),
}

/// Why the origin is asked, and what is there already.
struct Wanted {
    forward: Forward,
    object: Option<Entry>,
    sequence: u64,
}

/// Answers a request.
pub(crate) async fn handle(
    worker: &Arc<Worker>,
    request: Request<Incoming>,
    client: IpAddr,
    connection: &Connection,
) -> Answered {
    let (parts, body) = request.into_parts();
    let asking = match understand(parts, client) {
        Ok(asking) => asking.for_origin(worker),
        Err((status, sentence)) => return answer::plain(status, sentence),
    };
    let body = (!body.is_end_stream()).then_some(body);
    if body.is_some() && matches!(asking.method, Method::GET | Method::HEAD) {
        // A body in a GET has no meaning that a key could hold.
        let wanted = Wanted::alone(Forward::alone(Reason::Bypass));
        return asking.fetch(worker, wanted, body, None, connection).await;
    }
    asking.answer(worker, body, connection).await
}

impl Wanted {
    const fn alone(forward: Forward) -> Self {
        Self {
            forward,
            object: None,
            sequence: 0,
        }
    }
}

impl Asking {
    async fn answer(
        self,
        worker: &Arc<Worker>,
        mut body: Option<Incoming>,
        connection: &Connection,
    ) -> Answered {
        // Fields that the answer turned out to be selected by.
        let mut names = None;
        for join in 0..=JOINS_MAX {
            let may_join = join < JOINS_MAX && body.is_none();
            let (flight, wanted) = match self.step(worker, names.as_deref(), may_join) {
                Step::Serve(serve, entry, refresh) => {
                    if let Some((leading, sequence)) = refresh {
                        self.refresh(worker, leading, &entry, sequence);
                    }
                    return self.hit(&entry, &serve);
                }
                Step::GatewayTimeout => return self.not_cached(),
                Step::Alone(wanted) => {
                    return self
                        .fetch(worker, wanted, body.take(), None, connection)
                        .await;
                }
                Step::Lead(leading, wanted) => {
                    let leading = Some(leading);
                    return self.fetch(worker, wanted, None, leading, connection).await;
                }
                Step::Follow(flight, wanted) => (flight, wanted),
            };
            match self.follow(worker, &flight, &wanted).await {
                Followed::Answered(answer) => return *answer,
                Followed::Another(selected_by) => names = Some(selected_by),
                Followed::Again => {}
                Followed::Alone => {
                    return self.fetch(worker, wanted, None, None, connection).await;
                }
            }
        }
        answer::plain(StatusCode::BAD_GATEWAY, "the origin does not answer\n")
    }

    /// Looks up, and takes a place in a flight where the origin is needed: one lock.
    fn step(&self, worker: &Arc<Worker>, names: Option<&[String]>, may_join: bool) -> Step {
        let fields = Read(&self.headers);
        let asked = self.asked(&fields);
        let now_ms = wall_ms();
        let mut shard = worker.proxy.shards.of(&self.key);
        let lookup = shard.cache.lookup(&asked, now_ms, random());
        let wanted = |forward, object| Wanted {
            forward,
            object,
            sequence: lookup.sequence,
        };
        match (lookup.decision, lookup.object) {
            (Decision::Serve(serve), Some(object)) => {
                let leading = serve
                    .refresh
                    .then(|| self.join(worker, &mut shard, names, now_ms))
                    .and_then(|joined| match joined {
                        Joined::Lead(_, leading) => Some(leading),
                        _ => None,
                    })
                    .and_then(Result::ok);
                let sequence = lookup.sequence;
                Step::Serve(serve, object, leading.map(|leading| (leading, sequence)))
            }
            (Decision::GatewayTimeout | Decision::Serve(_), _) => Step::GatewayTimeout,
            (Decision::Forward(forward), object) => {
                if !forward.share || !may_join {
                    return Step::Alone(wanted(forward, object));
                }
                match self.join(worker, &mut shard, names, now_ms) {
                    Joined::Lead(_, Ok(leading)) => Step::Lead(leading, wanted(forward, object)),
                    Joined::Follow(Err(flight)) => Step::Follow(flight, wanted(forward, object)),
                    _ => Step::Alone(wanted(forward, object)),
                }
            }
        }
    }

    /// Joins the flight for this key and these selecting fields: the lead, or the flight.
    fn join(
        &self,
        worker: &Arc<Worker>,
        shard: &mut Shard,
        names: Option<&[String]>,
        now_ms: i64,
    ) -> Joined<Result<Leading, Arc<Flight>>> {
        let stored_names;
        let names = match names {
            Some(names) => names,
            None => {
                stored_names = shard.cache.contents().selecting_names(&self.key);
                &stored_names
            }
        };
        let flight_key = if names.is_empty() {
            self.key.clone()
        } else {
            let signature = vary::signature(names, &Read(&self.headers));
            format!("{}\n{signature:016x}", self.key)
        };
        match shard.flights.join(&flight_key, now_ms, Flight::new) {
            Joined::Lead(number, flight) => Joined::Lead(
                number,
                Ok(Leading {
                    worker: Arc::clone(worker),
                    key: self.key.clone(),
                    flight_key,
                    number,
                    flight,
                    told: false,
                }),
            ),
            Joined::Follow(flight) => Joined::Follow(Err(flight)),
            Joined::Alone => Joined::Alone,
        }
    }

    pub(crate) fn asked<'a>(&'a self, fields: &'a Read<'a>) -> Asked<'a, Read<'a>> {
        Asked {
            method: self.method.as_str(),
            key: &self.key,
            fields,
        }
    }

    /// The request with the headers that the origin gets, but for conditions and ranges: what
    /// is looked up, shared and stored is told apart by what the origin sees.
    fn for_origin(mut self, worker: &Worker) -> Self {
        let origin_host = if worker.proxy.options.preserve_host {
            HeaderValue::from_str(&self.host)
        } else {
            HeaderValue::from_str(&worker.proxy.origin_authority)
        };
        let hop = Hop {
            client: self.client,
            host: &self.host,
            origin_host: &origin_host.expect("hosts are checked where they come in"),
            version: self.version,
        };
        headers::to_origin(&mut self.headers, &hop);
        self
    }

    fn job(&self, worker: &Arc<Worker>, wanted: Wanted) -> Job {
        let mut headers = self.headers.clone();
        let whole = !matches!(
            wanted.forward.reason,
            Reason::Bypass | Reason::Method | Reason::Partial
        );
        if whole && self.method == Method::GET {
            headers::without_conditions(&mut headers);
        }
        Job {
            worker: Arc::clone(worker),
            method: self.method.clone(),
            host: self.host.clone(),
            target: self.target.clone(),
            key: self.key.clone(),
            headers,
            body: None,
            forward: wanted.forward,
            object: wanted.object,
            sequence: wanted.sequence,
            flight: None,
            reply: None,
            interim: None,
        }
    }

    /// Fetches a newer answer while an older one is served.
    fn refresh(&self, worker: &Arc<Worker>, leading: Leading, entry: &Entry, sequence: u64) {
        let forward = Forward {
            reason: Reason::Stale,
            validate: true,
            share: true,
            stale_if_error: true,
            impatient: false,
        };
        let wanted = Wanted {
            forward,
            object: Some(Arc::clone(entry)),
            sequence,
        };
        let mut job = self.job(worker, wanted);
        // It is for everybody, whoever happened to ask.
        job.method = Method::GET;
        job.headers.remove(AUTHORIZATION);
        headers::without_conditions(&mut job.headers);
        job.flight = Some(leading);
        tokio::spawn(run(job));
    }

    /// Asks the origin. The fetch is a task of its own: it goes on for others, and for the
    /// store, when this client leaves.
    async fn fetch(
        self,
        worker: &Arc<Worker>,
        wanted: Wanted,
        body: Option<Incoming>,
        leading: Option<Leading>,
        connection: &Connection,
    ) -> Answered {
        let (forward, object) = (wanted.forward, wanted.object.clone());
        let (reply, outcome) = oneshot::channel();
        let mut job = self.job(worker, wanted);
        job.body = body;
        job.flight = leading;
        job.reply = Some(reply);
        let interim = (self.version == Version::HTTP_11).then(|| connection.open_interim());
        job.interim = interim.is_some().then(|| connection.clone());
        tokio::spawn(run(job));
        let outcome = if forward.impatient {
            let budget = worker.proxy.options.limits.stale_budget;
            tokio::time::timeout(budget, outcome).await
        } else {
            Ok(outcome.await)
        };
        drop(interim);
        let outcome = match outcome {
            Ok(outcome) => outcome.unwrap_or(Outcome::Failed(Failure::Protocol)),
            Err(_) => Outcome::Failed(Failure::Timeout),
        };
        let mut handling = Handling {
            forwarded: Some(forward.reason),
            ..Handling::default()
        };
        match outcome {
            Outcome::Head(head, headers, reader) => {
                self.live(&head, headers, reader, &mut handling)
            }
            Outcome::Fresh(entry) => self.fresh(&entry, handling),
            Outcome::Failed(failure) => self.failed(failure, &forward, object.as_ref(), handling),
            Outcome::Pass(response, refusal) => {
                let (parts, body) = response.into_parts();
                let mut headers = parts.headers;
                headers::to_client(&mut headers);
                handling.forward_status = Some(parts.status.as_u16());
                handling.detail = Some(refusal.token());
                answer::mark(&mut headers, &handling);
                let idle = worker.proxy.options.limits.body_idle;
                let body = AnswerBody::Pass(Passed::new(body, idle));
                answer::with(parts.status, headers, body)
            }
        }
    }

    async fn follow(&self, worker: &Worker, flight: &Flight, wanted: &Wanted) -> Followed {
        let limits = &worker.proxy.options.limits;
        let budget = if wanted.forward.impatient {
            limits.stale_budget
        } else {
            limits.origin_budget
        };
        let news = tokio::time::timeout(budget, flight.news()).await;
        let mut handling = Handling {
            forwarded: Some(wanted.forward.reason),
            collapsed: true,
            ..Handling::default()
        };
        let fields = Read(&self.headers);
        let answer = match news.unwrap_or(News::Failed(Failure::Timeout)) {
            News::Head(head) => {
                if !head.stored.selecting.matches(&fields) {
                    return Followed::Another(head.stored.selecting.names().to_vec());
                }
                let Some(reader) = head.live.read() else {
                    return Followed::Alone;
                };
                self.live(&head, head.headers.clone(), Some(reader), &mut handling)
            }
            News::Fresh(entry) => {
                if !entry.stored.selecting.matches(&fields) {
                    return Followed::Another(entry.stored.selecting.names().to_vec());
                }
                self.fresh(&entry, handling)
            }
            News::Alone => return Followed::Alone,
            News::Dead | News::Waiting => return Followed::Again,
            News::Failed(failure) => {
                self.failed(failure, &wanted.forward, wanted.object.as_ref(), handling)
            }
        };
        Followed::Answered(Box::new(answer))
    }
}

/// What came of following.
enum Followed {
    Answered(Box<Answered>),
    /// The flight was for other selecting fields: these count.
    Another(Vec<String>),
    /// The leader died.
    Again,
    /// The answer is not shared.
    Alone,
}
