//! Columns as the source's catalogue describes them.

/// A column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The source's own name of its type, lower case; empty where it is not known.
    pub type_name: String,
    /// Whether it belongs to the primary key (or the replica identity's index).
    pub is_key: bool,
    /// Whether it may be NULL, where that is known.
    pub nullable: Option<bool>,
}
