//! What the core asks for, done: each effect against the store or service that stands in for
//! Cloudflare's.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use edgewise_edge_core::{Done, Effect};
use futures_util::future::join_all;
use tracing::debug;

use super::flights::Flights;
use super::limiter::Limiter;
use super::spool::Spool;
use super::tiers::Tiers;
use crate::now;

/// Everything effects need; shared by all workers.
pub(crate) struct Services {
    pub(crate) tiers: Arc<Tiers>,
    pub(crate) flights: Arc<Flights>,
    pub(crate) spool: Arc<Spool>,
    pub(crate) limiter: Limiter,
}

/// The result of an effect, as `resume` wants it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    status: u32,
    age_s: u32,
    body: Bytes,
}

impl Outcome {
    /// Absent, failed or timed out.
    fn failed() -> Self {
        Self::default()
    }

    fn done() -> Self {
        Self {
            status: 200,
            ..Self::default()
        }
    }

    fn found(body: Option<Bytes>) -> Self {
        match body {
            Some(body) => Self {
                body,
                ..Self::done()
            },
            None => Self::failed(),
        }
    }

    fn done_if(done: bool) -> Self {
        if done { Self::done() } else { Self::failed() }
    }

    /// The view of it that the core takes; `index` counts from 0.
    pub(crate) fn view(&self, index: usize) -> Done<'_> {
        Done {
            id: u32::try_from(index + 1).unwrap_or(u32::MAX),
            status: self.status,
            age_s: self.age_s,
            body: &self.body,
        }
    }
}

/// Does all effects at once; their outcomes are in the same order.
pub(crate) async fn perform_all(services: &Services, effects: Vec<Effect>) -> Vec<Outcome> {
    join_all(effects.into_iter().map(|effect| perform(services, effect))).await
}

async fn perform(services: &Services, effect: Effect) -> Outcome {
    let tiers = &services.tiers;
    match effect {
        Effect::CacheGet { key } => Outcome::found(tiers.cache_get(&key)),
        Effect::CachePut { key, ttl_s, body } => {
            tiers.cache_put(&key, ttl_s, body.into());
            Outcome::done()
        }
        Effect::KvGet { key } => Outcome::found(tiers.kv_get(key).await),
        Effect::KvPut { key, ttl_s, body } => {
            Outcome::done_if(tiers.kv_put(key, ttl_s.max(60), body.into()))
        }
        Effect::Fetch {
            path,
            traceparent,
            timeout_ms,
        } => {
            let timeout = Duration::from_millis(timeout_ms.into());
            match services.flights.get(&path, &traceparent, timeout).await {
                Ok(answer) => Outcome {
                    status: answer.status.into(),
                    age_s: answer.age_s,
                    body: answer.body,
                },
                Err(error) => {
                    debug!(%error, path, "no answer of the origin");
                    Outcome::failed()
                }
            }
        }
        Effect::Send { body } => Outcome::done_if(services.spool.append(body.into()).await.is_ok()),
        Effect::Limit { key } => {
            let allowed = services.limiter.take(&key, now::wall_ms());
            Outcome {
                status: if allowed { 200 } else { 429 },
                ..Outcome::default()
            }
        }
        Effect::Sleep { ms } => {
            tokio::time::sleep(Duration::from_millis(ms.into())).await;
            Outcome::done()
        }
    }
}
