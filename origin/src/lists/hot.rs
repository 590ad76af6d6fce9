//! Hot lists: the hottest items of a window, of everything or of a region, language or tag.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use edgewise_ranking::hot::hot_key;
use edgewise_ranking::{HotWindow, RankingConfig};
use edgewise_wire::limits::EVENT_FUTURE_MAX_MS;
use edgewise_wire::lists::{HotList, HotListItem};

use crate::catalogue::{Catalogue, Entry};

/// Items of a list.
pub const ITEMS_MAX: usize = 200;
/// Most items with events in 7 days that are looked at, latest event first.
const SCAN_MAX: usize = 500_000;
/// Most regions, and most languages, with a list of their own.
const LABELS_MAX: usize = 128;
/// Most tags with a list of their own, by use; lists of others are made when asked for.
const TAGS_MAX: usize = 512;

/// What narrows a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Filter {
    /// Nothing.
    #[default]
    All,
    /// A region.
    Region(String),
    /// A language.
    Language(String),
    /// A tag.
    Tag(String),
}

impl Filter {
    /// The filter of a request's parameters, of which at most one is given.
    #[must_use]
    pub fn of(region: Option<&str>, language: Option<&str>, tag: Option<&str>) -> Self {
        match (tag, language, region) {
            (Some(tag), _, _) => Self::Tag(tag.to_owned()),
            (None, Some(language), _) => Self::Language(language.to_owned()),
            (None, None, Some(region)) => Self::Region(region.to_owned()),
            (None, None, None) => Self::All,
        }
    }

    fn holds(&self, entry: &Entry) -> bool {
        match self {
            Self::All => true,
            Self::Region(region) => entry.facts.region.as_ref() == Some(region),
            Self::Language(language) => entry.facts.language.as_ref() == Some(language),
            Self::Tag(tag) => entry.facts.tags.contains(tag),
        }
    }
}

/// A list and its bytes.
#[derive(Debug)]
pub struct Built {
    /// Decoded.
    pub list: HotList,
    /// Encoded.
    pub bytes: Bytes,
    /// Hash of the bytes.
    pub etag: String,
}

/// All hot lists of one moment.
#[derive(Debug, Default)]
pub struct HotLists {
    /// Wall time they were made at, Unix ms; 0 where they were never made.
    pub made_at_ms: i64,
    lists: HashMap<(usize, Filter), Arc<Built>>,
    /// By window: its items, hottest first.
    by_heat: [Vec<Arc<Entry>>; 3],
}

impl HotLists {
    /// Makes the lists of `catalogue` at domain time `domain_ms`.
    #[must_use]
    pub fn make(
        catalogue: &Catalogue,
        config: &RankingConfig,
        domain_ms: i64,
        wall_ms: i64,
    ) -> Self {
        let week_ms = HotWindow::Week.length_ms();
        let mut active = catalogue.with_events_since(domain_ms - week_ms, SCAN_MAX);
        // A replay of an earlier time does not know what comes later.
        active.retain(|entry| entry.last_event_ms <= domain_ms + EVENT_FUTURE_MAX_MS);
        let filters = filters(&active);
        let mut made = Self {
            made_at_ms: wall_ms,
            ..Self::default()
        };
        for window in HotWindow::ALL {
            let at = window as usize;
            made.by_heat[at] = by_heat(&active, config, window, domain_ms);
            let mut picked: HashMap<&Filter, Vec<&Arc<Entry>>> = HashMap::new();
            for entry in &made.by_heat[at] {
                for filter in filters_of(entry, &filters) {
                    let items = picked.entry(filter).or_default();
                    if items.len() < ITEMS_MAX {
                        items.push(entry);
                    }
                }
            }
            for filter in filters.values() {
                let items = picked.remove(filter).unwrap_or_default();
                let built = build(window, filter, &items, wall_ms);
                made.lists.insert((at, filter.clone()), Arc::new(built));
            }
        }
        made
    }

    /// The list; made now where its tag, region or language has none of its own.
    #[must_use]
    pub fn get(&self, window: HotWindow, filter: &Filter) -> Arc<Built> {
        // The key is small next to what follows, so it is cloned.
        if let Some(built) = self.lists.get(&(window as usize, filter.clone())) {
            return Arc::clone(built);
        }
        let held = self.by_heat[window as usize]
            .iter()
            .filter(|entry| filter.holds(entry));
        let items: Vec<&Arc<Entry>> = held.take(ITEMS_MAX).collect();
        Arc::new(build(window, filter, &items, self.made_at_ms))
    }

    /// Number of lists.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lists.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }
}

