//! Files of the binlog: which one is read, and up to where.

use super::error::MysqlError;
use super::event;
use super::position::File;
use super::stream::Stream;
use super::xa::Place;
use crate::replicate::supervise::SourceError;
use std::sync::Arc;

impl Stream<'_> {
    /// The header has 32 bits of the position; a file that one transaction made larger goes on.
    pub(super) fn extend(&self, low: u32) -> u64 {
        if let Some(end) = self.payload_end {
            return end;
        }
        let whole = self.offset & !u64::from(u32::MAX) | u64::from(low);
        // With GTIDs an event may lie a little before where the server stood.
        if low == 0 || whole >= self.offset || self.offset - whole < 1 << 31 {
            whole
        } else {
            whole + (1 << 32)
        }
    }

    /// What the first copies have is behind the stream: the position need not know of it.
    pub(super) fn pass_copies(&mut self) {
        let here = Place {
            file: self.file.name.clone(),
            offset: self.offset,
        };
        if self.undecided.is_past_copies(&here) {
            Arc::make_mut(&mut self.undecided).pass_copies();
        }
    }

    /// The binlog goes on in another file, or the server says which it begins with.
    pub(super) fn rotate(&mut self, body: &[u8]) -> Result<(), MysqlError> {
        // The client takes a checksum off only once it has seen the head of a file.
        let checksum = if self.has_checksums && !self.has_head {
            4
        } else {
            0
        };
        let body = body
            .get(..body.len().saturating_sub(checksum))
            .unwrap_or_default();
        let (name, position) = event::rotate(body).map_err(|error| self.malformed(error))?;
        if name != self.file.name {
            let identity = self.file.identity.clone();
            self.file = Arc::new(File {
                identity,
                name,
                created: 0,
            });
            self.offset = position;
            self.transaction = None;
        }
        Ok(())
    }

    /// The head of a file tells when the server began it.
    pub(super) async fn file_begins(&mut self, created: u32) -> Result<(), SourceError> {
        self.has_head = true;
        if self.file.created == 0 {
            self.file = Arc::new(File {
                created,
                ..File::clone(&self.file)
            });
            if self.transaction.is_none() && self.skip.is_none() {
                // An older file may be purged while nothing is committed in this one.
                self.applier.advance(self.position(), None).await?;
            }
        } else if self.file.created != created && created != 0 && self.gtids.is_none() {
            return Err(MysqlError::Lost {
                position: self.position().to_string(),
                reason: format!(
                    "the server's {} was begun at another time: it is another server, or its \
                     binlog was reset",
                    self.file.name
                ),
            }
            .into());
        }
        Ok(())
    }
}
