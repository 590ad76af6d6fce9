//! Probes, metrics, cross-origin rules, listeners.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;

use super::{NOW_MS, Site, TOKEN, item};
use crate::config::Config;
use crate::http::connections::{self, ConnectionLimits};
use crate::http::{AdminToken, Service, public_router};

#[tokio::test]
async fn probes_tell_loading_empty_ready_and_draining() {
    let empty = Service::new(&Config::default(), AdminToken::new(TOKEN));
    let site = Site::new();
    let loading = public_router(&empty);
    let probe = |path: &str| {
        Request::builder()
            .uri(path.to_owned())
            .body(Body::empty())
            .expect("ok")
    };
    assert_eq!(site.send(&loading, probe("/livez")).await.status, 200);
    site.send(&loading, probe("/readyz")).await.problem(503, "");
    site.send(&loading, probe("/api/v1/feed"))
        .await
        .problem(503, "");
    site.get("/readyz").await.problem(503, "");
    site.upsert(&[item(1, NOW_MS)]).await;
    site.ok("/readyz").await;
    assert_eq!(site.ok("/healthz").await.json()["status"], "ok");
    assert_eq!(
        site.ok("/openapi.json").await.json()["openapi"]
            .as_str()
            .map(|v| &v[..2]),
        Some("3.")
    );
    site.service.drain();
    let draining = site.get("/readyz").await;
    draining.problem(503, "");
    assert!(!draining.header("retry-after").is_empty());
    site.ok("/livez").await;
}

#[tokio::test]
async fn metrics_are_on_the_admin_listener() {
    crate::telemetry::metrics_handle();
    let site = Site::filled().await;
    site.ok("/api/v1/feed?user=u").await;
    let request = Request::builder()
        .uri("/metrics")
        .body(Body::empty())
        .expect("a request");
    let answer = site.send(&site.admin, request).await;
    let text = String::from_utf8(answer.body).expect("text");
    let feeds = r#"edgewise_http_requests_total{route="/api/v1/feed",method="GET",status="200"}"#;
    assert!(text.contains(feeds), "{text}");
    assert!(
        text.contains("# HELP edgewise_http_requests_total"),
        "{text}"
    );
}

#[tokio::test]
async fn browsers_of_configured_origins_may_call() {
    let mut config = Config::default();
    config.serve.allow_origins = vec!["https://app.example".to_owned()];
    let site = Site::with(config);
    site.upsert(&[item(1, NOW_MS)]).await;
    let from = |origin| [("origin", origin)];
    let known = site
        .request(
            "GET",
            "/api/v1/feed",
            &from("https://app.example"),
            Body::empty(),
        )
        .await;
    assert_eq!(
        known.header("access-control-allow-origin"),
        "https://app.example"
    );
    let other = site
        .request(
            "GET",
            "/api/v1/feed",
            &from("https://evil.example"),
            Body::empty(),
        )
        .await;
    assert!(other.header("access-control-allow-origin").is_empty());
    let preflight = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type"),
    ];
    let answer = site
        .request("OPTIONS", "/api/v1/events", &preflight, Body::empty())
        .await;
    assert!(
        answer.status.is_success()
            && answer
                .header("access-control-allow-methods")
                .contains("POST")
    );
}

#[tokio::test]
async fn a_listener_serves_and_drains() {
    let site = Site::filled().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let addr = listener.local_addr().expect("bound");
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let limits = ConnectionLimits {
        connections: Arc::new(tokio::sync::Semaphore::new(2)),
        per_client: 2,
        header_timeout: Duration::from_millis(200),
        drain: Duration::from_secs(2),
    };
    let server = connections::serve(listener, site.router.clone(), limits, stopped);
    let server = tokio::spawn(server);
    let clients = tokio::task::spawn_blocking(move || {
        let mut slow = TcpStream::connect(addr).expect("connected");
        slow.write_all(b"GET /livez HT").expect("sent");
        let mut quick = TcpStream::connect(addr).expect("connected");
        quick
            .write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
            .expect("sent");
        let mut buffer = [0; 256];
        let read = quick.read(&mut buffer).expect("answered");
        assert!(buffer[..read].starts_with(b"HTTP/1.1 200"));
        let mut rest = Vec::new();
        slow.read_to_end(&mut rest).expect("closed");
        assert!(
            !rest.starts_with(b"HTTP/1.1 200"),
            "headers that never came"
        );
    });
    clients.await.expect("no client panicked");
    stop.send_replace(true);
    tokio::time::timeout(Duration::from_secs(2), server)
        .await
        .expect("drained")
        .expect("ended");
    assert!(
        tokio::net::TcpStream::connect(addr).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test]
async fn a_pack_holds_what_the_feed_is_made_from() {
    let site = Site::filled().await;
    let answer = site.ok("/api/v1/feed/offline?user=u&language=en").await;
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    assert_eq!(answer.header("cache-control"), "private, no-store");
    let pack = edgewise_wire::Pack::decode(&answer.body).expect("a pack");
    assert_eq!(pack.user.as_deref(), Some("u"));
    let edgewise_wire::PackedCandidates::Bundle(bundle) = pack.candidates else {
        panic!("a hot list");
    };
    let bundle = edgewise_wire::Bundle::decode(bundle).expect("a bundle");
    assert_eq!(bundle.user.as_deref(), Some("u"));
    let overlay = pack.overlay.expect("an overlay");
    assert!(edgewise_wire::Overlay::decode(overlay).is_ok());
    let snapshot = pack.snapshot.expect("a model");
    let model = edgewise_wire::ModelSnapshot::decode(snapshot).expect("a snapshot");
    let page = site.ok("/api/v1/feed?user=u").await.json();
    assert_eq!(page["model"], model.version);
    site.get("/api/v1/feed/offline?cursor=garbage")
        .await
        .problem(400, "cursor");
}
