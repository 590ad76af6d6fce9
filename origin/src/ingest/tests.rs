//! What a client and an operator would notice of the writer.

mod hot;

use edgewise_ranking::id_hash;
use edgewise_wire::api::{Event, EventType};
use edgewise_wire::counters::Counters;

use super::testing::{NOW_MS, Rig, event, item};
use super::{Command, FollowChange, ImportRow, Served, SourceHash};
use crate::store::{Store, Table, keys, read};

const HOUR_MS: i64 = keys::HOUR_MS;

fn counters(rig: &Rig, id: &str) -> Counters {
    read::item(&*rig.read(), id).unwrap().unwrap().counters
}

#[track_caller]
fn near(one: f64, other: f64) {
    assert!(
        (one - other).abs() <= 1e-12 * other.abs().max(1.0),
        "{one} is not {other}"
    );
}

#[test]
fn an_id_counts_once_and_the_first_content_wins() {
    let rig = Rig::new();
    let first = rig.events(vec![event("e1", EventType::Like, "u", "i")]);
    assert_eq!((first.accepted, first.duplicate, first.position), (1, 0, 1));
    let again = rig.events(vec![
        event("e1", EventType::Share, "u", "i"),
        event("e2", EventType::Share, "u", "i"),
        event("e2", EventType::Share, "u", "i"),
    ]);
    assert_eq!((again.accepted, again.duplicate, again.position), (1, 2, 2));
    assert_eq!(
        counters(&rig, "i"),
        Counters {
            likes: 1,
            shares: 1,
            ..Counters::default()
        }
    );
    assert_eq!(rig.check().events, 2);
}

#[test]
fn an_id_is_forgotten_after_48_hours_and_not_before() {
    let rig = Rig::new();
    let like = |id: &str| event(id, EventType::Click, "u", "i");
    rig.events(vec![like("old")]);
    rig.clock.advance(48 * HOUR_MS);
    assert_eq!(rig.events(vec![like("old")]).duplicate, 1);
    rig.clock.advance(11 * 60_000);
    assert_eq!(rig.events(vec![like("old")]).accepted, 1);
    assert_eq!(rig.events(vec![like("old")]).duplicate, 1);
    rig.check();
    let mut rows = 0;
    rig.read()
        .scan(Table::Dedupe, &crate::store::Range::all(), &mut |_, _| {
            rows += 1;
            Ok(std::ops::ControlFlow::Continue(()))
        })
        .unwrap();
    assert_eq!(rows, 1);
}

#[test]
fn undo_takes_back_one_of_that_user_and_never_goes_below_zero() {
    let rig = Rig::new();
    rig.events(vec![
        event("1", EventType::Unlike, "u", "i"),
        event("2", EventType::Like, "u", "i"),
        event("3", EventType::Like, "u", "i"),
        event("4", EventType::Like, "v", "i"),
        event("5", EventType::Unlike, "w", "i"),
        event("6", EventType::Unlike, "u", "i"),
    ]);
    assert_eq!(counters(&rig, "i").likes, 2);
    rig.events(vec![
        event("7", EventType::Unlike, "u", "i"),
        event("8", EventType::Unlike, "u", "i"),
        event("9", EventType::Unlike, "v", "i"),
    ]);
    let state = read::item(&*rig.read(), "i").unwrap().unwrap();
    assert_eq!(state.counters.likes, 0);
    state.hot.iter().for_each(|hot| near(hot.sum, 0.0));
    rig.check();
}

#[test]
fn hours_add_up_to_the_total_even_when_a_like_is_taken_back_later() {
    let rig = Rig::new();
    rig.events(vec![event("1", EventType::Like, "u", "i")]);
    rig.clock.advance(3 * HOUR_MS);
    rig.events(vec![
        event("2", EventType::Like, "v", "i"),
        event("3", EventType::Unlike, "u", "i"),
    ]);
    let hours = read::hourly(&*rig.read(), "i", 0, u32::MAX).unwrap();
    let first = keys::hour_of(NOW_MS);
    let likes: Vec<_> = hours
        .iter()
        .map(|(hour, counters)| (hour - first, counters.likes))
        .collect();
    assert_eq!(likes, [(0, 0), (3, 1)]);
    rig.check();
}

#[test]
fn views_are_timed_completed_and_without_duration() {
    let rig = Rig::new();
    rig.write(Command::UpsertItems(vec![item("i", "a")]));
    let view = |id: &str, watch_ms, duration_ms| Event {
        watch_ms,
        duration_ms,
        ..event(id, EventType::View, "u", "i")
    };
    rig.events(vec![
        view("1", Some(9_000), None),
        view("2", Some(8_999), None),
        view("3", Some(30_000), Some(20_000)),
        view("4", Some(5_000), Some(0)),
        view("5", None, Some(20_000)),
    ]);
    let counters = counters(&rig, "i");
    assert_eq!(
        (
            counters.views,
            counters.timed_views,
            counters.completed_views
        ),
        (5, 3, 2)
    );
    near(counters.watch_ratio_sum, 0.9 + 0.8999 + 1.0);
    let user = read::user_state(&*rig.read(), "u", NOW_MS, keys::DAY_MS * 7).unwrap();
    assert_eq!(user.interactions, [(id_hash("a"), 2)]);
    assert_eq!(user.seen, [(id_hash("i"), NOW_MS)]);
    rig.check();
}

