//! From the spool to the origin: at least once, and the origin counts once. What is a refusal
//! and what is bad weather is decided as in the Worker's queue consumer.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use edgewise_wire::limits::{INTERNAL_BYTES_MAX, INTERNAL_EVENTS_MAX};
use hyper::Method;
use metrics::counter;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::dead_letters::DeadLetters;
use super::spool::{Parcel, Spool};
use crate::drain::{Phase, draining};
use crate::limits::{
    DELIVERY_BACKOFF, DELIVERY_BACKOFF_MAX, DELIVERY_PARCELS_MAX, ORIGIN_BACKGROUND_TIMEOUT,
    REFUSALS_MAX,
};
use crate::telemetry::PARCELS_TOTAL;
use crate::upstream::{Upstream, UpstreamRequest};

/// Where the origin takes events.
const PATH: &str = "/internal/v1/events";
/// The body's brackets and commas beside the parcels.
const FRAME_BYTES: usize = 64 << 10;

/// A parcel's body as `edge/core` writes it: events, or explore slots that were served.
#[derive(Deserialize)]
struct Contents<'a> {
    #[serde(default, borrow)]
    events: Vec<&'a RawValue>,
    #[serde(default, borrow)]
    served: Vec<&'a RawValue>,
}

/// What the origin said to a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Done,
    /// The origin is away or busy: the same parcels may pass later.
    Later,
    /// The origin says that they will never pass.
    Refused(u16),
}

/// How a round went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    /// Nothing waits.
    Empty,
    /// Something left the spool.
    Moved,
    /// Nothing could leave it now.
    Stuck,
}

/// The task that empties the spool.
pub(crate) struct Delivery {
    spool: Arc<Spool>,
    upstream: Arc<Upstream>,
    dead: DeadLetters,
    /// How often the origin refused a parcel alone.
    refusals: HashMap<u64, u8>,
}

impl Delivery {
    /// Dead letters go to the file `dead`, or are only counted.
    pub(crate) fn new(spool: Arc<Spool>, upstream: Arc<Upstream>, dead: Option<PathBuf>) -> Self {
        Self {
            spool,
            upstream,
            dead: DeadLetters::new(dead),
            refusals: HashMap::new(),
        }
    }

    /// Delivers until the process drains, and after that what there is until `last` says that
    /// nothing more comes and `limit` has passed.
    pub(crate) async fn run(
        mut self,
        mut phase: watch::Receiver<Phase>,
        mut last: watch::Receiver<bool>,
        limit: Duration,
    ) {
        let mut backoff = DELIVERY_BACKOFF;
        loop {
            let wait = match self.round().await {
                Round::Moved => {
                    backoff = DELIVERY_BACKOFF;
                    continue;
                }
                Round::Empty => None,
                Round::Stuck => {
                    let wait = backoff.mul_f64(rand::random_range(0.75..1.25));
                    backoff = (backoff * 2).min(DELIVERY_BACKOFF_MAX);
                    Some(wait)
                }
            };
            let again = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => self.spool.arrived().await,
                }
            };
            tokio::select! {
                () = again => {}
                () = draining(&mut phase) => break,
            }
        }
        let until = Instant::now() + limit;
        let _ = tokio::time::timeout_at(until, last.wait_for(|&last| last)).await;
        let rest = async { while self.round().await == Round::Moved {} };
        let _ = tokio::time::timeout_at(until, rest).await;
        if !self.spool.is_empty() {
            warn!("events are left in the spool: the next start delivers them");
        }
    }

    async fn round(&mut self) -> Round {
        let spool = Arc::clone(&self.spool);
        let read = tokio::task::spawn_blocking(move || {
            spool.oldest(DELIVERY_PARCELS_MAX, INTERNAL_BYTES_MAX - FRAME_BYTES)
        });
        let parcels = match read.await {
            Ok(Ok(parcels)) => parcels,
            Ok(Err(error)) => {
                error!(%error, "the spool cannot be read");
                return Round::Stuck;
            }
            Err(_) => return Round::Stuck,
        };
        if parcels.is_empty() {
            self.refusals.clear();
            return Round::Empty;
        }
        let (body, count) = merge(parcels.iter().map(|parcel| &parcel.body));
        let batch = parcels.get(..count).unwrap_or_default();
        let Some(body) = body else {
            // The first parcel is none: it is alone with its fault.
            return self
                .deliver_singly(parcels.get(..1).unwrap_or_default())
                .await;
        };
        match self.post(body).await {
            Verdict::Done => {
                self.delivered(batch).await;
                Round::Moved
            }
            Verdict::Later => Round::Stuck,
            // One bad parcel must not hold up the others.
            Verdict::Refused(_) => self.deliver_singly(batch).await,
        }
    }

    async fn deliver_singly(&mut self, batch: &[Parcel]) -> Round {
        let mut round = Round::Stuck;
        for parcel in batch {
            let verdict = match merge([&parcel.body].into_iter()).0 {
                Some(body) => self.post(body).await,
                None => Verdict::Refused(0),
            };
            match verdict {
                Verdict::Done => {
                    self.delivered(std::slice::from_ref(parcel)).await;
                    round = Round::Moved;
                }
                Verdict::Later => return round,
                Verdict::Refused(status) => {
                    let refusals = self.refusals.entry(parcel.number).or_default();
                    *refusals += 1;
                    if *refusals >= REFUSALS_MAX {
                        self.bury(parcel, status).await;
                        round = Round::Moved;
                    }
                }
            }
        }
        round
    }

    async fn delivered(&mut self, batch: &[Parcel]) {
        let numbers: Vec<u64> = batch.iter().map(|parcel| parcel.number).collect();
        counter!(PARCELS_TOTAL, "outcome" => "delivered").increment(numbers.len() as u64);
        self.spool.remove(numbers).await;
    }

    /// Puts a parcel aside for the operator. The file first: a crash between the two leaves the
    /// parcel in both, never in none.
    async fn bury(&mut self, parcel: &Parcel, status: u16) {
        self.refusals.remove(&parcel.number);
        if self.dead.keep(parcel, status).await {
            counter!(PARCELS_TOTAL, "outcome" => "dead").increment(1);
            error!(
                status,
                "the origin refuses a parcel of events: it is kept as a dead letter"
            );
        } else {
            counter!(PARCELS_TOTAL, "outcome" => "dropped").increment(1);
            error!(
                status,
                "the origin refuses a parcel of events, and there is no room to keep it"
            );
        }
        self.spool.remove(vec![parcel.number]).await;
    }

    async fn post(&self, body: Bytes) -> Verdict {
        let request = UpstreamRequest {
            method: Method::POST,
            path: PATH,
            traceparent: "",
            body,
        };
        match self.upstream.send(request, ORIGIN_BACKGROUND_TIMEOUT).await {
            Ok(answer) => verdict(answer.status),
            Err(error) => {
                info!(%error, "events wait for the origin");
                Verdict::Later
            }
        }
    }
}

