//! What operators purged, who asked for it and why.

use serde::Serialize;

use super::codec::{Decoder, Encoder};
use super::error::StoreError;
use super::record::Record;
use super::table::Table;

/// One purge, as it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PurgeRecord {
    /// Wall time, Unix ms.
    pub at_ms: i64,
    /// What was stored is stale and no more.
    pub soft: bool,
    /// All that is stored.
    pub everything: bool,
    /// Tags.
    pub tags: Vec<String>,
    /// Keys.
    pub keys: Vec<String>,
    /// What asked: the request's `User-Agent`.
    pub by: String,
    /// Why, as the request said.
    pub reason: String,
}

impl Record for PurgeRecord {
    fn write(&self, out: &mut Encoder) {
        out.byte(1);
        out.int(self.at_ms);
        out.byte(u8::from(self.soft) | u8::from(self.everything) << 1);
        for names in [&self.tags, &self.keys] {
            out.uint(names.len() as u64);
            for name in names {
                out.text(name);
            }
        }
        out.text(&self.by).text(&self.reason);
    }

    fn decode(table: Table, bytes: &[u8]) -> Result<Self, StoreError> {
        let mut input = Decoder::record(table, bytes, 1)?;
        let at_ms = input.int()?;
        let flags = input.byte()?;
        let mut lists = [Vec::new(), Vec::new()];
        for names in &mut lists {
            for _ in 0..input.uint()? {
                names.push(input.text()?.to_owned());
            }
        }
        let [tags, keys] = lists;
        let (by, reason) = (input.text()?.to_owned(), input.text()?.to_owned());
        input.finish()?;
        Ok(Self {
            at_ms,
            soft: flags & 1 == 1,
            everything: flags & 2 == 2,
            tags,
            keys,
            by,
            reason,
        })
    }
}
