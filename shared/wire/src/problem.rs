//! Problem documents (RFC 9457): the only shape of an error that a client sees.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::Serialize;

use crate::ids::IdError;
use crate::token::TokenError;

/// Media type of [`Problem::to_json`].
pub const CONTENT_TYPE: &str = "application/problem+json";
/// Problem types are this, then the slug.
pub const TYPE_BASE: &str = "https://edgewise.dev/problems/";

/// An error as a client may see it; internal text never goes in here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// End of the stable `type` URI.
    pub slug: &'static str,
    /// What kind of problem it is, the same for every occurrence.
    pub title: &'static str,
    /// What is wrong with this request.
    pub detail: String,
    /// The parameter, header or body field that is wrong.
    pub field: Option<String>,
    /// What the field may be.
    pub allowed: Option<Cow<'static, str>>,
    /// Seconds after which a retry may succeed (also the `Retry-After` header).
    pub retry_after_s: Option<u32>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<u32>,
}

impl Problem {
    /// A problem without field, range or retry.
    #[must_use]
    pub fn new(
        status: u16,
        slug: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            status,
            slug,
            title,
            detail: detail.into(),
            field: None,
            allowed: None,
            retry_after_s: None,
        }
    }

    /// 400: the parameter `field` is not `allowed`.
    #[must_use]
    pub fn parameter(
        field: &str,
        detail: impl Into<String>,
        allowed: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(400, "invalid-parameter", "Invalid parameter", detail).on(field, allowed)
    }

    /// 400: the parameter `field` is not an id.
    #[must_use]
    pub fn id(field: &str, error: IdError) -> Self {
        Self::parameter(field, format!("{field} {error}"), crate::ids::ID_ALLOWED)
    }

    /// 400: the cursor is not one of ours, or not of this user.
    #[must_use]
    pub fn cursor(error: TokenError) -> Self {
        Self::parameter(
            "cursor",
            error.to_string(),
            "next_cursor of an earlier answer, unchanged",
        )
    }

    /// 400: the body's `field` is not `allowed`.
    #[must_use]
    pub fn body(
        field: &str,
        detail: impl Into<String>,
        allowed: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(400, "invalid-body", "Invalid body", detail).on(field, allowed)
    }

    /// 401: no valid identity.
    #[must_use]
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(401, "unauthorized", "Unauthorized", detail).on("authorization", "a valid token")
    }

    /// 403: the identity may not do this.
    #[must_use]
    pub fn forbidden(field: &str, detail: impl Into<String>) -> Self {
        let problem = Self::new(403, "forbidden", "Forbidden", detail);
        problem.on(field, "the subject of the signed token")
    }

    /// 404: there is nothing there.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(404, "not-found", "Not found", detail)
    }

    /// 405: the route has other methods (the caller also sends `Allow`).
    #[must_use]
    pub fn method_not_allowed(allowed: &'static str) -> Self {
        let detail = format!("this route takes {allowed}");
        Self::new(405, "method-not-allowed", "Method not allowed", detail).on("method", allowed)
    }

    /// 413: `field` is larger than `allowed`.
    #[must_use]
    pub fn too_large(
        field: &str,
        detail: impl Into<String>,
        allowed: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(413, "too-large", "Too large", detail).on(field, allowed)
    }

    /// 415: the body's media type is not taken.
    #[must_use]
    pub fn media_type(allowed: &'static str) -> Self {
        let detail = "the body's content type is not supported";
        Self::new(
            415,
            "unsupported-media-type",
            "Unsupported media type",
            detail,
        )
        .on("content-type", allowed)
    }

    /// 429: too many requests.
    #[must_use]
    pub fn rate_limited(retry_after_s: u32) -> Self {
        let detail = "too many requests from this client";
        Self::new(429, "rate-limited", "Too many requests", detail).retry_after(retry_after_s)
    }

    /// 503: not now.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>, retry_after_s: u32) -> Self {
        Self::new(503, "unavailable", "Service unavailable", detail).retry_after(retry_after_s)
    }

    /// 500: a bug; the log has the cause, the client does not.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(
            500,
            "internal",
            "Internal error",
            "the request could not be processed",
        )
    }

    /// Names the field and what it may be.
    #[must_use]
    pub fn on(mut self, field: &str, allowed: impl Into<Cow<'static, str>>) -> Self {
        self.field = Some(field.to_string());
        self.allowed = Some(allowed.into());
        self
    }

    /// Says when a retry may succeed.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The stable `type` URI.
    #[must_use]
    pub fn type_uri(&self) -> String {
        format!("{TYPE_BASE}{}", self.slug)
    }

    /// The document's bytes; the media type is [`CONTENT_TYPE`].
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let document = Document {
            r#type: self.type_uri(),
            title: self.title,
            status: self.status,
            detail: &self.detail,
            field: self.field.as_deref(),
            allowed: self.allowed.as_deref(),
            retry_after_s: self.retry_after_s,
        };
        serde_json::to_vec(&document).unwrap_or_default()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.slug, self.detail)
    }
}

impl core::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(problem: &Problem, json: &str) {
        assert_eq!(core::str::from_utf8(&problem.to_json()), Ok(json));
    }

    #[test]
    fn a_problem_names_field_and_range() {
        check(
            &Problem::parameter("limit", "limit is \"0\"", "1..100"),
            r#"{"type":"https://edgewise.dev/problems/invalid-parameter","title":"Invalid parameter","status":400,"detail":"limit is \"0\"","field":"limit","allowed":"1..100"}"#,
        );
    }

    #[test]
    fn a_problem_says_when_to_come_back() {
        check(
            &Problem::rate_limited(7),
            r#"{"type":"https://edgewise.dev/problems/rate-limited","title":"Too many requests","status":429,"detail":"too many requests from this client","retry_after_s":7}"#,
        );
    }

    #[test]
    fn statuses_are_those_of_the_design() {
        let statuses = [
            Problem::cursor(TokenError::Signature),
            Problem::unauthorized("x"),
            Problem::forbidden("user", "x"),
            Problem::not_found("x"),
            Problem::method_not_allowed("GET"),
            Problem::too_large("events", "x", "1..500"),
            Problem::media_type("application/json"),
            Problem::internal(),
            Problem::unavailable("x", 1),
        ];
        let statuses = statuses.map(|problem| problem.status);
        assert_eq!(statuses, [400, 401, 403, 404, 405, 413, 415, 500, 503]);
    }
}
