//! The client of the origin: pooled connections, one bearer token, bounded answers.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{AGE, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use metrics::{Histogram, counter, histogram};
use rustls::crypto::aws_lc_rs;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::limits::{
    ORIGIN_ANSWER_BYTES_MAX, ORIGIN_CONNECT_TIMEOUT, ORIGIN_IDLE, ORIGIN_IDLE_MAX,
    ORIGIN_REQUESTS_MAX,
};
use crate::telemetry::{ORIGIN_REQUESTS_TOTAL, ORIGIN_SECONDS};

/// Why there is no answer of the origin.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// The path does not make a URL with the origin's.
    #[error("`{0}` is no path of the origin")]
    Path(String),
    /// No connection, or it broke.
    #[error("the origin cannot be reached: {0}")]
    Connection(String),
    /// The answer broke off or was longer than is taken.
    #[error("the origin's answer cannot be taken: {0}")]
    Body(String),
    /// No answer in time.
    #[error("the origin did not answer within {0:?}")]
    Late(Duration),
}

/// What the origin answered.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamAnswer {
    /// HTTP status.
    pub(crate) status: u16,
    /// The `Age` header, seconds; 0 where absent or unreadable.
    pub(crate) age_s: u32,
    /// The body.
    pub(crate) body: Bytes,
}

/// A request to the origin.
#[derive(Debug)]
pub(crate) struct UpstreamRequest<'a> {
    /// `GET` or `POST`.
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: &'a str,
    /// W3C trace context; empty where there is none.
    pub(crate) traceparent: &'a str,
    /// JSON; empty where there is none.
    pub(crate) body: Bytes,
}

impl<'a> UpstreamRequest<'a> {
    /// `GET path`.
    pub(crate) fn get(path: &'a str) -> Self {
        Self {
            method: Method::GET,
            path,
            traceparent: "",
            body: Bytes::new(),
        }
    }
}

/// The origin, as a client sees it. Redirects are answers like others.
pub(crate) struct Upstream {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Without a slash at the end.
    base: String,
    bearer: HeaderValue,
    slots: Semaphore,
    seconds: Histogram,
}

impl Upstream {
    /// The origin at `base` (`http://` or `https://`); `bearer` is the whole header value.
    pub(crate) fn new(base: &str, bearer: HeaderValue) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(ORIGIN_CONNECT_TIMEOUT));
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(aws_lc_rs::default_provider())
            .expect("aws-lc has the versions of TLS that are built in")
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(ORIGIN_IDLE)
            .pool_max_idle_per_host(ORIGIN_IDLE_MAX)
            .build(connector);
        Self {
            client,
            base: base.trim_end_matches('/').to_owned(),
            bearer,
            slots: Semaphore::new(ORIGIN_REQUESTS_MAX),
            seconds: histogram!(ORIGIN_SECONDS),
        }
    }

    /// Sends a request and takes the whole answer within `timeout`.
    ///
    /// # Errors
    /// Without a whole answer in time; a status is no error.
    pub(crate) async fn send(
        &self,
        request: UpstreamRequest<'_>,
        timeout: Duration,
    ) -> Result<UpstreamAnswer, UpstreamError> {
        let began = Instant::now();
        let answer = tokio::time::timeout(timeout, self.exchange(request)).await;
        let answer = answer.unwrap_or(Err(UpstreamError::Late(timeout)));
        self.seconds.record(began.elapsed().as_secs_f64());
        counter!(ORIGIN_REQUESTS_TOTAL, "outcome" => outcome(&answer)).increment(1);
        answer
    }

    async fn exchange(&self, asked: UpstreamRequest<'_>) -> Result<UpstreamAnswer, UpstreamError> {
        let _slot = self.slots.acquire().await;
        let uri: Uri = format!("{}{}", self.base, asked.path)
            .parse()
            .map_err(|_| UpstreamError::Path(asked.path.to_owned()))?;
        let mut request = Request::new(Full::new(asked.body));
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, self.bearer.clone());
        if asked.method == Method::POST {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Ok(value) = HeaderValue::from_str(asked.traceparent)
            && !value.is_empty()
        {
            headers.insert("traceparent", value);
        }
        *request.method_mut() = asked.method;
        let answer = self
            .client
            .request(request)
            .await
            .map_err(|error| UpstreamError::Connection(chain(&error)))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ORIGIN_ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| UpstreamError::Body(error.to_string()))?;
        let age = head.headers.get(AGE).and_then(|age| age.to_str().ok());
        Ok(UpstreamAnswer {
            status: head.status.as_u16(),
            age_s: age.and_then(|age| age.parse().ok()).unwrap_or(0),
            body: body.to_bytes(),
        })
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

fn outcome(answer: &Result<UpstreamAnswer, UpstreamError>) -> &'static str {
    match answer {
        Ok(answer) => match answer.status {
            100..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            _ => "5xx",
        },
        Err(UpstreamError::Late(_)) => "late",
        Err(_) => "failed",
    }
}
