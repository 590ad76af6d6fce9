//! Commands on follows, and the authors that they name.

use edgewise_ranking::id_hash;

use super::{AUTHOR_COLLIDES, Batch, USER_COLLIDES, rejected};
use crate::ingest::{FollowChange, Outcome};
use crate::store::log::LogEntry;
use crate::store::record::Follow;
use crate::store::{StoreError, keys};

impl Batch<'_> {
    pub(super) fn follow_pairs(
        &mut self,
        add: bool,
        pairs: &[(String, String)],
    ) -> Result<Outcome, StoreError> {
        let mut outcome = Outcome::default();
        for (index, (user, author)) in pairs.iter().enumerate() {
            let hash = id_hash(author);
            let refused = if !self.user_fits(user)? {
                Some(USER_COLLIDES)
            } else if !self.author_fits(hash, author)? {
                Some(AUTHOR_COLLIDES)
            } else {
                None
            };
            if let Some(reason) = refused {
                outcome.rejected.push(rejected(index, reason));
                continue;
            }
            outcome.accepted += 1;
            if add {
                self.add_follow(user, author)?
            } else {
                self.remove_follow(user, hash)?
            }
        }
        Ok(outcome)
    }

    fn add_follow(&mut self, user: &str, author: &str) -> Result<(), StoreError> {
        let number = self.register_user(user)?;
        let hash = id_hash(author);
        self.register_author(hash, author)?;
        let since_ms = self.at.domain_ms;
        let follow = self
            .tables
            .follows
            .entry(&*self.stored, keys::pair(number, hash))?;
        if follow.called {
            return Ok(());
        }
        let is_new = !follow.stands();
        follow.called = true;
        if is_new {
            (follow.since_ms, follow.via) = (since_ms, None);
            self.follows.push(FollowChange {
                user: user.to_owned(),
                author: hash,
                follows: true,
            });
        }
        self.append(LogEntry::AddFollow {
            user: number,
            author: hash,
        })?;
        Ok(())
    }

    fn remove_follow(&mut self, user: &str, author: u64) -> Result<(), StoreError> {
        let Some(number) = self.user_number(user)? else {
            return Ok(());
        };
        if self.uncall_follow(number, user, author)?.is_some() {
            self.append(LogEntry::RemoveFollow {
                user: number,
                author,
            })?;
        }
        Ok(())
    }

    /// Takes back what calls and events say of a follow; rows may still say it. Returns what
    /// it was, where they said anything.
    pub(in crate::ingest) fn uncall_follow(
        &mut self,
        number: u64,
        user: &str,
        author: u64,
    ) -> Result<Option<Follow>, StoreError> {
        let key = keys::pair(number, author);
        let known = self.tables.follows.get(&*self.stored, key)?;
        let Some(before) = known.copied().filter(|follow| follow.called) else {
            return Ok(None);
        };
        let after = Follow {
            called: false,
            ..before
        };
        if after.is_empty() {
            self.tables.follows.remove(&*self.stored, key)?;
        } else {
            self.tables.follows.put(key, after);
        }
        if !after.stands() {
            self.follows.push(FollowChange {
                user: user.to_owned(),
                author,
                follows: false,
            });
        }
        Ok(Some(before))
    }

    pub(in crate::ingest) fn author_fits(
        &mut self,
        hash: u64,
        id: &str,
    ) -> Result<bool, StoreError> {
        let known = self.tables.authors.get(&*self.stored, keys::number(hash))?;
        Ok(known.is_none_or(|known| known == id))
    }

    pub(in crate::ingest) fn register_author(
        &mut self,
        hash: u64,
        id: &str,
    ) -> Result<(), StoreError> {
        let key = keys::number(hash);
        if self.tables.authors.get(&*self.stored, key)?.is_none() {
            self.tables.authors.put(key, id.to_owned());
        }
        Ok(())
    }
}
