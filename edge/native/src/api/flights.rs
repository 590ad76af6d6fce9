//! Coalescing: any number of simultaneous misses of one path make one request to the origin,
//! whichever workers they come from.
//!
//! The request belongs to a task of its own on the background runtime, not to whoever asked
//! first: a client that goes away takes nothing with it. Should the task die, one of those who
//! wait begins another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::{Counter, counter};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::debug;

use crate::limits::{FLIGHT_LEADERS_MAX, FLIGHT_LINGER, FLIGHT_MIN, FLIGHTS_MAX};
use crate::telemetry::COALESCED_TOTAL;
use crate::upstream::{Upstream, UpstreamAnswer, UpstreamError, UpstreamRequest};

/// `None` until there is one; closed without one where the leader died or was too late.
type Answer = Option<Result<UpstreamAnswer, UpstreamError>>;

/// Requests to the origin that are under way.
pub(crate) struct Flights {
    upstream: Arc<Upstream>,
    runtime: Handle,
    open: Mutex<HashMap<String, watch::Receiver<Answer>>>,
    coalesced: Counter,
}

impl Flights {
    /// Requests of `upstream` run on `runtime`.
    pub(crate) fn new(upstream: Arc<Upstream>, runtime: Handle) -> Arc<Self> {
        Arc::new(Self {
            upstream,
            runtime,
            open: Mutex::default(),
            coalesced: counter!(COALESCED_TOTAL),
        })
    }

    /// `GET path`: the answer of the one request for it, within `timeout`. The path is the whole
    /// key: a fetch carries nothing of the client's but the trace context, which is the leader's.
    ///
    /// # Errors
    /// As the leader's, or late.
    pub(crate) async fn get(
        self: &Arc<Self>,
        path: &str,
        traceparent: &str,
        timeout: Duration,
    ) -> Result<UpstreamAnswer, UpstreamError> {
        let until = Instant::now() + timeout;
        for _ in 0..FLIGHT_LEADERS_MAX {
            let Some(mut answer) = self.join(path, traceparent, timeout) else {
                // Too many paths at once to remember: everybody for themselves.
                let request = request(path, traceparent);
                let left = until.saturating_duration_since(Instant::now());
                return self.upstream.send(request, left).await;
            };
            let landed = answer.wait_for(Option::is_some);
            match tokio::time::timeout_at(until, landed).await {
                Err(_) => break,
                Ok(Ok(answer)) => {
                    if let Some(answer) = &*answer {
                        return answer.clone();
                    }
                }
                // The leader is gone: the next round finds another, or leads.
                Ok(Err(_)) => debug!(path, "the leader of an origin request is gone"),
            }
        }
        Err(UpstreamError::Late(timeout))
    }

    /// The request that is under way, or one that begins now; `None` where there are too many.
    fn join(
        self: &Arc<Self>,
        path: &str,
        traceparent: &str,
        timeout: Duration,
    ) -> Option<watch::Receiver<Answer>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = open.get(path) {
            self.coalesced.increment(1);
            return Some(answer.clone());
        }
        if open.len() >= FLIGHTS_MAX {
            return None;
        }
        let (landed, answer) = watch::channel(None);
        open.insert(path.to_owned(), answer.clone());
        drop(open);
        let flight = Flight {
            flights: Arc::clone(self),
            path: path.to_owned(),
            landed,
        };
        let traceparent = traceparent.to_owned();
        self.runtime
            .spawn(flight.fly(traceparent, timeout.max(FLIGHT_MIN)));
        Some(answer)
    }
}

fn request<'a>(path: &'a str, traceparent: &'a str) -> UpstreamRequest<'a> {
    UpstreamRequest {
        traceparent,
        ..UpstreamRequest::get(path)
    }
}

/// One request; off the list when dropped, however it ends.
struct Flight {
    flights: Arc<Flights>,
    path: String,
    landed: watch::Sender<Answer>,
}

impl Flight {
    async fn fly(self, traceparent: String, timeout: Duration) {
        let request = request(&self.path, &traceparent);
        let answer = self.flights.upstream.send(request, timeout).await;
        match answer {
            // Whoever came later has time left: one of them asks again.
            Err(UpstreamError::Late(_)) => {}
            Err(_) => {
                self.landed.send_replace(Some(answer));
            }
            Ok(_) => {
                self.landed.send_replace(Some(answer));
                tokio::time::sleep(FLIGHT_LINGER).await;
            }
        }
    }
}

impl Drop for Flight {
    /// First off the list, then closed: who waits and asks again does not find a dead leader.
    fn drop(&mut self) {
        let mut open = self
            .flights
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let own = self.landed.subscribe();
        if open
            .get(&self.path)
            .is_some_and(|answer| answer.same_channel(&own))
        {
            open.remove(&self.path);
        }
    }
}
