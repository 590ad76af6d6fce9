//! Follows topics: messages in, batches with offsets out.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use metrics::gauge;
use rdkafka::Message;
use rdkafka::consumer::Consumer;
use rdkafka::consumer::stream_consumer::StreamConsumer;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};

use super::client::{Listener, TopicState};
use super::error::KafkaFault;
use super::position::{At, CHECKPOINT, Position, Slot, Stored, Wanted, print};
use super::topic::{Changes, Incoming, Now, Topic};
use super::{Client, formats, stopped};
use crate::clock::Stopwatch;
use crate::replicate::apply::{Applier, ApplierConfig};
use crate::replicate::supervise::{SourceContext, SourceError};
use crate::store::read;

/// Between looks at partitions and ends of the topics.
const DISCOVERY: Duration = Duration::from_secs(30);
/// Between statuses.
const STATUS: Duration = Duration::from_secs(1);
/// How long the message before the next may take to come from a partition that seems too short.
const PROOF: Duration = Duration::from_secs(10);
/// Without a message for so long the topics of items are read to their ends: the last offsets
/// may be a transaction's marks, which never come.
const ITEMS_SILENCE: Duration = Duration::from_secs(3);
/// Messages that are read before anything else has its turn.
const TURN_MESSAGES: usize = 500;
/// Messages that the source has and are not durable here.
pub(super) const LAG_MESSAGES: &str = "edgewise_replicate_lag_messages";

/// Why following ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was told to.
    Stopped,
    /// A topic has more partitions: they are to be assigned.
    NewPartitions,
    /// The topics of items were read: now all are.
    ItemsRead,
}

/// One life of a source: its topics, its position, and the message that proves each partition.
pub(super) struct Follower<'c> {
    context: &'c SourceContext,
    client: &'c Client,
    topics: Vec<Topic>,
    position: Position,
    applier: Applier<Position>,
    /// Fingerprints that the message before the next must have, by slot; taken once seen.
    proofs: Vec<Option<Slot>>,
    /// Partitions that seem too short, by slot, until their proof is seen.
    doubts: Vec<(usize, KafkaFault)>,
    /// Partitions of items that are read first, by slot, and their ends; where there are none
    /// every topic is read.
    first: Vec<(usize, i64)>,
    /// Since the last message.
    heard: Stopwatch,
    connected: Stopwatch,
    changes: Changes,
    newest_ms: Option<i64>,
}

impl<'c> Follower<'c> {
    /// Reads the stored offsets, compares them with the brokers', and assigns every partition;
    /// with `items_first` only those of items, where they are not read to their ends: an event
    /// counts for its item's author only where the item is known.
    pub(super) async fn connect(
        context: &'c SourceContext,
        client: &'c Client,
        items_first: bool,
    ) -> Result<Self, SourceError> {
        let config = &context.config;
        let mut topics = topics_of(context)?;
        let names: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
        let (cluster, states) = client.states(names).await?;
        let stored = read::checkpoint(&*context.store.read()?, &config.name, CHECKPOINT)?;
        let decoded = stored.as_deref().map(Stored::decode).transpose()?;
        let wanted = topics.iter().map(|topic| Wanted {
            topic: topic.name.clone(),
            tables: topic.tables(),
        });
        let wanted: Vec<Wanted> = wanted.collect();
        let from_end = !config.snapshot.enabled;
        let position = Position::resolve(decoded.as_ref(), &wanted, cluster, &states, from_end)?;
        for (at, topic) in topics.iter_mut().enumerate() {
            topic.know_key(position.key(at));
        }
        let doubts = position.doubts(&states);
        let of_items: Vec<bool> = topics
            .iter()
            .map(|t| t.has_items() && items_first)
            .collect();
        let first = position.behind(&states, &of_items);
        let assigned = Some(of_items.as_slice()).filter(|_| !first.is_empty());
        let proofs = assign(&client.consumer, &position, &states, assigned)?;
        let applier = Applier::new(
            context.writer.clone(),
            ApplierConfig::new(&config.name, CHECKPOINT),
            stored,
            Arc::clone(&context.metrics),
        );
        tracing::info!(
            source = config.name,
            topics = topics.len(),
            partitions = position.each().count(),
            position = position_text(&position),
            "follows topics"
        );
        Ok(Self {
            context,
            client,
            topics,
            position,
            applier,
            proofs,
            doubts,
            first,
            heard: Stopwatch::start(),
            connected: Stopwatch::start(),
            changes: Vec::new(),
            newest_ms: None,
        })
    }