#[test]
fn follows_come_by_event_and_by_operator_and_end() {
    let rig = Rig::new();
    rig.write(Command::UpsertItems(vec![item("i", "a")]));
    rig.events(vec![event("1", EventType::Follow, "u", "i")]);
    let pairs = vec![
        ("u".to_owned(), "b".to_owned()),
        ("u".to_owned(), "a".to_owned()),
    ];
    let outcome = rig.write(Command::Follows { add: true, pairs });
    assert_eq!(outcome.accepted, 2);
    let follows = |rig: &Rig| {
        let mut follows = read::user_state(&*rig.read(), "u", NOW_MS, keys::DAY_MS * 7)
            .unwrap()
            .follows;
        follows.sort_unstable();
        follows
    };
    let mut both = vec![id_hash("a"), id_hash("b")];
    both.sort_unstable();
    assert_eq!(follows(&rig), both);
    assert_eq!(
        read::author_id(&*rig.read(), id_hash("b"))
            .unwrap()
            .as_deref(),
        Some("b")
    );

    // An unfollow from the author's page takes back the follow made on the item.
    let unfollow = Event {
        author: Some("a".to_owned()),
        ..event("2", EventType::Unfollow, "u", "")
    };
    rig.events(vec![unfollow]);
    assert_eq!(counters(&rig, "i").follows, 0);
    rig.write(Command::Follows {
        add: false,
        pairs: vec![("u".to_owned(), "b".to_owned())],
    });
    assert!(follows(&rig).is_empty());
    let changes: Vec<FollowChange> = rig
        .seen
        .0
        .lock()
        .unwrap()
        .iter()
        .flat_map(|changes| changes.follows.clone())
        .collect();
    let change = |author: &str, follows| FollowChange {
        user: "u".to_owned(),
        author: id_hash(author),
        follows,
    };
    assert_eq!(
        changes,
        [
            change("a", true),
            change("b", true),
            change("a", false),
            change("b", false)
        ]
    );
    rig.check();
}

#[test]
fn a_hide_names_an_item_or_an_author() {
    let rig = Rig::new();
    let author = Event {
        author: Some("a".to_owned()),
        ..event("2", EventType::Hide, "u", "")
    };
    rig.events(vec![event("1", EventType::Hide, "u", "i"), author]);
    let user = read::user_state(&*rig.read(), "u", NOW_MS, keys::DAY_MS * 7).unwrap();
    assert_eq!(
        (user.hidden_items, user.hidden_authors),
        (vec![id_hash("i")], vec![id_hash("a")])
    );
    assert_eq!(counters(&rig, "i").hides, 1);
    rig.check();
}

#[test]
fn items_are_written_deleted_and_written_again() {
    let rig = Rig::new();
    rig.events(vec![event("1", EventType::Click, "u", "i")]);
    let state = |rig: &Rig| read::item(&*rig.read(), "i").unwrap().unwrap();
    assert_eq!((state(&rig).item, state(&rig).first_written), (None, None));
    rig.write(Command::UpsertItems(vec![item("i", "a")]));
    let position = rig
        .write(Command::UpsertItems(vec![item("i", "a")]))
        .position;
    assert_eq!(position, 2, "the same facts again are no change");
    assert_eq!(state(&rig).item.as_deref(), Some(&item("i", "a")));
    rig.clock.advance(1_000);
    assert_eq!(rig.write(Command::DeleteItem("i".to_owned())).accepted, 1);
    assert_eq!(rig.write(Command::DeleteItem("i".to_owned())).duplicate, 1);
    assert_eq!(
        rig.write(Command::DeleteItem("j".to_owned()))
            .rejected
            .len(),
        1
    );
    assert_eq!(state(&rig).deleted_at_ms, Some(NOW_MS + 1_000));
    assert_eq!(state(&rig).counters.clicks, 1);
    rig.clock.advance(1_000);
    rig.write(Command::UpsertItems(vec![item("i", "a")]));
    assert_eq!(state(&rig).deleted_at_ms, None);
    assert_eq!(state(&rig).first_written.unwrap().wall_ms, NOW_MS + 2_000);
    let mut items = 0;
    read::all_items(&*rig.read(), &mut |_| items += 1).unwrap();
    assert_eq!(items, 1);
    rig.check();
}

