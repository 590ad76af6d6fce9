//! Where a source of topics stands: the next offset of every partition, kept in the store.
//!
//! With each offset goes a fingerprint of the message before it: a topic that was deleted and
//! created again has another message there, however long it has become.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::client::TopicState;
use super::error::KafkaFault;
use crate::replicate::apply;

/// The checkpoint that holds them.
pub(super) const CHECKPOINT: &str = "kafka";
/// Partitions of a source at most: its position names each.
pub(super) const PARTITIONS_MAX: usize = 1_024;

/// A partition's next offset, and the fingerprint of the message before it; 0 = not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Slot(pub(super) i64, pub(super) u64);

/// A topic in the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredTopic {
    /// The mapped tables that were read from it.
    tables: Vec<u32>,
    /// The key's columns, as the messages named them; empty where the mapping does.
    key: Vec<String>,
    slots: Vec<Slot>,
}

/// The checkpoint's bytes, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stored {
    cluster: Option<String>,
    topics: BTreeMap<String, StoredTopic>,
}

impl Stored {
    /// Reads a checkpoint.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, KafkaFault> {
        serde_json::from_slice(bytes).map_err(|error| KafkaFault::Checkpoint(error.to_string()))
    }
}

/// A topic that is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Its name.
    pub(super) topic: String,
    /// The mapped tables that read it, ascending.
    pub(super) tables: Vec<u32>,
}

/// What does not change from message to message.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Head {
    cluster: Option<String>,
    topics: Vec<HeadTopic>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct HeadTopic {
    name: String,
    tables: Vec<u32>,
    key: Vec<String>,
    /// Its first slot.
    first: usize,
    partitions: usize,
}

/// Where the source stands. A clone is two counts; a change copies the slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    head: Arc<Head>,
    slots: Arc<Vec<Slot>>,
}

impl apply::Position for Position {
    fn encode(&self) -> Vec<u8> {
        let topics = self.head.topics.iter().map(|topic| {
            let slots = self.slots.get(topic.first..topic.first + topic.partitions);
            let stored = StoredTopic {
                tables: topic.tables.clone(),
                key: topic.key.clone(),
                slots: slots.unwrap_or_default().to_vec(),
            };
            (topic.name.clone(), stored)
        });
        let stored = Stored {
            cluster: self.head.cluster.clone(),
            topics: topics.collect(),
        };
        serde_json::to_vec(&stored).expect("names and numbers are JSON")
    }
}

impl Position {
    /// A partition's slot; the topic by its place in what was wanted.
    pub(super) fn slot(&self, topic: usize, partition: i32) -> Option<(usize, Slot)> {
        let topic = self.head.topics.get(topic)?;
        let partition = usize::try_from(partition).ok()?;
        let index = (partition < topic.partitions).then_some(topic.first + partition)?;
        Some((index, *self.slots.get(index)?))
    }

    /// Moves a partition on.
    pub(super) fn advance(&mut self, index: usize, slot: Slot) {
        if let Some(place) = Arc::make_mut(&mut self.slots).get_mut(index) {
            *place = slot;
        }
    }

    /// The key's columns that the topic's rows are remembered by; empty where none are known.
    pub(super) fn key(&self, topic: usize) -> &[String] {
        self.head.topics.get(topic).map_or(&[], |topic| &topic.key)
    }

    /// From now on the topic's rows are remembered by these columns.
    pub(super) fn set_key(&mut self, topic: usize, key: &[String]) {
        if let Some(topic) = Arc::make_mut(&mut self.head).topics.get_mut(topic) {
            topic.key = key.to_vec();
        }
    }

    /// How many partitions a topic has.
    pub(super) fn partitions(&self, topic: usize) -> usize {
        self.head
            .topics
            .get(topic)
            .map_or(0, |topic| topic.partitions)
    }

