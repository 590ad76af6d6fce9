//! Rows of one event: images to changes, pushed one by one with the position after each.

use super::decode::Image;
use super::error::MysqlError;
use super::event::{self, Rows, RowsFormat, RowsKind};
use super::position::{BinlogPosition, File};
use super::tables::{Entry, Followed, Layout};
use super::wire::Cursor;
use crate::ingest::rows::{DeadLetter, RowChange, RowKey, RowOp, TableId};
use crate::replicate::apply::Applier;
use crate::replicate::contract::TableQuality;
use crate::replicate::mapping::{self, BoundTable};
use crate::replicate::supervise::SourceError;
use crate::replicate::unsent;
use crate::replicate::value::Value;
use std::sync::Arc;

/// What of a transaction was applied before this life.
pub(super) struct Skip {
    /// The file it begins in.
    pub(super) file: Arc<File>,
    /// Where it begins.
    pub(super) offset: u64,
    /// Row events that are applied.
    pub(super) events: u64,
    /// Rows of the next one that are applied.
    pub(super) rows: u64,
}

impl Skip {
    /// How many rows of an event are applied; `None` = all of them.
    pub(super) fn rows_done(&self, file: &File, start: u64, event: u64) -> Option<u64> {
        // On another server the same transaction may be cut into other events.
        let same = start == self.offset && *file == *self.file;
        match event.cmp(&self.events) {
            _ if !same => Some(0),
            std::cmp::Ordering::Less => None,
            std::cmp::Ordering::Equal => Some(self.rows),
            std::cmp::Ordering::Greater => Some(0),
        }
    }
}

/// Where an event's rows stand.
pub(super) struct Place {
    /// Before its first row.
    pub(super) position: BinlogPosition,
    /// Rows that are applied already.
    pub(super) done: u64,
    /// Wall time, Unix ms.
    pub(super) at_ms: i64,
}

/// Applies the rows of an event.
pub(super) async fn apply(
    applier: &mut Applier<BinlogPosition>,
    table: &mut Followed,
    layout: &Layout,
    format: RowsFormat,
    body: &[u8],
    place: Place,
) -> Result<(), SourceError> {
    let Place {
        position,
        done,
        at_ms,
    } = place;
    let text = position.to_string();
    let malformed = |error| MysqlError::malformed(text.clone(), error);
    let head = Rows::parse(body, format).map_err(malformed)?;
    let unpacked;
    let data = if format.compressed {
        unpacked = event::unpack(head.data).map_err(malformed)?;
        &unpacked
    } else {
        head.data
    };
    if head.columns != layout.slots.len() {
        let reason = format!("rows of {} columns for {}", head.columns, table.name);
        return Err(MysqlError::Corrupt {
            position: text,
            reason,
        }
        .into());
    }
    let mut cursor = Cursor::new(data, "rows");
    let (mut first, mut second) = (Image::default(), Image::default());
    let mut rows = 0;
    let last = table.last_followed(layout);
    while !cursor.is_empty() {
        first
            .read(&mut cursor, &layout.slots, head.first)
            .map_err(malformed)?;
        if format.kind == RowsKind::Update {
            second
                .read(&mut cursor, &layout.slots, head.second)
                .map_err(malformed)?;
        }
        rows += 1;
        if rows <= done {
            continue;
        }
        let after = BinlogPosition {
            rows,
            ..position.clone()
        };
        let before = BinlogPosition {
            rows: rows - 1,
            ..position.clone()
        };
        let entries = table.entries.iter_mut().zip(&layout.bound);
        for (index, (entry, plan)) in entries.enumerate() {
            let Some(plan) = plan.as_ref().filter(|_| entry.stopped.is_none()) else {
                continue;
            };
            // Only with the last of the table's entries is the row done.
            let position = if index == last { &after } else { &before };
            let images = (&first, &second);
            let (old, new) = changes(entry, plan, format.kind, images, &after, at_ms);
            if let Some(key) = old {
                let change = RowChange {
                    table: entry.id,
                    key,
                    op: RowOp::Remove,
                };
                let position = if new.is_some() { &before } else { position };
                applier.push(change, None, position.clone()).await?;
            }
            if let Some((change, dead)) = new {
                applier.push(change, dead, position.clone()).await?;
            }
        }
    }
    Ok(())
}

