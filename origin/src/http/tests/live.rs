//! What users notice: likes, posts, deletions, pages, suggestions.

use axum::body::Body;
use edgewise_ranking::Sources;
use edgewise_wire::overlay::Overlay;
use serde_json::{Value, json};

use super::{HOUR_MS, NOW_MS, Site, event, item, sources_of};

#[tokio::test]
async fn a_like_changes_counters_hot_lists_and_feeds() {
    let site = Site::filled().await;
    let path = "/api/v1/feed?user=reader&limit=100&explain=1&selection=none";
    let before = site.ok(path).await.json();
    let last = before["items"]
        .as_array()
        .expect("items")
        .last()
        .expect("one")
        .clone();
    let id = last["id"].as_str().expect("id");
    let likes: Vec<Value> = (0..9)
        .map(|n| event(&format!("e{n}"), "like", &format!("fan{n}"), id))
        .collect();
    site.accepted(&likes).await;
    assert_eq!(site.counters(id).await["likes"], 9);
    site.clock.advance(600);
    let after = site.ok(path).await.json();
    let liked = after["items"]
        .as_array()
        .expect("items")
        .iter()
        .find(|item| item["id"] == id);
    let liked = liked.expect("still there");
    assert!(liked["score"].as_f64() > last["score"].as_f64(), "{liked}");
    let trending = site.ok("/api/v1/hot/trending?window=1h").await;
    assert_eq!(
        trending.ids(),
        [id],
        "the overlay brings it before the list is made again"
    );
    site.origin.make_hot_lists();
    let tag = last_tag(&site, id).await;
    assert_eq!(
        site.ok(&format!("/api/v1/hot/trending?tag={tag}"))
            .await
            .ids(),
        [id]
    );
    let bundle = site.bundle("another").await;
    assert!(
        sources_of(&bundle, id)
            .expect("a candidate")
            .contains(Sources::TRENDING)
    );
}

async fn last_tag(site: &Site, id: &str) -> String {
    let items = site.ok(&format!("/api/v1/items?ids={id}")).await.json();
    items["items"][0]["tags"][0]
        .as_str()
        .expect("a tag")
        .to_owned()
}

#[tokio::test]
async fn a_duplicate_event_counts_once_and_undo_takes_back() {
    let site = Site::filled().await;
    site.accepted(&[event("one", "like", "u", "i3")]).await;
    let again = site
        .events(json!([event("one", "like", "u", "i3")]))
        .await
        .json();
    assert_eq!(
        (&again["accepted"], &again["duplicate"]),
        (&json!(0), &json!(1))
    );
    assert_eq!(site.counters("i3").await["likes"], 1);
    site.accepted(&[event("two", "unlike", "u", "i3")]).await;
    assert_eq!(site.counters("i3").await["likes"], 0);
}

#[tokio::test]
async fn a_deleted_item_is_gone_everywhere_at_once() {
    let site = Site::filled().await;
    site.accepted(&[event("e", "like", "fan", "i4")]).await;
    site.origin.make_hot_lists();
    for path in ["/api/v1/feed?user=u&limit=100", "/api/v1/feed?limit=100"] {
        assert!(
            site.ok(path).await.ids().contains(&"i4".to_owned()),
            "{path}"
        );
    }
    let answer = site
        .private("DELETE", "/admin/v1/items/i4", Value::Null)
        .await;
    assert_eq!(answer.status, 200);
    for path in [
        "/api/v1/feed?user=u&limit=100",
        "/api/v1/feed?limit=100",
        "/api/v1/hot/trending?limit=200",
        "/api/v1/items?ids=i4,i5",
        "/api/v1/similar/i9?limit=100",
    ] {
        assert!(
            !site.ok(path).await.ids().contains(&"i4".to_owned()),
            "{path}"
        );
    }
    site.get("/api/v1/similar/i4").await.problem(404, "");
    let overlay = site
        .private("GET", "/internal/v1/overlay", Value::Null)
        .await;
    let overlay = Overlay::decode(&overlay.body).expect("an overlay");
    assert_eq!(overlay.tombstones, [edgewise_ranking::id_hash("i4")]);
    site.private("DELETE", "/admin/v1/items/i4x", Value::Null)
        .await
        .problem(404, "");
}

