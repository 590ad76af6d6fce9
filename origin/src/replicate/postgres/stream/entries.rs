//! The mapped tables in the life of the stream: what each is known by, and which are stopped.

use super::super::checkpoints::{copied, stopped};
use super::super::position;
use super::super::tables::Signature;
use super::{Found, Stream};
use crate::ingest::rows::TableId;
use crate::replicate::supervise::SourceContext;
use crate::terminal::shell_word;

impl Stream<'_> {
    /// Keeps what the watch knows a table by, or stops the table.
    pub(super) async fn act_on(&mut self, found: Found) {
        let (Found::Known { entry: name, .. } | Found::Emptied { entry: name, .. }) = &found;
        let mut entries = self.entries.iter();
        let place = entries.position(|entry| entry.stopped.is_none() && entry.name() == name);
        let Some(index) = place else {
            return;
        };
        match found {
            Found::Emptied { reason, .. } => self.stop_entry(index, &reason).await,
            Found::Known { signature, .. } => self.know(index, signature).await,
        }
    }

    /// Stores what an entry's table is known by.
    async fn know(&mut self, index: usize, signature: Signature) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        let bytes = position::encode(&signature);
        let moved = self.checkpoints.change(&copied(entry.name()), Some(bytes));
        entry.signature = Some(signature);
        self.applier.also(moved).await;
    }

    /// Where partitions were emptied with their table, that is no reason to stop it.
    pub(super) async fn note_truncated(&mut self, table: TableId) {
        let place = self.entries.iter().position(|entry| entry.id == table);
        let entry = place.and_then(|index| Some((index, self.entries.get(index)?)));
        let Some((index, entry)) = entry else {
            return;
        };
        let Some(mut signature) = entry.signature.clone() else {
            return;
        };
        if signature.truncated() {
            self.progress.truncated(entry.name());
            self.know(index, signature).await;
        }
    }

    /// A table cannot be followed any more; the others can.
    pub(super) async fn stop_entry(&mut self, index: usize, reason: &str) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        let name = entry.name().to_owned();
        entry.stopped = Some(reason.to_owned());
        self.relations.forget(entry.id);
        let moved = self
            .checkpoints
            .change(&stopped(&name), Some(reason.as_bytes().to_vec()));
        self.applier.also(moved).await;
        say_stopped(self.context, &name, reason);
    }
}

/// Says loudly that a table is not followed any more.
pub fn say_stopped(context: &SourceContext, entry: &str, reason: &str) {
    context.status.table_stopped(entry, reason);
    // An entry's name has a `>`, which means something to a shell.
    let table = shell_word(entry.split("->").next().unwrap_or(entry));
    tracing::error!(
        source = %context.config.name, table = entry, reason,
        "the table is not followed any more; correct the mapping or the table, then run \
         `edgewise replicate resync --table {table} --yes`; the other tables go on"
    );
}
