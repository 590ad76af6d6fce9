//! Bad input and identities: problem documents with field and range, nothing partly applied.

use axum::body::Body;
use axum::http::Request;
use edgewise_wire::jwt;
use serde_json::{Value, json};

use super::{HOUR_MS, NOW_MS, Site, TOKEN, event, item};
use crate::config::{Config, PlainUser};
use crate::http::connections::ClientAddr;

#[tokio::test]
async fn bad_parameters_name_field_and_range() {
    let site = Site::filled().await;
    let long = "x".repeat(65);
    for (path, field) in [
        ("/api/v1/feed?user=u&limit=0", "limit"),
        ("/api/v1/feed?user=u&limit=101", "limit"),
        ("/api/v1/feed?user=u&profile=best", "profile"),
        ("/api/v1/feed?user=u&cursor=garbage", "cursor"),
        ("/api/v1/feed?user=", "user"),
        ("/api/v1/feed?user=a%00b", "user"),
        (&format!("/api/v1/feed?user={long}"), "user"),
        ("/api/v1/hot/trending?window=2h", "window"),
        ("/api/v1/hot/trending?limit=201", "limit"),
        ("/api/v1/hot/trending?tag=a&region=b", "region"),
        ("/api/v1/similar/i1?limit=0", "limit"),
        (&format!("/api/v1/similar/{long}"), "item"),
        ("/api/v1/discover/suggested-users?user=u&limit=51", "limit"),
        ("/api/v1/discover/suggested-users", "user"),
        ("/api/v1/items", "ids"),
    ] {
        let answer = site.get(path).await;
        assert_eq!(answer.status, 400, "{path}");
        let json = answer.json();
        let named = json["field"].as_str().expect("a field");
        let either = field == named || (path.contains("tag=a") && named == "tag");
        assert!(either, "{path}: {json}");
        assert!(
            json["allowed"].is_string() && json["detail"].is_string(),
            "{json}"
        );
    }
    let session = site.ok("/api/v1/feed?user=u&session=garbage").await;
    assert_eq!(session.json()["session_status"], "invalid");
    site.ok("/api/v1/hot/trending?utm_source=mail").await;
}

#[tokio::test]
async fn bad_bodies_methods_and_paths_are_problems() {
    let site = Site::filled().await;
    for (body, status) in [
        ("", 400),
        ("not json", 400),
        ("{}", 400),
        ("[]", 400),
        ("42", 400),
        (&"[".repeat(10_000), 400),
        (&format!("{{\"pad\":\"{}\"}}", "x".repeat(300 * 1024)), 413),
    ] {
        let json = [("content-type", "application/json")];
        let answer = site
            .request("POST", "/api/v1/events", &json, body.to_owned())
            .await;
        answer.problem(status, "");
        let counted = [
            ("content-type", "application/json"),
            ("content-length", "307200"),
        ];
        if status == 413 {
            let answer = site
                .request("POST", "/api/v1/events", &counted, body.to_owned())
                .await;
            answer.problem(413, "body");
        }
    }
    let png = [("content-type", "image/png")];
    site.request("POST", "/api/v1/events", &png, "[]")
        .await
        .problem(415, "content-type");
    let answer = site
        .request("DELETE", "/api/v1/feed", &[], Body::empty())
        .await;
    answer.problem(405, "method");
    assert_eq!(answer.header("allow"), "GET,HEAD");
    site.get("/api/v1/events").await.problem(405, "method");
    site.get("/api/v1/nothing").await.problem(404, "");
    site.get("/metrics").await.problem(404, "");
    let head = site
        .request("HEAD", "/api/v1/hot/trending", &[], Body::empty())
        .await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert!(
        head.header("content-length")
            .parse::<u32>()
            .expect("a length")
            > 0
    );
}

#[tokio::test]
async fn valid_events_of_a_batch_count_and_the_others_are_named() {
    let site = Site::filled().await;
    let mut late = event("late", "click", "u", "i1");
    late["ts_ms"] = json!(NOW_MS - 49 * HOUR_MS);
    let batch = json!({ "events": [
        event("a", "click", "u", "i1"),
        event("", "click", "u", "i1"),
        late,
        event("b", "wink", "u", "i1"),
        event("c", "click", "u", "i1"),
        event("c", "click", "u", "i1"),
    ]});
    let answer = site.events(batch).await;
    assert_eq!(answer.status, 202);
    let json = answer.json();
    assert_eq!(
        (&json["accepted"], &json["duplicate"]),
        (&json!(2), &json!(1)),
        "{json}"
    );
    let rejected = json["rejected"].as_array().expect("rejected").iter();
    let rejected: Vec<&Value> = rejected.map(|one| &one["index"]).collect();
    assert_eq!(rejected, [1, 2, 3]);
    assert_eq!(site.counters("i1").await["clicks"], 2);
    let beacon = json!([event("d", "view", "u", "i1")]).to_string();
    let text = [("content-type", "text/plain;charset=UTF-8")];
    assert_eq!(
        site.request("POST", "/api/v1/events", &text, beacon)
            .await
            .status,
        202
    );
}