    /// Every partition with its slot: topic, its place, partition.
    pub(super) fn each(&self) -> impl Iterator<Item = (&str, usize, i32, Slot)> + '_ {
        self.head
            .topics
            .iter()
            .enumerate()
            .flat_map(move |(at, topic)| {
                let slots = self.slots.iter().skip(topic.first).take(topic.partitions);
                (0..)
                    .zip(slots)
                    .map(move |(partition, slot)| (topic.name.as_str(), at, partition, *slot))
            })
    }

    /// Where the source stands given what is stored and what the brokers have. A topic that is
    /// new, or read by a new table, starts at its beginning (at its end where `from_end`).
    ///
    /// # Errors
    /// Where what is stored is not of these topics.
    pub(super) fn resolve(
        stored: Option<&Stored>,
        wanted: &[Wanted],
        cluster: Option<String>,
        states: &[TopicState],
        from_end: bool,
    ) -> Result<Self, KafkaFault> {
        if let Some(was) = stored.and_then(|stored| stored.cluster.as_ref())
            && let Some(now) = cluster.as_ref().filter(|now| *now != was)
        {
            let (was, now) = (was.clone(), now.clone());
            return Err(KafkaFault::ClusterChanged { was, now });
        }
        let mut slots = Vec::new();
        let mut topics = Vec::new();
        for (wanted, state) in wanted.iter().zip(states) {
            let known = stored.and_then(|stored| stored.topics.get(&wanted.topic));
            let is_read_by = |known: &&StoredTopic| {
                wanted
                    .tables
                    .iter()
                    .all(|table| known.tables.contains(table))
            };
            let followed = known.filter(is_read_by);
            topics.push(HeadTopic {
                name: wanted.topic.clone(),
                tables: wanted.tables.clone(),
                key: followed.map(|known| known.key.clone()).unwrap_or_default(),
                first: slots.len(),
                partitions: state.partitions.len(),
            });
            let from_end = from_end && known.is_none();
            slots.extend(slots_of(followed, state, from_end)?);
        }
        if slots.len() > PARTITIONS_MAX {
            return Err(KafkaFault::TooManyPartitions {
                found: slots.len(),
                max: PARTITIONS_MAX,
            });
        }
        let cluster = cluster.or_else(|| stored.and_then(|stored| stored.cluster.clone()));
        Ok(Self {
            head: Arc::new(Head { cluster, topics }),
            slots: Arc::new(slots),
        })
    }

    /// Whether the brokers still have what is to be read next, as seen at or after this position.
    ///
    /// # Errors
    /// Names the first partition that does not.
    pub(super) fn check(&self, states: &[TopicState]) -> Result<(), KafkaFault> {
        for (topic, state) in self.head.topics.iter().zip(states) {
            let slots = self.slots.get(topic.first..topic.first + topic.partitions);
            check_slots(slots.unwrap_or_default(), state)?;
        }
        Ok(())
    }
}

fn slots_of(
    known: Option<&StoredTopic>,
    state: &TopicState,
    from_end: bool,
) -> Result<Vec<Slot>, KafkaFault> {
    let known = known.map_or(&[][..], |known| &known.slots);
    check_slots(known, state)?;
    let fresh = state.partitions.iter().skip(known.len());
    let fresh = fresh.map(|&(low, high)| Slot(if from_end { high } else { low }, 0));
    Ok(known.iter().copied().chain(fresh).collect())
}

fn check_slots(slots: &[Slot], state: &TopicState) -> Result<(), KafkaFault> {
    let topic = || state.name.clone();
    if slots.len() > state.partitions.len() {
        return Err(KafkaFault::PartitionsGone {
            topic: topic(),
            was: slots.len(),
            now: state.partitions.len(),
        });
    }
    for (partition, (&Slot(next, _), &(low, high))) in
        slots.iter().zip(&state.partitions).enumerate()
    {
        let topic = topic();
        if next > high {
            return Err(KafkaFault::Ahead {
                topic,
                partition,
                next,
                high,
            });
        }
        if next < low {
            return Err(KafkaFault::Expired {
                topic,
                partition,
                next,
                low,
            });
        }
    }
    Ok(())
}

/// The fingerprint of a message; never 0.
pub(super) fn print(timestamp_ms: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&timestamp_ms.to_le_bytes());
    for part in [key, value] {
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        hash.update(&length.to_le_bytes());
        hash.update(part.unwrap_or_default());
    }
    hash.digest().max(1)
}

/// `topic/partition@offset`.
pub(super) fn text(topic: &str, partition: i32, offset: i64) -> String {
    format!("{topic}/{partition}@{offset}")
}
