//! Purges by tag, by key or of everything, and who asked for them.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use edgewise_wire::problem::Problem;
use serde::Deserialize;
use serde_json::json;
use tracing::info;

use super::admin::command;
use super::events::submit;
use super::{COMMAND_BYTES_MAX, Failure, Service, answer};
use crate::ingest::Command;
use crate::purge;
use crate::store::purge::PurgeRecord;

/// Most tags and keys of one purge, together.
pub(super) const NAMES_MAX: usize = 100;
/// Longest tag or key, bytes: the longest key of a tier.
const NAME_BYTES_MAX: usize = 512;
/// Longest reason and longest `User-Agent` that is remembered, bytes.
const REASON_BYTES_MAX: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    keys: Vec<String>,
    #[serde(default)]
    everything: bool,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    reason: String,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// What was stored is not served any more.
    #[default]
    Hard,
    /// What was stored is served while a newer one is fetched, and where none can be had.
    Soft,
}

/// `POST /admin/v1/purge`: every edge heeds it from its next overlay on.
pub(super) async fn purge(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, Failure> {
    let origin = Arc::clone(service.origin()?);
    let agent = request.headers().get(header::USER_AGENT);
    let by = cut(agent.and_then(|agent| agent.to_str().ok()).unwrap_or(""));
    let asked: Asked = command(request.into_body(), COMMAND_BYTES_MAX).await?;
    let record = checked(asked, by)?;
    let lists = record.clone();
    service
        .blocking(move |origin| Ok(origin.make_purged(&lists)?))
        .await?;
    let done = submit(&origin, Command::Purge(record.clone())).await?;
    info!(
        soft = record.soft,
        everything = record.everything,
        tags = ?record.tags,
        keys = ?record.keys,
        by = record.by,
        reason = record.reason,
        "purged"
    );
    Ok(answer::value(
        StatusCode::OK,
        &json!({ "purged": done.accepted }),
    ))
}

/// `GET /admin/v1/purge`: the latest purges, newest first.
pub(super) async fn latest(State(service): State<Arc<Service>>) -> Result<Response, Failure> {
    let purges = service
        .blocking(|origin| Ok(purge::latest(&*origin.store.read()?)?))
        .await?;
    Ok(answer::value(StatusCode::OK, &json!({ "purges": purges })))
}

fn checked(asked: Asked, by: String) -> Result<PurgeRecord, Problem> {
    let names = asked.tags.len() + asked.keys.len();
    if names > NAMES_MAX || (names == 0 && !asked.everything) {
        let detail = format!("{names} tags and keys");
        let allowed = "1..100 tags and keys together, or \"everything\": true";
        return Err(Problem::body("tags", detail, allowed));
    }
    for (field, list) in [("tags", &asked.tags), ("keys", &asked.keys)] {
        for name in list {
            let is_long = name.len() > NAME_BYTES_MAX;
            if name.is_empty() || is_long || name.chars().any(char::is_control) {
                let allowed = "1..512 bytes without control characters";
                let detail = format!("{field} has a name of {} bytes", name.len());
                return Err(Problem::body(field, detail, allowed));
            }
        }
    }
    if asked.reason.len() > REASON_BYTES_MAX || asked.reason.chars().any(char::is_control) {
        let detail = format!("reason has {} bytes", asked.reason.len());
        let allowed = "at most 256 bytes without control characters";
        return Err(Problem::body("reason", detail, allowed));
    }
    Ok(PurgeRecord {
        // The writer says when.
        at_ms: 0,
        soft: asked.mode == Mode::Soft,
        everything: asked.everything,
        tags: asked.tags,
        keys: asked.keys,
        by,
        reason: asked.reason,
    })
}

/// At most [`REASON_BYTES_MAX`] bytes of `text`.
fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(REASON_BYTES_MAX);
    text.get(..end).unwrap_or("").to_owned()
}
