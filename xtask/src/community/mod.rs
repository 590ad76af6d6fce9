//! `community`: a small social video site that does not exist, made from a seed.
//!
//! People with tastes, authors whose followers follow Zipf's law, posts with titles and pictures,
//! a week of behaviour, and [`traffic`] that goes on from there. It is for demos and tests where
//! real data has no titles or no fresh posts; everything that shows it says it is generated.

mod behaviour;
mod history;
mod people;
mod picture;
mod posts;
mod replay;
mod rng;
mod topics;
mod traffic;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

pub(crate) use replay::demo_users;
pub(crate) use traffic::Traffic;

use history::Happening;
use people::{Follow, Person};
use posts::Post;
use topics::Topic;

const PEOPLE: usize = 1500;
const AUTHORS: usize = 300;
const POSTS: usize = 4000;
/// Visits in the history, about 20 events each.
const VISITS: usize = 7400;
const HISTORY_DAYS: i64 = 7;
const DAY_MS: i64 = 86_400_000;
/// People that the page offers to look through the eyes of.
const DEMO_USERS: usize = 12;

/// Writes the community of `seed` as it is at `now_ms` into `dir`: the file to import, whose path
/// is returned, and `demo.json`.
///
/// # Errors
///
/// Where a file cannot be written.
pub(crate) fn generate(dir: &Path, seed: u64, now_ms: i64) -> Result<PathBuf> {
    World::new(seed, now_ms)?.write(dir)
}

/// The whole community at one moment.
#[derive(Clone, Debug)]
pub(crate) struct World {
    topics: Vec<Topic>,
    people: Vec<Person>,
    follows: Vec<Follow>,
    posts: Vec<Post>,
    history: Vec<Happening>,
}

impl World {
    /// The same `seed` and `now_ms` give the same world, to the byte.
    ///
    /// # Errors
    ///
    /// Where the topics that are built in cannot be read.
    pub(crate) fn new(seed: u64, now_ms: i64) -> Result<Self> {
        let topics = topics::all()?;
        let (mut people, follows) = people::people(&topics, seed, now_ms);
        let posts = posts::posts(&people, &topics, seed, now_ms);
        let history = history::history(&mut people, &posts, seed, now_ms);
        Ok(Self {
            topics,
            people,
            follows,
            posts,
            history,
        })
    }

    /// Writes `community.jsonl`, whose path is returned, and `demo.json` into `dir`.
    fn write(&self, dir: &Path) -> Result<PathBuf> {
        let jsonl = dir.join("community.jsonl");
        let demo = dir.join("demo.json");
        self.write_jsonl(&jsonl)
            .with_context(|| format!("cannot write {}", jsonl.display()))?;
        std::fs::write(&demo, format!("{:#}\n", self.demo()))
            .with_context(|| format!("cannot write {}", demo.display()))?;
        Ok(jsonl)
    }

    fn write_jsonl(&self, path: &Path) -> std::io::Result<()> {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
        for post in &self.posts {
            writeln!(file, "{}", json!({ "item": post.to_json(&self.people) }))?;
        }
        for follow in &self.follows {
            let line = json!({
                "user": self.people[follow.user].handle,
                "author": self.people[follow.author].handle,
                "ts_ms": follow.ts_ms,
            });
            writeln!(file, "{}", json!({ "follow": line }))?;
        }
        for (number, happening) in self.history.iter().enumerate() {
            let event = happening.to_json(number, &self.people, &self.posts);
            writeln!(file, "{}", json!({ "event": event }))?;
        }
        file.flush()
    }

    /// What the demo page shows: that the data is generated, and people to be.
    pub(crate) fn demo(&self) -> Value {
        json!({
            "dataset": "community",
            "generated": true,
            "title": "A generated community",
            "note": "Everything here is generated from a seed: people, posts, pictures and \
                     traffic. No real person said or watched any of it.",
            "users": self.demo_users(),
        })
    }

