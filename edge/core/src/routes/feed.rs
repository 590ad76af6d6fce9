//! The feed: ranked from the best candidates that can be had within the budget, or these
//! candidates themselves, packed for a device.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use edgewise_serving::session::{self, subject_of};
use edgewise_serving::{FeedInput, Prepared, SessionStatus, feed, hot};
use edgewise_wire::api::Rung;
use edgewise_wire::cursor::Cursor;
use edgewise_wire::pack::{Pack, PackedCandidates};
use edgewise_wire::params::FeedParams;
use edgewise_wire::problem::Problem;
use edgewise_wire::served::ServedSlot;
use edgewise_wire::session::Session;

use crate::answer::{self, Source};
use crate::config::Config;
use crate::context::Step;
use crate::effect::Answer;
use crate::ladder::{self, Candidate};
use crate::lifetime;
use crate::request::Request;
use crate::resource::Resource;
use crate::store::load::Purpose;
use crate::store::memory::Value;

/// Less than this is not worth asking the origin for.
const WORTH_ASKING_MS: u32 = 10;

/// How far down the search has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// What is in memory.
    Memory,
    /// The best candidates were looked for in every tier.
    Best,
    /// The others were looked for in the near tiers.
    Tiers,
    /// ... and at the origin.
    Origin,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A ranked page.
    Page,
    /// What it is ranked from, for a device.
    Pack,
}

/// A request for a page.
#[derive(Debug)]
pub(crate) struct Feed {
    params: FeedParams,
    user: Option<String>,
    session: Session,
    session_status: SessionStatus,
    cursor: Option<Cursor>,
    /// The country the request comes from; empty where unknown.
    country: String,
    utc_offset_minutes: i32,
    ladder: Vec<Candidate>,
    stage: Stage,
    form: Form,
}

impl Feed {
    /// # Errors
    /// 400 for a cursor that is not this subject's.
    pub(crate) fn new(
        form: Form,
        params: FeedParams,
        user: Option<String>,
        request: &Request<'_>,
        config: &Config,
    ) -> Result<Box<Self>, Problem> {
        let subject = subject_of(user.as_deref());
        let cursor = params.cursor.as_deref();
        let cursor = cursor
            .map(|token| Cursor::decode(token, &config.keys, subject))
            .transpose()
            .map_err(Problem::cursor)?;
        let token = params.session.as_deref();
        let (session, session_status) =
            session::open(token, &config.keys, subject, request.wall_ms);
        let ladder = ladder::candidates(&params, user.as_deref(), request.country);
        let stage = Stage::Memory;
        Ok(Box::new(Self {
            params,
            user,
            session,
            session_status,
            cursor,
            country: request.country.into(),
            utc_offset_minutes: request.utc_offset_minutes,
            ladder,
            stage,
            form,
        }))
    }

    pub(crate) fn step(&mut self, step: &mut Step<'_>) -> Option<Answer> {
        if self.stage == Stage::Memory {
            self.stage = Stage::Best;
            if self.begin(step) {
                return None;
            }
        }
        if let Some(answer) = self.answer(step) {
            return Some(answer);
        }
        match self.stage {
            Stage::Memory | Stage::Best => {
                self.stage = Stage::Tiers;
                for candidate in self.ladder.iter().skip(1) {
                    step.load(candidate.resource.clone(), Purpose::AnswerFromTiers);
                }
                None
            }
            Stage::Tiers if step.left_ms() >= WORTH_ASKING_MS => {
                self.stage = Stage::Origin;
                let otherwise_ms = step.left_ms();
                for resource in self
                    .ladder
                    .iter()
                    .skip(1)
                    .map(|candidate| &candidate.resource)
                {
                    step.load(resource.clone(), Purpose::Answer { otherwise_ms });
                }
                None
            }
            Stage::Tiers | Stage::Origin => Some(step.unavailable()),
        }
    }

    /// Starts what the answer waits for; false where memory has it all.
    fn begin(&self, step: &mut Step<'_>) -> bool {
        let config = &step.state.config;
        let (first_ms, cold_ms) = (config.origin_first_budget_ms, config.origin_cold_budget_ms);
        let mut waits = step.await_overlay(first_ms);
        let Some((best, others)) = self.ladder.split_first() else {
            return waits;
        };
        let look = step.state.look(&best.resource, &best.key, step.wall_ms);
        if step.is_ready(look) {
            step.state.stats.memory_hits += 1;
        } else {
            let has_lower_rung = others
                .iter()
                .any(|candidate| candidate.rung(step).is_some());
            let otherwise_ms = if has_lower_rung { first_ms } else { cold_ms };
            step.load(best.resource.clone(), Purpose::Answer { otherwise_ms });
            waits = true;
        }
        waits
    }

