//! Kafka: rows that Debezium writes to topics, an `events` topic, and the origin's events out.

// The consumer follows.
#[allow(dead_code)]
mod envelope;

pub use envelope::{EnvelopeError, fuzz};
