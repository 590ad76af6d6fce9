//! HTTP: public, internal and admin routes over one [`Service`].

mod admin;
mod answer;
mod arrival;
pub mod connections;
mod events;
mod feed;
mod following;
mod identity;
mod internal;
mod layers;
mod lists;
mod probes;
mod problem;
mod purge;
mod rate;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{any, delete, get, post, put};
use edgewise_wire::limits::{EVENTS_BYTES_MAX, INTERNAL_BYTES_MAX, ITEMS_BYTES_MAX};
use edgewise_wire::problem::Problem;
use tokio::sync::Semaphore;
use tower_http::limit::RequestBodyLimitLayer;

use crate::config::{Config, PlainUser};
use crate::origin::Origin;
use crate::replicate::following::Following;
pub(crate) use admin::ImportCommand;
pub(crate) use following::Desk;
pub use identity::AdminToken;
pub use problem::Failure;
use rate::RateLimiter;

/// Seconds after which a server that is starting or stopping is worth another try.
const RETRY_S: u32 = 1;
/// Largest body of an admin command, bytes.
const COMMAND_BYTES_MAX: usize = 64 * 1024;
/// Largest body of a follows upsert, bytes.
const FOLLOWS_BYTES_MAX: usize = 1024 * 1024;

/// The methods of a route as a refusal names them.
fn methods(route: &str) -> &'static str {
    match route {
        "/api/v1/events" | "/internal/v1/events" => "POST",
        "/admin/v1/verify" | "/admin/v1/backup" | "/admin/v1/import" => "POST",
        "/admin/v1/replicate" => "GET, HEAD, POST",
        "/admin/v1/replicate/resync" | "/admin/v1/replicate/drift" | "/admin/v1/reconcile" => {
            "POST"
        }
        "/admin/v1/dead-letters/replay" | "/admin/v1/dead-letters/drop" => "POST",
        "/admin/v1/purge" => "GET, HEAD, POST",
        "/admin/v1/items" => "PUT",
        "/admin/v1/items/{id}" => "GET, HEAD, DELETE",
        "/admin/v1/follows" => "PUT, DELETE",
        "/admin/v1/users/{user}" => "DELETE",
        _ => "GET, HEAD",
    }
}

/// Largest body that a route takes, bytes.
fn body_max(route: &str) -> usize {
    match route {
        "/api/v1/events" => EVENTS_BYTES_MAX,
        "/internal/v1/events" => INTERNAL_BYTES_MAX,
        "/admin/v1/items" => ITEMS_BYTES_MAX,
        "/admin/v1/follows" => FOLLOWS_BYTES_MAX,
        _ => COMMAND_BYTES_MAX,
    }
}

/// What the routes share. It answers probes before the data is loaded.
pub struct Service {
    origin: OnceLock<Arc<Origin>>,
    draining: AtomicBool,
    admin_token: AdminToken,
    plain_user: bool,
    offline: bool,
    allow_origins: Vec<String>,
    request_timeout: Duration,
    rate: Option<RateLimiter>,
    served: feed::ServedLimit,
    /// Requests that may be on blocking threads at once.
    blocking: Arc<Semaphore>,
    desk: Desk,
}

impl Service {
    /// A service that has no data yet.
    #[must_use]
    pub fn new(config: &Config, admin_token: AdminToken) -> Arc<Self> {
        let limits = &config.limits;
        Arc::new(Self {
            origin: OnceLock::new(),
            draining: AtomicBool::new(false),
            admin_token,
            plain_user: config.plain_user() == PlainUser::Allow,
            offline: config.serve.offline,
            allow_origins: config.serve.allow_origins.clone(),
            request_timeout: Duration::from_millis(limits.request_timeout_ms),
            rate: RateLimiter::new(limits.rate_per_s, limits.rate_burst),
            served: feed::ServedLimit::default(),
            blocking: Arc::new(Semaphore::new(limits.store_concurrency)),
            desk: Desk::default(),
        })
    }

    /// The data is loaded: from now on routes answer.
    pub fn loaded(&self, origin: Arc<Origin>) {
        let _ = self.origin.set(origin);
    }

    /// The store is open: from now on the routes of change data capture answer.
    pub(crate) fn follows(&self, following: Arc<Following>) {
        self.desk.open(following);
    }

    /// The server is about to stop: it is not ready any more.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// The loaded origin.
    ///
    /// # Errors
    ///
    /// 503 while it is loading.
    fn origin(&self) -> Result<&Arc<Origin>, Failure> {
        self.origin
            .get()
            .ok_or_else(|| Problem::unavailable("the server is loading its data", RETRY_S).into())
    }

    /// Runs `work` on a blocking thread, of which there are only so many.
    ///
    /// # Errors
    ///
    /// `work`'s own, 503 while loading, 500 where it panicked.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Origin>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let origin = Arc::clone(self.origin()?);
        let permit = Arc::clone(&self.blocking).acquire_owned().await;
        let permit = permit.map_err(|closed| Failure::internal(&closed))?;
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&origin)
        });
        done.await
            .unwrap_or_else(|panic| Err(Failure::internal(&panic)))
    }
}

