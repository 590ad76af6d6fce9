//! The feed on a device: a pack in, the page that the edge would answer out.
//!
//! The page is made by [`edgewise_serving::feed::answer`], as every page of an edge and of the
//! origin is: with the same pack, time and request id the same bytes come out, but for the
//! tokens. Nothing is kept between calls.
//!
//! Input: `u32` length of a JSON text, the text, then the pack (`edgewise_wire::pack`). The JSON:
//!
//! - `query`: as of `GET /api/v1/feed`. `user` may be left out, and is else the pack's. `cursor`
//!   and `session` are those of earlier calls; without one the pack's are taken, so that pages go
//!   on from where the request for the pack was.
//! - `wall_ms` (required), Unix ms; `domain_ms`: what the pack's clock makes of it where absent.
//! - `request_id` (required): 32 hexadecimal digits, drawn by the host.
//! - `events`: what the user did since, as of `POST /api/v1/events`; what that would reject
//!   is left out. They enter the session that the answer holds.
//!
//! Tokens are signed with a key that everybody knows: they are for this device, hold nothing
//! but what is in the pack, and no edge takes them.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use edgewise_cache::Freshness;
use edgewise_serving::events::session_after;
use edgewise_serving::session::{self, subject_of};
use edgewise_serving::{FeedInput, Prepared, SessionStatus, feed, hot};
use edgewise_wire::api::Rung;
use edgewise_wire::bundle::Bundle;
use edgewise_wire::cursor::Cursor;
use edgewise_wire::decode::DecodeError;
use edgewise_wire::keys::Keys;
use edgewise_wire::lists::HotList;
use edgewise_wire::overlay::Overlay;
use edgewise_wire::pack::{Pack, PackedCandidates};
use edgewise_wire::params::FeedParams;
use edgewise_wire::problem::Problem;
use edgewise_wire::session::Session;
use edgewise_wire::token::TokenError;
use serde_json::Value;

use crate::frame;
use crate::lifetime;
use crate::models::Served;
use crate::request::parse_hex16;
use crate::resource::{HotKey, Resource};

/// Why there is no page; the sentence goes to the app.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The length before the JSON is more than there is.
    #[error("the input ends before its JSON does")]
    Frame,
    /// The text is not JSON.
    #[error("the input is not JSON: {0}")]
    Json(serde_json::Error),
    /// A field is absent or is not what it must be.
    #[error("{field} must be {expected}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A parameter of the query, or the events, are refused.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// The pack is another user's.
    #[error("user must be the pack's")]
    User,
    /// The cursor is not of an earlier call.
    #[error("cursor: {0}")]
    Cursor(TokenError),
    /// The pack or a part of it is refused.
    #[error("{part}: {error}")]
    Pack {
        /// Which part.
        part: &'static str,
        /// Why.
        error: DecodeError,
    },
}

impl From<Problem> for DeviceError {
    fn from(problem: Problem) -> Self {
        Self::Refused(Box::new(problem))
    }
}

/// What the JSON says.
struct Asked {
    params: FeedParams,
    wall_ms: i64,
    domain_ms: Option<i64>,
    request_id: [u8; 16],
    has_events: bool,
}

/// Ranks a page: the JSON body of `GET /api/v1/feed`.
///
/// # Errors
///
/// Names what is wrong with the input.
pub fn page(input: &[u8]) -> Result<Vec<u8>, DeviceError> {
    let (json, pack) = frame::split_prefixed(input).ok_or(DeviceError::Frame)?;
    let asked = Asked::read(json)?;
    let pack = Pack::decode(pack).map_err(refused("the pack"))?;
    let user = pack.user.as_deref();
    if asked.params.user.is_some() && asked.params.user.as_deref() != user {
        return Err(DeviceError::User);
    }
    let keys = keys();
    let cursor = match asked.params.cursor.as_deref() {
        None => pack.cursor.clone(),
        Some(token) => {
            let cursor = Cursor::decode(token, &keys, subject_of(user));
            Some(cursor.map_err(DeviceError::Cursor)?)
        }
    };
    let overlay = pack.overlay.map(Overlay::decode).transpose();
    let overlay = overlay.map_err(refused("the pack's overlay"))?;
    let overlay = overlay.as_ref();
    let served = served_by(&pack)?;
    let domain_ms = asked.domain_ms.unwrap_or_else(|| {
        let wall_ms = asked.wall_ms;
        overlay.map_or(wall_ms, |overlay| overlay.clock.domain_ms(wall_ms))
    });
    let bundle = match pack.candidates {
        PackedCandidates::Bundle(bytes) => {
            Bundle::decode(bytes).map_err(refused("the pack's bundle"))?
        }
        PackedCandidates::HotList(bytes) => {
            let list = HotList::decode(bytes).map_err(refused("the pack's hot list"))?;
            hot::as_bundle(&list, overlay, &served.config, domain_ms)
        }
    };
    let mut prepared = Prepared::new(bundle);
    let (mut session, session_status) = session_of(&asked, &pack, &keys);
    if asked.has_events {
        let batch = edgewise_wire::events::parse(json, None, domain_ms)?;
        let lookup = |item: &str| prepared.item_facts(item, overlay);
        session = session_after(&batch.events, session, lookup, asked.wall_ms);
    }
    let input = FeedInput {
        params: &asked.params,
        user,
        session: &session,
        session_status,
        cursor: cursor.as_ref(),
        overlay,
        config: &served.config,
        model: &served.model,
        keys: &keys,
        wall_ms: asked.wall_ms,
        domain_ms,
        request_id: asked.request_id,
        rung: rung_at(&pack, asked.wall_ms),
        region: pack.region.as_deref(),
        utc_offset_minutes: pack.utc_offset_minutes,
    };
    Ok(feed::answer(&mut prepared, &input).body)
}

