//! The candidate bundle's bytes: magic `EWB1`, columns, each as short as it can be.

use alloc::vec::Vec;

use edgewise_ranking::feature::schema_hash;

use super::Bundle;
use crate::codec::frame::Format;
use crate::codec::{Reader, Writer};
use crate::decode::DecodeError;
use crate::limits::{
    APPLIED_EVENTS_MAX, BUNDLE_BYTES_MAX, BUNDLE_RAW_BYTES_MAX, FOLLOWS_MAX, HIDDEN_AUTHORS_MAX,
    ID_BYTES_MAX, REMOVED_ITEMS_MAX,
};

mod candidates;

const FORMAT: Format = Format {
    magic: "EWB1",
    version: 1,
    bytes_max: BUNDLE_BYTES_MAX,
    raw_bytes_max: BUNDLE_RAW_BYTES_MAX,
};

impl Bundle {
    /// The bundle's bytes. Lists are cut at their limits ([`crate::limits`]), so that what
    /// is encoded can be decoded; hashes of ids are not written but computed again.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.optional_text(self.user.as_deref());
        out.i64(self.made_at_ms);
        out.varint(self.position);
        out.f32(self.completion_prior);
        hashes(
            &mut out,
            self.follows.iter().map(|&hash| u64::from(hash)),
            FOLLOWS_MAX,
        );
        hashes(
            &mut out,
            self.hidden_authors.iter().copied(),
            HIDDEN_AUTHORS_MAX,
        );
        hashes(
            &mut out,
            self.removed_items.iter().copied(),
            REMOVED_ITEMS_MAX,
        );
        let applied = self.applied_events.iter().map(|&hash| u64::from(hash));
        hashes(&mut out, applied, APPLIED_EVENTS_MAX);
        candidates::write(&self.candidates, &mut out);
        FORMAT.seal(schema_hash(), &out.finish())
    }

    /// Reads what [`Bundle::encode`] wrote.
    ///
    /// # Errors
    ///
    /// Anything else is refused by name; no bytes panic or reserve more than the limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::from_payload(&FORMAT.open(schema_hash(), bytes)?)
    }

    /// Reads the frame's payload.
    pub(crate) fn from_payload(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(payload);
        let bundle = Self {
            user: input.optional_text("user", ID_BYTES_MAX)?,
            made_at_ms: input.i64("made_at")?,
            position: input.varint("position")?,
            completion_prior: input.f32("completion_prior")?,
            follows: list(&mut input, "follows", FOLLOWS_MAX)?,
            hidden_authors: list(&mut input, "hidden_authors", HIDDEN_AUTHORS_MAX)?,
            removed_items: list(&mut input, "removed_items", REMOVED_ITEMS_MAX)?,
            applied_events: list(&mut input, "applied_events", APPLIED_EVENTS_MAX)?,
            candidates: candidates::read(&mut input)?,
            user_vector: None,
        };
        input.end()?;
        Ok(bundle)
    }
}

fn hashes(out: &mut Writer, hashes: impl Iterator<Item = u64>, max: usize) {
    let hashes: Vec<u64> = hashes.take(max).collect();
    out.len(hashes.len());
    out.ints(&hashes);
}

fn list<T: TryFrom<u64>>(
    input: &mut Reader<'_>,
    what: &'static str,
    max: usize,
) -> Result<Vec<T>, DecodeError> {
    let len = input.len(what, max)?;
    input.ints_as(what, len)
}

#[cfg(test)]
mod tests;
