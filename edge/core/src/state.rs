//! What all requests of an isolate share, and the one place values enter it.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use edgewise_cache::Freshness;
use edgewise_serving::Prepared;
use edgewise_wire::bundle::Bundle;
use edgewise_wire::lists::HotList;
use edgewise_wire::overlay::Overlay;

use crate::answers::Answers;
use crate::config::Config;
use crate::lifetime;
use crate::limits::{Buckets, VALUE_MAX_BYTES};
use crate::models::{Models, Served};
use crate::overlay::{OverlayState, Purged};
use crate::resource::{HotKey, Resource, item_key, tags_of_item};
use crate::served::ServedBuffer;
use crate::stats::Stats;
use crate::store::Look;
use crate::store::breaker::Breaker;
use crate::store::crowd::Crowd;
use crate::store::lease::Leases;
use crate::store::memory::{Entry, Memory, Value};

/// The isolate's memory of everything.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) config: Config,
    pub(crate) memory: Memory,
    pub(crate) overlay: OverlayState,
    pub(crate) models: Models,
    pub(crate) answers: Answers,
    pub(crate) breaker: Breaker,
    pub(crate) crowd: Crowd,
    pub(crate) leases: Leases,
    pub(crate) buckets: Buckets,
    pub(crate) served: ServedBuffer,
    pub(crate) stats: Stats,
}

impl State {
    pub(crate) fn new(config: Config) -> Self {
        let buckets = Buckets::new(config.rate_per_s, config.rate_burst);
        Self {
            config,
            memory: Memory::default(),
            overlay: OverlayState::default(),
            models: Models::default(),
            answers: Answers::default(),
            breaker: Breaker::default(),
            crowd: Crowd::default(),
            leases: Leases::default(),
            buckets,
            served: ServedBuffer::default(),
            stats: Stats::default(),
        }
    }

    /// What memory knows of `resource`, whose key is `key`.
    pub(crate) fn look(&self, resource: &Resource, key: &str, wall_ms: i64) -> Look {
        match resource {
            Resource::Overlay => match self.overlay.age_ms(wall_ms) {
                None => Look::Missing,
                Some(age_ms) => judged(resource, age_ms),
            },
            Resource::Model { version } if self.models.has(version) => Look::Have {
                freshness: Freshness::Fresh,
                age_ms: 0,
            },
            Resource::Model { .. } => Look::Missing,
            Resource::Items { ids } => self.look_items(ids, wall_ms),
            _ => match self.memory.peek(key) {
                None => Look::Missing,
                Some(entry) => {
                    let purged = self.overlay.purged(|| resource.tags(key));
                    judge(resource, entry, purged, wall_ms)
                }
            },
        }
    }

    /// The worst of the items: one look for the whole list.
    fn look_items(&self, ids: &[String], wall_ms: i64) -> Look {
        let mut worst = Look::Have {
            freshness: Freshness::Fresh,
            age_ms: 0,
        };
        for id in ids {
            worst = match (worst, self.look_item(id, wall_ms)) {
                (_, Look::Missing) => return Look::Missing,
                (worst, Look::Absent) => worst,
                (Look::Have { age_ms: older, .. }, Look::Have { age_ms, .. })
                    if older >= age_ms =>
                {
                    worst
                }
                (_, look) => look,
            };
        }
        worst
    }

    /// What memory knows of one item's facts.
    pub(crate) fn look_item(&self, id: &str, wall_ms: i64) -> Look {
        let entry = self.memory.peek(&item_key(id));
        entry.map_or(Look::Missing, |entry| {
            let purged = self.overlay.purged(|| tags_of_item(id));
            judge(&Resource::Items { ids: Vec::new() }, entry, purged, wall_ms)
        })
    }

