//! One event: which fields it needs and what they may be.

use alloc::format;
use alloc::string::String;

use serde_json::{Map, Value};

use crate::api::{Event, EventType};
use crate::ids::check_id;
use crate::limits::{EVENT_AGE_MAX_MS, EVENT_FUTURE_MAX_MS, POSITION_MAX, WATCH_MS_MAX};

/// Reads one event from JSON text at domain time `domain_now_ms`.
///
/// # Errors
///
/// The reason for people: names the field and what it may be.
pub fn event(json: &str, domain_now_ms: i64) -> Result<Event, String> {
    let event = delivered_event(json, domain_now_ms)?;
    if event
        .ts_ms
        .is_some_and(|ts_ms| ts_ms < domain_now_ms.saturating_sub(EVENT_AGE_MAX_MS))
    {
        return Err(String::from("too old: ts_ms is more than 48 h ago"));
    }
    Ok(event)
}

/// Like [`event`], but of any age: an edge accepted it in time and a queue kept it since.
///
/// # Errors
///
/// The reason for people: names the field and what it may be.
pub fn delivered_event(json: &str, domain_now_ms: i64) -> Result<Event, String> {
    let value = crate::json::value(json.as_bytes());
    let value = value.map_err(|error| super::json_problem(&error))?;
    let Value::Object(fields) = value else {
        return Err(String::from("the event is not an object"));
    };
    let kind = kind(&fields)?;
    let item = optional_id(&fields, "item")?;
    let author = optional_id(&fields, "author")?;
    match kind {
        EventType::Follow | EventType::Unfollow if item.is_none() && author.is_none() => {
            return Err(format!(
                "item or author is missing: {} needs one",
                kind.name()
            ));
        }
        EventType::Follow | EventType::Unfollow => {}
        EventType::Hide if item.is_none() && author.is_none() => {
            return Err(String::from("item or author is missing: hide needs one"));
        }
        EventType::Hide => {}
        _ if item.is_none() => return Err(format!("item is missing: {} needs it", kind.name())),
        _ => {}
    }
    Ok(Event {
        id: required_id(&fields, "id")?,
        kind,
        user: required_id(&fields, "user")?,
        item,
        author,
        ts_ms: timestamp(&fields, domain_now_ms)?,
        watch_ms: whole(&fields, "watch_ms", 0, WATCH_MS_MAX)?,
        duration_ms: duration(&fields)?,
        value: number(&fields, "value")?,
        request_id: optional_id(&fields, "request_id")?,
        position: whole(&fields, "position", 1, POSITION_MAX)?,
    })
}

/// A field that is there and not null.
fn given<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

fn kind(fields: &Map<String, Value>) -> Result<EventType, String> {
    let kind = given(fields, "type").ok_or_else(|| String::from("type is missing"))?;
    kind.as_str().and_then(EventType::from_name).ok_or_else(|| {
        let names = EventType::ALL.map(EventType::name).join(", ");
        format!("type is not one of {names}")
    })
}

fn required_id(fields: &Map<String, Value>, name: &str) -> Result<String, String> {
    optional_id(fields, name)?.ok_or_else(|| format!("{name} is missing"))
}

fn optional_id(fields: &Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    let Some(value) = given(fields, name) else {
        return Ok(None);
    };
    let id = value
        .as_str()
        .ok_or_else(|| format!("{name} is not a string"))?;
    check_id(id).map_err(|error| format!("{name} {error}"))?;
    Ok(Some(String::from(id)))
}

fn timestamp(fields: &Map<String, Value>, now_ms: i64) -> Result<Option<i64>, String> {
    let Some(value) = given(fields, "ts_ms") else {
        return Ok(None);
    };
    let ts_ms =
        integer(value).ok_or_else(|| String::from("ts_ms is not a whole number of Unix ms"))?;
    if ts_ms > now_ms.saturating_add(EVENT_FUTURE_MAX_MS) {
        return Err(String::from(
            "in the future: ts_ms is more than 5 min ahead",
        ));
    }
    Ok(Some(ts_ms))
}

/// A duration of 0 or less is none: the view counts, but not for completion.
fn duration(fields: &Map<String, Value>) -> Result<Option<u32>, String> {
    match given(fields, "duration_ms").and_then(integer) {
        Some(negative) if negative < 0 => Ok(Some(0)),
        _ => whole(fields, "duration_ms", 0, WATCH_MS_MAX),
    }
}

fn whole(
    fields: &Map<String, Value>,
    name: &str,
    min: u32,
    max: u32,
) -> Result<Option<u32>, String> {
    let Some(value) = given(fields, name) else {
        return Ok(None);
    };
    integer(value)
        .and_then(|value| u32::try_from(value).ok())
        .filter(|value| (min..=max).contains(value))
        .map(Some)
        .ok_or_else(|| format!("{name} is not a whole number in {min}..{max}"))
}

fn number(fields: &Map<String, Value>, name: &str) -> Result<Option<f64>, String> {
    let Some(value) = given(fields, name) else {
        return Ok(None);
    };
    match value.as_f64().filter(|value| value.is_finite()) {
        Some(value) => Ok(Some(value)),
        None => Err(format!("{name} is not a finite number")),
    }
}

/// Whole numbers, also as `1000.0`: some clients write every number as a double.
fn integer(value: &Value) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number = value.as_number()?;
    number.as_i64().or_else(|| {
        let double = number.as_f64()?;
        let exact = double.abs() <= EXACT && (double as i64) as f64 == double;
        exact.then_some(double as i64)
    })
}
