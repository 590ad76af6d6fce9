//! The ladder of a feed: what to rank, best first, and what each step down is called.

use alloc::format;
use alloc::vec::Vec;

use edgewise_cache::Freshness;
use edgewise_ranking::HotWindow;
use edgewise_wire::api::Rung;
use edgewise_wire::params::FeedParams;

use crate::context::Step;
use crate::resource::{HotKey, Resource};
use crate::routes::hot::rung_of;
use crate::store::Look;
use crate::store::memory::Value;

/// A resource a feed can be made of.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) resource: Resource,
    pub(crate) key: alloc::string::String,
    /// With fewer candidates than this the next resource answers.
    rows_min: usize,
}

/// A country's pool with fewer candidates than this is too thin to be the feed of somebody
/// who did not ask for the country.
const LOCATED_ROWS_MIN: usize = 50;

impl Candidate {
    fn new(resource: Resource) -> Self {
        Self {
            key: resource.key(),
            resource,
            rows_min: 1,
        }
    }

    /// The rung it is now, or `None` where it cannot answer.
    pub(crate) fn rung(&self, step: &Step<'_>) -> Option<Rung> {
        let look = step.state.look(&self.resource, &self.key, step.wall_ms);
        if !look.is_usable() {
            return None;
        }
        let rows = match step.state.memory.peek(&self.key).map(|entry| &entry.value) {
            Some(Value::Bundle { rows, .. }) => *rows,
            Some(Value::Hot { list, .. }) => list.items.len(),
            _ => 0,
        };
        match (&self.resource, look) {
            // A user's own candidates count even where there is none left: the feed has ended.
            (
                Resource::Bundle { .. },
                Look::Have {
                    freshness: Freshness::Fresh,
                    ..
                },
            ) => Some(Rung::Personal),
            (Resource::Bundle { .. }, _) => Some(Rung::PersonalStale),
            _ if rows < self.rows_min => None,
            (Resource::Hot(_), look) => Some(rung_of(look)),
            _ => Some(Rung::Segment),
        }
    }
}

/// What a feed of this request can be made of, best first; never empty.
pub(crate) fn candidates(params: &FeedParams, user: Option<&str>, country: &str) -> Vec<Candidate> {
    let mut ladder = Vec::with_capacity(6);
    if let Some(user) = user {
        ladder.push(Candidate::new(Resource::Bundle { user: user.into() }));
    }
    let located = country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_alphanumeric());
    // Language first, as at the origin: it says more.
    let (segment, rows_min) = match (&params.language, &params.region) {
        (Some(language), _) => (Some(format!("language={language}")), 1),
        (None, Some(region)) => (Some(format!("region={region}")), 1),
        (None, None) if located => (Some(format!("region={country}")), LOCATED_ROWS_MIN),
        (None, None) => (None, 1),
    };
    ladder.extend(segment.map(|segment| Candidate {
        rows_min,
        ..Candidate::new(Resource::Pool { segment })
    }));
    ladder.push(Candidate::new(Resource::pool_all()));
    for window in [HotWindow::Day, HotWindow::Week, HotWindow::Hour] {
        ladder.push(Candidate::new(Resource::Hot(HotKey::of(window))));
    }
    ladder
}
