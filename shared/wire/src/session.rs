//! The session: what a user did in the last half hour, carried by the client.
//!
//! So a like changes the very next page at any edge, with no storage there.

use alloc::string::String;
use alloc::vec::Vec;

use edgewise_ranking::{id_hash, short_hash};

use crate::api::{Event, EventType};
use crate::keys::Keys;
use crate::limits::{
    SESSION_AGE_MAX_S, SESSION_CHARS_MAX, SESSION_HIDE_AGE_MAX_S, SESSION_HIDES_MAX,
    SESSION_INTERACTIONS_MAX, SESSION_TAGS_MAX,
};
use crate::token::{Purpose, TokenError, chars_max, open, seal};

mod payload;

/// A user's last interactions and hides, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// XXH3-64 of the user's id; 0 without a user.
    pub subject: u64,
    /// At most 32 interactions and 32 hides, oldest first.
    pub entries: Vec<SessionEntry>,
}

/// One interaction (click, completed view, like, comment, share, follow, unfollow,
/// purchase) or hide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionEntry {
    /// What happened.
    pub kind: EventType,
    /// Short hash of the event's id; 0 for hides and unfollows, which are not interactions.
    pub event: u32,
    /// XXH3-64 of the item; 0 where there is none.
    pub item: u64,
    /// XXH3-64 of the author; 0 where it is not known. A hide with it hides the author.
    pub author: u64,
    /// Short hashes of the item's tags, at most 4.
    pub tags: Vec<u32>,
    /// Wall time of receipt, Unix seconds.
    pub at_s: u32,
}

impl Session {
    /// An empty session.
    #[must_use]
    pub fn new(subject: u64) -> Self {
        Self {
            subject,
            entries: Vec::new(),
        }
    }

    /// Remembers `event`. `author` and `tags` are the item's where they are known.
    ///
    /// Unlike and unfollow take back what the session holds; impressions and views that
    /// did not complete change nothing.
    pub fn apply(&mut self, event: &Event, author: Option<&str>, tags: &[&str], wall_ms: i64) {
        self.prune(wall_ms);
        let kind = event.kind;
        let item = event.item.as_deref().map_or(0, id_hash);
        let named_author = event.author.as_deref().map_or(0, id_hash);
        let hashed = |known: Option<&str>| known.map_or(named_author, id_hash);
        let author = match kind {
            EventType::Follow | EventType::Unfollow | EventType::Hide => named_author,
            _ => hashed(author),
        };
        match kind {
            EventType::Impression => return,
            EventType::View if !completed(event) => return,
            EventType::Unlike => {
                self.entries
                    .retain(|entry| entry.kind != EventType::Like || entry.item != item);
                return;
            }
            EventType::Follow | EventType::Unfollow => self.entries.retain(|entry| {
                !matches!(entry.kind, EventType::Follow | EventType::Unfollow)
                    || entry.author != author
            }),
            _ => {}
        }
        let counts = !matches!(kind, EventType::Hide | EventType::Unfollow);
        let event_hash = if counts { short_hash(&event.id) } else { 0 };
        if counts && self.entries.iter().any(|entry| entry.event == event_hash) {
            return;
        }
        let tags = if counts { tags } else { &[] };
        self.entries.push(SessionEntry {
            kind,
            event: event_hash,
            item,
            author,
            tags: tags
                .iter()
                .take(SESSION_TAGS_MAX)
                .map(|tag| short_hash(tag))
                .collect(),
            at_s: wall_s(wall_ms),
        });
        self.cap();
    }

    /// Forgets entries older than 30 minutes.
    pub fn prune(&mut self, wall_ms: i64) {
        let now_s = wall_s(wall_ms);
        self.entries.retain(|entry| {
            let age_max_s = match entry.kind {
                // As long as a bundle without it may serve.
                EventType::Hide => SESSION_HIDE_AGE_MAX_S,
                _ => SESSION_AGE_MAX_S,
            };
            now_s.saturating_sub(entry.at_s) <= age_max_s
        });
    }

    /// The signed token, at most [`SESSION_CHARS_MAX`] characters: where it would be
    /// longer, the oldest entries lose their tags, then go.
    #[must_use]
    pub fn encode(&self, keys: &Keys) -> String {
        let mut session = self.clone();
        session.cap();
        let mut payload = session.to_payload();
        while chars_max(payload.len()) > SESSION_CHARS_MAX && !session.entries.is_empty() {
            match session
                .entries
                .iter_mut()
                .find(|entry| !entry.tags.is_empty())
            {
                Some(entry) => entry.tags.clear(),
                None => drop(session.entries.remove(0)),
            }
            payload = session.to_payload();
        }
        seal(Purpose::Session, &payload, keys)
    }

    /// The session of `subject` that `token` holds, without what is older than 30 minutes.
    ///
    /// # Errors
    ///
    /// The token is not ours, was changed, or belongs to another subject.
    pub fn decode(
        token: &str,
        keys: &Keys,
        subject: u64,
        wall_ms: i64,
    ) -> Result<Self, TokenError> {
        let payload = open(Purpose::Session, token, SESSION_CHARS_MAX, keys)?;
        let mut session = Self::from_payload(&payload).ok_or(TokenError::Malformed)?;
        if session.subject != subject {
            return Err(TokenError::Subject);
        }
        session.prune(wall_ms);
        Ok(session)
    }

    /// Drops the oldest entries beyond 32 interactions and 32 hides.
    fn cap(&mut self) {
        for (hides, max) in [(true, SESSION_HIDES_MAX), (false, SESSION_INTERACTIONS_MAX)] {
            let of_kind = |entry: &SessionEntry| (entry.kind == EventType::Hide) == hides;
            let count = self.entries.iter().filter(|entry| of_kind(entry)).count();
            let mut surplus = count.saturating_sub(max);
            self.entries.retain(|entry| {
                let drop = surplus > 0 && of_kind(entry);
                surplus -= usize::from(drop);
                !drop
            });
        }
    }
}

/// Reads a token's payload without its signature: the fuzz target's way in.
pub(crate) fn from_payload(payload: &[u8]) -> Option<Session> {
    Session::from_payload(payload)
}

/// A completed view: watched at least 0.9 of a duration above zero.
fn completed(event: &Event) -> bool {
    let watch = event.watch_ms.unwrap_or(0);
    let duration = event.duration_ms.unwrap_or(0);
    duration > 0 && u64::from(watch) * 10 >= u64::from(duration) * 9
}

fn wall_s(wall_ms: i64) -> u32 {
    u32::try_from(wall_ms.max(0) / 1_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