    /// Takes a value that was current at `stored_at_ms`. False where it is not newer than
    /// what is here, was purged, or is not a value of `resource`.
    pub(crate) fn absorb(
        &mut self,
        resource: &Resource,
        key: &str,
        body: &[u8],
        stored_at_ms: i64,
    ) -> bool {
        let purged = self.overlay.purged(|| resource.tags(key));
        if body.len() > VALUE_MAX_BYTES || stored_at_ms < purged.gone_before_ms {
            return false;
        }
        let known = self
            .memory
            .peek(key)
            .filter(|entry| !matches!(entry.value, Value::Absent));
        if known.is_some_and(|entry| entry.stored_at_ms > stored_at_ms) {
            return false;
        }
        let taken = match resource {
            Resource::Overlay => {
                let Ok(overlay) = Overlay::decode(body) else {
                    return self.refused();
                };
                let accepted = self.overlay.accept(overlay, stored_at_ms);
                if accepted {
                    self.overlay.encoded = body.to_vec();
                }
                self.follow_model();
                return accepted;
            }
            Resource::Model { version } => return self.absorb_model(version, body),
            Resource::Items { ids } => return self.absorb_items(ids, body, stored_at_ms),
            Resource::Bundle { user } => bundle(body, Some(user)),
            Resource::Pool { .. } => bundle(body, None),
            Resource::Hot(hot) => hot_list(body, hot),
            Resource::Similar { .. } | Resource::Suggested { .. } => {
                Some((Value::Json(body.to_vec()), body.len()))
            }
        };
        let Some((value, bytes)) = taken else {
            return self.refused();
        };
        self.memory.insert(key, value, bytes, stored_at_ms);
        true
    }

    /// Remembers for a moment that the origin knows of no such thing.
    pub(crate) fn absorb_absent(&mut self, resource: &Resource, key: &str, wall_ms: i64) {
        match resource {
            Resource::Overlay | Resource::Model { .. } | Resource::Items { .. } => {}
            _ => self.memory.insert(key, Value::Absent, 0, wall_ms),
        }
    }

    fn absorb_model(&mut self, version: &str, body: &[u8]) -> bool {
        let served = Served::decode(body).ok().flatten();
        let Some(served) = served.filter(|served| served.model.version == version) else {
            self.stats.models_refused += 1;
            return false;
        };
        self.models.insert(served);
        self.follow_model();
        true
    }

    fn follow_model(&mut self) {
        if let Some(overlay) = &self.overlay.current {
            self.models.follow(&overlay.model);
        }
    }

    fn absorb_items(&mut self, ids: &[String], body: &[u8], stored_at_ms: i64) -> bool {
        let Ok(items) = edgewise_serving::items::split(body) else {
            return self.refused();
        };
        for id in ids {
            let key = item_key(id);
            if self
                .memory
                .peek(&key)
                .is_some_and(|entry| entry.stored_at_ms > stored_at_ms)
            {
                continue;
            }
            match items.get(id) {
                Some(item) => {
                    let item = item.as_bytes().to_vec();
                    let bytes = item.len();
                    self.memory
                        .insert(&key, Value::Json(item), bytes, stored_at_ms);
                }
                None => self.memory.insert(&key, Value::Absent, 0, stored_at_ms),
            }
        }
        true
    }

    fn refused(&mut self) -> bool {
        self.stats.values_refused += 1;
        false
    }

    /// Whether this write to KV is due (one a key and minute), noted as done.
    pub(crate) fn take_kv_put(&mut self, resource: &Resource, key: &str, wall_ms: i64) -> bool {
        let due = |at_ms: i64| wall_ms.saturating_sub(at_ms) >= lifetime::KV_PUT_EVERY_MS;
        match resource {
            Resource::Overlay => {
                let is_due = self.overlay.kv_put_at_ms.is_none_or(due);
                if is_due {
                    self.overlay.kv_put_at_ms = Some(wall_ms);
                }
                is_due
            }
            Resource::Model { .. } | Resource::Items { .. } => true,
            _ => match self.memory.get(key) {
                Some(entry) if due(entry.kv_put_at_ms) => {
                    entry.kv_put_at_ms = wall_ms;
                    true
                }
                _ => false,
            },
        }
    }
}

/// What memory's `entry` of `resource` is good for.
fn judge(resource: &Resource, entry: &Entry, purged: Purged, wall_ms: i64) -> Look {
    if entry.stored_at_ms < purged.gone_before_ms {
        return Look::Missing;
    }
    let age_ms = wall_ms.saturating_sub(entry.stored_at_ms).max(0);
    let is_stale = entry.stored_at_ms < purged.stale_before_ms;
    if matches!(entry.value, Value::Absent) {
        let is_known = age_ms < lifetime::ABSENT_MS && !is_stale;
        return if is_known {
            Look::Absent
        } else {
            Look::Missing
        };
    }
    match judged(resource, age_ms) {
        Look::Have {
            freshness: Freshness::Fresh,
            age_ms,
        } if is_stale => Look::Have {
            freshness: Freshness::Stale,
            age_ms,
        },
        look => look,
    }
}

fn judged(resource: &Resource, age_ms: i64) -> Look {
    match lifetime::of(resource).state(age_ms) {
        Freshness::Expired => Look::Missing,
        freshness => Look::Have { freshness, age_ms },
    }
}

