//! Candidates and what edges and operators fetch and send.

use axum::body::Body;
use edgewise_ranking::{Feature, Sources, short_hash};
use edgewise_wire::bundle::Bundle;
use edgewise_wire::lists::HotList;
use edgewise_wire::model::ModelSnapshot;
use serde_json::{Value, json};

use super::{NOW_MS, Site, TOKEN, event, sources_of};

#[tokio::test]
async fn sources_name_follows_affinity_likes_and_new_items() {
    let site = Site::filled().await;
    site.follow("u", "a1").await;
    let mut events = vec![
        event("c1", "click", "u", "i2"),
        event("l1", "like", "u", "i2"),
    ];
    for user in ["v", "w"] {
        for item in ["i2", "i7"] {
            events.push(event(&format!("{user}{item}"), "like", user, item));
        }
    }
    site.accepted(&events).await;
    site.origin.make_neighbours().expect("made");
    let bundle = site.bundle("u").await;
    let has = |id: &str, source| sources_of(&bundle, id).is_some_and(|s| s.contains(source));
    assert!(has("i1", Sources::FOLLOW) && has("i13", Sources::FOLLOW));
    assert!(has("i2", Sources::TRENDING) && has("i7", Sources::TRENDING));
    assert!(
        has("i14", Sources::AFFINITY),
        "another item of the author of i2"
    );
    assert!(has("i7", Sources::SIMILAR), "who liked i2 liked i7");
    assert!(
        bundle
            .candidates
            .sources
            .iter()
            .any(|s| s.contains(Sources::EXPLORE))
    );
    assert_eq!(bundle.follows, [short_hash("a1")]);
    assert_eq!(bundle.applied_events.len(), 2);
    let row = bundle
        .candidates
        .ids
        .iter()
        .position(|id| id == "i14")
        .expect("there");
    let interactions = bundle.candidates.feature(row, Feature::Interactions);
    assert_eq!(interactions, Some(2.0));
}

/// `count` items of `author` every `step_min` minutes back from now.
fn posts(author: &str, count: i64, first_min: i64, step_min: i64) -> Vec<Value> {
    let post = |n: i64| {
        let created_at = NOW_MS - (first_min + n * step_min) * 60_000;
        json!({ "id": format!("{author}-{n}"), "author": author, "created_at": created_at,
            "title": "A post" })
    };
    (0..count).map(post).collect()
}

/// How many candidates of `author` came by `source`.
fn count_of(bundle: &Bundle, author: &str, source: Sources) -> usize {
    let rows = bundle.candidates.ids.iter().zip(&bundle.candidates.sources);
    let prefix = format!("{author}-");
    rows.filter(|(id, sources)| id.starts_with(&prefix) && sources.contains(source))
        .count()
}

#[tokio::test]
async fn the_best_of_all_followed_authors_are_candidates() {
    let site = Site::new();
    for author in 0..30 {
        let author = format!("a{author:02}");
        site.upsert(&posts(&author, 150, 1, 20)).await;
        site.follow("u", &author).await;
    }
    let bundle = site.bundle("u").await;
    for author in 0..30 {
        let count = count_of(&bundle, &format!("a{author:02}"), Sources::FOLLOW);
        assert!((16..=17).contains(&count), "a{author:02}: {count}");
    }
    // Who posts a lot within the window is not cut either.
    let site = Site::new();
    site.upsert(&posts("busy", 260, 1, 1)).await;
    site.upsert(&posts("calm", 1, 4_000, 1)).await;
    site.follow("u", "busy").await;
    site.follow("u", "calm").await;
    let bundle = site.bundle("u").await;
    assert_eq!(count_of(&bundle, "busy", Sources::FOLLOW), 260);
    assert_eq!(count_of(&bundle, "calm", Sources::FOLLOW), 1);
}

#[tokio::test]
async fn items_of_equally_close_authors_come_by_freshness() {
    let site = Site::new();
    let mut events = Vec::new();
    for author in ["x", "y", "z"] {
        site.upsert(&posts(author, 150, 10_000, 7)).await;
        events.push(event(author, "click", "u", &format!("{author}-0")));
    }
    events.push(event("z2", "click", "u", "z-1"));
    site.accepted(&events).await;
    let bundle = site.bundle("u").await;
    let counts = ["x", "y", "z"].map(|author| count_of(&bundle, author, Sources::AFFINITY));
    assert_eq!(
        counts,
        [25, 25, 150],
        "most interactions first, then newest"
    );
}

#[tokio::test]
async fn seen_hidden_and_own_items_leave_the_candidates() {
    let site = Site::filled().await;
    site.follow("u", "a1").await;
    site.bundle("u").await;
    let hide_author = json!({ "id": "h2", "type": "hide", "user": "u", "author": "a5" });
    let events = [
        event("v1", "impression", "u", "i1"),
        event("h1", "hide", "u", "i2"),
        hide_author,
    ];
    site.accepted(&events).await;
    let bundle = site.bundle("u").await;
    let ids: Vec<&str> = bundle.candidates.ids.iter().collect();
    assert!(!ids.contains(&"i1") && !ids.contains(&"i2"), "{ids:?}");
    assert!(
        !ids.iter().any(|id| ["i5", "i17", "i29"].contains(id)),
        "{ids:?}"
    );
    assert_eq!(
        bundle.removed_items.len(),
        2,
        "the overlay must not bring them back"
    );
    let own = site.bundle("a3").await;
    assert!(own.candidates.authors.iter().all(|author| author != "a3"));
}

