//! What a user notices while everything is up: likes, posts, deletions, pages.

use std::collections::BTreeSet;
use std::time::Duration;

use edgewise_tests::http::{Answer, eventually};
use serde_json::{Value, json};

use crate::site::{Stack, event, now_ms};

/// The bar for a change to be seen by others.
const SOON: Duration = Duration::from_secs(5);

/// The stack is slow to start, so one serves all the steps; each step is a promise of the
/// README.
#[test]
fn a_user_sees_changes_at_once_and_others_soon() {
    let stack = Stack::start();
    a_like_changes_the_next_page_at_once(&stack);
    a_like_reaches_counters_hot_list_and_other_users_soon(&stack);
    a_hide_removes_the_item_from_the_next_page(&stack);
    a_post_reaches_followers_and_a_deletion_everybody(&stack);
    a_warm_feed_asks_the_origin_for_nothing_but_the_overlay(&stack);
    twenty_pages_repeat_nothing(&stack);
    edge_and_origin_rank_the_same(&stack);
    the_trending_list_is_shared_and_revalidates(&stack);
    similar_and_items_answer(&stack);
    a_changed_title_and_a_purge_reach_the_edge(&stack);
}

fn item<'a>(feed: &'a Value, id: &str) -> Option<&'a Value> {
    feed["items"]
        .as_array()?
        .iter()
        .find(|item| item["id"] == id)
}

fn contribution(item: &Value, name: &str) -> f64 {
    let features = item["explain"]["features"]
        .as_array()
        .expect("an explanation");
    let feature = features.iter().find(|feature| feature["name"] == name);
    feature.unwrap_or_else(|| panic!("no {name} in {features:?}"))["value"]
        .as_f64()
        .expect("a number")
}

fn session(answer: &Answer) -> String {
    answer.json()["session"]
        .as_str()
        .expect("a session")
        .to_owned()
}

fn a_like_changes_the_next_page_at_once(stack: &Stack) {
    let path = "/api/v1/feed?user=liker&limit=100&explain=1&selection=none";
    let before = stack.personal(path);
    let feed = before.json();
    let liked = feed["items"][3].clone();
    let (id, author) = (
        liked["id"].as_str().expect("id"),
        liked["author"].as_str().expect("author"),
    );
    assert_eq!(contribution(&liked, "affinity"), 0.0, "no history yet");

    let answer = stack.events(&[event("like", "liker", id)], Some(&session(&before)));
    let after = stack
        .edge
        .get(&format!("{path}&session={}", session(&answer)))
        .json();
    assert_eq!(after["session_status"], "ok");
    let ones = after["items"].as_array().expect("items").iter();
    let ones: Vec<&Value> = ones.filter(|item| item["author"] == author).collect();
    assert!(!ones.is_empty(), "the author has other items");
    for one in ones {
        assert_eq!(
            contribution(one, "affinity"),
            1.0_f64.ln_1p(),
            "one interaction: {one}"
        );
    }
}

fn a_like_reaches_counters_hot_list_and_other_users_soon(stack: &Stack) {
    let path = "/api/v1/feed?user=observer&limit=100&explain=1&selection=none";
    let before = stack.personal(path).json();
    let watched = before["items"][0]["id"].as_str().expect("id").to_owned();
    let engagement = contribution(&before["items"][0], "engagement");
    let rebuilt = stack.requests("candidates");

    let likes: Vec<Value> = (0..5)
        .map(|user| event("like", &format!("fan{user}"), &watched))
        .collect();
    stack.events(&likes, None);
    eventually("another user's candidates carry the likes", SOON, || {
        let feed = stack.edge.get(path).json();
        let raised = contribution(item(&feed, &watched)?, "engagement") > engagement;
        raised.then_some(())
    });
    eventually("the hot list carries the item", SOON, || {
        let list = stack.edge.get("/api/v1/hot/trending?window=1h&limit=200");
        list.ids().contains(&watched).then_some(())
    });
    assert_eq!(
        stack.requests("candidates"),
        rebuilt,
        "no bundle was rebuilt"
    );
}

