//! Problem documents: what a client may see of an error; the log gets the cause.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use edgewise_serving::stored::StoredError;
use edgewise_wire::problem::{CONTENT_TYPE, Problem};
use tracing::error;

use crate::ingest::{Limits, SubmitError, WriteError};
use crate::store::StoreError;

/// Seconds after which a full queue is worth another try.
const RETRY_SOON_S: u32 = 1;
/// Seconds after which a failing store is worth another try.
const RETRY_LATER_S: u32 = 5;

/// An error answer.
#[derive(Debug)]
pub struct Failure(pub Box<Problem>);

impl Failure {
    /// 500; the log gets the cause.
    pub(crate) fn internal(cause: &dyn std::fmt::Display) -> Self {
        error!(%cause, "a request failed");
        Problem::internal().into()
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl From<StoreError> for Failure {
    fn from(cause: StoreError) -> Self {
        error!(error = &cause as &dyn std::error::Error, "the store failed");
        Problem::unavailable("the store cannot be read", RETRY_LATER_S).into()
    }
}

impl From<SubmitError> for Failure {
    fn from(cause: SubmitError) -> Self {
        match cause {
            SubmitError::Overloaded => {
                metrics::counter!(crate::telemetry::INGEST_OVERLOADED_TOTAL).increment(1);
                Problem::unavailable("the write queue is full", RETRY_SOON_S).into()
            }
            SubmitError::TooLarge => {
                let allowed = format!("at most {} bytes", Limits::default().queue_bytes);
                Problem::too_large("body", "the body is too large", allowed).into()
            }
            SubmitError::Stopped => {
                Problem::unavailable("the server does not write any more", RETRY_LATER_S).into()
            }
        }
    }
}

impl From<WriteError> for Failure {
    fn from(cause: WriteError) -> Self {
        error!(error = &cause as &dyn std::error::Error, "a write failed");
        Problem::unavailable("nothing was written; send it again", RETRY_LATER_S).into()
    }
}

impl From<StoredError> for Failure {
    fn from(cause: StoredError) -> Self {
        Self::internal(&cause)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        respond(&self.0)
    }
}

/// The problem as a response; nobody keeps it.
pub(crate) fn respond(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, problem.to_json()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = problem.retry_after_s {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if problem.status == 401 {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
