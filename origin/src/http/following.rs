//! Admin routes of change data capture: the same where a server follows beside serving and
//! where a process only follows.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use edgewise_wire::problem::Problem;
use serde::Deserialize;
use serde_json::json;
use tower_http::limit::RequestBodyLimitLayer;

use super::events::read;
use super::{COMMAND_BYTES_MAX, Failure, RETRY_S, Service, answer};
use crate::replicate::dead_letter::{self, LIST_MAX, Selection};
use crate::replicate::following::{
    FollowCommand, FollowError, Following, ReplayCommand, ResyncCommand,
};
use crate::replicate::reconcile::{self, ReconcileCommand};

/// What the routes share: the sources, once there is a store.
#[derive(Clone, Default)]
pub(crate) struct Desk(Arc<OnceLock<Arc<Following>>>);

impl Desk {
    /// The store is open: from now on routes answer.
    pub(crate) fn open(&self, following: Arc<Following>) {
        let _ = self.0.set(following);
    }

    fn following(&self) -> Result<&Arc<Following>, Failure> {
        self.0
            .get()
            .ok_or_else(|| Problem::unavailable("the server is loading its data", RETRY_S).into())
    }
}

/// The routes, behind whatever asks for the admin token.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(desk: &Desk) -> Router<S> {
    let limited = || RequestBodyLimitLayer::new(COMMAND_BYTES_MAX);
    Router::new()
        .route(
            "/admin/v1/replicate",
            get(overview).post(follow).layer(limited()),
        )
        .route("/admin/v1/replicate/resync", post(resync).layer(limited()))
        .route("/admin/v1/replicate/drift", post(drift).layer(limited()))
        .route("/admin/v1/reconcile", post(reconcile).layer(limited()))
        .route("/admin/v1/dead-letters", get(letters))
        .route(
            "/admin/v1/dead-letters/replay",
            post(replay).layer(limited()),
        )
        .route(
            "/admin/v1/dead-letters/drop",
            post(drop_letters).layer(limited()),
        )
        .with_state(desk.clone())
}

/// `GET /admin/v1/replicate`: how the sources do.
async fn overview(State(desk): State<Desk>) -> Result<Response, Failure> {
    let overview = desk.following()?.overview().await?;
    Ok(answer::value(StatusCode::OK, &overview))
}

/// `POST /admin/v1/replicate`: follow the sources of a mapping file on this machine.
async fn follow(State(desk): State<Desk>, request: Request) -> Result<Response, Failure> {
    let asked: FollowCommand = command(request.into_body()).await?;
    if !asked.mapping.is_absolute() {
        let detail = "mapping is relative";
        return Err(Problem::body("mapping", detail, "an absolute path").into());
    }
    let following = Arc::clone(desk.following()?);
    // In a task of its own: a client that goes away must not leave half of the sources stopped.
    let done = tokio::spawn(async move { following.follow_file(asked).await });
    let names = done.await.map_err(|panic| Failure::internal(&panic))??;
    Ok(answer::value(StatusCode::OK, &json!({ "sources": names })))
}

/// `POST /admin/v1/replicate/resync`: forget sources and copy them anew.
async fn resync(State(desk): State<Desk>, request: Request) -> Result<Response, Failure> {
    let asked: ResyncCommand = command(request.into_body()).await?;
    let following = Arc::clone(desk.following()?);
    let done = tokio::spawn(async move { following.resync(asked).await });
    let done = done.await.map_err(|panic| Failure::internal(&panic))??;
    Ok(answer::value(StatusCode::OK, &json!({ "resynced": done })))
}

/// `POST /admin/v1/replicate/drift`: what is counted although a mapping file no longer says so.
async fn drift(State(desk): State<Desk>, request: Request) -> Result<Response, Failure> {
    let asked: FollowCommand = command(request.into_body()).await?;
    let drifts = on_store(&desk, move |following| following.drifts(asked)).await?;
    Ok(answer::value(StatusCode::OK, &drifts))
}

/// `POST /admin/v1/reconcile`: compare with the source, and repair.
async fn reconcile(State(desk): State<Desk>, request: Request) -> Result<Response, Failure> {
    let asked: ReconcileCommand = command(request.into_body()).await?;
    let done = reconcile::run(desk.following()?, asked).await?;
    Ok(answer::value(StatusCode::OK, &done))
}

/// Parameters of a listing.
#[derive(Debug, Deserialize)]
struct Listing {
    #[serde(default)]
    from: u64,
    #[serde(default = "Listing::limit")]
    limit: usize,
    source: Option<String>,
    table: Option<String>,
    reason: Option<String>,
}

impl Listing {
    fn limit() -> usize {
        100
    }
}

