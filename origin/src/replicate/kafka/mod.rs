//! Kafka: rows that Debezium writes to topics, an `events` topic, and the origin's events out.
//!
//! Offsets are kept in the store and move in the transaction of the rows; consumer groups are
//! not used. So what is read twice after a crash has no second effect.

mod client;
mod envelope;
mod error;
mod event;
mod position;
pub mod produce;
mod stream;
mod topic;

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::consumer::stream_consumer::StreamConsumer;
use tokio::sync::watch;

use self::client::{Brokers, Isolation, Listener, TopicState, catalogue};
pub use self::envelope::{EnvelopeError, fuzz};
pub use self::error::KafkaFault;
pub(super) use self::position::CHECKPOINT;
use self::position::PARTITIONS_MAX;
use self::stream::{Ended, Follower};
use super::check::Report;
use super::config::{Format, SourceConfig};
use super::mapping::TablePlan;
use super::supervise::{Phase, SourceContext, SourceError, SourceFault};
use crate::ingest::rows::Move;
use crate::store::{Store, StoreError, read};

/// Follows the mapped topics until it is told to stop.
///
/// # Errors
/// Where a topic cannot be followed; see [`KafkaFault`].
pub async fn run(context: SourceContext) -> Result<(), SourceError> {
    let mut items_first = true;
    loop {
        context.status.phase(Phase::Connecting);
        let client = Client::open(&context.config)?;
        let mut follower = Follower::connect(&context, &client, items_first).await?;
        context.metrics.connected(true);
        context.status.phase(match follower.reads_items() {
            true => Phase::Copying,
            false => Phase::Streaming,
        });
        let ended = follower.follow(&client.consumer).await;
        context.metrics.connected(false);
        drop(follower);
        client.close().await;
        match ended? {
            Ended::Stopped => return Ok(()),
            Ended::NewPartitions => {}
            Ended::ItemsRead => items_first = false,
        }
    }
}

/// Looks whether the mapped topics can be followed; changes nothing.
pub async fn check(config: &SourceConfig, plans: &[TablePlan]) -> Report {
    let mut report = Report::default();
    let object = format!("source {}", config.name);
    let client = match Client::open(config) {
        Ok(client) => client,
        Err(fault) => {
            report.error(object, fault.to_string(), fault.remedy());
            return report;
        }
    };
    match formats(config) {
        Ok(_) => {}
        Err(fault) => report.error(object.clone(), fault.to_string(), fault.remedy()),
    }
    let mut partitions = 0;
    for topic in topics(config) {
        let object = format!("topic {topic}");
        match client.states(vec![topic.clone()]).await {
            Ok((_, states)) => {
                let found: usize = states.iter().map(|state| state.partitions.len()).sum();
                partitions += found;
                let messages = states.iter().flat_map(|state| &state.partitions);
                let messages: i64 = messages.map(|(low, high)| high - low).sum();
                report.info(object, format!("{found} partitions, {messages} messages"));
            }
            Err(fault @ (KafkaFault::Unreachable { .. } | KafkaFault::Login { .. })) => {
                report.error("brokers", fault.to_string(), fault.remedy());
                break;
            }
            Err(fault) => report.error(object, fault.to_string(), fault.remedy()),
        }
    }
    if partitions > PARTITIONS_MAX {
        let fault = KafkaFault::TooManyPartitions {
            found: partitions,
            max: PARTITIONS_MAX,
        };
        report.error(object, fault.to_string(), fault.remedy());
    }
    for plan in plans.iter().filter(|plan| plan.key_columns().is_empty()) {
        let problem =
            "its key is taken from the messages' keys, which must be JSON objects of columns";
        report.info(format!("table {}", plan.name()), problem);
    }
    client.close().await;
    report
}

/// How the offsets change so that a topic is read again as one that is new: the other topics go
/// on. `None` where the source has none.
///
/// # Errors
/// The store cannot be read.
pub(super) fn forget_topic(
    store: &dyn Store,
    source: &str,
    topic: &str,
) -> Result<Option<Move>, StoreError> {
    let stored = read::checkpoint(&*store.read()?, source, CHECKPOINT)?;
    Ok(stored.map(|stored| Move {
        checkpoint: CHECKPOINT.to_owned(),
        to: position::without_topic(&stored, topic),
        from: Some(stored),
    }))
}

/// Waits until it is time to stop; a dropped sender says so too.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The topics of the mapping, each once.
fn topics(config: &SourceConfig) -> Vec<String> {
    let mut topics = Vec::new();
    for table in &config.tables {
        if !topics.contains(&table.table) {
            topics.push(table.table.clone());
        }
    }
    topics
}

/// The topics with their formats.
fn formats(config: &SourceConfig) -> Result<Vec<(String, Format)>, KafkaFault> {
    let topics = topics(config).into_iter().map(|topic| {
        let mut formats = config.tables.iter().filter(|table| table.table == topic);
        let first = formats
            .next()
            .map_or(Format::default(), |table| table.format);
        if formats.any(|table| table.format != first) {
            return Err(KafkaFault::Formats(topic));
        }
        Ok((topic, first))
    });
    topics.collect()
}

/// A consumer and who it talks to.
struct Client {
    consumer: Arc<StreamConsumer<Listener>>,
    listener: Listener,
    brokers: Brokers,
    timeout: Duration,
}

impl Client {
    fn open(config: &SourceConfig) -> Result<Self, KafkaFault> {
        if config.tls != super::config::TlsOptions::default() {
            return Err(KafkaFault::Url("cannot use certificates"));
        }
        let brokers = Brokers::parse(&config.url)?;
        let timeout = Duration::from_millis(config.connect_timeout_ms);
        let listener = Listener::default();
        let consumer = brokers.consumer(
            &config.name,
            Isolation::Committed,
            timeout,
            listener.clone(),
        )?;
        Ok(Self {
            consumer: Arc::new(consumer),
            listener,
            brokers,
            timeout,
        })
    }

    /// The topics as the brokers have them, off the async threads.
    async fn states(
        &self,
        topics: Vec<String>,
    ) -> Result<(Option<String>, Vec<TopicState>), KafkaFault> {
        let consumer = Arc::clone(&self.consumer);
        let (brokers, timeout) = (self.brokers.list.clone(), self.timeout);
        let asked = tokio::task::spawn_blocking(move || {
            let states = catalogue(&*consumer, &brokers, &topics, timeout);
            drop(consumer);
            states
        });
        asked.await.unwrap_or(Err(KafkaFault::Interrupted))
    }

    /// Closes the consumer, which may take a while, off the async threads.
    async fn close(self) {
        // An error is a panic in there; nothing depends on it.
        let _ = tokio::task::spawn_blocking(move || {
            let _ = self.consumer.unassign();
            drop(self);
        })
        .await;
    }
}
