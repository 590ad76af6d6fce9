//! `edgewise user export|delete`: everything that is stored of a user, and its removal.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use edgewise_wire::api::EventType;
use serde::Serialize;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::ingest::{Command, WriteError, Writer};
use crate::store::block::Packable;
use crate::store::item::ItemRecord;
use crate::store::log::{EventOrigin, LogEntry, LogEvent};
use crate::store::reaction::Reaction;
use crate::store::record::{Follow, Hide, RecentEvents, Record};
use crate::store::{Range, Snapshot, Store, StoreError, Table, keys, read};

/// Everything that is stored of a user. Times are Unix ms of domain time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Export {
    /// User id.
    pub user: String,
    /// Domain time of the export.
    pub exported_at: i64,
    /// Domain time of the newest event.
    pub last_event_at: i64,
    /// `{author, since, item?}`.
    pub follows: Vec<Value>,
    /// `{item|author, at}`.
    pub hides: Vec<Value>,
    /// `{item, day, last_at}`: what was seen, by UTC day since 1970.
    pub seen: Vec<Value>,
    /// `{author, day, count}`: interactions by UTC day since 1970.
    pub interactions: Vec<Value>,
    /// `{item, last_at, kinds, likes, follows}`.
    pub reactions: Vec<Value>,
    /// The log's events, in order.
    pub events: Vec<Value>,
    /// The log's served items, in order.
    pub served: Vec<Value>,
}

/// Everything that is stored of `user`; `None` where the id is unknown. Reads the whole log.
///
/// # Errors
/// Where the store fails or a record is corrupt.
pub fn export(store: &dyn Store, clock: &Clock, user: &str) -> Result<Option<Export>, StoreError> {
    let snapshot = store.read()?;
    let Some(number) = read::user_number(&*snapshot, user)? else {
        return Ok(None);
    };
    let mut reader = Reader {
        snapshot: &*snapshot,
        number,
        names: BTreeMap::new(),
    };
    let recent = read::get::<RecentEvents>(&*snapshot, Table::Recent, &keys::number(number))?;
    let (events, served) = reader.log()?;
    Ok(Some(Export {
        user: user.to_owned(),
        exported_at: clock.domain_ms(),
        last_event_at: recent.map_or(0, |recent| recent.last_event_ms),
        follows: reader.follows()?,
        hides: reader.hides()?,
        seen: reader.by_day::<i64>(Table::Seen, Name::Item, "last_at")?,
        interactions: reader.by_day::<u64>(Table::Affinity, Name::Author, "count")?,
        reactions: reader.reactions()?,
        events,
        served,
    }))
}

/// Removes the user's personal data: history, follows, hides, affinity, reactions, and the
/// tie between the id and the log's records, which keep a number that leads back to nobody.
/// Items' totals stay. Returns whether the user was known.
///
/// # Errors
/// Where the commit fails.
pub fn delete(writer: &Writer, user: &str) -> Result<bool, WriteError> {
    let outcome = writer.write(Command::DeleteUser(user.to_owned()))?;
    Ok(outcome.accepted > 0)
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Item,
    Author,
}

impl Name {
    const fn key(self) -> &'static str {
        match self {
            Self::Item => "item",
            Self::Author => "author",
        }
    }
}

/// Keys and values.
type Rows = Vec<(Vec<u8>, Vec<u8>)>;

struct Reader<'a> {
    snapshot: &'a dyn Snapshot,
    number: u64,
    names: BTreeMap<(Name, u64), String>,
}

