//! An origin that names in every item id whose it is and when it was put there.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use edgewise_ranking::{
    Candidates, Feature, HotSum, HotWindow, Kind, NewCandidate, SKETCH_DIMS, Sources, id_hash,
};
use edgewise_wire::bundle::Bundle;
use edgewise_wire::lists::{HotList, HotListItem};
use edgewise_wire::overlay::{DomainClock, Overlay};

use super::random::Random;

/// How it behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    /// Answers after up to 3 s.
    Slow,
    /// Answers 500.
    Fails,
    /// Never answers.
    Hangs,
    /// Answers after so many ms.
    Takes(i64),
    /// The same with hot lists; well otherwise.
    ListsTake(i64),
}

/// The origin's facts.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) mood: Mood,
    pub(super) position: u64,
    /// Hashes of deleted items.
    pub(super) dead: BTreeSet<u64>,
    pub(super) clock: DomainClock,
    pub(super) overlay: Overlay,
    /// Rows of random facts in every bundle beside the plain ones.
    pub(super) rich_rows: u64,
    /// The snapshot of every model version.
    pub(super) model: Option<Vec<u8>>,
}

/// Rows of a bundle and a list.
const ROWS: usize = 12;

impl Origin {
    pub(super) fn new(now_ms: i64) -> Self {
        let clock = DomainClock {
            base_domain_ms: now_ms,
            base_wall_ms: now_ms,
            speed: 1.0,
        };
        Self {
            mood: Mood::Well,
            position: 1,
            dead: BTreeSet::new(),
            clock,
            overlay: Overlay::default(),
            rich_rows: 0,
            model: None,
        }
    }

    /// Deletes an item.
    pub(super) fn delete(&mut self, id: &str) {
        self.position += 1;
        self.dead.insert(id_hash(id));
    }

    /// What it says to a path at `now_ms`.
    pub(super) fn answer(&self, path: &str, now_ms: i64) -> (u32, Vec<u8>) {
        let Some(path) = path.strip_prefix("/internal/v1/") else {
            return (404, Vec::new());
        };
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let body = match path.split_once('/') {
            Some(("candidates", user)) => self.bundle(Some(user), user, now_ms).encode(),
            Some(("pools", "all")) => self.bundle(None, "pool", now_ms).encode(),
            Some(("lists", "hot")) => Self::hot(query, now_ms),
            Some(("pools", "region=CH")) => self.bundle(None, "swiss", now_ms).encode(),
            Some(("pools", _)) => Bundle::default().encode(),
            Some(("similar", item)) if item.starts_with("lost") => return (404, Vec::new()),
            Some(("similar", item)) => format!(
                r#"{{"item":"{item}","items":[{{"id":"near.{item}","score":0.5,"reasons":[]}}]}}"#
            )
            .into_bytes(),
            Some(("suggested", user)) => {
                format!(r#"{{"items":[{{"user":"like-{user}","score":1.0,"common":2}}]}}"#)
                    .into_bytes()
            }
            Some(("models", _)) => match &self.model {
                Some(model) => model.clone(),
                None => return (404, Vec::new()),
            },
            None if path == "overlay" => self.overlay(now_ms).encode(),
            None if path == "items" => Self::items(query),
            _ => return (404, Vec::new()),
        };
        (200, body)
    }

    fn bundle(&self, user: Option<&str>, owner: &str, now_ms: i64) -> Bundle {
        let mut candidates = Candidates::default();
        for row in 0..ROWS {
            let id = format!("{owner}.{row}.{now_ms}");
            let sources = if row % 4 == 3 {
                Sources::EXPLORE
            } else {
                Sources::FOLLOW
            };
            candidates.push(&NewCandidate {
                id: &id,
                author: &format!("author-{row}"),
                created_at_ms: now_ms - 60_000 * row as i64,
                sources,
                tags: &["music"],
                ..NewCandidate::default()
            });
            // Items that never change their id, so that they can be deleted.
            if row % 3 == 0 {
                let id = format!("{owner}.{row}");
                if !self.dead.contains(&id_hash(&id)) {
                    let author = format!("author-{row}");
                    candidates.push(&NewCandidate {
                        id: &id,
                        author: &author,
                        created_at_ms: now_ms,
                        sources,
                        ..NewCandidate::default()
                    });
                }
            }
        }
        for row in 0..self.rich_rows {
            push_rich(&mut candidates, owner, row, now_ms);
        }
        Bundle {
            user: user.map(ToString::to_string),
            made_at_ms: now_ms,
            position: self.position,
            completion_prior: 0.5,
            candidates,
            ..Bundle::default()
        }
    }

    fn hot(query: &str, now_ms: i64) -> Vec<u8> {
        let value = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(key, _)| *key == name)
                .map(|(_, value)| String::from(value))
        };
        let window = value("window").unwrap_or_default();
        let windows = HotWindow::ALL;
        let items = (0..ROWS).map(|row| HotListItem {
            id: format!("hot.{row}.{now_ms}"),
            author: format!("author-{row}"),
            hot: HotSum {
                sum: 100.0 - row as f64,
                at_ms: now_ms,
            },
            last_event_ms: now_ms,
        });
        HotList {
            window: windows
                .into_iter()
                .find(|known| known.name() == window)
                .expect("a window"),
            region: value("region"),
            language: value("language"),
            tag: value("tag"),
            generated_at_ms: now_ms,
            items: items.collect(),
        }
        .encode()
    }

    fn items(query: &str) -> Vec<u8> {
        let ids = query.trim_start_matches("ids=").split(',');
        let known = ids.filter(|id| !id.starts_with("lost"));
        let items: Vec<String> = known
            .map(|id| format!(r#""{id}":{{"id":"{id}","title":"T"}}"#))
            .collect();
        format!("{{{}}}", items.join(",")).into_bytes()
    }

    fn overlay(&self, now_ms: i64) -> Overlay {
        Overlay {
            position: self.position,
            made_at_ms: now_ms,
            clock: self.clock,
            completion_prior: 0.5,
            tombstones: self.dead.iter().copied().collect(),
            ..self.overlay.clone()
        }
    }
}

/// A row whose facts follow from `row` and `now_ms` alone.
fn push_rich(candidates: &mut Candidates, owner: &str, row: u64, now_ms: i64) {
    let mut random = Random::new(id_hash(owner) ^ now_ms as u64 ^ (row << 40));
    let mut features = [None; Feature::COUNT];
    for value in &mut features {
        let number = random.between(-3, 400) as f32 / 7.0;
        *value = random.percent(70).then_some(number);
    }
    let sketch = [0_i8; SKETCH_DIMS].map(|_| random.between(-127, 127) as i8);
    let (id, author) = (
        format!("{owner}.rich{row}.{now_ms}"),
        format!("author-{}", random.between(0, 15)),
    );
    candidates.push(&NewCandidate {
        id: &id,
        author: &author,
        created_at_ms: now_ms - random.between(0, 200 * 3_600_000),
        sources: Sources(random.between(1, 31) as u8),
        kind: Kind::ALL[random.next() as usize % Kind::ALL.len()],
        language: Some(["en", "de", "fr"][random.next() as usize % 3]),
        region: random.percent(50).then_some("CH"),
        tags: &["music", "cats", "sky", "news"][random.next() as usize % 4..],
        features,
        sketch,
    });
}
