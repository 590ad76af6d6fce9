//! The origin's accepted events, produced to a topic from the log: keyed by user, in log order
//! for each user.
//!
//! The producer is idempotent and gapless, so a partition holds its events in log order without
//! a hole. How far the log is delivered is kept in the store *after* delivery; a producer that
//! starts again reads the last message of every partition and leaves out what is there already.

mod record;
mod tail;

use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use rand::TryRngCore;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use self::record::{Chunk, Outgoing, chunk};
use super::client::{Brokers, Listener};
use super::error::KafkaFault;
use crate::clock::Stopwatch;
use crate::ingest::rows::{CHECKPOINT_NAME_BYTES_MAX, Move, RowBatch};
use crate::ingest::{Command, Writer};
use crate::replicate::apply::Backoff;
use crate::replicate::config::{KafkaOutConfig, Since};
use crate::replicate::supervise::{Phase, SourceError, StatusBoard};
use crate::store::{Store, read};

/// The checkpoint's source; no source of a mapping may have a hyphen.
pub const SOURCE: &str = "kafka-out";
/// Header: the event's place, `<log record>/<event in it>`; it grows in each partition.
pub const HEADER_SEQ: &str = "edgewise-seq";
/// Header: which log; another store's has another.
pub const HEADER_LOG: &str = "edgewise-log";
/// Messages that wait for delivery at most ...
const QUEUED_MESSAGES_MAX: u32 = 50_000;
/// ... and their KiB.
const QUEUED_KIB_MAX: u32 = 32 * 1_024;
/// Between looks for new log records.
const POLL: Duration = Duration::from_millis(50);
/// Between moves of the checkpoint: each is a commit.
const MOVE_EVERY: Duration = Duration::from_secs(1);
/// Log records without an event of ours after which the checkpoint moves too.
const MOVE_RECORDS: u64 = 10_000;
/// Without any delivery for so long the producer is made anew.
const STALLED: Duration = Duration::from_secs(30);
/// A try of a call; between them the stop is looked at.
const TRY: Duration = Duration::from_millis(200);
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);
/// Pauses between tries to connect.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// Events that were delivered.
pub const EVENTS_TOTAL: &str = "edgewise_kafka_out_events_total";
/// Log records that were not looked at yet.
pub const LAG_RECORDS: &str = "edgewise_kafka_out_lag_records";

/// What producing needs.
#[derive(Clone)]
pub struct OutContext {
    /// `[kafka_out]`.
    pub config: KafkaOutConfig,
    /// The log.
    pub store: Arc<dyn Store>,
    /// For the checkpoint.
    pub writer: Writer,
    /// Turns true when it has to deliver what it has and return.
    pub stop: watch::Receiver<bool>,
    /// Where it says how it does.
    pub status: Arc<StatusBoard>,
}

/// Produces until it is told to stop; connects again where that may help.
///
/// # Errors
/// Where somebody has to do something.
pub async fn keep(context: OutContext) -> Result<(), SourceError> {
    let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
    let mut stop = context.stop.clone();
    loop {
        let started = Stopwatch::start();
        let Err(error) = run(context.clone()).await else {
            context.status.phase(Phase::Stopped);
            return Ok(());
        };
        let text = error.to_string();
        context
            .status
            .failed(&text, error.remedy(), error.is_retryable());
        if !error.is_retryable() {
            tracing::error!(
                topic = context.config.topic,
                error = text,
                remedy = error.remedy(),
                "events are not produced to Kafka any more"
            );
            return Err(error);
        }
        if started.elapsed() > BACKOFF.1 {
            backoff.reset();
        }
        tracing::warn!(
            topic = context.config.topic,
            error = text,
            remedy = error.remedy(),
            "producing to Kafka waits and tries again"
        );
        tokio::select! {
            () = super::stopped(&mut stop) => return Ok(()),
            () = tokio::time::sleep(backoff.next()) => {}
        }
    }
}

/// One life of the producer.
///
/// # Errors
/// See [`KafkaFault`].
pub async fn run(context: OutContext) -> Result<(), SourceError> {
    // The client's calls and the store's reads block.
    let done = tokio::task::spawn_blocking(move || Producing::connect(&context)?.follow());
    done.await
        .unwrap_or_else(|_| Err(KafkaFault::Interrupted.into()))
}

/// An event's place in the log: record, and event in it.
type Place = (u64, u32);

/// The checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Delivered {
    /// Which log, random.
    log: String,
    /// Everything up to this record was delivered.
    seq: u64,
}

