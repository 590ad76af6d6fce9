//! Where a polled table stands: the watermark and the key of the last row that was read.

use std::fmt;
use std::sync::Arc;

use super::error::PollError;
use super::source::{PollTable, Sort};
use crate::replicate::apply::Position;
use crate::replicate::mapping::read;

/// Watermark and key of a row, as the server writes them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Cursor(pub(super) Arc<[String]>);

/// Which rows a page has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// The first ones.
    Start,
    /// Those after this row.
    After(Cursor),
    /// Those of the time before this row's watermark, and so on.
    Before(Cursor),
    /// Those of a time that nothing can have been written at yet: they are refused.
    Ahead,
}

impl Cursor {
    /// Whether the row's watermark is later than `now_ms`, wall Unix ms: whoever goes on after it
    /// does not see what is written until then.
    pub(super) fn is_ahead(&self, table: &PollTable, now_ms: i64) -> bool {
        let (Some(column), Some(text)) = (table.order.first(), self.0.first()) else {
            return false;
        };
        if column.sort != Sort::Time {
            return false;
        }
        match read::time::parse(text) {
            Ok(micros) => micros.div_euclid(1_000) > now_ms,
            // `-infinity` and years before 1 are behind; what is left is after year 9999.
            Err(_) => !text.starts_with('-') && !text.ends_with("BC"),
        }
    }

    /// Reads what [`Position::encode`] wrote for this table.
    pub(super) fn decode(bytes: &[u8], table: &PollTable) -> Result<Self, PollError> {
        let parts: Option<Vec<String>> = serde_json::from_slice(bytes).ok();
        let parts = parts.filter(|parts| parts.len() == table.order.len());
        parts
            .map(|parts| Self(parts.into()))
            .ok_or_else(|| PollError::Table {
                table: table.name.clone(),
                problem: "its stored watermark does not fit the table's watermark and key"
                    .to_owned(),
                remedy: "run `edgewise replicate resync --table` for it".to_owned(),
            })
    }
}

impl Position for Cursor {
    fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(&*self.0).expect("texts serialise")
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replicate::config::TableConfig;
    use crate::replicate::mapping::{Column, TablePlan};
    use crate::replicate::poll::source::{self, Described};

    fn table(watermark: &str) -> PollTable {
        let text = "table = 'public.users'\nto = 'users'\nid = 'id'\nwatermark = 'at'";
        let config: TableConfig = toml::from_str(text).unwrap();
        let column = |name: &str, of: &str| Column {
            name: name.to_owned(),
            type_name: of.to_owned(),
            is_key: name == "id",
            nullable: None,
        };
        let described = Described {
            quoted: "t".to_owned(),
            columns: vec![column("id", "bigint"), column("at", watermark)],
            indexes: Vec::new(),
            create_index: "",
            quote: str::to_owned,
        };
        source::bind(&TablePlan::compile(&config).unwrap(), described).unwrap()
    }

    #[test]
    fn a_watermark_that_no_clock_has_reached_is_ahead() {
        // 2026-11-21 12:00 UTC.
        let now_ms = 1_795_262_400_000;
        let times = table("timestamp with time zone");
        for (text, is_ahead) in [
            ("2026-11-21 12:00:00+00", false),
            ("2026-11-21 12:00:00.5+00", true),
            ("2999-01-01 00:00:00+00", true),
            ("infinity", true),
            ("294276-12-31 23:59:59+00", true),
            ("-infinity", false),
            ("0044-03-15 00:00:00+00 BC", false),
        ] {
            let cursor = Cursor([text.to_owned(), "7".to_owned()].into());
            assert_eq!(cursor.is_ahead(&times, now_ms), is_ahead, "{text}");
        }
        let cursor = Cursor(["9223372036854775807".to_owned(), "7".to_owned()].into());
        assert!(
            !cursor.is_ahead(&table("bigint"), now_ms),
            "a number is no time"
        );
    }
}
