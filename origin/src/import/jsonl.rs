//! JSON lines: one object a line, with one field that says what it is.
//!
//! ```json
//! {"item": {"id": "v1", "author": "ann", "created_at": 1700000000000, "kind": "video", "title": "..."}}
//! {"delete_item": {"id": "v0"}}
//! {"follow": {"user": "bob", "author": "ann"}}
//! {"unfollow": {"user": "bob", "author": "cid"}}
//! {"event": {"id": "e1", "type": "like", "user": "bob", "item": "v1", "ts_ms": 1700000100000}}
//! ```
//!
//! Items and events have the fields of the API's routes, and the same rules hold but for an
//! event's age: any `ts_ms` from 0 on is taken (a missing one is the time of the import). An
//! event counts once by its place in the file, not by its id. A `follow` writes the follow graph
//! without counting as behaviour; a follow that should count is an `event`. Fields that are not
//! known are ignored (`follow` may carry a `ts_ms`). Empty lines are skipped. Lines apply in
//! their order.

use std::path::Path;

use edgewise_wire::api::{Event, Item};
use edgewise_wire::events::check_event;
use edgewise_wire::ids::check_id;
use edgewise_wire::limits::CREATED_AT_MS_MAX;
use serde_json::{Map, Value};

use super::lines::{LINE_BYTES_MAX, Line, Lines};
use super::loader::Loader;
use super::{ImportError, source};
use crate::ingest::ImportRow;

const NEEDED: &str = "--format jsonl reads a file of JSON lines";

/// What a line says.
#[derive(Debug, PartialEq)]
enum Entry {
    Item(Box<Item>),
    DeleteItem(String),
    Follow {
        begins: bool,
        user: String,
        author: String,
    },
    Event(Box<Event>),
}

/// Reads the file into `loader`.
pub(super) fn read(path: &Path, loader: &mut Loader<'_>) -> Result<(), ImportError> {
    loader.begin(path, source::hash(path, NEEDED)?)?;
    let (mut lines, total_bytes) = Lines::open(path, NEEDED)?;
    loop {
        let Some((number, line)) = lines.next()? else {
            return Ok(());
        };
        let entry = match line {
            Line::TooLong => Err(format!("the line has more than {LINE_BYTES_MAX} bytes")),
            Line::Bytes(bytes) if bytes.trim_ascii().is_empty() => continue,
            Line::Bytes(bytes) => parse(bytes),
        };
        match entry {
            Err(reason) => loader.bad(number, reason)?,
            Ok(Entry::Item(item)) => loader.item(number, *item)?,
            Ok(Entry::DeleteItem(id)) => loader.delete(id)?,
            Ok(Entry::Follow {
                begins,
                user,
                author,
            }) => {
                loader.follow(number, begins, (user, author))?;
            }
            Ok(Entry::Event(event)) => {
                loader.row(
                    number,
                    ImportRow {
                        ordinal: number - 1,
                        events: vec![*event],
                    },
                )?;
            }
        }
        loader.progress(lines.done_bytes(), total_bytes);
    }
}

/// Reads a line; the error is the reason for people.
fn parse(bytes: &[u8]) -> Result<Entry, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
    let object: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| format!("not a JSON object: {error}"))?;
    let mut fields = object.into_iter();
    let (Some((kind, value)), None) = (fields.next(), fields.next()) else {
        return Err(format!("not an object with one field of {KINDS}"));
    };
    match kind.as_str() {
        "item" => item(value),
        "delete_item" => Ok(Entry::DeleteItem(id(&value, "delete_item", "id")?)),
        "follow" | "unfollow" => Ok(Entry::Follow {
            begins: kind == "follow",
            user: id(&value, &kind, "user")?,
            author: id(&value, &kind, "author")?,
        }),
        "event" => event(&value),
        other => Err(format!("{other:.64} is not one of {KINDS}")),
    }
}

const KINDS: &str = "item, delete_item, follow, unfollow, event";

