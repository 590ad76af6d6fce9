use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::samples::{self, NOW_MS, event, keys};

fn kinds(session: &Session) -> Vec<EventType> {
    session.entries.iter().map(|entry| entry.kind).collect()
}

fn applied(events: &[Event]) -> Session {
    let mut session = Session::new(1);
    for event in events {
        session.apply(
            event,
            Some("author"),
            &["t1", "t2", "t3", "t4", "t5"],
            NOW_MS,
        );
    }
    session
}

#[test]
fn a_like_is_remembered_with_author_and_tags() {
    let session = applied(&[event(EventType::Like, "e1", Some("i"), None)]);
    let expected = SessionEntry {
        kind: EventType::Like,
        event: short_hash("e1"),
        item: id_hash("i"),
        author: id_hash("author"),
        tags: ["t1", "t2", "t3", "t4"].map(short_hash).to_vec(),
        at_s: 1_700_000_000,
    };
    assert_eq!(session.entries, [expected]);
}

#[test]
fn an_unlike_takes_the_like_back() {
    let like = event(EventType::Like, "e1", Some("i"), None);
    let other = event(EventType::Like, "e2", Some("j"), None);
    let unlike = event(EventType::Unlike, "e3", Some("i"), None);
    let session = applied(&[like, other, unlike]);
    assert_eq!(session.entries.len(), 1);
    assert_eq!(session.entries[0].item, id_hash("j"));
}

#[test]
fn the_last_of_follow_and_unfollow_counts() {
    let follow = event(EventType::Follow, "e1", None, Some("a"));
    let unfollow = event(EventType::Unfollow, "e2", None, Some("a"));
    let again = event(EventType::Follow, "e3", None, Some("a"));
    assert_eq!(
        kinds(&applied(&[follow.clone(), unfollow.clone()])),
        [EventType::Unfollow]
    );
    assert_eq!(
        kinds(&applied(&[follow, unfollow, again])),
        [EventType::Follow]
    );
}

#[test]
fn a_hide_names_an_author_only_where_the_event_does() {
    let item = event(EventType::Hide, "e1", Some("i"), None);
    let author = event(EventType::Hide, "e2", None, Some("a"));
    let session = applied(&[item, author]);
    let pairs: Vec<(u64, u64)> = session
        .entries
        .iter()
        .map(|entry| (entry.item, entry.author))
        .collect();
    assert_eq!(pairs, [(id_hash("i"), 0), (0, id_hash("a"))]);
}

#[test]
fn only_completed_views_are_interactions() {
    let view = |watch_ms, duration_ms| Event {
        watch_ms: Some(watch_ms),
        duration_ms: Some(duration_ms),
        ..event(
            EventType::View,
            &format!("{watch_ms}/{duration_ms}"),
            Some("i"),
            None,
        )
    };
    let session = applied(&[
        event(EventType::Impression, "e1", Some("i"), None),
        event(EventType::View, "e2", Some("i"), None),
        view(89, 100),
        view(0, 0),
    ]);
    assert_eq!(kinds(&session), []);
    assert_eq!(kinds(&applied(&[view(90, 100)])), [EventType::View]);
}

#[test]
fn a_repeated_event_is_remembered_once() {
    let like = event(EventType::Like, "e1", Some("i"), None);
    assert_eq!(applied(&[like.clone(), like]).entries.len(), 1);
}

#[test]
fn the_oldest_go_beyond_32_of_each() {
    let mut events = Vec::new();
    for n in 0..40 {
        let id = format!("{n}");
        events.push(event(EventType::Hide, &format!("h{n}"), Some(&id), None));
        events.push(event(EventType::Like, &format!("l{n}"), Some(&id), None));
    }
    let session = applied(&events);
    assert_eq!(session.entries.len(), 64);
    assert_eq!(session.entries[0].item, id_hash("8"));
}

#[test]
fn entries_are_forgotten_after_half_an_hour_and_hides_after_a_day() {
    let mut session = samples::session();
    let hides = session
        .entries
        .iter()
        .filter(|entry| entry.kind == EventType::Hide)
        .count();
    let token = session.encode(&keys());
    let at = |wall_ms| Session::decode(&token, &keys(), session.subject, wall_ms).unwrap();
    assert_eq!(at(NOW_MS + 1_800_000).entries.len(), 2);
    assert_eq!(at(NOW_MS + 1_801_000).entries.len(), hides);
    assert_eq!(at(NOW_MS + 86_400_000).entries.len(), hides);
    session.prune(NOW_MS + 86_401_000);
    assert!(session.entries.is_empty());
}

