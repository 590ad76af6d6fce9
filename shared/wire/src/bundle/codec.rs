//! The candidate bundle's bytes, version 2: magic `EWB1`, a column directory, columns.
//!
//! The frame (magic, version, schema hash, LZ4, checksum) is that of all formats. Its
//! payload, all little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | number of columns |
//! | 8 each | the directory: `u8` column, `u8` flags (1 = required), 2 of 0, `u32` bytes |
//! | n | the columns, in the directory's order, one after the other |
//!
//! Columns are in ascending order of their numbers and multiples of 8 bytes long, so that all
//! begin where they can be cast. A reader skips columns that it does not know unless they are
//! required, and takes the default (0, none) for those that are absent.
//!
//! | column | name | required | content |
//! |---|---|---|---|
//! | 1 | head | yes | `u32` candidates, `f32` completion prior, `i64` made at, `u64` position, `i64` as of, `f32` scale of sketches, 4 of 0 |
//! | 2 | user | no | `u32` length, UTF-8; absent for a pool |
//! | 3 | user vector | no | `f32` scale, `i8` each dimension, 4 of 0 |
//! | 4 to 7 | follows, hidden authors, removed items, applied events | no | integers |
//! | 8, 9 | item ids, author ids | yes | ids; authors are a dictionary |
//! | 10 | labels | no | texts: the dictionary of tags, languages and regions |
//! | 11 | author | yes | integers: index of the author |
//! | 12 | created at | yes | integers: Unix ms with the sign bit turned |
//! | 13, 14 | sources, kind | yes | integers |
//! | 15, 16 | language, region | no | integers: 1 + index of the label, 0 is none |
//! | 17, 18 | tag counts, tags | no | integers: tags a candidate, then all indices of labels |
//! | 19 | sketches | no | `i8` each dimension, candidate by candidate |
//! | 64 + f | feature f | no | floats; absent where no candidate has it |
//!
//! Integers: `ints`. Floats: `floats`. Ids and texts: `texts`.

use alloc::string::String;
use alloc::vec::Vec;

use edgewise_ranking::UserVector;
use edgewise_ranking::feature::schema_hash;
use edgewise_ranking::sketch::SKETCH_DIMS;

use self::directory::{Columns, Directory, column};
use self::ints::{Lane, Len};
use super::Bundle;
use crate::codec::frame::{Format, Payload};
use crate::decode::DecodeError;
use crate::limits::{
    APPLIED_EVENTS_MAX, BUNDLE_BYTES_MAX, BUNDLE_RAW_BYTES_MAX, FOLLOWS_MAX, HIDDEN_AUTHORS_MAX,
    ID_BYTES_MAX, REMOVED_ITEMS_MAX,
};

mod candidates;
mod directory;
mod floats;
mod head;
mod ints;
mod part;
mod texts;

const FORMAT: Format = Format {
    magic: "EWB1",
    version: 2,
    bytes_max: BUNDLE_BYTES_MAX,
    raw_bytes_max: BUNDLE_RAW_BYTES_MAX,
};