    /// Whether only the topics of items are read.
    pub(super) fn reads_items(&self) -> bool {
        !self.first.is_empty()
    }

    /// Reads until it is told to stop, a topic has new partitions, or what was to be read first
    /// was; everything that was read is durable then.
    pub(super) async fn follow(
        &mut self,
        consumer: &StreamConsumer<Listener>,
    ) -> Result<Ended, SourceError> {
        let mut stop = self.context.stop.clone();
        let mut messages = consumer.stream();
        let mut status = interval(STATUS);
        status.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut discovery = interval_at(Instant::now() + DISCOVERY, DISCOVERY);
        discovery.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looking = None;
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => {
                    self.applier.flush().await?;
                    return Ok(Ended::Stopped);
                }
                _ = status.tick() => {
                    self.doubt()?;
                    self.report();
                    if self.reads_items() && self.heard.elapsed() >= ITEMS_SILENCE {
                        self.applier.flush().await?;
                        return Ok(Ended::ItemsRead);
                    }
                }
                _ = discovery.tick(), if looking.is_none() => {
                    let names = self.topics.iter().map(|topic| topic.name.clone()).collect();
                    looking = Some((self.position.clone(), Box::pin(self.client.states(names))));
                }
                seen = seen(&mut looking) => {
                    if self.has_more(seen)? {
                        self.applier.flush().await?;
                        return Ok(Ended::NewPartitions);
                    }
                }
                message = messages.next() => {
                    let mut next = message;
                    for _ in 0..TURN_MESSAGES {
                        let Some(message) = next else { break };
                        self.message(message).await?;
                        next = messages.next().now_or_never().flatten();
                    }
                    if let Some(message) = next {
                        self.message(message).await?;
                    }
                    self.applier.advance(self.position.clone(), self.newest_ms.take()).await?;
                    if self.has_read_items() {
                        self.applier.flush().await?;
                        return Ok(Ended::ItemsRead);
                    }
                }
                done = self.applier.idle() => done?,
            }
            tokio::task::yield_now().await;
        }
    }

    fn has_read_items(&mut self) -> bool {
        self.heard = Stopwatch::start();
        let position = &self.position;
        let mut ends = self.first.iter();
        self.reads_items() && ends.all(|(index, end)| position.has_read(*index, *end))
    }

    async fn message(
        &mut self,
        message: KafkaResult<BorrowedMessage<'_>>,
    ) -> Result<(), SourceError> {
        let message = match message {
            Ok(message) => message,
            Err(error) => return self.client_error(&error).map_err(Into::into),
        };
        let topic = self
            .topics
            .iter()
            .position(|topic| topic.name == message.topic());
        let place =
            topic.and_then(|topic| Some((topic, self.position.slot(topic, message.partition())?)));
        let Some((topic, (index, slot))) = place else {
            return Ok(());
        };
        let incoming = Incoming {
            key: message.key(),
            value: message.payload(),
            timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
            partition: message.partition(),
            offset: message.offset(),
        };
        let print = print(incoming.timestamp_ms, incoming.key, incoming.value);
        if let Some(Slot(next, known)) = self.proofs.get_mut(index).and_then(Option::take)
            && incoming.offset == next - 1
            && print != known
        {
            return Err(KafkaFault::Recreated {
                topic: message.topic().to_owned(),
                partition: incoming.partition,
                offset: incoming.offset,
            }
            .into());
        }
        if incoming.offset < slot.0 {
            return Ok(());
        }
        self.apply(topic, index, &incoming, Slot(incoming.offset + 1, print))
            .await
    }

    async fn apply(
        &mut self,
        at: usize,
        index: usize,
        incoming: &Incoming<'_>,
        after: Slot,
    ) -> Result<(), SourceError> {
        let clock = &self.context.clock;
        let now = Now {
            wall_ms: clock.wall_ms(),
            domain_ms: clock.domain_ms(),
        };
        let Some(topic) = self.topics.get_mut(at) else {
            return Ok(());
        };
        let was_bound = topic.key().is_some();
        let mut changes = std::mem::take(&mut self.changes);
        let said = topic.read(incoming, now, &mut changes)?;
        if !was_bound {
            keep_key(&mut self.position, at, topic)?;
        }
        self.newest_ms = self.newest_ms.max(said.source_ms);
        // Between a message's changes a batch may be cut: then the message comes again.
        let before = self.position.clone();
        self.position.advance(index, after);
        if said.is_truncated {
            self.truncate(at, incoming, now, &mut changes, &before)
                .await?;
        }
        let last = changes.len().saturating_sub(1);
        for (count, (change, dead)) in changes.drain(..).enumerate() {
            let position = if count == last {
                &self.position
            } else {
                &before
            };
            self.applier.push(change, dead, position.clone()).await?;
        }
        self.changes = changes;
        Ok(())
    }

    /// The table was truncated. Among several partitions nothing says what came before it.
    async fn truncate(
        &mut self,
        at: usize,
        incoming: &Incoming<'_>,
        now: Now,
        changes: &mut Changes,
        before: &Position,
    ) -> Result<(), SourceError> {
        let partitions = self.position.partitions(at);
        let Some(topic) = self.topics.get_mut(at) else {
            return Ok(());
        };
        if partitions > 1 {
            let reason = format!(
                "the table was truncated, but in a topic of {partitions} partitions nothing says \
                 which rows came before; use one partition, or run `edgewise replicate resync`"
            );
            tracing::error!(
                source = self.context.config.name,
                topic = topic.name,
                reason,
                "ignored a truncation"
            );
            topic.refuse(incoming, &reason, now, changes);
            return Ok(());
        }
        let tables: Vec<_> = topic.ids().collect();
        for table in tables {
            self.applier.clear(table, before.clone(), None).await?;
        }
        self.applier
            .advance(self.position.clone(), None)
            .await
            .map_err(Into::into)
    }

    /// What an error of the client means for the source.
    fn client_error(&mut self, error: &KafkaError) -> Result<(), KafkaFault> {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
                if !self.doubts.is_empty() =>
            {
                let (_, fault) = self.doubts.swap_remove(0);
                Err(fault)
            }
            // Groups are not used; whether they are allowed does not matter.
            Some(
                RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::PartitionEOF,
            ) => Ok(()),
            _ => Err(self
                .client
                .listener
                .fault(error, &self.client.brokers.list, None)),
        }
    }

    /// Whether a topic has new partitions; an error where it has lost what is to be read.
    fn has_more(&self, (position, states): Seen) -> Result<bool, KafkaFault> {
        let (_, states) = states?;
        // The ends are of a moment after that position.
        position.check(&states)?;
        let is_more =
            |(at, state): (usize, &TopicState)| state.partitions.len() > position.partitions(at);
        Ok(states.iter().enumerate().any(is_more))
    }

    /// An error where a partition that seemed too short did not show the message before the next.
    fn doubt(&mut self) -> Result<(), KafkaFault> {
        let proofs = &self.proofs;
        let is_open = |index: &usize| proofs.get(*index).is_none_or(Option::is_some);
        self.doubts.retain(|(index, _)| is_open(index));
        if self.connected.elapsed() < PROOF || self.doubts.is_empty() {
            return Ok(());
        }
        let (_, fault) = self.doubts.swap_remove(0);
        Err(fault)
    }

    fn report(&mut self) {
        let context = self.context;
        let now_ms = context.clock.wall_ms();
        for topic in &mut self.topics {
            topic
                .qualities()
                .for_each(|quality| quality.publish(now_ms));
        }
        let durable = self.applier.durable().borrow().clone();
        let position = durable.unwrap_or_else(|| self.position.clone());
        let listener = &self.client.listener;
        let lag = position
            .each()
            .map(|(topic, _, partition, slot)| listener.lag(topic, partition, slot.0));
        let lag: u64 = lag.sum();
        gauge!(LAG_MESSAGES, "source" => context.config.name.clone()).set(lag as f64);
        context.status.position(&position_text(&position));
        context.status.lag(None, Some(context.metrics.lag_ms()));
    }
}

