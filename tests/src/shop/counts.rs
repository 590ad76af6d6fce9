//! Every aggregate, as the database computes it and as the store keeps it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::path::Path;

use edgewise_origin::store::record::Record;
use edgewise_origin::store::{Range, RedbStore, Snapshot, Store, Table, keys, read};
use edgewise_origin::verify;
use edgewise_ranking::id_hash;
use edgewise_wire::counters::Counters;

use super::{Dialect, PEOPLE};
use crate::servers::{NULL, Session};

/// Differences that are described.
const SHOWN: usize = 10;

/// What must be equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// (post, hour since 1970) to events by kind, in the order of [`super::KINDS`].
    pub hours: BTreeMap<(u64, u64), [u64; 6]>,
    /// (user, day since 1970, author) to interactions; not of authors whose posts traffic
    /// deletes: a first copy does not know who wrote a post that is deleted.
    pub affinity: BTreeMap<(u64, u64, u64), u64>,
    /// (user, author).
    pub follows: BTreeSet<(u64, u64)>,
    /// Posts that are not deleted: id to title and picture.
    pub posts: BTreeMap<u64, (String, String)>,
}

impl Counts {
    /// As the database computes them.
    ///
    /// # Panics
    /// Where it does not answer.
    #[must_use]
    pub fn of_database(dialect: Dialect, session: &mut Session) -> Self {
        let epoch = match dialect {
            Dialect::Postgres => "extract(epoch from i.created_at)::bigint",
            Dialect::MariaDb => "floor(unix_timestamp(i.created_at))",
        };
        let div = match dialect {
            Dialect::Postgres => "/",
            Dialect::MariaDb => "div",
        };
        let valid = "(i.watch_ms is null or i.watch_ms >= 0)";
        let mut counts = Self::default();
        for row in session.sql(&format!(
            "select i.post_id, {epoch} {div} 3600, i.kind, count(*) from interactions i where {valid} group by 1, 2, 3"
        )) {
            let [post, hour, kind, count] = numbers(&row);
            counts.hours.entry((post, hour)).or_default()[kind as usize] += count;
        }
        for row in session.sql(&format!(
            "select i.user_id, {epoch} {div} 86400, p.author_id, count(*) from interactions i \
             join posts p on p.id = i.post_id where {valid} and i.kind >= 2 and p.author_id % 10 <> 1 group by 1, 2, 3"
        )) {
            let [user, day, author, count] = numbers(&row);
            counts.affinity.insert((user, day, author), count);
        }
        for row in session.sql("select user_id, author_id from follows") {
            let [user, author] = numbers(&row);
            counts.follows.insert((user, author));
        }
        for row in session.sql("select id, title, picture from posts where deleted_at is null") {
            let [id] = numbers(&row);
            let picture = if row[2] == NULL { "" } else { &row[2] };
            counts
                .posts
                .insert(id, (row[1].clone(), picture.to_owned()));
        }
        counts
    }

    /// As the store in `data` keeps them; nobody else may have it open. The store's own second
    /// count from its log must agree too.
    ///
    /// # Panics
    /// Where the store cannot be read, or `verify` finds a difference.
    #[must_use]
    pub fn of_store(data: &Path) -> Self {
        let store = RedbStore::open_existing(data).expect("the store opens");
        let report = verify::verify(&store).expect("the store can be verified");
        assert!(report.ok, "verify: {report:?}");
        let snapshot = store.read().expect("a snapshot");
        Self::of_snapshot(&*snapshot).expect("the store can be read")
    }

