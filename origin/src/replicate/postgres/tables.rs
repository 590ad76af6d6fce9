//! The mapped tables as the stream and the first copy meet them: bound to columns, or stopped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;

use super::catalog::{self, File, PublishedTable, Table};
use super::decode::{Datum, Old, Relation, Tuple};
use super::error::PgError;
use super::identity::{self, Identity};
use crate::ingest::rows::{DeadLetter, RowChange, RowKey, RowOp, TableId};
use crate::replicate::config::Target;
use crate::replicate::contract::TableQuality;
use crate::replicate::mapping::{BoundTable, Column, TablePlan, deliver};
use crate::replicate::value::Value;

/// Types from outside the built-in ones whose names are remembered.
const TYPES_MAX: usize = 4_096;
/// A column of the stream that no field reads.
const UNREAD: u16 = u16::MAX;

/// What a table was when it was copied: the bytes of the checkpoint `copied/<entry>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The key's columns.
    pub key: Vec<String>,
    /// The mapped columns and their types.
    pub columns: Vec<(String, String)>,
    /// What the catalogue knew it by; none where an older version copied it.
    #[serde(default)]
    pub identity: Option<Identity>,
}

impl Signature {
    /// The files that its rows were in.
    #[must_use]
    pub fn files(&self) -> &[File] {
        let identity = self.identity.as_ref();
        identity.map_or(&[], |identity| &identity.files)
    }

    /// Why a partitioned table cannot be followed any more, unless the stream says that it was
    /// emptied.
    #[must_use]
    pub fn emptied(&self, name: &str, table: &Table) -> Option<String> {
        let identity = self.identity.as_ref();
        identity.and_then(|identity| identity::emptied(name, identity, table))
    }

    /// The stream emptied the table: where its partitions' rows were means nothing any more.
    /// Whether it has any.
    pub fn truncated(&mut self) -> bool {
        let Some(identity) = &mut self.identity else {
            return false;
        };
        let has_partitions = identity.files.iter().any(|file| file.oid != identity.oid);
        if has_partitions {
            identity.files.clear();
        }
        has_partitions
    }

    /// Takes over how the catalogue knows the table now; whether that was news.
    pub fn note(&mut self, table: &Table, published: Option<&PublishedTable>) -> bool {
        let mut now = self.clone();
        for (name, type_name) in &mut now.columns {
            if let Some(column) = table.columns.iter().find(|column| &column.name == name)
                && is_same(type_name, &column.type_name)
            {
                type_name.clone_from(&column.type_name);
            }
        }
        now.identity = Some(Identity::of(table, published, &now.columns));
        let is_news = now != *self;
        *self = now;
        is_news
    }
}

/// A mapping entry.
pub struct Entry {
    /// Its id in the store.
    pub id: TableId,
    /// What it maps.
    pub plan: TablePlan,
    /// `schema.name` of its table.
    pub table: String,
    /// What the table was when it was copied; none before the first copy.
    pub signature: Option<Signature>,
    /// Why it is not followed.
    pub stopped: Option<String>,
    /// What is measured of it, once it was bound.
    quality: Arc<Mutex<Option<TableQuality>>>,
}

/// Measures of an entry, shared by the tasks that copy it.
pub type Quality = Arc<Mutex<Option<TableQuality>>>;

/// The entry's measures; `bound` makes them where there are none yet.
pub fn measured<'a>(
    quality: &'a Quality,
    source: &str,
    bound: &BoundTable,
    now_ms: i64,
) -> Measures<'a> {
    // A panic while the lock is held leaves at worst one row half measured.
    let mut guard = quality.lock().unwrap_or_else(PoisonError::into_inner);
    guard.get_or_insert_with(|| TableQuality::new(source, bound, now_ms));
    Measures(guard)
}

/// Locked measures.
pub struct Measures<'a>(MutexGuard<'a, Option<TableQuality>>);

impl Measures<'_> {
    /// The measures.
    pub fn get(&mut self) -> &mut TableQuality {
        self.0.as_mut().expect("made when it was locked")
    }
}

impl Entry {
    /// An entry as the mapping has it.
    #[must_use]
    pub fn new(id: TableId, plan: TablePlan) -> Self {
        Self {
            id,
            table: catalog::full_name(plan.table()),
            plan,
            signature: None,
            stopped: None,
            quality: Arc::default(),
        }
    }

    /// Its name in the mapping.
    #[must_use]
    pub fn name(&self) -> &str {
        self.plan.name()
    }

