//! The few requests that visitors make.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use ureq::Agent;
use ureq::http::Request;

/// Longest time for one request, whatever hangs.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer that is read.
const MAX_ANSWER_BYTES: u64 = 4 << 20;

/// A client of one server.
pub(super) struct Api {
    agent: Agent,
    base: String,
    token: Option<String>,
}

impl Api {
    pub(super) fn new(base: &str, token: Option<&str>) -> Self {
        let agent = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .user_agent("edgewise-traffic")
            .build()
            .new_agent();
        Self {
            agent,
            base: base.to_owned(),
            token: token.map(str::to_owned),
        }
    }

    /// The JSON of a 2xx answer.
    ///
    /// # Errors
    ///
    /// Where there is no answer, another status, or no JSON.
    pub(super) fn get(&self, path_and_query: &str) -> Result<Value> {
        let answer = self
            .agent
            .get(format!("{}{path_and_query}", self.base))
            .call()?;
        read(answer)
    }

    /// Sends `body` as JSON; `Null` where the answer has no body.
    ///
    /// # Errors
    ///
    /// As [`Api::get`].
    pub(super) fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("content-type", "application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(body.to_string()).context("a request")?;
        read(self.agent.run(request)?)
    }
}

fn read(mut answer: ureq::http::Response<ureq::Body>) -> Result<Value> {
    let status = answer.status();
    let body = answer
        .body_mut()
        .with_config()
        .limit(MAX_ANSWER_BYTES)
        .read_to_vec()?;
    if !status.is_success() {
        bail!("answered {status}");
    }
    if body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&body).context("the answer is not JSON")
}

/// Percent-encodes a query value (RFC 3986: all but unreserved characters).
pub(super) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
