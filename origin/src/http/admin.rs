//! Admin routes: what operators and the command line ask of a running server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use edgewise_ranking::HotWindow;
use edgewise_wire::api::{Item, Rejection};
use edgewise_wire::counters::Counters;
use edgewise_wire::ids::{ID_ALLOWED, check_id};
use edgewise_wire::items as wire;
use edgewise_wire::limits::ITEMS_BYTES_MAX;
use edgewise_wire::params::path_id;
use edgewise_wire::problem::Problem;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::events::{read, rejections, submit};
use super::lists::last_segment;
use super::{COMMAND_BYTES_MAX, FOLLOWS_BYTES_MAX, Failure, Service, answer};
use crate::import::{self, ImportOptions, ImportReport};
use crate::ingest::{Command, ItemState, Outcome};
use crate::store::{Store, StoreError};
use crate::{backup as copies, store, user, verify as recount};

/// Most pairs of one follows request.
const FOLLOWS_MAX: usize = 5_000;

#[derive(Serialize)]
struct Upserted {
    upserted: u32,
    rejected: Vec<Rejection>,
}

/// `PUT /admin/v1/items`
pub(super) async fn upsert_items(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, Failure> {
    let origin = service.origin()?;
    let body = read(
        request.into_body(),
        ITEMS_BYTES_MAX,
        "at most 4194304 bytes",
    )
    .await?;
    let batch = wire::parse(&body)?;
    let items: Vec<Item> = batch.items.iter().map(|(_, item)| item.clone()).collect();
    let outcome = if items.is_empty() {
        Outcome::default()
    } else {
        submit(origin, Command::UpsertItems(items)).await?
    };
    let rejected = rejections(batch.rejected, &batch.items, &outcome);
    let upserted = Upserted {
        upserted: outcome.accepted,
        rejected,
    };
    Ok(answer::value(StatusCode::OK, &upserted))
}

/// `GET /admin/v1/items/{id}`: facts, totals and hot scores, of deleted items too.
pub(super) async fn item(
    State(service): State<Arc<Service>>,
    uri: Uri,
) -> Result<Response, Failure> {
    let id = path_id("id", last_segment(&uri))?;
    let described = service
        .blocking(move |origin| {
            let state = store::read::item(&*origin.store.read()?, &id)?;
            let state = state.ok_or_else(|| Problem::not_found("there is no such item"))?;
            let half_lives = origin.model.config.hot.half_life_minutes;
            Ok(describe(&state, half_lives, origin.clock.domain_ms()))
        })
        .await?;
    Ok(answer::value(StatusCode::OK, &described))
}

fn describe(state: &ItemState, half_lives: [f64; 3], domain_ms: i64) -> Value {
    let hot = HotWindow::ALL
        .map(|window| state.hot[window as usize].at(domain_ms, half_lives[window as usize]));
    json!({
        "id": state.id,
        "item": state.item.as_deref(),
        "deleted_at": state.deleted_at_ms,
        "first_written_at": state.first_written.map(|written| written.wall_ms),
        "last_event_at": state.last_event_ms,
        "counters": counters(&state.counters),
        "hot": { "1h": hot[0], "24h": hot[1], "7d": hot[2] },
    })
}

fn counters(counters: &Counters) -> Value {
    json!({
        "impressions": counters.impressions,
        "views": counters.views,
        "timed_views": counters.timed_views,
        "completed_views": counters.completed_views,
        "watch_ratio_sum": counters.watch_ratio_sum,
        "clicks": counters.clicks,
        "likes": counters.likes,
        "comments": counters.comments,
        "shares": counters.shares,
        "follows": counters.follows,
        "hides": counters.hides,
        "purchases": counters.purchases,
    })
}

/// `DELETE /admin/v1/items/{id}`
pub(super) async fn delete_item(
    State(service): State<Arc<Service>>,
    uri: Uri,
) -> Result<Response, Failure> {
    let id = path_id("id", last_segment(&uri))?;
    let outcome = submit(service.origin()?, Command::DeleteItem(id)).await?;
    if outcome.accepted == 0 {
        return Err(Problem::not_found("there is no such item").into());
    }
    Ok(answer::value(
        StatusCode::OK,
        &json!({ "deleted": outcome.accepted }),
    ))
}

#[derive(Deserialize)]
struct Follows {
    follows: Vec<Value>,
}

#[derive(Deserialize)]
struct Pair {
    user: String,
    author: String,
}

/// `PUT /admin/v1/follows`
pub(super) async fn add_follows(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, Failure> {
    follows(&service, request, true).await
}

/// `DELETE /admin/v1/follows`
pub(super) async fn remove_follows(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, Failure> {
    follows(&service, request, false).await
}

async fn follows(service: &Service, request: Request, add: bool) -> Result<Response, Failure> {
    let origin = service.origin()?;
    let parsed: Follows = command(request.into_body(), FOLLOWS_BYTES_MAX).await?;
    let given = parsed.follows.len();
    if !(1..=FOLLOWS_MAX).contains(&given) {
        let detail = format!("follows has {given} entries");
        return Err(Problem::body("follows", detail, "1..5000 entries").into());
    }
    let mut pairs: Vec<(u32, (String, String))> = Vec::with_capacity(given);
    let mut rejected = Vec::new();
    for (index, entry) in (0..).zip(parsed.follows) {
        match pair(entry) {
            Ok(pair) => pairs.push((index, pair)),
            Err(reason) => rejected.push(Rejection { index, reason }),
        }
    }
    let outcome = if pairs.is_empty() {
        Outcome::default()
    } else {
        let pairs = pairs.iter().map(|(_, pair)| pair.clone()).collect();
        submit(origin, Command::Follows { add, pairs }).await?
    };
    let rejected = rejections(rejected, &pairs, &outcome);
    let body = json!({ "accepted": outcome.accepted, "rejected": rejected });
    Ok(answer::value(StatusCode::OK, &body))
}

fn pair(entry: Value) -> Result<(String, String), String> {
    let pair: Pair = serde_json::from_value(entry)
        .map_err(|_| "must be {\"user\": id, \"author\": id}".to_owned())?;
    for (field, id) in [("user", &pair.user), ("author", &pair.author)] {
        check_id(id).map_err(|error| format!("{field} {error}: must be {ID_ALLOWED}"))?;
    }
    Ok((pair.user, pair.author))
}

/// `GET /admin/v1/users/{user}/export`
pub(super) async fn export_user(
    State(service): State<Arc<Service>>,
    uri: Uri,
) -> Result<Response, Failure> {
    let path = uri.path().strip_suffix("/export").unwrap_or("");
    let id = path_id("user", path.rsplit('/').next().unwrap_or(""))?;
    let export = service
        .blocking(move |origin| Ok(user::export(&*origin.store, &origin.clock, &id)?))
        .await?;
    let export = export.ok_or_else(|| Problem::not_found("there is no such user"))?;
    Ok(answer::value(StatusCode::OK, &export))
}

/// `DELETE /admin/v1/users/{user}`
pub(super) async fn delete_user(
    State(service): State<Arc<Service>>,
    uri: Uri,
) -> Result<Response, Failure> {
    let id = path_id("user", last_segment(&uri))?;
    let outcome = submit(service.origin()?, Command::DeleteUser(id)).await?;
    if outcome.accepted == 0 {
        return Err(Problem::not_found("there is no such user").into());
    }
    Ok(answer::value(StatusCode::OK, &json!({ "deleted": true })))
}

/// `POST /admin/v1/verify`
pub(super) async fn verify(State(service): State<Arc<Service>>) -> Result<Response, Failure> {
    let report = service
        .blocking(|origin| Ok(recount::verify(&*origin.store)?))
        .await?;
    Ok(answer::value(StatusCode::OK, &report))
}

#[derive(Deserialize)]
struct BackupCommand {
    path: PathBuf,
}

/// `POST /admin/v1/backup`: `{path}` on the server's machine.
pub(super) async fn backup(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, Failure> {
    let path = backup_path(request).await?;
    let copied = service
        .blocking(move |origin| back_up(&*origin.store, &path))
        .await?;
    Ok(answer::value(StatusCode::OK, &copied))
}

/// Where a backup is asked for.
pub(super) async fn backup_path(request: Request) -> Result<PathBuf, Failure> {
    let BackupCommand { path } = command(request.into_body(), COMMAND_BYTES_MAX).await?;
    if !path.is_absolute() {
        let detail = "path is relative";
        return Err(Problem::body("path", detail, "an absolute path of a new file").into());
    }
    Ok(path)
}

/// Writes a backup.
pub(super) fn back_up(store: &dyn Store, path: &Path) -> Result<copies::Copied, Failure> {
    copies::backup(store, path).map_err(|error| match error {
        StoreError::NotEmpty { .. } => {
            let detail = "path exists already";
            Problem::body("path", detail, "an absolute path of a new file").into()
        }
        StoreError::Io { source, .. } => {
            let detail = format!("path cannot be written: {source}");
            Problem::body("path", detail, "a path this server may write").into()
        }
        other => Failure::from(other),
    })
}

/// What `edgewise import` asks of a running server.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ImportCommand {
    /// `jsonl kuairand movielens`.
    pub(crate) format: String,
    /// On the server's machine.
    pub(crate) path: PathBuf,
    /// Bad lines that are skipped before the import stops.
    pub(crate) max_bad: u64,
    /// Only events at or after, Unix ms.
    pub(crate) after_ms: Option<i64>,
    /// Only events before, Unix ms.
    pub(crate) until_ms: Option<i64>,
}

impl ImportCommand {
    /// The import's options.
    pub(crate) fn options(&self) -> Option<ImportOptions> {
        let format = match self.format.as_str() {
            "jsonl" => import::Format::Jsonl,
            "kuairand" => import::Format::Kuairand,
            "movielens" => import::Format::Movielens,
            _ => return None,
        };
        Some(ImportOptions {
            max_bad: self.max_bad,
            after_ms: self.after_ms,
            until_ms: self.until_ms,
            ..ImportOptions::new(format, &self.path)
        })
    }
}

/// `POST /admin/v1/import`: a data set on the server's machine.
pub(super) async fn import(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, Failure> {
    let asked: ImportCommand = command(request.into_body(), COMMAND_BYTES_MAX).await?;
    let options = asked.options().ok_or_else(|| {
        Problem::body(
            "format",
            "format is unknown",
            "jsonl, kuairand or movielens",
        )
    })?;
    let done = service
        .blocking(move |origin| {
            let report = import::run(&options, &origin.writer, &mut |_| {});
            report.map(|report| described(&report)).map_err(|error| {
                let detail = format!("the import stopped: {error}");
                Problem::body("path", detail, "a data set this server may read").into()
            })
        })
        .await?;
    Ok(answer::value(StatusCode::OK, &done))
}

fn described(report: &ImportReport) -> Value {
    let bad_lines: Vec<String> = report.bad_lines.iter().map(ToString::to_string).collect();
    json!({ "summary": report.to_string(), "bad_lines": bad_lines })
}

/// `GET /admin/v1/stats`
pub(super) async fn stats(State(service): State<Arc<Service>>) -> Result<Response, Failure> {
    std::future::ready(()).await;
    let origin = service.origin()?;
    let overlay = origin.overlay.current();
    let hot = origin.hot.load();
    let stats = json!({
        "items": origin.catalogue.len(),
        "position": origin.catalogue.position(),
        "completion_prior": origin.catalogue.completion_prior(),
        "write_queue": origin.writer.queue_len(),
        "overlay": {
            "items": overlay.overlay.items.len(),
            "tombstones": overlay.overlay.tombstones.len(),
            "bytes": overlay.bytes.len(),
            "made_at": overlay.overlay.made_at_ms,
        },
        "hot_lists": { "count": hot.len(), "made_at": hot.made_at_ms },
        "warm_users": origin.warm.load().len(),
        "model": origin.model.model.version,
        "wall_ms": origin.clock.wall_ms(),
        "domain_ms": origin.clock.domain_ms(),
    });
    Ok(answer::value(StatusCode::OK, &stats))
}

/// A JSON body of an operator.
pub(super) async fn command<T: for<'de> Deserialize<'de>>(
    body: Body,
    max: usize,
) -> Result<T, Failure> {
    let bytes = read(body, max, "a shorter body; see docs/limits.md").await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Problem::body(
            "body",
            format!("invalid JSON: {error}"),
            "the route's JSON object",
        )
        .into()
    })
}
