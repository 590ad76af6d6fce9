//! A mapping entry bound to a table of the stream, and the changes that its rows come down to.

use super::super::decode::{Old, Tuple};
use super::super::error::PgError;
use super::quality::{Quality, measured};
use super::values::{unpadded, value_of};
use crate::ingest::rows::{DeadLetter, RowChange, RowKey, RowOp, TableId};
use crate::replicate::config::Target;
use crate::replicate::mapping::{BoundTable, deliver};
use crate::replicate::value::Value;

/// A column of the stream that no field reads.
pub(super) const UNREAD: u16 = u16::MAX;

/// A mapping entry bound to a table of the stream.
#[derive(Clone)]
pub struct Bound {
    /// Its id in the store.
    pub id: TableId,
    /// What its rows are.
    pub target: Target,
    /// `schema.name`.
    pub table: String,
    /// The mapping.
    pub bound: BoundTable,
    /// What is measured.
    pub quality: Quality,
    /// For each column of the stream its place in the plan's order, or [`UNREAD`].
    pub(super) places: Vec<u16>,
    /// For each column in the plan's order whether it is filled up with blanks.
    pub(super) padded: Vec<bool>,
}

/// What a row of the stream comes down to.
pub enum Effect {
    /// These changes, in order; the last completes the row.
    Changes,
    /// These changes, the last of which is a patch: right only where the store remembers the row.
    Patched {
        /// Its key's columns.
        values: Vec<String>,
    },
    /// A row whose unchanged columns are not known: it must be read again.
    ReadAgain {
        /// Its key in the store, where it can be read.
        key: Option<RowKey>,
        /// Its key's columns.
        values: Vec<String>,
    },
}

/// Where and when, for dead letters and measures.
#[derive(Clone, Copy)]
pub struct At<'a> {
    /// The source's name.
    pub source: &'a str,
    /// Position for people.
    pub position: &'a str,
    /// Wall time, Unix ms.
    pub now_ms: i64,
    /// Whether rows may be unknown to the store although the source has them: then no row can be
    /// patched.
    pub is_catching_up: bool,
}

impl Bound {
    /// The values that the mapping reads, in its order.
    fn values<'a>(&self, tuple: Tuple<'a>) -> Result<Vec<Value<'a>>, PgError> {
        if tuple.len() != self.places.len() {
            return Err(PgError::Protocol(format!(
                "a row of table {} has {} columns instead of {}",
                self.table,
                tuple.len(),
                self.places.len()
            )));
        }
        let mut values = vec![Value::Null; self.padded.len()];
        for (datum, place) in tuple.iter().zip(&self.places) {
            if let Some(value) = values.get_mut(usize::from(*place)) {
                *value = value_of(datum);
            }
        }
        self.unpad(&mut values);
        Ok(values)
    }

    /// The values of a row that was read from the table, as the stream would bring them.
    #[must_use]
    pub fn values_read<'a>(&self, row: &'a [Option<String>]) -> Vec<Value<'a>> {
        let value = |column: &'a Option<String>| column.as_deref().map_or(Value::Null, Value::Text);
        let mut values: Vec<_> = row.iter().map(value).collect();
        self.unpad(&mut values);
        values
    }

    fn unpad(&self, values: &mut [Value<'_>]) {
        for (value, _) in values.iter_mut().zip(&self.padded).filter(|(_, p)| **p) {
            *value = unpadded(*value);
        }
    }

    /// A new row.
    ///
    /// # Errors
    ///
    /// The row does not fit its table: the stream is corrupt.
    pub fn insert(
        &self,
        new: Tuple<'_>,
        at: At<'_>,
        changes: &mut Vec<(RowChange, Option<DeadLetter>)>,
    ) -> Result<(), PgError> {
        let row = self.values(new)?;
        changes.push(self.map(&row, at));
        Ok(())
    }

    /// Maps a full row.
    pub fn map(&self, row: &[Value<'_>], at: At<'_>) -> (RowChange, Option<DeadLetter>) {
        let mut quality = measured(&self.quality, at.source, &self.bound, at.now_ms);
        deliver(
            &self.bound,
            self.id,
            row,
            at.position,
            quality.get(),
            at.now_ms,
        )
    }

    /// A row that is gone.
    ///
    /// # Errors
    ///
    /// The row does not fit its table: the stream is corrupt.
    pub fn delete(
        &self,
        old: Old<'_>,
        at: At<'_>,
        changes: &mut Vec<(RowChange, Option<DeadLetter>)>,
    ) -> Result<(), PgError> {
        let row = self.values(old.tuple())?;
        // A row without a readable key never counted.
        if let Ok(key) = self.bound.key(&row) {
            changes.push((self.remove(key), None));
            measured(&self.quality, at.source, &self.bound, at.now_ms)
                .get()
                .deleted(at.now_ms);
        }
        Ok(())
    }

    /// The removal of a row.
    #[must_use]
    pub fn remove(&self, key: RowKey) -> RowChange {
        RowChange {
            table: self.id,
            key,
            op: RowOp::Remove,
        }
    }

    /// A row that changed.
    ///
    /// # Errors
    ///
    /// The row does not fit its table: the stream is corrupt.
    pub fn update(
        &self,
        old: Option<Old<'_>>,
        new: Tuple<'_>,
        at: At<'_>,
        changes: &mut Vec<(RowChange, Option<DeadLetter>)>,
    ) -> Result<Effect, PgError> {
        let mut row = self.values(new)?;
        let mut is_rekeyed = false;
        if let Some(old) = old {
            let before = self.values(old.tuple())?;
            let is_whole = matches!(old, Old::Row(_));
            for (value, before) in row.iter_mut().zip(&before) {
                // Of a key only its own columns are there, and those are never NULL.
                if *value == Value::Unchanged && (is_whole || *before != Value::Null) {
                    *value = *before;
                }
            }
            if let Ok(key) = self.bound.key(&before) {
                is_rekeyed = self.bound.key(&row).ok() != Some(key);
                if is_rekeyed {
                    changes.push((self.remove(key), None));
                }
            }
        }
        let cannot_patch = is_rekeyed || at.is_catching_up || self.target != Target::Items;
        if cannot_patch && row.contains(&Value::Unchanged) {
            return Ok(Effect::ReadAgain {
                key: self.bound.key(&row).ok(),
                values: self.key_values(&row),
            });
        }
        let (change, dead) = self.map(&row, at);
        let is_patch = matches!(change.op, RowOp::Patch(..));
        changes.push((change, dead));
        Ok(if is_patch {
            Effect::Patched {
                values: self.key_values(&row),
            }
        } else {
            Effect::Changes
        })
    }

    /// The key's values in the order of the key's columns.
    fn key_values(&self, row: &[Value<'_>]) -> Vec<String> {
        let place = |name: &String| {
            self.bound
                .columns()
                .iter()
                .position(|column| column == name)
        };
        let keys = self.bound.key_columns().iter();
        let value = |name: &String| match row.get(place(name)?)? {
            Value::Text(text) => Some((*text).to_owned()),
            _ => None,
        };
        keys.filter_map(value).collect()
    }
}
