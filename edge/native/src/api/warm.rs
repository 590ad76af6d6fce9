//! Every two minutes: the bundles of users who are about to return, copied ahead of need. What
//! cron does for the Worker.

use std::sync::Arc;

use bytes::Bytes;
use edgewise_edge_core::warm::WarmBundle;
use metrics::counter;
use serde::Deserialize;
use tokio::sync::watch;
use tracing::{debug, warn};

use super::tiers::Tiers;
use crate::drain::{Phase, draining};
use crate::limits::{ORIGIN_BACKGROUND_TIMEOUT, WARM_EVERY, WARM_TTL_S, WARM_USERS_MAX};
use crate::now;
use crate::telemetry::WARMED_TOTAL;
use crate::upstream::{Upstream, UpstreamError, UpstreamRequest};

#[derive(Deserialize)]
struct Warm {
    users: Vec<String>,
}

/// Why a round of warming ended early.
#[derive(Debug, thiserror::Error)]
enum WarmError {
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error("the origin answered {0}")]
    Status(u16),
    #[error("the list of users is not readable: {0}")]
    List(#[from] serde_json::Error),
}

/// Warms until the process drains.
pub(crate) async fn run(
    upstream: Arc<Upstream>,
    tiers: Arc<Tiers>,
    mut phase: watch::Receiver<Phase>,
) {
    let mut every = tokio::time::interval(WARM_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = every.tick() => {}
            () = draining(&mut phase) => return,
        }
        let warmed = tokio::select! {
            warmed = warm(&upstream, &tiers) => warmed,
            () = draining(&mut phase) => return,
        };
        match warmed {
            Ok(bundles) => debug!(bundles, "warmed"),
            Err(error) => warn!(%error, "warming failed"),
        }
    }
}

async fn warm(upstream: &Upstream, tiers: &Tiers) -> Result<usize, WarmError> {
    let list = get(upstream, "/internal/v1/warm").await?;
    let warm: Warm = serde_json::from_slice(&list)?;
    let mut warmed = 0;
    for user in warm.users.iter().take(WARM_USERS_MAX) {
        let bundle = WarmBundle::of(user);
        let body = match get(upstream, &bundle.path()).await {
            Ok(body) => body,
            // This user has none; the others may.
            Err(WarmError::Status(_)) => continue,
            Err(error) => return Err(error),
        };
        let value = Bytes::from(bundle.stored(now::wall_ms(), &body));
        tiers.cache_put(&bundle.key(), WARM_TTL_S, value.clone());
        tiers.kv_put(bundle.key(), WARM_TTL_S, value);
        counter!(WARMED_TOTAL).increment(1);
        warmed += 1;
    }
    Ok(warmed)
}

async fn get(upstream: &Upstream, path: &str) -> Result<Bytes, WarmError> {
    let request = UpstreamRequest::get(path);
    let answer = upstream.send(request, ORIGIN_BACKGROUND_TIMEOUT).await?;
    match answer.status {
        200 => Ok(answer.body),
        status => Err(WarmError::Status(status)),
    }
}