#[tokio::test]
async fn rungs_say_whose_candidates_a_page_is_made_of() {
    let site = Site::filled().await;
    let nobody = site.ok("/api/v1/feed?language=de&limit=100").await;
    assert_eq!(nobody.header("edgewise-rung"), "segment");
    assert_eq!(nobody.json()["rung"], "segment");
    assert!(
        nobody
            .ids()
            .iter()
            .all(|id| id[1..].parse::<i64>().expect("a number") % 2 == 1)
    );
    let known = site.ok("/api/v1/feed?user=u").await;
    assert_eq!(known.header("edgewise-rung"), "personal");
    assert_eq!(known.header("cache-control"), "private, no-store");
    assert!(known.header("cdn-cache-control").is_empty());
    assert!(!known.header("server-timing").is_empty());
    assert_eq!(known.json()["model"], "formula-1");
}

#[tokio::test]
async fn internal_routes_are_for_edges_only() {
    let site = Site::filled().await;
    site.accepted(&[event("e", "like", "u", "i1")]).await;
    site.origin.make_hot_lists();
    let paths = [
        "/internal/v1/candidates/u",
        "/internal/v1/pools/all",
        "/internal/v1/pools/region=DE",
        "/internal/v1/overlay",
        "/internal/v1/lists/hot?window=24h",
        "/internal/v1/similar/i1",
        "/internal/v1/suggested/u",
        "/internal/v1/items?ids=i1,nothing",
        "/internal/v1/model",
        "/internal/v1/models/formula-1",
    ];
    for path in paths {
        site.get(path).await.problem(401, "authorization");
        let wrong = [("authorization", "Bearer wrong")];
        site.request("GET", path, &wrong, Body::empty())
            .await
            .problem(401, "authorization");
        let answer = site.private("GET", path, Value::Null).await;
        assert_eq!(answer.status, 200, "{path}");
        let bearer = format!("Bearer {TOKEN}");
        let etag = answer.header("etag").to_owned();
        let headers = [("authorization", bearer.as_str()), ("if-none-match", &etag)];
        let again = site.request("GET", path, &headers, Body::empty()).await;
        assert_eq!(again.status, 304, "{path}");
    }
    let list = site.private("GET", paths[4], Value::Null).await;
    assert_eq!(
        HotList::decode(&list.body).expect("a list").items[0].id,
        "i1"
    );
    let model = site.private("GET", paths[9], Value::Null).await;
    let model = ModelSnapshot::decode(&model.body).expect("a snapshot");
    assert_eq!(
        (model.version.as_str(), model.configs.len()),
        ("formula-1", 1)
    );
    let items = site.private("GET", paths[7], Value::Null).await.json();
    assert_eq!(
        (&items["i1"]["author"], &items["nothing"]),
        (&json!("a1"), &Value::Null)
    );
    site.private("GET", "/internal/v1/pools/planet=mars", Value::Null)
        .await
        .problem(400, "segment");
    site.private("GET", "/internal/v1/models/other", Value::Null)
        .await
        .problem(404, "");
}

#[tokio::test]
async fn an_edge_delivers_events_and_served_slots() {
    let site = Site::filled().await;
    let slot = json!({ "request_id": "0123456789abcdef0123456789abcdef", "item": "i1",
        "position": 10, "propensity": 0.02, "at_ms": NOW_MS });
    let body = json!({ "events": [event("q", "like", "u", "i1"), 7], "served": [slot] });
    let answer = site
        .private("POST", "/internal/v1/events", body.clone())
        .await;
    assert_eq!(answer.status, 200);
    let json = answer.json();
    assert_eq!(
        (&json["accepted"], json["rejected"].as_array().map(Vec::len)),
        (&json!(1), Some(1))
    );
    let again = site
        .private("POST", "/internal/v1/events", body)
        .await
        .json();
    assert_eq!(
        (&again["accepted"], &again["duplicate"]),
        (&json!(0), &json!(1))
    );
    let report = site
        .private("POST", "/admin/v1/verify", Value::Null)
        .await
        .json();
    assert_eq!(report["ok"], true, "{report}");
}

#[tokio::test]
async fn users_are_exported_and_deleted() {
    let site = Site::filled().await;
    site.follow("u", "a1").await;
    site.accepted(&[event("e", "like", "u", "i1")]).await;
    let export = site
        .private("GET", "/admin/v1/users/u/export", Value::Null)
        .await
        .json();
    assert_eq!(
        export["follows"].as_array().map(Vec::len),
        Some(1),
        "{export}"
    );
    assert_eq!(
        site.private("DELETE", "/admin/v1/users/u", Value::Null)
            .await
            .status,
        200
    );
    assert!(site.bundle("u").await.follows.is_empty());
    assert_eq!(site.counters("i1").await["likes"], 1, "totals stay");
    site.private("GET", "/admin/v1/users/nobody/export", Value::Null)
        .await
        .problem(404, "");
}
