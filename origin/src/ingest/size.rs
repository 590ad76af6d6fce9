//! About how many bytes a command holds, for the queue's bound.

use edgewise_wire::api::Event;

use super::Command;
use super::rows::{DeadLetter, RowBatch, item_bytes};

/// Bytes of a struct and its allocations' headers, about.
const FIXED: usize = 192;

impl Command {
    pub(super) fn size_bytes(&self) -> usize {
        let inside = match self {
            Self::Events { events, .. } => events.iter().map(event_bytes).sum(),
            Self::Import { rows, .. } => rows
                .iter()
                .flat_map(|row| &row.events)
                .map(event_bytes)
                .sum(),
            Self::UpsertItems(items) => items.iter().map(item_bytes).sum(),
            Self::DeleteItem(id) | Self::DeleteUser(id) => id.len(),
            Self::Follows { pairs, .. } => pairs
                .iter()
                .map(|(user, author)| FIXED + user.len() + author.len())
                .sum(),
            Self::Served(served) => served.len() * 2 * FIXED,
            Self::Rows(batch) => rows_bytes(batch),
            Self::Source(_) => FIXED,
            Self::DropDeadLetters(letters) => letters.len() * 8,
            Self::Purge(record) => {
                let names = record.tags.iter().chain(&record.keys);
                names.map(|name| FIXED + name.len()).sum()
            }
        };
        FIXED + inside
    }
}

fn rows_bytes(batch: &RowBatch) -> usize {
    let moves = batch.moves.iter().map(|step| {
        let values = [&step.from, &step.to].into_iter().flatten();
        FIXED + values.map(Vec::len).sum::<usize>()
    });
    let dead = batch.dead.iter().map(DeadLetter::size_bytes);
    batch.changes.size_bytes() + moves.sum::<usize>() + dead.sum::<usize>()
}

fn event_bytes(event: &Event) -> usize {
    let ids = [&event.item, &event.author, &event.request_id];
    let optional: usize = ids.into_iter().flatten().map(String::len).sum();
    FIXED + event.id.len() + event.user.len() + optional
}
