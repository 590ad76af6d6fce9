//! The hot scores, by their definition and after the rules that they were made by have changed.

use edgewise_ranking::id_hash;
use edgewise_wire::api::{Event, EventType};

use super::near;
use crate::ingest::Command;
use crate::ingest::testing::{NOW_MS, Rig, event, item};
use crate::store::{Store, Table, keys, read};

#[test]
fn the_hot_sum_is_the_formula() {
    let rig = Rig::new();
    rig.write(Command::UpsertItems(vec![item("i", "a")]));
    let at = |minutes: i64, event: Event| Event {
        ts_ms: Some(NOW_MS + minutes * 60_000),
        ..event
    };
    let watched = Event {
        watch_ms: Some(10_000),
        ..event("2", EventType::View, "u", "i")
    };
    rig.events(vec![
        at(0, event("1", EventType::View, "u", "i")),
        at(5, watched),
        at(20, event("3", EventType::Like, "u", "i")),
        at(21, event("4", EventType::Like, "u", "i")),
        at(10, event("5", EventType::Comment, "v", "i")),
        at(30, event("6", EventType::Share, "v", "i")),
        at(31, event("7", EventType::Share, "v", "i")),
        at(40, event("8", EventType::Follow, "v", "i")),
        at(50, event("9", EventType::Like, "w", "i")),
        at(55, event("10", EventType::Unlike, "w", "i")),
        at(60, event("11", EventType::Impression, "w", "i")),
        at(40, event("12", EventType::Click, "w", "i")),
    ]);
    let state = read::item(&*rig.read(), "i").unwrap().unwrap();
    assert_eq!(state.last_event_ms, NOW_MS + 50 * 60_000);
    let now = NOW_MS + 90 * 60_000;
    for (hot, half_life) in state.hot.iter().zip([20.0, 360.0, 2880.0]) {
        let added = [
            (0, 0.1),
            (5, 0.5),
            (20, 1.0),
            (10, 2.0),
            (30, 3.0),
            (40, 4.0),
            (40, 0.2),
        ];
        let expected: f64 = added
            .iter()
            .map(|&(minutes, w)| {
                w * (-std::f64::consts::LN_2 * f64::from(90 - minutes) / half_life).exp()
            })
            .sum();
        near(hot.at(now, half_life), expected);
    }
    rig.check();
}

#[test]
fn a_user_far_busier_than_the_others_does_not_move_hot_lists() {
    let rig = Rig::new();
    let mut events = Vec::new();
    for user in 0..40 {
        let user = format!("u{user}");
        events.push(event(&format!("{user}-a"), EventType::View, &user, "calm"));
        events.push(event(&format!("{user}-b"), EventType::Click, &user, "calm"));
    }
    for click in 0..100 {
        events.push(event(
            &format!("busy-{click}"),
            EventType::Click,
            "busy",
            "pushed",
        ));
    }
    rig.events(events);
    rig.events(vec![event("late", EventType::Like, "busy", "quiet")]);
    let state = |id: &str| read::item(&*rig.read(), id).unwrap().unwrap();
    assert_eq!(state("pushed").counters.clicks, 100);
    assert!(state("pushed").hot[2].sum < 20.0 * 0.2);
    assert_eq!(
        (state("quiet").counters.likes, state("quiet").hot[0].sum),
        (1, 0.0)
    );
    assert_eq!(state("quiet").last_event_ms, 0);
    rig.check();

    // On a day like everybody's the same user counts as everybody does.
    rig.events(vec![event("busy-share", EventType::Share, "busy", "quiet")]);
    rig.clock.advance(keys::DAY_MS);
    rig.events(vec![
        event("next-like", EventType::Like, "busy", "quiet"),
        event("next-share", EventType::Share, "busy", "quiet"),
        event("again", EventType::Like, "busy", "quiet"),
    ]);
    near(state("quiet").hot[0].sum, 4.0);
    rig.check();
    let unlike = |n: u32| event(&format!("un-{n}"), EventType::Unlike, "busy", "quiet");
    rig.events(vec![unlike(0), unlike(1)]);
    near(state("quiet").hot[0].sum, 4.0);
    rig.events(vec![unlike(2)]);
    near(state("quiet").hot[0].sum, 3.0);
    rig.check();
}

#[test]
fn a_new_hot_configuration_makes_the_sums_again() {
    let mut rig = Rig::new();
    rig.events(vec![
        event("1", EventType::Like, "u", "i"),
        event("2", EventType::Click, "u", "i"),
    ]);
    rig.config.hot.like = 10.0;
    rig.restart();
    let state = read::item(&*rig.read(), "i").unwrap().unwrap();
    near(state.hot[0].sum, 10.2);
    rig.check();
}

#[test]
fn sums_made_by_an_older_rule_of_outliers_are_made_again() {
    let mut rig = Rig::new();
    rig.events(vec![event("1", EventType::Like, "u", "i")]);
    rig.store
        .write(&mut |tx| {
            tx.delete(Table::Meta, keys::OUTLIER_RULE)?;
            tx.delete(Table::Totals, &keys::number(id_hash("i")))
        })
        .unwrap();
    rig.restart();
    let state = read::item(&*rig.read(), "i").unwrap().unwrap();
    near(state.hot[0].sum, 1.0);
}
