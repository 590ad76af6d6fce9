//! Where in a server's log the store stands, and whether a server can continue from there.
//!
//! `lsn` is where the last applied transaction's commit record ends, and what the server may be
//! told. A transaction that is applied in pieces adds where its commit record starts and how
//! many of its changes are applied. A resumed stream begins at `lsn`, so the server sends
//! that transaction again from its first change; what was applied is counted off.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::PgError;
use crate::replicate::apply::Position;

/// A position in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl std::str::FromStr for Lsn {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (high, low) = text.split_once('/').ok_or(())?;
        let part = |text: &str| u32::from_str_radix(text, 16).map_err(|_| ());
        Ok(Self(u64::from(part(high)?) << 32 | u64::from(part(low)?)))
    }
}

impl Serialize for Lsn {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lsn {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let wrong = |()| serde::de::Error::custom(format!("{text} is not a log position"));
        text.parse().map_err(wrong)
    }
}

/// Which slot of which server the store follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotIdentity {
    /// The cluster's system identifier.
    pub system_id: String,
    /// The timeline its log is on.
    pub timeline: u32,
    /// The slot's name.
    pub slot: String,
    /// The slot's consistent point: where it was created.
    pub created: Lsn,
}

/// How much of a transaction is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Within {
    /// Where the transaction's commit record starts.
    pub final_lsn: Lsn,
    /// Its changes that are applied, counted over all published tables.
    pub ordinal: u64,
}

/// Where the store stands: the bytes of the checkpoint `stream`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PgPosition {
    /// The slot.
    #[serde(flatten, with = "shared")]
    pub identity: Arc<SlotIdentity>,
    /// Everything whose commit record starts before this is applied.
    pub lsn: Lsn,
    /// A transaction that is applied in part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Within>,
}

impl Position for PgPosition {
    fn encode(&self) -> Vec<u8> {
        encode(self)
    }
}

impl fmt::Display for PgPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.within {
            Some(Within { final_lsn, ordinal }) => write!(f, "{final_lsn} change {ordinal}"),
            None => self.lsn.fmt(f),
        }
    }
}

/// A shared record is written as if it were owned.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(
        record: &Arc<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        record.as_ref().serialize(to)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Arc<T>, D::Error> {
        T::deserialize(from).map(Arc::new)
    }
}

/// A checkpoint's bytes.
pub(super) fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    serde_json::to_vec(record).expect("records of text and numbers serialise")
}

/// Reads a checkpoint's bytes.
pub(super) fn decode<'a, T: Deserialize<'a>>(
    checkpoint: &str,
    bytes: &'a [u8],
) -> Result<T, PgError> {
    serde_json::from_slice(bytes).map_err(|source| PgError::Checkpoint {
        checkpoint: checkpoint.to_owned(),
        source,
    })
}

/// What to do with a transaction of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// Apply all but so many of its first changes.
    After(u64),
    /// It is applied already.
    Skip,
}

/// What a server says about itself and the slot.
#[derive(Clone, Debug)]
pub struct ServerState {
    /// The cluster's system identifier.
    pub system_id: String,
    /// The timeline it writes.
    pub timeline: u32,
    /// Where its log ends.
    pub end: Lsn,
    /// The timeline's history file; asked for where the timeline is not the stored one.
    pub history: Option<Vec<u8>>,
    /// Up to where the slot was acknowledged.
    pub confirmed: Lsn,
}

impl PgPosition {
    /// Where the slot begins.
    #[must_use]
    pub fn beginning(identity: Arc<SlotIdentity>) -> Self {
        Self {
            lsn: identity.created,
            identity,
            within: None,
        }
    }

    /// What to do with the transaction whose commit record starts at `final_lsn`.
    #[must_use]
    pub fn replay(&self, final_lsn: Lsn) -> Replay {
        match self.within {
            _ if final_lsn < self.lsn => Replay::Skip,
            Some(within) if within.final_lsn == final_lsn => Replay::After(within.ordinal),
            _ => Replay::After(0),
        }
    }

    /// Up to where a server's log must reach to hold everything that is applied here.
    #[must_use]
    pub fn reach(&self) -> Lsn {
        match self.within {
            Some(within) => self.lsn.max(Lsn(within.final_lsn.0.saturating_add(1))),
            None => self.lsn,
        }
    }

    /// Whether the server can continue from here: returns the slot on the server's timeline.
    ///
    /// # Errors
    ///
    /// It is another server, its log branched off before this position or ends before it, or
    /// its slot is already past it.
    pub fn continue_on(&self, server: &ServerState) -> Result<Arc<SlotIdentity>, PgError> {
        let slot = &self.identity.slot;
        if server.system_id != self.identity.system_id {
            return Err(PgError::OtherServer {
                expected: self.identity.system_id.clone(),
                found: server.system_id.clone(),
            });
        }
        let diverged = |ended: Option<Lsn>| PgError::Diverged {
            position: self.to_string(),
            expected: self.identity.timeline,
            found: server.timeline,
            ended: ended.map(|lsn| lsn.to_string()),
        };
        if server.timeline != self.identity.timeline {
            let history = server.history.as_deref().unwrap_or_default();
            let ended = switch_point(history, self.identity.timeline);
            let ended = ended.ok_or_else(|| diverged(None))?;
            if ended < self.reach() {
                return Err(diverged(Some(ended)));
            }
        } else if server.end < self.reach() {
            return Err(diverged(Some(server.end)));
        }
        if server.confirmed > self.lsn {
            return Err(PgError::SlotAhead {
                slot: slot.clone(),
                confirmed: server.confirmed.to_string(),
                position: self.lsn.to_string(),
            });
        }
        if server.timeline == self.identity.timeline {
            return Ok(self.identity.clone());
        }
        Ok(Arc::new(SlotIdentity {
            timeline: server.timeline,
            ..(*self.identity).clone()
        }))
    }
}

