//! Every two minutes: warm bundles into KV, and dead letters back onto the queue.

use edgewise_edge_core::warm::WarmBundle;
use serde::Deserialize;
use worker::{Date, Env, Result, console_log};

use crate::consumer::{DEAD_LETTER_PREFIX, DEAD_LETTER_TTL_S};
use crate::origin;

/// Bundles pushed in one run.
const WARM_USERS_MAX: usize = 100;
/// How long a pushed bundle may serve on error, s.
const BUNDLE_TTL_S: u64 = 86_400;
/// Prefix of dead letters that the origin refused for good.
const REFUSED_PREFIX: &str = "refused/";
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
        kv.put_bytes(&bundle.key(), &value)?
            .expiration_ttl(BUNDLE_TTL_S)
            .execute()
            .await?;
        pushed += 1;
    }
    console_log!("warmed {pushed} bundles");
    Ok(())
}

/// Sends dead letters again while the origin is ready. One that it refuses for good is put aside
/// under another prefix, so that the others have their turn.
pub(crate) async fn redrive(env: &Env) -> Result<()> {
    if origin::get(env, "/readyz").await?.status_code() != 200 {
        return Ok(());
    }
    let kv = env.kv("EDGEWISE_KV")?;
    let prefix = DEAD_LETTER_PREFIX.to_owned();
    let letters = kv
        .list()
        .prefix(prefix)
        .limit(REDRIVE_MAX)
        .execute()
        .await?;
    let (mut sent, mut refused) = (0, 0);
    for letter in letters.keys {
        let Some(body) = kv.get(&letter.name).text().await? else {
            continue;
        };
        match origin::post(env, "/internal/v1/events", &body)
            .await?
            .status_code()
        {
            200..=299 => sent += 1,
            400 | 413 | 422 => {
                let aside = letter.name.replacen(DEAD_LETTER_PREFIX, REFUSED_PREFIX, 1);
                let put = kv.put(&aside, body.as_str())?;
                put.expiration_ttl(DEAD_LETTER_TTL_S).execute().await?;
                refused += 1;
            }
            // Away again: the rest waits for the next run.
            _ => break,
        }
        kv.delete(&letter.name).await?;
    }
    if sent + refused > 0 {
        console_log!("dead letters: {sent} sent again, {refused} refused and put aside");
    }
    Ok(())
}
