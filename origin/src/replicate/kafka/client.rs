//! The client: brokers from a url, settings, and what it says about its connections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::statistics::Statistics;

use super::error::KafkaFault;
use crate::replicate::redact;

/// Messages that are fetched ahead at most, KiB.
const QUEUED_KIB_MAX: u32 = 32 * 1_024;
/// Messages that are fetched ahead, where they are small.
const QUEUED_MESSAGES: u32 = 50_000;
/// Bytes of an answer of a broker ...
const FETCH_BYTES_MAX: u32 = 16 << 20;
/// ... and of one partition in it. A larger message still comes, alone.
const PARTITION_BYTES_MAX: u32 = 4 << 20;
/// Brokers of a url at most.
const BROKERS_MAX: usize = 64;
/// Kept of what the client says, bytes.
const REASON_BYTES_MAX: usize = 300;
/// Between the client's statistics, ms.
const STATISTICS_MS: u32 = 1_000;

/// Where the brokers are and who asks.
#[derive(Clone)]
pub(super) struct Brokers {
    /// `host:port,…`.
    pub(super) list: String,
    login: Option<(String, String)>,
}

impl Brokers {
    /// Reads `kafka://[user:password@]host:port[,host:port]`.
    pub(super) fn parse(url: &str) -> Result<Self, KafkaFault> {
        let rest = url.strip_prefix("kafka://");
        let rest = rest.ok_or(KafkaFault::Url("does not begin with kafka://"))?;
        if rest.contains('?') {
            return Err(KafkaFault::Url("takes no parameters"));
        }
        let rest = rest.trim_end_matches('/');
        let (login, hosts) = match rest.rsplit_once('@') {
            Some((login, hosts)) => (Some(Self::login(login)?), hosts),
            None => (None, rest),
        };
        let hosts: Vec<&str> = hosts.split(',').map(str::trim).collect();
        let is_host = |host: &&str| {
            !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '/')
        };
        if !hosts.iter().all(is_host) || hosts.len() > BROKERS_MAX {
            return Err(KafkaFault::Url("names no host, or too many"));
        }
        Ok(Self {
            list: hosts.join(","),
            login,
        })
    }

    fn login(text: &str) -> Result<(String, String), KafkaFault> {
        const BAD: KafkaFault = KafkaFault::Url("has a login that is not user:password");
        let (user, password) = text.split_once(':').ok_or(BAD)?;
        Ok((decoded(user).ok_or(BAD)?, decoded(password).ok_or(BAD)?))
    }

    /// Settings that every client has.
    fn settings(&self, timeout: Duration) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.list)
            .set("client.id", "edgewise")
            .set("socket.connection.setup.timeout.ms", millis(timeout))
            .set("socket.keepalive.enable", "true")
            .set("statistics.interval.ms", STATISTICS_MS.to_string())
            .set_log_level(RDKafkaLogLevel::Warning);
        if let Some((user, password)) = &self.login {
            config
                .set("security.protocol", "sasl_plaintext")
                .set("sasl.mechanism", "PLAIN")
                .set("sasl.username", user)
                .set("sasl.password", password);
        }
        config
    }

    /// A consumer that keeps no offsets at the brokers and joins no group.
    pub(super) fn consumer<C: FromClientConfigAndContext<Listener>>(
        &self,
        name: &str,
        isolation: Isolation,
        timeout: Duration,
        listener: Listener,
    ) -> Result<C, KafkaFault> {
        let isolation = match isolation {
            Isolation::Committed => "read_committed",
            Isolation::Everything => "read_uncommitted",
        };
        self.settings(timeout)
            // The client wants one to assign partitions; nothing is stored in it.
            .set("group.id", format!("edgewise-{name}"))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", isolation)
            .set("allow.auto.create.topics", "false")
            .set("fetch.wait.max.ms", "50")
            .set("fetch.max.bytes", FETCH_BYTES_MAX.to_string())
            .set("max.partition.fetch.bytes", PARTITION_BYTES_MAX.to_string())
            .set("queued.max.messages.kbytes", QUEUED_KIB_MAX.to_string())
            .set("queued.min.messages", QUEUED_MESSAGES.to_string())
            .create_with_context(listener)
            .map_err(KafkaFault::Client)
    }

    /// Settings of the producer: idempotent, and without a gap.
    pub(super) fn producer(&self, timeout: Duration) -> ClientConfig {
        let mut config = self.settings(timeout);
        config
            .set("enable.idempotence", "true")
            .set("enable.gapless.guarantee", "true")
            .set("acks", "all")
            .set("linger.ms", "5")
            // A killed producer's requests may be handled in any order: one leaves no hole.
            .set("max.in.flight.requests.per.connection", "1")
            // A message never times out: it waits for its broker.
            .set("message.timeout.ms", "0")
            .set("allow.auto.create.topics", "false");
        config
    }
}

/// What a consumer sees of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Isolation {
    /// What was committed.
    Committed,
    /// Everything, also the newest messages that the broker does not call stable yet.
    Everything,
}

/// What the client says beside messages.
#[derive(Clone, Default)]
pub(super) struct Listener(Arc<Mutex<Heard>>);

