//! What a table was when it was copied, for telling whether it still is.

use serde::{Deserialize, Serialize};

use super::super::catalog::{File, PublishedTable, Table};
use super::super::identity::{self, Identity};
use super::is_same;

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
