//! What follows from a batch of events before the origin has counted them: the session that
//! the next page is asked with, and the 202's body.

use alloc::string::String;
use alloc::vec::Vec;

use edgewise_ranking::id_hash;
use edgewise_wire::api::{Event, Rejection};
use edgewise_wire::keys::Keys;
use edgewise_wire::session::Session;

use crate::json::Json;
use crate::session::SessionStatus;

/// What a session keeps of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemFacts<'a> {
    /// Author id.
    pub author: &'a str,
    /// Tags.
    pub tags: Vec<&'a str>,
}

/// The session after the accepted events of a batch. Events of other users than the
/// session's subject leave no trace in it, nor do impressions and views that did not complete.
///
/// `lookup` finds an item's facts (see [`crate::Prepared::item_facts`]); where it does not
/// know the item, the author that the event names is taken.
#[must_use]
pub fn session_after<'a>(
    events: &[(u32, Event)],
    mut session: Session,
    lookup: impl Fn(&str) -> Option<ItemFacts<'a>>,
    wall_ms: i64,
) -> Session {
    session.prune(wall_ms);
    for (_, event) in events {
        if id_hash(&event.user) != session.subject {
            continue;
        }
        let facts = event.item.as_deref().and_then(&lookup);
        let author = facts.as_ref().map(|facts| facts.author);
        let tags = facts.as_ref().map_or(&[][..], |facts| &facts.tags);
        session.apply(event, author, tags, wall_ms);
    }
    session
}

/// What became of a batch.
#[derive(Clone, Copy, Debug)]
pub struct EventsOutcome<'a> {
    /// Events that count (at the edge: that were queued).
    pub accepted: u32,
    /// Events whose id had counted before.
    pub duplicate: u32,
    /// Events that do not count, by index and reason.
    pub rejected: &'a [Rejection],
}

/// The body of the 202: `{accepted, duplicate, rejected, session, session_status}`.
#[must_use]
pub fn answer(
    outcome: &EventsOutcome<'_>,
    session: &Session,
    status: SessionStatus,
    keys: &Keys,
) -> Vec<u8> {
    let token: String = session.encode(keys);
    let mut json = Json::with_capacity(256 + token.len() + outcome.rejected.len() * 96);
    json.open('{');
    json.key_integer("accepted", i64::from(outcome.accepted));
    json.key_integer("duplicate", i64::from(outcome.duplicate));
    json.key("rejected");
    json.open('[');
    for rejection in outcome.rejected {
        json.open('{');
        json.key_integer("index", i64::from(rejection.index));
        json.key_text("reason", &rejection.reason);
        json.close('}');
    }
    json.close(']');
    json.key_text("session", &token);
    json.key_text("session_status", status.name());
    json.close('}');
    json.finish().into_bytes()
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use edgewise_wire::api::EventType;

    use super::*;
    use crate::fixture::{NOW_MS, event, keys};

    fn facts(id: &str) -> Option<ItemFacts<'static>> {
        (id == "i1").then(|| ItemFacts {
            author: "ann",
            tags: Vec::from(["cats"]),
        })
    }

    #[test]
    fn only_what_the_subject_did_enters() {
        let mut other = event("e3", EventType::Like, "i1", "");
        other.user = "u2".to_string();
        let events = [
            (0, event("e1", EventType::Impression, "i1", "")),
            (1, event("e2", EventType::View, "i1", "")),
            (2, other),
            (3, event("e4", EventType::Like, "i1", "")),
            (5, event("e5", EventType::Like, "i2", "bob")),
        ];
        let session = session_after(&events, Session::new(id_hash("u1")), facts, NOW_MS);
        let entries: Vec<_> = session
            .entries
            .iter()
            .map(|entry| (entry.kind, entry.item, entry.author))
            .collect();
        let like = EventType::Like;
        let expected = [
            (like, id_hash("i1"), id_hash("ann")),
            (like, id_hash("i2"), id_hash("bob")),
        ];
        assert_eq!(entries, expected);
        assert_eq!(session.entries[0].tags.len(), 1);
    }

    #[test]
    fn the_body_says_what_became_of_the_batch() {
        let rejected = [Rejection {
            index: 1,
            reason: "too \"old\"".to_string(),
        }];
        let outcome = EventsOutcome {
            accepted: 2,
            duplicate: 1,
            rejected: &rejected,
        };
        let session = Session::new(id_hash("u1"));
        let body = answer(&outcome, &session, SessionStatus::New, &keys());
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (&body["accepted"], &body["duplicate"]),
            (&2.into(), &1.into())
        );
        assert_eq!(body["rejected"][0]["reason"], "too \"old\"");
        let token = body["session"].as_str().unwrap();
        assert_eq!(
            Session::decode(token, &keys(), id_hash("u1"), NOW_MS),
            Ok(session)
        );
    }
}
