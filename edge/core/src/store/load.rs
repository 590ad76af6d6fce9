//! Bringing one resource into memory: from the data centre's cache and KV at once, then from
//! the origin, then written back to the tiers that lack it.
//!
//! A load never answers anybody: it fills memory, and routes answer from memory.

use alloc::string::String;
use alloc::vec::Vec;

use edgewise_ranking::id_hash;

use crate::effect::{Done, Effect};
use crate::lifetime;
use crate::resource::{Resource, tags_of_item};
use crate::state::State;
use crate::store::{Look, Tier, envelope};
use crate::trace::Trace;

/// A lease outlives the longest wait of its holder by this.
const LEASE_SLACK_MS: i64 = 500;
/// A lease where the host coalesces: a holder whose client left is missed for no longer, and the
/// next one joins the origin request that is under way.
const COALESCED_LEASE_MS: i64 = 50;
/// A refresh of the overlay takes no longer, so that a hung origin is found out before the
/// overlay is so old that answers would wait for it.
const OVERLAY_TIMEOUT_MS: u32 = 1_000;
/// After a failed refresh the next one waits this long.
const BACKOFF_MS: i64 = 1_000;
/// An origin's clock may be this far ahead of the edge's.
const SKEW_MAX_MS: i64 = 60_000;
/// Marks the backoff of a key among the leases.
const BACKOFF: u64 = 0x9e37_79b9_7f4a_7c15;
/// Who waits for another request's load looks this often.
const POLL_MS: u32 = 10;

/// Who needs it and how badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// An answer waits; the origin gets this long where the resource itself has no older
    /// value (else `origin_budget_ms`).
    Answer {
        /// Milliseconds.
        otherwise_ms: u32,
    },
    /// An answer waits, but not for the origin.
    AnswerFromTiers,
    /// Nobody waits.
    Refresh,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Start,
    /// Waiting for another request of this isolate to bring it.
    Polling,
    /// `kv`: asked too.
    Tiers {
        kv: bool,
    },
    Origin,
    Writing,
    Done,
}

/// One load.
#[derive(Debug)]
pub(crate) struct Load {
    resource: Resource,
    key: String,
    hash: u64,
    purpose: Purpose,
    phase: Phase,
    leased: bool,
    /// Wall time the origin's budget ends, Unix ms; set when it begins.
    deadline_ms: Option<i64>,
    /// The value to write back, when it was current and where it is from.
    fetched: Option<(i64, Vec<u8>, Tier)>,
    settled: bool,
    /// Whether the origin was asked and did not answer in time.
    pub(crate) origin_failed: bool,
    /// Milliseconds between asking the origin and its answer.
    pub(crate) origin_ms: Option<i64>,
    asked_at_ms: i64,
    /// The newest purge of the resource that was known then, wall time, Unix ms.
    purge_when_asked_ms: i64,
    /// Whether the origin was asked once more because of a purge.
    asked_again: bool,
    /// Wall time at which the origin's answer is not waited for any longer, Unix ms.
    given_up_ms: i64,
}

impl Load {
    pub(crate) fn new(resource: Resource, purpose: Purpose) -> Self {
        let key = resource.key();
        Self {
            hash: id_hash(&key),
            resource,
            key,
            purpose,
            phase: Phase::Start,
            leased: false,
            deadline_ms: None,
            fetched: None,
            settled: false,
            origin_failed: false,
            origin_ms: None,
            asked_at_ms: 0,
            purge_when_asked_ms: i64::MIN,
            asked_again: false,
            given_up_ms: 0,
        }
    }

    /// A refresh, unless one is under way, failed a moment ago, or is not needed.
    pub(crate) fn refresh(state: &State, resource: Resource, wall_ms: i64) -> Option<Self> {
        let load = Self::new(resource, Purpose::Refresh);
        let wanted = !state.look(&load.resource, &load.key, wall_ms).is_fresh()
            && !state.leases.is_held(load.hash, wall_ms)
            && !state.leases.is_held(load.hash ^ BACKOFF, wall_ms);
        wanted.then_some(load)
    }

