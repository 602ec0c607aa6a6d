//! What the operator asks of the nodes themselves, by their admin ports.
//! Invariants: every question has a deadline; an answer counts only from the node that was meant, for IPs are used again.
//! Not here: what is made of the answers (`plan`).

use std::time::Duration;

use driftkv_proto::client;
use driftkv_proto::v1::{BootstrapReply, BootstrapRequest, GetLayoutRequest, Layout, StatusReply, StatusRequest};
use tokio::time::timeout;
use tonic::{Response, Status};

/// How long a node may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// Why a node did not answer as hoped: a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NodeError(pub String);

/// The admin ports of nodes. Tests put nodes of their own here.
#[tonic::async_trait]
pub trait NodeAdmin: Send + Sync {
    /// How the node at `address` (HOST:PORT) is.
    async fn status(&self, address: &str) -> Result<StatusReply, NodeError>;
    /// The layout it holds; version 0 if none.
    async fn layout(&self, address: &str) -> Result<Layout, NodeError>;
    /// Gives it its first layout; the same again is answered the same.
    async fn bootstrap(&self, address: &str, request: BootstrapRequest) -> Result<BootstrapReply, NodeError>;
}

/// Real nodes, over gRPC.
#[derive(Clone, Copy, Debug, Default)]
pub struct Grpc;

#[tonic::async_trait]
impl NodeAdmin for Grpc {
    async fn status(&self, address: &str) -> Result<StatusReply, NodeError> {
        let mut admin = client::admin(address).map_err(|error| NodeError(error.to_string()))?;
        answer(address, admin.status(StatusRequest {})).await
    }

    async fn layout(&self, address: &str) -> Result<Layout, NodeError> {
        let mut admin = client::admin(address).map_err(|error| NodeError(error.to_string()))?;
        answer(address, admin.get_layout(GetLayoutRequest {})).await
    }

    async fn bootstrap(&self, address: &str, request: BootstrapRequest) -> Result<BootstrapReply, NodeError> {
        let mut admin = client::admin(address).map_err(|error| NodeError(error.to_string()))?;
        answer(address, admin.bootstrap(request)).await
    }
}

async fn answer<T>(address: &str, call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, NodeError> {
    match timeout(ANSWER_MAX, call).await {
        Ok(Ok(reply)) => Ok(reply.into_inner()),
        Ok(Err(status)) => Err(NodeError(format!("{address}: {}", status.message()))),
        Err(_) => Err(NodeError(format!("{address}: no answer in {} s", ANSWER_MAX.as_secs()))),
    }
}
