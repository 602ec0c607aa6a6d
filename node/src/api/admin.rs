//! The `Admin` service: bootstrap, layout, status, digests, stored values and faults of this one node.
//! Invariants: a bootstrap that contradicts what this node was started with is refused before core sees it; faults never
//! pass through the engine, so that a paused node can be healed.
//! Not here: who may ask (`admin/gate.rs`; and the admin port is its own, so that a network policy can decide).

mod expected;
mod fence;
mod gate;
#[cfg(test)]
mod tests;

use std::time::Duration;

use driftkv_core::effect::{AdminReply, AdminRequest};
use driftkv_core::id::{Incarnation, PartitionId};
use driftkv_proto::v1::admin_server::{Admin, AdminServer};
use driftkv_proto::{FRAME_BYTES_MAX, v1};
use tonic::{Request, Response, Status};

use crate::config::Config;
use crate::convert::admin::{self, About};
use crate::driver::Handle;
use crate::faults::{FaultError, Faults};
use expected::Expected;
use fence::Fence;

pub use gate::{Gate, Guarded};

/// A bootstrap of the most members, each with the longest texts, has less.
const REQUEST_BYTES_MAX: usize = 4 << 20;
/// How long the engine may take to answer an operator.
const ANSWER_MAX: Duration = Duration::from_secs(4);

/// Serves `Admin`.
#[derive(Clone, Debug)]
pub struct AdminApi {
    handle: Handle,
    faults: Faults,
    about: About,
    expected: Expected,
    fence: Fence,
}

impl AdminApi {
    /// Hands requests to the engine behind `handle`. `incarnation`: of the data directory.
    pub fn new(handle: Handle, faults: Faults, config: &Config, incarnation: Incarnation) -> AdminApi {
        let zone = config.zone.clone().unwrap_or_default();
        let started_with = expected::started_with(config);
        let about = About { incarnation, name: config.name.clone(), zone, started_with };
        let (expected, fence) = (Expected::new(config, incarnation), Fence::default());
        AdminApi { handle, faults, about, expected, fence }
    }

    /// The service with its message limits.
    pub fn into_service(self) -> AdminServer<AdminApi> {
        AdminServer::new(self).max_decoding_message_size(REQUEST_BYTES_MAX).max_encoding_message_size(FRAME_BYTES_MAX)
    }

    async fn ask(&self, request: AdminRequest) -> Result<AdminReply, Status> {
        let reply = tokio::time::timeout(ANSWER_MAX, self.handle.admin(request)).await.map_err(|_| {
            let seconds = ANSWER_MAX.as_secs();
            Status::deadline_exceeded(format!(
                "the engine did not answer in {seconds} s: a fault pauses it, or its disk stalls; `GetFaults` tells of faults"
            ))
        })?;
        match reply {
            Some(AdminReply::Refused(why)) => Err(Status::failed_precondition(why)),
            Some(reply) => Ok(reply),
            None => Err(Status::unavailable("this node is stopping")),
        }
    }
}

#[tonic::async_trait]
impl Admin for AdminApi {
    async fn bootstrap(&self, request: Request<v1::BootstrapRequest>) -> Result<Response<v1::BootstrapReply>, Status> {
        self.fence.admit(request.metadata())?;
        let layout = admin::bootstrap(request.into_inner()).map_err(Status::invalid_argument)?;
        self.expected.check(&layout).map_err(Status::failed_precondition)?;
        match self.ask(AdminRequest::Bootstrap(layout)).await? {
            AdminReply::Bootstrapped { version, hash, was_adopted } => {
                Ok(Response::new(admin::bootstrap_reply(version, hash, was_adopted)))
            }
            _ => Err(wrong_kind()),
        }
    }

    async fn get_layout(&self, _: Request<v1::GetLayoutRequest>) -> Result<Response<v1::Layout>, Status> {
        match self.ask(AdminRequest::GetLayout).await? {
            AdminReply::Layout(layout) => Ok(Response::new(admin::layout(layout.as_ref()))),
            _ => Err(wrong_kind()),
        }
    }

    async fn status(&self, _: Request<v1::StatusRequest>) -> Result<Response<v1::StatusReply>, Status> {
        match self.ask(AdminRequest::Status).await? {
            AdminReply::Status(status) => {
                let faults = Some(self.faults.status());
                let (syncs, written) = self.handle.metrics().syncs();
                Ok(Response::new(v1::StatusReply {
                    faults,
                    syncs,
                    records_synced: written.records,
                    bytes_synced: written.bytes,
                    ..admin::status(&self.about, *status)
                }))
            }
            _ => Err(wrong_kind()),
        }
    }

    async fn digest(&self, request: Request<v1::DigestRequest>) -> Result<Response<v1::DigestReply>, Status> {
        let partition = PartitionId(request.into_inner().partition);
        match self.ask(AdminRequest::Digest(partition)).await? {
            AdminReply::Digest { root, keys, is_built } => Ok(Response::new(admin::digest_reply(root, keys, is_built))),
            _ => Err(wrong_kind()),
        }
    }

    async fn digests(&self, _: Request<v1::DigestsRequest>) -> Result<Response<v1::DigestsReply>, Status> {
        match self.ask(AdminRequest::Digests).await? {
            AdminReply::Digests(digests) => Ok(Response::new(admin::digests_reply(digests))),
            _ => Err(wrong_kind()),
        }
    }

    async fn peek(&self, request: Request<v1::PeekRequest>) -> Result<Response<v1::PeekReply>, Status> {
        if !self.faults.is_allowed() {
            let why = "this node shows nobody what it stores: it was started without --allow-faults";
            return Err(Status::failed_precondition(why));
        }
        let keys = admin::peek(request.into_inner()).map_err(Status::invalid_argument)?;
        match self.ask(AdminRequest::Peek(keys)).await? {
            AdminReply::Peeked(peeked) => admin::peek_reply(peeked).map(Response::new).map_err(Status::out_of_range),
            _ => Err(wrong_kind()),
        }
    }

    async fn apply_faults(
        &self,
        request: Request<v1::ApplyFaultsRequest>,
    ) -> Result<Response<v1::FaultStatus>, Status> {
        self.fence.admit(request.metadata())?;
        let v1::ApplyFaultsRequest { experiment, left_ms } = request.into_inner();
        let left = if left_ms == 0 { Duration::MAX } else { Duration::from_millis(left_ms) };
        let status = self.faults.apply_within(&experiment, left).map_err(refused)?;
        Ok(Response::new(status))
    }

    async fn clear_faults(
        &self,
        request: Request<v1::ClearFaultsRequest>,
    ) -> Result<Response<v1::FaultStatus>, Status> {
        self.fence.admit(request.metadata())?;
        let status = self.faults.clear(&request.into_inner().id).map_err(refused)?;
        Ok(Response::new(status))
    }

    async fn get_faults(&self, _: Request<v1::GetFaultsRequest>) -> Result<Response<v1::FaultStatus>, Status> {
        Ok(Response::new(self.faults.status()))
    }
}

fn refused(error: FaultError) -> Status {
    let words = error.to_string();
    match error {
        FaultError::Parse(_) => Status::invalid_argument(words),
        FaultError::NotFound { .. } => Status::not_found(words),
        FaultError::TooMany => Status::resource_exhausted(words),
        FaultError::NotAllowed
        | FaultError::Unsupported(_)
        | FaultError::NoMembers
        | FaultError::Refused { .. }
        | FaultError::IdTaken { .. } => Status::failed_precondition(words),
    }
}

fn wrong_kind() -> Status {
    Status::internal("the engine's reply is of another kind than the request; this is a bug in driftkv")
}
