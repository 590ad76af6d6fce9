//! Requests to the origin: pooled connections, budgets, one retry where it is safe.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper::{HeaderMap, Method, Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::connection::Connection;
use super::failure::Failure;
use super::options::{
    HEADER_LINES_MAX, IDLE_CONNECTION, IDLE_CONNECTIONS_MAX, ORIGIN_HEAD_BYTES_MAX, Options,
    UPLOAD_BUDGET,
};

type OriginBody = Either<Incoming, Empty<Bytes>>;

/// One thread's way to the origin.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    client: Client<HttpsConnector<HttpConnector>, OriginBody>,
    origin: Uri,
    budget: Duration,
}

/// A request to the origin.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Incoming>,
    /// The connection of the client that gets interim answers.
    pub(crate) interim: Option<Connection>,
}

impl Upstream {
    pub(crate) fn new(options: &Options) -> Self {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(options.limits.connect_budget));
        let https = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_CONNECTION)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .http1_max_headers(HEADER_LINES_MAX)
            .http1_max_buf_size(ORIGIN_HEAD_BYTES_MAX)
            .set_host(false)
            .build(https);
        Self {
            client,
            origin: options.origin.clone(),
            budget: options.limits.origin_budget,
        }
    }

    /// Sends a request. A second time where the connection ended before an answer and neither
    /// the method nor a body forbids it (RFC 9110 section 9.2.2).
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) async fn send(&self, mut out: Outgoing) -> Result<Response<Incoming>, Failure> {
        let uri = self.uri(&out.target).ok_or(Failure::Protocol)?;
        let repeatable = out.body.is_none() && is_idempotent(&out.method);
        let budget = match out.body {
            Some(_) => UPLOAD_BUDGET.max(self.budget),
            None => self.budget,
        };
        let exchange = async {
            let body = out.body.take();
            let first = self.exchange(&uri, &out, body).await;
            match first {
                Err(Failure::Closed) if repeatable => self.exchange(&uri, &out, None).await,
                answered => answered,
            }
        };
        tokio::time::timeout(budget, exchange)
            .await
            .unwrap_or(Err(Failure::Timeout))
    }

    async fn exchange(
        &self,
        uri: &Uri,
        out: &Outgoing,
        body: Option<Incoming>,
    ) -> Result<Response<Incoming>, Failure> {
        let body = body.map_or_else(|| Either::Right(Empty::new()), Either::Left);
        let mut request = Request::new(body);
        *request.method_mut() = out.method.clone();
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = out.headers.clone();
        if let Some(connection) = out.interim.clone() {
            hyper::ext::on_informational(&mut request, move |interim| {
                connection.send_interim(interim.status(), interim.headers());
            });
        }
        match self.client.request(request).await {
            Ok(response) if response.status().is_informational() => Err(Failure::Protocol),
            Ok(response) => Ok(response),
            Err(error) if error.is_connect() => {
                tracing::debug!(%error, "no connection to the origin");
                Err(Failure::Connect)
            }
            Err(error) => Err(of(&error)),
        }
    }

    fn uri(&self, target: &str) -> Option<Uri> {
        let mut parts = self.origin.clone().into_parts();
        parts.path_and_query = Some(target.parse().ok()?);
        Uri::from_parts(parts).ok()
    }
}

fn of(error: &hyper_util::client::legacy::Error) -> Failure {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<hyper::Error>() {
            if error.is_parse() {
                return Failure::Protocol;
            }
            if error.is_timeout() {
                return Failure::Timeout;
            }
        }
        source = cause.source();
    }
    Failure::Closed
}

fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE
    )
}