    /// What is measured of it.
    #[must_use]
    pub fn quality(&self) -> Quality {
        self.quality.clone()
    }

    /// Binds it to the table as the catalogue has it now, for a copy.
    ///
    /// # Errors
    ///
    /// Names every column that does not fit.
    pub fn bind(
        &self,
        table: &Table,
        published: Option<&PublishedTable>,
    ) -> Result<(BoundTable, Signature), PgError> {
        let columns = table.mapping_columns();
        let bound = self.plan.bind(&columns).map_err(|errors| PgError::Catalogue {
            object: format!("table {}", self.table),
            problem: listed(&errors),
            fix: "correct the mapping; `edgewise replicate check` names everything that does not fit"
                .to_owned(),
        })?;
        let typed = |name: &String| {
            let column = columns.iter().find(|column| &column.name == name);
            let type_name = column
                .map(|column| column.type_name.clone())
                .unwrap_or_default();
            (name.clone(), type_name)
        };
        let columns: Vec<_> = bound.columns().iter().map(typed).collect();
        let signature = Signature {
            key: bound.key_columns().to_vec(),
            identity: Some(Identity::of(table, published, &columns)),
            columns,
        };
        Ok((bound, signature))
    }

    /// Whether a table of the stream is this entry's; the reason where it was and is no more.
    fn is_meant(&self, oid: u32, table: &str, is_catching_up: bool) -> Result<bool, String> {
        let is_named = self.table == table;
        let signature = self.signature.as_ref();
        let Some(identity) = signature.and_then(|signature| signature.identity.as_ref()) else {
            return Ok(is_named);
        };
        match (identity.oid == oid, is_named) {
            (true, true) => Ok(true),
            // What happened before the copy: rows of the table that was copied are its own under
            // any name, those of an earlier one of this name are in no copy.
            (is_same, _) if is_catching_up => Ok(is_same),
            (true, false) => Err(format!("table {} was renamed to {table}", self.table)),
            (false, true) => Err(identity::another(table)),
            (false, false) => Ok(false),
        }
    }

    /// Binds it to the table as the stream has it from here on; the reason where it cannot be
    /// followed any more.
    fn bind_stream(&self, relation: &Relation<'_>, columns: &[Column]) -> Result<Bound, String> {
        let bound = self.plan.bind(columns).map_err(|errors| listed(&errors))?;
        if let Some(signature) = &self.signature {
            for (name, was) in &signature.columns {
                let Some(now) = columns.iter().find(|column| &column.name == name) else {
                    return Err(format!("mapped column {name} was dropped"));
                };
                if !is_same(was, &now.type_name) {
                    let now = &now.type_name;
                    return Err(format!(
                        "mapped column {name} changed its type from {was} to {now}"
                    ));
                }
            }
            if bound.key_columns() != signature.key {
                return Err(format!(
                    "its key changed from ({}) to ({})",
                    signature.key.join(", "),
                    bound.key_columns().join(", ")
                ));
            }
        }
        let identity = relation.columns.iter().zip(columns);
        let identity: Vec<&str> = identity
            .filter(|(column, _)| column.is_identity)
            .map(|(_, column)| column.name.as_str())
            .collect();
        let covers = |key: &String| identity.contains(&key.as_str());
        if !identity.is_empty() && !bound.key_columns().iter().all(covers) {
            return Err(format!(
                "its replica identity ({}) does not contain the key ({})",
                identity.join(", "),
                bound.key_columns().join(", ")
            ));
        }
        let is_padded = |source: &usize| {
            let column = columns.get(*source);
            column.is_some_and(|column| is_padded(&column.type_name))
        };
        let mut places = vec![UNREAD; columns.len()];
        for (place, source) in bound.sources().iter().enumerate() {
            if let (Some(slot), Ok(place)) = (places.get_mut(*source), u16::try_from(place)) {
                *slot = place;
            }
        }
        Ok(Bound {
            id: self.id,
            target: self.plan.target(),
            table: self.table.clone(),
            padded: bound.sources().iter().map(is_padded).collect(),
            bound,
            places,
            quality: self.quality(),
        })
    }
}

/// Whether values of both types have one text, so that keys and facts stay what they were.
fn is_same(was: &str, now: &str) -> bool {
    const FAMILIES: [&[&str]; 3] = [
        &["int2", "int4", "int8"],
        &["text", "varchar"],
        &["float4", "float8"],
    ];
    let both = |family: &&[&str]| family.contains(&was) && family.contains(&now);
    was == now || FAMILIES.iter().any(both)
}

