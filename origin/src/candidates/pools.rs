//! What sources F2 and F5 share between all users, sorted once for many bundles.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use edgewise_ranking::hot::hot_key;
use edgewise_ranking::{HotWindow, RankingConfig};
use edgewise_wire::limits::EVENT_FUTURE_MAX_MS;

use crate::catalogue::{Catalogue, Entry, Facts};

/// Most trending items kept: far over F2's cap, so that a user who saw many still gets 200.
const TRENDING_MAX: usize = 4_096;
/// Most items with events in F2's window that are looked at.
const TRENDING_SCAN_MAX: usize = 200_000;
/// Most new items that F5 draws from, newest first.
const EXPLORE_MAX: usize = 20_000;
/// Pools are sorted again once they are this old and the catalogue moved on, wall ms.
const REFRESH_AFTER_MS: i64 = 500;
/// ... and once they are this old in any case: windows move.
const REFRESH_IDLE_MS: i64 = 10_000;

/// Trending and new items at one moment.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    made_at_ms: i64,
    position: u64,
    /// By hot score of the day, hottest first.
    pub(crate) trending: Vec<Arc<Entry>>,
    /// Created in the window with few impressions, newest first.
    pub(crate) explore: Vec<Arc<Entry>>,
    /// Hot key (day) of the hottest item of each region ...
    regions: HashMap<String, f64>,
    /// ... and of each language.
    languages: HashMap<String, f64>,
}

impl Shared {
    /// The item's hot score of the day over that of the hottest item of its region, and of
    /// its language: 0..=1, the same at any time. 0 for items that are not hot.
    pub(crate) fn popularity(&self, entry: &Entry, config: &RankingConfig) -> [f32; 2] {
        let key = day_key(entry, config);
        let share = |tops: &HashMap<String, f64>, label: &Option<String>| {
            let top = label.as_ref().and_then(|label| tops.get(label));
            // An item may have got hotter since.
            top.map_or(0.0, |top| (key - top).min(0.0).exp2() as f32)
        };
        [
            share(&self.regions, &entry.facts.region),
            share(&self.languages, &entry.facts.language),
        ]
    }
}

/// Orders items by their hot score of the day.
fn day_key(entry: &Entry, config: &RankingConfig) -> f64 {
    let day = HotWindow::Day as usize;
    hot_key(entry.hot[day], config.hot.half_life_minutes[day])
}

/// The current [`Shared`], made anew when asked for and overtaken.
#[derive(Debug, Default)]
pub(crate) struct SharedPools {
    current: ArcSwap<Shared>,
    making: Mutex<()>,
}

impl SharedPools {
    pub(crate) fn get(
        &self,
        catalogue: &Catalogue,
        config: &RankingConfig,
        wall_ms: i64,
        domain_ms: i64,
    ) -> Arc<Shared> {
        let current = self.current.load_full();
        if is_current(&current, catalogue, wall_ms) {
            return current;
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.current.load_full();
        if is_current(&current, catalogue, wall_ms) {
            return current;
        }
        let made = Arc::new(make(catalogue, config, wall_ms, domain_ms));
        self.current.store(Arc::clone(&made));
        made
    }
}

fn is_current(shared: &Shared, catalogue: &Catalogue, wall_ms: i64) -> bool {
    let limit_ms = if shared.position == catalogue.position() {
        REFRESH_IDLE_MS
    } else {
        REFRESH_AFTER_MS
    };
    (0..limit_ms).contains(&(wall_ms - shared.made_at_ms))
}

fn make(catalogue: &Catalogue, config: &RankingConfig, wall_ms: i64, domain_ms: i64) -> Shared {
    let position = catalogue.position();
    let sources = &config.sources;
    let window_ms = i64::from(sources.trending_window_hours) * 3_600_000;
    let touched = catalogue.with_events_since(domain_ms - window_ms, TRENDING_SCAN_MAX);
    let mut trending: Vec<(f64, Arc<Entry>)> = touched
        .into_iter()
        .filter(|entry| entry.last_event_ms <= domain_ms + EVENT_FUTURE_MAX_MS)
        .map(|entry| (day_key(&entry, config), entry))
        .filter(|(key, _)| key.is_finite())
        .collect();
    let regions = tops(&trending, |facts| facts.region.as_ref());
    let languages = tops(&trending, |facts| facts.language.as_ref());
    keep_best(&mut trending, TRENDING_MAX);
    let window_ms = i64::from(sources.explore_window_hours) * 3_600_000;
    let mut explore = catalogue.created_since(domain_ms - window_ms, EXPLORE_MAX);
    explore.retain(|entry| entry.counters.impressions < sources.explore_impressions);
    let trending = trending.into_iter().map(|(_, entry)| entry).collect();
    Shared {
        made_at_ms: wall_ms,
        position,
        trending,
        explore,
        regions,
        languages,
    }
}

/// The largest key by label.
fn tops(
    scored: &[(f64, Arc<Entry>)],
    label: impl Fn(&Facts) -> Option<&String>,
) -> HashMap<String, f64> {
    let mut tops: HashMap<String, f64> = HashMap::new();
    for (key, entry) in scored {
        let Some(label) = label(&entry.facts) else {
            continue;
        };
        match tops.get_mut(label) {
            Some(top) => *top = top.max(*key),
            None => {
                tops.insert(label.clone(), *key);
            }
        }
    }
    tops
}

/// Keeps the `cap` entries with the highest scores, highest first, ties ascending by id.
pub(crate) fn keep_best(scored: &mut Vec<(f64, Arc<Entry>)>, cap: usize) {
    let order = |a: &(f64, Arc<Entry>), b: &(f64, Arc<Entry>)| {
        b.0.total_cmp(&a.0)
            .then_with(|| a.1.facts.id.cmp(&b.1.facts.id))
    };
    if scored.len() > cap && cap > 0 {
        scored.select_nth_unstable_by(cap - 1, order);
    }
    scored.truncate(cap);
    scored.sort_unstable_by(order);
}