impl Reader<'_> {
    /// The id of a hash; the hash itself where no id is stored.
    fn name(&mut self, kind: Name, hash: u64) -> Result<String, StoreError> {
        if let Some(known) = self.names.get(&(kind, hash)) {
            return Ok(known.clone());
        }
        let stored = match kind {
            Name::Item => {
                let key = keys::number(hash);
                read::get::<ItemRecord>(self.snapshot, Table::Items, &key)?.map(|item| item.id)
            }
            Name::Author => read::author_id(self.snapshot, hash)?,
        };
        let name = stored.unwrap_or_else(|| format!("xxh3:{hash:016x}"));
        self.names.insert((kind, hash), name.clone());
        Ok(name)
    }

    /// The user's rows of a table: what follows the number in the key, and the value.
    fn rows(&self, table: Table) -> Result<Rows, StoreError> {
        let mut rows = Vec::new();
        let range = Range::prefix(&keys::number(self.number));
        self.snapshot.scan(table, &range, &mut |key, value| {
            rows.push((key.get(8..).unwrap_or_default().to_vec(), value.to_vec()));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(rows)
    }

    fn follows(&mut self) -> Result<Vec<Value>, StoreError> {
        let mut follows = Vec::new();
        for (key, value) in self.rows(Table::Follows)? {
            let author = self.name(Name::Author, read::key_u64(Table::Follows, &key, 0)?)?;
            let follow = Follow::decode(Table::Follows, &value)?;
            if !follow.stands() {
                continue;
            }
            let item = follow
                .via
                .map(|item| self.name(Name::Item, item))
                .transpose()?;
            follows.push(json!({ "author": author, "since": follow.since_ms, "item": item }));
        }
        Ok(follows)
    }

    fn hides(&mut self) -> Result<Vec<Value>, StoreError> {
        let mut hides = Vec::new();
        for (key, value) in self.rows(Table::Hides)? {
            let is_item = key.first() == Some(&keys::HIDDEN_ITEM);
            let kind = if is_item { Name::Item } else { Name::Author };
            let name = self.name(kind, read::key_u64(Table::Hides, &key, 1)?)?;
            hides
                .push(json!({ kind.key(): name, "at": Hide::decode(Table::Hides, &value)?.at_ms }));
        }
        Ok(hides)
    }

    fn by_day<V: Packable + Serialize>(
        &mut self,
        table: Table,
        kind: Name,
        value_name: &'static str,
    ) -> Result<Vec<Value>, StoreError> {
        let mut rows = Vec::new();
        for (prefix, hash, value) in self.entries::<V>(table)? {
            let day = read::key_u32(table, &prefix, 8)?;
            let name = self.name(kind, hash)?;
            rows.push(json!({ kind.key(): name, "day": day, value_name: value }));
        }
        Ok(rows)
    }

    /// The user's entries of a table: prefix, hash and value.
    fn entries<V: Packable>(&self, table: Table) -> Result<Vec<(Vec<u8>, u64, V)>, StoreError> {
        let mut entries = Vec::new();
        let range = Range::prefix(&keys::number(self.number));
        read::entries(self.snapshot, table, &range, &mut |prefix, hash, value| {
            entries.push((prefix.to_vec(), hash, value));
            Ok(())
        })?;
        Ok(entries)
    }

    fn reactions(&mut self) -> Result<Vec<Value>, StoreError> {
        let mut reactions = Vec::new();
        for (_, item, reaction) in self.entries::<Reaction>(Table::Reactions)? {
            let item = self.name(Name::Item, item)?;
            let kinds: Vec<EventType> = EventType::ALL
                .into_iter()
                .filter(|&kind| reaction.kinds >> kind as u16 & 1 == 1)
                .collect();
            reactions.push(json!({
                "item": item,
                "last_at": reaction.last_ms,
                "kinds": kinds,
                "likes": reaction.likes.count(),
                "follows": reaction.follows.count(),
            }));
        }
        Ok(reactions)
    }

    fn log(&mut self) -> Result<(Vec<Value>, Vec<Value>), StoreError> {
        let (mut events, mut served) = (Vec::new(), Vec::new());
        let number = self.number;
        read::log_from(self.snapshot, 1, &mut |seq, record| {
            match record.entry {
                LogEntry::Event(event) if event.user == number => events.push((seq, event)),
                LogEntry::Rows { table, changes } => {
                    let of_user = changes
                        .iter()
                        .filter(|change| change.event.user == number && !change.is_over);
                    events.extend(of_user.map(|change| (seq, change.event.logged(table))));
                }
                LogEntry::Served(item) if item.user == Some(number) => served.push((seq, item)),
                _ => {}
            }
            ControlFlow::Continue(())
        })?;
        let events = events.iter().map(|(seq, event)| self.event(*seq, event));
        let events = events.collect::<Result<Vec<Value>, StoreError>>()?;
        let mut items = Vec::new();
        for (seq, record) in served {
            items.push(json!({
                "seq": seq,
                "request_id": record.request_id,
                "item": self.name(Name::Item, record.item)?,
                "position": record.position,
                "propensity": record.propensity,
            }));
        }
        Ok((events, items))
    }

    fn event(&mut self, seq: u64, event: &LogEvent) -> Result<Value, StoreError> {
        let item = event
            .item
            .map(|item| self.name(Name::Item, item))
            .transpose()?;
        let author = event
            .author
            .map(|author| self.name(Name::Author, author))
            .transpose()?;
        let id = match event.origin {
            EventOrigin::Id { id, .. } => format!("xxh3:{id:032x}"),
            EventOrigin::Row { file, ordinal } => format!("row:{file:016x}:{ordinal}"),
            EventOrigin::Table(table) => format!("table:{table}"),
        };
        Ok(json!({
            "seq": seq,
            "id": id,
            "type": event.kind,
            "item": item,
            "author": author,
            "ts_ms": event.ts_ms,
            "watch_ms": event.watch_ms,
            "duration_ms": event.duration_ms,
            "value": event.value,
            "request_id": event.request_id,
            "position": event.position,
        }))
    }
}

#[cfg(test)]
mod tests {
    use edgewise_ranking::id_hash;

    use super::*;
    use crate::ingest::testing::{NOW_MS, Rig, event, item};

    fn rig() -> Rig {
        let rig = Rig::new();
        rig.write(Command::UpsertItems(vec![item("i", "a")]));
        rig.events(vec![
            event("1", EventType::View, "ann", "i"),
            event("2", EventType::Like, "ann", "i"),
            event("3", EventType::Follow, "ann", "i"),
            event("4", EventType::Hide, "ann", "j"),
            event("5", EventType::Like, "bob", "i"),
        ]);
        rig
    }

    #[test]
    fn an_export_has_everything_by_name() {
        let rig = rig();
        let export = export(&*rig.store, &rig.clock, "ann").unwrap().unwrap();
        assert_eq!(
            export.follows,
            [json!({ "author": "a", "since": NOW_MS, "item": "i" })]
        );
        assert_eq!(export.hides, [json!({ "item": "j", "at": NOW_MS })]);
        assert_eq!(export.events.len(), 4);
        assert_eq!(export.events[1]["type"], "like");
        assert_eq!(export.reactions[0]["kinds"], json!(["like", "follow"]));
        let day = keys::day_of(NOW_MS);
        assert_eq!(
            export.interactions,
            [json!({ "author": "a", "day": day, "count": 2 })]
        );
        assert!(
            super::export(&*rig.store, &rig.clock, "eve")
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn a_deleted_user_leaves_totals_and_no_trace() {
        let rig = rig();
        assert!(delete(&rig.writer, "ann").unwrap());
        assert!(!delete(&rig.writer, "ann").unwrap());
        assert!(export(&*rig.store, &rig.clock, "ann").unwrap().is_none());
        let state = read::user_state(&*rig.read(), "ann", NOW_MS, keys::DAY_MS * 7).unwrap();
        assert_eq!(state, read::UserState::default());
        let item = read::item(&*rig.read(), "i").unwrap().unwrap();
        assert_eq!((item.counters.likes, item.counters.follows), (2, 1));
        rig.check();
        let stored = rig.read();
        for table in Table::ALL {
            stored
                .scan(table, &Range::all(), &mut |key, value| {
                    let hash = id_hash("ann").to_be_bytes();
                    let names = |bytes: &[u8]| bytes.windows(3).any(|part| part == b"ann");
                    assert!(!names(key) && !names(value), "{}", table.name());
                    assert!(!key.starts_with(&hash), "{}", table.name());
                    Ok(ControlFlow::Continue(()))
                })
                .unwrap();
        }
        // Who comes back starts anew; what was left behind is nobody's to take back.
        rig.events(vec![event("6", EventType::Unlike, "ann", "i")]);
        assert_eq!(
            read::item(&*rig.read(), "i")
                .unwrap()
                .unwrap()
                .counters
                .likes,
            2
        );
        rig.check();
        let changes = rig.seen.0.lock().unwrap();
        assert!(
            changes
                .iter()
                .any(|changes| changes.deleted_users == ["ann"])
        );
    }
}