fn item(value: Value) -> Result<Entry, String> {
    let item: Item = serde_json::from_value(value).map_err(|error| format!("item: {error}"))?;
    edgewise_wire::items::check(&item).map_err(|error| format!("item: {error}"))?;
    Ok(Entry::Item(Box::new(item)))
}

fn event(value: &Value) -> Result<Entry, String> {
    // The API's rules at the event's own time: whatever its age, it is not too old.
    let ts = &value["ts_ms"];
    let own_ms = ts
        .as_i64()
        .or_else(|| ts.as_f64().map(|ts_ms| ts_ms as i64))
        .unwrap_or(0);
    let event =
        check_event(&value.to_string(), own_ms).map_err(|reason| format!("event: {reason}"))?;
    if event
        .ts_ms
        .is_some_and(|ts_ms| !(0..=CREATED_AT_MS_MAX).contains(&ts_ms))
    {
        return Err(format!("event: ts_ms is not in 0..{CREATED_AT_MS_MAX}"));
    }
    Ok(Entry::Event(Box::new(event)))
}

fn id(value: &Value, kind: &str, field: &str) -> Result<String, String> {
    let id = value[field]
        .as_str()
        .ok_or_else(|| format!("{kind}: {field} is not a string"))?;
    check_id(id).map_err(|error| format!("{kind}: {field} {error}"))?;
    Ok(id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let found = match parse(line.as_bytes()) {
            Ok(entry) => format!("{entry:?}"),
            Err(reason) => reason,
        };
        assert!(found.contains(expected), "{found:?} has no {expected:?}");
    }

    #[test]
    fn good_lines() {
        check(
            r#"{"item":{"id":"v","author":"a","created_at":5}}"#,
            "created_at_ms: 5",
        );
        check(r#"{"delete_item":{"id":"v"}}"#, r#"DeleteItem("v")"#);
        check(
            r#"{"follow":{"user":"u","author":"a","ts_ms":3}}"#,
            "begins: true",
        );
        check(
            r#" {"unfollow":{"user":"u","author":"a"}} "#,
            "begins: false",
        );
        let old = r#"{"event":{"id":"e","type":"like","user":"u","item":"v","ts_ms":0}}"#;
        check(old, "ts_ms: Some(0)");
        let no_time = r#"{"event":{"id":"e","type":"like","user":"u","item":"v"}}"#;
        check(no_time, "ts_ms: None");
    }

    #[test]
    fn bad_lines_say_why() {
        check("", "not a JSON object");
        check("[1]", "not a JSON object");
        check("{", "not a JSON object");
        check("{}", "one field of item");
        check(r#"{"item":{},"event":{}}"#, "one field of item");
        check(r#"{"itme":{}}"#, "itme is not one of item");
        check(r#"{"item":{"id":"v","author":"a"}}"#, "created_at");
        check(
            r#"{"item":{"id":"","author":"a","created_at":5}}"#,
            "item: id",
        );
        check(r#"{"item":{"id":5,"author":"a","created_at":5}}"#, "item: ");
        check(r#"{"delete_item":"v"}"#, "delete_item: id is not a string");
        check(
            r#"{"follow":{"user":"u"}}"#,
            "follow: author is not a string",
        );
        check(
            &format!(
                r#"{{"follow":{{"user":"{}","author":"a"}}}}"#,
                "u".repeat(65)
            ),
            "65 bytes",
        );
        check(
            r#"{"event":{"id":"e","type":"love","user":"u","item":"v"}}"#,
            "event: type",
        );
        check(
            r#"{"event":{"id":"e","type":"like","user":"u"}}"#,
            "event: item is missing",
        );
        check(
            r#"{"event":{"id":"e","type":"like","user":"u","item":"v","ts_ms":-1}}"#,
            "ts_ms",
        );
        check(
            r#"{"event":{"id":"e","type":"like","user":"u","item":"v","ts_ms":"1"}}"#,
            "ts_ms",
        );
        check(
            r#"{"event":{"id":"e","type":"like","user":"u","item":"v","value":1e999}}"#,
            "JSON",
        );
        check(r#"{"event":7}"#, "event: ");
        assert!(parse(b"{\"item\":\xff}").is_err());
    }
}