fn listed(errors: &[impl ToString]) -> String {
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    errors.join("; ")
}

/// A mapping entry bound to a table of the stream.
#[derive(Clone)]
pub struct Bound {
    /// Its id in the store.
    pub id: TableId,
    /// What its rows are.
    pub target: Target,
    /// `schema.name`.
    pub table: String,
    /// The mapping.
    pub bound: BoundTable,
    /// What is measured.
    pub quality: Quality,
    /// For each column of the stream its place in the plan's order, or [`UNREAD`].
    places: Vec<u16>,
    /// For each column in the plan's order whether it is filled up with blanks.
    padded: Vec<bool>,
}

/// What a row of the stream comes down to.
pub enum Effect {
    /// These changes, in order; the last completes the row.
    Changes,
    /// These changes, the last of which is a patch: right only where the store remembers the row.
    Patched {
        /// Its key's columns.
        values: Vec<String>,
    },
    /// A row whose unchanged columns are not known: it must be read again.
    ReadAgain {
        /// Its key in the store, where it can be read.
        key: Option<RowKey>,
        /// Its key's columns.
        values: Vec<String>,
    },
}

/// Where and when, for dead letters and measures.
#[derive(Clone, Copy)]
pub struct At<'a> {
    /// The source's name.
    pub source: &'a str,
    /// Position for people.
    pub position: &'a str,
    /// Wall time, Unix ms.
    pub now_ms: i64,
    /// Whether rows may be unknown to the store although the source has them: then no row can be
    /// patched.
    pub is_catching_up: bool,
}