#[test]
fn a_full_session_of_few_tags_fits_without_loss() {
    let mut session = Session::new(1);
    for n in 0..32_u32 {
        let author = format!("author {n}");
        let tags: Vec<String> = (0..4)
            .map(|k| format!("tag {}", (n * 3 + k * 5) % 40))
            .collect();
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        let item = format!("item {n}");
        let wall_ms = NOW_MS + i64::from(n) * 50_000;
        let like = event(EventType::Like, &format!("l{n}"), Some(&item), None);
        session.apply(&like, Some(&author), &tags, wall_ms);
        session.apply(
            &event(EventType::Hide, &item, Some(&author), None),
            None,
            &[],
            wall_ms,
        );
    }
    let token = session.encode(&keys());
    std::println!("a full session has {} characters", token.len());
    assert!(token.len() < 2_048, "{}", token.len());
    assert_eq!(
        Session::decode(&token, &keys(), 1, NOW_MS + 1_600_000),
        Ok(session)
    );
}

#[test]
fn the_fullest_session_loses_tags_first_and_fits() {
    let mut session = Session::new(1);
    for n in 0..32_u32 {
        let tags: Vec<String> = (0..4).map(|k| format!("tag {n} {k}")).collect();
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        let id = format!("{n}");
        session.apply(
            &event(EventType::Like, &id, Some(&id), None),
            Some(&id),
            &tags,
            NOW_MS,
        );
        let hide = event(EventType::Hide, &format!("h{n}"), Some(&id), Some(&id));
        session.apply(&hide, None, &[], NOW_MS);
    }
    let long_id = Keys::from_secret("a-key-id-of-16-b", &[7; 32]).unwrap();
    let token = session.encode(&long_id);
    assert!(token.len() < 2_048, "{}", token.len());
    let read = Session::decode(&token, &long_id, 1, NOW_MS).unwrap();
    let newest = read
        .entries
        .iter()
        .rfind(|entry| entry.kind == EventType::Like)
        .unwrap();
    assert_eq!(read.entries.len(), 64, "no entry was lost");
    assert_eq!(newest.tags.len(), 4, "the newest kept its tags");
}

#[test]
fn every_flipped_bit_of_a_token_is_noticed() {
    let session = samples::session();
    let token = session.encode(&keys());
    for at in 0..token.len() {
        for bit in 0..7 {
            let mut bytes = token.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let flipped = String::from_utf8(bytes).unwrap();
            let read = Session::decode(&flipped, &keys(), session.subject, NOW_MS);
            assert!(read.is_err(), "bit {bit} of character {at}");
        }
    }
    assert_eq!(
        Session::decode(&token, &keys(), 5, NOW_MS),
        Err(TokenError::Subject)
    );
}

prop_compose! {
    fn entry()(
        kind in 0_usize..11,
        hashes in any::<(u32, u64, u64)>(),
        tags in prop::collection::vec(any::<u32>(), 0..5),
        age_s in 0_u32..1_800,
    ) -> SessionEntry {
        SessionEntry {
            kind: EventType::ALL[kind],
            event: hashes.0,
            item: hashes.1,
            author: hashes.2,
            tags,
            at_s: 1_700_000_000 - age_s,
        }
    }
}

proptest! {
    #[test]
    fn a_session_comes_back(subject: u64, entries in prop::collection::vec(entry(), 0..30)) {
        let session = Session { subject, entries };
        let token = session.encode(&keys());
        prop_assert_eq!(Session::decode(&token, &keys(), subject, NOW_MS), Ok(session));
    }

    #[test]
    fn any_session_fits(entries in prop::collection::vec(entry(), 0..150)) {
        let session = Session { subject: 1, entries };
        let token = session.encode(&keys());
        prop_assert!(token.len() < 2_048);
        prop_assert!(Session::decode(&token, &keys(), 1, NOW_MS).is_ok());
    }

    #[test]
    fn any_text_and_any_payload_are_read_without_a_panic(
        text in ".{0,100}",
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = Session::decode(&text, &keys(), 0, NOW_MS);
        let _ = Session::from_payload(&payload);
    }
}
