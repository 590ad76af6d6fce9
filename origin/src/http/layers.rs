//! What happens around every route: identity of the client, limits, cross-origin rules, metrics,
//! and problem documents for whatever the framework refuses by itself.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderName};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use edgewise_wire::problem::{CONTENT_TYPE as PROBLEM, Problem};
use metrics::{counter, histogram};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::arrival;
use super::connections::ClientAddr;
use super::problem::respond;
use super::{Failure, Service};
use crate::clock::Stopwatch;
use crate::telemetry;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Headers a script may read.
const EXPOSED: [&str; 6] = [
    "cache-status",
    "edgewise-rung",
    "etag",
    "retry-after",
    "server-timing",
    "x-cache-status",
];
/// Time a browser may keep a preflight's answer.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(86_400);
/// Routes that take as long as they take.
const SLOW_ROUTES: [&str; 9] = [
    "/admin/v1/verify",
    "/admin/v1/backup",
    "/admin/v1/import",
    "/admin/v1/users/{user}/export",
    "/admin/v1/replicate",
    "/admin/v1/replicate/resync",
    "/admin/v1/reconcile",
    "/admin/v1/dead-letters/replay",
    "/admin/v1/dead-letters/drop",
];

/// Puts the layers around `router`; the first one named here is the innermost.
pub(super) fn wrap(
    router: Router<Arc<Service>>,
    service: &Arc<Service>,
    is_public: bool,
) -> Router {
    let mut router = router
        .fallback(async || Failure::from(Problem::not_found("there is no such route")))
        .layer(from_fn_with_state(Arc::clone(service), in_time));
    if is_public && service.rate.is_some() {
        router = router.layer(from_fn_with_state(Arc::clone(service), within_rate));
    }
    router = router.layer(from_fn(problem_documents));
    if is_public && !service.allow_origins.is_empty() {
        router = router.layer(cors(&service.allow_origins));
    }
    router
        .layer(from_fn(observe))
        .with_state(Arc::clone(service))
}

/// Lets only requests with the admin token through.
pub(super) async fn admin_only(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response {
    match service.admin_token.check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => respond(&problem),
    }
}

/// Answers 408 where the body takes longer than it may, 503 where the route does.
async fn in_time(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let is_slow = route_of(&request).is_some_and(|route| SLOW_ROUTES.contains(&route));
    let (request, arrival) = arrival::watched(request);
    let mut answer = Box::pin(next.run(request));
    match tokio::time::timeout(service.request_timeout, &mut answer).await {
        Ok(answer) => answer,
        Err(_) if arrival.is_awaited() => {
            let detail = "the body did not arrive in time";
            let problem = Problem::new(408, "request-timeout", "Request timeout", detail);
            let mut response = respond(&problem);
            // What may still come of the body is nobody's request.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
            response
        }
        Err(_) if is_slow => answer.await,
        Err(_) => respond(&Problem::unavailable(
            "the request took too long",
            super::RETRY_S,
        )),
    }
}

