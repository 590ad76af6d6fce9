//! The `query` of an input.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use edgewise_ranking::sort::{sort, sort_by};
use edgewise_ranking::{UserVector, id_hash, short_hash};
use serde_json::{Map, Value};

use super::{Result, field, integer, number, sketch, texts};

/// The `query` object. A field that is null counts as absent.
pub(super) struct Asked<'a>(pub(super) &'a Map<String, Value>);

impl<'a> Asked<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// Domain time, Unix ms.
    pub(super) fn now_ms(&self) -> Option<i64> {
        self.get("now_ms").and_then(integer)
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        value
            .as_str()
            .map(Some)
            .ok_or_else(|| field(&format!("query.{name}"), "a string"))
    }

    pub(super) fn ids(&self, name: &str) -> Result<Vec<&'a str>> {
        let Some(value) = self.get(name) else {
            return Ok(Vec::new());
        };
        texts(value).ok_or_else(|| field(&format!("query.{name}"), "an array of ids"))
    }

    /// Hashes of ids, ascending.
    pub(super) fn hashes(&self, name: &str) -> Result<Vec<u64>> {
        let mut hashes: Vec<u64> = self.ids(name)?.iter().map(|id| id_hash(id)).collect();
        sort(&mut hashes);
        Ok(hashes)
    }

    pub(super) fn integer(
        &self,
        name: &str,
        range: core::ops::RangeInclusive<u64>,
        expected: &'static str,
    ) -> Result<Option<u64>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let value = value.as_u64().filter(|value| range.contains(value));
        value
            .map(Some)
            .ok_or_else(|| field(&format!("query.{name}"), expected))
    }

    pub(super) fn seed(&self) -> Result<u64> {
        let expected = "an integer, 0 to 18446744073709551615, or \"0x\" and hex digits";
        match self.get("seed") {
            None => Ok(self.text("request_id")?.map_or(0, id_hash)),
            Some(Value::String(text)) => text
                .strip_prefix("0x")
                .map_or_else(
                    || text.parse().ok(),
                    |hex| u64::from_str_radix(hex, 16).ok(),
                )
                .ok_or_else(|| field("query.seed", expected)),
            Some(value) => value.as_u64().ok_or_else(|| field("query.seed", expected)),
        }
    }

    /// Offset of the user's zone, minutes.
    pub(super) fn utc_offset_minutes(&self) -> Result<i32> {
        let Some(value) = self.get("utc_offset_minutes") else {
            return Ok(0);
        };
        value
            .as_i64()
            .filter(|minutes| (-1_500..=1_500).contains(minutes))
            .and_then(|minutes| i32::try_from(minutes).ok())
            .ok_or_else(|| field("query.utc_offset_minutes", "an integer, -1500 to 1500"))
    }

    /// Short hashes of the session's tags, ascending.
    pub(super) fn session_tags(&self) -> Result<Vec<u32>> {
        let mut tags: Vec<u32> = self
            .ids("session_tags")?
            .iter()
            .map(|tag| short_hash(tag))
            .collect();
        sort(&mut tags);
        Ok(tags)
    }

    /// The session's interactions by author, ascending.
    pub(super) fn session_authors(&self) -> Result<Vec<(u64, f32)>> {
        let Some(value) = self.get("session_authors") else {
            return Ok(Vec::new());
        };
        let wrong = || field("query.session_authors", "an object of counts by author");
        let mut authors = Vec::new();
        for (author, count) in value.as_object().ok_or_else(wrong)? {
            let count = count.as_f64().ok_or_else(wrong)?;
            #[allow(clippy::cast_possible_truncation)] // features are f32 by contract
            authors.push((id_hash(author), count as f32));
        }
        sort_by(&mut authors, |(a, _), (b, _)| a < b);
        Ok(authors)
    }

    pub(super) fn user_vector(&self) -> Result<Option<UserVector>> {
        let Some(value) = self.get("user_vector") else {
            return Ok(None);
        };
        let vector = value.as_object().and_then(|vector| {
            #[allow(clippy::cast_possible_truncation)] // features are f32 by contract
            let scale = vector.get("scale").and_then(number)? as f32;
            let values = vector.get("values").and_then(sketch)?;
            Some(UserVector { scale, values })
        });
        vector.map(Some).ok_or_else(|| {
            field(
                "query.user_vector",
                "{scale, values: 8 integers, -127 to 127}",
            )
        })
    }
}
