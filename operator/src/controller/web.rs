//! HTTP/1 for machines that look after the operator: `/metrics`, `/healthz` (it runs) and `/readyz` (it can do its work, or could if
//! it were its turn).
//! Invariants: at most [`CONNECTIONS_MAX`] connections, each for one request and at most [`CONNECTION_MAX`] long.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::metrics::Metrics;

/// Connections at a time; further ones wait to be accepted.
pub const CONNECTIONS_MAX: usize = 64;
/// How long a connection may last.
pub const CONNECTION_MAX: Duration = Duration::from_secs(5);
/// After an accept that failed for want of something, such as file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// Serves for ever. `obstacle`: what keeps the operator from working; empty if nothing does.
pub async fn serve(listener: TcpListener, metrics: Metrics, obstacle: watch::Receiver<String>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (metrics, obstacle) = (metrics.clone(), obstacle.clone());
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let answer = answer(request.uri().path(), &metrics, &obstacle.borrow());
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            // What goes wrong on a connection is its other end's to tell.
            let _ = timeout(CONNECTION_MAX, connection).await;
            drop(permit);
        });
    }
}

fn answer(path: &str, metrics: &Metrics, obstacle: &str) -> Response<Full<Bytes>> {
    match (path, obstacle) {
        ("/metrics", _) => match metrics.page() {
            Ok(page) => response(StatusCode::OK, OPEN_METRICS, page),
            Err(error) => response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
        },
        ("/healthz", _) => response(StatusCode::OK, TEXT, "alive\n".to_owned()),
        ("/readyz", "") => response(StatusCode::OK, TEXT, "ready\n".to_owned()),
        ("/readyz", why) => response(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("not ready: {why}\n")),
        _ => {
            let words = "there are /metrics, /healthz and /readyz\n".to_owned();
            response(StatusCode::NOT_FOUND, TEXT, words)
        }
    }
}

fn response(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::{Metrics, StatusCode, answer};

    #[test]
    fn ready_says_what_is_missing_and_alive_does_not_depend_on_it() {
        let metrics = Metrics::default();
        let status = |path: &str, obstacle: &str| answer(path, &metrics, obstacle).status();
        assert_eq!(status("/healthz", "no CRD"), StatusCode::OK);
        assert_eq!(status("/readyz", "no CRD"), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(status("/readyz", ""), StatusCode::OK);
        assert_eq!(status("/metrics", "no CRD"), StatusCode::OK);
        assert_eq!(status("/", ""), StatusCode::NOT_FOUND);
    }
}
