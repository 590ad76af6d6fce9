//! The changes of a batch, in a third of the memory that they take one by one: batches are large,
//! and one is in the making while another is applied.

use std::borrow::Cow;

use edgewise_wire::api::{EventType, Item};

use super::{EventFact, Fact, Id, RowChange, RowKey, RowOp, TableId};

/// Bytes of an allocation's header, about.
pub(super) const ALLOCATION: usize = 16;

/// Changes of rows in source order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowChanges {
    entries: Vec<Entry>,
    /// The ids of packed events, one after the other.
    ids: String,
    /// What is not packed.
    whole: Vec<RowChange>,
    whole_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Entry {
    Event(PackedEvent),
    /// The next of `whole`.
    Whole,
}

/// A put event whose ids are as short as ids are.
#[derive(Clone, Copy, Debug, PartialEq)]
struct PackedEvent {
    table: TableId,
    key: PackedKey,
    kind: EventType,
    ts_ms: i64,
    value: f64,
    watch_ms: u32,
    duration_ms: u32,
    /// Which of what is optional is there.
    present: u8,
    user_len: u8,
    item_len: u8,
    author_len: u8,
}

const WATCH: u8 = 1;
const DURATION: u8 = 2;
const ITEM: u8 = 4;
const AUTHOR: u8 = 8;
const VALUE: u8 = 16;

/// A [`RowKey`] that needs no wider alignment than an i64 does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum PackedKey {
    Int(i64),
    Hash(u64, u64),
}

impl RowChanges {
    /// No changes, with room for `count`.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        Self {
            entries: Vec::with_capacity(count),
            ..Self::default()
        }
    }

    /// Appends a change.
    pub fn push(&mut self, change: RowChange) {
        let entry = match &change.op {
            RowOp::Put(Fact::Event(event)) => self.pack(&change, event),
            _ => None,
        };
        self.entries.push(entry.unwrap_or(Entry::Whole));
        if entry.is_none() {
            self.whole_bytes += change_bytes(&change);
            self.whole.push(change);
        }
    }

    fn pack(&mut self, change: &RowChange, event: &EventFact) -> Option<Entry> {
        let len = |id: Option<&Id>| u8::try_from(id.map_or(0, |id| id.len())).ok();
        let mut packed = PackedEvent {
            table: change.table,
            key: change.key.into(),
            kind: event.kind,
            ts_ms: event.ts_ms,
            value: event.value.unwrap_or(0.0),
            watch_ms: event.watch_ms.unwrap_or(0),
            duration_ms: event.duration_ms.unwrap_or(0),
            present: 0,
            user_len: len(Some(&event.user))?,
            item_len: len(event.item.as_ref())?,
            author_len: len(event.author.as_ref())?,
        };
        for (is_present, bit) in [
            (event.watch_ms.is_some(), WATCH),
            (event.duration_ms.is_some(), DURATION),
            (event.item.is_some(), ITEM),
            (event.author.is_some(), AUTHOR),
            (event.value.is_some(), VALUE),
        ] {
            packed.present |= if is_present { bit } else { 0 };
        }
        self.ids.push_str(&event.user);
        for id in [&event.item, &event.author].into_iter().flatten() {
            self.ids.push_str(id);
        }
        Some(Entry::Event(packed))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes that they hold, about.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.entries.len() * size_of::<Entry>() + self.ids.len() + self.whole_bytes
    }

    /// Each change's table, and whether it clears it, in order.
    pub(super) fn tables(&self) -> impl Iterator<Item = (TableId, bool)> {
        let mut whole = self.whole.iter();
        self.entries.iter().filter_map(move |entry| match entry {
            Entry::Event(event) => Some((event.table, false)),
            Entry::Whole => whole.next().map(|change| (change.table, change.is_clear())),
        })
    }

    /// The changes in order.
    pub fn iter(&self) -> impl Iterator<Item = Cow<'_, RowChange>> {
        let mut ids = self.ids.as_str();
        let mut whole = self.whole.iter();
        self.entries.iter().filter_map(move |entry| match entry {
            Entry::Event(event) => Some(Cow::Owned(event.change(&mut ids))),
            // There is one for each such entry.
            Entry::Whole => whole.next().map(Cow::Borrowed),
        })
    }
}

impl PackedEvent {
    /// The change; its ids are the first of `ids`.
    fn change(&self, ids: &mut &str) -> RowChange {
        let has = |bit| self.present & bit != 0;
        let mut next = |len: u8| {
            let (id, rest) = ids.split_at_checked(usize::from(len)).unwrap_or(("", ""));
            *ids = rest;
            Id::from(id)
        };
        let event = EventFact {
            kind: self.kind,
            user: next(self.user_len),
            item: has(ITEM).then(|| next(self.item_len)),
            author: has(AUTHOR).then(|| next(self.author_len)),
            ts_ms: self.ts_ms,
            watch_ms: has(WATCH).then_some(self.watch_ms),
            duration_ms: has(DURATION).then_some(self.duration_ms),
            value: has(VALUE).then_some(self.value),
        };
        RowChange {
            table: self.table,
            key: self.key.into(),
            op: RowOp::Put(Fact::Event(event)),
        }
    }
}

