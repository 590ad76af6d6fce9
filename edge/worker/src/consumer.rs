//! From the Queue to the origin: at least once, and the origin counts once.

use serde::Deserialize;
use serde_json::value::RawValue;
use worker::{
    Env, Message, MessageBatch, MessageExt, QueueRetryOptionsBuilder, Result, console_error,
    console_warn,
};

use crate::origin;

/// Messages of one request to the origin; each holds at most 100 KiB.
const MESSAGES_A_REQUEST: usize = 10;
/// Delay between two deliveries of a message, s: 100 retries outlast 8 minutes.
const RETRY_DELAY_S: u32 = 5;
/// How long a dead letter is kept, s.
pub(crate) const DEAD_LETTER_TTL_S: u64 = 30 * 86_400;
/// Prefix of dead letters in KV.
pub(crate) const DEAD_LETTER_PREFIX: &str = "dead/";

/// A message's body as `edge/core` writes it: events, or explore slots that were served.
#[derive(Deserialize)]
struct Parcel<'a> {
    #[serde(default, borrow)]
    events: Vec<&'a RawValue>,
    #[serde(default, borrow)]
    served: Vec<&'a RawValue>,
}

enum Delivery {
    Done,
    /// The origin is away or busy: the same parcel may pass later.
    Later,
    /// The origin says that this parcel will never pass.
    Never,
}

/// Hands the batch to the origin and acknowledges what it took.
pub(crate) async fn deliver(batch: &MessageBatch<String>, env: &Env) -> Result<()> {
    let messages: Vec<Message<String>> = batch.messages()?;
    for group in messages.chunks(MESSAGES_A_REQUEST) {
        match post(group, env).await {
            Delivery::Done => group.iter().for_each(MessageExt::ack),
            Delivery::Later => group.iter().for_each(retry),
            // One bad parcel must not hold up the others.
            Delivery::Never => deliver_singly(group, env).await?,
        }
    }
    Ok(())
}

async fn deliver_singly(group: &[Message<String>], env: &Env) -> Result<()> {
    for message in group {
        match post(std::slice::from_ref(message), env).await {
            Delivery::Done => message.ack(),
            Delivery::Later => retry(message),
            Delivery::Never => {
                console_error!("the origin refuses message {}: kept as dead", message.id());
                keep(message, env).await?;
                message.ack();
            }
        }
    }
    Ok(())
}

async fn post(group: &[Message<String>], env: &Env) -> Delivery {
    let Some(body) = merge(group.iter().map(|message| message.body().as_str())) else {
        return Delivery::Never;
    };
    match origin::post(env, "/internal/v1/events", &body).await {
        Ok(answer) => match answer.status_code() {
            200..=299 => Delivery::Done,
            // Wrong token or route: the operator's mistake, not the message's.
            401 | 403 | 404 | 408 | 429 | 500..=599 => Delivery::Later,
            status => {
                console_warn!("the origin answered {status} to {} messages", group.len());
                Delivery::Never
            }
        },
        Err(_) => Delivery::Later,
    }
}

/// One request body from several parcels; `None` where one is not what the edge writes.
fn merge<'a>(bodies: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut events = Vec::new();
    let mut served = Vec::new();
    for body in bodies {
        let parcel: Parcel<'a> = serde_json::from_str(body).ok()?;
        events.extend(parcel.events.into_iter().map(RawValue::get));
        served.extend(parcel.served.into_iter().map(RawValue::get));
    }
    Some(format!(
        r#"{{"events":[{}],"served":[{}]}}"#,
        events.join(","),
        served.join(",")
    ))
}

fn retry(message: &Message<String>) {
    let delay = QueueRetryOptionsBuilder::new()
        .with_delay_seconds(RETRY_DELAY_S)
        .build();
    message.retry_with_options(&delay);
}

/// Keeps the messages of the dead-letter queue in KV, where cron finds them.
pub(crate) async fn keep_dead_letters(batch: &MessageBatch<String>, env: &Env) -> Result<()> {
    for message in batch.messages()? {
        keep(&message, env).await?;
        message.ack();
    }
    Ok(())
}

async fn keep(message: &Message<String>, env: &Env) -> Result<()> {
    let key = format!("{DEAD_LETTER_PREFIX}{}", message.id());
    let put = env.kv("EDGEWISE_KV")?.put(&key, message.body().as_str())?;
    put.expiration_ttl(DEAD_LETTER_TTL_S).execute().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::merge;

    #[test]
    fn parcels_merge_without_reading_their_events() {
        let parcels = [
            r#"{"events":[{"id":"a"}]}"#,
            r#"{"served":[1],"events":[{"id":"b"}]}"#,
        ];
        let merged = merge(parcels.into_iter()).expect("both are parcels");
        assert_eq!(merged, r#"{"events":[{"id":"a"},{"id":"b"}],"served":[1]}"#);
    }

    #[test]
    fn what_is_no_parcel_is_refused() {
        assert_eq!(merge(["not json"].into_iter()), None);
    }
}
