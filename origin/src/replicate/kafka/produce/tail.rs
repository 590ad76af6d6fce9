//! The last event in every partition of the topic that the origin produces to.

use std::time::Duration;

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::super::client::{Brokers, Isolation, Listener, catalogue};
use super::super::error::KafkaFault;
use super::{HEADER_LOG, HEADER_SEQ, Place, SOURCE};
use crate::clock::Stopwatch;

/// Messages that are looked at in each partition: the last is enough, unless it is a
/// transaction's mark or somebody else's.
const LOOKED_AT: i64 = 100;
/// Without a message for so long there is none ...
const SILENCE: Duration = Duration::from_secs(2);
/// ... or, once every partition was read to the end that the broker named, no more: an end
/// that a broker names may lag behind its last batch.
const SILENCE_AT_END: Duration = Duration::from_millis(500);

/// The place of the last event of `log` in each partition; (0, 0) where there is none.
pub(super) fn read(
    brokers: &Brokers,
    topic: &str,
    log: &str,
    timeout: Duration,
) -> Result<Vec<Place>, KafkaFault> {
    let listener = Listener::default();
    let consumer: BaseConsumer<Listener> =
        brokers.consumer(SOURCE, Isolation::Everything, timeout, listener.clone())?;
    let (_, states) = catalogue(&consumer, &brokers.list, &[topic.to_owned()], timeout)?;
    let ends = states.into_iter().flat_map(|state| state.partitions);
    let ends: Vec<(i64, i64)> = ends.collect();
    let mut list = TopicPartitionList::new();
    let mut open = 0_usize;
    for (partition, &(low, high)) in (0..).zip(&ends) {
        open += usize::from(high > low);
        let from = Offset::Offset(low.max(high - LOOKED_AT));
        list.add_partition_offset(topic, partition, from)
            .map_err(KafkaFault::Client)?;
    }
    consumer.assign(&list).map_err(KafkaFault::Client)?;
    let mut places = vec![(0, 0); ends.len()];
    let mut heard = Stopwatch::start();
    loop {
        let patience = if open > 0 {
            SILENCE.max(timeout / 4)
        } else {
            SILENCE_AT_END
        };
        if heard.elapsed() >= patience {
            return Ok(places);
        }
        let message = match consumer.poll(SILENCE_AT_END / 4) {
            None => continue,
            Some(Err(error)) => return Err(listener.fault(&error, &brokers.list, Some(topic))),
            Some(Ok(message)) => message,
        };
        heard = Stopwatch::start();
        let Ok(partition) = usize::try_from(message.partition()) else {
            continue;
        };
        let (Some(place), Some((_, high))) = (places.get_mut(partition), ends.get(partition))
        else {
            continue;
        };
        if let Some(found) = place_of(&message, log) {
            *place = found.max(*place);
        }
        open -= usize::from(message.offset() + 1 == *high);
    }
}

fn place_of(message: &BorrowedMessage<'_>, log: &str) -> Option<Place> {
    let headers = message.headers()?;
    let value = |name: &str| {
        let header = headers.iter().find(|header| header.key == name)?;
        std::str::from_utf8(header.value?).ok()
    };
    if value(HEADER_LOG)? != log {
        return None;
    }
    let (seq, event) = value(HEADER_SEQ)?.split_once('/')?;
    Some((seq.parse().ok()?, event.parse().ok()?))
}
