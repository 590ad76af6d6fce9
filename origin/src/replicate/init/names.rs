//! Names that tables and columns of such products have.

/// What a table's name says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guess {
    Items,
    Users,
    Follows,
    /// With the event type that every row is, where the table is of one type.
    Events(Option<&'static str>),
}

const TABLE_NAMES: [(&[&str], Guess); 13] = [
    (
        &[
            "post", "video", "item", "article", "product", "clip", "story", "reel", "short",
            "media", "content", "track", "episode", "photo",
        ],
        Guess::Items,
    ),
    (&["user", "account", "profile", "member"], Guess::Users),
    (
        &[
            "follow",
            "follower",
            "following",
            "subscription",
            "user_follow",
        ],
        Guess::Follows,
    ),
    (
        &["like", "favorite", "favourite", "heart", "upvote"],
        Guess::Events(Some("like")),
    ),
    (&["comment", "reply"], Guess::Events(Some("comment"))),
    (
        &["share", "repost", "retweet"],
        Guess::Events(Some("share")),
    ),
    (
        &["view", "play", "watch", "watch_history"],
        Guess::Events(Some("view")),
    ),
    (&["click"], Guess::Events(Some("click"))),
    (&["impression"], Guess::Events(Some("impression"))),
    (&["purchase", "order"], Guess::Events(Some("purchase"))),
    (&["hide", "mute", "block"], Guess::Events(Some("hide"))),
    (
        &["event", "activity", "interaction", "user_event"],
        Guess::Events(None),
    ),
    (&["engagement"], Guess::Events(None)),
];

pub(super) const AUTHOR: &[&str] = &[
    "author_id",
    "user_id",
    "creator_id",
    "owner_id",
    "seller_id",
    "channel_id",
    "account_id",
    "author",
    "created_by",
];
pub(super) const CREATED: &[&str] = &[
    "created_at",
    "published_at",
    "inserted_at",
    "posted_at",
    "uploaded_at",
    "created_on",
    "created",
    "created_ms",
    "created_at_ms",
    "timestamp",
    "ts",
    "ts_ms",
];
pub(super) const HAPPENED: &[&str] = &[
    "ts",
    "ts_ms",
    "occurred_at",
    "happened_at",
    "event_time",
    "created_at",
    "viewed_at",
    "watched_at",
    "liked_at",
    "clicked_at",
    "shared_at",
    "timestamp",
    "created",
    "created_ms",
    "time",
];
pub(super) const USER: &[&str] = &[
    "user_id",
    "viewer_id",
    "actor_id",
    "account_id",
    "member_id",
    "author_id",
    "customer_id",
    "user",
    "created_by",
];
pub(super) const ITEM: &[&str] = &[
    "item_id",
    "post_id",
    "video_id",
    "article_id",
    "product_id",
    "clip_id",
    "story_id",
    "reel_id",
    "media_id",
    "content_id",
    "track_id",
    "episode_id",
    "photo_id",
    "target_id",
    "item",
    "post",
    "video",
];
pub(super) const FOLLOWER: &[&str] = &[
    "follower_id",
    "subscriber_id",
    "from_user_id",
    "user_id",
    "follower",
];
pub(super) const FOLLOWED: &[&str] = &[
    "followee_id",
    "followed_id",
    "following_id",
    "author_id",
    "channel_id",
    "target_id",
    "to_user_id",
    "creator_id",
    "followed_user_id",
    "user_id",
    "followee",
];
pub(super) const DELETED: &[&str] = &["deleted_at", "removed_at", "deleted", "is_deleted"];
pub(super) const TYPE: &[&str] = &["type", "event_type", "kind", "action", "event", "name"];

/// What a table is by its name, singular or plural.
pub(super) fn kind_of(table: &str) -> Option<Guess> {
    let last = table.rsplit('.').next().unwrap_or(table).to_lowercase();
    let is = |word: &str| {
        last == word
            || last == format!("{word}s")
            || word
                .strip_suffix('y')
                .is_some_and(|stem| last == format!("{stem}ies"))
    };
    TABLE_NAMES
        .iter()
        .find(|(words, _)| words.iter().any(|word| is(word)))
        .map(|&(_, guess)| guess)
}
