//! Events: validated here, queued, counted at the origin.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use edgewise_serving::events::{EventsOutcome, ItemFacts, answer as body_of, session_after};
use edgewise_serving::session::{self, subject_of};
use edgewise_wire::api::{Event, Rejection};
use edgewise_wire::events;
use edgewise_wire::limits::EVENTS_BYTES_MAX;
use edgewise_wire::problem::Problem;

use crate::answer;
use crate::context::Step;
use crate::effect::Answer;
use crate::identity;
use crate::job::Job;
use crate::limits::{MESSAGE_MAX_BYTES, client_key};
use crate::request::Request;
use crate::resource::Resource;
use crate::state::State;
use crate::store::memory::Value;

/// A refused client tries again after this, seconds (the limiter's shortest window).
const LIMIT_RETRY_S: u32 = 10;
/// Where the queue failed, seconds.
const QUEUE_RETRY_S: u32 = 1;

#[derive(Debug)]
enum Stage {
    /// The rate limiter is asked, and the overlay where domain time is not known.
    Arrived {
        body: Vec<u8>,
        content_type: Option<String>,
    },
    Sending(Box<Queued>),
}

/// What is on its way to the queue.
#[derive(Debug)]
struct Queued {
    events: Vec<(u32, Event)>,
    rejected: Vec<Rejection>,
    duplicate: u32,
    session: Option<String>,
    user: Option<String>,
}

/// A batch of events.
#[derive(Debug)]
pub(crate) struct Events {
    subject: Option<String>,
    client: String,
    stage: Stage,
    asked: bool,
}

impl Events {
    /// # Errors
    /// 413 for a body that is too large.
    pub(crate) fn new(
        request: &Request<'_>,
        subject: Option<String>,
        body: &[u8],
    ) -> Result<Box<Self>, Problem> {
        if body.len() > EVENTS_BYTES_MAX {
            let detail = alloc::format!("the body has {} bytes", body.len());
            return Err(Problem::too_large("body", detail, "at most 262144 bytes"));
        }
        let content_type = request.header("content-type").map(String::from);
        if !content_type.as_deref().is_none_or(events::is_json) {
            return Err(Problem::media_type("application/json or text/plain"));
        }
        let client = client_key(subject.as_deref(), request.client_ip);
        let stage = Stage::Arrived {
            body: body.to_vec(),
            content_type,
        };
        Ok(Box::new(Self {
            subject,
            client,
            stage,
            asked: false,
        }))
    }

    pub(crate) fn step(&mut self, step: &mut Step<'_>) -> Option<Answer> {
        if !self.asked {
            self.asked = true;
            let key = core::mem::take(&mut self.client);
            step.jobs.push(Job::Limit {
                key,
                begun: false,
                allowed: None,
            });
            if step.state.overlay.current.is_none() {
                step.await_overlay(step.state.config.origin_cold_budget_ms);
            }
            return None;
        }
        match &self.stage {
            Stage::Arrived { body, content_type } => {
                if is_refused(step.jobs) {
                    return Some(answer::problem(&Problem::rate_limited(LIMIT_RETRY_S)));
                }
                match self.queue(step, body, content_type.as_deref()) {
                    // Nothing valid, nothing to queue: the answer names what was wrong.
                    Ok(queued) if queued.events.is_empty() => Some(queued.answer(step)),
                    Ok(queued) => {
                        self.stage = Stage::Sending(Box::new(queued));
                        None
                    }
                    Err(problem) => Some(answer::problem(&problem)),
                }
            }
            Stage::Sending(queued) => Some(queued.answer(step)),
        }
    }

    /// Validates the body and starts the sends.
    fn queue(
        &self,
        step: &mut Step<'_>,
        body: &[u8],
        content_type: Option<&str>,
    ) -> Result<Queued, Problem> {
        let domain_ms = step.domain_ms();
        let batch = events::parse(body, content_type, domain_ms)?;
        for (_, event) in &batch.events {
            identity::agree(
                self.subject.as_deref(),
                Some(&event.user),
                &step.state.config,
            )?;
        }
        let given = batch.events.len();
        let mut events: Vec<(u32, Event)> = Vec::with_capacity(given);
        for (index, event) in batch.events {
            if events.iter().all(|(_, before)| before.id != event.id) {
                events.push((index, event));
            }
        }
        for (_, event) in &mut events {
            // Time in the queue must not shift the event's.
            event.ts_ms.get_or_insert(domain_ms);
        }
        if !events.is_empty() {
            step.jobs.push(Job::Send {
                messages: messages(events.iter().map(|(_, event)| event)),
                begun: false,
                sent: None,
            });
        }
        let first_user = events.first().map(|(_, event)| event.user.clone());
        Ok(Queued {
            duplicate: u32::try_from(given - events.len()).unwrap_or(0),
            user: self.subject.clone().or(first_user),
            events,
            rejected: batch.rejected,
            session: batch.session,
        })
    }
}

