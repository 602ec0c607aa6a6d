//! The `Kv` service: unary get, put and delete, and sessions of many at once.
//! Invariants: every refusal names its code, its numbers and the field to blame; a client that goes away leaves nothing behind:
//! what it asked for runs to its end in core, and the answer is dropped.
//! Not here: deciding anything about a request (core).

mod session;
#[cfg(test)]
mod tests;

use driftkv_core::config::Limits;
use driftkv_core::effect::{Failure, Put, Request};
use driftkv_core::id::RequestId;
use driftkv_core::message::Trace;
use driftkv_proto::v1::ErrorCode;
use driftkv_proto::v1::kv_server::{Kv, KvServer};
use driftkv_proto::v1::session_reply::Reply as Wire;
use driftkv_proto::{FRAME_BYTES_MAX, REPLY_BYTES_MAX, v1};
use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::{Response, Status, Streaming};

use super::replies::UNSENT_BYTES_MAX;
use super::{deadline, status};
use crate::connections::ConnectInfo;
use crate::convert::{answer, client};
use crate::driver::{Handle, Outcome};
use crate::traces;
use session::Session;

/// Room in a request beside bucket, key and value: context, ids and framing.
const REQUEST_BYTES_MORE: usize = 4 << 20;

/// Serves `Kv`.
#[derive(Clone, Debug)]
pub struct KvApi {
    handle: Handle,
    request_bytes_max: usize,
}

impl KvApi {
    /// Hands requests to the engine behind `handle`.
    ///
    /// A request may have twice the bytes that `limits` allow and some more: core then refuses what is too large with all
    /// numbers and the session goes on, while beyond that gRPC itself refuses, which ends the call or the session.
    pub fn new(handle: Handle, limits: Limits) -> KvApi {
        let largest = (limits.value_bytes_max as usize).saturating_add(limits.key_bytes_max as usize);
        let request_bytes_max = largest.saturating_mul(2).saturating_add(REQUEST_BYTES_MORE).min(FRAME_BYTES_MAX);
        KvApi { handle, request_bytes_max }
    }

    /// The service with its message limits.
    pub fn into_service(self) -> KvServer<KvApi> {
        let request_bytes_max = self.request_bytes_max;
        KvServer::new(self).max_decoding_message_size(request_bytes_max).max_encoding_message_size(REPLY_BYTES_MAX)
    }

    async fn put(&self, mut put: Put, metadata: &MetadataMap) -> Result<Response<v1::PutReply>, Status> {
        put.timeout_ms = deadline::timeout_ms(put.timeout_ms, metadata);
        let request = put.request;
        match wire(self.handle.client(Request::Put(put), trace(metadata)).await, Some(request))? {
            Wire::Put(reply) => Ok(Response::new(reply)),
            Wire::Get(_) | Wire::Error(_) => Err(wrong_kind()),
        }
    }
}

#[tonic::async_trait]
impl Kv for KvApi {
    type SessionStream = Session;

    async fn get(&self, request: tonic::Request<v1::GetRequest>) -> Result<Response<v1::GetReply>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        let mut get = client::get(request).map_err(status::invalid)?;
        get.timeout_ms = deadline::timeout_ms(get.timeout_ms, &metadata);
        match wire(self.handle.client(Request::Get(get), trace(&metadata)).await, None)? {
            Wire::Get(reply) => held(reply, extensions.get::<ConnectInfo>()),
            Wire::Put(_) | Wire::Error(_) => Err(wrong_kind()),
        }
    }

    async fn put(&self, request: tonic::Request<v1::PutRequest>) -> Result<Response<v1::PutReply>, Status> {
        let (metadata, _, request) = request.into_parts();
        self.put(client::put(request).map_err(status::invalid)?, &metadata).await
    }

    async fn delete(&self, request: tonic::Request<v1::DeleteRequest>) -> Result<Response<v1::PutReply>, Status> {
        let (metadata, _, request) = request.into_parts();
        self.put(client::delete(request).map_err(status::invalid)?, &metadata).await
    }

    async fn session(
        &self,
        request: tonic::Request<Streaming<v1::SessionRequest>>,
    ) -> Result<Response<Session>, Status> {
        Ok(Response::new(Session::new(request.into_inner(), self.handle.clone())))
    }
}

fn wire(outcome: Outcome, request: Option<RequestId>) -> Result<Wire, Status> {
    let reply = outcome.map_err(|failure: Failure| status::failed(&failure))?;
    match answer::reply(reply, request) {
        Wire::Error(error) => Err(status::status(&error, None)),
        reply => Ok(reply),
    }
}

/// `reply`, for which the connection has room.
fn held(reply: v1::GetReply, connection: Option<&ConnectInfo>) -> Result<Response<v1::GetReply>, Status> {
    let held =
        connection.map(|connection| connection.unsent.take(reply.encoded_len()).ok_or_else(unread)).transpose()?;
    let mut response = Response::new(reply);
    if let Some(held) = held {
        response.extensions_mut().insert(held);
    }
    Ok(response)
}

fn unread() -> Status {
    let message = format!("this connection has left {} MiB of replies unread", UNSENT_BYTES_MAX >> 20);
    status::status(&v1::Error { code: ErrorCode::Overloaded.into(), message, ..v1::Error::default() }, None)
}

/// The client's span, if it says one whose trace is recorded.
fn trace(metadata: &MetadataMap) -> Option<Trace> {
    traces::parse(metadata.get(traces::HEADER)?.to_str().ok()?)
}

fn wrong_kind() -> Status {
    Status::internal("the engine's reply is of another kind than the request; this is a bug in driftkv")
}
