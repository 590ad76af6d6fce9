//! A delivered row: mapped, measured, and refused into a dead letter.

use std::fmt::Display;

use super::letter::columns_json;
use super::{BoundTable, Mapped, Notes, Violation};
use crate::ingest::rows::{DeadLetter, RowChange, RowKey, RowOp, StoredKey, TableId};
use crate::replicate::contract::TableQuality;
use crate::replicate::value::Value;

/// The key of a change that touches no row: a row whose key cannot be read has a dead letter
/// and this.
pub const NO_ROW: RowKey = RowKey::Hash(0);

/// Maps a full row (insert, update, first copy, replay), measures it, and says what to apply:
/// the change, and the dead letter where the row is refused. `position` is written only
/// in a dead letter.
#[must_use]
pub fn deliver(
    bound: &BoundTable,
    table: TableId,
    row: &[Value<'_>],
    position: &(impl Display + ?Sized),
    quality: &mut TableQuality,
    at_ms: i64,
) -> (RowChange, Option<DeadLetter>) {
    let mut notes = Notes::default();
    let (key, mapped) = match bound.key(row) {
        Ok(key) => (Some(key), bound.map_noting(row, &mut notes)),
        Err(violation) => (None, Mapped::Refused(violation)),
    };
    decided(
        bound,
        table,
        row,
        position,
        quality,
        at_ms,
        (key, mapped, notes),
    )
}

/// Refuses a row for what its mapping cannot see, as [`deliver`] refuses others.
#[must_use]
pub fn refuse(
    bound: &BoundTable,
    table: TableId,
    row: &[Value<'_>],
    position: &(impl Display + ?Sized),
    quality: &mut TableQuality,
    at_ms: i64,
    violation: Violation,
) -> (RowChange, Option<DeadLetter>) {
    let refused = (
        bound.key(row).ok(),
        Mapped::Refused(violation),
        Notes::default(),
    );
    decided(bound, table, row, position, quality, at_ms, refused)
}

fn decided(
    bound: &BoundTable,
    table: TableId,
    row: &[Value<'_>],
    position: &(impl Display + ?Sized),
    quality: &mut TableQuality,
    at_ms: i64,
    (key, mapped, notes): (Option<RowKey>, Mapped, Notes),
) -> (RowChange, Option<DeadLetter>) {
    quality.observe(bound, row, key, &mapped, notes, at_ms);
    let (op, violation) = match mapped {
        Mapped::Put(fact) => (RowOp::Put(fact), None),
        Mapped::Patch(item, kept) => (RowOp::Patch(item, kept), None),
        Mapped::Remove => (RowOp::Remove, None),
        Mapped::Refused(violation) => (RowOp::Remove, Some(violation)),
    };
    let dead = violation.map(|violation| DeadLetter {
        source: quality.source().to_owned(),
        table: bound.plan().name().to_owned(),
        table_id: table.0,
        key: bound.key_text(row),
        row: key.map(stored),
        reason: format!("{}: {}", violation.rule, violation.reason),
        position: position.to_string(),
        columns: columns_json(bound, row),
        at_ms,
    });
    let key = key.unwrap_or(NO_ROW);
    (RowChange { table, key, op }, dead)
}

fn stored(key: RowKey) -> StoredKey {
    match key {
        RowKey::Int(key) => StoredKey::Int(key),
        RowKey::Hash(key) => StoredKey::Hash((key >> 64) as u64, key as u64),
    }
}