impl Bundle {
    /// The bundle's bytes, its features rounded as [`Bundle::quantise`] does. Lists are cut
    /// at their limits ([`crate::limits`]), so that what is encoded can be decoded; hashes of
    /// ids are not written but computed again.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let rows = candidates::rows(&self.candidates);
        let mut out = Columns::default();
        out.required(column::HEAD, |out| head::write(self, rows, out));
        if let Some(user) = &self.user {
            out.optional(column::USER, |out| {
                out.part(|bytes| {
                    bytes.extend_from_slice(&(user.len() as u32).to_le_bytes());
                    bytes.extend_from_slice(user.as_bytes());
                });
            });
        }
        if let Some(vector) = &self.user_vector {
            out.optional(column::USER_VECTOR, |out| {
                out.part(|bytes| {
                    bytes.extend_from_slice(&vector.scale.to_bits().to_le_bytes());
                    bytes.extend_from_slice(bytemuck::bytes_of(&vector.values));
                });
            });
        }
        let wide = |hashes: &[u32]| hashes.iter().map(|&hash| u64::from(hash)).collect();
        let lists: [(u8, Vec<u64>, usize); 4] = [
            (column::FOLLOWS, wide(&self.follows), FOLLOWS_MAX),
            (
                column::HIDDEN_AUTHORS,
                self.hidden_authors.clone(),
                HIDDEN_AUTHORS_MAX,
            ),
            (
                column::REMOVED_ITEMS,
                self.removed_items.clone(),
                REMOVED_ITEMS_MAX,
            ),
            (
                column::APPLIED_EVENTS,
                wide(&self.applied_events),
                APPLIED_EVENTS_MAX,
            ),
        ];
        for (id, mut hashes, max) in lists {
            hashes.truncate(max);
            if !hashes.is_empty() {
                out.optional(id, |out| ints::write(&hashes, out));
            }
        }
        candidates::write(&self.candidates, rows, &mut out);
        FORMAT.seal(schema_hash(), &out.finish())
    }

    /// Reads what [`Bundle::encode`] wrote.
    ///
    /// # Errors
    ///
    /// Anything else is refused by name; no bytes panic or reserve more than the limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::from_aligned(FORMAT.open(schema_hash(), bytes)?.bytes())
    }

    /// Reads the frame's payload.
    pub(crate) fn from_payload(payload: &[u8]) -> Result<Self, DecodeError> {
        Self::from_aligned(Payload::copy_of(payload).bytes())
    }

    fn from_aligned(payload: &[u8]) -> Result<Self, DecodeError> {
        let columns = Directory::read(payload)?;
        let head = head::read(&columns)?;
        let mut candidates = candidates::read(&columns, head.rows)?;
        candidates.as_of_ms = head.as_of_ms;
        candidates.sketch.scale = head.sketch_scale;
        Ok(Self {
            user: user(&columns)?,
            made_at_ms: head.made_at_ms,
            position: head.position,
            completion_prior: head.completion_prior,
            user_vector: user_vector(&columns)?,
            follows: hashes(&columns, column::FOLLOWS, "follows", FOLLOWS_MAX)?,
            hidden_authors: hashes(
                &columns,
                column::HIDDEN_AUTHORS,
                "hidden_authors",
                HIDDEN_AUTHORS_MAX,
            )?,
            removed_items: hashes(
                &columns,
                column::REMOVED_ITEMS,
                "removed_items",
                REMOVED_ITEMS_MAX,
            )?,
            applied_events: hashes(
                &columns,
                column::APPLIED_EVENTS,
                "applied_events",
                APPLIED_EVENTS_MAX,
            )?,
            candidates,
        })
    }
}

fn user(columns: &Directory<'_>) -> Result<Option<String>, DecodeError> {
    let Some(mut column) = columns.get(column::USER) else {
        return Ok(None);
    };
    let len = u32::from_le_bytes(column.peek("user")?) as usize;
    if len > ID_BYTES_MAX {
        return Err(DecodeError::TooMany {
            what: "user",
            len: len as u64,
            max: ID_BYTES_MAX,
        });
    }
    let bytes = column.part("user", 4 + len)?;
    column.end()?;
    let text = bytes.split_at_checked(4).map_or(bytes, |(_, text)| text);
    let text = core::str::from_utf8(text).map_err(|_| DecodeError::NotUtf8("user"))?;
    Ok(Some(text.into()))
}

fn user_vector(columns: &Directory<'_>) -> Result<Option<UserVector>, DecodeError> {
    const WHAT: &str = "user vector";
    let Some(mut column) = columns.get(column::USER_VECTOR) else {
        return Ok(None);
    };
    let bytes = column.part(WHAT, 4 + SKETCH_DIMS)?;
    column.end()?;
    let (scale, values) = bytes
        .split_first_chunk()
        .ok_or(DecodeError::Truncated(WHAT))?;
    Ok(Some(UserVector {
        scale: f32::from_bits(u32::from_le_bytes(*scale)),
        values: *bytemuck::try_from_bytes(values).map_err(|_| DecodeError::Truncated(WHAT))?,
    }))
}

fn hashes<T: Lane>(
    columns: &Directory<'_>,
    id: u8,
    what: &'static str,
    max: usize,
) -> Result<Vec<T>, DecodeError> {
    let Some(mut column) = columns.get(id) else {
        return Ok(Vec::new());
    };
    let hashes = ints::read(what, &mut column, Len::AtMost(max), T::MAX)?;
    column.end()?;
    Ok(hashes)
}

#[cfg(test)]
mod tests;