/// A bundle of exactly this user (or of nobody): another's must never answer.
fn bundle(body: &[u8], user: Option<&str>) -> Option<(Value, usize)> {
    let bundle = Bundle::decode(body)
        .ok()
        .filter(|found| found.user.as_deref() == user)?;
    let (rows, bytes) = (bundle.candidates.len(), bundle_bytes(&bundle) + body.len());
    Some((
        Value::Bundle {
            prepared: Box::new(Prepared::new(bundle)),
            rows,
            encoded: body.into(),
        },
        bytes,
    ))
}

/// Memory of a prepared bundle: facts, and its rows twice (base and merged view).
fn bundle_bytes(bundle: &Bundle) -> usize {
    const ROW_BYTES: usize = 160;
    let facts = bundle.follows.len() * 4
        + (bundle.hidden_authors.len() + bundle.removed_items.len()) * 8
        + 1_024;
    facts + 2 * bundle.candidates.len() * ROW_BYTES
}

fn hot_list(body: &[u8], hot: &HotKey) -> Option<(Value, usize)> {
    let list = HotList::decode(body).ok().filter(|found| {
        found.window == hot.window
            && found.region == hot.region
            && found.language == hot.language
            && found.tag == hot.tag
    })?;
    let texts = list
        .items
        .iter()
        .map(|item| item.id.len() + item.author.len() + 96);
    let bytes = texts.sum::<usize>() + body.len();
    let (list, encoded) = (Box::new(list), body.into());
    Some((Value::Hot { list, encoded }, bytes))
}

/// The JSON under `key`.
pub(crate) fn json_of<'m>(memory: &'m Memory, key: &str) -> Option<&'m Vec<u8>> {
    match memory.peek(key).map(|entry| &entry.value) {
        Some(Value::Json(json)) => Some(json),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let keys = "k:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let config = alloc::format!(r#"{{"keys":"{keys}"}}"#);
        State::new(Config::from_json(config.as_bytes()).expect("good config"))
    }

    fn absorb(state: &mut State, resource: &Resource, body: &[u8], stored_at_ms: i64) -> bool {
        state.absorb(resource, &resource.key(), body, stored_at_ms)
    }

    #[test]
    fn anothers_bundle_is_refused() {
        let mut state = state();
        let of = |user: Option<&str>| {
            Bundle {
                user: user.map(String::from),
                ..Bundle::default()
            }
            .encode()
        };
        let ann = Resource::Bundle { user: "ann".into() };
        assert!(!absorb(&mut state, &ann, &of(Some("bob")), 5));
        assert!(!absorb(&mut state, &ann, &of(None), 5));
        assert!(!absorb(
            &mut state,
            &Resource::pool_all(),
            &of(Some("ann")),
            5
        ));
        assert!(!absorb(&mut state, &ann, b"junk", 5));
        assert_eq!(state.stats.values_refused, 4);
        assert!(absorb(&mut state, &ann, &of(Some("ann")), 5));
        assert!(
            !absorb(&mut state, &ann, &of(Some("ann")), 4),
            "older than what is here"
        );
    }

    #[test]
    fn a_list_is_taken_as_what_it_is() {
        let mut state = state();
        let day = HotKey::of(edgewise_ranking::HotWindow::Day);
        let list = HotList {
            window: day.window,
            region: None,
            language: None,
            tag: Some("music".into()),
            generated_at_ms: 1,
            items: Vec::new(),
        };
        assert!(!absorb(
            &mut state,
            &Resource::Hot(day.clone()),
            &list.encode(),
            5
        ));
        let music = HotKey {
            tag: Some("music".into()),
            ..day
        };
        assert!(absorb(&mut state, &Resource::Hot(music), &list.encode(), 5));
    }

    #[test]
    fn items_are_kept_one_by_one() {
        let mut state = state();
        let items = |ids: &[&str]| Resource::Items {
            ids: ids.iter().map(|id| String::from(*id)).collect(),
        };
        assert!(absorb(
            &mut state,
            &items(&["a", "b"]),
            br#"{"a":{"id":"a"},"b":null}"#,
            5
        ));
        let look = |state: &State, ids: &[&str]| state.look(&items(ids), "", 1_000);
        assert!(look(&state, &["a"]).is_fresh());
        assert!(look(&state, &["b", "a"]).is_fresh(), "unknown is known");
        assert_eq!(look(&state, &["a", "c"]), Look::Missing);
        assert!(json_of(&state.memory, &item_key("a")).is_some());
    }
}
