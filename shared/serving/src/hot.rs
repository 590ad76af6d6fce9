//! Trending: a stored hot list brought up to now by the overlay.
//!
//! A list is stored for one of region, language and tag or for none. Its entries carry no
//! other facts, so the three cannot be combined: parameters that try are refused.

use alloc::string::String;
use alloc::vec::Vec;

use edgewise_ranking::hot::hot_key;
use edgewise_ranking::sort::{sort, sort_by};
use edgewise_ranking::{Feature, HotSum, HotWindow, Merger, NewCandidate, RankingConfig, Sources};
use edgewise_wire::api::Rung;
use edgewise_wire::bundle::Bundle;
use edgewise_wire::lists::HotList;
use edgewise_wire::overlay::{Overlay, OverlayItem};
use edgewise_wire::params::HotParams;

use crate::json::Json;

/// Answers `{window, generated_at, items:[{id, author, score}], rung}`, hottest first, at
/// most `limit` items, with the scores of domain time `domain_ms`.
///
/// Given the overlay's own domain time the bytes depend on list and overlay alone: an
/// `ETag` of them holds until either changes.
#[must_use]
pub fn answer(
    list: &HotList,
    overlay: Option<&Overlay>,
    params: &HotParams,
    config: &RankingConfig,
    domain_ms: i64,
    rung: Rung,
) -> Vec<u8> {
    let half_life = half_life_minutes(config, list.window);
    let entries = entries(list, overlay, config, domain_ms);
    let limit = entries.len().min(params.limit as usize);
    let mut json = Json::with_capacity(128 + limit * 80);
    json.open('{');
    json.key_text("window", list.window.name());
    json.key_integer("generated_at", list.generated_at_ms);
    json.key("items");
    json.open('[');
    for entry in entries.iter().take(limit) {
        json.open('{');
        json.key_text("id", entry.id);
        json.key_text("author", entry.author);
        json.key_float("score", entry.hot.at(domain_ms, half_life));
        json.close('}');
    }
    json.close(']');
    json.key_text("rung", rung.name());
    json.close('}');
    json.finish().into_bytes()
}

/// The list as candidates of a feed's `hot` rung, hottest first.
///
/// A list knows nothing of its items but how hot they are, so each row's `likes` is its hot
/// score (whose unit is a like of this moment) and the formula's engagement orders as the
/// list does; `created_at_ms` is 0, which answers say as null. All rows carry the list's own
/// region, language or tag. The position is the largest there is: no overlay's counters
/// replace the scores, its tombstones still count.
#[must_use]
pub fn as_bundle(
    list: &HotList,
    overlay: Option<&Overlay>,
    config: &RankingConfig,
    domain_ms: i64,
) -> Bundle {
    let half_life = half_life_minutes(config, list.window);
    let entries = entries(list, overlay, config, domain_ms);
    let mut merger = Merger::new(entries.len());
    let tags: Vec<&str> = list.tag.iter().map(String::as_str).collect();
    for entry in entries {
        let mut features = [None; Feature::COUNT];
        #[allow(clippy::cast_possible_truncation)] // features are f32 by contract
        let likes = entry.hot.at(domain_ms, half_life) as f32;
        features[Feature::Likes as usize] = Some(likes);
        merger.add(&NewCandidate {
            id: entry.id,
            author: entry.author,
            created_at_ms: 0,
            sources: Sources::TRENDING,
            language: list.language.as_deref(),
            region: list.region.as_deref(),
            tags: &tags,
            features,
            ..NewCandidate::default()
        });
    }
    Bundle {
        made_at_ms: list.generated_at_ms,
        position: u64::MAX,
        completion_prior: overlay.map_or(0.5, |overlay| overlay.completion_prior),
        candidates: merger.finish(),
        ..Bundle::default()
    }
}

/// One item with its hot sum now.
struct Entry<'a> {
    id: &'a str,
    author: &'a str,
    hot: HotSum,
    last_event_ms: i64,
    key: f64,
}

/// The list's items with what the overlay knows of them, and the overlay's items that
/// belong to the list; without deleted ones, those without an event in the window and those
/// whose events were all undone. Hottest first, ties by id.
fn entries<'a>(
    list: &'a HotList,
    overlay: Option<&'a Overlay>,
    config: &RankingConfig,
    domain_ms: i64,
) -> Vec<Entry<'a>> {
    let touched = by_id(list, overlay);
    let mut listed: Vec<&str> = list.items.iter().map(|item| item.id.as_str()).collect();
    sort(&mut listed);
    listed.dedup();
    let window = list.window as usize;
    let entry = |id, author, hot, last_event_ms| Entry {
        id,
        author,
        hot,
        last_event_ms,
        key: 0.0,
    };
    let known = list.items.iter().map(|item| {
        match touched.binary_search_by_key(&item.id.as_str(), |touched| &touched.id) {
            Ok(at) => entry(
                item.id.as_str(),
                item.author.as_str(),
                touched[at].hot[window],
                touched[at].last_event_ms,
            ),
            Err(_) => entry(&item.id, &item.author, item.hot, item.last_event_ms),
        }
    });
    let joining = touched
        .iter()
        .filter(|item| belongs(item, list) && listed.binary_search(&item.id.as_str()).is_err())
        .map(|item| entry(&item.id, &item.author, item.hot[window], item.last_event_ms));
    let half_life = half_life_minutes(config, list.window);
    let oldest_ms = domain_ms.saturating_sub(list.window.length_ms());
    let mut entries: Vec<Entry<'a>> = known
        .chain(joining)
        .filter(|entry| entry.last_event_ms > oldest_ms && entry.hot.sum > 0.0)
        .filter(|entry| !crate::stored::is_dead(overlay, entry.id))
        .map(|entry| Entry {
            key: hot_key(entry.hot, half_life),
            ..entry
        })
        .collect();
    sort_by(&mut entries, |a, b| {
        b.key.total_cmp(&a.key).then_with(|| a.id.cmp(b.id)).is_lt()
    });
    entries.dedup_by(|a, b| a.id == b.id);
    entries
}

/// The overlay's items by id, the last one of an id; none where the list is the newer one.
fn by_id<'a>(list: &HotList, overlay: Option<&'a Overlay>) -> Vec<&'a OverlayItem> {
    let newer = overlay.filter(|overlay| overlay.made_at_ms >= list.generated_at_ms);
    let items = newer.map_or(&[][..], |overlay| &overlay.items);
    let mut touched: Vec<(usize, &OverlayItem)> = items.iter().rev().enumerate().collect();
    sort_by(&mut touched, |(at, a), (bt, b)| (&a.id, at) < (&b.id, bt));
    touched.dedup_by(|(_, a), (_, b)| a.id == b.id);
    touched.into_iter().map(|(_, item)| item).collect()
}

fn belongs(item: &OverlayItem, list: &HotList) -> bool {
    let same = |asked: &Option<String>, has: &Option<String>| asked.is_none() || asked == has;
    same(&list.region, &item.region)
        && same(&list.language, &item.language)
        && list.tag.as_ref().is_none_or(|tag| item.tags.contains(tag))
}

fn half_life_minutes(config: &RankingConfig, window: HotWindow) -> f64 {
    config.hot.half_life_minutes[window as usize]
}

#[cfg(test)]
mod tests;