#[test]
fn an_import_resumes_where_it_stopped_and_a_second_run_does_nothing() {
    let rig = Rig::new();
    let source = SourceHash([7; 32]);
    let row = |ordinal| ImportRow {
        ordinal,
        events: vec![
            Event {
                ts_ms: Some(1_000),
                ..event("", EventType::Impression, "u", "i")
            },
            Event {
                ts_ms: Some(1_000),
                ..event("", EventType::Like, "u", "i")
            },
        ],
    };
    let import = |from, to| Command::Import {
        source,
        rows: (from..to).map(row).collect(),
    };
    rig.write(import(0, 3));
    assert_eq!(read::import_position(&*rig.read(), &source).unwrap(), 3);
    let outcome = rig.write(import(1, 5));
    assert_eq!((outcome.accepted, outcome.duplicate), (4, 4));
    assert_eq!(rig.write(import(0, 5)).duplicate, 10);
    let counters = counters(&rig, "i");
    assert_eq!((counters.impressions, counters.likes), (5, 5));
    assert_eq!(rig.check().events, 10);
}

#[test]
fn colliding_ids_are_refused_by_name() {
    let rig = Rig::new();
    // No two short ids are known to collide: another id is put under the hash instead.
    rig.store
        .write(&mut |tx| {
            let author = crate::store::record::Record::encode(&"other".to_owned());
            tx.put(Table::Authors, &keys::number(id_hash("a")), &author)
        })
        .unwrap();
    let outcome = rig.write(Command::UpsertItems(vec![item("i", "a"), item("j", "b")]));
    assert_eq!(outcome.accepted, 1);
    assert_eq!(outcome.rejected[0].index, 0);
    assert!(outcome.rejected[0].reason.contains("collides"));
    let follow = Event {
        author: Some("a".to_owned()),
        ..event("1", EventType::Follow, "u", "i")
    };
    assert_eq!(rig.events(vec![follow]).rejected.len(), 1);
    assert!(
        !read::user_state(&*rig.read(), "u", NOW_MS, keys::DAY_MS * 7)
            .unwrap()
            .known,
        "nothing was applied"
    );
}

#[test]
fn changes_name_what_a_commit_touched_before_the_reply() {
    let rig = Rig::new();
    rig.write(Command::UpsertItems(vec![item("i", "a")]));
    rig.events(vec![
        event("1", EventType::Like, "u", "i"),
        event("2", EventType::Hide, "u", "j"),
    ]);
    let seen = rig.seen.0.lock().unwrap();
    assert_eq!(seen.len(), 2);
    assert!(seen[0].items[0].item.is_some());
    let touched: Vec<_> = seen[1]
        .items
        .iter()
        .map(|state| state.id.as_str())
        .collect();
    assert!(touched.contains(&"i") && touched.contains(&"j"));
    assert!(seen[1].items.iter().all(|state| state.item.is_none()));
    assert_eq!(seen[1].users, ["u"]);
    assert_eq!(
        seen[1].hides,
        [("u".to_owned(), super::Hidden::Item(id_hash("j")))]
    );
    assert_eq!((seen[1].position, rig.writer.position()), (3, 3));
}

#[test]
fn applied_interactions_are_the_last_64_newest_first() {
    let rig = Rig::new();
    let clicks = (0..70).map(|n| event(&format!("e{n}"), EventType::Click, "u", "i"));
    rig.events(clicks.collect());
    let user = read::user_state(&*rig.read(), "u", NOW_MS, keys::DAY_MS * 7).unwrap();
    assert_eq!(user.applied_events.len(), 64);
    assert_eq!(user.applied_events[0], edgewise_ranking::short_hash("e69"));
    assert_eq!(user.applied_events[63], edgewise_ranking::short_hash("e6"));
    rig.check();
}

#[test]
fn served_items_are_logged_and_count_nothing() {
    let rig = Rig::new();
    let served = Served {
        request_id: "0".repeat(32),
        user: Some("nobody".to_owned()),
        item: "i".to_owned(),
        position: 10,
        propensity: 0.02,
    };
    assert_eq!(rig.write(Command::Served(vec![served.clone()])).position, 1);
    assert!(read::item(&*rig.read(), "i").unwrap().is_none());
    rig.check();

    // The queue delivers it again, with another place of the page.
    let next = Served {
        position: 20,
        ..served.clone()
    };
    let outcome = rig.write(Command::Served(vec![served.clone(), next.clone(), next]));
    assert_eq!((outcome.accepted, outcome.duplicate), (1, 2));
    assert_eq!(outcome.position, 2);
    rig.check();
    rig.clock.advance(super::dedupe::REMEMBERED_MS + 1);
    assert_eq!(rig.write(Command::Served(vec![served])).accepted, 1);
    rig.check();
}

#[test]
fn what_was_seen_counts_within_the_window_asked_for() {
    let rig = Rig::new();
    let view = Event {
        ts_ms: Some(NOW_MS - 30 * 3_600_000),
        ..event("1", EventType::View, "u", "i")
    };
    rig.events(vec![view]);
    let seen = |days: i64| {
        let window_ms = days * keys::DAY_MS;
        let user = read::user_state(&*rig.read(), "u", NOW_MS, window_ms);
        user.unwrap().seen.len()
    };
    assert_eq!((seen(1), seen(2), seen(7)), (0, 1, 1));
}