/// Items with an event in the window and a score above 0, hottest first, ties by id.
fn by_heat(
    active: &[Arc<Entry>],
    config: &RankingConfig,
    window: HotWindow,
    domain_ms: i64,
) -> Vec<Arc<Entry>> {
    let since_ms = domain_ms - window.length_ms();
    let half_life = config.hot.half_life_minutes[window as usize];
    let mut scored: Vec<(f64, &Arc<Entry>)> = active
        .iter()
        .filter(|entry| entry.last_event_ms >= since_ms)
        .map(|entry| (hot_key(entry.hot[window as usize], half_life), entry))
        .filter(|(key, _)| key.is_finite())
        .collect();
    scored.sort_unstable_by(|a, b| {
        b.0.total_cmp(&a.0)
            .then_with(|| a.1.facts.id.cmp(&b.1.facts.id))
    });
    scored
        .into_iter()
        .map(|(_, entry)| Arc::clone(entry))
        .collect()
}

/// Which labels have a list of their own, by a name that no two share.
fn filters(active: &[Arc<Entry>]) -> HashMap<(u8, &str), Filter> {
    let mut uses: [HashMap<&str, u32>; 3] = Default::default();
    for entry in active {
        let facts = &entry.facts;
        if let Some(region) = &facts.region {
            *uses[0].entry(region).or_default() += 1;
        }
        if let Some(language) = &facts.language {
            *uses[1].entry(language).or_default() += 1;
        }
        for tag in &facts.tags {
            *uses[2].entry(tag).or_default() += 1;
        }
    }
    let mut filters = HashMap::from([((0, ""), Filter::All)]);
    let make: [fn(String) -> Filter; 3] = [Filter::Region, Filter::Language, Filter::Tag];
    let caps = [LABELS_MAX, LABELS_MAX, TAGS_MAX];
    for (kind, ((uses, make), cap)) in (1..).zip(uses.into_iter().zip(make).zip(caps)) {
        let mut by_use: Vec<(&str, u32)> = uses.into_iter().collect();
        by_use.sort_unstable_by_key(|&(label, count)| (std::cmp::Reverse(count), label));
        for (label, _) in by_use.into_iter().take(cap) {
            filters.insert((kind, label), make(label.to_owned()));
        }
    }
    filters
}

fn filters_of<'a>(
    entry: &'a Entry,
    filters: &'a HashMap<(u8, &str), Filter>,
) -> impl Iterator<Item = &'a Filter> {
    let facts = &entry.facts;
    let region = facts.region.iter().map(|label| (1, label.as_str()));
    let language = facts.language.iter().map(|label| (2, label.as_str()));
    let tags = facts.tags.iter().map(|label| (3, label.as_str()));
    let names = std::iter::once((0, ""))
        .chain(region)
        .chain(language)
        .chain(tags);
    names.filter_map(|name| filters.get(&name))
}

fn build(window: HotWindow, filter: &Filter, items: &[&Arc<Entry>], made_at_ms: i64) -> Built {
    let mut list = HotList {
        window,
        region: None,
        language: None,
        tag: None,
        generated_at_ms: made_at_ms,
        items: items.iter().map(|entry| item(entry, window)).collect(),
    };
    match filter {
        Filter::All => {}
        Filter::Region(region) => list.region = Some(region.clone()),
        Filter::Language(language) => list.language = Some(language.clone()),
        Filter::Tag(tag) => list.tag = Some(tag.clone()),
    }
    let bytes = Bytes::from(list.encode());
    let etag = edgewise_cache::etag(xxhash_rust::xxh3::xxh3_64(&bytes));
    Built { list, bytes, etag }
}

fn item(entry: &Entry, window: HotWindow) -> HotListItem {
    HotListItem {
        id: entry.facts.id.clone(),
        author: entry.facts.author.clone(),
        hot: entry.hot[window as usize],
        last_event_ms: entry.last_event_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::ItemState;
    use edgewise_ranking::{HotSum, id_hash};
    use edgewise_wire::api::Item;

    const NOW_MS: i64 = 1_800_000_000_000;

    #[test]
    fn items_of_a_later_time_are_not_listed() {
        let catalogue = Catalogue::default();
        let state = |id: &str, at_ms: i64| ItemState {
            hash: id_hash(id),
            id: id.to_owned(),
            item: Some(Arc::new(Item {
                id: id.to_owned(),
                author: "a".to_owned(),
                created_at_ms: NOW_MS - 1_000,
                ..Item::default()
            })),
            first_written: None,
            deleted_at_ms: None,
            counters: edgewise_wire::counters::Counters::default(),
            hot: [HotSum { sum: 1.0, at_ms }; 3],
            last_event_ms: at_ms,
        };
        let tomorrow_ms = NOW_MS + 24 * 3_600_000;
        let states = [
            state("now", NOW_MS),
            state("soon", NOW_MS + EVENT_FUTURE_MAX_MS),
            state("tomorrow", tomorrow_ms),
        ];
        catalogue.apply(&states, 1, NOW_MS);
        assert_eq!(catalogue.newest_event_ms(), Some(tomorrow_ms));
        let lists = HotLists::make(&catalogue, &RankingConfig::default(), NOW_MS, NOW_MS);
        for window in HotWindow::ALL {
            let built = lists.get(window, &Filter::All);
            let ids: Vec<&str> = built.list.items.iter().map(|item| &*item.id).collect();
            assert_eq!(ids, ["soon", "now"]);
        }
    }
}
