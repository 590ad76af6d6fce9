//! The HTTP API's types: what routes take and answer, the same on edge and origin.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A refused entry of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Its 0-based index in the batch.
    pub index: u32,
    /// Why.
    pub reason: String,
}

/// What became of the session token that came with a request; the answer says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionStatus {
    /// None came.
    New,
    /// It was good.
    Ok,
    /// It was good once: all it held is over 30 minutes old.
    Expired,
    /// It was malformed, changed, of an unknown key or of another subject.
    Invalid,
}

impl SessionStatus {
    /// All, in the order of the API's description.
    pub const ALL: [Self; 4] = [Self::New, Self::Ok, Self::Expired, Self::Invalid];

    /// API name: `new ok expired invalid`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Ok => "ok",
            Self::Expired => "expired",
            Self::Invalid => "invalid",
        }
    }
}

/// What an event says happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
#[allow(missing_docs)]
pub enum EventType {
    Impression = 0,
    View = 1,
    Click = 2,
    Like = 3,
    Unlike = 4,
    Comment = 5,
    Share = 6,
    Follow = 7,
    Unfollow = 8,
    Hide = 9,
    Purchase = 10,
}

impl EventType {
    /// All types in discriminant order.
    pub const ALL: [Self; 11] = [
        Self::Impression,
        Self::View,
        Self::Click,
        Self::Like,
        Self::Unlike,
        Self::Comment,
        Self::Share,
        Self::Follow,
        Self::Unfollow,
        Self::Hide,
        Self::Purchase,
    ];

    /// API name, lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Impression => "impression",
            Self::View => "view",
            Self::Click => "click",
            Self::Like => "like",
            Self::Unlike => "unlike",
            Self::Comment => "comment",
            Self::Share => "share",
            Self::Follow => "follow",
            Self::Unfollow => "unfollow",
            Self::Hide => "hide",
            Self::Purchase => "purchase",
        }
    }

    /// The type with this API name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A validated behaviour event: ids are 1 to 64 bytes without control characters, numbers finite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Idempotency key: counts once for 48 h.
    pub id: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// Who did it.
    pub user: String,
    /// The item; required but for follow, unfollow and hide with `author`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// The author (follow, unfollow, hide; a hint otherwise).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Domain time, Unix ms; absent = receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ts_ms: Option<i64>,
    /// Time watched, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch_ms: Option<u32>,
    /// Duration of what was watched, ms; else the item's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u32>,
    /// Value of a purchase or a rating.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The page the item was shown on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Its position on that page, 1-based.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u32>,
}

/// An item's facts, as upserted, stored and answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Item id.
    pub id: String,
    /// Author id.
    pub author: String,
    /// Domain time of creation, Unix ms (`created_at` in JSON).
    #[serde(rename = "created_at")]
    pub created_at_ms: i64,
    /// `post video image dataset`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Duration, ms; absent where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u32>,
    /// At most 16, each 1 to 64 bytes.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Region label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Language label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// At most 300 bytes.
    #[serde(default)]
    pub title: String,
    /// URL or data URI of a picture, at most 4 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbnail: Option<String>,
    /// URL, at most 2 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// How an answer was made: the ladder's rungs, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rung {
    /// A bundle of this user within its fresh lifetime.
    Personal,
    /// An older bundle of this user.
    PersonalStale,
    /// The segment's pool.
    Segment,
    /// A hot list within its lifetime.
    Hot,
    /// An older hot list.
    HotStale,
}

impl Rung {
    /// API name: `personal personal-stale segment hot hot-stale`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::PersonalStale => "personal-stale",
            Self::Segment => "segment",
            Self::Hot => "hot",
            Self::HotStale => "hot-stale",
        }
    }
}
