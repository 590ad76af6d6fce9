//! Events: validated, counted and durable before they are answered.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use edgewise_ranking::id_hash;
use edgewise_serving::events::{EventsOutcome, ItemFacts, answer as body_of, session_after};
use edgewise_serving::session::{self, subject_of};
use edgewise_wire::api::{Event, Rejection};
use edgewise_wire::limits::{EVENTS_BYTES_MAX, INTERNAL_BYTES_MAX};
use edgewise_wire::problem::Problem;
use edgewise_wire::served::ServedSlot;
use edgewise_wire::{events as wire, internal as delivery};
use metrics::{counter, histogram};
use serde::Serialize;

use super::{Failure, Service, answer, identity};
use crate::catalogue::Entry;
use crate::clock::Stopwatch;
use crate::ingest::{Command, EventSource, Outcome, Reply, Served, WriteError};
use crate::origin::Origin;
use crate::telemetry;

/// The public route: 202 once the events are durable.
pub(super) async fn public(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, Failure> {
    let origin = Arc::clone(service.origin()?);
    let wall_ms = origin.clock.wall_ms();
    let (parts, body) = request.into_parts();
    let content_type = text(&parts.headers, header::CONTENT_TYPE);
    if !content_type.is_none_or(wire::is_json) {
        return Err(Problem::media_type("application/json or text/plain").into());
    }
    let subject = identity::subject(&parts.headers, &origin.keys, wall_ms)?;
    let body = read(body, EVENTS_BYTES_MAX, "at most 262144 bytes").await?;
    let batch = wire::parse(&body, content_type, origin.clock.domain_ms())?;
    for (_, event) in &batch.events {
        identity::agree(subject.as_deref(), Some(&event.user), service.plain_user)?;
    }
    let user = subject.or_else(|| batch.events.first().map(|(_, event)| event.user.clone()));
    let outcome = count(&origin, &batch.events, EventSource::Public).await?;
    let rejected = rejections(batch.rejected, &batch.events, &outcome);
    let (session, status) = session::open(
        batch.session.as_deref(),
        &origin.keys,
        subject_of(user.as_deref()),
        wall_ms,
    );
    let known = known_items(&origin, &batch.events);
    let lookup = |id: &str| known.get(&id_hash(id)).map(|entry| facts_of(entry));
    let session = session_after(&batch.events, session, lookup, wall_ms);
    let outcome = EventsOutcome {
        accepted: outcome.accepted,
        duplicate: outcome.duplicate,
        rejected: &rejected,
    };
    let body = body_of(&outcome, &session, status, &origin.keys);
    Ok(answer::json(StatusCode::ACCEPTED, body))
}

#[derive(Serialize)]
struct Delivered {
    accepted: u32,
    duplicate: u32,
    rejected: Vec<Rejection>,
}

/// What an edge's queue delivers: `{events, served}`.
pub(super) async fn internal(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, Failure> {
    let origin = Arc::clone(service.origin()?);
    let body = read(
        request.into_body(),
        INTERNAL_BYTES_MAX,
        "at most 4194304 bytes",
    )
    .await?;
    let parsed = delivery::parse(&body, origin.clock.domain_ms())?;
    // Both are in the queue at once: one commit holds them, mostly.
    let served = match &parsed.served[..] {
        [] => None,
        served => {
            let served = served.iter().map(served_of).collect();
            Some(origin.writer.submit(Command::Served(served))?)
        }
    };
    let outcome = count(&origin, &parsed.events, EventSource::Edge).await?;
    if let Some(reply) = served {
        durable(reply).await?;
    }
    let rejected = rejections(parsed.rejected, &parsed.events, &outcome);
    let Outcome {
        accepted,
        duplicate,
        ..
    } = outcome;
    Ok(answer::value(
        StatusCode::OK,
        &Delivered {
            accepted,
            duplicate,
            rejected,
        },
    ))
}

/// Hands the events to the writer and waits until they are durable.
async fn count(
    origin: &Origin,
    events: &[(u32, Event)],
    source: EventSource,
) -> Result<Outcome, Failure> {
    if events.is_empty() {
        return Ok(Outcome::default());
    }
    let stopwatch = Stopwatch::start();
    let events = events.iter().map(|(_, event)| event.clone()).collect();
    let outcome = submit(origin, Command::Events { events, source }).await?;
    histogram!(telemetry::INGEST_COMMIT_SECONDS).record(stopwatch.elapsed().as_secs_f64());
    let count = |outcome: &'static str, events: u32| {
        counter!(telemetry::EVENTS_TOTAL, "outcome" => outcome).increment(u64::from(events));
    };
    count("accepted", outcome.accepted);
    count("duplicate", outcome.duplicate);
    count(
        "rejected",
        u32::try_from(outcome.rejected.len()).unwrap_or(u32::MAX),
    );
    Ok(outcome)
}

/// Submits a command and waits until it is durable.
///
/// # Errors
///
/// 503 where the queue is full or the commit failed.
pub(super) async fn submit(origin: &Origin, command: Command) -> Result<Outcome, Failure> {
    durable(origin.writer.submit(command)?).await
}

async fn durable(reply: Reply) -> Result<Outcome, Failure> {
    Ok(reply.await.unwrap_or(Err(WriteError::Stopped))?)
}

/// What validation and the writer refused, by index in the body.
pub(super) fn rejections<T>(
    mut rejected: Vec<Rejection>,
    entries: &[(u32, T)],
    outcome: &Outcome,
) -> Vec<Rejection> {
    rejected.extend(outcome.rejected.iter().filter_map(|refused| {
        let (index, _) = entries.get(refused.index as usize)?;
        Some(Rejection {
            index: *index,
            reason: refused.reason.to_owned(),
        })
    }));
    rejected.sort_unstable_by_key(|rejection| rejection.index);
    rejected
}

/// The body, at most `max` bytes of it.
///
/// # Errors
///
/// 413 for a longer one, 400 for one that does not arrive.
pub(super) async fn read(body: Body, max: usize, allowed: &'static str) -> Result<Bytes, Failure> {
    let too_large = || Problem::too_large("body", "the body is too large", allowed);
    match to_bytes(body, max + 1).await {
        Ok(bytes) if bytes.len() > max => Err(too_large().into()),
        Ok(bytes) => Ok(bytes),
        Err(error) if is_length_limit(&error) => Err(too_large().into()),
        Err(_) => Err(Problem::body("body", "the body did not arrive", "a complete body").into()),
    }
}

fn is_length_limit(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.to_string().contains("length limit exceeded") {
            return true;
        }
        cause = error.source();
    }
    false
}

fn served_of(slot: &ServedSlot) -> Served {
    Served {
        request_id: slot.request_id.clone(),
        user: None,
        item: slot.item.clone(),
        position: slot.position,
        propensity: slot.propensity,
    }
}

fn known_items(origin: &Origin, events: &[(u32, Event)]) -> HashMap<u64, Arc<Entry>> {
    let items = events
        .iter()
        .filter_map(|(_, event)| event.item.as_deref())
        .map(id_hash);
    let known = origin.catalogue.get_many(items);
    known
        .into_iter()
        .map(|entry| (entry.facts.hash, entry))
        .collect()
}

fn facts_of(entry: &Entry) -> ItemFacts<'_> {
    ItemFacts {
        author: &entry.facts.author,
        tags: entry.facts.tags.iter().map(String::as_str).collect(),
    }
}

/// A header's text; `None` where it is absent or not text.
pub(super) fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
