//! Kafka: rows that Debezium writes to topics, an `events` topic, and the origin's events out.

mod envelope;

pub use envelope::{EnvelopeError, fuzz};
