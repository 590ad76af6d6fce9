//! Parameters of the public routes: parsed, bounded, with every default applied.
//!
//! Unknown parameters are ignored and never split a cache; of repeats the last wins; an
//! empty value is an absent one, but for `user`. Every error names field and range.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use edgewise_ranking::{HotWindow, Profile, Selection};

use crate::ids::{LABEL_ALLOWED, check_id, check_label};
use crate::limits::{
    CURSOR_CHARS_MAX, EXCLUDE_MAX, FEED_LIMIT_MAX, HOT_LIMIT_MAX, ITEM_IDS_MAX, LIMIT_DEFAULT,
    QUERY_BYTES_MAX, SIMILAR_LIMIT_MAX, SUGGESTED_LIMIT_MAX,
};
use crate::problem::Problem;
use crate::query::{Canonical, Query, percent_decode};

/// Parameters of `GET /api/v1/feed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedParams {
    /// The user, where the host's configuration takes it without a token.
    pub user: Option<String>,
    /// 1..=100, 20.
    pub limit: u32,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// `session` of the last answer.
    pub session: Option<String>,
    /// `feed` (default) or `video`.
    pub profile: Profile,
    /// Only items with this tag.
    pub tag: Option<String>,
    /// Only items of this language.
    pub language: Option<String>,
    /// Only items of this region.
    pub region: Option<String>,
    /// Time zone of the user as an offset (`+02:00`) or `UTC`; a name is left to the host.
    pub tz: Option<String>,
    /// At most 100 item ids that must not appear.
    pub exclude: Vec<String>,
    /// `diverse` (default) or `none`: pure score order.
    pub selection: Selection,
    /// Whether to say why.
    pub explain: bool,
}

impl FeedParams {
    /// Reads a query string (without `?`).
    ///
    /// # Errors
    ///
    /// A 400 that names field and range.
    pub fn parse(query: &str) -> Result<Self, Problem> {
        let names = [
            "user",
            "limit",
            "cursor",
            "session",
            "profile",
            "tag",
            "language",
            "region",
            "tz",
            "exclude",
            "selection",
            "explain",
        ];
        let query = Query::split(query, &names)?;
        let cursor = query.value("cursor")?;
        if cursor
            .as_ref()
            .is_some_and(|cursor| cursor.len() > CURSOR_CHARS_MAX)
        {
            return Err(Problem::cursor(crate::token::TokenError::TooLong));
        }
        let profile = [("feed", Profile::Feed), ("video", Profile::Video)];
        let selection = [("diverse", Selection::Diverse), ("none", Selection::None)];
        let explain = [("0", false), ("1", true), ("false", false), ("true", true)];
        Ok(Self {
            user: user(&query)?,
            limit: limit(&query, FEED_LIMIT_MAX, "1..100")?,
            cursor,
            session: query.value("session")?,
            profile: choice(&query, "profile", &profile, "feed or video")?.unwrap_or_default(),
            tag: label(&query, "tag")?,
            language: label(&query, "language")?,
            region: label(&query, "region")?,
            tz: label(&query, "tz")?,
            exclude: ids(&query, "exclude", EXCLUDE_MAX)?,
            selection: choice(&query, "selection", &selection, "diverse or none")?
                .unwrap_or_default(),
            explain: choice(&query, "explain", &explain, "0 or 1")?.unwrap_or(false),
        })
    }

    /// The offset that `tz` says, minutes east of UTC; `None` for a zone's name or nonsense.
    ///
    /// `+02:00`, `-0330`, `+5`, `UTC`, `Z`; at most a day either way.
    #[must_use]
    pub fn utc_offset_minutes(&self) -> Option<i32> {
        let text = self.tz.as_deref()?;
        // A plus sign that nobody escaped is a space.
        let (sign, rest) = match text.as_bytes().first()? {
            b'+' | b' ' => (1, text.get(1..)?),
            b'-' => (-1, text.get(1..)?),
            _ => return ["UTC", "Z", "GMT"].contains(&text).then_some(0),
        };
        let (hours, minutes) = match (rest.split_once(':'), rest.len()) {
            (Some(parts), _) => parts,
            (None, 3 | 4) => rest.split_at_checked(rest.len() - 2)?,
            (None, _) => (rest, "0"),
        };
        let number = |text: &str, max: i32| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let value = text.parse::<i32>().ok().filter(|_| digits);
            value.filter(|&value| value <= max)
        };
        Some(sign * (number(hours, 24)? * 60 + number(minutes, 59)?))
    }

    /// The normalised query string without cursor and session.
    #[must_use]
    pub fn canonical(&self) -> String {
        let exclude = (!self.exclude.is_empty()).then(|| self.exclude.join(","));
        Canonical::default()
            .add("exclude", exclude.as_deref())
            .add("explain", self.explain.then_some("1"))
            .add("language", self.language.as_deref())
            .add("limit", Some(&self.limit.to_string()))
            .add(
                "profile",
                (self.profile == Profile::Video).then_some("video"),
            )
            .add("region", self.region.as_deref())
            .add(
                "selection",
                (self.selection == Selection::None).then_some("none"),
            )
            .add("tag", self.tag.as_deref())
            .add("tz", self.tz.as_deref())
            .add("user", self.user.as_deref())
            .finish()
    }
}