struct Producing<'c> {
    context: &'c OutContext,
    brokers: Brokers,
    listener: Listener,
    producer: ThreadedProducer<Listener>,
    log: String,
    /// Everything up to this record was sent.
    seq: u64,
    /// The checkpoint's bytes now.
    stored: Option<Vec<u8>>,
    stored_seq: u64,
    has_sent: bool,
    moved: Stopwatch,
    /// The last event in each partition when the producer started.
    tails: Vec<Place>,
}

impl<'c> Producing<'c> {
    fn connect(context: &'c OutContext) -> Result<Self, SourceError> {
        context.status.phase(Phase::Connecting);
        let topic = &context.config.topic;
        let brokers = Brokers::parse(&context.config.brokers)?;
        let stored = read::checkpoint(&*context.store.read()?, SOURCE, &checkpoint_name(topic))?;
        let delivered = match &stored {
            Some(bytes) => serde_json::from_slice(bytes)
                .map_err(|error| KafkaFault::Checkpoint(error.to_string()))?,
            None => fresh(context),
        };
        let Delivered { log, seq } = delivered;
        let tails = tail::read(&brokers, topic, &log, CONNECT)?;
        let end = context.writer.position();
        if let Some(&(last, _)) = tails.iter().max().filter(|(last, _)| *last > end) {
            return Err(SourceError::fatal(
                format!(
                    "the topic {topic} has events up to log record {last}, but the log ends with {end}: an older backup was restored"
                ),
                "produce to a new topic: change topic in [kafka_out]",
            ));
        }
        let listener = Listener::default();
        let producer = brokers
            .producer(CONNECT)
            .set(
                "queue.buffering.max.messages",
                QUEUED_MESSAGES_MAX.to_string(),
            )
            .set("queue.buffering.max.kbytes", QUEUED_KIB_MAX.to_string())
            .create_with_context(listener.clone())
            .map_err(KafkaFault::Client)?;
        tracing::info!(
            topic,
            from = seq,
            partitions = tails.len(),
            "produces accepted events to Kafka"
        );
        context.status.phase(Phase::Streaming);
        let mut producing = Self {
            context,
            brokers,
            listener,
            producer,
            log,
            seq,
            stored,
            stored_seq: seq,
            has_sent: false,
            moved: Stopwatch::start(),
            tails,
        };
        if producing.stored.is_none() {
            // The log's name must be known before anything bears it.
            producing.keep()?;
        }
        Ok(producing)
    }

    fn follow(mut self) -> Result<(), SourceError> {
        loop {
            let end = self.context.writer.position();
            gauge!(LAG_RECORDS).set(end.saturating_sub(self.seq) as f64);
            if self.is_stopped() {
                return self.keep();
            }
            if end <= self.seq {
                self.keep_if_due()?;
                std::thread::sleep(POLL);
                continue;
            }
            let Chunk { events, last } = {
                let snapshot = self.context.store.read()?;
                chunk(
                    &*snapshot,
                    self.seq + 1,
                    &self.log,
                    &self.context.config.include,
                )?
            };
            self.deliver(&events)?;
            self.seq = last.unwrap_or(end).max(self.seq);
            self.keep_if_due()?;
        }
    }

    /// Sends a chunk and waits until the brokers have all of it.
    fn deliver(&mut self, events: &[Outgoing]) -> Result<(), SourceError> {
        let mut sent = 0;
        for event in events {
            let partition = partition_of(event.user.as_bytes(), self.tails.len());
            if self
                .tails
                .get(partition)
                .is_some_and(|tail| event.place <= *tail)
            {
                continue;
            }
            self.send(event, partition)?;
            sent += 1;
        }
        if sent > 0 {
            self.flush()?;
            self.has_sent = true;
            counter!(EVENTS_TOTAL).increment(sent);
        }
        Ok(())
    }

