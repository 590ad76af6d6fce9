//! One visit: a few feed pages, what was seen and watched, and what was liked.

use serde_json::{Value, json};

use super::api::{Api, encode};
use super::crowd::Response;
use super::{Shared, add, locked};
use crate::community::rng::Rng;

const PAGE: usize = 10;
const MAX_PAGES: usize = 4;
/// One visit in this many looks at the trending list first.
const TRENDING_EVERY: usize = 6;

/// Somebody who is on the site now.
pub(super) struct Visitor<'a> {
    shared: &'a Shared,
    api: &'a Api,
    rng: &'a mut Rng,
    person: usize,
    /// Prefix of this visit's event ids.
    name: String,
    events: usize,
    /// The session token, as a browser would keep it.
    session: Option<String>,
}

impl<'a> Visitor<'a> {
    pub(super) fn new(shared: &'a Shared, api: &'a Api, name: String, rng: &'a mut Rng) -> Self {
        let person = shared.crowd.draw(rng);
        Self {
            shared,
            api,
            rng,
            person,
            name,
            events: 0,
            session: None,
        }
    }

    /// The whole visit; false where a request failed, which ends it.
    pub(super) fn visit(mut self) -> bool {
        if self.rng.below(TRENDING_EVERY) == 0 && !self.trending() {
            return false;
        }
        let mut cursor = None;
        for _ in 0..1 + self.rng.below(MAX_PAGES) {
            let Some(page) = self.page(cursor.as_deref()) else {
                return false;
            };
            add(&self.shared.tally.pages, 1);
            if !self.react_to(&page) {
                return false;
            }
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        true
    }

    fn trending(&mut self) -> bool {
        let window = *self.rng.pick(&["1h", "24h", "7d"]);
        let path = format!("/api/v1/hot/trending?window={window}&limit=20");
        self.request(|api| api.get(&path)).is_some()
    }

    fn page(&mut self, cursor: Option<&str>) -> Option<Value> {
        let user = encode(self.shared.crowd.user(self.person));
        let mut path = format!("/api/v1/feed?user={user}&limit={PAGE}");
        for (name, value) in [("cursor", cursor), ("session", self.session.as_deref())] {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", encode(value)));
            }
        }
        let page = self.request(|api| api.get(&path))?;
        self.keep_session(&page);
        Some(page)
    }

    /// Reports what was seen as one batch, then what was done as another, as the page does.
    fn react_to(&mut self, page: &Value) -> bool {
        let request_id = page["request_id"].as_str();
        let (mut seen, mut done) = (Vec::new(), Vec::new());
        for (slot, item) in page["items"].as_array().into_iter().flatten().enumerate() {
            let (Some(id), Some(author)) = (item["id"].as_str(), item["author"].as_str()) else {
                continue;
            };
            let place = json!({ "request_id": request_id, "position": slot + 1 });
            let Some(response) = self.respond(id) else {
                break;
            };
            seen.push(self.event("impression", id, &place));
            self.watched(response, id, &place, &mut seen);
            self.acts(response, (id, author), &place, &mut done);
        }
        (seen.is_empty() || self.post(seen)) && (done.is_empty() || self.post(done))
    }

    fn respond(&mut self, item: &str) -> Option<Response> {
        let posts = locked(&self.shared.new_posts);
        self.shared
            .crowd
            .respond(self.person, item, posts.get(item), self.rng)
    }

    fn watched(&mut self, response: Response, id: &str, place: &Value, seen: &mut Vec<Value>) {
        let Some(watched) = response.reaction.watched else {
            return;
        };
        let mut view = self.event("view", id, place);
        if let Some(duration_ms) = response.duration_ms {
            view["watch_ms"] = json!((f64::from(duration_ms) * watched) as u32);
            view["duration_ms"] = json!(duration_ms);
        }
        seen.push(view);
    }

    fn acts(
        &mut self,
        response: Response,
        (id, author): (&str, &str),
        place: &Value,
        done: &mut Vec<Value>,
    ) {
        let reaction = response.reaction;
        let acts = [
            ("click", reaction.click),
            ("like", reaction.like),
            ("comment", reaction.comment),
            ("share", reaction.share),
            ("follow", reaction.follow),
            ("hide", reaction.hide),
        ];
        for (kind, _) in acts.into_iter().filter(|(_, happened)| *happened) {
            let mut event = self.event(kind, id, place);
            if kind == "follow" {
                event["author"] = json!(author);
            }
            add(&self.shared.tally.likes, u64::from(kind == "like"));
            done.push(event);
        }
    }

    /// No `ts_ms`: it happened when it is received, in whatever time the site lives.
    fn event(&mut self, kind: &str, item: &str, place: &Value) -> Value {
        self.events += 1;
        let mut event = json!({
            "id": format!("{}-{}", self.name, self.events),
            "type": kind,
            "user": self.shared.crowd.user(self.person),
            "item": item,
            "position": place["position"],
        });
        if place["request_id"].is_string() {
            event["request_id"] = place["request_id"].clone();
        }
        event
    }

    fn post(&mut self, events: Vec<Value>) -> bool {
        let mut body = json!({ "events": events });
        if let Some(session) = &self.session {
            body["session"] = json!(session);
        }
        let Some(answer) = self.request(|api| api.send("POST", "/api/v1/events", &body)) else {
            return false;
        };
        add(
            &self.shared.tally.events,
            answer["accepted"].as_u64().unwrap_or(0),
        );
        self.keep_session(&answer);
        true
    }

    fn keep_session(&mut self, answer: &Value) {
        if let Some(session) = answer["session"].as_str() {
            self.session = Some(session.to_owned());
        }
    }

    /// Waits for its turn, asks, counts; None where it failed or it is time to stop.
    fn request(&self, ask: impl FnOnce(&Api) -> anyhow::Result<Value>) -> Option<Value> {
        if !self.shared.wait_turn() {
            return None;
        }
        let answer = ask(self.api);
        let tally = &self.shared.tally;
        add(
            if answer.is_ok() {
                &tally.answered
            } else {
                &tally.errors
            },
            1,
        );
        answer.ok()
    }
}
