//! The real router on the real store: what a client, an edge and an operator would notice.

mod bad_input;
mod faults;
mod following;
mod live;
mod operations;
mod private;
mod purge;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use edgewise_ranking::{RankingConfig, Sources};
use edgewise_wire::bundle::Bundle;
use edgewise_wire::keys::Keys;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{AdminToken, Service, admin_router, public_router};
use crate::clock::Clock;
use crate::config::Config;
use crate::model::ServingModel;
use crate::origin::Origin;
use crate::store::RedbStore;

const TOKEN: &str = "an-admin-token-for-tests";
const NOW_MS: i64 = 1_800_000_000_000;
const HOUR_MS: i64 = 3_600_000;

/// A site on an in-memory store with a clock that the test moves.
struct Site {
    router: Router,
    admin: Router,
    service: Arc<Service>,
    origin: Arc<Origin>,
    clock: Clock,
    keys: Keys,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("")
    }

    fn ids(&self) -> Vec<String> {
        let json = self.json();
        let items = json["items"].as_array().expect("items").iter();
        items
            .map(|item| item["id"].as_str().expect("id").to_owned())
            .collect()
    }

    #[track_caller]
    fn problem(&self, status: u16, field: &str) {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status.as_u16(), status, "{text}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        let json = self.json();
        assert_eq!(json["status"], status);
        if !field.is_empty() {
            assert_eq!(json["field"], field, "{json}");
            assert!(json["allowed"].is_string(), "{json}");
        }
    }
}

impl Site {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let clock = Clock::manual(NOW_MS);
        let keys = Keys::from_secret("t1", &[7; 32]).expect("a key");
        let store = Arc::new(RedbStore::in_memory().expect("a store"));
        let model = ServingModel::new(RankingConfig::default(), Vec::new()).expect("the formula");
        let origin = Origin::load(store, clock.clone(), model, keys.clone()).expect("loaded");
        let origin = Arc::new(origin);
        let service = Service::new(&config, AdminToken::new(TOKEN));
        service.loaded(Arc::clone(&origin));
        let (router, admin) = (public_router(&service), admin_router(&service));
        Self {
            router,
            admin,
            service,
            origin,
            clock,
            keys,
        }
    }

    /// A site with 60 items of 12 authors, the newest an hour old.
    async fn filled() -> Self {
        let site = Self::new();
        let items: Vec<Value> = (0..60)
            .map(|n| item(n, NOW_MS - HOUR_MS * (1 + n / 2)))
            .collect();
        site.upsert(&items).await;
        site
    }

    async fn send(&self, router: &Router, request: Request<Body>) -> Answer {
        let response = router.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("a body").to_vec();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(&self.router, request.body(body.into()).expect("a request"))
            .await
    }

    async fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[], Body::empty()).await
    }

    async fn ok(&self, path: &str) -> Answer {
        let answer = self.get(path).await;
        assert_eq!(
            answer.status,
            200,
            "{path}: {}",
            String::from_utf8_lossy(&answer.body)
        );
        answer
    }

    async fn private(&self, method: &str, path: &str, body: Value) -> Answer {
        let bearer = format!("Bearer {TOKEN}");
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.request(method, path, &[("authorization", &bearer)], body)
            .await
    }

    async fn upsert(&self, items: &[Value]) {
        let answer = self
            .private("PUT", "/admin/v1/items", json!({ "items": items }))
            .await;
        assert_eq!(
            answer.json(),
            json!({ "upserted": items.len(), "rejected": [] })
        );
    }

    async fn follow(&self, user: &str, author: &str) {
        let body = json!({ "follows": [{ "user": user, "author": author }] });
        let answer = self.private("PUT", "/admin/v1/follows", body).await;
        assert_eq!(answer.json()["accepted"], 1);
    }

    async fn events(&self, events: Value) -> Answer {
        let body = events.to_string();
        let json = [("content-type", "application/json")];
        self.request("POST", "/api/v1/events", &json, body).await
    }

    /// Sends events that are all accepted.
    async fn accepted(&self, events: &[Value]) -> Value {
        let answer = self.events(json!({ "events": events })).await;
        assert_eq!(
            answer.status,
            202,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        let json = answer.json();
        assert_eq!(json["accepted"], events.len(), "{json}");
        json
    }

    async fn bundle(&self, user: &str) -> Bundle {
        let path = format!("/internal/v1/candidates/{user}");
        let answer = self.private("GET", &path, Value::Null).await;
        assert_eq!(answer.status, 200);
        Bundle::decode(&answer.body).expect("a bundle")
    }

    async fn counters(&self, id: &str) -> Value {
        let answer = self
            .private("GET", &format!("/admin/v1/items/{id}"), Value::Null)
            .await;
        answer.json()["counters"].clone()
    }
}

fn item(n: i64, created_at: i64) -> Value {
    json!({
        "id": format!("i{n}"),
        "author": format!("a{}", n % 12),
        "created_at": created_at,
        "kind": "video",
        "duration_ms": 10_000,
        "tags": [format!("topic{}", n % 5)],
        "language": if n % 2 == 0 { "en" } else { "de" },
        "region": if n % 3 == 0 { "DE" } else { "US" },
        "title": format!("Item {n}"),
    })
}

fn event(id: &str, kind: &str, user: &str, item: &str) -> Value {
    json!({ "id": id, "type": kind, "user": user, "item": item })
}

fn sources_of(bundle: &Bundle, id: &str) -> Option<Sources> {
    let row = bundle.candidates.ids.iter().position(|known| known == id)?;
    bundle.candidates.sources.get(row).copied()
}
