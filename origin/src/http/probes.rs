//! What operators and schedulers ask: is it alive, ready, healthy, which build, how does it do.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use edgewise_wire::OPENAPI;
use edgewise_wire::problem::Problem;
use metrics::gauge;
use serde_json::json;

use super::{Failure, RETRY_S, Service, answer};
use crate::telemetry;

/// `/livez`: the process answers.
pub(super) async fn live() -> Response {
    std::future::ready(answer::text("ok")).await
}

/// `/readyz`: there is something to answer from, and it will be there in a moment.
pub(super) async fn ready(State(service): State<Arc<Service>>) -> Result<Response, Failure> {
    std::future::ready(()).await;
    if service.is_draining() {
        return Err(Problem::unavailable("the server is stopping", RETRY_S).into());
    }
    let origin = service.origin()?;
    // Without a writer no data can come: the worse fault is named first.
    if !origin.writer.is_running() {
        return Err(Problem::unavailable("the writer has stopped", RETRY_S).into());
    }
    if !origin.has_data() {
        let detail = "the catalogue is empty: import a data set or upsert items";
        return Err(Problem::unavailable(detail, RETRY_S).into());
    }
    Ok(answer::text("ok"))
}

/// `/healthz`: how it does, for people.
pub(super) async fn health(State(service): State<Arc<Service>>) -> Result<Response, Failure> {
    std::future::ready(()).await;
    let origin = service.origin()?;
    let writes = origin.writer.is_running();
    let body = json!({
        "status": if writes { "ok" } else { "failing" },
        "writer": writes,
        "draining": service.is_draining(),
        "items": origin.catalogue.len(),
        "position": origin.catalogue.position(),
        "hot_lists_age_ms": origin.clock.wall_ms() - origin.hot.load().made_at_ms,
        "model": origin.model.model.version,
    });
    let status = if writes {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    Ok(answer::value(status, &body))
}

/// `/version`: package and model.
pub(super) async fn version(State(service): State<Arc<Service>>) -> Response {
    let model = service
        .origin()
        .map(|origin| origin.model.model.version.clone())
        .ok();
    let body = json!({
        "name": "edgewise-origin",
        "version": env!("CARGO_PKG_VERSION"),
        "model": model,
    });
    std::future::ready(answer::value(StatusCode::OK, &body)).await
}

/// `/openapi.json`: the public routes.
pub(super) async fn openapi() -> Response {
    let mut response = answer::json(StatusCode::OK, OPENAPI);
    let lifetime = HeaderValue::from_static("public, max-age=300");
    response.headers_mut().insert(CACHE_CONTROL, lifetime);
    std::future::ready(response).await
}

/// `/metrics`: Prometheus text.
pub(super) async fn metrics(State(service): State<Arc<Service>>) -> Response {
    let handle = telemetry::metrics_handle();
    if let Ok(origin) = service.origin() {
        let age_ms = origin.clock.wall_ms() - origin.hot.load().made_at_ms;
        gauge!(telemetry::HOT_LISTS_AGE_SECONDS).set(age_ms as f64 / 1_000.0);
    }
    let mut response = answer::text(handle.render());
    let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    std::future::ready(response).await
}