impl Bound {
    /// The values that the mapping reads, in its order.
    fn values<'a>(&self, tuple: Tuple<'a>) -> Result<Vec<Value<'a>>, PgError> {
        if tuple.len() != self.places.len() {
            return Err(PgError::Protocol(format!(
                "a row of table {} has {} columns instead of {}",
                self.table,
                tuple.len(),
                self.places.len()
            )));
        }
        let mut values = vec![Value::Null; self.padded.len()];
        for (datum, place) in tuple.iter().zip(&self.places) {
            if let Some(value) = values.get_mut(usize::from(*place)) {
                *value = value_of(datum);
            }
        }
        self.unpad(&mut values);
        Ok(values)
    }

    /// The values of a row that was read from the table, as the stream would bring them.
    #[must_use]
    pub fn values_read<'a>(&self, row: &'a [Option<String>]) -> Vec<Value<'a>> {
        let value = |column: &'a Option<String>| column.as_deref().map_or(Value::Null, Value::Text);
        let mut values: Vec<_> = row.iter().map(value).collect();
        self.unpad(&mut values);
        values
    }

    fn unpad(&self, values: &mut [Value<'_>]) {
        for (value, _) in values.iter_mut().zip(&self.padded).filter(|(_, p)| **p) {
            *value = unpadded(*value);
        }
    }

    /// A new row.
    ///
    /// # Errors
    ///
    /// The row does not fit its table: the stream is corrupt.
    pub fn insert(
        &self,
        new: Tuple<'_>,
        at: At<'_>,
        changes: &mut Vec<(RowChange, Option<DeadLetter>)>,
    ) -> Result<(), PgError> {
        let row = self.values(new)?;
        changes.push(self.map(&row, at));
        Ok(())
    }

    /// Maps a full row.
    pub fn map(&self, row: &[Value<'_>], at: At<'_>) -> (RowChange, Option<DeadLetter>) {
        let mut quality = measured(&self.quality, at.source, &self.bound, at.now_ms);
        deliver(
            &self.bound,
            self.id,
            row,
            at.position,
            quality.get(),
            at.now_ms,
        )
    }

    /// A row that is gone.
    ///
    /// # Errors
    ///
    /// The row does not fit its table: the stream is corrupt.
    pub fn delete(
        &self,
        old: Old<'_>,
        at: At<'_>,
        changes: &mut Vec<(RowChange, Option<DeadLetter>)>,
    ) -> Result<(), PgError> {
        let row = self.values(old.tuple())?;
        // A row without a readable key never counted.
        if let Ok(key) = self.bound.key(&row) {
            changes.push((self.remove(key), None));
            measured(&self.quality, at.source, &self.bound, at.now_ms)
                .get()
                .deleted(at.now_ms);
        }
        Ok(())
    }

    /// The removal of a row.
    #[must_use]
    pub fn remove(&self, key: RowKey) -> RowChange {
        RowChange {
            table: self.id,
            key,
            op: RowOp::Remove,
        }
    }

    /// A row that changed.
    ///
    /// # Errors
    ///
    /// The row does not fit its table: the stream is corrupt.
    pub fn update(
        &self,
        old: Option<Old<'_>>,
        new: Tuple<'_>,
        at: At<'_>,
        changes: &mut Vec<(RowChange, Option<DeadLetter>)>,
    ) -> Result<Effect, PgError> {
        let mut row = self.values(new)?;
        let mut is_rekeyed = false;
        if let Some(old) = old {
            let before = self.values(old.tuple())?;
            let is_whole = matches!(old, Old::Row(_));
            for (value, before) in row.iter_mut().zip(&before) {
                // Of a key only its own columns are there, and those are never NULL.
                if *value == Value::Unchanged && (is_whole || *before != Value::Null) {
                    *value = *before;
                }
            }
            if let Ok(key) = self.bound.key(&before) {
                is_rekeyed = self.bound.key(&row).ok() != Some(key);
                if is_rekeyed {
                    changes.push((self.remove(key), None));
                }
            }
        }
        let cannot_patch = is_rekeyed || at.is_catching_up || self.target != Target::Items;
        if cannot_patch && row.contains(&Value::Unchanged) {
            return Ok(Effect::ReadAgain {
                key: self.bound.key(&row).ok(),
                values: self.key_values(&row),
            });
        }
        let (change, dead) = self.map(&row, at);
        let is_patch = matches!(change.op, RowOp::Patch(..));
        changes.push((change, dead));
        Ok(if is_patch {
            Effect::Patched {
                values: self.key_values(&row),
            }
        } else {
            Effect::Changes
        })
    }

    /// The key's values in the order of the key's columns.
    fn key_values(&self, row: &[Value<'_>]) -> Vec<String> {
        let place = |name: &String| {
            self.bound
                .columns()
                .iter()
                .position(|column| column == name)
        };
        let keys = self.bound.key_columns().iter();
        let value = |name: &String| match row.get(place(name)?)? {
            Value::Text(text) => Some((*text).to_owned()),
            _ => None,
        };
        keys.filter_map(value).collect()
    }
}

/// A column's value as the mapping reads it; text that is not UTF-8 (a database in SQL_ASCII)
/// stays bytes.
#[must_use]
pub fn value_of(datum: Datum<'_>) -> Value<'_> {
    match datum {
        Datum::Null => Value::Null,
        Datum::Unchanged => Value::Unchanged,
        Datum::Text(bytes) => text_value(bytes),
        Datum::Binary(bytes) => Value::Bytes(bytes),
    }
}

/// Whether the type is `char(n)`: its values are filled up with blanks that mean nothing, and that
/// SQL drops in comparisons and casts.
#[must_use]
pub fn is_padded(type_name: &str) -> bool {
    type_name == "bpchar"
}

/// A value without the blanks that fill it up.
#[must_use]
pub fn unpadded(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Text(text) => Value::Text(text.trim_end_matches(' ')),
        value => value,
    }
}

/// Text in a server's encoding.
#[must_use]
pub fn text_value(bytes: &[u8]) -> Value<'_> {
    std::str::from_utf8(bytes).map_or(Value::Bytes(bytes), Value::Text)
}

/// Tables by their OIDs in the stream.
#[derive(Default)]
pub struct Relations {
    bound: HashMap<u32, Arc<[Bound]>>,
    types: HashMap<u32, String>,
}

/// An entry that cannot be followed any more.
pub struct Stop {
    /// Its index.
    pub entry: usize,
    /// Why.
    pub reason: String,
}

impl Relations {
    /// The entries of a table, or `None` where the stream never described it.
    #[must_use]
    pub fn get(&self, oid: u32) -> Option<Arc<[Bound]>> {
        self.bound.get(&oid).cloned()
    }

    /// A type that is not built in.
    pub fn learn_type(&mut self, oid: u32, name: &[u8]) {
        if self.types.len() < TYPES_MAX || self.types.contains_key(&oid) {
            self.types
                .insert(oid, String::from_utf8_lossy(name).into_owned());
        }
    }

    /// A table is like this from here on; returns the entries that cannot be followed any more.
    /// `is_catching_up`: the copy may be newer than what the stream says.
    pub fn learn(
        &mut self,
        relation: &Relation<'_>,
        entries: &[Entry],
        is_catching_up: bool,
    ) -> Vec<Stop> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let schema = match relation.schema {
            b"" => "pg_catalog".to_owned(),
            schema => text(schema),
        };
        let table = format!("{schema}.{}", text(relation.name));
        let mut stops = Vec::new();
        let mut bound = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            if entry.stopped.is_some() {
                continue;
            }
            match entry.is_meant(relation.oid, &table, is_catching_up) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(reason) => {
                    stops.push(Stop {
                        entry: index,
                        reason,
                    });
                    continue;
                }
            }
            let key = entry
                .signature
                .as_ref()
                .map(|signature| signature.key.as_slice());
            let column = |column: &super::decode::RelationColumn<'_>| {
                let name = text(column.name);
                Column {
                    is_key: key.map_or(column.is_identity, |key| key.contains(&name)),
                    name,
                    type_name: self.type_name(column.type_oid),
                    nullable: None,
                }
            };
            let columns: Vec<Column> = relation.columns.iter().map(column).collect();
            match entry.bind_stream(relation, &columns) {
                Ok(entry) => bound.push(entry),
                Err(reason) => stops.push(Stop {
                    entry: index,
                    reason,
                }),
            }
        }
        self.bound.insert(relation.oid, bound.into());
        stops
    }

    /// An entry is followed no more.
    pub fn forget(&mut self, id: TableId) {
        for bound in self.bound.values_mut() {
            *bound = bound
                .iter()
                .filter(|bound| bound.id != id)
                .cloned()
                .collect();
        }
    }

    fn type_name(&self, oid: u32) -> String {
        match Type::from_oid(oid) {
            Some(built_in) => built_in.name().to_owned(),
            None => self.types.get(&oid).cloned().unwrap_or_default(),
        }
    }
}