impl From<RowKey> for PackedKey {
    fn from(key: RowKey) -> Self {
        match key {
            RowKey::Int(key) => Self::Int(key),
            RowKey::Hash(key) => Self::Hash((key >> 64) as u64, key as u64),
        }
    }
}

impl From<PackedKey> for RowKey {
    fn from(key: PackedKey) -> Self {
        match key {
            PackedKey::Int(key) => Self::Int(key),
            PackedKey::Hash(high, low) => Self::Hash(u128::from(high) << 64 | u128::from(low)),
        }
    }
}

impl From<Vec<RowChange>> for RowChanges {
    fn from(changes: Vec<RowChange>) -> Self {
        changes.into_iter().collect()
    }
}

impl FromIterator<RowChange> for RowChanges {
    fn from_iter<I: IntoIterator<Item = RowChange>>(changes: I) -> Self {
        let changes = changes.into_iter();
        let mut packed = Self::with_capacity(changes.size_hint().0);
        changes.for_each(|change| packed.push(change));
        packed
    }
}

fn change_bytes(change: &RowChange) -> usize {
    let inside = match &change.op {
        RowOp::Put(fact) => fact_bytes(fact),
        RowOp::Patch(item, _) => item_bytes(item),
        RowOp::Remove | RowOp::Clear => 0,
    };
    size_of::<RowChange>() + inside
}

fn fact_bytes(fact: &Fact) -> usize {
    match fact {
        Fact::Item(item) => item_bytes(item),
        Fact::User { id } => id_bytes(id),
        Fact::Follow { user, author, .. } => id_bytes(user) + id_bytes(author),
        Fact::Event(event) => {
            let ids = [
                Some(&event.user),
                event.item.as_ref(),
                event.author.as_ref(),
            ];
            ids.into_iter().flatten().map(id_bytes).sum()
        }
    }
}

/// A short id lies in its struct.
fn id_bytes(id: &Id) -> usize {
    if id.is_heap_allocated() {
        id.capacity() + ALLOCATION
    } else {
        0
    }
}

pub(in crate::ingest) fn item_bytes(item: &Item) -> usize {
    let texts = [&item.id, &item.author, &item.title];
    let texts: usize = texts.iter().map(|text| text.len() + ALLOCATION).sum();
    let optional = [&item.thumbnail, &item.link];
    let optional: usize = optional.into_iter().flatten().map(String::len).sum();
    let tag = |tag: &String| tag.len() + size_of::<String>() + ALLOCATION;
    let tags: usize = item.tags.iter().map(tag).sum();
    size_of::<Item>() + texts + optional + tags
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event() -> impl Strategy<Value = RowChange> {
        let id = || "[a-zà-ï\u{1f600}]{0,80}".prop_map(Id::from);
        let key = prop_oneof![
            any::<i64>().prop_map(RowKey::Int),
            any::<u128>().prop_map(RowKey::Hash)
        ];
        let ids = (id(), prop::option::of(id()), prop::option::of(id()));
        let numbers = (
            any::<i64>(),
            any::<Option<u32>>(),
            any::<Option<u32>>(),
            prop::option::of(-1e300..1e300_f64),
        );
        let kind = prop::sample::select(EventType::ALL.to_vec());
        (any::<u32>(), key, kind, ids, numbers).prop_map(
            |(table, key, kind, (user, item, author), (ts_ms, watch_ms, duration_ms, value))| {
                RowChange {
                    table: TableId(table),
                    key,
                    op: RowOp::Put(Fact::Event(EventFact {
                        kind,
                        user,
                        item,
                        author,
                        ts_ms,
                        watch_ms,
                        duration_ms,
                        value,
                    })),
                }
            },
        )
    }

    fn other() -> impl Strategy<Value = RowChange> {
        let id = "[a-z]{1,300}".prop_map(Id::from);
        (any::<i64>(), id, 0..4_u8).prop_map(|(key, id, which)| RowChange {
            table: TableId(3),
            key: RowKey::Int(key),
            op: match which {
                0 => RowOp::Remove,
                1 => RowOp::Clear,
                2 => RowOp::Put(Fact::User { id }),
                _ => RowOp::Put(Fact::Follow {
                    user: id.clone(),
                    author: id,
                    since_ms: Some(key),
                }),
            },
        })
    }

    proptest! {
        #[test]
        fn changes_come_out_as_they_went_in(
            changes in prop::collection::vec(prop_oneof![3 => event(), 1 => other()], 0..40)
        ) {
            let packed = RowChanges::from(changes.clone());
            prop_assert_eq!(packed.len(), changes.len());
            let out: Vec<RowChange> = packed.iter().map(Cow::into_owned).collect();
            prop_assert_eq!(out, changes);
        }
    }

    #[test]
    fn an_event_takes_little_memory() {
        assert!(size_of::<Entry>() <= 72, "{}", size_of::<Entry>());
    }
}
