//! A small site for tests, and a stack that serves it.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use edgewise_tests::http::{Answer, eventually, post};
use edgewise_tests::stack::{Edge, Origin};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Items of the site.
pub(crate) const ITEMS: usize = 600;
/// Authors of the site; author `aN` wrote the items `n` with n % AUTHORS == N.
pub(crate) const AUTHORS: usize = 60;

/// An origin and an edge on a fresh store.
pub(crate) struct Stack {
    pub(crate) origin: Origin,
    pub(crate) edge: Edge,
    _dir: TempDir,
}

impl Stack {
    /// Starts both on the site.
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let origin = Origin::start(dir.path(), &[]);
        origin.upsert(&items());
        let edge = Edge::start(dir.path(), &origin.url, &[]);
        Self {
            origin,
            edge,
            _dir: dir,
        }
    }

    /// Sends events to the edge and checks that all are taken.
    #[track_caller]
    pub(crate) fn events(&self, events: &[Value], session: Option<&str>) -> Answer {
        let mut body = json!({ "events": events });
        if let Some(session) = session {
            body["session"] = json!(session);
        }
        let answer = post(&format!("{}/api/v1/events", self.edge.url), &body);
        assert_eq!(answer.status, 202, "{}", answer.text);
        assert_eq!(
            answer.json()["accepted"],
            json!(events.len()),
            "{}",
            answer.text
        );
        answer
    }

    /// Follows `author` and waits until the origin's candidates say so.
    #[track_caller]
    pub(crate) fn follow(&self, user: &str, author: &str) {
        let body = json!({ "follows": [{ "user": user, "author": author }] });
        let answer = self.origin.admin("PUT", "/admin/v1/follows", Some(&body));
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    /// The origin's answered requests by route, probes and metrics aside.
    pub(crate) fn requests_by_route(&self) -> BTreeMap<String, f64> {
        let metrics = edgewise_tests::http::get(&format!("{}/metrics", self.origin.admin_url));
        assert_eq!(metrics.status, 200, "{}", metrics.text);
        let mut routes = BTreeMap::new();
        for line in metrics.text.lines() {
            let Some(labels) = line.strip_prefix("edgewise_http_requests_total") else {
                continue;
            };
            let route = labels
                .split("route=\"")
                .nth(1)
                .and_then(|rest| rest.split('"').next());
            let count = line
                .rsplit(' ')
                .next()
                .and_then(|count| count.parse::<f64>().ok());
            let (Some(route), Some(count)) = (route, count) else {
                panic!("unread: {line}")
            };
            if !["/livez", "/readyz", "/healthz", "/metrics"].contains(&route) {
                *routes.entry(route.to_owned()).or_default() += count;
            }
        }
        assert!(
            !routes.is_empty(),
            "no request is counted: {}",
            metrics.text
        );
        routes
    }

    /// The origin's answered requests whose route contains `part`.
    pub(crate) fn requests(&self, part: &str) -> f64 {
        self.requests_by_route()
            .iter()
            .filter(|(route, _)| route.contains(part))
            .map(|(_, n)| n)
            .sum()
    }

    /// A feed page of the edge on the rung that is expected, waiting for the first bundle.
    #[track_caller]
    pub(crate) fn personal(&self, path: &str) -> Answer {
        eventually(
            "a personal feed",
            std::time::Duration::from_secs(10),
            || {
                let answer = self.edge.get(path);
                (answer.status == 200 && answer.header("edgewise-rung") == "personal")
                    .then_some(answer)
            },
        )
    }
}

/// Wall time, Unix ms.
pub(crate) fn now_ms() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970");
    i64::try_from(now.as_millis()).expect("the clock is before the year 292278994")
}

/// The site's items: an author each of 60, created through the last 60 hours.
pub(crate) fn items() -> Vec<Value> {
    let now = now_ms();
    (0..ITEMS)
        .map(|item| {
            json!({
                "id": item.to_string(),
                "author": format!("a{}", item % AUTHORS),
                "created_at": now - (item as i64) * 360_000 - 1_000,
                "kind": "video",
                "duration_ms": 20_000,
                "tags": [format!("topic{}", item % 7), format!("mood{}", item % 5)],
                "language": if item % 3 == 0 { "de" } else { "en" },
                "region": if item % 4 == 0 { "DE" } else { "US" },
                "title": format!("Item {item}"),
            })
        })
        .collect()
}

/// An event of `user` on `item` with a fresh id.
pub(crate) fn event(kind: &str, user: &str, item: &str) -> Value {
    json!({ "id": unique(), "type": kind, "user": user, "item": item })
}

/// An id that no other event of this run has.
pub(crate) fn unique() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!(
        "t{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}