#[derive(Default)]
struct Heard {
    /// The ends of partitions by topic, as the brokers' last answers had them.
    ends: HashMap<String, HashMap<i32, i64>>,
    error: Option<(KafkaError, String)>,
    /// Why a delivery failed.
    failed: Option<KafkaError>,
}

impl Listener {
    /// The last error that the client met, and what it said about it.
    pub(super) fn error(&self) -> Option<(KafkaError, String)> {
        self.with(|heard| heard.error.clone())
    }

    /// Why a message was not delivered, where one was not.
    pub(super) fn failed(&self) -> Option<KafkaError> {
        self.with(|heard| heard.failed.clone())
    }

    /// What a failed call means: the client's own error says more than the call's timeout.
    pub(super) fn fault(
        &self,
        error: &KafkaError,
        brokers: &str,
        topic: Option<&str>,
    ) -> KafkaFault {
        let fault = KafkaFault::of(error, brokers, topic, "");
        match (&fault, self.error()) {
            (KafkaFault::Unreachable { .. }, Some((cause, reason))) => {
                KafkaFault::of(&cause, brokers, topic, &reason)
            }
            _ => fault,
        }
    }

    /// Messages that the brokers have and `next` has not reached.
    pub(super) fn lag(&self, topic: &str, partition: i32, next: i64) -> u64 {
        let end = self.with(|heard| heard.ends.get(topic)?.get(&partition).copied());
        let behind = end.unwrap_or(next).saturating_sub(next);
        u64::try_from(behind).unwrap_or(0)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Heard) -> T) -> T {
        // What is heard is never half written.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "kafka client");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client");
        let reason = cut(&redact::url(reason));
        self.with(|heard| heard.error = Some((error, reason)));
    }

    fn stats(&self, statistics: Statistics) {
        let ends = statistics.topics.into_iter().map(|(topic, state)| {
            let ends = state.partitions.into_iter();
            let ends = ends.filter(|(_, partition)| partition.hi_offset >= 0);
            (
                topic,
                ends.map(|(id, state)| (id, state.hi_offset)).collect(),
            )
        });
        let ends = ends.collect();
        self.with(|heard| heard.ends = ends);
    }
}

impl ConsumerContext for Listener {}

/// Deliveries that failed, for the producer.
impl ProducerContext for Listener {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.with(|heard| {
                heard.failed.get_or_insert_with(|| error.clone());
            });
        }
    }
}

/// A topic as the brokers have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TopicState {
    /// Its name.
    pub(super) name: String,
    /// Oldest offset and end of each partition.
    pub(super) partitions: Vec<(i64, i64)>,
}

/// The topics as the brokers have them. Blocks.
///
/// # Errors
/// Names the first topic that is missing or cannot be read.
pub(super) fn catalogue(
    consumer: &impl Consumer<Listener>,
    brokers: &str,
    topics: &[String],
    timeout: Duration,
) -> Result<(Option<String>, Vec<TopicState>), KafkaFault> {
    let listener = consumer.context();
    let states = topics.iter().map(|topic| {
        let fault = |error: &KafkaError| listener.fault(error, brokers, Some(topic));
        let metadata = consumer
            .fetch_metadata(Some(topic), timeout)
            .map_err(|error| fault(&error))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let found = found.ok_or_else(|| KafkaFault::TopicMissing(topic.clone()))?;
        if let Some(code) = found.error() {
            return Err(fault(&KafkaError::MetadataFetch(code.into())));
        }
        if found.partitions().is_empty() {
            return Err(KafkaFault::TopicMissing(topic.clone()));
        }
        let partitions = (0..found.partitions().len()).map(|partition| {
            let partition = i32::try_from(partition).unwrap_or(i32::MAX);
            consumer
                .fetch_watermarks(topic, partition, timeout)
                .map_err(|error| fault(&error))
        });
        Ok(TopicState {
            name: topic.clone(),
            partitions: partitions.collect::<Result<_, _>>()?,
        })
    });
    let states = states.collect::<Result<_, _>>()?;
    // It comes with the metadata: asked for before, it waits for the client's next second to
    // connect at all.
    let cluster = consumer.client().fetch_cluster_id(timeout);
    Ok((cluster, states))
}

fn millis(duration: Duration) -> String {
    // The client takes at least a second.
    duration.as_millis().clamp(1_000, 300_000).to_string()
}

/// `%41` as `A`.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let value = digit(bytes.next())? * 16 + digit(bytes.next())?;
            out.push(u8::try_from(value).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(REASON_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_brokers_and_a_login() {
        let brokers = Brokers::parse("kafka://a:9092,b:9093/").expect("brokers");
        assert_eq!(
            (brokers.list.as_str(), brokers.login),
            ("a:9092,b:9093", None)
        );
        let brokers = Brokers::parse("kafka://me:p%40s:s@a:9092").expect("brokers");
        let login = ("me".to_owned(), "p@s:s".to_owned());
        assert_eq!(
            (brokers.list.as_str(), brokers.login),
            ("a:9092", Some(login))
        );
        for bad in [
            "a:9092",
            "kafka://",
            "kafka://a,,b",
            "kafka://a?x=1",
            "kafka://me@a",
            "kafka://m:%4@a",
        ] {
            assert!(Brokers::parse(bad).is_err(), "{bad}");
        }
    }
}