impl Queued {
    fn answer(&self, step: &mut Step<'_>) -> Answer {
        let sent = step.jobs.iter().all(|job| {
            !matches!(
                job,
                Job::Send {
                    sent: Some(false),
                    ..
                }
            )
        });
        if !sent {
            let detail = "the events could not be queued; send them again";
            return answer::problem(&Problem::unavailable(detail, QUEUE_RETRY_S));
        }
        let state = &*step.state;
        let user = self.user.as_deref();
        let (keys, wall_ms) = (&state.config.keys, step.wall_ms);
        let (session, status) =
            session::open(self.session.as_deref(), keys, subject_of(user), wall_ms);
        let lookup = |item: &str| facts(state, user, item);
        let session = session_after(&self.events, session, lookup, wall_ms);
        let outcome = EventsOutcome {
            accepted: u32::try_from(self.events.len()).unwrap_or(0),
            duplicate: self.duplicate,
            rejected: &self.rejected,
        };
        let mut answer = answer::json(body_of(&outcome, &session, status, keys));
        answer.status = 202;
        answer
    }
}

fn is_refused(jobs: &[Job]) -> bool {
    jobs.iter().any(|job| {
        matches!(
            job,
            Job::Limit {
                allowed: Some(false),
                ..
            }
        )
    })
}

/// Author and tags of an item, where this isolate's memory knows them.
fn facts<'s>(state: &'s State, user: Option<&str>, item: &str) -> Option<ItemFacts<'s>> {
    let overlay = state.overlay.current.as_ref();
    let own = user.map(|user| Resource::Bundle { user: user.into() });
    own.into_iter()
        .chain([Resource::pool_all()])
        .find_map(
            |resource| match &state.memory.peek(&resource.key())?.value {
                Value::Bundle { prepared, .. } => prepared.item_facts(item, overlay),
                _ => None,
            },
        )
}

/// `{"events":[...]}` messages of at most [`MESSAGE_MAX_BYTES`].
fn messages<'e>(events: impl Iterator<Item = &'e Event>) -> Vec<Vec<u8>> {
    const HEAD: &[u8] = b"{\"events\":[";
    const TAIL: &[u8] = b"]}";
    let mut messages = Vec::new();
    let mut message = HEAD.to_vec();
    for event in events {
        let json = serde_json::to_vec(event).unwrap_or_default();
        if message.len() > HEAD.len() && message.len() + json.len() + 3 > MESSAGE_MAX_BYTES {
            message.extend_from_slice(TAIL);
            messages.push(core::mem::replace(&mut message, HEAD.to_vec()));
        }
        if message.len() > HEAD.len() {
            message.push(b',');
        }
        message.extend_from_slice(&json);
    }
    if message.len() > HEAD.len() {
        message.extend_from_slice(TAIL);
        messages.push(message);
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn event(index: usize, id_bytes: usize) -> Event {
        let json = format!(
            r#"{{"id":"{index:0>id_bytes$}","type":"like","user":"u","item":"{:0>64}"}}"#,
            "i"
        );
        serde_json::from_str(&json).expect("an event")
    }

    #[test]
    fn messages_hold_every_event_once_and_fit() {
        let events: Vec<Event> = (0..500).map(|index| event(index, 64)).collect();
        let many: Vec<&Event> = events.iter().cycle().take(2_000).collect();
        let messages = messages(many.iter().copied());
        assert!(messages.len() > 2);
        let mut total = 0;
        for message in &messages {
            assert!(message.len() <= MESSAGE_MAX_BYTES);
            let parsed: serde_json::Value = serde_json::from_slice(message).expect("JSON");
            total += parsed["events"].as_array().expect("a list").len();
        }
        assert_eq!(total, 2_000);
        assert!(super::messages(core::iter::empty()).is_empty());
    }
}
