//! What clients and operators are told when a part fails or a client is late.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame};

use super::{Site, TOKEN};
use crate::config::Config;

/// A body of which nothing comes.
struct Late;

impl HttpBody for Late {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn a_late_body_is_the_clients_fault() {
    let mut config = Config::default();
    config.limits.request_timeout_ms = 50;
    let site = Site::with(config);
    let token = [("authorization", &*format!("Bearer {TOKEN}"))];
    for (method, path) in [
        ("POST", "/api/v1/events"),
        ("PUT", "/admin/v1/items"),
        // Takes as long as it takes, but not for its body.
        ("POST", "/admin/v1/backup"),
    ] {
        let headers = if path.starts_with("/api") {
            &[][..]
        } else {
            &token[..]
        };
        let answer = site.request(method, path, headers, Body::new(Late)).await;
        answer.problem(408, "");
        assert_eq!(answer.header("connection"), "close");
    }
}

#[tokio::test]
async fn a_stopped_writer_is_named_first() {
    let site = Site::new();
    site.origin.writer.stop();
    let ready = site.get("/readyz").await;
    ready.problem(503, "");
    assert_eq!(ready.json()["detail"], "the writer has stopped");
    let health = site.get("/healthz").await;
    assert_eq!(health.status, 503);
    assert_eq!(health.header("content-type"), "application/json");
    assert_eq!(health.json()["status"], "failing");
}

#[tokio::test]
async fn feeds_grow_the_log_within_bounds() {
    let site = Site::filled().await;
    let logged = async |path: &str, feeds: u32| {
        let before = site.origin.writer.position();
        for _ in 0..feeds {
            site.ok(path).await;
        }
        // The next command commits behind all that was queued.
        site.follow("someone", "a1").await;
        site.origin.writer.position() - before
    };
    let anonymous = logged("/api/v1/feed?limit=40", 30).await;
    assert_eq!(anonymous, 1, "only the follow");
    let named = logged("/api/v1/feed?user=u&limit=40", 200).await;
    let most = u64::from(crate::http::feed::SERVED_PER_S_MAX) + 1;
    assert!((2..=most).contains(&named), "{named} records");
    site.clock.advance(1_000);
    assert!(logged("/api/v1/feed?user=u&limit=40", 1).await > 0);
}
