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

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    const SECOND: Duration = Duration::from_secs(1);

    /// Flights to an origin that never answers the first `silent` requests and then says "yes".
    fn before(silent: usize) -> Arc<Flights> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for mut stream in listener.incoming().flatten() {
                let _ = stream.read(&mut [0; 1_024]);
                if held.len() < silent {
                    held.push(stream);
                    continue;
                }
                let answer =
                    b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nyes";
                let _ = stream.write_all(answer);
            }
        });
        let bearer = HeaderValue::from_static("Bearer token");
        let upstream = Upstream::new(&format!("http://{address}"), bearer);
        Flights::new(Arc::new(upstream), Handle::current())
    }

    fn body(answer: Result<UpstreamAnswer, UpstreamError>) -> String {
        let body = answer.expect("an answer").body;
        String::from_utf8_lossy(&body).into_owned()
    }

    #[tokio::test]
    async fn followers_take_over_from_a_leader_that_came_to_nothing() {
        let flights = before(1);
        // The leader's request lasts FLIGHT_MIN; who waits longer asks again.
        let (leader, follower) = tokio::join!(
            flights.get("/a", "", SECOND / 10),
            flights.get("/a", "", 20 * SECOND)
        );
        assert!(matches!(leader, Err(UpstreamError::Late(_))));
        assert_eq!(body(follower), "yes");
    }

    #[tokio::test]
    async fn the_list_of_flights_ends_empty() {
        let flights = before(0);
        let asked = (0..50).map(|index| format!("/{}", index % 5));
        let asked: Vec<_> = asked
            .map(|path| {
                let flights = Arc::clone(&flights);
                tokio::spawn(async move { body(flights.get(&path, "", 20 * SECOND).await) })
            })
            .collect();
        for answer in asked {
            assert_eq!(answer.await.expect("no panic"), "yes");
        }
        tokio::time::timeout(20 * SECOND, async {
            while !flights.open.lock().expect("unpoisoned").is_empty() {
                tokio::time::sleep(FLIGHT_LINGER).await;
            }
        })
        .await
        .expect("they end");
    }

    #[tokio::test]
    async fn too_many_paths_ask_for_themselves() {
        let flights = before(0);
        let (_kept, answer) = watch::channel(None);
        {
            let mut open = flights.open.lock().expect("unpoisoned");
            open.extend((0..FLIGHTS_MAX).map(|index| (format!("/x{index}"), answer.clone())));
        }
        assert_eq!(body(flights.get("/a", "", 20 * SECOND).await), "yes");
        assert_eq!(flights.open.lock().expect("unpoisoned").len(), FLIGHTS_MAX);
    }
}
