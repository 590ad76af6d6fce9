//! What goes on beside the stream: heartbeats, the watch on the slot, gauges.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::catalog::{self, PublishedTable, Slot, Table};
use super::client::Server;
use super::error::PgError;
use super::identity::altered;
use super::pool::Pool;
use super::position::Lsn;
use super::stream::{Found, Progress};
use super::tables::{Entry, Quality, Signature};
use crate::replicate::supervise::SourceContext;

/// How often the slot is looked at.
pub const SLOT_EVERY: Duration = Duration::from_secs(5);
/// A question to the server takes no longer.
const ASK_MAX: Duration = Duration::from_secs(10);
/// The same warning is not said more often.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// Less room than this until the server gives the slot up is said.
const SAFE_WAL_BYTES_MIN: i64 = 256 << 20;
/// A slot that keeps more than this is said.
const RETAINED_BYTES_MAX: i64 = 4 << 30;
/// The log's end is believed over the stream's word from this difference on: between heartbeats
/// a server writes a little that is nobody's change.
const LAG_BYTES_NOTED: u64 = 1 << 20;

/// A table that is followed.
pub struct Followed {
    /// The mapping entry.
    entry: String,
    /// `schema.name`.
    table: String,
    /// What it is known by.
    signature: Signature,
    /// A partition was found empty when the server's log ended here.
    emptied_at: Option<Lsn>,
}

impl Followed {
    /// The table of an entry that is copied.
    #[must_use]
    pub fn of(entry: &Entry) -> Option<Self> {
        Some(Self {
            entry: entry.name().to_owned(),
            table: entry.table.clone(),
            signature: entry.signature.clone()?,
            emptied_at: None,
        })
    }
}

/// Runs beside a stream until it is dropped.
pub struct Watch {
    /// The source.
    pub context: SourceContext,
    /// The server.
    pub server: Arc<Server>,
    /// Its sessions.
    pub pool: Pool,
    /// How far the stream is.
    pub progress: Arc<Progress>,
    /// Measures to publish.
    pub qualities: Vec<Quality>,
    /// The tables that are followed.
    pub tables: Vec<Followed>,
    /// Whether the server takes no heartbeat, because it is a replica.
    pub is_replica: bool,
}

impl Watch {
    /// Beats and watches; errors are logged and tried again.
    pub async fn run(mut self) {
        let mut tables = std::mem::take(&mut self.tables);
        let heartbeat = Duration::from_millis(self.context.config.heartbeat_ms.max(100));
        let mut beats = interval(heartbeat);
        let mut looks = interval(SLOT_EVERY);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut warned = Warned::default();
        loop {
            tokio::select! {
                _ = beats.tick() => {
                    if !self.is_replica {
                        self.bounded("heartbeat", self.beat(), &mut warned).await;
                    }
                }
                _ = looks.tick() => {
                    if let Some(slot) = self.bounded("slot", self.look(), &mut warned).await.flatten() {
                        self.report(&slot, &mut warned);
                    }
                    if self.bounded("tables", self.is_altered(&mut tables), &mut warned).await == Some(true) {
                        self.progress.is_altered.store(true, Ordering::Relaxed);
                    }
                    self.publish();
                }
            }
        }
    }

    async fn bounded<T>(
        &self,
        what: &'static str,
        asking: impl Future<Output = Result<T, PgError>>,
        warned: &mut Warned,
    ) -> Option<T> {
        let answer = tokio::time::timeout(ASK_MAX, asking).await;
        let error = match answer {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => super::error::chain(&error),
            Err(_) => format!("no answer within {} s", ASK_MAX.as_secs()),
        };
        if warned.is_due(what) {
            let source = &self.context.config.name;
            tracing::warn!(%source, what, error, "a question to the server failed; it is tried again");
        }
        None
    }

    /// Writes a message into the log: it shows that the stream flows, and lets the slot of a quiet
    /// database move.
    async fn beat(&self) -> Result<(), PgError> {
        let session = self.pool.session().await?;
        let sql = "SELECT pg_logical_emit_message(false, 'edgewise', '')";
        let beaten = session.simple_query(sql).await;
        beaten.map(drop).map_err(|error| self.server.error(&error))
    }

    async fn look(&self) -> Result<Option<Slot>, PgError> {
        let session = self.pool.session().await?;
        catalog::slot(&self.server, &session).await
    }

    /// Whether a followed table is not what was copied any more: its changes would go by in
    /// silence, or be taken for another's.
    async fn is_altered(&self, followed: &mut [Followed]) -> Result<bool, PgError> {
        let truncated = self.progress.take_truncated();
        let session = self.pool.session().await?;
        let publication = catalog::publication(&self.server, &session).await?;
        let names: Vec<&str> = followed.iter().map(|one| one.table.as_str()).collect();
        let tables = catalog::unsized_tables(&self.server, &session, &names).await?;
        let end = catalog::slot(&self.server, &session)
            .await?
            .map(|slot| slot.end);
        let mut is_any = false;
        for one in followed {
            let published = publication.as_ref().and_then(|p| p.tables.get(&one.table));
            let table = tables.get(&one.table);
            let publication = &self.server.publication;
            is_any |= altered(&one.table, publication, &one.signature, table, published).is_some();
            if let (Some(table), false) = (table, is_any) {
                let is_truncated = truncated.contains(&one.entry);
                self.compare(one, table, published, is_truncated, end);
            }
        }
        Ok(is_any)
    }

