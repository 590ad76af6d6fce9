//! The schema that Kafka Connect's JSON converter writes with every message: how the wanted
//! columns are to be read. A schema is read once and kept by its hash.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_128;

use super::EnvelopeError;
use super::cell::Kind;

/// Schemas kept at most; a topic has two (key and value) and one more for every change of its
/// table. Beyond it they are read anew.
const SCHEMAS_MAX: usize = 64;

/// How each wanted column is to be read; empty where the message has no schema.
pub(super) type Kinds = Arc<[Kind]>;

/// Schemas that were read, by hash. One for one list of wanted columns.
#[derive(Debug, Default)]
pub(in crate::replicate::kafka) struct Schemas {
    known: HashMap<u128, Kinds>,
    none: Option<Kinds>,
}

impl Schemas {
    /// How the columns of a message with this schema are to be read.
    pub(super) fn kinds(
        &mut self,
        schema: Option<&RawValue>,
        columns: &[String],
    ) -> Result<Kinds, EnvelopeError> {
        let Some(schema) = schema.filter(|schema| schema.get().starts_with('{')) else {
            let none = self.none.get_or_insert_with(|| Arc::from([]));
            return Ok(Arc::clone(none));
        };
        let hash = xxh3_128(schema.get().as_bytes());
        if let Some(kinds) = self.known.get(&hash) {
            return Ok(Arc::clone(kinds));
        }
        let kinds = read(schema.get(), columns)?;
        if self.known.len() >= SCHEMAS_MAX {
            self.known.clear();
        }
        self.known.insert(hash, Arc::clone(&kinds));
        Ok(kinds)
    }
}

/// The kind of the column at an index.
pub(super) fn kind_of(kinds: &Kinds, at: usize) -> Kind {
    kinds.get(at).copied().unwrap_or_default()
}

fn read(schema: &str, columns: &[String]) -> Result<Kinds, EnvelopeError> {
    let schema: Value =
        serde_json::from_str(schema).map_err(|error| EnvelopeError::Schema(error.to_string()))?;
    // An envelope's row is the field `after`; a key's and a flattened row's is the struct itself.
    let row = ["after", "before"]
        .iter()
        .find_map(|&name| field(&schema, name).filter(|field| field.get("fields").is_some()));
    let row = row.unwrap_or(&schema);
    let kind = |column: &String| field(row, column).map_or(Kind::Plain, kind);
    Ok(columns.iter().map(kind).collect())
}

fn field<'v>(schema: &'v Value, name: &str) -> Option<&'v Value> {
    let fields = schema.get("fields")?.as_array()?;
    let is_named = |field: &&Value| field.get("field").and_then(Value::as_str) == Some(name);
    fields.iter().find(is_named)
}

fn kind(field: &Value) -> Kind {
    let text = |name: &str| field.get(name).and_then(Value::as_str).unwrap_or("");
    match text("name") {
        "org.apache.kafka.connect.data.Decimal" => {
            let scale = field.get("parameters").and_then(|all| all.get("scale"));
            let scale = scale.and_then(Value::as_str).and_then(|s| s.parse().ok());
            Kind::Decimal(scale.unwrap_or(0))
        }
        "io.debezium.data.VariableScaleDecimal" => Kind::VariableDecimal,
        "io.debezium.time.Date" | "org.apache.kafka.connect.data.Date" => Kind::Days,
        "io.debezium.time.Timestamp" | "org.apache.kafka.connect.data.Timestamp" => Kind::Millis,
        "io.debezium.time.MicroTimestamp" => Kind::Micros,
        "io.debezium.time.NanoTimestamp" => Kind::Nanos,
        _ if text("type") == "bytes" => Kind::Bytes,
        _ => Kind::Plain,
    }
}
