//! `GET /api/v1/feed`: from a bundle and the overlay to a page; `/api/v1/feed/offline`: the two
//! themselves.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use edgewise_cache::Lifetime;
use edgewise_serving::session::{self, subject_of};
use edgewise_serving::{FeedInput, FeedOutcome, Prepared, SessionStatus, feed as serving, hot};
use edgewise_wire::api::Rung;
use edgewise_wire::cursor::Cursor;
use edgewise_wire::pack::{Pack, PackedCandidates};
use edgewise_wire::params::FeedParams;
use edgewise_wire::problem::Problem;
use edgewise_wire::session::Session;
use metrics::counter;

use super::answer::{self, Source};
use super::{Failure, Service, identity};
use crate::candidates::{Cached, Segment};
use crate::ingest::{Command, Served};
use crate::lists::hot::Filter;
use crate::origin::Origin;
use crate::telemetry;

/// A request for a page, validated.
struct Asked {
    params: FeedParams,
    user: Option<String>,
    cursor: Option<Cursor>,
    session: Session,
    session_status: SessionStatus,
    request_id: [u8; 16],
    wall_ms: i64,
}

struct Answered {
    outcome: FeedOutcome,
    rung: Rung,
    age_ms: i64,
}

/// `GET /api/v1/feed`
pub(super) async fn feed(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let asked = asked(&service, query.as_deref(), &headers)?;
    let limit = Arc::clone(&service);
    let answered = service
        .blocking(move |origin| {
            let answered = page(origin, &asked)?;
            log_served(origin, &limit.served, &asked, &answered.outcome);
            Ok(answered)
        })
        .await?;
    let source = source(answered.age_ms, answered.rung);
    Ok(answer::public(&headers, &source, answered.outcome.body))
}

/// `GET /api/v1/feed/offline`: what a page would be made from now, for a device.
pub(super) async fn offline(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let asked = asked(&service, query.as_deref(), &headers)?;
    let (body, age_ms, rung) = service
        .blocking(move |origin| {
            let (cached, rung) = candidates(origin, &asked)?;
            let overlay = origin.overlay.current();
            let pack = Pack {
                packed_at_ms: asked.wall_ms,
                stored_at_ms: cached.made_at_ms,
                rung,
                user: asked.user,
                region: None,
                utc_offset_minutes: 0,
                session: asked.session,
                session_status: asked.session_status,
                cursor: asked.cursor,
                candidates: PackedCandidates::Bundle(&cached.bytes),
                overlay: Some(&overlay.bytes),
                snapshot: Some(&origin.model.snapshot),
            };
            let age_ms = (asked.wall_ms - cached.made_at_ms).max(0);
            Ok((pack.encode(), age_ms, rung))
        })
        .await?;
    let source = source(age_ms, rung);
    Ok(answer::public_bytes(&headers, &source, body))
}

fn source(age_ms: i64, rung: Rung) -> Source<'static> {
    Source {
        lifetime: Lifetime::FEED,
        age_ms: (age_ms > 0).then_some(age_ms),
        cache_tag: None,
        rung: Some(rung),
    }
}

/// Reads and validates a request.
fn asked(service: &Service, query: Option<&str>, headers: &HeaderMap) -> Result<Asked, Failure> {
    let params = FeedParams::parse(query.unwrap_or(""))?;
    let origin = service.origin()?;
    let wall_ms = origin.clock.wall_ms();
    let subject = identity::subject(headers, &origin.keys, wall_ms)?;
    let user = identity::agree(
        subject.as_deref(),
        params.user.as_deref(),
        service.plain_user,
    )?;
    let subject = subject_of(user.as_deref());
    let token = params.cursor.as_deref();
    let cursor = token
        .map(|token| Cursor::decode(token, &origin.keys, subject))
        .transpose()
        .map_err(Problem::cursor)?;
    let token = params.session.as_deref();
    let (session, session_status) = session::open(token, &origin.keys, subject, wall_ms);
    let request_id = rand::random();
    Ok(Asked {
        params,
        user,
        cursor,
        session,
        session_status,
        request_id,
        wall_ms,
    })
}

