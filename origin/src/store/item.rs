//! An item's record: its id, and its facts once they were written.

use edgewise_wire::api::Item;

use super::codec::{Decoder, Encoder};
use super::error::StoreError;
use super::record::Record;
use super::table::Table;
use crate::ingest::Written;

/// Tags an item may have; more in a record is corrupt.
const TAGS_MAX: u64 = 1024;

/// What is stored of an item.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ItemRecord {
    /// Item id.
    pub id: String,
    /// Its facts; `None` where it is known by events only.
    pub item: Option<Item>,
    /// When its facts were first written (again, after a deletion).
    pub first_written: Written,
    /// Wall time of its deletion, Unix ms.
    pub deleted_at_ms: Option<i64>,
    /// Mapped rows that say it exists; it is deleted with the last.
    pub rows: u32,
}

impl Record for ItemRecord {
    fn write(&self, out: &mut Encoder) {
        out.byte(if self.rows > 0 { 2 } else { 1 });
        out.text(&self.id).byte(u8::from(self.item.is_some()));
        if let Some(item) = &self.item {
            out.int(self.first_written.wall_ms)
                .int(self.first_written.domain_ms);
            out.byte(u8::from(self.deleted_at_ms.is_some()));
            if let Some(at_ms) = self.deleted_at_ms {
                out.int(at_ms);
            }
            put_facts(out, item);
        }
        if self.rows > 0 {
            out.uint(u64::from(self.rows));
        }
    }

    fn decode(table: Table, bytes: &[u8]) -> Result<Self, StoreError> {
        let (mut input, version) = Decoder::versions(table, bytes, 2)?;
        let mut record = Self {
            id: input.text()?.to_owned(),
            ..Self::default()
        };
        if input.flag()? {
            record.first_written = Written {
                wall_ms: input.int()?,
                domain_ms: input.int()?,
            };
            if input.flag()? {
                record.deleted_at_ms = Some(input.int()?);
            }
            record.item = Some(take_facts(&mut input, &record.id)?);
        }
        if version == 2 {
            record.rows = input.uint32()?;
        }
        input.finish()?;
        Ok(record)
    }
}

/// Appends everything but the id.
pub(crate) fn put_facts(out: &mut Encoder, item: &Item) {
    out.text(&item.author).int(item.created_at_ms);
    out.optional_text(item.kind.as_deref());
    out.uint(
        item.duration_ms
            .map_or(0, |duration| u64::from(duration) + 1),
    );
    out.uint(item.tags.len() as u64);
    for tag in &item.tags {
        out.text(tag);
    }
    out.optional_text(item.region.as_deref())
        .optional_text(item.language.as_deref());
    out.text(&item.title);
    out.optional_text(item.thumbnail.as_deref())
        .optional_text(item.link.as_deref());
}

/// Reads what [`put_facts`] appended.
pub(crate) fn take_facts(input: &mut Decoder<'_>, id: &str) -> Result<Item, StoreError> {
    let author = input.text()?.to_owned();
    let created_at_ms = input.int()?;
    let kind = input.optional_text()?;
    let duration_ms = match input.uint()? {
        0 => None,
        above => {
            Some(u32::try_from(above - 1).map_err(|_| input.corrupt("duration is too large"))?)
        }
    };
    let tag_count = input.uint()?;
    if tag_count > TAGS_MAX {
        return Err(input.corrupt("too many tags"));
    }
    let mut tags = Vec::new();
    for _ in 0..tag_count {
        tags.push(input.text()?.to_owned());
    }
    Ok(Item {
        id: id.to_owned(),
        author,
        created_at_ms,
        kind,
        duration_ms,
        tags,
        region: input.optional_text()?,
        language: input.optional_text()?,
        title: input.text()?.to_owned(),
        thumbnail: input.optional_text()?,
        link: input.optional_text()?,
    })
}
