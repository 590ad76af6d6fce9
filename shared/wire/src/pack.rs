//! The pack: what an answer of the feed is made from, for a device that ranks by itself.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | magic `EWP1` |
//! | 1 | version |
//! | 8 | wall time it was packed at, Unix ms, little-endian |
//! | 8 | wall time its candidates were current at, Unix ms, little-endian |
//! | 1 | rung, in the order of the API's description |
//! | 1 | what the session token came to, in the order of the API's description |
//! | 8 | offset from UTC, minutes, little-endian |
//! | n | user and region: a flag byte, where it is 1 then length and text |
//! | n | session, cursor: length and payload as in their tokens; a cursor may be empty |
//! | 1 | 0 a bundle, 1 a hot list |
//! | n | that, overlay, model snapshot: length and encoding; the latter two may be empty |
//! | 8 | XXH3-64 of all bytes before, little-endian |
//!
//! Lengths are LEB128 varints. The parts are the origin's bytes as they are: nothing is
//! encoded again, and each part has its own version.

use alloc::string::String;
use alloc::vec::Vec;

use xxhash_rust::xxh3::xxh3_64;

use crate::api::{Rung, SessionStatus};
use crate::codec::{Reader, Writer};
use crate::cursor::{self, Cursor};
use crate::decode::DecodeError;
use crate::limits::{
    BUNDLE_BYTES_MAX, CURSOR_CHARS_MAX, HOT_LIST_BYTES_MAX, ID_BYTES_MAX, LABEL_BYTES_MAX,
    OVERLAY_BYTES_MAX, PACK_BYTES_MAX, SESSION_CHARS_MAX, SNAPSHOT_BYTES_MAX,
};
use crate::session::{self, Session};

const MAGIC: &str = "EWP1";
const VERSION: u8 = 1;

/// Candidates, encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackedCandidates<'a> {
    /// A [`crate::Bundle`] of the user or of a segment.
    Bundle(&'a [u8]),
    /// A [`crate::HotList`].
    HotList(&'a [u8]),
}

impl Default for PackedCandidates<'_> {
    fn default() -> Self {
        Self::Bundle(&[])
    }
}

/// Everything a page depends on beside its parameters, time and request id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack<'a> {
    /// Wall time it was packed at, Unix ms.
    pub packed_at_ms: i64,
    /// Wall time the candidates were current at, Unix ms: what its rung is told by.
    pub stored_at_ms: i64,
    /// How the candidates were come by.
    pub rung: Rung,
    /// Who asked; `None` for a segment.
    pub user: Option<String>,
    /// The region the request came from; left out beyond a label's length.
    pub region: Option<String>,
    /// Offset from UTC of the zone the request came from, minutes.
    pub utc_offset_minutes: i32,
    /// The request's session, opened.
    pub session: Session,
    /// What became of the session's token.
    pub session_status: SessionStatus,
    /// The request's cursor, opened: pages go on from it.
    pub cursor: Option<Cursor>,
    /// What is ranked.
    pub candidates: PackedCandidates<'a>,
    /// The [`crate::Overlay`], encoded.
    pub overlay: Option<&'a [u8]>,
    /// The [`crate::ModelSnapshot`], encoded; `None` is the formula's default.
    pub snapshot: Option<&'a [u8]>,
}

/// Rungs in the order of the API's description.
const RUNGS: [Rung; 5] = [
    Rung::Personal,
    Rung::PersonalStale,
    Rung::Segment,
    Rung::Hot,
    Rung::HotStale,
];

