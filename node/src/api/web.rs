//! HTTP/1 for machines that look after nodes: `/metrics` (OpenMetrics text), `/livez` and `/readyz`.
//! The two answers about health are those of `grpc.health.v1` (`api/health`): alive is "", ready is `driftkv.v1.Kv`.
//! Invariants: at most [`CONNECTIONS_MAX`] connections, each for one request and at most [`CONNECTION_MAX`] long, so that whoever
//! reads or writes slowly, or not at all, holds up nobody for longer than that.
//! Not here: what is measured (`metrics`).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

use crate::driver::Handle;
use crate::faults::Faults;
use crate::metrics::scrape::Snapshot;

/// Connections at a time; further ones wait to be accepted.
pub const CONNECTIONS_MAX: usize = 256;
/// How long a connection may last, from its acceptance to its last byte.
pub const CONNECTION_MAX: Duration = Duration::from_secs(10);
/// How long the request's head may take: where all places are taken by idle connections a probe waits no longer.
const HEAD_MAX: Duration = Duration::from_millis(800);
/// Largest head of a request.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// After an accept that failed for want of something, such as file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const NOT_READY: &str = "no client requests are taken now: there is no layout yet, the rollback fence is not passed, or the node \
    is stopping; `driftkv status` says which";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// Serves the port of metrics and health.
#[derive(Clone, Debug)]
pub struct Web {
    handle: Handle,
    faults: Faults,
}

impl Web {
    /// Asks the engine behind `handle`.
    pub fn new(handle: Handle, faults: Faults) -> Web {
        Web { handle, faults }
    }

    /// Serves until `closed`.
    pub async fn serve(self, listener: TcpListener, mut closed: watch::Receiver<bool>) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            tokio::select! {
                _ = closed.wait_for(|closed| *closed) => return,
                Some((stream, permit)) = accept(&listener, &permits) => {
                    tokio::spawn(self.clone().connection(stream, permit));
                }
            }
        }
    }

    async fn connection(self, stream: TcpStream, permit: OwnedSemaphorePermit) {
        let service = service_fn(|request| self.answer(request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        // What goes wrong on a connection is its other end's to tell.
        let _ = timeout(CONNECTION_MAX, connection).await;
        drop(permit);
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refusal = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "allowed are GET and HEAD\n".to_owned());
            refusal.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
            return Ok(refusal);
        }
        Ok(match request.uri().path() {
            "/metrics" => self.metrics().await,
            "/livez" => health(self.is_alive(), "alive", "the engine has ended, or is stuck"),
            "/readyz" => health(self.is_ready(), "ready", NOT_READY),
            path => {
                let words = format!("{path:?} is not served here; there are /metrics, /livez and /readyz\n");
                response(StatusCode::NOT_FOUND, TEXT, words)
            }
        })
    }

    async fn metrics(&self) -> Response<Full<Bytes>> {
        let now = Snapshot::take(&self.handle, &self.faults).await;
        match self.handle.metrics().page(&now) {
            Ok(page) => response(StatusCode::OK, OPEN_METRICS, page),
            Err(error) => response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error}\n")),
        }
    }

    fn is_alive(&self) -> bool {
        self.handle.serving().has_changed().is_ok() && !self.handle.turning().is_stuck()
    }

    fn is_ready(&self) -> bool {
        self.is_alive() && *self.handle.serving().borrow()
    }
}

/// The next connection, with its place. `None`: there was none after all.
async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, permit)),
        Err(_) => {
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

fn health(is_well: bool, well: &str, why_not: &str) -> Response<Full<Bytes>> {
    match is_well {
        true => response(StatusCode::OK, TEXT, format!("{well}\n")),
        false => response(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("not {well}: {why_not}\n")),
    }
}

fn response(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests;