    fn of_snapshot(snapshot: &dyn Snapshot) -> Result<Self, edgewise_origin::store::StoreError> {
        let mut counts = Self::default();
        let mut ids = HashMap::new();
        read::all_items(snapshot, &mut |state| {
            let Ok(id) = state.id.parse::<u64>() else {
                panic!("item {:?} is not the shop's", state.id)
            };
            ids.insert(state.hash, id);
            if let (Some(item), None) = (&state.item, state.deleted_at_ms) {
                let picture = item.thumbnail.clone().unwrap_or_default();
                counts.posts.insert(id, (item.title.clone(), picture));
            }
        })?;
        snapshot.scan(Table::Hourly, &Range::all(), &mut |key, value| {
            let item = keys::read_u64(key, 0).expect("a key of hours");
            let hour = keys::read_u32(key, 8).expect("a key of hours");
            let id = *ids.get(&item).expect("hours of a known item");
            let kinds = by_kind(&Counters::decode(Table::Hourly, value)?);
            if kinds != [0; 6] {
                counts.hours.insert((id, u64::from(hour)), kinds);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        counts.check_totals(snapshot)?;
        counts.read_people(snapshot)?;
        Ok(counts)
    }

    /// All-time totals are the sums of the hours.
    fn check_totals(
        &self,
        snapshot: &dyn Snapshot,
    ) -> Result<(), edgewise_origin::store::StoreError> {
        let mut sums: BTreeMap<u64, [u64; 6]> = BTreeMap::new();
        for ((post, _), kinds) in &self.hours {
            let sum = sums.entry(*post).or_default();
            for (sum, count) in sum.iter_mut().zip(kinds) {
                *sum += count;
            }
        }
        for (post, sum) in sums {
            let state = read::item(snapshot, &post.to_string())?.expect("a known item");
            assert_eq!(by_kind(&state.counters), sum, "totals of post {post}");
        }
        Ok(())
    }

    fn read_people(
        &mut self,
        snapshot: &dyn Snapshot,
    ) -> Result<(), edgewise_origin::store::StoreError> {
        let hashes: HashMap<u64, u64> = (0..=PEOPLE)
            .map(|person| (id_hash(&person.to_string()), person))
            .collect();
        // Where there are more people than the shop opens with, none is left out.
        for user in 1.. {
            let Some(number) = read::user_number(snapshot, &user.to_string())? else {
                if user > PEOPLE {
                    break;
                }
                continue;
            };
            for author in read::follows_of(snapshot, number)? {
                self.follows.insert((user, hashes[&author]));
            }
            let range = Range::prefix(&keys::number(number));
            read::entries::<u64>(
                snapshot,
                Table::Affinity,
                &range,
                &mut |day, author, count| {
                    let day = keys::read_u32(day, 8).expect("a key of affinity");
                    let author = hashes[&author];
                    if count > 0 && author % 10 != 1 {
                        let key = (user, u64::from(day), author);
                        self.affinity.insert(key, count);
                    }
                    Ok(())
                },
            )?;
        }
        Ok(())
    }

    /// Events in all.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.hours.values().flatten().sum()
    }

    /// What differs, a line each; empty where nothing does.
    #[must_use]
    pub fn differences(&self, store: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        compare("events", &self.hours, &store.hours, &mut lines);
        compare("affinity", &self.affinity, &store.affinity, &mut lines);
        compare("post", &self.posts, &store.posts, &mut lines);
        for pair in self.follows.symmetric_difference(&store.follows) {
            let side = if self.follows.contains(pair) {
                "database"
            } else {
                "store"
            };
            lines.push(format!("follow {pair:?} is only in the {side}"));
        }
        let more = lines.len().saturating_sub(SHOWN);
        lines.truncate(SHOWN);
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        lines
    }
}

fn compare<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    what: &str,
    database: &BTreeMap<K, V>,
    store: &BTreeMap<K, V>,
    lines: &mut Vec<String>,
) {
    let keys: BTreeSet<&K> = database.keys().chain(store.keys()).collect();
    for key in keys {
        let (there, here) = (database.get(key), store.get(key));
        if there != here {
            let mut line = format!("{what} {key:?}: database {there:?}, store {here:?}");
            line.truncate(line.floor_char_boundary(300));
            lines.push(line);
        }
    }
}

fn by_kind(counters: &Counters) -> [u64; 6] {
    [
        counters.impressions,
        counters.views,
        counters.clicks,
        counters.likes,
        counters.comments,
        counters.shares,
    ]
    .map(u64::from)
}

#[track_caller]
fn numbers<const N: usize>(row: &[String]) -> [u64; N] {
    std::array::from_fn(|at| {
        row[at]
            .parse()
            .unwrap_or_else(|_| panic!("{row:?} holds no numbers"))
    })
}
