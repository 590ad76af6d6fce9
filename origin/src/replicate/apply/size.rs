//! About how many bytes a change holds, for the bounds of a batch.

use edgewise_wire::api::Item;

use crate::ingest::rows::{DeadLetter, EventFact, Fact, Id, RowChange, RowOp};

/// Bytes of an allocation's header, about.
const ALLOCATION: usize = 16;

pub(super) fn change_bytes(change: &RowChange) -> usize {
    let inside = match &change.op {
        RowOp::Put(fact) => fact_bytes(fact),
        RowOp::Patch(item, _) => item_bytes(item),
        RowOp::Remove | RowOp::Clear => 0,
    };
    size_of::<RowChange>() + inside
}

pub(super) fn dead_bytes(dead: &DeadLetter) -> usize {
    let texts = [
        &dead.source,
        &dead.table,
        &dead.key,
        &dead.reason,
        &dead.position,
        &dead.columns,
    ];
    let inside: usize = texts.iter().map(|text| text.len() + ALLOCATION).sum();
    size_of::<DeadLetter>() + inside
}

fn fact_bytes(fact: &Fact) -> usize {
    match fact {
        Fact::Item(item) => item_bytes(item),
        Fact::User { id } => id_bytes(id),
        Fact::Follow { user, author, .. } => id_bytes(user) + id_bytes(author),
        Fact::Event(event) => event_bytes(event),
    }
}

fn event_bytes(event: &EventFact) -> usize {
    let optional = [&event.item, &event.author];
    let optional: usize = optional.into_iter().flatten().map(id_bytes).sum();
    id_bytes(&event.user) + optional
}

/// A short id lies in its struct.
fn id_bytes(id: &Id) -> usize {
    if id.is_heap_allocated() {
        id.capacity() + ALLOCATION
    } else {
        0
    }
}

fn item_bytes(item: &Item) -> usize {
    let texts = [&item.id, &item.author, &item.title];
    let texts: usize = texts.iter().map(|text| text.len() + ALLOCATION).sum();
    let optional = [&item.thumbnail, &item.link];
    let optional: usize = optional.into_iter().flatten().map(String::len).sum();
    let tag = |tag: &String| tag.len() + size_of::<String>() + ALLOCATION;
    let tags: usize = item.tags.iter().map(tag).sum();
    size_of::<Item>() + texts + optional + tags
}