/// The topics as the brokers have them, and where the source stood when they were asked.
type Seen = (
    Position,
    Result<(Option<String>, Vec<TopicState>), KafkaFault>,
);

/// Waits for the brokers' answer, where they were asked. May be cancelled and called again.
async fn seen<F>(looking: &mut Option<(Position, Pin<Box<F>>)>) -> Seen
where
    F: Future<Output = Result<(Option<String>, Vec<TopicState>), KafkaFault>>,
{
    let Some((_, answer)) = looking else {
        return std::future::pending().await;
    };
    let states = answer.await;
    let position = looking.take().map(|(position, _)| position);
    (position.expect("it was looked up above"), states)
}

/// The mapped topics, with the entries that read them.
fn topics_of(context: &SourceContext) -> Result<Vec<Topic>, KafkaFault> {
    let source = &context.config.name;
    let topics = formats(&context.config)?.into_iter().map(|(name, format)| {
        let entries = context
            .tables
            .iter()
            .filter(|(_, plan)| plan.table() == name);
        Topic::new(source, &name, format, entries.cloned().collect())
    });
    Ok(topics.collect())
}

/// The key's columns must be those that the rows are remembered by.
fn keep_key(position: &mut Position, at: usize, topic: &Topic) -> Result<(), KafkaFault> {
    let Some(now) = topic.key() else {
        return Ok(());
    };
    let was = position.key(at);
    if was.is_empty() {
        position.set_key(at, now);
        return Ok(());
    }
    if !now.is_empty() && was != now {
        return Err(KafkaFault::KeyChanged {
            topic: topic.name.clone(),
            was: was.join(", "),
            now: now.join(", "),
        });
    }
    Ok(())
}