#[tokio::test]
async fn a_signed_token_is_who_it_says() {
    let site = Site::filled().await;
    let token = jwt::sign("owner", NOW_MS / 1_000 + 600, &site.keys);
    let bearer = format!("Bearer {token}");
    let auth = [("authorization", bearer.as_str())];
    let other = site
        .request("GET", "/api/v1/feed?user=other", &auth, Body::empty())
        .await;
    other.problem(403, "user");
    let body = json!([event("x", "like", "other", "i1")]).to_string();
    let other = site.request("POST", "/api/v1/events", &auth, body).await;
    other.problem(403, "user");
    assert_eq!(site.counters("i1").await["likes"], 0, "nothing was applied");
    let own = site
        .request("GET", "/api/v1/feed", &auth, Body::empty())
        .await;
    assert_eq!(
        (own.status.as_u16(), own.header("edgewise-rung")),
        (200, "personal")
    );
    let forged = [(
        "authorization",
        "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJvIn0.",
    )];
    let answer = site
        .request("GET", "/api/v1/feed", &forged, Body::empty())
        .await;
    answer.problem(401, "authorization");
    let page = site.ok("/api/v1/feed?user=u&limit=5").await.json();
    let cursor = page["next_cursor"].as_str().expect("more");
    site.get(&format!("/api/v1/feed?user=thief&cursor={cursor}"))
        .await
        .problem(400, "cursor");
}

#[tokio::test]
async fn plain_users_can_be_refused() {
    let mut config = Config::default();
    config.auth.plain_user = Some(PlainUser::Deny);
    let site = Site::with(config);
    site.upsert(&[item(1, NOW_MS)]).await;
    site.get("/api/v1/feed?user=u")
        .await
        .problem(401, "authorization");
    let body = json!([event("x", "like", "u", "i1")]);
    site.events(body).await.problem(401, "authorization");
    site.ok("/api/v1/feed").await;
}

#[tokio::test]
async fn a_client_over_its_rate_waits() {
    let mut config = Config::default();
    config.limits.rate_per_s = 1.0;
    config.limits.rate_burst = 2;
    let site = Site::with(config);
    site.upsert(&[item(1, NOW_MS)]).await;
    let request = || {
        let mut request = Request::builder()
            .uri("/api/v1/feed")
            .body(Body::empty())
            .expect("a request");
        let addr = std::net::SocketAddr::from(([10, 0, 0, 9], 4_000));
        request.extensions_mut().insert(ClientAddr(addr));
        request
    };
    assert_eq!(site.send(&site.router, request()).await.status, 200);
    assert_eq!(site.send(&site.router, request()).await.status, 200);
    let refused = site.send(&site.router, request()).await;
    refused.problem(429, "");
    assert_eq!(refused.header("retry-after"), "1");
    site.clock.advance(1_000);
    assert_eq!(site.send(&site.router, request()).await.status, 200);
}

#[tokio::test]
async fn plain_users_are_refused_where_others_can_reach_the_listener() {
    let mut config = Config::default();
    config.serve.listen = "0.0.0.0:8080".parse().expect("an address");
    let site = Site::with(config.clone());
    site.get("/api/v1/feed?user=u")
        .await
        .problem(401, "authorization");
    config.auth.plain_user = Some(PlainUser::Allow);
    Site::with(config).ok("/api/v1/feed?user=u").await;
    Site::new().ok("/api/v1/feed?user=u").await;
}

#[tokio::test]
async fn refusals_name_the_numbers_and_the_methods() {
    let site = Site::new();
    let bearer = format!("Bearer {TOKEN}");
    let admin = [("authorization", &*bearer)];
    for (method, path, max) in [
        ("POST", "/api/v1/events", 262_144),
        ("POST", "/internal/v1/events", 4_194_304),
        ("PUT", "/admin/v1/items", 4_194_304),
        ("PUT", "/admin/v1/follows", 1_048_576),
        ("POST", "/admin/v1/backup", 65_536),
    ] {
        // One more byte is read by the route, two more are refused before it.
        for more in [1, 2] {
            let length = (max + more).to_string();
            let mut headers = vec![("content-length", &*length)];
            if !path.starts_with("/api/") {
                headers.push(admin[0]);
            }
            let body = " ".repeat(max + more);
            let answer = site.request(method, path, &headers, body).await;
            answer.problem(413, "body");
            let allowed = format!("at most {max} bytes");
            assert_eq!(answer.json()["allowed"], *allowed, "{path} {more}");
        }
    }
    for (method, path, allowed) in [
        ("POST", "/api/v1/feed", "GET, HEAD"),
        ("GET", "/api/v1/events", "POST"),
        ("GET", "/internal/v1/events", "POST"),
        ("GET", "/admin/v1/items", "PUT"),
        ("POST", "/admin/v1/items/i", "GET, HEAD, DELETE"),
        ("POST", "/admin/v1/follows", "PUT, DELETE"),
        ("GET", "/admin/v1/users/u", "DELETE"),
        ("PUT", "/admin/v1/verify", "POST"),
    ] {
        let answer = site.request(method, path, &admin, "").await;
        answer.problem(405, "method");
        assert_eq!(answer.json()["allowed"], allowed, "{path}");
    }
}
