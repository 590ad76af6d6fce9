//! The cursor: what earlier pages showed, so that a feed repeats nothing without storage.

use alloc::string::String;
use alloc::vec::Vec;

use crate::keys::Keys;
use crate::limits::{CURSOR_CHARS_MAX, RECENT_AUTHORS_MAX};
use crate::shown::ShownSet;
use crate::token::{Purpose, TokenError, open, seal};

/// Where a reader of a feed is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// XXH3-64 of the user's id; 0 without a user.
    pub subject: u64,
    /// Hashes of the last items that were shown.
    pub shown: ShownSet,
    /// Author hashes of the last items that were shown, oldest first, at most 19.
    pub recent_authors: Vec<u64>,
    /// Number of items that were shown.
    pub position: u32,
}

impl Cursor {
    /// The start of a feed.
    #[must_use]
    pub fn new(subject: u64) -> Self {
        Self {
            subject,
            ..Self::default()
        }
    }

    /// Remembers one shown item: hash of its id and of its author's.
    pub fn record(&mut self, item: u64, author: u64) {
        self.shown.insert(item);
        if self.recent_authors.len() >= RECENT_AUTHORS_MAX {
            self.recent_authors.remove(0);
        }
        self.recent_authors.push(author);
        self.position = self.position.saturating_add(1);
    }

    /// The signed token: about 2.7 KB at full load.
    #[must_use]
    pub fn encode(&self, keys: &Keys) -> String {
        seal(Purpose::Cursor, &self.to_payload(), keys)
    }

    /// `u64` subject, `u32` position, `u8` authors and each as `u64`, then the shown set.
    pub(crate) fn to_payload(&self) -> Vec<u8> {
        let skipped = self.recent_authors.len().saturating_sub(RECENT_AUTHORS_MAX);
        let authors = self.recent_authors.get(skipped..).unwrap_or(&[]);
        let mut payload = Vec::new();
        payload.extend_from_slice(&self.subject.to_le_bytes());
        payload.extend_from_slice(&self.position.to_le_bytes());
        payload.push(u8::try_from(authors.len()).unwrap_or(0));
        for author in authors {
            payload.extend_from_slice(&author.to_le_bytes());
        }
        self.shown.encode(&mut payload);
        payload
    }

    /// The cursor of `subject` that `token` holds.
    ///
    /// # Errors
    ///
    /// The token is not ours, was changed, or belongs to another subject.
    pub fn decode(token: &str, keys: &Keys, subject: u64) -> Result<Self, TokenError> {
        let payload = open(Purpose::Cursor, token, CURSOR_CHARS_MAX, keys)?;
        let cursor = Self::from_payload(&payload).ok_or(TokenError::Malformed)?;
        if cursor.subject != subject {
            return Err(TokenError::Subject);
        }
        Ok(cursor)
    }

    /// Reads a token's payload; only bytes that were signed come here, and fuzzed ones.
    fn from_payload(payload: &[u8]) -> Option<Self> {
        let (subject, rest) = payload.split_first_chunk::<8>()?;
        let (position, rest) = rest.split_first_chunk::<4>()?;
        let (&count, mut rest) = rest.split_first()?;
        if usize::from(count) > RECENT_AUTHORS_MAX {
            return None;
        }
        let mut recent_authors = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let (author, after) = rest.split_first_chunk::<8>()?;
            recent_authors.push(u64::from_le_bytes(*author));
            rest = after;
        }
        let (shown, rest) = ShownSet::decode(rest)?;
        let subject = u64::from_le_bytes(*subject);
        let position = u32::from_le_bytes(*position);
        rest.is_empty().then_some(Self {
            subject,
            shown,
            recent_authors,
            position,
        })
    }
}

/// Reads a token's payload without its signature: the fuzz target's way in.
pub(crate) fn from_payload(payload: &[u8]) -> Option<Cursor> {
    Cursor::from_payload(payload)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::samples::{self, keys};

    #[test]
    fn a_full_cursor_is_under_its_limit_and_comes_back() {
        let cursor = samples::cursor(1_200);
        let token = cursor.encode(&keys());
        std::println!("a full cursor has {} characters", token.len());
        assert!(token.len() <= 3_000, "{}", token.len());
        assert_eq!(cursor.position, 1_200);
        assert_eq!(Cursor::decode(&token, &keys(), cursor.subject), Ok(cursor));
    }

    #[test]
    fn a_cursor_of_another_user_is_refused() {
        let token = samples::cursor(3).encode(&keys());
        assert_eq!(Cursor::decode(&token, &keys(), 0), Err(TokenError::Subject));
    }

    #[test]
    fn a_session_is_no_cursor() {
        let token = samples::session().encode(&keys());
        let refused = Cursor::decode(&token, &keys(), samples::session().subject);
        assert_eq!(refused, Err(TokenError::Signature));
    }

    #[test]
    fn junk_is_refused_by_name() {
        let check = |token: &str, error| {
            assert_eq!(Cursor::decode(token, &keys(), 0), Err(error), "{token}");
        };
        check("", TokenError::Malformed);
        check("AAAA", TokenError::Malformed);
        check("not base64!", TokenError::Malformed);
        check(&"A".repeat(4_097), TokenError::TooLong);
        check(&"A".repeat(100), TokenError::UnknownVersion(0));
        let other = Keys::from_secret("k2", &[7; 32]).unwrap();
        check(&Cursor::new(0).encode(&other), TokenError::UnknownKey);
        let other = Keys::from_secret("k1", &[8; 32]).unwrap();
        check(&Cursor::new(0).encode(&other), TokenError::Signature);
    }

    #[test]
    fn every_flipped_bit_of_a_token_is_noticed() {
        let cursor = samples::cursor(30);
        let token = cursor.encode(&keys());
        for at in 0..token.len() {
            for bit in 0..7 {
                let mut bytes = token.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let flipped = String::from_utf8(bytes).unwrap();
                let read = Cursor::decode(&flipped, &keys(), cursor.subject);
                assert!(read.is_err(), "bit {bit} of character {at}");
            }
            assert!(Cursor::decode(&token[..at], &keys(), cursor.subject).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_text_and_any_payload_are_read_without_a_panic(
            text in ".{0,100}",
            payload in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = Cursor::decode(&text, &keys(), 0);
            let _ = Cursor::from_payload(&payload);
            let sealed = seal(Purpose::Cursor, &payload, &keys());
            let _ = Cursor::decode(&sealed, &keys(), 0);
        }
    }
}
