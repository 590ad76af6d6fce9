//! What a session changes in a page.

use super::*;

#[test]
fn hides_of_the_session_hold_at_once() {
    let mut prepared = Prepared::new(bundle(12, 6));
    let hides = [
        event("e1", EventType::Hide, "i3", ""),
        event("e2", EventType::Hide, "", "a1"),
    ];
    let session = session(&prepared, &hides);
    let (body, _) = page(
        &mut prepared,
        &Ask {
            session,
            ..Ask::default()
        },
    );
    let ids = ids(&body);
    assert_eq!(ids.len(), 9);
    assert!(
        ["i3", "i1", "i7"]
            .iter()
            .all(|hidden| !ids.contains(hidden))
    );
}

#[test]
fn an_event_that_the_bundle_has_applied_has_no_effect_left() {
    let mut applied = bundle(12, 6);
    applied.applied_events = Vec::from([short_hash("e1")]);
    let mut prepared = Prepared::new(applied);
    let session = session(&prepared, &[event("e1", EventType::Like, "i3", "")]);
    assert_eq!(session.entries.len(), 1);
    let query = "explain=1&selection=none";
    let (plain, _) = page(
        &mut prepared,
        &Ask {
            query,
            ..Ask::default()
        },
    );
    let (after, _) = page(
        &mut prepared,
        &Ask {
            query,
            session,
            ..Ask::default()
        },
    );
    assert_eq!(plain["items"], after["items"]);
}

#[test]
fn a_follow_of_the_session_lets_new_items_join() {
    let mut prepared = Prepared::new(bundle(12, 6));
    let overlay = || {
        Some(overlay(Vec::from([
            new_item("n1", "a5"),
            new_item("n2", "a4"),
        ])))
    };
    let (before, _) = page(
        &mut prepared,
        &Ask {
            overlay: overlay(),
            ..Ask::default()
        },
    );
    assert!(!ids(&before).contains(&"n1"));
    let follow = session(&prepared, &[event("e1", EventType::Follow, "", "a5")]);
    let ask = Ask {
        overlay: overlay(),
        session: follow,
        query: "explain=1",
        ..Ask::default()
    };
    let (after, _) = page(&mut prepared, &ask);
    assert!(ids(&after).contains(&"n1") && !ids(&after).contains(&"n2"));
    // The follow is an interaction too, for the joined row as for the others.
    let affinities = affinities(&after);
    let of = |id: &str| affinities.iter().find(|row| row.0 == id).unwrap().2;
    assert_eq!(of("n1").to_bits(), of("i5").to_bits());
    assert!(of("i5") > 0.0);
    // Nothing of the session stays behind.
    let (again, _) = page(
        &mut prepared,
        &Ask {
            overlay: overlay(),
            ..Ask::default()
        },
    );
    assert_eq!(before["items"], again["items"]);
}

#[test]
fn an_unfollow_of_the_session_removes_what_only_the_follow_brought() {
    let mut both = bundle(12, 6);
    both.candidates.sources[6] = Sources::FOLLOW.union(Sources::EXPLORE);
    let mut prepared = Prepared::new(both);
    let unfollow = [event("e1", EventType::Unfollow, "", "a0")];
    let session = session(&prepared, &unfollow);
    let overlay = Some(overlay(Vec::from([new_item("n1", "a0")])));
    let (body, _) = page(
        &mut prepared,
        &Ask {
            session,
            overlay,
            ..Ask::default()
        },
    );
    let items = body["items"].as_array().unwrap();
    assert!(!ids(&body).contains(&"i0") && !ids(&body).contains(&"n1"));
    let kept = items.iter().find(|item| item["id"] == "i6").unwrap();
    assert_eq!(kept["sources"], Value::from(Vec::from(["explore"])));
}

#[test]
fn the_session_comes_back_with_its_status() {
    let mut prepared = Prepared::new(bundle(12, 6));
    let subject = id_hash("u1");
    let liked = session(&prepared, &[event("e1", EventType::Like, "i3", "")]);
    let token = liked.encode(&keys());
    let (session, status) = open(Some(&token), &keys(), subject, NOW_MS);
    let (body, _) = page(
        &mut prepared,
        &Ask {
            session,
            status,
            ..Ask::default()
        },
    );
    assert_eq!(body["session_status"], "ok");
    let again = open(body["session"].as_str(), &keys(), subject, NOW_MS);
    assert_eq!(again, (liked, SessionStatus::Ok));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_like_raises_exactly_its_authors_rows(item in 0..40_usize, likes in 1..4_usize) {
        let mut prepared = Prepared::new(bundle(40, 7));
        let likes: Vec<Event> = (0..likes)
            .map(|n| event(&format!("e{n}"), EventType::Like, &format!("i{item}"), ""))
            .collect();
        let session = session(&prepared, &likes);
        let query = "limit=100&explain=1";
        let (before, _) = page(&mut prepared, &Ask { query, ..Ask::default() });
        let (after, _) = page(&mut prepared, &Ask { query, session, ..Ask::default() });
        let author = format!("a{}", item % 7);
        for (old, new) in affinities(&before).into_iter().zip(affinities(&after)) {
            prop_assert_eq!(old.0, new.0);
            if old.1 == author {
                let raised = (old.2.exp_m1().round() + likes.len() as f64).ln_1p();
                prop_assert!((new.2 - raised).abs() < 1e-12);
            } else {
                prop_assert_eq!(old.2.to_bits(), new.2.to_bits());
            }
        }
        // The session leaves no trace in the bundle.
        let ask = Ask { query, ..Ask::default() };
        prop_assert_eq!(&page(&mut prepared, &ask).0, &before);
    }
}
