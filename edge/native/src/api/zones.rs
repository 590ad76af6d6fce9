//! Offsets of time zones from UTC, for the core: it knows no calendar.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::limits::{ZONE_LIFETIME_MS, ZONES_MAX};

/// Longest name of a zone that is looked at, bytes.
const NAME_BYTES_MAX: usize = 48;

/// What one worker knows of zones.
#[derive(Debug, Default)]
pub(crate) struct Zones {
    /// (minutes, wall ms until which they hold) by name.
    known: HashMap<String, (i32, i64)>,
}

impl Zones {
    /// The zone a request is answered in, and its offset in minutes: the name that a feed asks
    /// for, else the one the request comes from (`located`).
    pub(crate) fn of(
        &mut self,
        path: &str,
        query: &str,
        located: &str,
        now_ms: i64,
    ) -> Option<(String, i32)> {
        let asked = if path.starts_with("/api/v1/feed") {
            asked(query).map(|name| name.replace("%2F", "/"))
        } else {
            None
        };
        [asked.as_deref(), Some(located)]
            .into_iter()
            .flatten()
            .find_map(|name| Some((name.to_owned(), self.offset(name, now_ms)?)))
    }

    fn offset(&mut self, name: &str, now_ms: i64) -> Option<i32> {
        if !is_name(name) {
            return None;
        }
        if let Some(&(minutes, until_ms)) = self.known.get(name)
            && now_ms < until_ms
        {
            return Some(minutes);
        }
        let zone = TimeZone::get(name).ok()?;
        let seconds = zone
            .to_offset(Timestamp::from_millisecond(now_ms).ok()?)
            .seconds();
        if self.known.len() >= ZONES_MAX {
            self.known.clear();
        }
        let until_ms = now_ms.saturating_add(ZONE_LIFETIME_MS);
        self.known.insert(name.to_owned(), (seconds / 60, until_ms));
        Some(seconds / 60)
    }
}

/// The zone's name as a parameter, percent-encoded.
fn asked(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("tz="))
}

/// Whether it may be the name of a zone, not a path or an offset.
fn is_name(name: &str) -> bool {
    let first = name.bytes().next();
    name.len() <= NAME_BYTES_MAX
        && first.is_some_and(|byte| byte.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'/' | b'-' | b'+'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-07-01 and 2026-01-01, 00:00 UTC.
    const SUMMER_MS: i64 = 1_782_864_000_000;
    const WINTER_MS: i64 = 1_767_225_600_000;

    #[test]
    fn zones_have_the_offset_of_the_season() {
        let mut zones = Zones::default();
        let feed = "/api/v1/feed";
        let mut of = |query, located, now_ms| zones.of(feed, query, located, now_ms);
        let zurich = |minutes| Some(("Europe/Zurich".to_owned(), minutes));
        assert_eq!(of("", "Europe/Zurich", SUMMER_MS), zurich(120));
        assert_eq!(
            of("", "Europe/Zurich", SUMMER_MS - 181 * 86_400_000),
            zurich(120),
            "kept"
        );
        assert_eq!(
            of("", "Europe/Zurich", SUMMER_MS + ZONE_LIFETIME_MS),
            zurich(120)
        );
        let mut zones = Zones::default();
        assert_eq!(
            zones.of(
                feed,
                "limit=3&tz=Europe%2FZurich",
                "Asia/Kolkata",
                WINTER_MS
            ),
            zurich(60)
        );
        let kolkata = Some(("Asia/Kolkata".to_owned(), 330));
        assert_eq!(
            zones.of(feed, "tz=Nowhere/Land", "Asia/Kolkata", WINTER_MS),
            kolkata
        );
        assert_eq!(
            zones.of(
                "/api/v1/items",
                "tz=Europe/Zurich",
                "Asia/Kolkata",
                WINTER_MS
            ),
            kolkata
        );
        let new_york = zones.of(feed, "tz=America/New_York", "", WINTER_MS);
        assert_eq!(new_york, Some(("America/New_York".to_owned(), -300)));
    }

    #[test]
    fn what_is_no_zone_is_nothing_and_memory_is_bounded() {
        let mut zones = Zones::default();
        let long = "A".repeat(500);
        for name in ["", "+02:00", "../etc/passwd", "a\0b", "Zürich", &long] {
            assert_eq!(
                zones.of("/api/v1/feed", &format!("tz={name}"), "", WINTER_MS),
                None
            );
        }
        assert!(zones.known.is_empty());
        for index in 0..5_000 {
            let cased = format!("eUROPE/zurich-{index}");
            zones.of("/api/v1/feed", &format!("tz={cased}"), "UTC", WINTER_MS);
            assert!(zones.known.len() <= ZONES_MAX);
        }
    }
}
