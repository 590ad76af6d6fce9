//! Table maps of the stream: how rows that follow are read, and tables that stop.

use super::catalog;
use super::event;
use super::layout;
use super::stream::Stream;
use super::tables::{Fitted, Known};
use crate::ingest::rows::Move;
use crate::replicate::supervise::SourceError;
use crate::terminal::shell_word;
use std::sync::Arc;

impl Stream<'_> {
    pub(super) async fn table_map(&mut self, body: &[u8]) -> Result<(), SourceError> {
        let id = event::table_id(body).map_err(|error| self.malformed(error))?;
        if self.tables.seen(id, body).is_some() {
            return Ok(());
        }
        let map = event::TableMap::parse(body).map_err(|error| self.malformed(error))?;
        let known = match self.tables.find(&map.schema, &map.table) {
            None => Known::Ignored,
            Some(index) => self.fit(index, &map).await?,
        };
        self.tables.remember(id, body, known);
        Ok(())
    }

    pub(super) async fn fit(
        &mut self,
        index: usize,
        map: &event::TableMap,
    ) -> Result<Known, SourceError> {
        let (name, now_ms) = (&self.context.config.name, self.context.clock.wall_ms());
        let Some(table) = self.tables.followed.get_mut(index) else {
            return Ok(Known::Ignored);
        };
        let mut fitted = Fitted::No("its columns may have changed".to_owned());
        let mut unlike = Vec::new();
        if !table.is_in_doubt() {
            fitted = table.fit(map, name, now_ms);
        }
        if let Fitted::No(_) = &fitted {
            let Some(read) = catalog::read(&mut self.catalog, &table.name).await? else {
                self.stop_table(index, "it does not exist any more").await;
                return Ok(Known::Ignored);
            };
            let before = table.known.clone();
            if !table.is_stale {
                // Statements told where the columns stand.
                table.refresh(&read);
                unlike = table.unlike(&before);
                fitted = table.fit(map, name, now_ms);
            }
            if let Fitted::No(_) = &fitted {
                table.learn(&read);
                unlike = table.unlike(&before);
                fitted = table.fit(map, name, now_ms);
            }
            if let Fitted::No(_) = &fitted
                && let Some(columns) = layout::between(map, &before, &table.known)
            {
                // The catalogue is ahead of the stream: another statement follows.
                table.known = columns;
                table.is_stale = true;
                fitted = table.fit(map, name, now_ms);
            }
        }
        match fitted {
            Fitted::No(reason) => {
                let reason = format!(
                    "{reason}; SET GLOBAL binlog_row_metadata = FULL lets columns change while \
                     the source is behind"
                );
                self.stop_table(index, &reason).await;
                Ok(Known::Ignored)
            }
            Fitted::Yes(layout, refused) => {
                for (entry, reason) in unlike.into_iter().chain(refused) {
                    self.stop_entry(index, entry, &reason).await;
                }
                self.keep_schema(index).await;
                Ok(Known::Read(index, Arc::new(layout)))
            }
        }
    }

    /// Keeps the columns as they are at this position.
    pub(super) async fn keep_schema(&mut self, index: usize) {
        let Some(table) = self.tables.followed.get_mut(index) else {
            return;
        };
        let now = table.encode();
        if table.stored.as_ref() != Some(&now) {
            let from = table.stored.replace(now.clone());
            let checkpoint = table.schema_checkpoint();
            self.applier
                .also(Move {
                    checkpoint,
                    from,
                    to: Some(now),
                })
                .await;
        }
    }

    pub(super) async fn stop_table(&mut self, index: usize, reason: &str) {
        let entries = self
            .tables
            .followed
            .get(index)
            .map_or(0, |table| table.entries.len());
        for entry in 0..entries {
            self.stop_entry(index, entry, reason).await;
        }
    }

    /// Stops one entry, loudly, and remembers it.
    pub(super) async fn stop_entry(&mut self, index: usize, entry: usize, reason: &str) {
        let table = self.tables.followed.get_mut(index);
        let Some(entry) = table.and_then(|table| table.entries.get_mut(entry)) else {
            return;
        };
        if entry.stopped.is_some() {
            return;
        }
        let reason = format!(
            "{reason}; correct the mapping where it does not fit any more, then run `edgewise \
             replicate resync --table {}`",
            shell_word(entry.plan.table())
        );
        entry.stopped = Some(reason.clone());
        let name = entry.plan.name().to_owned();
        let source = &self.context.config.name;
        tracing::error!(
            source,
            table = name,
            reason,
            "table stopped: its rows are not followed any more"
        );
        self.context.status.table_stopped(&name, &reason);
        let to = Some(reason.as_bytes().to_vec());
        let checkpoint = super::stopped_checkpoint(&name);
        self.applier
            .also(Move {
                checkpoint,
                from: None,
                to,
            })
            .await;
        // Maps that were fitted before still name it.
        self.tables.forget_maps();
    }
}
