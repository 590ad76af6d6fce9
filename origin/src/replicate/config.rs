//! The mapping file: which sources are followed, and what their tables mean.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

use super::contract::ContractConfig;
use super::redact;

/// A mapping file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mapping {
    /// `[[source]]`.
    #[serde(rename = "source")]
    pub sources: Vec<SourceConfig>,
    /// `[kafka_out]`: the origin's accepted events are produced to a topic.
    pub kafka_out: Option<KafkaOutConfig>,
    /// The file that it was read from; empty where it was made otherwise.
    #[serde(skip)]
    pub file: PathBuf,
    /// The entries of every source of the file, of those too that were not chosen.
    #[serde(skip)]
    pub mapped: Mapped,
}

/// Names of mapped entries by source.
pub type Mapped = BTreeMap<String, BTreeSet<String>>;

/// The origin's accepted events, produced to a topic.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaOutConfig {
    /// `kafka://host:port[,host:port]`.
    pub brokers: String,
    /// The topic; only this origin writes to it.
    pub topic: String,
    /// Which events, by where they came from.
    #[serde(default = "KafkaOutConfig::included")]
    pub include: Vec<Include>,
    /// Where it starts the first time.
    #[serde(default)]
    pub since: Since,
}

impl KafkaOutConfig {
    /// Rows are in the operator's own database, and may have come from Kafka: not echoed unless
    /// asked for.
    fn included() -> Vec<Include> {
        vec![Include::Public, Include::Edge, Include::Import]
    }
}

/// Where an event came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Include {
    /// The public events route.
    Public,
    /// An edge's queue.
    Edge,
    /// An import.
    Import,
    /// Rows of a source.
    Rows,
}

/// Where producing starts the first time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Since {
    /// With the first event that was ever accepted.
    #[default]
    Beginning,
    /// With the next event.
    Now,
}

/// A database or broker that is followed.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourceConfig {
    /// Name: 1 to 32 of `a-z0-9_`.
    pub name: String,
    /// `postgres://…`, `mysql://…`, `mariadb://…` or `kafka://host:port[,host:port]`.
    pub url: String,
    /// How it is followed.
    pub mode: Mode,
    /// Replication slot; default `edgewise_<name>`.
    pub slot: Option<String>,
    /// Publication; default `edgewise_<name>`.
    pub publication: Option<String>,
    /// Replica id (MySQL).
    pub server_id: Option<u32>,
    /// Certificates; whether TLS is used says the url.
    pub tls: TlsOptions,
    /// The first copy.
    pub snapshot: SnapshotOptions,
    /// `mode = "poll"`.
    pub poll: PollOptions,
    /// Time between heartbeats, ms.
    pub heartbeat_ms: u64,
    /// Longest time a connection may take, ms.
    pub connect_timeout_ms: u64,
    /// `[[source.table]]`.
    #[serde(rename = "table")]
    pub tables: Vec<TableConfig>,
}

/// Without the url's secrets.
impl fmt::Debug for SourceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceConfig")
            .field("name", &self.name)
            .field("url", &redact::url(&self.url))
            .field("mode", &self.mode)
            .field("slot", &self.slot)
            .field("publication", &self.publication)
            .field("tables", &self.tables)
            .finish_non_exhaustive()
    }
}

impl Default for SourceConfig {
    fn default() -> Self {
        Self {
            name: "main".to_owned(),
            url: String::new(),
            mode: Mode::default(),
            slot: None,
            publication: None,
            server_id: None,
            tls: TlsOptions::default(),
            snapshot: SnapshotOptions::default(),
            poll: PollOptions::default(),
            heartbeat_ms: 10_000,
            connect_timeout_ms: 10_000,
            tables: Vec::new(),
        }
    }
}

/// How a source is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// By its log: logical replication, binlog, topic.
    #[default]
    Stream,
    /// By asking for rows over a watermark, where the log is not allowed.
    Poll,
}

/// Certificates of a source's connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsOptions {
    /// Roots that are trusted, PEM; default the public ones.
    pub ca: Option<PathBuf>,
    /// The client's certificate, PEM.
    pub cert: Option<PathBuf>,
    /// The client's key, PEM.
    pub key: Option<PathBuf>,
}

/// The first copy of a table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SnapshotOptions {
    /// Whether there is one; else only changes count.
    pub enabled: bool,
    /// Chunks that are read at once, 1 to 16.
    pub parallel: usize,
    /// Rows of a chunk.
    pub chunk_rows: u32,
    /// Rows a second at most; 0 = no limit.
    pub rows_per_s: u32,
}

impl Default for SnapshotOptions {
    fn default() -> Self {
        Self {
            enabled: true,
            parallel: 2,
            chunk_rows: 50_000,
            rows_per_s: 0,
        }
    }
}

/// Following by watermark.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PollOptions {
    /// Time between questions, ms.
    pub every_ms: u64,
    /// Rows of a page.
    pub page_rows: u32,
}

impl Default for PollOptions {
    fn default() -> Self {
        Self {
            every_ms: 1_000,
            page_rows: 5_000,
        }
    }
}