/// Parameters of `GET /api/v1/hot/trending`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HotParams {
    /// `1h`, `24h` (default) or `7d`.
    pub window: HotWindow,
    /// 1..=200, 20.
    pub limit: u32,
    /// At most one of region, language and tag narrows the list.
    pub region: Option<String>,
    /// See `region`.
    pub language: Option<String>,
    /// See `region`.
    pub tag: Option<String>,
}

impl HotParams {
    /// Reads a query string (without `?`).
    ///
    /// # Errors
    ///
    /// A 400 that names field and range.
    pub fn parse(query: &str) -> Result<Self, Problem> {
        let query = Query::split(query, &["window", "limit", "region", "language", "tag"])?;
        let windows = HotWindow::ALL.map(|window| (window.name(), window));
        let params = Self {
            window: choice(&query, "window", &windows, "1h, 24h or 7d")?.unwrap_or(HotWindow::Day),
            limit: limit(&query, HOT_LIMIT_MAX, "1..200")?,
            region: label(&query, "region")?,
            language: label(&query, "language")?,
            tag: label(&query, "tag")?,
        };
        let narrowed_by = [
            ("region", &params.region),
            ("language", &params.language),
            ("tag", &params.tag),
        ];
        let mut given = narrowed_by.iter().filter(|(_, value)| value.is_some());
        if let (Some((first, _)), Some((second, _))) = (given.next(), given.next()) {
            let detail = format!("{second} cannot be combined with {first}");
            let allowed = "at most one of region, language and tag";
            return Err(Problem::parameter(second, detail, allowed));
        }
        Ok(params)
    }

    /// The normalised query string: equal for equal answers.
    #[must_use]
    pub fn canonical(&self) -> String {
        self.list()
            .add("limit", Some(&self.limit.to_string()))
            .finish()
    }

    /// The normalised query string without `limit`: names the stored list.
    #[must_use]
    pub fn canonical_list(&self) -> String {
        self.list().finish()
    }

    fn list(&self) -> Canonical {
        Canonical::default()
            .add("language", self.language.as_deref())
            .add("region", self.region.as_deref())
            .add("tag", self.tag.as_deref())
            .add("window", Some(self.window.name()))
    }
}

/// Parameters of `GET /api/v1/similar/{item}`; the item is [`path_id`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimilarParams {
    /// 1..=100, 20.
    pub limit: u32,
    /// Only items with this tag.
    pub tag: Option<String>,
}

impl SimilarParams {
    /// Reads a query string (without `?`).
    ///
    /// # Errors
    ///
    /// A 400 that names field and range.
    pub fn parse(query: &str) -> Result<Self, Problem> {
        let query = Query::split(query, &["limit", "tag"])?;
        let limit = limit(&query, SIMILAR_LIMIT_MAX, "1..100")?;
        Ok(Self {
            limit,
            tag: label(&query, "tag")?,
        })
    }

    /// The normalised query string: equal for equal answers.
    #[must_use]
    pub fn canonical(&self) -> String {
        Canonical::default()
            .add("limit", Some(&self.limit.to_string()))
            .add("tag", self.tag.as_deref())
            .finish()
    }
}

/// Parameters of `GET /api/v1/discover/suggested-users`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuggestedParams {
    /// The user, where the host's configuration takes it without a token.
    pub user: Option<String>,
    /// 1..=50, 20.
    pub limit: u32,
}

impl SuggestedParams {
    /// Reads a query string (without `?`).
    ///
    /// # Errors
    ///
    /// A 400 that names field and range.
    pub fn parse(query: &str) -> Result<Self, Problem> {
        let query = Query::split(query, &["user", "limit"])?;
        Ok(Self {
            user: user(&query)?,
            limit: limit(&query, SUGGESTED_LIMIT_MAX, "1..50")?,
        })
    }

