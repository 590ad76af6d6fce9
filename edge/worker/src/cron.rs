//! Every two minutes: warm bundles into KV, and dead letters back onto the queue.

use edgewise_edge_core::warm::WarmBundle;
use serde::Deserialize;
use worker::{Date, Env, Result, console_log};

use crate::consumer::DEAD_LETTER_PREFIX;
use crate::origin;

/// Bundles pushed in one run.
const WARM_USERS_MAX: usize = 100;
/// How long a pushed bundle may serve on error, s.
const BUNDLE_TTL_S: u64 = 86_400;
/// Dead letters redriven in one run.
const REDRIVE_MAX: u64 = 100;

#[derive(Deserialize)]
struct Warm {
    users: Vec<String>,
}

/// Copies the bundles of the most active users from the origin to KV.
pub(crate) async fn warm(env: &Env) -> Result<()> {
    let warm: Warm = origin::get(env, "/internal/v1/warm").await?.json().await?;
    let kv = env.kv("EDGEWISE_KV")?;
    let mut pushed = 0;
    for user in warm.users.iter().take(WARM_USERS_MAX) {
        let bundle = WarmBundle::of(user);
        let mut answer = origin::get(env, &bundle.path()).await?;
        if answer.status_code() != 200 {
            continue;
        }
        let now_ms = i64::try_from(Date::now().as_millis()).unwrap_or(i64::MAX);
        let value = bundle.stored(now_ms, &answer.bytes().await?);
        kv.put_bytes(&bundle.key(), &value)?.expiration_ttl(BUNDLE_TTL_S).execute().await?;
        pushed += 1;
    }
    console_log!("warmed {pushed} bundles");
    Ok(())
}

/// Sends dead letters again while the origin is ready.
pub(crate) async fn redrive(env: &Env) -> Result<()> {
    if origin::get(env, "/readyz").await?.status_code() != 200 {
        return Ok(());
    }
    let kv = env.kv("EDGEWISE_KV")?;
    let prefix = DEAD_LETTER_PREFIX.to_owned();
    let letters = kv.list().prefix(prefix).limit(REDRIVE_MAX).execute().await?;
    let mut sent = 0;
    for letter in letters.keys {
        let Some(body) = kv.get(&letter.name).text().await? else { continue };
        let answer = origin::post(env, "/internal/v1/events", &body).await?;
        if !(200..300).contains(&answer.status_code()) {
            continue;
        }
        kv.delete(&letter.name).await?;
        sent += 1;
    }
    if sent > 0 {
        console_log!("redrove {sent} dead letters");
    }
    Ok(())
}
