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
        seal(Purpose::Cursor, &payload, keys)
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
    pub(crate) fn from_payload(payload: &[u8]) -> Option<Self> {
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

/// Reads `payload` as if its signature had been right: the fuzz target's way in.
#[doc(hidden)]
#[must_use]
pub fn fuzz_payload(payload: &[u8]) -> bool {
    Cursor::from_payload(payload).is_some()
}