    /// The normalised query string: equal for equal answers.
    #[must_use]
    pub fn canonical(&self) -> String {
        Canonical::default()
            .add("limit", Some(&self.limit.to_string()))
            .add("user", self.user.as_deref())
            .finish()
    }
}

/// Parameters of `GET /api/v1/items`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemsParams {
    /// 1 to 100 item ids in the order asked for, without repeats.
    pub ids: Vec<String>,
}

impl ItemsParams {
    /// Reads a query string (without `?`).
    ///
    /// # Errors
    ///
    /// A 400 that names field and range.
    pub fn parse(query: &str) -> Result<Self, Problem> {
        let query = Query::split(query, &["ids"])?;
        let ids = ids(&query, "ids", ITEM_IDS_MAX)?;
        if ids.is_empty() {
            return Err(Problem::parameter(
                "ids",
                "ids is missing",
                "1..100 ids, comma separated",
            ));
        }
        Ok(Self { ids })
    }

    /// The normalised query string: equal for equal answers.
    #[must_use]
    pub fn canonical(&self) -> String {
        Canonical::default()
            .add("ids", Some(&self.ids.join(",")))
            .finish()
    }
}

/// An id that is a segment of a path: percent-decoded (`+` is a plus) and checked.
///
/// # Errors
///
/// A 400 that names `field`.
pub fn path_id(field: &str, segment: &str) -> Result<String, Problem> {
    if segment.len() > QUERY_BYTES_MAX {
        return Err(Problem::id(
            field,
            crate::ids::IdError::TooLong(segment.len()),
        ));
    }
    let id = percent_decode(segment, false).map_err(|error| {
        Problem::parameter(field, format!("{field} {error}"), crate::ids::ID_ALLOWED)
    })?;
    check_id(&id).map_err(|error| Problem::id(field, error))?;
    Ok(id)
}

fn user(query: &Query<'_>) -> Result<Option<String>, Problem> {
    let user = query.given("user")?;
    if let Some(user) = &user {
        check_id(user).map_err(|error| Problem::id("user", error))?;
    }
    Ok(user)
}

fn limit(query: &Query<'_>, max: u32, allowed: &'static str) -> Result<u32, Problem> {
    let Some(text) = query.value("limit")? else {
        return Ok(LIMIT_DEFAULT.min(max));
    };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let value = if digits { text.parse().ok() } else { None };
    value
        .filter(|value| (1..=max).contains(value))
        .ok_or_else(|| {
            Problem::parameter(
                "limit",
                format!("limit is not a whole number in {allowed}"),
                allowed,
            )
        })
}

fn label(query: &Query<'_>, name: &'static str) -> Result<Option<String>, Problem> {
    let label = query.value(name)?;
    if let Some(label) = &label {
        check_label(label)
            .map_err(|error| Problem::parameter(name, format!("{name} {error}"), LABEL_ALLOWED))?;
    }
    Ok(label)
}

fn choice<T: Copy>(
    query: &Query<'_>,
    name: &'static str,
    choices: &[(&str, T)],
    allowed: &'static str,
) -> Result<Option<T>, Problem> {
    let Some(text) = query.value(name)? else {
        return Ok(None);
    };
    match choices.iter().find(|(choice, _)| *choice == text) {
        Some((_, value)) => Ok(Some(*value)),
        None => Err(Problem::parameter(
            name,
            format!("{name} is not {allowed}"),
            allowed,
        )),
    }
}

/// Ids separated by commas; empty ones and repeats are left out. An id that holds a comma
/// itself cannot be named in a list.
fn ids(query: &Query<'_>, name: &'static str, max: usize) -> Result<Vec<String>, Problem> {
    let text = query.value(name)?.unwrap_or_default();
    let mut ids: Vec<String> = Vec::new();
    for id in text.split(',').filter(|id| !id.is_empty()) {
        check_id(id).map_err(|error| {
            let allowed = format!("up to {max} ids of 1 to 64 bytes, comma separated");
            Problem::parameter(name, format!("an id of {name} {error}"), allowed)
        })?;
        if ids.iter().any(|known| known == id) {
            continue;
        }
        if ids.len() >= max {
            let allowed = format!("up to {max} ids, comma separated");
            return Err(Problem::parameter(
                name,
                format!("{name} has too many ids"),
                allowed,
            ));
        }
        ids.push(String::from(id));
    }
    Ok(ids)
}

#[cfg(test)]
mod tests;