    /// What is loaded.
    pub(crate) fn resource(&self) -> &Resource {
        &self.resource
    }

    /// Whether an answer waits for it.
    pub(crate) fn is_awaited(&self) -> bool {
        self.purpose != Purpose::Refresh && !self.settled
    }

    /// Whether memory has what there is to have; writes may still be under way.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled
    }

    /// Whether it has not asked for anything yet.
    pub(crate) fn is_unstarted(&self) -> bool {
        self.phase == Phase::Start
    }

    /// Takes the results of its last effects and puts out the next ones.
    pub(crate) fn step(
        &mut self,
        state: &mut State,
        trace: &Trace,
        wall_ms: i64,
        results: &[Done<'_>],
        effects: &mut Vec<Effect>,
    ) {
        match self.phase {
            Phase::Start | Phase::Polling => self.begin(state, trace, wall_ms, effects),
            Phase::Tiers { kv } => {
                self.take_tiers(state, wall_ms, results, kv);
                if self.is_enough(state, wall_ms) {
                    self.settle(state, wall_ms, effects);
                } else {
                    self.ask_origin(state, trace, wall_ms, effects);
                }
            }
            Phase::Origin => {
                let was_purged = self.newest_purge_ms(state) > self.purge_when_asked_ms;
                self.take_origin(state, wall_ms, results);
                if was_purged && !core::mem::replace(&mut self.asked_again, true) {
                    // What was made before the purge is of no use to who waits.
                    self.ask_origin(state, trace, wall_ms, effects);
                } else {
                    self.settle(state, wall_ms, effects);
                }
            }
            Phase::Writing => self.phase = Phase::Done,
            Phase::Done => {}
        }
    }

    fn look(&self, state: &State, wall_ms: i64) -> Look {
        state.look(&self.resource, &self.key, wall_ms)
    }

    /// Whether memory has what this purpose asks for.
    fn is_enough(&self, state: &State, wall_ms: i64) -> bool {
        let look = self.look(state, wall_ms);
        match self.purpose {
            Purpose::Answer { .. } => look.is_ready(),
            Purpose::AnswerFromTiers => true,
            Purpose::Refresh => look.is_fresh(),
        }
    }

    fn begin(&mut self, state: &mut State, trace: &Trace, wall_ms: i64, effects: &mut Vec<Effect>) {
        if self.phase == Phase::Polling && self.is_enough(state, wall_ms) {
            return self.settle(state, wall_ms, effects);
        }
        let until_ms = wall_ms + lease_ms(state, 0);
        if self.purpose != Purpose::AnswerFromTiers {
            if !state.leases.take(self.hash, wall_ms, until_ms) {
                return self.poll(state, wall_ms, effects);
            }
            self.leased = true;
        }
        if self.phase == Phase::Polling {
            // Whoever held the lease has looked through the tiers in vain.
            return self.ask_origin(state, trace, wall_ms, effects);
        }
        // KV is a long way: only for what this isolate has nothing of.
        let kv = self.purpose != Purpose::Refresh || !self.look(state, wall_ms).is_usable();
        effects.push(Effect::CacheGet {
            key: self.key.clone(),
        });
        if kv {
            effects.push(Effect::KvGet {
                key: self.key.clone(),
            });
        }
        self.phase = Phase::Tiers { kv };
    }

    /// Waits for the lease's holder within the budget; a refresh does not wait.
    fn poll(&mut self, state: &mut State, wall_ms: i64, effects: &mut Vec<Effect>) {
        let left_ms = self.left_ms(state, wall_ms);
        if self.purpose == Purpose::Refresh {
            self.settled = true;
            self.phase = Phase::Done;
            return;
        }
        if left_ms == 0 {
            return self.settle(state, wall_ms, effects);
        }
        self.phase = Phase::Polling;
        effects.push(Effect::Sleep {
            ms: POLL_MS.min(left_ms),
        });
    }

    /// Milliseconds of the origin's budget that are left; the budget begins when first asked.
    fn left_ms(&mut self, state: &State, wall_ms: i64) -> u32 {
        let config = &state.config;
        let budget_ms = match self.purpose {
            Purpose::Refresh if self.resource == Resource::Overlay => {
                config.refresh_timeout_ms.min(OVERLAY_TIMEOUT_MS)
            }
            Purpose::Refresh => config.refresh_timeout_ms,
            Purpose::AnswerFromTiers => 0,
            Purpose::Answer { .. } if self.look(state, wall_ms).is_usable() => {
                config.origin_budget_ms
            }
            Purpose::Answer { otherwise_ms } => otherwise_ms,
        };
        let deadline_ms = *self
            .deadline_ms
            .get_or_insert(wall_ms + i64::from(budget_ms));
        u32::try_from(deadline_ms.saturating_sub(wall_ms))
            .unwrap_or(0)
            .min(budget_ms)
    }

    fn take_tiers(&mut self, state: &mut State, wall_ms: i64, results: &[Done<'_>], kv: bool) {
        let tiers = [
            (Tier::Cache, results.first()),
            (Tier::Kv, results.get(1).filter(|_| kv)),
        ];
        let mut found: Vec<(i64, Tier, &[u8])> = tiers
            .into_iter()
            .filter_map(|(tier, result)| {
                let result = result.filter(|result| result.status == 200)?;
                let (at_ms, body) = envelope::unwrap(
                    result.body,
                    envelope::kind_of(&self.resource, &self.key),
                    wall_ms,
                )?;
                Some((at_ms, tier, body))
            })
            .collect();
        // The newest of the two first; of equals the nearer.
        let at_ms = |found: Option<&(i64, Tier, &[u8])>| found.map(|&(at_ms, _, _)| at_ms);
        if at_ms(found.first()) < at_ms(found.last()) {
            found.reverse();
        }
        for (at_ms, tier, body) in found {
            let age_ms = wall_ms.saturating_sub(at_ms);
            if lifetime::of(&self.resource).state(age_ms) == edgewise_cache::Freshness::Expired {
                continue;
            }
            if state.absorb(&self.resource, &self.key, body, at_ms) {
                match tier {
                    Tier::Kv => {
                        state.stats.kv_hits += 1;
                        // Nearer next time; it is in KV already.
                        self.fetched = Some((at_ms, body.to_vec(), tier));
                    }
                    _ => state.stats.cache_hits += 1,
                }
                break;
            }
        }
    }

    fn ask_origin(
        &mut self,
        state: &mut State,
        trace: &Trace,
        wall_ms: i64,
        effects: &mut Vec<Effect>,
    ) {
        let timeout_ms = self.left_ms(state, wall_ms);
        if timeout_ms == 0
            || (state.breaker.is_open() && self.leaves_probes_to_refreshes(state, wall_ms))
            || !state.breaker.admit(wall_ms)
        {
            return self.settle(state, wall_ms, effects);
        }
        let is_refresh = self.purpose == Purpose::Refresh;
        self.given_up_ms = wall_ms + i64::from(timeout_ms);
        if !state.crowd.enter(wall_ms, self.given_up_ms, is_refresh) {
            state.stats.origin_shed += 1;
            self.origin_failed = true;
            return self.settle(state, wall_ms, effects);
        }
        state.stats.origin_fetches += 1;
        let until_ms = wall_ms + lease_ms(state, timeout_ms);
        state.leases.extend(self.hash, until_ms);
        self.asked_at_ms = wall_ms;
        self.purge_when_asked_ms = self.newest_purge_ms(state);
        self.phase = Phase::Origin;
        effects.push(Effect::Fetch {
            path: self.resource.path(),
            traceparent: trace.header(),
            timeout_ms,
        });
    }

    /// When the resource, or one of its items, was purged last, wall time, Unix ms.
    fn newest_purge_ms(&self, state: &State) -> i64 {
        let own_ms = state
            .overlay
            .purged(|| self.resource.tags(&self.key))
            .newest_ms();
        let Resource::Items { ids } = &self.resource else {
            return own_ms;
        };
        let of_item = |id: &String| state.overlay.purged(|| tags_of_item(id)).newest_ms();
        ids.iter().map(of_item).fold(own_ms, i64::max)
    }

    /// Whether something else can answer, so that nobody has to wait for a probe.
    fn leaves_probes_to_refreshes(&self, state: &State, wall_ms: i64) -> bool {
        match self.purpose {
            Purpose::Refresh => false,
            Purpose::AnswerFromTiers => true,
            Purpose::Answer { otherwise_ms } => {
                otherwise_ms < state.config.origin_cold_budget_ms
                    || self.look(state, wall_ms).is_usable()
            }
        }
    }

    fn take_origin(&mut self, state: &mut State, wall_ms: i64, results: &[Done<'_>]) {
        self.origin_ms = Some(wall_ms.saturating_sub(self.asked_at_ms).max(0));
        state.crowd.leave(self.given_up_ms);
        let result = results.first().copied().unwrap_or_default();
        match result.status {
            200 => {
                let age_ms = i64::from(result.age_s) * 1_000;
                let purge_ms = self.newest_purge_ms(state);
                let made_at_ms = if purge_ms > self.purge_when_asked_ms {
                    // A purge came meanwhile: this may have been made before it.
                    self.asked_at_ms
                } else {
                    // What was asked for after a purge is newer, whatever the clocks say.
                    wall_ms.max(purge_ms.min(wall_ms + SKEW_MAX_MS))
                };
                let stored_at_ms = made_at_ms.saturating_sub(age_ms);
                state.breaker.succeeded();
                if state.absorb(&self.resource, &self.key, result.body, stored_at_ms) {
                    state.stats.origin_hits += 1;
                    self.fetched = Some((stored_at_ms, result.body.to_vec(), Tier::Origin));
                } else if !self.look(state, wall_ms).is_fresh() {
                    self.origin_failed = true;
                }
            }
            400 | 404 | 410 | 414 => {
                state.breaker.succeeded();
                state.absorb_absent(&self.resource, &self.key, wall_ms);
            }
            _ => {
                state.stats.origin_failures += 1;
                state.breaker.failed(wall_ms);
                self.origin_failed = true;
            }
        }
    }

    /// Memory has what there is to have: gives the lease back and writes to the tiers.
    fn settle(&mut self, state: &mut State, wall_ms: i64, effects: &mut Vec<Effect>) {
        self.settled = true;
        if self.leased {
            self.leased = false;
            state.leases.release(self.hash);
        }
        if self.purpose == Purpose::Refresh && !self.look(state, wall_ms).is_fresh() {
            state
                .leases
                .take(self.hash ^ BACKOFF, wall_ms, wall_ms + BACKOFF_MS);
        }
        let Some((at_ms, body, tier)) = self.fetched.take() else {
            self.phase = Phase::Done;
            return;
        };
        let body = envelope::wrap(at_ms, envelope::kind_of(&self.resource, &self.key), &body);
        let ttl_s = lifetime::of(&self.resource).error_s;
        if tier == Tier::Origin && state.take_kv_put(&self.resource, &self.key, wall_ms) {
            effects.push(Effect::KvPut {
                key: self.key.clone(),
                ttl_s,
                body: body.clone(),
            });
        }
        effects.push(Effect::CachePut {
            key: self.key.clone(),
            ttl_s,
            body,
        });
        self.phase = Phase::Writing;
    }
}

/// How long others leave a key to its holder, who waits for `timeout_ms` at most.
fn lease_ms(state: &State, timeout_ms: u32) -> i64 {
    if state.config.coalesces {
        COALESCED_LEASE_MS
    } else {
        i64::from(timeout_ms) + LEASE_SLACK_MS
    }
}