fn a_hide_removes_the_item_from_the_next_page(stack: &Stack) {
    let path = "/api/v1/feed?user=hider&limit=50";
    let before = stack.personal(path);
    let hidden = before.ids()[0].clone();
    let author = before.json()["items"][1]["author"]
        .as_str()
        .expect("author")
        .to_owned();
    let events = [
        event("hide", "hider", &hidden),
        json!({ "id": crate::site::unique(), "type": "hide", "user": "hider", "author": author }),
    ];
    let answer = stack.events(&events, Some(&session(&before)));
    let after = stack
        .edge
        .get(&format!("{path}&session={}", session(&answer)));
    assert!(!after.ids().contains(&hidden), "the item is gone");
    let feed = after.json();
    let mut authors = feed["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| &item["author"]);
    assert!(
        authors.all(|one| *one != author.as_str()),
        "the author is gone"
    );
}

fn a_post_reaches_followers_and_a_deletion_everybody(stack: &Stack) {
    stack.follow("follower", "a7");
    stack.personal("/api/v1/feed?user=follower&limit=100");
    stack.personal("/api/v1/feed?user=stranger&limit=100");
    let rebuilt = stack.requests("candidates");
    stack.origin.upsert(&[json!({
        "id": "fresh-post", "author": "a7", "created_at": now_ms(), "kind": "post", "title": "New",
    })]);
    let found = eventually("the post is in the follower's feed", SOON, || {
        let feed = stack
            .edge
            .get("/api/v1/feed?user=follower&limit=100")
            .json();
        item(&feed, "fresh-post").cloned()
    });
    assert_eq!(found["sources"], json!(["follow"]));

    let gone = stack
        .origin
        .admin("DELETE", "/admin/v1/items/fresh-post", None);
    assert!(gone.status < 300, "{}", gone.text);
    eventually("the deleted post is in nobody's feed", SOON, || {
        let users = ["follower", "stranger"];
        let mut feeds = users.map(|user| {
            stack
                .edge
                .get(&format!("/api/v1/feed?user={user}&limit=100"))
        });
        feeds
            .iter_mut()
            .all(|feed| !feed.ids().contains(&"fresh-post".to_owned()))
            .then_some(())
    });
    assert_eq!(
        stack.requests("candidates"),
        rebuilt,
        "no bundle was rebuilt"
    );
}

fn a_warm_feed_asks_the_origin_for_nothing_but_the_overlay(stack: &Stack) {
    stack.personal("/api/v1/feed?user=warm");
    // What the first request left for the background is done by now.
    std::thread::sleep(Duration::from_secs(2));
    let before = stack.requests_by_route();
    for _ in 0..50 {
        let answer = stack.edge.get("/api/v1/feed?user=warm");
        assert_eq!(answer.header("edgewise-rung"), "personal");
    }
    let mut others = stack.requests_by_route();
    for (route, count) in before {
        *others.entry(route).or_default() -= count;
    }
    // The Queue's consumer reports explore slots that were shown: no part of an answer.
    others.retain(|route, count| {
        *count > 0.0 && !route.contains("overlay") && !route.contains("/internal/v1/events")
    });
    assert!(
        others.is_empty(),
        "requests beside the overlay's: {others:?}"
    );
}

fn twenty_pages_repeat_nothing(stack: &Stack) {
    for author in 0..40 {
        stack.follow("reader", &format!("a{author}"));
    }
    stack.personal("/api/v1/feed?user=reader");
    let mut seen = BTreeSet::new();
    let mut cursor = String::new();
    for page in 0..20 {
        let answer = stack
            .edge
            .get(&format!("/api/v1/feed?user=reader&limit=20{cursor}"));
        assert_eq!(answer.status, 200, "{}", answer.text);
        for id in answer.ids() {
            assert!(seen.insert(id.clone()), "{id} again on page {page}");
        }
        match answer.json()["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    // 40 authors wrote 10 items each; the cursor's set may drop one in 256 of them.
    assert!(seen.len() >= 380, "only {} items came", seen.len());
}

fn edge_and_origin_rank_the_same(stack: &Stack) {
    let path = "/api/v1/feed?user=both&limit=30&selection=none";
    let at_edge = stack.personal(path).ids();
    let at_origin = edgewise_tests::http::get(&format!("{}{path}", stack.origin.url)).ids();
    assert_eq!(at_edge, at_origin);
}

fn the_trending_list_is_shared_and_revalidates(stack: &Stack) {
    let list = stack.edge.get("/api/v1/hot/trending?window=24h");
    assert_eq!(list.status, 200, "{}", list.text);
    for header in [
        "etag",
        "cache-control",
        "cdn-cache-control",
        "cache-status",
        "x-cache-status",
    ] {
        assert!(
            !list.header(header).is_empty(),
            "{header} is missing: {:?}",
            list.headers
        );
    }
    let url = format!("{}/api/v1/hot/trending?window=24h", stack.edge.url);
    eventually("the same list is not sent again", SOON, || {
        let etag = edgewise_tests::http::get(&url).header("etag").to_owned();
        let again =
            edgewise_tests::http::send("GET", &url, &[("if-none-match", etag.as_str())], None);
        (again.status == 304 && again.text.is_empty()).then_some(())
    });
}

fn similar_and_items_answer(stack: &Stack) {
    let similar = stack.edge.get("/api/v1/similar/3?limit=5");
    assert_eq!(similar.status, 200, "{}", similar.text);
    assert_eq!(similar.json()["item"], "3");
    assert!(
        !similar.ids().contains(&"3".to_owned()),
        "an item is not similar to itself"
    );
    let items = stack.edge.get("/api/v1/items?ids=1,2,no-such-item");
    assert_eq!(items.ids(), ["1", "2"]);
    assert_eq!(items.json()["items"][0]["title"], "Item 1");
    let users = stack
        .edge
        .get("/api/v1/discover/suggested-users?user=follower");
    assert_eq!(users.status, 200, "{}", users.text);
}

fn a_changed_title_and_a_purge_reach_the_edge(stack: &Stack) {
    let titled = |title: &str| {
        stack.origin.upsert(&[json!({
            "id": "retitled", "author": "a9", "created_at": now_ms(), "kind": "post", "title": title,
        })]);
    };
    let path = "/api/v1/items?ids=retitled";
    let title = || stack.edge.get(path).json()["items"][0]["title"].clone();
    titled("Before");
    eventually("the item is known", Duration::from_secs(15), || {
        (title() == "Before").then_some(())
    });
    titled("After");
    eventually("its new title, long before it would expire", SOON, || {
        (title() == "After").then_some(())
    });

    let _ = stack.edge.get("/api/v1/hot/trending?window=7d");
    let before = stack.requests("lists/hot");
    let asked = json!({ "tags": ["list:hot"], "reason": "end to end" });
    let purged = stack.origin.admin("POST", "/admin/v1/purge", Some(&asked));
    assert_eq!(purged.status, 200, "{}", purged.text);
    eventually("the edge asks the origin for the list again", SOON, || {
        let answer = stack.edge.get("/api/v1/hot/trending?window=7d");
        assert_eq!(answer.status, 200);
        (stack.requests("lists/hot") > before).then_some(())
    });
}
