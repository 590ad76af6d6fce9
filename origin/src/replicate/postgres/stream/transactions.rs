//! Where the transactions of the stream begin and end, and the silence between them.

use std::sync::atomic::Ordering;

use pgwire_replication::ReplicationEvent;
use tokio::time::Instant;

use super::super::error::PgError;
use super::super::position::{Lsn, Replay};
use super::{IDLE_EVERY, Stream, Transaction};

/// PostgreSQL's epoch, 2000-01-01, in Unix ms.
const EPOCH_MS: i64 = 946_684_800_000;

impl Stream<'_> {
    pub(super) async fn handle(&mut self, event: ReplicationEvent) -> Result<(), PgError> {
        match event {
            ReplicationEvent::XLogData { data, wal_end, .. } => {
                self.progress.reaches(Lsn(wal_end.as_u64()));
                self.message(&data).await
            }
            ReplicationEvent::Begin {
                final_lsn,
                commit_time_micros,
                ..
            } => {
                if self.transaction.is_some() {
                    return Err(PgError::Protocol(
                        "a transaction begins within another".into(),
                    ));
                }
                let final_lsn = Lsn(final_lsn.as_u64());
                // Changes come with their own places in the log, which are before those of
                // commits that are long durable: the server's log goes to the commit at least.
                self.progress.reaches(final_lsn);
                self.transaction = Some(Transaction {
                    final_lsn,
                    committed_ms: unix_ms(commit_time_micros),
                    ordinal: 0,
                    replay: self.resumed.replay(final_lsn),
                    text: final_lsn.to_string(),
                });
                Ok(())
            }
            ReplicationEvent::Commit { end_lsn, .. } => self.commit(Lsn(end_lsn.as_u64())).await,
            ReplicationEvent::KeepAlive {
                wal_end,
                server_time_micros,
                ..
            } => {
                self.keepalive(Lsn(wal_end.as_u64()), Some(unix_ms(server_time_micros)))
                    .await
            }
            ReplicationEvent::Message {
                transactional: false,
                lsn,
                ..
            } => self.keepalive(Lsn(lsn.as_u64()), None).await,
            ReplicationEvent::Message { .. } | ReplicationEvent::StoppedAt { .. } => Ok(()),
        }
    }

    async fn commit(&mut self, end: Lsn) -> Result<(), PgError> {
        let Some(transaction) = self.transaction.take() else {
            return Err(PgError::Protocol(
                "a transaction ends that never began".into(),
            ));
        };
        if transaction.replay == Replay::Skip {
            return Ok(());
        }
        if end < self.position.lsn {
            return Err(PgError::Protocol(format!(
                "a transaction ends at {end}, before {}",
                self.position.lsn
            )));
        }
        self.position.lsn = end;
        self.position.within = None;
        self.changed = end;
        self.idle = None;
        let at = Some(transaction.committed_ms);
        Ok(self.applier.advance(self.position.clone(), at).await?)
    }

    /// Everything that the server committed before `end` was sent.
    async fn keepalive(&mut self, end: Lsn, now_ms: Option<i64>) -> Result<(), PgError> {
        self.progress.reaches(end);
        if self.transaction.is_some() {
            return Ok(());
        }
        if self.progress.is_altered.load(Ordering::Relaxed) {
            let reason = "a table is not what was copied; connecting again to see which";
            return Err(PgError::Lost(reason.to_owned()));
        }
        for found in self.progress.take_found().into_values() {
            self.act_on(found).await;
        }
        let durable = Lsn(self.progress.durable.load(Ordering::Relaxed));
        if let Some(now_ms) = now_ms.filter(|_| durable >= self.changed) {
            self.context.metrics.applied_up_to(now_ms);
        }
        if end > self.position.lsn {
            self.idle = Some(end);
            if self.idle_at.elapsed() >= IDLE_EVERY {
                return self.store_idle().await;
            }
        }
        Ok(())
    }

    /// Stores the position of an idle server, so that its slot does not keep what nobody needs.
    pub(super) async fn store_idle(&mut self) -> Result<(), PgError> {
        self.idle_at = Instant::now();
        if let Some(end) = self.idle.take()
            && self.transaction.is_none()
        {
            self.position.lsn = end;
            self.position.within = None;
            self.applier.advance(self.position.clone(), None).await?;
        }
        Ok(())
    }
}

fn unix_ms(micros: i64) -> i64 {
    (micros / 1_000).saturating_add(EPOCH_MS)
}
