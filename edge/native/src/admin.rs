//! The operator's listener: `/metrics` for Prometheus, `/livez` for a supervisor.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tracing::debug;

use crate::telemetry;

/// Connections of the listener held open at once; more wait in the kernel's backlog.
const CONNECTIONS_MAX: usize = 64;
/// A connection that has not sent its headers is closed after this.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// The type of Prometheus's text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves for as long as the process lives; `refresh` brings gauges up to date before they are
/// read.
pub(crate) async fn serve(listener: TcpListener, refresh: impl Fn() + Send + Sync + 'static) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let refresh = Arc::new(refresh);
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                debug!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let refresh = Arc::clone(&refresh);
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let answer = answer(request.uri().path(), &*refresh);
                async { Ok::<_, Infallible>(answer) }
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = served.await {
                debug!(%error, "a connection ended");
            }
            drop(slot);
        });
    }
}

fn answer(path: &str, refresh: &impl Fn()) -> Response<Full<Bytes>> {
    let (status, text) = match path {
        "/metrics" => {
            refresh();
            let handle = telemetry::metrics_handle();
            handle.run_upkeep();
            (StatusCode::OK, handle.render())
        }
        "/livez" => (StatusCode::OK, "ok".to_owned()),
        _ => (StatusCode::NOT_FOUND, "not found".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(METRICS_TYPE));
    response
}