/// Routes of the public listener; internal and admin routes need the admin token.
pub fn public_router(service: &Arc<Service>) -> Router {
    let limited = |bytes| RequestBodyLimitLayer::new(bytes);
    let router = if service.offline {
        Router::new().route("/api/v1/feed/offline", get(feed::offline))
    } else {
        Router::new()
    };
    let router = router
        .route("/api/v1/feed", get(feed::feed))
        .route("/api/v1/hot/trending", get(lists::trending))
        .route("/api/v1/similar/{item}", get(lists::similar))
        .route("/api/v1/discover/suggested-users", get(lists::suggested))
        .route("/api/v1/items", get(lists::items))
        .route(
            "/api/v1/events",
            post(events::public).layer(limited(EVENTS_BYTES_MAX + 1)),
        )
        .route("/openapi.json", get(probes::openapi))
        .merge(probes())
        .merge(private(service));
    layers::wrap(router, service, true)
}

/// Routes of the admin listener: metrics, probes, internal and admin routes.
pub fn admin_router(service: &Arc<Service>) -> Router {
    let router = Router::new()
        .route("/metrics", get(probes::metrics))
        .merge(probes())
        .merge(private(service));
    layers::wrap(router, service, false)
}

/// Routes of a process that only follows: metrics, probes and those of change data capture.
pub(crate) fn follower_router(service: &Arc<Service>) -> Router {
    let private = following::routes(&service.desk)
        .route("/admin/v1/verify", post(following::verify))
        .route(
            "/admin/v1/backup",
            post(following::backup).layer(RequestBodyLimitLayer::new(COMMAND_BYTES_MAX)),
        )
        .route("/admin/{*rest}", any(following::not_here))
        .layer(DefaultBodyLimit::disable())
        .route_layer(axum::middleware::from_fn_with_state(
            Arc::clone(service),
            layers::admin_only,
        ));
    let router = Router::new()
        .route("/metrics", get(probes::metrics))
        .route("/livez", get(probes::live))
        .route("/readyz", get(following::ready))
        .route("/version", get(probes::version))
        .merge(private);
    layers::wrap(router, service, false)
}

fn probes() -> Router<Arc<Service>> {
    Router::new()
        .route("/livez", get(probes::live))
        .route("/readyz", get(probes::ready))
        .route("/healthz", get(probes::health))
        .route("/version", get(probes::version))
}

/// Routes that need the admin token.
fn private(service: &Arc<Service>) -> Router<Arc<Service>> {
    let limited = |bytes| RequestBodyLimitLayer::new(bytes);
    Router::new()
        .route("/internal/v1/candidates/{user}", get(internal::candidates))
        .route("/internal/v1/pools/{segment}", get(internal::pool))
        .route("/internal/v1/overlay", get(internal::overlay))
        .route("/internal/v1/lists/hot", get(internal::hot))
        .route("/internal/v1/similar/{item}", get(internal::similar))
        .route("/internal/v1/suggested/{user}", get(internal::suggested))
        .route("/internal/v1/items", get(internal::items))
        .route("/internal/v1/warm", get(internal::warm))
        .route("/internal/v1/model", get(internal::model))
        .route("/internal/v1/models/{version}", get(internal::snapshot))
        .route(
            "/internal/v1/events",
            post(events::internal).layer(limited(INTERNAL_BYTES_MAX + 1)),
        )
        .route(
            "/admin/v1/items",
            put(admin::upsert_items).layer(limited(ITEMS_BYTES_MAX + 1)),
        )
        .route(
            "/admin/v1/items/{id}",
            get(admin::item).delete(admin::delete_item),
        )
        .route(
            "/admin/v1/follows",
            put(admin::add_follows)
                .delete(admin::remove_follows)
                .layer(limited(FOLLOWS_BYTES_MAX)),
        )
        .route("/admin/v1/users/{user}", delete(admin::delete_user))
        .route("/admin/v1/users/{user}/export", get(admin::export_user))
        .route("/admin/v1/verify", post(admin::verify))
        .route(
            "/admin/v1/backup",
            post(admin::backup).layer(limited(COMMAND_BYTES_MAX)),
        )
        .route(
            "/admin/v1/import",
            post(admin::import).layer(limited(COMMAND_BYTES_MAX)),
        )
        .route(
            "/admin/v1/purge",
            get(purge::latest)
                .post(purge::purge)
                .layer(limited(COMMAND_BYTES_MAX)),
        )
        .route("/admin/v1/stats", get(admin::stats))
        .merge(following::routes(&service.desk))
        // The layers above say how much; axum's own limit would cut at 2 MB.
        .layer(DefaultBodyLimit::disable())
        .route_layer(axum::middleware::from_fn_with_state(
            Arc::clone(service),
            layers::admin_only,
        ))
}
