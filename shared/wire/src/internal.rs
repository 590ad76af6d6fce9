//! The body of `POST /internal/v1/events`: what the edge's queue delivers to the origin.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::api::{Event, Rejection};
use crate::events::{delivered_event, json_problem};
use crate::ids::check_id;
use crate::limits::{INTERNAL_BYTES_MAX, INTERNAL_EVENTS_MAX};
use crate::problem::Problem;
use crate::served::ServedSlot;

/// Events and served slots that an edge accepted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Delivery {
    /// Events in the order of receipt, `ts_ms` filled in.
    pub events: Vec<Event>,
    /// Explore slots that were served.
    pub served: Vec<ServedSlot>,
}

/// A delivery as the origin read it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delivered {
    /// Index in the body and event.
    pub events: Vec<(u32, Event)>,
    /// Served slots that are right; others are dropped.
    pub served: Vec<ServedSlot>,
    /// Refused events.
    pub rejected: Vec<Rejection>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    events: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    served: Vec<&'a RawValue>,
}

impl Delivery {
    /// The body's bytes.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Reads a delivery: at most 5,000 events and slots in 4 MiB, at domain time `domain_now_ms`.
///
/// # Errors
///
/// 400 for what is not such a body, 413 for one that is too large.
pub fn parse(body: &[u8], domain_now_ms: i64) -> Result<Delivered, Problem> {
    if body.len() > INTERNAL_BYTES_MAX {
        return Err(Problem::too_large(
            "body",
            "the body is too large",
            "at most 4194304 bytes",
        ));
    }
    let parsed: Body<'_> = serde_json::from_slice(body)
        .map_err(|error| Problem::body("body", json_problem(&error), "JSON"))?;
    for (field, len) in [
        ("events", parsed.events.len()),
        ("served", parsed.served.len()),
    ] {
        if len > INTERNAL_EVENTS_MAX {
            let detail = format!("{field} has {len} entries");
            return Err(Problem::too_large(field, detail, "at most 5000 entries"));
        }
    }
    let mut delivered = Delivered::default();
    for (index, entry) in (0..).zip(parsed.events) {
        match delivered_event(entry.get(), domain_now_ms) {
            Ok(event) => delivered.events.push((index, event)),
            Err(reason) => delivered.rejected.push(Rejection { index, reason }),
        }
    }
    delivered.served = parsed
        .served
        .iter()
        .filter_map(|entry| slot(entry.get()))
        .collect();
    Ok(delivered)
}

/// A served slot whose fields are in range.
fn slot(json: &str) -> Option<ServedSlot> {
    let slot: ServedSlot = serde_json::from_str(json).ok()?;
    let ids: [&String; 2] = [&slot.request_id, &slot.item];
    let right = ids.iter().all(|id| check_id(id).is_ok())
        && slot.position >= 1
        && slot.propensity > 0.0
        && slot.propensity <= 1.0;
    right.then_some(slot)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::api::EventType;
    use crate::samples::{NOW_MS, event};

    fn slot(propensity: f64) -> ServedSlot {
        ServedSlot {
            request_id: "r".to_string(),
            item: "i".to_string(),
            position: 10,
            propensity,
            at_ms: NOW_MS,
        }
    }

    #[test]
    fn a_delivery_comes_back() {
        let delivery = Delivery {
            events: Vec::from([event(EventType::Like, "e", Some("i"), None)]),
            served: Vec::from([slot(0.5)]),
        };
        let read = parse(&delivery.to_json(), NOW_MS).unwrap();
        assert_eq!(read.events, [(0, delivery.events[0].clone())]);
        assert_eq!(read.served, delivery.served);
        assert_eq!(read.rejected, []);
    }

    #[test]
    fn bad_entries_do_not_spoil_the_others() {
        let served = Vec::from([slot(0.0), slot(1.5), slot(1.0)]);
        let events = Vec::from([event(EventType::Like, "", Some("i"), None)]);
        let read = parse(&Delivery { events, served }.to_json(), NOW_MS).unwrap();
        assert_eq!(read.served, [slot(1.0)]);
        assert_eq!(read.rejected[0].reason, "id is empty");
    }

    #[test]
    fn other_bodies_are_refused() {
        assert_eq!(parse(b"", NOW_MS).unwrap_err().status, 400);
        assert_eq!(parse(b"[1]", NOW_MS).unwrap_err().status, 400);
        assert_eq!(parse(b"{}", NOW_MS), Ok(Delivered::default()));
        let many = Delivery {
            events: Vec::new(),
            served: alloc::vec![slot(1.0); 5_001],
        };
        assert_eq!(parse(&many.to_json(), NOW_MS).unwrap_err().status, 413);
    }

    #[test]
    fn what_waited_in_a_queue_for_days_is_still_taken() {
        let late = format!(
            r#"{{"events":[{{"id":"e","type":"like","user":"u","item":"i","ts_ms":{}}}]}}"#,
            NOW_MS - 30 * 86_400_000
        );
        let delivered = parse(late.as_bytes(), NOW_MS).unwrap();
        assert_eq!((delivered.events.len(), delivered.rejected.len()), (1, 0));
    }
}