fn refused(part: &'static str) -> impl Fn(DecodeError) -> DeviceError {
    move |error| DeviceError::Pack { part, error }
}

/// The pack's model and configuration.
fn served_by(pack: &Pack<'_>) -> Result<Served, DeviceError> {
    const PART: &str = "the pack's model";
    let Some(bytes) = pack.snapshot else {
        return Ok(Served::seed());
    };
    let served = Served::decode(bytes).map_err(refused(PART))?;
    // Edges refuse a snapshot without a configuration too.
    served.ok_or_else(|| refused(PART)(DecodeError::Truncated("its configurations")))
}

/// The key of every device.
fn keys() -> Keys {
    Keys::from_secret("device", &[0; 32]).expect("a key of 32 bytes is valid")
}

/// The session of an earlier call, else the pack's; one that is not good is ignored.
fn session_of(asked: &Asked, pack: &Pack<'_>, keys: &Keys) -> (Session, SessionStatus) {
    let Some(token) = asked.params.session.as_deref() else {
        return (pack.session.clone(), pack.session_status);
    };
    let subject = subject_of(pack.user.as_deref());
    match session::open(Some(token), keys, subject, asked.wall_ms) {
        (_, SessionStatus::Invalid) => (pack.session.clone(), SessionStatus::Invalid),
        opened => opened,
    }
}

/// The rung by the age that the candidates have now, as the edge would name it.
fn rung_at(pack: &Pack<'_>, wall_ms: i64) -> Rung {
    let age_ms = wall_ms.saturating_sub(pack.stored_at_ms).max(0);
    let freshness = |resource| lifetime::of(&resource).state(age_ms);
    match pack.rung {
        Rung::Segment => Rung::Segment,
        Rung::Personal | Rung::PersonalStale => {
            let user = String::new();
            match freshness(Resource::Bundle { user }) {
                Freshness::Fresh => Rung::Personal,
                _ => Rung::PersonalStale,
            }
        }
        Rung::Hot | Rung::HotStale => {
            let day = HotKey::of(edgewise_ranking::HotWindow::Day);
            match freshness(Resource::Hot(day)) {
                Freshness::Fresh | Freshness::Stale => Rung::Hot,
                _ => Rung::HotStale,
            }
        }
    }
}

impl Asked {
    fn read(json: &[u8]) -> Result<Self, DeviceError> {
        let json = edgewise_wire::json::value(json).map_err(DeviceError::Json)?;
        let bad = |field, expected| DeviceError::Field { field, expected };
        let given = |name| json.get(name).filter(|value| !value.is_null());
        let query = match given("query") {
            None => "",
            Some(query) => query.as_str().ok_or_else(|| bad("query", "a text"))?,
        };
        const MS: &str = "a whole number, Unix ms";
        let wall_ms = given("wall_ms").and_then(Value::as_i64);
        let domain_ms = match given("domain_ms") {
            None => None,
            Some(ms) => Some(ms.as_i64().ok_or_else(|| bad("domain_ms", MS))?),
        };
        let request_id = given("request_id").and_then(Value::as_str);
        let events = match given("events") {
            None => 0,
            Some(events) => {
                let events = events.as_array().ok_or_else(|| bad("events", "an array"))?;
                events.len()
            }
        };
        Ok(Self {
            params: FeedParams::parse(query)?,
            wall_ms: wall_ms.ok_or_else(|| bad("wall_ms", MS))?,
            domain_ms,
            request_id: request_id
                .and_then(parse_hex16)
                .ok_or_else(|| bad("request_id", "32 hexadecimal digits"))?,
            has_events: events > 0,
        })
    }
}
