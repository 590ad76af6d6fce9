//! A topic of events: each message is one event as `POST /api/v1/events` takes it.
//!
//! A log has no row to update, so a message is a row whose key is where it stands: partition
//! and offset in one number, so that neighbours share a block of the row memory. With
//! `key = ["id"]` the event's own id is the key: an event that was produced twice counts once.

use edgewise_wire::events::delivered_event;
use xxhash_rust::xxh3::xxh3_128;

use super::topic::Incoming;
use crate::ingest::rows::{EventFact, Fact, Id, RowKey};

/// Bits of an offset in a key.
const OFFSET_BITS: u32 = 48;

/// The key of the message at an offset; `None` beyond 2^48 messages or 2^15 partitions.
pub(super) fn key(partition: i32, offset: i64) -> Option<RowKey> {
    let partition = i64::from(u16::try_from(partition).ok().filter(|id| *id < 1 << 15)?);
    let is_small = (0..1 << OFFSET_BITS).contains(&offset);
    is_small.then_some(RowKey::Int(partition << OFFSET_BITS | offset))
}

/// An event of a message and, where it is keyed by it, its id's key.
///
/// # Errors
/// The reason for people, as the public route would say it; an event of any age is taken.
pub(super) fn read(
    message: &Incoming<'_>,
    domain_ms: i64,
    is_keyed_by_id: bool,
) -> Result<(Fact, Option<RowKey>), String> {
    let value = message.value.ok_or("the message is empty")?;
    let text = std::str::from_utf8(value).map_err(|_| "the message is not UTF-8 text")?;
    let event = delivered_event(text, domain_ms)?;
    let key = is_keyed_by_id.then(|| RowKey::Hash(xxh3_128(event.id.as_bytes())));
    let fact = EventFact {
        kind: event.kind,
        user: Id::from(event.user),
        item: event.item.map(Id::from),
        author: event.author.map(Id::from),
        // The topic's time, not this machine's: a message that is read again says the same.
        ts_ms: event.ts_ms.unwrap_or(message.timestamp_ms),
        watch_ms: event.watch_ms,
        duration_ms: event.duration_ms,
        value: event.value,
    };
    Ok((Fact::Event(fact), key))
}

#[cfg(test)]
mod tests {
    use edgewise_wire::api::EventType;

    use super::*;

    #[test]
    fn keys_of_neighbours_are_neighbours_and_none_is_used_twice() {
        assert_eq!(key(0, 7), Some(RowKey::Int(7)));
        assert_eq!(key(3, 7), Some(RowKey::Int(3 * (1 << 48) + 7)));
        assert_eq!(key(0, 1 << 48), None);
        assert_eq!(
            (key(-1, 0), key(1 << 15, 0), key(0, -1)),
            (None, None, None)
        );
        let RowKey::Int(last) = key((1 << 15) - 1, (1 << 48) - 1).expect("a key") else {
            panic!("no integer");
        };
        assert_eq!(last, i64::MAX);
    }

    #[test]
    fn events_are_checked_as_the_route_does_but_may_be_old() {
        let read = |value: &'static str, by_id| {
            let message = Incoming {
                value: Some(value.as_bytes()),
                timestamp_ms: 5,
                ..Incoming::default()
            };
            read(&message, 1_000_000_000_000, by_id)
        };
        let (fact, key) =
            read(r#"{"id":"e","type":"like","user":"u","item":"i"}"#, true).expect("an event");
        let Fact::Event(event) = fact else {
            panic!("no event");
        };
        assert_eq!((event.kind, event.ts_ms), (EventType::Like, 5));
        assert_eq!(key, Some(RowKey::Hash(xxh3_128(b"e"))));
        assert!(
            read(
                r#"{"id":"e","type":"like","user":"u","item":"i","ts_ms":1}"#,
                false
            )
            .is_ok()
        );
        for (bad, says) in [
            (r#"{"id":"e","type":"like","user":"u"}"#, "item is missing"),
            (
                r#"{"id":"e","type":"like","user":"u","item":"i","ts_ms":2000000000000}"#,
                "in the future",
            ),
            ("x", "invalid JSON"),
            ("[]", "not an object"),
        ] {
            let reason = read(bad, false).expect_err("is refused");
            assert!(reason.contains(says), "{reason}");
        }
    }
}
