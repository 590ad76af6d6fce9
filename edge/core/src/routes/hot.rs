//! Trending: a stored hot list, reordered by the overlay.

use alloc::format;
use alloc::vec::Vec;

use edgewise_cache::Freshness;
use edgewise_serving::hot;
use edgewise_wire::api::Rung;
use edgewise_wire::lists::HotList;
use edgewise_wire::params::HotParams;

use crate::answer::{self, Source};
use crate::answers::Stamp;
use crate::context::Step;
use crate::effect::Answer;
use crate::lifetime;
use crate::resource::{HotKey, Resource};
use crate::store::Look;
use crate::store::load::Purpose;
use crate::store::memory::Value;

/// A request for a hot list.
#[derive(Debug)]
pub(crate) struct Hot {
    params: HotParams,
    key: HotKey,
    loaded: bool,
}

impl Hot {
    pub(crate) fn new(params: HotParams) -> Self {
        let key = HotKey {
            window: params.window,
            region: params.region.clone(),
            language: params.language.clone(),
            tag: params.tag.clone(),
        };
        Self {
            params,
            key,
            loaded: false,
        }
    }

    pub(crate) fn step(&mut self, step: &mut Step<'_>) -> Option<Answer> {
        let resource = Resource::Hot(self.key.clone());
        let key = resource.key();
        let look = step.state.look(&resource, &key, step.wall_ms);
        if !self.loaded {
            self.loaded = true;
            let mut waits = step.await_overlay(step.state.config.origin_first_budget_ms);
            if step.is_ready(look) {
                step.state.stats.memory_hits += 1;
            } else {
                let otherwise_ms = step.state.config.origin_cold_budget_ms;
                step.load(resource.clone(), Purpose::Answer { otherwise_ms });
                waits = true;
            }
            if waits {
                return None;
            }
        }
        if look.is_usable() && !look.is_fresh() {
            step.refresh(resource.clone());
        }
        step.state.memory.touch(&key);
        let rung = rung_of(look);
        let body = look
            .is_usable()
            .then(|| self.stored_body(step, &key, rung))
            .flatten();
        Some(match body {
            Some(body) => self.answer(step, &resource, look, rung, body),
            None => self.answer_by_overlay(step, &resource),
        })
    }

    /// The body of the list in memory, made anew only where list or overlay changed.
    fn stored_body(&self, step: &mut Step<'_>, key: &str, rung: Rung) -> Option<Vec<u8>> {
        let Some(Value::Hot { list, .. }) = step.state.memory.peek(key).map(|entry| &entry.value)
        else {
            return None;
        };
        let Some(overlay) = step.state.overlay.current.as_ref() else {
            return Some(self.body(step, list, rung));
        };
        let served = step.state.models.serving(Some(&overlay.model), None);
        let stamp = Stamp::of(list, overlay, served, moment_ms(step));
        let asked = format!("{key}#{}#{}", self.params.limit, rung.name());
        if let Some(body) = step.state.answers.get(&asked, stamp) {
            return Some(body.to_vec());
        }
        let body = self.body(step, list, rung);
        step.state.answers.put(asked, stamp, body.clone());
        Some(body)
    }

    fn body(&self, step: &Step<'_>, list: &HotList, rung: Rung) -> Vec<u8> {
        let overlay = step.state.overlay.current.as_ref();
        let moment_ms = moment_ms(step);
        let domain_ms = overlay.map_or(moment_ms, |overlay| overlay.clock.domain_ms(moment_ms));
        let pointer = overlay.map(|overlay| &overlay.model);
        let served = step.state.models.serving(pointer, None);
        hot::answer(list, overlay, &self.params, &served.config, domain_ms, rung)
    }

    /// Nothing is stored of this list: what the overlay knows of the last minutes is better
    /// than an error.
    fn answer_by_overlay(&self, step: &mut Step<'_>, resource: &Resource) -> Answer {
        let Some(made_at_ms) = step.state.overlay.current.as_ref().map(|o| o.made_at_ms) else {
            return step.unavailable();
        };
        let list = HotList {
            window: self.key.window,
            region: self.key.region.clone(),
            language: self.key.language.clone(),
            tag: self.key.tag.clone(),
            generated_at_ms: made_at_ms,
            items: Vec::new(),
        };
        let body = self.body(step, &list, Rung::HotStale);
        self.answer(step, resource, Look::Missing, Rung::HotStale, body)
    }

    fn answer(
        &self,
        step: &Step<'_>,
        resource: &Resource,
        look: Look,
        rung: Rung,
        body: Vec<u8>,
    ) -> Answer {
        let source = Source {
            lifetime: lifetime::of(resource),
            look,
            cache_tag: Some("list:hot"),
            rung: Some(rung),
        };
        answer::stored(step.context, &source, body).until(until_ms(step, &source))
    }
}

/// Up to when, wall Unix ms, the same question gets the same bytes and the same headers while
/// nothing new comes in; 0 where the next one may find it otherwise, or has something to do.
fn until_ms(step: &Step<'_>, source: &Source<'_>) -> i64 {
    let (Look::Have { freshness, age_ms }, false) = (source.look, step.context.missed) else {
        return 0;
    };
    let overlay = &step.state.overlay;
    if freshness != Freshness::Fresh || overlay.current.is_none() {
        return 0;
    }
    // The headers say for how many seconds the list stays fresh.
    let fresh_ms = i64::from(source.lifetime.fresh_s) * 1_000;
    let second_ms = step.wall_ms + (fresh_ms - age_ms) % 1_000;
    let moment_ms = step.wall_ms - step.wall_ms.rem_euclid(lifetime::HOT_STEP_MS);
    // A fresh overlay is looked for again, and a stale one waited for, as soon as it is not.
    let overlay_lives = lifetime::of(&Resource::Overlay);
    let overlay_s = match overlay_lives.state(step.wall_ms - overlay.stored_at_ms) {
        Freshness::Fresh => overlay_lives.fresh_s,
        _ => overlay_lives.stale_s,
    };
    [
        moment_ms + lifetime::HOT_STEP_MS - 1,
        overlay.stored_at_ms + i64::from(overlay_s) * 1_000,
        overlay.prefetch_at_ms - 1,
    ]
    .into_iter()
    .fold(second_ms, i64::min)
}

/// The moment that scores are of, wall Unix ms: in steps, so that the bytes, and so the entity
/// tag, hold for a while; never before the overlay, so that what it counts has happened.
fn moment_ms(step: &Step<'_>) -> i64 {
    let stepped_ms = step.wall_ms - step.wall_ms.rem_euclid(lifetime::HOT_STEP_MS);
    let made_at_ms = step
        .state
        .overlay
        .current
        .as_ref()
        .map_or(0, |overlay| overlay.made_at_ms);
    stepped_ms.max(made_at_ms)
}

/// The rung of what everybody shares: `hot` within its lifetime, `hot-stale` beyond.
pub(crate) fn rung_of(look: Look) -> Rung {
    match look {
        Look::Have {
            freshness: Freshness::Fresh | Freshness::Stale,
            ..
        } => Rung::Hot,
        _ => Rung::HotStale,
    }
}
