//! Purges: who may, what overlay and lists say afterwards, what is remembered.

use edgewise_ranking::id_hash;
use edgewise_wire::overlay::{Overlay, SOFT, item_tag, key_tag, user_tag};
use serde_json::{Value, json};

use super::{NOW_MS, Site, event, item};

const PURGE: &str = "/admin/v1/purge";

/// The epoch that the overlay tells for a tag's hash.
async fn told(site: &Site, tag: u64) -> Option<i64> {
    let answer = site
        .private("GET", "/internal/v1/overlay", Value::Null)
        .await;
    let overlay = Overlay::decode(&answer.body).expect("an overlay");
    let found = overlay.purges.iter().find(|purge| purge.tag == tag);
    found.map(|purge| purge.before_ms)
}

#[tokio::test]
async fn a_purge_is_in_the_next_overlay_and_in_the_audit() {
    let site = Site::filled().await;
    let asked =
        json!({ "tags": ["list:hot"], "keys": ["candidates/ann"], "reason": "a bad title" });
    let answer = site.private("POST", PURGE, asked).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    let hot = told(&site, id_hash("list:hot")).await;
    assert!(hot.is_some_and(|before_ms| before_ms >= NOW_MS));
    assert_eq!(told(&site, id_hash(&key_tag("candidates/ann"))).await, hot);
    assert_eq!(told(&site, id_hash("list:hot") ^ SOFT).await, None);
    let soft = json!({ "everything": true, "mode": "soft" });
    site.private("POST", PURGE, soft).await;
    assert!(told(&site, SOFT).await.is_some());
    assert_eq!(told(&site, 0).await, None);
    let audit = site.private("GET", PURGE, Value::Null).await.json();
    let purges = audit["purges"].as_array().expect("a list");
    assert_eq!(purges.len(), 2);
    assert_eq!(purges[0]["everything"], true);
    assert_eq!(purges[0]["soft"], true);
    assert_eq!(purges[1]["tags"], json!(["list:hot"]));
    assert_eq!(purges[1]["reason"], "a bad title");
    assert_eq!(purges[1]["at_ms"], NOW_MS);
}

#[tokio::test]
async fn nobody_purges_without_the_token() {
    let site = Site::filled().await;
    let asked = json!({ "everything": true }).to_string();
    let answer = site.request("POST", PURGE, &[], asked).await;
    answer.problem(401, "");
    site.request("GET", PURGE, &[], "").await.problem(401, "");
    assert_eq!(told(&site, 0).await, None);
}

#[tokio::test]
async fn bad_purges_are_refused_by_field() {
    let site = Site::filled().await;
    let many: Vec<String> = (0..101).map(|n| format!("t{n}")).collect();
    for (asked, field) in [
        (json!({}), "tags"),
        (json!({ "tags": many }), "tags"),
        (json!({ "tags": [""] }), "tags"),
        (json!({ "keys": ["x".repeat(513)] }), "keys"),
        (json!({ "keys": ["a\nb"] }), "keys"),
        (
            json!({ "everything": true, "reason": "x".repeat(257) }),
            "reason",
        ),
        (json!({ "everything": true, "mode": "gentle" }), "body"),
        (json!({ "all": true }), "body"),
    ] {
        let answer = site.private("POST", PURGE, asked).await;
        answer.problem(400, field);
    }
    let audit = site.private("GET", PURGE, Value::Null).await.json();
    assert_eq!(audit["purges"], json!([]));
}

#[tokio::test]
async fn an_item_that_changes_is_purged_softly_by_the_origin_itself() {
    let site = Site::filled().await;
    let tag = id_hash(&item_tag("i3")) ^ SOFT;
    assert_eq!(told(&site, tag).await, None, "a new item is in no store");
    site.clock.advance(5_000);
    site.upsert(&[item(3, NOW_MS)]).await;
    let changed = told(&site, tag).await;
    assert!(changed.is_some_and(|before_ms| before_ms >= NOW_MS + 5_000));
    // What changes nothing purges nothing, and neither do counters.
    site.clock.advance(5_000);
    site.upsert(&[item(3, NOW_MS)]).await;
    site.accepted(&[event("e", "like", "fan", "i3")]).await;
    site.clock.advance(1_000);
    assert_eq!(told(&site, tag).await, changed);
    site.clock.advance(10 * 60_000);
    site.origin.overlay.refresh();
    assert_eq!(told(&site, tag).await, None, "nobody takes it for fresh");
}

#[tokio::test]
async fn what_is_kept_for_a_deleted_user_is_purged() {
    let site = Site::filled().await;
    site.accepted(&[event("e", "like", "fan", "i3")]).await;
    let answer = site
        .private("DELETE", "/admin/v1/users/fan", Value::Null)
        .await;
    assert_eq!(answer.status, 200);
    assert!(told(&site, id_hash(&user_tag("fan"))).await.is_some());
}

#[tokio::test]
async fn lists_are_made_anew_before_the_purge_is_told() {
    let site = Site::filled().await;
    site.accepted(&[event("e", "like", "fan", "i3")]).await;
    site.clock.advance(2_000);
    let list = |site: &Site| {
        let hot = site.origin.hot.load();
        std::sync::Arc::as_ptr(&hot)
    };
    let before = list(&site);
    site.private("POST", PURGE, json!({ "tags": ["item:i9"] }))
        .await;
    assert_eq!(list(&site), before);
    site.private("POST", PURGE, json!({ "tags": ["list:hot"] }))
        .await;
    assert_ne!(list(&site), before);
}
