//! Rows of one event: images to changes, pushed one by one with the position after each.

use super::decode::Image;
use super::error::MysqlError;
use super::event::{self, Rows, RowsFormat, RowsKind};
use super::position::{BinlogPosition, File};
use super::tables::{Entry, Followed, Layout};
use super::wire::Cursor;
use crate::ingest::rows::{DeadLetter, RowChange, RowKey, RowOp};
use crate::replicate::apply::Applier;
use crate::replicate::mapping::{self, BoundTable};
use crate::replicate::supervise::SourceError;
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
        return (
            None,
            Some(mapping::deliver(
                bound, entry.id, &row, position, quality, at_ms,
            )),
        );
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
    let put = mapping::deliver(bound, entry.id, &merged, position, quality, at_ms);
    (old.filter(|key| *key != put.0.key), Some(put))
}