    /// A page of the best candidates in memory, and a refresh of what is better or old.
    fn answer(&self, step: &mut Step<'_>) -> Option<Answer> {
        let found = self
            .ladder
            .iter()
            .enumerate()
            .find_map(|(index, candidate)| Some((index, candidate, candidate.rung(step)?)));
        let (index, candidate, rung) = found?;
        for better in self.ladder.iter().take(index + 1) {
            step.refresh(better.resource.clone());
        }
        let look = step
            .state
            .look(&candidate.resource, &candidate.key, step.wall_ms);
        let source = Source {
            lifetime: lifetime::of(&Resource::Bundle {
                user: String::new(),
            }),
            look,
            cache_tag: None,
            rung: Some(rung),
        };
        match self.form {
            Form::Page => {
                let body = self.page(step, candidate, rung)?;
                Some(answer::stored(step.context, &source, body))
            }
            Form::Pack => {
                let body = self.pack(step, candidate, rung)?;
                Some(answer::stored_as(
                    answer::BINARY,
                    step.context,
                    &source,
                    body,
                ))
            }
        }
    }

    /// What a page would be made from now.
    fn pack(&self, step: &mut Step<'_>, candidate: &Candidate, rung: Rung) -> Option<Vec<u8>> {
        let state = &mut *step.state;
        let pointer = state.overlay.current.as_ref().map(|overlay| &overlay.model);
        let served = state.models.serving(pointer, self.user.as_deref());
        let entry = state.memory.get(&candidate.key)?;
        let candidates = match &entry.value {
            Value::Bundle { encoded, .. } => PackedCandidates::Bundle(encoded),
            Value::Hot { encoded, .. } => PackedCandidates::HotList(encoded),
            Value::Json(_) | Value::Absent => return None,
        };
        let pack = Pack {
            packed_at_ms: step.wall_ms,
            stored_at_ms: entry.stored_at_ms,
            rung,
            user: self.user.clone(),
            region: self.region().map(String::from),
            utc_offset_minutes: self.utc_offset_minutes,
            session: self.session.clone(),
            session_status: self.session_status,
            cursor: self.cursor.clone(),
            candidates,
            overlay: Some(state.overlay.encoded.as_slice()).filter(|bytes| !bytes.is_empty()),
            snapshot: Some(served.encoded.as_slice()).filter(|bytes| !bytes.is_empty()),
        };
        Some(pack.encode())
    }

    fn region(&self) -> Option<&str> {
        Some(self.country.as_str()).filter(|country| !country.is_empty())
    }

    fn page(&self, step: &mut Step<'_>, candidate: &Candidate, rung: Rung) -> Option<Vec<u8>> {
        let domain_ms = step.domain_ms();
        let state = &mut *step.state;
        let overlay = state.overlay.current.as_ref();
        let pointer = overlay.map(|overlay| &overlay.model);
        let served = state.models.serving(pointer, self.user.as_deref());
        let input = FeedInput {
            params: &self.params,
            user: self.user.as_deref(),
            session: &self.session,
            session_status: self.session_status,
            cursor: self.cursor.as_ref(),
            overlay,
            config: &served.config,
            model: &served.model,
            keys: &state.config.keys,
            wall_ms: step.wall_ms,
            domain_ms,
            request_id: step.context.random,
            rung,
            region: self.region(),
            utc_offset_minutes: self.utc_offset_minutes,
        };
        let outcome = match &mut state.memory.get(&candidate.key)?.value {
            Value::Bundle { prepared, .. } => feed::answer(prepared, &input),
            Value::Hot { list, .. } => {
                let bundle = hot::as_bundle(list, overlay, &served.config, domain_ms);
                feed::answer(&mut Prepared::new(bundle), &input)
            }
            Value::Json(_) | Value::Absent => return None,
        };
        state.stats.degradations += u64::from(outcome.degradations);
        state.served.extend(
            outcome.served.into_iter().map(slot(domain_ms)),
            step.wall_ms,
        );
        Some(outcome.body)
    }
}

/// An explore slot as the origin takes it.
fn slot(at_ms: i64) -> impl Fn(edgewise_serving::ServedSlot) -> ServedSlot {
    move |slot| ServedSlot {
        request_id: slot.request_id,
        item: slot.item,
        position: slot.position,
        propensity: slot.propensity,
        at_ms,
    }
}
