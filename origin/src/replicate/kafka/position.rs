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
pub(in crate::replicate) const CHECKPOINT: &str = "kafka";
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

/// A checkpoint without a topic, which then is read as one that is new. `None` where nothing is
/// left of it, or it cannot be read: every topic is new then.
pub(super) fn without_topic(checkpoint: &[u8], topic: &str) -> Option<Vec<u8>> {
    let mut stored = Stored::decode(checkpoint).ok()?;
    stored.topics.remove(topic);
    let is_left = !stored.topics.is_empty();
    is_left.then(|| serde_json::to_vec(&stored).expect("names and numbers are JSON"))
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

    /// What the brokers have of some topics and was not read yet: the ends of those partitions,
    /// by slot.
    pub(super) fn behind(&self, states: &[TopicState], of: &[bool]) -> Vec<(usize, i64)> {
        let topics = self.head.topics.iter().zip(states).zip(of);
        let wanted = topics.filter(|(_, is_wanted)| **is_wanted);
        let ends = wanted.flat_map(|((topic, state), _)| {
            let ends = state.partitions.iter().map(|(_, high)| *high);
            (topic.first..topic.first + topic.partitions).zip(ends)
        });
        ends.filter(|(index, end)| !self.has_read(*index, *end))
            .collect()
    }

    /// Whether a partition was read up to an end.
    pub(super) fn has_read(&self, index: usize, end: i64) -> bool {
        self.slots.get(index).is_none_or(|slot| slot.0 >= end)
    }

    /// Whether the brokers still have what is to be read next, as seen at or after this
    /// position.
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

    /// Partitions that seem to end before what is to be read next, by slot. A broker may name
    /// an end that lags, so each is in doubt only until the message before is seen.
    pub(super) fn doubts(&self, states: &[TopicState]) -> Vec<(usize, KafkaFault)> {
        let ends = states.iter().flat_map(|state| {
            let ends = state.partitions.iter().enumerate();
            ends.map(move |(partition, &(_, high))| (&state.name, partition, high))
        });
        let doubts = ends.zip(self.slots.iter()).enumerate();
        let doubts = doubts.filter(|(_, ((_, _, high), slot))| slot.0 > *high);
        let doubts = doubts.map(|(index, ((topic, partition, high), slot))| {
            let fault = KafkaFault::Ahead {
                topic: topic.clone(),
                partition,
                next: slot.0,
                high,
            };
            (index, fault)
        });
        doubts.collect()
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
    for (partition, (&Slot(next, _), &(low, _))) in slots.iter().zip(&state.partitions).enumerate()
    {
        let topic = topic();
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

/// A message's place for people: `topic/partition@offset`.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<'a>(pub(super) &'a str, pub(super) i32, pub(super) i64);

impl std::fmt::Display for At<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}@{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replicate::apply::Position as _;

    fn wanted(tables: &[u32]) -> Vec<Wanted> {
        vec![Wanted {
            topic: "t".to_owned(),
            tables: tables.to_vec(),
        }]
    }

    fn state(partitions: &[(i64, i64)]) -> Vec<TopicState> {
        vec![TopicState {
            name: "t".to_owned(),
            partitions: partitions.to_vec(),
        }]
    }

    /// Position after reading 10 messages of partition 0 of cluster `c`.
    fn stored() -> Stored {
        let cluster = Some("c".to_owned());
        let ends = state(&[(0, 10), (5, 5)]);
        let mut position =
            Position::resolve(None, &wanted(&[1]), cluster, &ends, false).expect("fresh");
        assert_eq!(position.slot(0, 1), Some((1, Slot(5, 0))));
        assert_eq!(position.slot(0, 2), None);
        let before = position.clone();
        position.advance(0, Slot(10, 77));
        position.set_key(0, &["id".to_owned()]);
        assert_eq!(before.slot(0, 0), Some((0, Slot(0, 0))), "a clone stays");
        Stored::decode(&position.encode()).expect("its own bytes")
    }

    fn resolve(tables: &[u32], cluster: &str, ends: &[(i64, i64)]) -> Result<Position, KafkaFault> {
        let cluster = Some(cluster.to_owned());
        Position::resolve(
            Some(&stored()),
            &wanted(tables),
            cluster,
            &state(ends),
            true,
        )
    }

    #[test]
    fn a_restart_goes_on_where_it_was_and_takes_new_partitions_from_their_start() {
        let position = resolve(&[1], "c", &[(3, 12), (5, 9), (2, 4)]).expect("the same topic");
        let slots: Vec<_> = position.each().map(|(_, _, _, slot)| slot).collect();
        assert_eq!(slots, [Slot(10, 77), Slot(5, 0), Slot(2, 0)]);
        assert_eq!(position.key(0), ["id"]);
    }

    #[test]
    fn a_table_that_is_new_reads_its_topic_from_the_beginning() {
        let position = resolve(&[1, 2], "c", &[(3, 12), (5, 9)]).expect("a topic");
        assert_eq!(position.slot(0, 0), Some((0, Slot(3, 0))));
        assert!(position.key(0).is_empty());
    }

    #[test]
    fn other_clusters_and_other_topics_are_refused() {
        let refused = |cluster: &str, ends: &[(i64, i64)]| {
            let fault = resolve(&[1], cluster, ends).expect_err("is refused");
            assert!(fault.needs_resync(), "{fault}");
            fault.to_string()
        };
        assert!(refused("d", &[(0, 10), (5, 5)]).contains("cluster d"));
        let ends = [(0, 9), (5, 5)];
        let doubts = resolve(&[1], "c", &ends)
            .expect("to be proven")
            .doubts(&state(&ends));
        let [(0, fault)] = &doubts[..] else {
            panic!("{doubts:?}");
        };
        assert!(fault.to_string().contains("t/0: the next message is @10"));
        assert!(refused("c", &[(11, 20), (5, 5)]).contains("begins @11"));
        assert!(refused("c", &[(0, 10)]).contains("has 1 partitions, but had 2"));
        assert!(Stored::decode(b"{").is_err());
    }

    #[test]
    fn what_is_behind_is_told_by_topic() {
        let ends = [(3, 12), (5, 5)];
        let position = resolve(&[1], "c", &ends).expect("the same topic");
        assert_eq!(position.behind(&state(&ends), &[true]), [(0, 12)]);
        assert_eq!(position.behind(&state(&ends), &[false]), []);
        assert!(position.has_read(0, 10) && !position.has_read(0, 12));
    }

    #[test]
    fn a_topic_that_is_forgotten_is_read_as_a_new_one() {
        let mut two = stored();
        let other = two.topics.get("t").expect("it is there").clone();
        two.topics.insert("u".to_owned(), other);
        let two = serde_json::to_vec(&two).expect("JSON");
        let one = without_topic(&two, "u").expect("one is left");
        assert_eq!(Stored::decode(&one).expect("its own bytes"), stored());
        assert_eq!(without_topic(&one, "t"), None);
        assert_eq!(without_topic(b"{", "t"), None);
    }

    #[test]
    fn fingerprints_tell_messages_apart() {
        let one = print(1, Some(b"a"), Some(b"b"));
        assert_ne!(one, print(2, Some(b"a"), Some(b"b")));
        assert_ne!(one, print(1, Some(b"ab"), Some(b"")));
        assert_ne!(print(1, None, Some(b"")), print(1, Some(b""), None));
    }
}