    /// Keeps what is harmless, and finds partitions that were emptied by themselves: those are
    /// still empty when the stream has come to where that was seen, and said nothing of it.
    fn compare(
        &self,
        one: &mut Followed,
        table: &Table,
        published: Option<&PublishedTable>,
        is_truncated: bool,
        end: Option<Lsn>,
    ) {
        let emptied = one.signature.emptied(&one.table, table);
        if let Some(reason) = emptied.filter(|_| !is_truncated) {
            let durable = Lsn(self.progress.durable.load(Ordering::Relaxed));
            match one.emptied_at {
                Some(at) if durable >= at => self.progress.found(Found::Emptied {
                    entry: one.entry.clone(),
                    reason,
                }),
                Some(_) => {}
                None => one.emptied_at = end,
            }
            return;
        }
        one.emptied_at = None;
        if one.signature.note(table, published) {
            self.progress.found(Found::Known {
                entry: one.entry.clone(),
                signature: one.signature.clone(),
            });
        }
    }

    fn report(&self, slot: &Slot, warned: &mut Warned) {
        let metrics = &self.context.metrics;
        let retained = slot.retained_bytes.unwrap_or_default();
        metrics.slot(
            u64::try_from(retained).unwrap_or_default(),
            slot.safe_wal_bytes,
            &slot.wal_status,
        );
        let durable = self.progress.durable.load(Ordering::Relaxed);
        metrics.acknowledged_lag_bytes(durable.saturating_sub(slot.confirmed.0));
        let behind = slot.end.0.saturating_sub(durable);
        if behind >= LAG_BYTES_NOTED {
            self.progress.reaches(slot.end);
        }
        if behind >= LAG_BYTES_NOTED || metrics.oldest_unapplied_ms().is_some() {
            super::stream::say_lag(&self.context, &self.progress);
        }
        let Some(warning) = warning(slot) else {
            return;
        };
        if warned.is_due(warning) {
            tracing::warn!(
                source = %self.context.config.name, slot = %self.server.slot,
                wal_status = %slot.wal_status, retained_bytes = retained,
                safe_wal_bytes = slot.safe_wal_bytes, lag_bytes = behind,
                "{warning}"
            );
        }
    }

    fn publish(&self) {
        let state = self.pool.state();
        self.context
            .metrics
            .pool(state.size as usize, state.in_use as usize, state.waiting);
        let now_ms = self.context.clock.wall_ms();
        for quality in &self.qualities {
            super::tables::publish(quality, now_ms);
        }
    }
}

/// What an operator should know about the slot.
fn warning(slot: &Slot) -> Option<&'static str> {
    if slot.is_lost() {
        return Some("the server gave the slot up: run `edgewise replicate resync`");
    }
    if slot.wal_status == "unreserved" {
        return Some(
            "the server gives the slot up at its next checkpoint unless it catches up: raise \
             max_slot_wal_keep_size now (ALTER SYSTEM SET …; SELECT pg_reload_conf();)",
        );
    }
    if slot
        .safe_wal_bytes
        .is_some_and(|bytes| bytes < SAFE_WAL_BYTES_MIN)
    {
        return Some(
            "little room is left until the server gives the slot up: raise \
             max_slot_wal_keep_size, or see why following is slow",
        );
    }
    if slot
        .retained_bytes
        .is_some_and(|bytes| bytes > RETAINED_BYTES_MAX)
    {
        return Some(
            "the slot keeps much WAL on the server: see its disk, long transactions \
             (pg_stat_activity.xact_start) and why following is slow",
        );
    }
    None
}

/// When which warning was said.
#[derive(Default)]
struct Warned(Vec<(&'static str, Instant)>);

impl Warned {
    fn is_due(&mut self, warning: &'static str) -> bool {
        let now = Instant::now();
        match self.0.iter_mut().find(|(said, _)| *said == warning) {
            Some((_, at)) if now.duration_since(*at) < WARN_EVERY => false,
            Some((_, at)) => {
                *at = now;
                true
            }
            None => {
                self.0.push((warning, now));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_say_the_worst_first_and_not_all_the_time() {
        let slot = |wal_status: &str, safe: Option<i64>, retained| Slot {
            wal_status: wal_status.to_owned(),
            safe_wal_bytes: safe,
            retained_bytes: Some(retained),
            ..Slot::default()
        };
        assert_eq!(warning(&slot("reserved", None, 0)), None);
        assert!(warning(&slot("lost", Some(0), 0)).is_some_and(|w| w.contains("resync")));
        assert!(
            warning(&slot("unreserved", Some(-1), 0))
                .is_some_and(|w| w.contains("next checkpoint"))
        );
        assert!(warning(&slot("reserved", Some(1), 0)).is_some_and(|w| w.contains("little room")));
        assert!(warning(&slot("extended", None, i64::MAX)).is_some_and(|w| w.contains("much WAL")));
        let mut warned = Warned::default();
        assert!(warned.is_due("a") && warned.is_due("b") && !warned.is_due("a"));
    }
}