    /// Regular visitors with different tastes, each with a line about them.
    fn demo_users(&self) -> Vec<Value> {
        let mut regulars: Vec<usize> = (AUTHORS..self.people.len())
            .filter(|&user| (5..=30).contains(&self.people[user].follows.len()))
            .collect();
        regulars.sort_by(|&a, &b| self.people[b].activity.total_cmp(&self.people[a].activity));
        let mut taken = vec![0_usize; self.topics.len()];
        let mut users = Vec::new();
        for user in regulars {
            let person = &self.people[user];
            let likes = self.favourites(person);
            // At most two people of one first interest, so that the feeds look different.
            if users.len() == DEMO_USERS || taken[likes[0]] == 2 {
                continue;
            }
            taken[likes[0]] += 1;
            let names: Vec<_> = likes
                .iter()
                .map(|&topic| self.topics[topic].slug.as_str())
                .collect();
            users.push(json!({
                "id": person.handle,
                "name": person.handle,
                "about": format!("likes {}", names.join(", ")),
                "region": person.region,
                "language": person.language,
            }));
        }
        users
    }

    /// A person's strongest topics, best first; at least one.
    fn favourites(&self, person: &Person) -> Vec<usize> {
        let mut topics: Vec<usize> = (0..self.topics.len()).collect();
        topics.sort_by(|&a, &b| person.taste[b].total_cmp(&person.taste[a]));
        let strong = topics
            .iter()
            .filter(|&&topic| person.taste[topic] > 0.6)
            .count();
        topics.truncate(strong.clamp(1, 3));
        topics
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const NOW_MS: i64 = 1_800_000_000_000;

    #[test]
    fn a_seed_gives_the_same_bytes() {
        let dir = std::env::temp_dir().join(format!("edgewise-community-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a temporary folder");
        let bytes = |seed: u64| {
            let jsonl = generate(&dir, seed, NOW_MS).expect("written");
            (
                std::fs::read(jsonl).expect("read"),
                std::fs::read(dir.join("demo.json")).expect("read"),
            )
        };
        let (first, again, other) = (bytes(1), bytes(1), bytes(2));
        std::fs::remove_dir_all(&dir).expect("removed");
        assert!(first == again, "the same seed wrote other bytes");
        assert!(first != other, "another seed wrote the same bytes");
        let lines = first
            .0
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty());
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for line in lines {
            let value: Value = serde_json::from_slice(line).expect("JSON");
            let object = value.as_object().expect("an object");
            assert_eq!(object.len(), 1);
            *kinds
                .entry(object.keys().next().expect("a key").clone())
                .or_default() += 1;
        }
        assert_eq!(kinds["item"], POSTS);
        assert!(kinds["follow"] > 10_000);
        assert!((120_000..190_000).contains(&kinds["event"]), "{kinds:?}");
    }

    #[test]
    fn history_shows_tastes() {
        let world = World::new(9, NOW_MS).expect("a world");
        let mut last_ms = 0;
        let (mut suited, mut likes) = (0, 0);
        let mut recent = 0;
        for happening in &world.history {
            let (person, post) = (&world.people[happening.user], &world.posts[happening.post]);
            assert!(happening.ts_ms >= last_ms && happening.ts_ms <= NOW_MS);
            assert!(
                happening.ts_ms >= post.created_at_ms,
                "seen before it was posted"
            );
            assert_ne!(happening.user, post.author);
            last_ms = happening.ts_ms;
            recent += usize::from(happening.ts_ms > NOW_MS - 3_600_000);
            if happening.kind == "like" {
                likes += 1;
                suited += usize::from(person.taste[post.topic] > 0.25);
            }
        }
        assert!(likes > 5_000, "{likes}");
        assert!(
            suited * 10 > likes * 9,
            "{suited} of {likes} likes suit the taste"
        );
        assert!(recent > 200, "{recent} events in the last hour");
        let mut followers = vec![0_usize; AUTHORS];
        world
            .follows
            .iter()
            .for_each(|follow| followers[follow.author] += 1);
        assert!(followers.iter().max() > Some(&300));
    }

    #[test]
    fn the_page_offers_different_people() {
        let demo = World::new(9, NOW_MS).expect("a world").demo();
        assert_eq!(demo["generated"], json!(true));
        let users = demo["users"].as_array().expect("users");
        assert_eq!(users.len(), DEMO_USERS);
        let about: std::collections::BTreeSet<_> =
            users.iter().map(|user| user["about"].to_string()).collect();
        assert!(about.len() >= 8);
    }
}