impl<'a> Pack<'a> {
    /// The pack's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (kind, candidates) = match self.candidates {
            PackedCandidates::Bundle(bytes) => (0, bytes),
            PackedCandidates::HotList(bytes) => (1, bytes),
        };
        let mut out = Writer::default();
        out.bytes(MAGIC.as_bytes());
        out.byte(VERSION);
        out.i64(self.packed_at_ms);
        out.i64(self.stored_at_ms);
        out.byte(place(&RUNGS, &self.rung));
        out.byte(place(&SessionStatus::ALL, &self.session_status));
        out.i64(i64::from(self.utc_offset_minutes));
        out.optional_text(self.user.as_deref());
        let region = self.region.as_deref();
        out.optional_text(region.filter(|region| region.len() <= LABEL_BYTES_MAX));
        let cursor = self.cursor.as_ref().map(Cursor::to_payload);
        for part in [
            &self.session.to_payload(),
            cursor.as_deref().unwrap_or_default(),
        ] {
            out.len(part.len());
            out.bytes(part);
        }
        out.byte(kind);
        for part in [
            candidates,
            self.overlay.unwrap_or_default(),
            self.snapshot.unwrap_or_default(),
        ] {
            out.len(part.len());
            out.bytes(part);
        }
        let mut bytes = out.finish();
        let checksum = xxh3_64(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads what [`Pack::encode`] wrote; the parts stay encoded.
    ///
    /// # Errors
    ///
    /// Anything else is refused by name; no bytes panic or reserve more than the limits.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        if bytes.len() > PACK_BYTES_MAX {
            return Err(DecodeError::TooLarge {
                len: bytes.len(),
                max: PACK_BYTES_MAX,
            });
        }
        let truncated = DecodeError::Truncated("its header");
        let (magic, rest) = bytes.split_first_chunk::<4>().ok_or(truncated.clone())?;
        if magic != MAGIC.as_bytes() {
            return Err(DecodeError::Magic { expected: MAGIC });
        }
        let (&found, rest) = rest.split_first().ok_or(truncated.clone())?;
        if found != VERSION {
            return Err(DecodeError::UnknownVersion {
                found,
                expected: VERSION,
            });
        }
        let (signed, checksum) = bytes.split_last_chunk::<8>().ok_or(truncated.clone())?;
        if xxh3_64(signed) != u64::from_le_bytes(*checksum) {
            return Err(DecodeError::Checksum);
        }
        let (payload, _) = rest.split_last_chunk::<8>().ok_or(truncated)?;
        Self::from_payload(payload)
    }

    /// Reads what is between version and checksum.
    pub(crate) fn from_payload(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(payload);
        let packed_at_ms = input.i64("packed at")?;
        let stored_at_ms = input.i64("stored at")?;
        let rung = at(&RUNGS, input.byte("rung")?, "rung")?;
        let status = input.byte("session status")?;
        let session_status = at(&SessionStatus::ALL, status, "session status")?;
        let offset = i32::try_from(input.i64("offset")?);
        let utc_offset_minutes = offset.map_err(|_| DecodeError::OutOfRange("offset"))?;
        let user = input.optional_text("user", ID_BYTES_MAX)?;
        let region = input.optional_text("region", LABEL_BYTES_MAX)?;
        let session = input.bytes("session", SESSION_CHARS_MAX)?;
        let session =
            session::from_payload(session).ok_or(DecodeError::OutOfRange("its session"))?;
        let cursor = match input.bytes("cursor", CURSOR_CHARS_MAX)? {
            [] => None,
            payload => {
                let cursor = cursor::from_payload(payload);
                Some(cursor.ok_or(DecodeError::OutOfRange("its cursor"))?)
            }
        };
        let candidates = if input.flag("candidates")? {
            PackedCandidates::HotList(input.bytes("hot list", HOT_LIST_BYTES_MAX)?)
        } else {
            PackedCandidates::Bundle(input.bytes("bundle", BUNDLE_BYTES_MAX)?)
        };
        let overlay = input.bytes("overlay", OVERLAY_BYTES_MAX)?;
        let snapshot = input.bytes("model snapshot", SNAPSHOT_BYTES_MAX)?;
        input.end()?;
        let given = |part: &'a [u8]| (!part.is_empty()).then_some(part);
        Ok(Self {
            packed_at_ms,
            stored_at_ms,
            rung,
            user,
            region,
            utc_offset_minutes,
            session,
            session_status,
            cursor,
            candidates,
            overlay: given(overlay),
            snapshot: given(snapshot),
        })
    }
}

fn place<T: PartialEq>(all: &[T], one: &T) -> u8 {
    let place = all.iter().position(|known| known == one);
    u8::try_from(place.unwrap_or(0)).unwrap_or(0)
}

fn at<T: Copy>(all: &[T], place: u8, what: &'static str) -> Result<T, DecodeError> {
    let found = all.get(usize::from(place)).copied();
    found.ok_or(DecodeError::OutOfRange(what))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::samples;

    #[test]
    fn a_pack_comes_back_and_a_changed_one_is_refused() {
        let parts = samples::packed();
        let pack = parts.pack();
        let bytes = pack.encode();
        assert_eq!(Pack::decode(&bytes), Ok(pack));
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            assert!(Pack::decode(&flipped).is_err(), "byte {at}");
            assert!(Pack::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn what_may_be_absent_may_be_absent() {
        let parts = samples::packed();
        let pack = Pack {
            user: None,
            region: None,
            cursor: None,
            candidates: PackedCandidates::HotList(&[1, 2, 3]),
            overlay: None,
            snapshot: None,
            utc_offset_minutes: -570,
            ..parts.pack()
        };
        assert_eq!(Pack::decode(&pack.encode()), Ok(pack));
    }

    #[test]
    fn refusals_have_names() {
        let bytes = samples::packed().pack().encode();
        let refused = |change: fn(&mut Vec<u8>)| {
            let mut bytes = bytes.clone();
            change(&mut bytes);
            Pack::decode(&bytes).map(|_| ()).unwrap_err()
        };
        assert_eq!(
            refused(|bytes| bytes[0] = b'x'),
            DecodeError::Magic { expected: "EWP1" }
        );
        let version = DecodeError::UnknownVersion {
            found: 9,
            expected: 1,
        };
        assert_eq!(refused(|bytes| bytes[4] = 9), version);
        assert_eq!(refused(|bytes| bytes[21] ^= 1), DecodeError::Checksum);
        let resealed = refused(|bytes| {
            bytes[21] = 5;
            let end = bytes.len() - 8;
            let checksum = xxh3_64(&bytes[..end]).to_le_bytes();
            bytes[end..].copy_from_slice(&checksum);
        });
        assert_eq!(resealed, DecodeError::OutOfRange("rung"));
        let large = Pack::decode(&alloc::vec![0; PACK_BYTES_MAX + 1]).map(|_| ());
        assert!(matches!(large, Err(DecodeError::TooLarge { .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = (Pack::decode(&bytes), Pack::from_payload(&bytes));
        }
    }
}
