//! Why following topics, or producing to one, stopped.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::replicate::supervise::SourceFault;

/// Why a Kafka source stopped.
#[derive(Debug, thiserror::Error)]
pub enum KafkaFault {
    /// The url is none.
    #[error("the url of the brokers {0}")]
    Url(&'static str),
    /// The client refuses its settings.
    #[error("the Kafka client cannot be set up")]
    Client(#[source] KafkaError),
    /// No broker answers.
    #[error("no broker of {brokers} answers: {reason}")]
    Unreachable {
        /// `host:port,…`.
        brokers: String,
        /// What the client says.
        reason: String,
    },
    /// User or password are wrong.
    #[error("the brokers {brokers} refuse the login: {reason}")]
    Login {
        /// `host:port,…`.
        brokers: String,
        /// What the client says.
        reason: String,
    },
    /// There is no such topic.
    #[error("the topic {0} does not exist")]
    TopicMissing(String),
    /// The topic may not be read or written.
    #[error("the topic {0} may not be used with this login")]
    TopicDenied(String),
    /// More partitions than are followed.
    #[error("the topics have {found} partitions, more than {max}")]
    TooManyPartitions {
        /// How many.
        found: usize,
        /// How many may be.
        max: usize,
    },
    /// Another cluster.
    #[error("the brokers belong to the cluster {now}, but the offsets are of the cluster {was}")]
    ClusterChanged {
        /// The cluster of the offsets.
        was: String,
        /// The brokers' cluster.
        now: String,
    },
    /// A topic has fewer partitions.
    #[error("the topic {topic} has {now} partitions, but had {was}: it was created again")]
    PartitionsGone {
        /// The topic.
        topic: String,
        /// Partitions then.
        was: usize,
        /// Partitions now.
        now: usize,
    },
    /// Retention took what was not read.
    #[error(
        "{topic}/{partition}: the next message is @{next}, but the topic begins @{low}: messages were deleted before they were read"
    )]
    Expired {
        /// The topic.
        topic: String,
        /// The partition.
        partition: usize,
        /// The next offset to read.
        next: i64,
        /// The oldest offset there is.
        low: i64,
    },
    /// The topic is shorter than what was read.
    #[error(
        "{topic}/{partition}: the next message is @{next}, but the topic ends @{high}: it was created again or lost messages"
    )]
    Ahead {
        /// The topic.
        topic: String,
        /// The partition.
        partition: usize,
        /// The next offset to read.
        next: i64,
        /// The end of the partition.
        high: i64,
    },
    /// The message that was read last is another one now.
    #[error(
        "{topic}/{partition}@{offset} is not the message that was read: the topic was created again"
    )]
    Recreated {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The message.
        offset: i64,
    },
    /// The columns of the messages' keys are others.
    #[error("the keys of the topic {topic} are ({now}), but were ({was})")]
    KeyChanged {
        /// The topic.
        topic: String,
        /// The columns that rows are remembered by.
        was: String,
        /// The columns now.
        now: String,
    },
    /// A topic is mapped in two formats.
    #[error("the topic {0} is mapped with different formats")]
    Formats(String),
    /// A topic cannot be mapped.
    #[error("the topic {topic} does not fit its mapping: {reasons}")]
    Unbound {
        /// The topic.
        topic: String,
        /// Every reason.
        reasons: String,
    },
    /// The stored offsets cannot be read.
    #[error("the stored offsets cannot be read: {0}")]
    Checkpoint(String),
    /// An event is larger than the topic takes.
    #[error("the topic {topic} refuses the event of log record {seq}: it is too large")]
    TooLarge {
        /// The topic.
        topic: String,
        /// The log record.
        seq: u64,
    },
    /// Anything else that the client says.
    #[error("the brokers {brokers} say: {reason}")]
    Broker {
        /// `host:port,…`.
        brokers: String,
        /// What the client says.
        reason: String,
    },
    /// A task of the connector ended.
    #[error("reading the topics' state was interrupted")]
    Interrupted,
}

impl KafkaFault {
    /// What a client's error means. `reason` is what the client said last about its connections.
    pub(super) fn of(error: &KafkaError, brokers: &str, topic: Option<&str>, reason: &str) -> Self {
        let brokers = brokers.to_owned();
        let text = || {
            if reason.is_empty() {
                error.to_string()
            } else {
                reason.to_owned()
            }
        };
        let topic = || topic.unwrap_or("of the mapping").to_owned();
        match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition,
            ) => Self::TopicMissing(topic()),
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => Self::TopicDenied(topic()),
            Some(
                RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::UnsupportedSASLMechanism,
            ) => Self::Login {
                brokers,
                reason: text(),
            },
            Some(
                RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::Resolve,
            ) => Self::Unreachable {
                brokers,
                reason: text(),
            },
            _ => Self::Broker {
                brokers,
                reason: error.to_string(),
            },
        }
    }

    /// Whether the stored offsets mean nothing any more.
    pub(super) fn needs_resync(&self) -> bool {
        matches!(
            self,
            Self::ClusterChanged { .. }
                | Self::PartitionsGone { .. }
                | Self::Expired { .. }
                | Self::Ahead { .. }
                | Self::Recreated { .. }
                | Self::KeyChanged { .. }
                | Self::Checkpoint(_)
        )
    }
}

impl SourceFault for KafkaFault {
    fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::TopicMissing(_)
                | Self::Broker { .. }
                | Self::Interrupted
        )
    }

    fn remedy(&self) -> String {
        if self.needs_resync() {
            return "see that the url names the right brokers; then count the topics anew with \
                    `edgewise replicate resync`"
                .to_owned();
        }
        match self {
            Self::Url(_) => "write kafka://host:port[,host:port]; TLS is not built in: put a TLS \
                             proxy (stunnel, envoy) on this host and name that"
                .to_owned(),
            Self::Unreachable { brokers, .. } => format!(
                "see that {brokers} is right, resolves and is let through, and that the brokers' \
                 advertised listeners can be reached from here"
            ),
            Self::Login { .. } => {
                "correct user and password in kafka://user:password@host:port".to_owned()
            }
            Self::TopicMissing(topic) => {
                format!("create the topic {topic}, or correct the mapping's table")
            }
            Self::TopicDenied(topic) => format!(
                "allow it: kafka-acls --add --allow-principal User:… --operation Read \
                 --operation Describe --topic {topic} (Write for the topic of [kafka_out])"
            ),
            Self::TooManyPartitions { .. } => "map the topics in two sources".to_owned(),
            Self::Formats(topic) => {
                format!("give every entry of {topic} the same format, or use two sources")
            }
            Self::Unbound { .. } => "correct the mapping file".to_owned(),
            Self::TooLarge { topic, .. } => {
                format!("raise max.message.bytes of the topic {topic}")
            }
            _ => String::new(),
        }
    }
}
