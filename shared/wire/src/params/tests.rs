use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

fn feed(query: &str) -> FeedParams {
    FeedParams::parse(query).unwrap()
}

/// Status, field and range of the problem that a query meets.
#[track_caller]
fn refused<T: core::fmt::Debug>(result: Result<T, Problem>, field: &str, allowed: &str) {
    let problem = result.unwrap_err();
    assert_eq!(problem.status, 400);
    assert_eq!(problem.field.as_deref(), Some(field), "{problem:?}");
    assert_eq!(problem.allowed.as_deref(), Some(allowed), "{problem:?}");
}

#[test]
fn nothing_asked_for_is_the_default() {
    let expected = FeedParams {
        user: None,
        limit: 20,
        cursor: None,
        session: None,
        profile: Profile::Feed,
        tag: None,
        language: None,
        region: None,
        tz: None,
        exclude: Vec::new(),
        selection: Selection::Diverse,
        explain: false,
    };
    assert_eq!(feed(""), expected);
    assert_eq!(
        feed("&&=&limit=&tag=&cursor=&session=&exclude=,,&x=%zz&%ff=1"),
        expected
    );
    assert_eq!(SimilarParams::parse("").unwrap().limit, 20);
    assert_eq!(SuggestedParams::parse("").unwrap().limit, 20);
    let hot = HotParams::parse("").unwrap();
    assert_eq!((hot.window, hot.limit), (HotWindow::Day, 20));
}

#[test]
fn everything_asked_for_is_read() {
    let params = feed(
        "user=anna&limit=100&cursor=c&session=s&profile=video&tag=a+b&language=de&region=%C3%A9\
         &tz=Europe%2FBrussels&exclude=1,2%2C3,1&selection=none&explain=1&unknown=5",
    );
    assert_eq!(params.user.as_deref(), Some("anna"));
    assert_eq!(params.limit, 100);
    assert_eq!(params.cursor.as_deref(), Some("c"));
    assert_eq!(params.session.as_deref(), Some("s"));
    assert_eq!(params.profile, Profile::Video);
    assert_eq!(params.tag.as_deref(), Some("a b"));
    assert_eq!(params.region.as_deref(), Some("é"));
    assert_eq!(params.tz.as_deref(), Some("Europe/Brussels"));
    assert_eq!(params.exclude, ["1", "2", "3"]);
    assert_eq!(params.selection, Selection::None);
    assert!(params.explain);
}

#[test]
fn of_repeats_the_last_wins() {
    assert_eq!(feed("limit=5&limit=7").limit, 7);
    assert_eq!(feed("limit=5&l%69mit=8").limit, 8);
    refused(FeedParams::parse("limit=5&limit=x"), "limit", "1..100");
}

#[test]
fn limits_are_whole_numbers_in_their_range() {
    for text in [
        "0",
        "101",
        "-1",
        "1.5",
        "x",
        "%2B5",
        "+5",
        "1e1",
        "99999999999",
        "０",
    ] {
        refused(
            FeedParams::parse(&format!("limit={text}")),
            "limit",
            "1..100",
        );
    }
    refused(HotParams::parse("limit=201"), "limit", "1..200");
    refused(SimilarParams::parse("limit=101"), "limit", "1..100");
    refused(SuggestedParams::parse("limit=51"), "limit", "1..50");
    assert_eq!(HotParams::parse("limit=200").unwrap().limit, 200);
}

#[test]
fn bad_values_name_their_field_and_range() {
    let id = "1 to 64 bytes without control characters";
    refused(FeedParams::parse("user="), "user", id);
    refused(FeedParams::parse("user=a%0Ab"), "user", id);
    refused(SuggestedParams::parse("user"), "user", id);
    refused(
        FeedParams::parse(&format!("user={}", "x".repeat(65))),
        "user",
        id,
    );
    refused(FeedParams::parse("tag=%00"), "tag", id);
    refused(
        FeedParams::parse("profile=Video"),
        "profile",
        "feed or video",
    );
    refused(
        FeedParams::parse("selection=all"),
        "selection",
        "diverse or none",
    );
    refused(FeedParams::parse("explain=yes"), "explain", "0 or 1");
    refused(FeedParams::parse("tag=%f"), "tag", "percent-encoded UTF-8");
    refused(FeedParams::parse("tag=%ff"), "tag", "percent-encoded UTF-8");
    refused(HotParams::parse("window=2h"), "window", "1h, 24h or 7d");
    let cursor = "next_cursor of an earlier answer, unchanged";
    refused(
        FeedParams::parse(&format!("cursor={}", "x".repeat(4_097))),
        "cursor",
        cursor,
    );
}

