//! Requests to the origin's internal routes.

use worker::worker_sys::web_sys;
use worker::{AbortSignal, Env, Fetch, Headers, Method, Request, RequestInit, Response, Result};

/// Longest wait for the origin, ms: nobody waits for these answers.
const TIMEOUT_MS: u32 = 10_000;

/// `GET path`.
pub(crate) async fn get(env: &Env, path: &str) -> Result<Response> {
    send(env, Method::Get, path, None).await
}

/// `POST path` with a JSON body.
pub(crate) async fn post(env: &Env, path: &str, body: &str) -> Result<Response> {
    send(env, Method::Post, path, Some(body)).await
}

async fn send(env: &Env, method: Method, path: &str, body: Option<&str>) -> Result<Response> {
    let base = env.var("EDGEWISE_ORIGIN")?.to_string();
    let token = env.secret("EDGEWISE_ADMIN_TOKEN")?.to_string();
    let headers = Headers::new();
    headers.set("authorization", &format!("Bearer {token}"))?;
    headers.set("content-type", "application/json")?;
    let mut init = RequestInit::new();
    init.with_method(method).with_headers(headers);
    init.with_body(body.map(Into::into));
    let request = Request::new_with_init(&format!("{base}{path}"), &init)?;
    let signal = AbortSignal::from(web_sys::AbortSignal::timeout_with_u32(TIMEOUT_MS));
    Fetch::Request(request).send_with_signal(&signal).await
}
