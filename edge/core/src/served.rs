//! Explore slots on their way to the origin: buffered, sent in batches through the queue.

use alloc::vec::Vec;

use edgewise_wire::served::ServedSlot;

use crate::limits::SERVED_MAX;

/// Sent as soon as there are this many ...
const FLUSH_COUNT: usize = 64;
/// ... or the oldest waits this long.
const FLUSH_AFTER_MS: i64 = 2_000;

/// Slots that wait.
#[derive(Debug, Default)]
pub(crate) struct ServedBuffer {
    slots: Vec<ServedSlot>,
    oldest_ms: i64,
    /// Slots given up because the buffer was full.
    pub(crate) dropped: u64,
}

impl ServedBuffer {
    /// Adds slots; the oldest fall out where there are too many.
    pub(crate) fn extend(&mut self, slots: impl IntoIterator<Item = ServedSlot>, wall_ms: i64) {
        if self.slots.is_empty() {
            self.oldest_ms = wall_ms;
        }
        self.slots.extend(slots);
        let excess = self.slots.len().saturating_sub(SERVED_MAX);
        self.dropped += excess as u64;
        self.slots.drain(..excess);
    }

    /// The slots to send now, if it is time.
    pub(crate) fn take_due(&mut self, wall_ms: i64) -> Option<Vec<ServedSlot>> {
        let waited = wall_ms.saturating_sub(self.oldest_ms) >= FLUSH_AFTER_MS;
        let due = self.slots.len() >= FLUSH_COUNT || (waited && !self.slots.is_empty());
        due.then(|| core::mem::take(&mut self.slots))
    }

    /// Slots waiting.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }
}

/// The queue message of slots.
pub(crate) fn message(slots: &[ServedSlot]) -> Vec<u8> {
    #[derive(serde::Serialize)]
    struct Message<'a> {
        served: &'a [ServedSlot],
    }
    serde_json::to_vec(&Message { served: slots }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn slots(count: usize) -> impl Iterator<Item = ServedSlot> {
        (0..count).map(|index| ServedSlot {
            request_id: format!("{index:032x}"),
            item: "i".into(),
            position: 10,
            propensity: 0.02,
            at_ms: 5,
        })
    }

    #[test]
    fn flushes_by_count_or_age() {
        let mut buffer = ServedBuffer::default();
        buffer.extend(slots(3), 1_000);
        assert_eq!(buffer.take_due(2_999), None);
        assert_eq!(buffer.take_due(3_000).map(|slots| slots.len()), Some(3));
        assert_eq!(buffer.take_due(9_000), None, "nothing waits");
        buffer.extend(slots(64), 9_000);
        assert_eq!(buffer.take_due(9_000).map(|slots| slots.len()), Some(64));
    }

    #[test]
    fn is_bounded_and_its_message_fits() {
        let mut buffer = ServedBuffer::default();
        buffer.extend(slots(SERVED_MAX + 5), 0);
        assert_eq!((buffer.len(), buffer.dropped), (SERVED_MAX, 5));
        let longest = ServedSlot {
            item: "\"".repeat(64),
            ..slots(1).next().expect("one")
        };
        let all = alloc::vec![longest; SERVED_MAX];
        assert!(message(&all).len() <= crate::limits::MESSAGE_MAX_BYTES);
    }
}
