//! The mapped tables as the stream and the first copy meet them: bound to columns, or stopped.

mod bound;
mod quality;
mod relations;
mod signature;
#[cfg(test)]
mod tests;
mod values;

pub use bound::{At, Bound, Effect};
pub use quality::{Quality, measured, publish};
pub use relations::Relations;
pub use signature::Signature;
pub use values::{is_padded, text_value, unpadded};

use std::sync::{Arc, Mutex};

use self::bound::UNREAD;
use super::catalog::{self, PublishedTable, Table};
use super::decode::Relation;
use super::error::PgError;
use super::identity::{self, Identity};
use crate::ingest::rows::TableId;
use crate::replicate::contract::TableQuality;
use crate::replicate::mapping::{BoundTable, Column, TablePlan};

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
