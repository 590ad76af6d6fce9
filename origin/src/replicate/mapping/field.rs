//! The fields of each target and the columns that may be them.

use super::column::Class;
use crate::replicate::config::Target;

/// What kind of value a field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Id,
    Time,
    Count,
    Real,
    Label,
    Text,
    Tags,
    EventType,
    Gone,
}

/// A field of any target; a plan has a place for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Id,
    Author,
    CreatedAt,
    Kind,
    Duration,
    Tags,
    Region,
    Language,
    Title,
    Thumbnail,
    Link,
    Deleted,
    User,
    Since,
    Type,
    Item,
    Ts,
    Watch,
    Value,
}

impl Slot {
    /// How many there are.
    pub(crate) const COUNT: usize = 19;

    /// The name in the mapping file.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Author => "author",
            Self::CreatedAt => "created_at",
            Self::Kind => "kind",
            Self::Duration => "duration_ms",
            Self::Tags => "tags",
            Self::Region => "region",
            Self::Language => "language",
            Self::Title => "title",
            Self::Thumbnail => "thumbnail",
            Self::Link => "link",
            Self::Deleted => "deleted",
            Self::User => "user",
            Self::Since => "since",
            Self::Type => "type",
            Self::Item => "item",
            Self::Ts => "ts",
            Self::Watch => "watch_ms",
            Self::Value => "value",
        }
    }
}

/// A field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) slot: Slot,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
}

const fn required(slot: Slot, kind: Kind) -> Field {
    Field {
        slot,
        kind,
        required: true,
    }
}

const fn optional(slot: Slot, kind: Kind) -> Field {
    Field {
        slot,
        kind,
        required: false,
    }
}

const DELETED: Field = optional(Slot::Deleted, Kind::Gone);

const ITEMS: &[Field] = &[
    required(Slot::Id, Kind::Id),
    required(Slot::Author, Kind::Id),
    required(Slot::CreatedAt, Kind::Time),
    optional(Slot::Kind, Kind::Label),
    optional(Slot::Duration, Kind::Count),
    optional(Slot::Tags, Kind::Tags),
    optional(Slot::Region, Kind::Label),
    optional(Slot::Language, Kind::Label),
    optional(Slot::Title, Kind::Text),
    optional(Slot::Thumbnail, Kind::Text),
    optional(Slot::Link, Kind::Text),
    DELETED,
];

const USERS: &[Field] = &[required(Slot::Id, Kind::Id), DELETED];

const FOLLOWS: &[Field] = &[
    required(Slot::User, Kind::Id),
    required(Slot::Author, Kind::Id),
    optional(Slot::Since, Kind::Time),
    DELETED,
];

const EVENTS: &[Field] = &[
    required(Slot::Type, Kind::EventType),
    required(Slot::User, Kind::Id),
    optional(Slot::Item, Kind::Id),
    optional(Slot::Author, Kind::Id),
    required(Slot::Ts, Kind::Time),
    optional(Slot::Watch, Kind::Count),
    optional(Slot::Duration, Kind::Count),
    optional(Slot::Value, Kind::Real),
    DELETED,
];

/// The fields of a target.
pub(crate) const fn fields(target: Target) -> &'static [Field] {
    match target {
        Target::Items => ITEMS,
        Target::Users => USERS,
        Target::Follows => FOLLOWS,
        Target::Events => EVENTS,
    }
}

impl Kind {
    /// Why a column of this class cannot be the field: the remedy.
    pub(crate) fn refuses(self, class: Class, column: &str) -> Option<String> {
        use Class::{Array, Bool, Bytes, Decimal, Float, Integer, Json, Since, Time};
        let needs = |what: &str| Some(format!("map {what}"));
        match (self, class) {
            (Self::Time, Integer | Decimal | Float) => Some(format!(
                "write epoch_ms({column}) or epoch_s({column}), whichever its unit is"
            )),
            (Self::Time, Bool | Json | Array | Bytes) => needs("a column with a date or a time"),
            (Self::Id, Bool | Float | Time | Since(_) | Json | Array) => {
                needs("a column of whole numbers, text or uuid")
            }
            (Self::Count | Self::Real, Bool | Time | Since(_) | Json | Array | Bytes) => {
                needs("a column of numbers")
            }
            (Self::Label | Self::Text, Time | Since(_) | Array | Bytes) => {
                needs("a column of text")
            }
            (Self::Tags, Bool | Time | Since(_) | Bytes) => {
                needs("an array, a JSON list or text with commas")
            }
            (Self::EventType, Bool | Time | Since(_) | Array | Bytes | Json) => {
                needs("text, or case … when … then 'like' … end")
            }
            (Self::EventType, Integer | Decimal | Float) => Some(format!(
                "write case {column} when 1 then 'like' … end with your numbers"
            )),
            _ => None,
        }
    }
}
