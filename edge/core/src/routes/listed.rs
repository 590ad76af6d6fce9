//! Stored JSON lists: similar items and suggested users.

use alloc::format;
use alloc::string::String;

use edgewise_serving::{similar, suggested};
use edgewise_wire::api::Rung;
use edgewise_wire::params::{SimilarParams, SuggestedParams};
use edgewise_wire::problem::Problem;

use crate::answer::{self, Source};
use crate::context::Step;
use crate::effect::Answer;
use crate::lifetime;
use crate::resource::Resource;
use crate::routes::hot::rung_of;
use crate::state::json_of;
use crate::store::Look;
use crate::store::load::Purpose;

/// Which list, as asked.
#[derive(Debug)]
enum Asked {
    Similar(SimilarParams),
    Suggested(SuggestedParams),
}

/// A request for one stored list.
#[derive(Debug)]
pub(crate) struct Listed {
    asked: Asked,
    resource: Resource,
    cache_tag: Option<String>,
    loaded: bool,
}

impl Listed {
    pub(crate) fn similar(item: String, params: SimilarParams) -> Self {
        Self {
            cache_tag: Some(format!("list:similar,item:{}", header_safe(&item))),
            asked: Asked::Similar(params),
            resource: Resource::Similar { item },
            loaded: false,
        }
    }

    pub(crate) fn suggested(user: String, params: SuggestedParams) -> Self {
        let resource = Resource::Suggested { user };
        Self {
            asked: Asked::Suggested(params),
            resource,
            cache_tag: None,
            loaded: false,
        }
    }

    pub(crate) fn step(&mut self, step: &mut Step<'_>) -> Option<Answer> {
        let look = step.look(&self.resource);
        if !self.loaded {
            self.loaded = true;
            let mut waits = false;
            if matches!(self.asked, Asked::Similar(_)) {
                waits = step.await_overlay(step.state.config.origin_first_budget_ms);
            }
            if step.is_ready(look) {
                step.state.stats.memory_hits += 1;
            } else {
                let otherwise_ms = step.state.config.origin_cold_budget_ms;
                step.load(self.resource.clone(), Purpose::Answer { otherwise_ms });
                waits = true;
            }
            if waits {
                return None;
            }
        }
        Some(match look {
            Look::Have { .. } => self.answer(step, look),
            Look::Absent => {
                answer::problem(&Problem::not_found("there is nothing known under this id"))
            }
            Look::Missing => step.unavailable(),
        })
    }

    /// Similar items are everybody's, suggested users one user's.
    fn rung(&self, look: Look) -> Rung {
        match (&self.asked, rung_of(look)) {
            (Asked::Similar(_), rung) => rung,
            (Asked::Suggested(_), Rung::Hot) => Rung::Personal,
            (Asked::Suggested(_), _) => Rung::PersonalStale,
        }
    }

    fn answer(&self, step: &mut Step<'_>, look: Look) -> Answer {
        if !look.is_fresh() {
            step.refresh(self.resource.clone());
        }
        let key = self.resource.key();
        step.state.memory.touch(&key);
        let stored = json_of(&step.state.memory, &key);
        let overlay = step.state.overlay.current.as_ref();
        let body = stored.and_then(|stored| match &self.asked {
            Asked::Similar(params) => similar::answer(stored, params, overlay).ok(),
            Asked::Suggested(params) => suggested::answer(stored, params).ok(),
        });
        let Some(body) = body else {
            return step.unavailable();
        };
        let source = Source {
            lifetime: lifetime::of(&self.resource),
            look,
            cache_tag: self.cache_tag.as_deref(),
            rung: Some(self.rung(look)),
        };
        answer::stored(step.context, &source, body)
    }
}

/// An id as part of a header: what is not visible ASCII, and the comma, percent-encoded.
pub(crate) fn header_safe(id: &str) -> String {
    let mut safe = String::with_capacity(id.len());
    crate::resource::push_encoded(&mut safe, id);
    safe
}