    fn send(&self, event: &Outgoing, partition: usize) -> Result<(), SourceError> {
        let place = format!("{}/{}", event.place.0, event.place.1);
        let stalled = Stopwatch::start();
        loop {
            let headers = OwnedHeaders::new_with_capacity(2)
                .insert(Header {
                    key: HEADER_SEQ,
                    value: Some(&place),
                })
                .insert(Header {
                    key: HEADER_LOG,
                    value: Some(&self.log),
                });
            let record = BaseRecord::to(&self.context.config.topic)
                .partition(i32::try_from(partition).unwrap_or(0))
                .key(event.user.as_bytes())
                .payload(&event.json)
                .timestamp(event.at_ms)
                .headers(headers);
            let Err((error, _)) = self.producer.send(record) else {
                return Ok(());
            };
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(self.fault(&error, event.place.0).into());
            }
            self.go_on(&stalled)?;
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn flush(&self) -> Result<(), SourceError> {
        let mut waiting = self.producer.in_flight_count();
        let mut stalled = Stopwatch::start();
        while self.producer.flush(TRY).is_err() {
            self.go_on(&stalled)?;
            let now = self.producer.in_flight_count();
            if now < waiting {
                (waiting, stalled) = (now, Stopwatch::start());
            }
        }
        self.failed_delivery()
    }

    /// An error where nothing was delivered for too long, or it is time to stop: what was not
    /// delivered is sent again at the next start.
    fn go_on(&self, stalled: &Stopwatch) -> Result<(), SourceError> {
        self.failed_delivery()?;
        if stalled.elapsed() < STALLED && !self.is_stopped() {
            return Ok(());
        }
        let timeout = KafkaError::MessageProduction(RDKafkaErrorCode::OperationTimedOut);
        Err(self.fault(&timeout, self.seq).into())
    }

    fn failed_delivery(&self) -> Result<(), SourceError> {
        match self.listener.failed() {
            Some(error) => Err(self.fault(&error, self.seq).into()),
            None => Ok(()),
        }
    }

    fn fault(&self, error: &KafkaError, seq: u64) -> KafkaFault {
        let topic = &self.context.config.topic;
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => KafkaFault::TooLarge {
                topic: topic.clone(),
                seq,
            },
            _ => self.listener.fault(error, &self.brokers.list, Some(topic)),
        }
    }

    fn keep_if_due(&mut self) -> Result<(), SourceError> {
        let is_new = self.has_sent && self.seq > self.stored_seq;
        let is_far = self.seq - self.stored_seq >= MOVE_RECORDS;
        if (is_new || is_far) && self.moved.elapsed() >= MOVE_EVERY {
            self.keep()?;
        }
        Ok(())
    }

    /// Moves the checkpoint to what was delivered.
    fn keep(&mut self) -> Result<(), SourceError> {
        if self.stored.is_some() && self.seq == self.stored_seq {
            return Ok(());
        }
        let delivered = Delivered {
            log: self.log.clone(),
            seq: self.seq,
        };
        let to = serde_json::to_vec(&delivered).expect("a name and a number are JSON");
        let moves = vec![Move {
            checkpoint: checkpoint_name(&self.context.config.topic),
            from: self.stored.clone(),
            to: Some(to.clone()),
        }];
        let batch = RowBatch {
            source: SOURCE.to_owned(),
            moves,
            ..RowBatch::default()
        };
        let command = Command::Rows(Box::new(batch));
        let outcome = self.context.writer.write(command).map_err(|error| {
            SourceError::retryable(format!("the place in the log cannot be kept: {error}"), "")
        })?;
        if outcome.conflict {
            let text = "another producer moved the place in the log";
            return Err(SourceError::retryable(
                text,
                "run one origin on a data directory",
            ));
        }
        (self.stored, self.stored_seq) = (Some(to), self.seq);
        self.has_sent = false;
        self.moved = Stopwatch::start();
        self.context
            .status
            .position(&format!("log record {}", self.seq));
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        // A dropped sender stops it too.
        *self.context.stop.borrow() || self.context.stop.has_changed().is_err()
    }
}

/// A topic's name fits, but for the longest: 249 bytes of ASCII.
fn checkpoint_name(topic: &str) -> String {
    topic.chars().take(CHECKPOINT_NAME_BYTES_MAX).collect()
}

/// Where a producer starts that never did.
fn fresh(context: &OutContext) -> Delivered {
    let mut name = [0; 8];
    // Without randomness the log's name is 0: it is told apart by its numbers only.
    let _ = rand::rngs::OsRng.try_fill_bytes(&mut name);
    Delivered {
        log: format!("{:016x}", u64::from_be_bytes(name)),
        seq: match context.config.since {
            Since::Beginning => 0,
            Since::Now => context.writer.position(),
        },
    }
}

/// The partition of a key: as Kafka's own clients choose it (murmur2).
fn partition_of(key: &[u8], partitions: usize) -> usize {
    let hash = murmur2(key) & 0x7fff_ffff;
    hash as usize % partitions.max(1)
}

fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut hash = 0x9747_b28c ^ length;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (at, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_where_other_clients_put_them() {
        // From Kafka's own UtilsTest.
        for (text, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(text.as_bytes()) as i32, hash, "{text}");
        }
        assert!(partition_of(b"u1", 3) < 3);
        assert_eq!(partition_of(b"u1", 0), 0);
    }
}