/// What a table's rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// Items.
    Items,
    /// Users.
    Users,
    /// Follows.
    Follows,
    /// Behaviour events.
    Events,
}

impl Target {
    /// The name in the mapping file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Items => "items",
            Self::Users => "users",
            Self::Follows => "follows",
            Self::Events => "events",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The key column of a topic of events: partition and offset in one number.
pub const POSITION_COLUMN: &str = "__position";

/// What a topic's messages are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Debezium's envelope as JSON, with or without its schema.
    #[default]
    Debezium,
    /// Rows as JSON objects (Debezium's `ExtractNewRecordState`).
    Flat,
    /// Events as `POST /api/v1/events` takes them; no field is mapped.
    Edgewise,
}

/// A mapped table: one entry `[[source.table]]`.
#[derive(Clone, Debug, Deserialize)]
pub struct TableConfig {
    /// `public.posts`, `shop.posts`, or a topic.
    pub table: String,
    /// What its rows are.
    pub to: Target,
    /// What a topic's messages are (Kafka).
    #[serde(default)]
    pub format: Format,
    /// Columns of the key; default the primary key.
    #[serde(default)]
    pub key: Vec<String>,
    /// `where`: rows that count, as an SQL expression.
    #[serde(default, rename = "where")]
    pub filter: Option<String>,
    /// Column that grows with every change (`mode = "poll"`).
    #[serde(default)]
    pub watermark: Option<String>,
    /// `[source.table.contract]`.
    #[serde(default)]
    pub contract: ContractConfig,
    /// Every other key: field = column or SQL expression.
    #[serde(flatten, deserialize_with = "fields")]
    pub fields: BTreeMap<String, String>,
}

impl TableConfig {
    /// The entry's name, unique in a source: `public.posts->items`.
    #[must_use]
    pub fn entry_name(&self) -> String {
        format!("{}->{}", self.table, self.to)
    }

    /// The entry with what its format implies: an `edgewise` topic names no fields, and its
    /// rows' key is where they stand in the topic.
    #[must_use]
    pub fn effective(&self) -> Self {
        let mut table = self.clone();
        if table.format == Format::Edgewise {
            let same = [
                "type",
                "user",
                "item",
                "author",
                "watch_ms",
                "duration_ms",
                "value",
            ];
            table.fields = same.map(|name| (name.to_owned(), name.to_owned())).into();
            let ts = ("ts".to_owned(), "epoch_ms(ts_ms)".to_owned());
            table.fields.extend([ts]);
            if table.key.is_empty() {
                table.key = vec![POSITION_COLUMN.to_owned()];
            }
        }
        table
    }
}

/// Reads the fields so that a wrong value is an error with its key.
fn fields<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    BTreeMap::<String, toml::Value>::deserialize(from)?
        .into_iter()
        .map(|(key, value)| match value {
            toml::Value::String(text) => Ok((key, text)),
            other => Err(serde::de::Error::custom(format!(
                "{key} is {}, but must be a column or an SQL expression in quotes",
                other.type_str()
            ))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_in_the_table_entry() {
        let mapping: Mapping = toml::from_str(
            r#"
            [[source]]
            url = "postgres://app@db/shop"
            [[source.table]]
            table = "public.likes"
            to = "events"
            type = "'like'"
            user = "user_id"
            where = "kind = 1"
            [source.table.contract]
            max_skew = 20.0
            "#,
        )
        .unwrap();
        let source = &mapping.sources[0];
        assert_eq!((source.name.as_str(), source.mode), ("main", Mode::Stream));
        let table = &source.tables[0];
        assert_eq!(table.entry_name(), "public.likes->events");
        assert_eq!(table.filter.as_deref(), Some("kind = 1"));
        let fields: Vec<_> = table.fields.iter().collect();
        assert_eq!(
            format!("{fields:?}"),
            r#"[("type", "'like'"), ("user", "user_id")]"#
        );
    }

    #[test]
    fn a_topic_of_events_maps_no_fields() {
        let text = r#"
            [kafka_out]
            brokers = "kafka://b:9092"
            topic = "edgewise.events"
            [[source]]
            url = "kafka://b:9092"
            [[source.table]]
            table = "events"
            to = "events"
            format = "edgewise"
            "#;
        let mapping: Mapping = toml::from_str(text).unwrap();
        let table = &mapping.sources[0].tables[0];
        assert!(table.fields.is_empty());
        let table = table.effective();
        assert_eq!(table.key, ["__position"]);
        assert_eq!(table.fields["ts"], "epoch_ms(ts_ms)");
        let out = mapping.kafka_out.unwrap();
        assert_eq!(out.since, Since::Beginning);
        assert_eq!(
            out.include,
            [Include::Public, Include::Edge, Include::Import]
        );
    }

    #[test]
    fn a_field_that_is_not_text_is_named() {
        let error = toml::from_str::<TableConfig>("table = 't'\nto = 'users'\nid = 5").unwrap_err();
        assert!(error.to_string().contains("id is integer"), "{error}");
    }
}
