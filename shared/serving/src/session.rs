//! The session of a request: opened from its token, or new.

use edgewise_ranking::id_hash;
pub use edgewise_wire::api::SessionStatus;
use edgewise_wire::keys::Keys;
use edgewise_wire::session::Session;

/// Whom cursor and session are bound to: the hash of the user's id, 0 where there is no user.
#[must_use]
pub fn subject_of(user: Option<&str>) -> u64 {
    user.map_or(0, id_hash)
}

/// The session in `token`, or an empty one of the same subject: a bad session is never an
/// error, its status says what happened. One whose entries are all over 30 minutes old has
/// expired.
#[must_use]
pub fn open(
    token: Option<&str>,
    keys: &Keys,
    subject: u64,
    wall_ms: i64,
) -> (Session, SessionStatus) {
    let Some(token) = token else {
        return (Session::new(subject), SessionStatus::New);
    };
    // At time 0 nothing is too old: what was in the token shows what `prune` takes.
    let Ok(mut session) = Session::decode(token, keys, subject, 0) else {
        return (Session::new(subject), SessionStatus::Invalid);
    };
    let had_entries = !session.entries.is_empty();
    session.prune(wall_ms);
    let expired = had_entries && session.entries.is_empty();
    (
        session,
        if expired {
            SessionStatus::Expired
        } else {
            SessionStatus::Ok
        },
    )
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use edgewise_wire::api::EventType;

    use super::*;
    use crate::fixture::{NOW_MS, event, keys};

    #[test]
    fn a_sessions_status_says_what_became_of_it() {
        let mut liked = Session::new(id_hash("u1"));
        liked.apply(&event("e1", EventType::Like, "i1", ""), None, &[], NOW_MS);
        let token = liked.encode(&keys());
        let subject = subject_of(Some("u1"));
        let empty = Session::new(subject);
        let at = |token, subject, wall_ms| open(token, &keys(), subject, wall_ms);
        assert_eq!(
            at(Some(&token), subject, NOW_MS),
            (liked, SessionStatus::Ok)
        );
        assert_eq!(
            at(None, subject, NOW_MS),
            (empty.clone(), SessionStatus::New)
        );
        let late = NOW_MS + 31 * 60_000;
        assert_eq!(
            at(Some(&token), subject, late),
            (empty.clone(), SessionStatus::Expired)
        );
        assert_eq!(
            at(Some("x"), subject, NOW_MS),
            (empty, SessionStatus::Invalid)
        );
        let other = at(Some(&token), subject_of(Some("u2")), NOW_MS);
        assert_eq!(other, (Session::new(id_hash("u2")), SessionStatus::Invalid));
        assert_eq!(other.0.entries, Vec::new());
        assert_eq!(subject_of(None), 0);
    }
}