/// `GET /admin/v1/dead-letters`
async fn letters(
    State(desk): State<Desk>,
    asked: Result<Query<Listing>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(asked) = asked.map_err(|error| {
        let allowed = "from and limit as numbers; source, table and reason as text";
        Problem::parameter("query", error.body_text(), allowed)
    })?;
    if !(1..=LIST_MAX).contains(&asked.limit) {
        let detail = format!("limit is {}", asked.limit);
        return Err(Problem::parameter("limit", detail, "1..10000").into());
    }
    let selection = Selection {
        seq: Vec::new(),
        source: asked.source,
        table: asked.table,
        reason: asked.reason,
    };
    let letters = on_store(&desk, move |following| {
        let found = dead_letter::list(&*following.store, &selection, asked.from, asked.limit);
        found.map_err(FollowError::from)
    })
    .await?;
    Ok(answer::value(
        StatusCode::OK,
        &json!({ "dead_letters": letters }),
    ))
}

/// `POST /admin/v1/dead-letters/replay`
async fn replay(State(desk): State<Desk>, request: Request) -> Result<Response, Failure> {
    let asked: ReplayCommand = command(request.into_body()).await?;
    let done = on_store(&desk, move |following| {
        let mapping = asked.mapping.load()?;
        let (store, writer) = (&*following.store, &following.writer);
        Ok(dead_letter::replay(
            store,
            writer,
            &mapping,
            &asked.letters,
        )?)
    })
    .await?;
    Ok(answer::value(StatusCode::OK, &done))
}

/// `POST /admin/v1/dead-letters/drop`: a selection.
async fn drop_letters(State(desk): State<Desk>, request: Request) -> Result<Response, Failure> {
    let selection: Selection = command(request.into_body()).await?;
    let dropped = on_store(&desk, move |following| {
        let (store, writer) = (&*following.store, &following.writer);
        Ok(dead_letter::drop_letters(store, writer, &selection)?)
    })
    .await?;
    Ok(answer::value(
        StatusCode::OK,
        &json!({ "dropped": dropped }),
    ))
}

/// Runs `work`, which reads or writes the store, off the async threads.
async fn on_store<T: Send + 'static>(
    desk: &Desk,
    work: impl FnOnce(&Following) -> Result<T, FollowError> + Send + 'static,
) -> Result<T, Failure> {
    let following = Arc::clone(desk.following()?);
    let done = tokio::task::spawn_blocking(move || work(&following)).await;
    Ok(done.map_err(|panic| Failure::internal(&panic))??)
}

/// `POST /admin/v1/verify`, where a process only follows.
pub(super) async fn verify(State(service): State<Arc<Service>>) -> Result<Response, Failure> {
    let report = on_store(&service.desk, |following| {
        Ok(crate::verify::verify(&*following.store)?)
    })
    .await?;
    Ok(answer::value(StatusCode::OK, &report))
}

/// `POST /admin/v1/backup`, where a process only follows.
pub(super) async fn backup(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, Failure> {
    let path = super::admin::backup_path(request).await?;
    let following = Arc::clone(service.desk.following()?);
    let copied =
        tokio::task::spawn_blocking(move || super::admin::back_up(&*following.store, &path));
    let copied = copied.await.map_err(|panic| Failure::internal(&panic))??;
    Ok(answer::value(StatusCode::OK, &copied))
}

/// Every other admin route, where a process only follows.
pub(super) async fn not_here() -> Failure {
    let detail = "this process only follows sources; stop it and try again, or run \
                  `edgewise serve --mapping` instead";
    std::future::ready(Problem::not_found(detail).into()).await
}

/// `/readyz` of a process that only follows: it is at work, whatever the sources do.
pub(super) async fn ready(State(service): State<Arc<Service>>) -> Result<Response, Failure> {
    std::future::ready(()).await;
    if service.is_draining() {
        return Err(Problem::unavailable("the process is stopping", RETRY_S).into());
    }
    if !service.desk.following()?.writer.is_running() {
        return Err(Problem::unavailable("the writer has stopped", RETRY_S).into());
    }
    Ok(answer::text("ok"))
}

async fn command<T: for<'de> Deserialize<'de>>(body: Body) -> Result<T, Failure> {
    let bytes = read(body, COMMAND_BYTES_MAX, "at most 65536 bytes").await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let detail = format!("invalid JSON: {error}");
        Problem::body("body", detail, "the route's JSON object").into()
    })
}

impl From<FollowError> for Failure {
    fn from(error: FollowError) -> Self {
        match error {
            FollowError::Store(cause) => cause.into(),
            FollowError::Load(cause) => {
                Problem::body("mapping", cause.to_string(), "a mapping file that is valid").into()
            }
            other => {
                Problem::body("source", other.to_string(), "a source that can be followed").into()
            }
        }
    }
}
