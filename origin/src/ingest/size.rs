//! About how many bytes a command holds, for the queue's bound.

use edgewise_wire::api::{Event, Item};

use super::Command;

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
            Self::Rows(batch) => {
                (batch.changes.len() + batch.moves.len() + batch.dead.len()) * FIXED
            }
        };
        FIXED + inside
    }
}

fn event_bytes(event: &Event) -> usize {
    let ids = [&event.item, &event.author, &event.request_id];
    let optional: usize = ids.into_iter().flatten().map(String::len).sum();
    FIXED + event.id.len() + event.user.len() + optional
}

fn item_bytes(item: &Item) -> usize {
    let pictures = [&item.thumbnail, &item.link];
    let optional: usize = pictures.into_iter().flatten().map(String::len).sum();
    let tags: usize = item.tags.iter().map(|tag| tag.len() + 24).sum();
    2 * FIXED + item.id.len() + item.author.len() + item.title.len() + optional + tags
}
