//! What can be wrong with a mapping.

/// Why a mapping does not work: names the table, the field and the column, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// A key of the entry is no field of its target.
    #[error("{table}: {field} is no field of {target}; it has {fields}")]
    UnknownField {
        /// The mapped table.
        table: String,
        /// The key.
        field: String,
        /// `items`, `users`, `follows` or `events`.
        target: &'static str,
        /// The fields there are.
        fields: String,
    },
    /// A field that every row needs is not mapped.
    #[error("{table}: {field} is missing; add `{field} = \"column or expression\"` to its entry")]
    MissingField {
        /// The mapped table.
        table: String,
        /// The field.
        field: &'static str,
    },
    /// An expression cannot be compiled.
    #[error("{table}: {field} = {text:?} cannot be read: {reason}")]
    Expression {
        /// The mapped table.
        table: String,
        /// The field, or `where`.
        field: String,
        /// The expression.
        text: String,
        /// What is wrong, and where.
        reason: String,
    },
    /// A value of the entry is not one.
    #[error("{table}: {key} is {given}, but must be {allowed}")]
    Invalid {
        /// The mapped table.
        table: String,
        /// The key in the mapping file.
        key: String,
        /// What was given.
        given: String,
        /// What it may be.
        allowed: String,
    },
    /// The table has no such column.
    #[error(
        "{table}: column {column}, which {used_by} reads, is not in the table{}; \
         correct the mapping or add the column",
        nearest.as_ref().map(|name| format!(" (there is {name})")).unwrap_or_default()
    )]
    NoColumn {
        /// The mapped table.
        table: String,
        /// The column.
        column: String,
        /// The fields and rules that read it.
        used_by: String,
        /// A column with a similar name.
        nearest: Option<String>,
    },
    /// Several columns differ from the name by case only.
    #[error(
        "{table}: column {column}, which {used_by} reads, may be {candidates}; write the one that \
         is meant in double quotes"
    )]
    AmbiguousColumn {
        /// The mapped table.
        table: String,
        /// The name.
        column: String,
        /// The fields and rules that read it.
        used_by: String,
        /// The columns it may be.
        candidates: String,
    },
    /// A column's type cannot be what the field is.
    #[error("{table}: {field} reads column {column} of type {found}; {remedy}")]
    WrongType {
        /// The mapped table.
        table: String,
        /// The field.
        field: &'static str,
        /// The column.
        column: String,
        /// Its type, and what that is.
        found: String,
        /// What to do.
        remedy: String,
    },
    /// The table has no key.
    #[error(
        "{table} has no primary key, so its rows cannot be told apart; \
         ALTER TABLE … ADD PRIMARY KEY, or name the columns of a unique index that are NOT NULL \
         with `key = [\"…\"]` (PostgreSQL: and ALTER TABLE … REPLICA IDENTITY USING INDEX …)"
    )]
    NoKey {
        /// The mapped table.
        table: String,
    },
    /// A dead letter cannot be read back.
    #[error("the dead letter of {table} cannot be replayed: {reason}")]
    Letter {
        /// The mapped table.
        table: String,
        /// Why.
        reason: String,
    },
}