/// Writes the measures of an entry that was bound.
pub fn publish(quality: &Quality, now_ms: i64) {
    let mut guard = quality.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(quality) = guard.as_mut() {
        quality.publish(now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::super::decode::RelationColumn;
    use super::*;

    /// An entry of `public.posts` whose copied table had the OID 1.
    fn entry() -> Entry {
        let config = "table = \"public.posts\"\nto = \"users\"\nid = \"id\"";
        let plan = TablePlan::compile(&toml::from_str(config).unwrap()).unwrap();
        let columns = vec![("id".to_owned(), "int8".to_owned())];
        let identity = Identity {
            oid: 1,
            ..Identity::default()
        };
        let mut entry = Entry::new(TableId(1), plan);
        entry.signature = Some(Signature {
            key: vec!["id".to_owned()],
            columns,
            identity: Some(identity),
        });
        entry
    }

    /// What becomes of the entry when the stream describes a table: `bound`, `ignored` or why it
    /// is stopped.
    fn learn(oid: u32, name: &str, is_catching_up: bool) -> String {
        let column = RelationColumn {
            is_identity: true,
            name: b"id",
            type_oid: 20,
        };
        let relation = Relation {
            oid,
            schema: b"public",
            name: name.as_bytes(),
            replica_identity: b'd',
            columns: vec![column],
        };
        let mut relations = Relations::default();
        let stops = relations.learn(&relation, &[entry()], is_catching_up);
        match stops.first() {
            Some(stop) => stop.reason.clone(),
            None if relations.get(oid).is_some_and(|bound| bound.len() == 1) => "bound".to_owned(),
            None => "ignored".to_owned(),
        }
    }

    #[test]
    fn a_table_is_known_by_its_number_and_its_name() {
        assert_eq!(learn(1, "posts", false), "bound");
        assert_eq!(learn(2, "likes", false), "ignored");
        let renamed = "table public.posts was renamed to public.posts_old";
        assert_eq!(learn(1, "posts_old", false), renamed);
        assert!(learn(2, "posts", false).contains("is another table now"));
    }

    #[test]
    fn blanks_that_fill_up_a_value_are_dropped() {
        assert!(is_padded("bpchar") && !is_padded("text") && !is_padded("varchar"));
        assert_eq!(unpadded(Value::Text(" u5   ")), Value::Text(" u5"));
        assert_eq!(unpadded(Value::Text("tab\t")), Value::Text("tab\t"));
        assert_eq!(unpadded(Value::Unchanged), Value::Unchanged);
    }

    #[test]
    fn what_a_newer_copy_has_seen_goes_by_number_alone() {
        assert_eq!(learn(1, "posts", true), "bound");
        assert_eq!(learn(1, "posts_new", true), "bound");
        assert_eq!(learn(2, "posts", true), "ignored");
        assert_eq!(learn(2, "likes", true), "ignored");
    }
}