#[tokio::test]
async fn a_new_post_reaches_followers_by_the_overlay() {
    let site = Site::filled().await;
    site.follow("fan", "a3").await;
    site.ok("/api/v1/feed?user=fan").await;
    site.clock.advance(1_000);
    let mut post = item(3, NOW_MS);
    post["id"] = json!("fresh");
    site.upsert(&[post]).await;
    let feed = site.ok("/api/v1/feed?user=fan&limit=100").await.json();
    let fresh = feed["items"]
        .as_array()
        .expect("items")
        .iter()
        .find(|item| item["id"] == "fresh");
    assert_eq!(fresh.expect("in the feed")["sources"], json!(["follow"]));
}

#[tokio::test]
async fn a_session_changes_the_next_page() {
    let site = Site::filled().await;
    let path = "/api/v1/feed?user=u&limit=100&explain=1&selection=none";
    let before = site.ok(path).await.json();
    let first = &before["items"][0];
    let hide = json!({ "id": "h", "type": "hide", "user": "u", "item": first["id"] });
    let session = site.accepted(&[hide]).await["session"]
        .as_str()
        .expect("one")
        .to_owned();
    let after = site.ok(&format!("{path}&session={session}")).await;
    assert_eq!(after.json()["session_status"], "ok");
    assert!(
        !after
            .ids()
            .contains(&first["id"].as_str().expect("id").to_owned())
    );
}

#[tokio::test]
async fn twenty_pages_repeat_nothing() {
    let site = Site::new();
    let items: Vec<Value> = (0..420).map(|n| item(n, NOW_MS - HOUR_MS)).collect();
    for some in items.chunks(210) {
        site.upsert(some).await;
    }
    for author in 0..12 {
        site.follow("reader", &format!("a{author}")).await;
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut cursor = String::new();
    for page in 0..20 {
        let answer = site
            .ok(&format!("/api/v1/feed?user=reader&limit=20{cursor}"))
            .await;
        assert_eq!(answer.ids().len(), 20, "page {page} is full");
        for id in answer.ids() {
            assert!(seen.insert(id.clone()), "{id} again on page {page}");
        }
        let json = answer.json();
        cursor = format!(
            "&cursor={}",
            json["next_cursor"].as_str().expect("there is more")
        );
    }
    assert_eq!(seen.len(), 400);
}

#[tokio::test]
async fn shared_lists_revalidate() {
    let site = Site::filled().await;
    site.accepted(&[event("e", "like", "u", "i1")]).await;
    site.origin.make_hot_lists();
    for path in [
        "/api/v1/hot/trending",
        "/api/v1/similar/i1",
        "/api/v1/items?ids=i1",
    ] {
        let first = site.ok(path).await;
        for header in [
            "etag",
            "cache-control",
            "cdn-cache-control",
            "cache-status",
            "x-cache-status",
            "cache-tag",
        ] {
            assert!(!first.header(header).is_empty(), "{path}: {header}");
        }
        let etag = first.header("etag").to_owned();
        let tag = [("if-none-match", etag.as_str())];
        let again = site.request("GET", path, &tag, Body::empty()).await;
        assert_eq!(
            (again.status.as_u16(), again.body.len()),
            (304, 0),
            "{path}"
        );
        assert_eq!(again.header("etag"), etag);
    }
}

#[tokio::test]
async fn suggestions_are_people_you_do_not_follow_yet() {
    let site = Site::filled().await;
    for (user, author) in [
        ("u", "a1"),
        ("u", "a2"),
        ("v", "a1"),
        ("v", "a2"),
        ("v", "a3"),
        ("w", "a9"),
    ] {
        site.follow(user, author).await;
    }
    site.origin.make_neighbours().expect("made");
    let answer = site.ok("/api/v1/discover/suggested-users?user=u").await;
    assert_eq!(answer.header("cache-control"), "private, no-store");
    let json = answer.json();
    assert_eq!(json["items"][0]["user"], "a3", "{json}");
    assert_eq!(json["items"][0]["common"], 1);
    let users = json["items"].as_array().expect("items").iter();
    assert!(
        users
            .clone()
            .all(|one| one["user"] != "a1" && one["user"] != "a2")
    );
    site.follow("u", "a3").await;
    let json = site
        .ok("/api/v1/discover/suggested-users?user=u")
        .await
        .json();
    let mut users = json["items"].as_array().expect("items").iter();
    assert!(
        users.all(|one| one["user"] != "a3"),
        "followed a moment ago"
    );
}
