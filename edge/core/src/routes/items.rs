//! Item facts, kept one by one: every page asks for another set of ids.

use alloc::string::String;
use alloc::vec::Vec;

use edgewise_ranking::sort::sort;
use edgewise_serving::items;
use edgewise_wire::api::Rung;
use edgewise_wire::params::ItemsParams;

use crate::answer::{self, Source};
use crate::context::Step;
use crate::effect::Answer;
use crate::lifetime;
use crate::resource::{Resource, item_key};
use crate::routes::hot::rung_of;
use crate::state::json_of;
use crate::store::Look;
use crate::store::load::Purpose;

/// A request for items.
#[derive(Debug)]
pub(crate) struct Items {
    params: ItemsParams,
    loaded: bool,
}

impl Items {
    pub(crate) fn new(params: ItemsParams) -> Self {
        Self {
            params,
            loaded: false,
        }
    }

    pub(crate) fn step(&mut self, step: &mut Step<'_>) -> Option<Answer> {
        if !self.loaded {
            self.loaded = true;
            let mut waits = step.await_overlay(step.state.config.origin_first_budget_ms);
            let lacking = self.ids_where(step, |look| !step.is_ready(look));
            if lacking.is_empty() {
                step.state.stats.memory_hits += 1;
            } else {
                let otherwise_ms = step.state.config.origin_cold_budget_ms;
                step.load(
                    Resource::Items { ids: lacking },
                    Purpose::Answer { otherwise_ms },
                );
                waits = true;
            }
            if waits {
                return None;
            }
        }
        Some(self.answer(step))
    }

    /// Distinct ids, ascending, of which memory knows something like this.
    fn ids_where(&self, step: &Step<'_>, wanted: impl Fn(Look) -> bool) -> Vec<String> {
        let mut ids: Vec<String> = self
            .params
            .ids
            .iter()
            .filter(|id| wanted(look(step, id)))
            .cloned()
            .collect();
        sort(&mut ids);
        ids.dedup();
        ids
    }

    fn answer(&self, step: &mut Step<'_>) -> Answer {
        let unknown = self.ids_where(step, |look| look == Look::Missing);
        let known = self.ids_where(step, |look| look != Look::Missing);
        if known.is_empty() {
            return step.unavailable();
        }
        let stale = self.ids_where(step, |look| !look.is_fresh());
        let oldest = known
            .iter()
            .map(|id| look(step, id))
            .fold(Look::Missing, older);
        if !stale.is_empty() {
            step.refresh(Resource::Items { ids: stale });
        }
        let state = &*step.state;
        let usable: Vec<&String> = known
            .iter()
            .filter(|id| look(step, id).is_usable())
            .collect();
        let find = |id: &str| {
            usable
                .binary_search_by(|known| known.as_str().cmp(id))
                .ok()?;
            json_of(&state.memory, &item_key(id)).map(Vec::as_slice)
        };
        let body = items::answer(&self.params.ids, find, state.overlay.current.as_ref());
        let Ok(body) = body else {
            return step.unavailable();
        };
        if !unknown.is_empty() {
            // Incomplete: nobody may keep it.
            return answer::json(body).header("edgewise-rung", Rung::HotStale.name());
        }
        let lifetime = lifetime::of(&Resource::Items { ids: Vec::new() });
        let source = Source {
            lifetime,
            look: oldest,
            cache_tag: Some("list:items"),
            rung: Some(rung_of(oldest)),
        };
        answer::stored(step.context, &source, body)
    }
}

fn look(step: &Step<'_>, id: &str) -> Look {
    step.state.look_item(id, step.wall_ms)
}

fn older(one: Look, other: Look) -> Look {
    match (one, other) {
        (Look::Have { age_ms: age, .. }, Look::Have { age_ms, .. }) if age >= age_ms => one,
        (Look::Have { .. }, Look::Missing | Look::Absent) => one,
        _ => other,
    }
}
