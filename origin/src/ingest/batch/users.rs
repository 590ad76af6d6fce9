//! Users: their numbers, and the removal of everything about one.

use std::ops::ControlFlow;

use edgewise_ranking::id_hash;

use super::Batch;
use crate::ingest::tables::Tables;
use crate::ingest::{FollowChange, Outcome};
use crate::store::log::LogEntry;
use crate::store::record::UserRecord;
use crate::store::{Range, StoreError, keys, read};

impl Batch<'_> {
    /// Removes a user's personal data.
    pub(in crate::ingest) fn delete_user(&mut self, id: &str) -> Result<Outcome, StoreError> {
        let Some(number) = self.user_number(id)? else {
            return Ok(Outcome::default());
        };
        self.tables
            .users
            .remove(&*self.stored, keys::number(id_hash(id)))?;
        self.tables
            .user_ids
            .remove(&*self.stored, keys::number(number))?;
        self.append(LogEntry::DeleteUser(number))?;
        self.tables.flush(self.stored)?;
        self.tables.forget_users();
        let prefix = keys::number(number);
        for author in read::follows_of(&*self.stored, number)? {
            self.follows.push(FollowChange {
                user: id.to_owned(),
                author,
                follows: false,
            });
        }
        for table in Tables::OF_ONE_USER {
            let mut rows = Vec::new();
            self.stored
                .scan(table, &Range::prefix(&prefix), &mut |key, _| {
                    rows.push(key.to_vec());
                    Ok(ControlFlow::Continue(()))
                })?;
            for key in rows {
                self.stored.delete(table, &key)?;
            }
        }
        self.users.remove(&number);
        self.hides.retain(|(user, _)| user != id);
        self.deleted_users.push(id.to_owned());
        Ok(Outcome {
            accepted: 1,
            ..Outcome::default()
        })
    }

    pub(in crate::ingest) fn user_fits(&mut self, id: &str) -> Result<bool, StoreError> {
        let known = self
            .tables
            .users
            .get(&*self.stored, keys::number(id_hash(id)))?;
        Ok(known.is_none_or(|record| record.id == id))
    }

    /// The number of a user id.
    pub(in crate::ingest) fn user_number(&mut self, id: &str) -> Result<Option<u64>, StoreError> {
        let known = self
            .tables
            .users
            .get(&*self.stored, keys::number(id_hash(id)))?;
        Ok(known
            .filter(|record| record.id == id)
            .map(|record| record.number))
    }

    /// The user's number; a new one where the id is new.
    pub(in crate::ingest) fn register_user(&mut self, id: &str) -> Result<u64, StoreError> {
        match self.user_number(id)? {
            Some(number) => Ok(number),
            None => Ok(self.new_user(id)),
        }
    }

    /// Gives a user id that has none a number.
    pub(in crate::ingest) fn new_user(&mut self, id: &str) -> u64 {
        let number = self.next_user;
        self.next_user += 1;
        let record = UserRecord {
            number,
            id: id.to_owned(),
            rows: 0,
        };
        self.tables.users.put(keys::number(id_hash(id)), record);
        self.tables
            .user_ids
            .put(keys::number(number), id.to_owned());
        number
    }
}