/// Assigns every partition (of the topics `of`), from the message before the next where that is there to prove it.
fn assign(
    consumer: &StreamConsumer<Listener>,
    position: &Position,
    states: &[TopicState],
    of: Option<&[bool]>,
) -> Result<Vec<Option<Slot>>, KafkaFault> {
    let mut list = TopicPartitionList::new();
    let mut proofs = Vec::new();
    for (topic, at, partition, slot) in position.each() {
        let is_assigned = of.is_none_or(|of| of.get(at).is_some_and(|is_of| *is_of));
        if !is_assigned {
            proofs.push(None);
            continue;
        }
        let state = states
            .get(at)
            .and_then(|state| state.partitions.get(usize::try_from(partition).ok()?));
        let is_there = slot.1 != 0 && state.is_some_and(|(low, _)| slot.0 > *low);
        proofs.push(is_there.then_some(slot));
        let from = slot.0 - i64::from(is_there);
        list.add_partition_offset(topic, partition, Offset::Offset(from))
            .map_err(KafkaFault::Client)?;
    }
    consumer.assign(&list).map_err(KafkaFault::Client)?;
    Ok(proofs)
}

/// The position for people: the next offset of the first partitions.
fn position_text(position: &Position) -> String {
    const SHOWN: usize = 8;
    let slots = position
        .each()
        .map(|(topic, _, partition, slot)| At(topic, partition, slot.0).to_string());
    let mut texts: Vec<String> = slots.take(SHOWN + 1).collect();
    if texts.len() > SHOWN {
        texts.truncate(SHOWN);
        texts.push("…".to_owned());
    }
    texts.join(" ")
}