/// Answers 429 to a client that asks more than the rate allows.
async fn within_rate(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response {
    let is_limited = request.uri().path().starts_with("/api/");
    let client = request
        .extensions()
        .get::<ClientAddr>()
        .filter(|_| is_limited);
    if let (Some(limiter), Some(client), Ok(origin)) = (&service.rate, client, service.origin())
        && let Err(retry_s) = limiter.take(client.0.ip(), origin.clock.wall_ms())
    {
        counter!(telemetry::HTTP_RATE_LIMITED_TOTAL).increment(1);
        return respond(&Problem::rate_limited(retry_s));
    }
    next.run(request).await
}

/// Turns the framework's own refusals into problem documents.
async fn problem_documents(request: Request, next: Next) -> Response {
    // The framework adds `Allow` outside of this layer: methods are known by the route.
    let route = route_of(&request).unwrap_or("");
    let (methods, body_max) = (super::methods(route), super::body_max(route));
    let response = next.run(request).await;
    let status = response.status();
    // The framework refuses in plain text; JSON is a route's own answer, whatever its status.
    let is_own = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| [PROBLEM.as_bytes(), b"application/json"].contains(&kind.as_bytes()));
    if is_own || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let problem = match status {
        StatusCode::METHOD_NOT_ALLOWED => Problem::method_not_allowed(methods),
        StatusCode::PAYLOAD_TOO_LARGE => {
            let allowed = format!("at most {body_max} bytes");
            Problem::too_large("body", "the body is too large", allowed)
        }
        StatusCode::NOT_FOUND => Problem::not_found("there is no such route"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Problem::media_type("application/json"),
        status if status.is_server_error() => Problem::internal(),
        status => {
            let detail = "the request cannot be read";
            Problem::new(status.as_u16(), "bad-request", "Bad request", detail)
        }
    };
    let mut answer = respond(&problem);
    if let Some(allow) = response.headers().get(ALLOW) {
        answer.headers_mut().insert(ALLOW, allow.clone());
    }
    answer
}

/// Counts and times every answer, passes the trace on.
async fn observe(request: Request, next: Next) -> Response {
    let stopwatch = Stopwatch::start();
    let route = route_of(&request).unwrap_or("other").to_owned();
    let method = method_name(request.method());
    let trace = request
        .headers()
        .get(TRACEPARENT)
        .filter(|trace| is_trace(trace))
        .cloned();
    let mut response = next.run(request).await;
    let elapsed = stopwatch.elapsed();
    let status = response.status().as_u16().to_string();
    counter!(
        telemetry::HTTP_REQUESTS_TOTAL,
        "route" => route.clone(), "method" => method, "status" => status,
    )
    .increment(1);
    histogram!(telemetry::HTTP_REQUEST_SECONDS, "route" => route.clone())
        .record(elapsed.as_secs_f64());
    tracing::debug!(
        route,
        method,
        status = response.status().as_u16(),
        duration_ms = elapsed.as_secs_f64() * 1_000.0,
        "answered"
    );
    let timing = format!("origin;dur={:.2}", elapsed.as_secs_f64() * 1_000.0);
    let headers = response.headers_mut();
    if let Ok(timing) = HeaderValue::from_str(&timing) {
        headers.insert(SERVER_TIMING, timing);
    }
    if let Some(trace) = trace {
        headers.insert(TRACEPARENT, trace);
    }
    response
}

fn route_of(request: &Request) -> Option<&str> {
    request
        .extensions()
        .get::<MatchedPath>()
        .map(MatchedPath::as_str)
}

/// A label of few values, whatever clients send.
fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// Whether a value is W3C trace context, version 00: `00-<32 hex>-<16 hex>-<2 hex>` in lower
/// case, where neither id is all zeros.
fn is_trace(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else {
        return false;
    };
    let is_hex = |part: &str, len| {
        part.len() == len && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_id = |part: &str, len| is_hex(part, len) && part.bytes().any(|byte| byte != b'0');
    let parts: Vec<&str> = text.split('-').collect();
    matches!(
        parts[..],
        ["00", trace, parent, flags]
            if is_id(trace, 32) && is_id(parent, 16) && is_hex(flags, 2)
    )
}

fn cors(origins: &[String]) -> CorsLayer {
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(
            origins
                .iter()
                .filter_map(|origin| HeaderValue::from_str(origin).ok()),
        )
    };
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::OPTIONS])
        .allow_headers(
            ["authorization", "content-type", "traceparent"].map(HeaderName::from_static),
        )
        .expose_headers(EXPOSED.map(HeaderName::from_static))
        .max_age(PREFLIGHT_MAX_AGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trace_context_is_passed_on() {
        let is_trace = |text: &str| is_trace(&HeaderValue::from_str(text).unwrap());
        let trace = "0af7651916cd43dd8448eb211c80319c";
        assert!(is_trace(&format!("00-{trace}-b7ad6b7169203331-01")));
        assert!(!is_trace(&"-".repeat(55)));
        assert!(!is_trace(&"a".repeat(55)));
        assert!(!is_trace(&format!("01-{trace}-b7ad6b7169203331-01")));
        assert!(!is_trace(&format!(
            "00-{}-b7ad6b7169203331-01",
            "0".repeat(32)
        )));
        assert!(!is_trace(&format!(
            "00-{}-b7ad6b7169203331-01",
            trace.to_uppercase()
        )));
        assert!(!is_trace(&format!("00-{trace}-b7ad6b7169203331-01-")));
        assert!(!is_trace(&format!("00-{trace}b7ad6b7169203331--01-")));
    }
}