fn page(origin: &Origin, asked: &Asked) -> Result<Answered, Failure> {
    let overlay = origin.overlay.current();
    let (cached, rung) = candidates(origin, asked)?;
    let age_ms = (asked.wall_ms - cached.made_at_ms).max(0);
    let domain_ms = origin.clock.domain_ms();
    let input = FeedInput {
        params: &asked.params,
        user: asked.user.as_deref(),
        session: &asked.session,
        session_status: asked.session_status,
        cursor: asked.cursor.as_ref(),
        overlay: Some(&overlay.overlay),
        config: &origin.model.config,
        model: &origin.model.model,
        keys: &origin.keys,
        wall_ms: asked.wall_ms,
        domain_ms,
        request_id: asked.request_id,
        rung,
        region: None,
        utc_offset_minutes: 0,
    };
    let mut answered = Answered {
        outcome: serving::answer(&mut cached.prepared(), &input),
        rung,
        age_ms,
    };
    // A pool without a candidate: the hot list of the week is better than nothing.
    if answered.outcome.items == 0 && rung == Rung::Segment && asked.cursor.is_none() {
        let params = &asked.params;
        let filter = Filter::of(
            params.region.as_deref(),
            params.language.as_deref(),
            params.tag.as_deref(),
        );
        let list = origin
            .hot
            .load()
            .get(edgewise_ranking::HotWindow::Week, &filter);
        let config = &origin.model.config;
        let bundle = hot::as_bundle(&list.list, Some(&overlay.overlay), config, domain_ms);
        let input = FeedInput {
            rung: Rung::Hot,
            ..input
        };
        let outcome = serving::answer(&mut Prepared::new(bundle), &input);
        if outcome.items > 0 {
            answered = Answered {
                outcome,
                rung: Rung::Hot,
                age_ms: 0,
            };
        }
    }
    counter!(telemetry::FEEDS_TOTAL, "rung" => answered.rung.name()).increment(1);
    let degradations = u64::from(answered.outcome.degradations);
    counter!(telemetry::DEGRADATIONS_TOTAL).increment(degradations);
    Ok(answered)
}

/// The best candidates there are: the user's, else the segment's.
fn candidates(origin: &Origin, asked: &Asked) -> Result<(Arc<Cached>, Rung), Failure> {
    if let Some(user) = &asked.user {
        let cached = origin.bundles.user(user)?;
        let age_ms = asked.wall_ms - cached.made_at_ms;
        let fresh_ms = i64::from(Lifetime::FEED.fresh_s) * 1_000;
        let rung = if age_ms <= fresh_ms {
            Rung::Personal
        } else {
            Rung::PersonalStale
        };
        return Ok((cached, rung));
    }
    let params = &asked.params;
    let segment = Segment::of(params.language.as_deref(), params.region.as_deref());
    Ok((origin.bundles.segment(&segment), Rung::Segment))
}

/// Logs what was drawn for explore slots, of named users and within [`SERVED_PER_S_MAX`]:
/// a GET that anybody may send must not fill the disk. Nobody waits for it: a full queue
/// drops it.
fn log_served(origin: &Origin, limit: &ServedLimit, asked: &Asked, outcome: &FeedOutcome) {
    if outcome.served.is_empty() || asked.user.is_none() {
        return;
    }
    // A page is logged whole or not at all, so that its propensities stay complete.
    let slots = u32::try_from(outcome.served.len()).unwrap_or(u32::MAX);
    if !limit.take(slots, asked.wall_ms) {
        counter!(telemetry::SERVED_DROPPED_TOTAL).increment(u64::from(slots));
        return;
    }
    let slot = |slot: &edgewise_serving::ServedSlot| Served {
        request_id: slot.request_id.clone(),
        user: asked.user.clone(),
        item: slot.item.clone(),
        position: slot.position,
        propensity: slot.propensity,
    };
    let served = outcome.served.iter().map(slot).collect();
    if origin.writer.submit(Command::Served(served)).is_err() {
        counter!(telemetry::INGEST_OVERLOADED_TOTAL).increment(1);
    }
}

/// Explore slots that the whole process logs a second; the others are only counted.
pub(super) const SERVED_PER_S_MAX: u32 = 50;

/// What is left of [`SERVED_PER_S_MAX`] in this second.
#[derive(Debug, Default)]
pub(super) struct ServedLimit(Mutex<Second>);

#[derive(Debug, Default)]
struct Second {
    at_s: i64,
    logged: u32,
}

impl ServedLimit {
    /// Takes room for all of `slots` at wall time `wall_ms`, or for none.
    fn take(&self, slots: u32, wall_ms: i64) -> bool {
        let at_s = wall_ms.div_euclid(1_000);
        let mut second = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if second.at_s != at_s {
            *second = Second { at_s, logged: 0 };
        }
        let logged = second.logged.saturating_add(slots);
        if logged > SERVED_PER_S_MAX {
            return false;
        }
        second.logged = logged;
        true
    }
}
