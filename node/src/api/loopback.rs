//! For the tests of the services: a server on loopback, and an engine that a test plays itself.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::convert::Infallible;
use std::time::Duration;

use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};

use crate::driver::{Inbox, Job};

/// Longer than anything here takes, shorter than a person's patience.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Serves `service` until the test's runtime ends; returns `host:port`.
pub async fn serve<S>(service: S) -> String
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(Server::builder().serve_with_incoming(service, TcpIncoming::from(listener)));
    address
}

/// A connection to the server at `address`.
pub async fn connect(address: &str) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

/// What `wait` gives, or a failed test.
pub async fn soon<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("it did not happen in {PATIENCE:?}"))
}

/// The next thing the engine is asked to do.
pub async fn next(inbox: &mut Inbox) -> Job {
    soon(inbox.next()).await.unwrap()
}