/// The plan-ordered row of an image.
fn gather<'i>(bound: &'i BoundTable, image: &'i Image<'_>) -> impl Iterator<Item = Value<'i>> {
    bound.sources().iter().map(|index| image.get(*index))
}

type Put = (RowChange, Option<DeadLetter>);

/// Where a value was not sent.
const WHOLE_ROWS: &str = "SET GLOBAL binlog_row_image = FULL makes the server send it (in its \
    configuration too; sessions that are open keep what they have)";

/// A row that is there.
fn put(
    bound: &BoundTable,
    table: TableId,
    row: &[Value<'_>],
    position: &BinlogPosition,
    quality: &mut TableQuality,
    at_ms: i64,
) -> Put {
    let mut put = mapping::deliver(bound, table, row, position, quality, at_ms);
    unsent::advise(&mut put, WHOLE_ROWS);
    put
}

/// What an image, or a pair of images, does: a row that goes and a row that is there.
fn changes(
    entry: &mut Entry,
    bound: &BoundTable,
    kind: RowsKind,
    (first, second): (&Image<'_>, &Image<'_>),
    position: &BinlogPosition,
    at_ms: i64,
) -> (Option<RowKey>, Option<Put>) {
    let row: Vec<Value<'_>> = gather(bound, first).collect();
    let Some(quality) = &mut entry.quality else {
        return (None, None);
    };
    if kind == RowsKind::Delete {
        quality.deleted(at_ms);
        // A row whose key cannot be read never counted.
        return (bound.key(&row).ok(), None);
    }
    if kind == RowsKind::Write {
        let put = put(bound, entry.id, &row, position, quality, at_ms);
        return (None, Some(put));
    }
    // What the new image does not have is as it was.
    let merged = gather(bound, second).zip(&row);
    let merged: Vec<Value<'_>> = merged
        .map(|(new, old)| {
            if matches!(new, Value::Unchanged) {
                *old
            } else {
                new
            }
        })
        .collect();
    let old = bound.key(&row).ok();
    let put = put(bound, entry.id, &merged, position, quality, at_ms);
    (old.filter(|key| *key != put.0.key), Some(put))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replicate::mapping::{Column, TablePlan};
    use crate::replicate::mysql::position::Identity;

    #[test]
    fn a_value_that_was_not_sent_is_refused_with_what_helps() {
        let entry =
            "table = 't'\nto = 'events'\ntype = \"'like'\"\nuser = 'u'\nitem = 'p'\nts = 'at'";
        let plan = TablePlan::compile(&toml::from_str(entry).expect("an entry")).expect("a plan");
        let column = |name: &str, type_name: &str| Column {
            name: name.to_owned(),
            type_name: type_name.to_owned(),
            is_key: name == "id",
            nullable: Some(false),
        };
        let columns = [
            column("id", "bigint"),
            column("u", "bigint"),
            column("p", "bigint"),
            column("at", "datetime"),
        ];
        let bound = plan.bind(&columns).expect("it fits");
        let row: Vec<Value<'_>> = bound
            .columns()
            .iter()
            .map(|name| match name.as_str() {
                "u" => Value::Unchanged,
                "at" => Value::Time(1_700_000_000_000_000),
                _ => Value::Int(7),
            })
            .collect();
        let file = File {
            identity: Identity {
                uuid: String::new(),
                server_id: 1,
            },
            name: "binlog.000001".to_owned(),
            created: 0,
        };
        let position = BinlogPosition::committed(Arc::new(file), 4, None);
        let mut quality = TableQuality::new("main", &bound, 0);
        let (_, letter) = put(&bound, TableId(1), &row, &position, &mut quality, 0);
        let reason = letter.expect("it is refused").reason;
        assert!(reason.starts_with("unchanged: user"), "{reason}");
        assert!(reason.contains("binlog_row_image = FULL"), "{reason}");
        assert!(!reason.contains("REPLICA IDENTITY"), "{reason}");
    }
}
