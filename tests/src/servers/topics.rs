//! A client of a broker: produces messages and reads topics whole.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientContext, Message as _};

/// How long the broker may take for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// Without a message for so long a topic was read.
const SILENCE: Duration = Duration::from_millis(400);

/// A message of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its partition.
    pub partition: i32,
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// A producer, and a reader of what is there.
pub struct Topics {
    producer: ThreadedProducer<Deliveries>,
    deliveries: Deliveries,
    bootstrap: String,
}

/// What the broker took.
#[derive(Clone, Default)]
struct Deliveries(Arc<Mutex<Delivered>>);

#[derive(Default)]
struct Delivered {
    /// The offset after the last message, by topic and partition.
    ends: BTreeMap<(String, i32), i64>,
    failure: Option<String>,
}

impl Topics {
    /// A client of the broker at `host:port`.
    ///
    /// # Panics
    /// Where the client cannot be set up.
    #[must_use]
    pub fn open(bootstrap: &str) -> Self {
        let deliveries = Deliveries::default();
        let producer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("enable.idempotence", "true")
            .set("linger.ms", "1")
            .create_with_context(deliveries.clone())
            .expect("a producer");
        Self {
            producer,
            deliveries,
            bootstrap: bootstrap.to_owned(),
        }
    }

    /// Produces a message; [`Topics::flush`] waits until the broker has it. The partition is that
    /// of the key.
    ///
    /// # Panics
    /// Where the client's queue stays full.
    pub fn send(&self, topic: &str, key: Option<&str>, value: Option<&str>) {
        let mut record = BaseRecord::to(topic);
        record.key = key;
        record.payload = value;
        let deadline = Instant::now() + PATIENCE;
        while let Err((error, again)) = self.producer.send(record) {
            assert!(Instant::now() < deadline, "{topic}: {error}");
            record = again;
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the broker has everything that was sent.
    ///
    /// # Panics
    /// Where it does not take it.
    #[track_caller]
    pub fn flush(&self) {
        self.producer.flush(PATIENCE).expect("the broker answers");
        let failure = self.deliveries.with(|delivered| delivered.failure.take());
        assert_eq!(failure, None, "the broker refused a message");
    }

    /// The ends of a topic's partitions, as this client's messages moved them:
    /// `topic/partition@offset`.
    #[must_use]
    pub fn ends(&self, topic: &str) -> Vec<String> {
        self.deliveries.with(|delivered| {
            let ends = delivered.ends.iter().filter(|((name, _), _)| name == topic);
            ends.map(|((_, partition), end)| format!("{topic}/{partition}@{end}"))
                .collect()
        })
    }

    /// Every message of a topic, in order by partition.
    ///
    /// # Panics
    /// Where the broker does not answer.
    #[must_use]
    #[track_caller]
    pub fn read(&self, topic: &str) -> Vec<Message> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .set("group.id", "reader")
            .set("enable.auto.commit", "false")
            .create()
            .expect("a consumer");
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE);
        let metadata = metadata.expect("the broker answers");
        let partitions = metadata.topics()[0].partitions().len();
        let mut list = TopicPartitionList::new();
        let mut left = 0;
        for partition in 0..i32::try_from(partitions).expect("few partitions") {
            let marks = consumer.fetch_watermarks(topic, partition, PATIENCE);
            let (low, high) = marks.expect("the broker answers");
            left += high - low;
            list.add_partition_offset(topic, partition, Offset::Offset(low))
                .expect("an offset");
        }
        consumer.assign(&list).expect("partitions can be assigned");
        let mut messages = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        // The end that the broker names may lag behind its last batch.
        let mut heard = Instant::now();
        while left > 0 || heard.elapsed() < SILENCE {
            assert!(Instant::now() < deadline, "{topic}: {left} are missing");
            let Some(message) = consumer.poll(SILENCE / 4) else {
                continue;
            };
            heard = Instant::now();
            let message = message.expect("the broker answers");
            let text = |bytes: Option<&[u8]>| {
                String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
            };
            messages.push(Message {
                partition: message.partition(),
                key: text(message.key()),
                value: text(message.payload()),
            });
            left -= 1;
        }
        messages
    }
}

impl Deliveries {
    fn with<T>(&self, act: impl FnOnce(&mut Delivered) -> T) -> T {
        act(&mut self.0.lock().expect("nobody panics here"))
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.with(|delivered| match result {
            Ok(message) => {
                let place = (message.topic().to_owned(), message.partition());
                delivered.ends.insert(place, message.offset() + 1);
            }
            Err((error, _)) => {
                delivered.failure.get_or_insert_with(|| error.to_string());
            }
        });
    }
}