/// Where `timeline` ended, according to a descendant's history file (lines of
/// `timeline <tab> position <tab> reason`).
fn switch_point(history: &[u8], timeline: u32) -> Option<Lsn> {
    let text = String::from_utf8_lossy(history);
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let parent: u32 = words.next()?.parse().ok()?;
        let ended = words.next()?.parse().ok()?;
        (parent == timeline).then_some(ended)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn position(lsn: u64, within: Option<(u64, u64)>) -> PgPosition {
        PgPosition {
            identity: Arc::new(SlotIdentity {
                system_id: "7".to_owned(),
                timeline: 1,
                slot: "edgewise_main".to_owned(),
                created: Lsn(10),
            }),
            lsn: Lsn(lsn),
            within: within.map(|(final_lsn, ordinal)| Within {
                final_lsn: Lsn(final_lsn),
                ordinal,
            }),
        }
    }

    fn server(timeline: u32, history: Option<&str>, end: u64, confirmed: u64) -> ServerState {
        ServerState {
            system_id: "7".to_owned(),
            timeline,
            end: Lsn(end),
            history: history.map(|text| text.as_bytes().to_vec()),
            confirmed: Lsn(confirmed),
        }
    }

    #[test]
    fn a_checkpoint_reads_back_and_says_what_it_is() {
        let position = position(0x1_0000_00A0, Some((0x1_0000_00B0, 7)));
        let bytes = position.encode();
        let text = String::from_utf8(bytes.clone()).unwrap();
        expect_test::expect![[r#"{"system_id":"7","timeline":1,"slot":"edgewise_main","created":"0/A","lsn":"1/A0","within":{"final_lsn":"1/B0","ordinal":7}}"#]]
            .assert_eq(&text);
        assert_eq!(decode::<PgPosition>("stream", &bytes).unwrap(), position);
        assert!(decode::<PgPosition>("stream", b"{}").is_err());
        assert!("1/100000000".parse::<Lsn>().is_err());
    }

    #[test]
    fn what_is_applied_is_not_applied_again() {
        let whole = position(100, None);
        assert_eq!(whole.replay(Lsn(99)), Replay::Skip);
        assert_eq!(whole.replay(Lsn(100)), Replay::After(0));
        let cut = position(100, Some((150, 7)));
        assert_eq!(cut.replay(Lsn(150)), Replay::After(7));
        assert_eq!(cut.replay(Lsn(151)), Replay::After(0));
        // A transaction between both was applied by an earlier life, or is empty here.
        assert_eq!(cut.replay(Lsn(120)), Replay::After(0));
    }

    #[test]
    fn another_server_or_a_slot_that_is_ahead_is_refused() {
        let at = position(100, None);
        assert!(at.continue_on(&server(1, None, 100, 100)).is_ok());
        let mut other = server(1, None, 100, 100);
        other.system_id = "8".to_owned();
        assert!(matches!(
            at.continue_on(&other),
            Err(PgError::OtherServer { .. })
        ));
        let ahead = at.continue_on(&server(1, None, 200, 101));
        assert!(matches!(ahead, Err(PgError::SlotAhead { .. })));
        let restored = at.continue_on(&server(1, None, 99, 90));
        assert!(matches!(restored, Err(PgError::Diverged { .. })));
    }

    #[test]
    fn a_promoted_replica_is_followed_if_it_has_everything_that_is_applied() {
        let at = position(0xA0, None);
        let history = "1\t0/A0\tno recovery target specified\n\n";
        let identity = at
            .continue_on(&server(2, Some(history), 0xC0, 0x90))
            .unwrap();
        assert_eq!(identity.timeline, 2);
        let lost = at.continue_on(&server(2, Some("1\t0/9F\tx\n"), 0xC0, 0x90));
        assert!(matches!(lost, Err(PgError::Diverged { .. })));
        // Half of a transaction is applied that the replica never got.
        let half = position(0xA0, Some((0xA0, 1)));
        let lost = half.continue_on(&server(2, Some(history), 0xC0, 0x90));
        assert!(matches!(lost, Err(PgError::Diverged { .. })));
        let unrelated = at.continue_on(&server(3, Some("2\t0/F0\tx\n"), 0xC0, 0x90));
        assert!(matches!(unrelated, Err(PgError::Diverged { .. })));
        let older = position(0xA0, None).continue_on(&server(0, None, 0xC0, 0x90));
        assert!(matches!(older, Err(PgError::Diverged { .. })));
    }

    proptest! {
        #[test]
        fn positions_read_back(lsn in any::<u64>(), within in prop::option::of(any::<(u64, u64)>())) {
            let position = position(lsn, within);
            let bytes = position.encode();
            prop_assert_eq!(decode::<PgPosition>("stream", &bytes).unwrap(), position);
        }

        #[test]
        fn any_history_is_read_without_a_panic(history in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = switch_point(&history, 1);
        }
    }
}