fn verdict(status: u16) -> Verdict {
    match status {
        200..=299 => Verdict::Done,
        // Wrong token or route: the operator's mistake, not the parcel's.
        401 | 403 | 404 | 408 | 429 | 300..=399 | 500..=599 => {
            warn!(status, "the origin does not take events now");
            Verdict::Later
        }
        status => Verdict::Refused(status),
    }
}

/// One request body from the first parcels that fit one, and their number. `None` where the
/// first is not what the edge writes.
fn merge<'a>(bodies: impl Iterator<Item = &'a Bytes>) -> (Option<Bytes>, usize) {
    let (mut events, mut served) = (Vec::new(), Vec::new());
    let mut count = 0;
    for body in bodies {
        let Ok(contents) = serde_json::from_slice::<Contents<'_>>(body) else {
            break;
        };
        let full = events.len() + contents.events.len() > INTERNAL_EVENTS_MAX
            || served.len() + contents.served.len() > INTERNAL_EVENTS_MAX;
        if full && count > 0 {
            break;
        }
        events.extend(contents.events.into_iter().map(RawValue::get));
        served.extend(contents.served.into_iter().map(RawValue::get));
        count += 1;
    }
    if count == 0 {
        return (None, 1);
    }
    let (events, served) = (events.join(","), served.join(","));
    let body = format!(r#"{{"events":[{events}],"served":[{served}]}}"#);
    (Some(body.into()), count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parcels_merge_without_reading_their_events() {
        let parcels = [
            Bytes::from_static(br#"{"events":[{"id":"a"}]}"#),
            Bytes::from_static(br#"{"served":[1],"events":[{"id":"b"}]}"#),
            Bytes::from_static(b"not json"),
            Bytes::from_static(br#"{"events":[{"id":"c"}]}"#),
        ];
        let (body, count) = merge(parcels.iter());
        let body = body.expect("the first two are parcels");
        assert_eq!(body, r#"{"events":[{"id":"a"},{"id":"b"}],"served":[1]}"#);
        assert_eq!(count, 2);
        assert_eq!(merge(parcels[2..].iter()), (None, 1));
    }

    #[test]
    fn a_request_holds_as_many_events_as_the_origin_takes() {
        let parcel = Bytes::from(format!(r#"{{"events":[{}1]}}"#, "1,".repeat(499)));
        let parcels = vec![parcel; 20];
        assert_eq!(merge(parcels.iter()).1, INTERNAL_EVENTS_MAX / 500);
    }

    #[test]
    fn the_operators_mistakes_are_not_the_parcels() {
        for status in [301, 401, 403, 404, 408, 429, 500, 503] {
            assert_eq!(verdict(status), Verdict::Later, "{status}");
        }
        for status in [400, 413, 415, 422] {
            assert_eq!(verdict(status), Verdict::Refused(status));
        }
        assert_eq!(verdict(200), Verdict::Done);
    }
}
