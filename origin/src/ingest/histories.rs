//! Any history of commands, duplicates, failing disks and restarts leaves what a plain model says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use edgewise_ranking::id_hash;
use edgewise_wire::api::{Event, EventType};
use proptest::prelude::*;

use super::testing::{NOW_MS, Rig, event, item};
use super::{Command, EventSource, ImportRow, SourceHash};
use crate::store::{keys, read};

const FILE: SourceHash = SourceHash([9; 32]);

/// A made-up event, small enough to collide with others.
#[derive(Clone, Debug)]
struct Act {
    id: u8,
    kind: EventType,
    user: u8,
    item: Option<u8>,
    author: Option<u8>,
    ago_ms: i64,
    watch_ms: Option<u32>,
}

#[derive(Clone, Debug)]
enum Step {
    Events(Vec<Act>),
    Import(u64, Vec<Act>),
    Upsert(u8, u8),
    DeleteItem(u8),
    Follow(bool, u8, u8),
    DeleteUser(u8),
    Restart,
    Advance(i64),
    Fail(u32, u32),
}

fn act() -> impl Strategy<Value = Act> {
    let kind = prop::sample::select(EventType::ALL.to_vec());
    let ago_ms = 0..40 * keys::HOUR_MS;
    let target = (
        prop::option::weighted(0.9, 0..5_u8),
        prop::option::weighted(0.3, 0..3_u8),
    );
    let watch_ms = prop::option::of(0..20_000_u32);
    (0..60_u8, kind, 0..4_u8, target, ago_ms, watch_ms).prop_map(
        |(id, kind, user, (item, author), ago_ms, watch_ms)| Act {
            id,
            kind,
            user,
            item,
            author,
            ago_ms,
            watch_ms,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec(act(), 1..12).prop_map(Step::Events),
        2 => (0..20_u64, prop::collection::vec(act(), 1..6)).prop_map(|(at, acts)| Step::Import(at, acts)),
        2 => (0..5_u8, 0..3_u8).prop_map(|(item, author)| Step::Upsert(item, author)),
        1 => (0..5_u8).prop_map(Step::DeleteItem),
        2 => (any::<bool>(), 0..4_u8, 0..3_u8).prop_map(|(add, user, author)| Step::Follow(add, user, author)),
        1 => (0..4_u8).prop_map(Step::DeleteUser),
        1 => Just(Step::Restart),
        1 => (0..60 * keys::HOUR_MS).prop_map(Step::Advance),
        2 => (0..5_u32, 0..5_u32).prop_map(|(before, after)| Step::Fail(before, after)),
    ]
}

/// What a user has, by names.
#[derive(Clone, Debug, Default, PartialEq)]
struct Person {
    likes: BTreeMap<u8, u32>,
    item_follows: BTreeMap<u8, u32>,
    follows: BTreeMap<u8, Option<u8>>,
    hidden_items: BTreeSet<u8>,
    hidden_authors: BTreeSet<u8>,
    seen: BTreeMap<u8, i64>,
    interactions: BTreeMap<(u8, i64), u32>,
}

/// Impressions, views, completed views, clicks, comments, shares, hides, purchases.
type Plain = [u32; 8];

#[derive(Debug, Default)]
struct Model {
    now_ms: i64,
    counted_at: BTreeMap<u8, i64>,
    next_row: u64,
    plain: BTreeMap<u8, Plain>,
    /// Likes and follows of users who are gone.
    left_behind: BTreeMap<u8, (u32, u32)>,
    people: BTreeMap<u8, Person>,
    authors: BTreeMap<u8, u8>,
}

impl Model {
    fn run(&mut self, step: &Step) {
        match step {
            Step::Events(acts) => {
                for act in acts {
                    let remembered = 48 * keys::HOUR_MS + 600_000;
                    let before = self.counted_at.get(&act.id);
                    if before.is_none_or(|&at| self.now_ms - at > remembered) {
                        self.counted_at.insert(act.id, self.now_ms);
                        self.act(act);
                    }
                }
            }
            Step::Import(from, acts) => {
                for (ordinal, act) in (*from..).zip(acts) {
                    if ordinal >= self.next_row {
                        self.next_row = ordinal + 1;
                        self.act(act);
                    }
                }
            }
            Step::Upsert(item, author) => {
                self.authors.insert(*item, *author);
            }
            Step::Follow(true, user, author) => {
                self.people
                    .entry(*user)
                    .or_default()
                    .follows
                    .entry(*author)
                    .or_default();
            }
            Step::Follow(false, user, author) => {
                self.people.entry(*user).or_default().follows.remove(author);
            }
            Step::DeleteUser(user) => {
                let gone = self.people.remove(user).unwrap_or_default();
                for (item, likes) in gone.likes {
                    self.left_behind.entry(item).or_default().0 += likes;
                }
                for (item, follows) in gone.item_follows {
                    self.left_behind.entry(item).or_default().1 += follows;
                }
            }
            Step::Advance(by_ms) => self.now_ms += by_ms,
            Step::DeleteItem(_) | Step::Restart | Step::Fail(..) => {}
        }
    }

    fn act(&mut self, act: &Act) {
        let ts_ms = self.now_ms - act.ago_ms;
        let of_item = act.item.and_then(|item| self.authors.get(&item).copied());
        let duration_ms = of_item.map_or(0, |_| 10_000);
        let completed = duration_ms > 0 && act.watch_ms.is_some_and(|watch| watch >= 9_000);
        let person = self.people.entry(act.user).or_default();
        let plain = act.item.map(|item| self.plain.entry(item).or_default());
        let count = |field: usize| {
            if let Some(plain) = plain {
                plain[field] += 1;
                if field == 1 && completed {
                    plain[2] += 1;
                }
            }
        };
        let mut with = None;
        match act.kind {
            EventType::Impression => count(0),
            EventType::View => {
                count(1);
                with = completed.then_some(of_item.or(act.author));
            }
            EventType::Click => count(3),
            EventType::Comment => count(4),
            EventType::Share => count(5),
            EventType::Hide => {
                count(6);
                person.hidden_items.extend(act.item);
                person.hidden_authors.extend(act.author);
            }
            EventType::Purchase => count(7),
            EventType::Like => *person.likes.entry(act.item.unwrap_or(u8::MAX)).or_default() += 1,
            EventType::Unlike => take_one(&mut person.likes, act.item),
            EventType::Follow => {
                if let Some(author) = act.author.or(of_item) {
                    let via = person.follows.entry(author).or_default();
                    *via = act.item.or(*via);
                }
                *person
                    .item_follows
                    .entry(act.item.unwrap_or(u8::MAX))
                    .or_default() += 1;
                with = Some(act.author.or(of_item));
            }
            EventType::Unfollow => {
                let ended = act
                    .author
                    .or(of_item)
                    .and_then(|author| person.follows.remove(&author));
                take_one(&mut person.item_follows, act.item.or(ended.flatten()));
            }
        }
        use EventType::{Click, Comment, Impression, Like, Purchase, Share, View};
        if matches!(act.kind, Click | Comment | Like | Purchase | Share) {
            with = Some(of_item.or(act.author));
        }
        if let Some(author) = with.flatten() {
            let day = ts_ms.div_euclid(keys::DAY_MS);
            *person.interactions.entry((author, day)).or_default() += 1;
        }
        if let (Impression | View, Some(item)) = (act.kind, act.item) {
            let last = person.seen.entry(item).or_insert(ts_ms);
            *last = ts_ms.max(*last);
        }
    }

    fn item(&self, item: u8) -> (Plain, u32, u32) {
        let (mut likes, mut follows) = self.left_behind.get(&item).copied().unwrap_or_default();
        for person in self.people.values() {
            likes += person.likes.get(&item).copied().unwrap_or(0);
            follows += person.item_follows.get(&item).copied().unwrap_or(0);
        }
        (
            self.plain.get(&item).copied().unwrap_or_default(),
            likes,
            follows,
        )
    }
}

fn take_one(standing: &mut BTreeMap<u8, u32>, item: Option<u8>) {
    if let Some(count) = item.and_then(|item| standing.get_mut(&item)) {
        *count = count.saturating_sub(1);
    }
}

fn name(prefix: char, number: u8) -> String {
    format!("{prefix}{number}")
}

fn real(act: &Act, now_ms: i64) -> Event {
    Event {
        item: act.item.map(|item| name('i', item)),
        author: act.author.map(|author| name('a', author)),
        ts_ms: Some(now_ms - act.ago_ms),
        watch_ms: act.watch_ms,
        ..event(&name('e', act.id), act.kind, &name('u', act.user), "")
    }
}

fn command(step: &Step, now_ms: i64) -> Option<Command> {
    Some(match step {
        Step::Events(acts) => Command::Events {
            events: acts.iter().map(|act| real(act, now_ms)).collect(),
            source: EventSource::Edge,
        },
        Step::Import(from, acts) => {
            let rows = (*from..).zip(acts);
            let rows = rows.map(|(ordinal, act)| ImportRow {
                ordinal,
                events: vec![real(act, now_ms)],
            });
            Command::Import {
                source: FILE,
                rows: rows.collect(),
            }
        }
        Step::Upsert(id, author) => {
            Command::UpsertItems(vec![item(&name('i', *id), &name('a', *author))])
        }
        Step::DeleteItem(item) => Command::DeleteItem(name('i', *item)),
        Step::Follow(add, user, author) => Command::Follows {
            add: *add,
            pairs: vec![(name('u', *user), name('a', *author))],
        },
        Step::DeleteUser(user) => Command::DeleteUser(name('u', *user)),
        Step::Restart | Step::Advance(_) | Step::Fail(..) => return None,
    })
}

/// Runs a step until it is answered, as a client that retries does.
fn run(rig: &mut Rig, step: &Step) {
    match step {
        Step::Restart => rig.restart(),
        Step::Advance(by_ms) => rig.clock.advance(*by_ms),
        Step::Fail(before, after) => {
            rig.store.fail_before.store(*before, Ordering::Relaxed);
            rig.store.fail_after.store(*after, Ordering::Relaxed);
        }
        _ => {
            let command = command(step, rig.clock.wall_ms()).expect("the step is a command");
            while rig.writer.write(command.clone()).is_err() {
                rig.restart();
            }
        }
    }
}

#[track_caller]
fn check(rig: &Rig, model: &Model) {
    let snapshot = rig.read();
    for number in 0..5 {
        let stored = read::item(&*snapshot, &name('i', number)).unwrap();
        let c = stored.map(|stored| stored.counters).unwrap_or_default();
        let plain = [
            c.impressions,
            c.views,
            c.completed_views,
            c.clicks,
            c.comments,
            c.shares,
            c.hides,
            c.purchases,
        ];
        assert_eq!(
            (plain, c.likes, c.follows),
            model.item(number),
            "item {number}"
        );
    }
    for number in 0..4 {
        let user = read::user_state(
            &*snapshot,
            &name('u', number),
            model.now_ms,
            7 * keys::DAY_MS,
        )
        .unwrap();
        let person = model.people.get(&number).cloned().unwrap_or_default();
        let hashes = |prefix, numbers: Vec<u8>| {
            let mut hashes: Vec<u64> = numbers
                .into_iter()
                .map(|number| id_hash(&name(prefix, number)))
                .collect();
            hashes.sort_unstable();
            hashes
        };
        assert_eq!(
            user.follows,
            hashes('a', person.follows.into_keys().collect())
        );
        assert_eq!(
            user.hidden_items,
            hashes('i', person.hidden_items.into_iter().collect())
        );
        assert_eq!(
            user.hidden_authors,
            hashes('a', person.hidden_authors.into_iter().collect())
        );
        let since_ms = model.now_ms - 7 * keys::DAY_MS;
        let mut seen: Vec<(u64, i64)> = person
            .seen
            .into_iter()
            .filter(|&(_, at_ms)| at_ms >= since_ms)
            .map(|(item, at_ms)| (id_hash(&name('i', item)), at_ms))
            .collect();
        seen.sort_unstable();
        assert_eq!(user.seen, seen);
        let today = model.now_ms.div_euclid(keys::DAY_MS);
        let mut interactions = BTreeMap::new();
        for ((author, day), count) in person.interactions {
            if day > today - 90 {
                *interactions.entry(id_hash(&name('a', author))).or_default() += count;
            }
        }
        assert_eq!(
            user.interactions,
            interactions.into_iter().collect::<Vec<_>>()
        );
    }
    rig.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn every_history_counts_exactly(steps in prop::collection::vec(step(), 1..40)) {
        let mut rig = Rig::new();
        let mut model = Model { now_ms: NOW_MS, ..Model::default() };
        for step in &steps {
            model.run(step);
            run(&mut rig, step);
        }
        check(&rig, &model);
    }
}

#[test]
fn a_reopened_file_goes_on_where_it_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let like = |n: u32| event(&n.to_string(), EventType::Like, &format!("u{n}"), "i");
    for run in 0..3 {
        let rig = Rig::on(crate::store::RedbStore::open(directory.path()).unwrap());
        rig.events((0..=run).map(like).collect());
        rig.writer.stop();
        let report = rig.check();
        assert_eq!(
            (report.events, report.position),
            (u64::from(run) + 1, u64::from(run) + 1)
        );
    }
}