#[test]
fn a_query_string_has_a_limit() {
    let query = format!("x={}", "y".repeat(8_190));
    assert!(FeedParams::parse(&query).is_ok());
    refused(
        FeedParams::parse(&format!("{query}z")),
        "query",
        "at most 8192 bytes",
    );
    refused(
        ItemsParams::parse(&format!("{query}z")),
        "query",
        "at most 8192 bytes",
    );
}

#[test]
fn a_hot_list_is_narrowed_by_one_label_at_most() {
    assert_eq!(
        HotParams::parse("region=BE").unwrap().region.as_deref(),
        Some("BE")
    );
    let allowed = "at most one of region, language and tag";
    refused(HotParams::parse("region=BE&tag=x"), "tag", allowed);
    refused(HotParams::parse("tag=x&language=de"), "tag", allowed);
}

#[test]
fn lists_of_ids_have_limits() {
    let ids = |n: usize| {
        (0..n)
            .map(|id| format!("{id}"))
            .collect::<Vec<String>>()
            .join(",")
    };
    assert_eq!(ItemsParams::parse("ids=b,,a,b").unwrap().ids, ["b", "a"]);
    assert_eq!(
        ItemsParams::parse(&format!("ids={}", ids(100)))
            .unwrap()
            .ids
            .len(),
        100
    );
    let allowed = "up to 100 ids, comma separated";
    refused(
        ItemsParams::parse(&format!("ids={}", ids(101))),
        "ids",
        allowed,
    );
    refused(
        FeedParams::parse(&format!("exclude={}", ids(101))),
        "exclude",
        allowed,
    );
    refused(ItemsParams::parse(""), "ids", "1..100 ids, comma separated");
    refused(
        ItemsParams::parse("ids="),
        "ids",
        "1..100 ids, comma separated",
    );
    let allowed = "up to 100 ids of 1 to 64 bytes, comma separated";
    refused(ItemsParams::parse("ids=a,%07"), "ids", allowed);
}

#[test]
fn a_path_segment_is_decoded_but_keeps_its_plus() {
    assert_eq!(path_id("item", "a%20b+c").as_deref(), Ok("a b+c"));
    refused(
        path_id("item", ""),
        "item",
        "1 to 64 bytes without control characters",
    );
    refused(
        path_id("item", "%00"),
        "item",
        "1 to 64 bytes without control characters",
    );
    refused(
        path_id("item", "%"),
        "item",
        "1 to 64 bytes without control characters",
    );
}

#[test]
fn equal_questions_have_one_canonical_form() {
    let canonical = |query: &str| HotParams::parse(query).unwrap().canonical();
    assert_eq!(canonical(""), "window=24h&limit=20");
    assert_eq!(
        canonical("x=1&window=24h&limit=020&tag="),
        "window=24h&limit=20"
    );
    assert_eq!(canonical("limit=7&tag=a%20b"), canonical("tag=a+b&limit=7"));
    assert_eq!(
        HotParams::parse("tag=a+b&limit=5")
            .unwrap()
            .canonical_list(),
        "tag=a%20b&window=24h"
    );
    assert_eq!(
        feed("cursor=c&session=s&user=u").canonical(),
        "limit=20&user=u"
    );
    assert_eq!(
        ItemsParams::parse("ids=b,a").unwrap().canonical(),
        "ids=b%2Ca"
    );
}

proptest! {
    #[test]
    fn any_query_is_read_without_a_panic(query in "\\PC{0,80}", pairs in "[a-z=&%+0-9]{0,80}") {
        for query in [query, pairs] {
            crate::fuzz::params(query.as_bytes());
        }
    }

    #[test]
    fn what_is_encoded_decodes_to_itself(text in "\\PC{0,40}") {
        let mut encoded = String::new();
        crate::query::percent_encode(&text, &mut encoded);
        prop_assert_eq!(percent_decode(&encoded, true), Ok(text));
    }
}
