//! The tables that the stream described, and the entries that follow each.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_postgres::types::Type;

use super::super::decode::{Relation, RelationColumn};
use super::{Bound, Entry};
use crate::ingest::rows::TableId;
use crate::replicate::mapping::Column;

/// Types from outside the built-in ones whose names are remembered.
const TYPES_MAX: usize = 4_096;

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
            let column = |column: &RelationColumn<'_>| {
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
