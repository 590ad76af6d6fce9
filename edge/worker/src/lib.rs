//! The Worker's `worker`-crate module: Queue consumer, cron and rate limiter.
//!
//! `entry.mjs` loads it on first use; answering a request never does.

mod consumer;
mod cron;
mod origin;

use wasm_bindgen::prelude::wasm_bindgen;
use worker::{Context, Env, MessageBatch, Result, ScheduleContext, ScheduledEvent, event};

/// Delivers a batch of the events queue, or keeps a batch of dead letters.
///
/// # Errors
/// Where a binding is missing.
#[event(queue)]
pub async fn queue(batch: MessageBatch<String>, env: Env, _: Context) -> Result<()> {
    if batch.queue().ends_with("-dead") {
        consumer::keep_dead_letters(&batch, &env).await
    } else {
        consumer::deliver(&batch, &env).await
    }
}

/// Every two minutes: pushes the bundles of active users to KV and redrives dead letters.
#[event(scheduled)]
pub async fn scheduled(_: ScheduledEvent, env: Env, _: ScheduleContext) {
    if let Err(error) = cron::warm(&env).await {
        worker::console_warn!("warming failed: {error}");
    }
    if let Err(error) = cron::redrive(&env).await {
        worker::console_warn!("redriving dead letters failed: {error}");
    }
}

/// Whether the rate limiter lets `key` pass.
///
/// # Errors
/// Where the binding is missing or the limiter fails; the core then lets the request pass.
#[wasm_bindgen]
pub async fn limit(env: Env, key: String) -> std::result::Result<bool, worker::js_sys::Error> {
    let failed = |error: worker::Error| worker::js_sys::Error::new(&error.to_string());
    let limiter = env.rate_limiter("EDGEWISE_LIMITER").map_err(failed)?;
    Ok(limiter.limit(key).await.map_err(failed)?.success)
}
