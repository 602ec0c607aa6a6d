//! What a client sent, as a request that core can run.
//! Invariant: an unknown number or a wrong length is refused and named, never taken for a default.
//! Not here: whether sizes, quorums and contexts are allowed in this cluster (core, `Coordinator` rules).

use bytes::Bytes;
use driftkv_core::effect::{Failure, Get, Intent, Put, Request};
use driftkv_core::id::{Key, RequestId};
use driftkv_proto::v1::session_request::Request as SessionRequest;
use driftkv_proto::{BUCKET_DEFAULT, REQUEST_ID_BYTES, v1};

use super::request_id;

/// A field that cannot be used; nothing was done. The client should correct it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Invalid {
    /// As the contract spells it.
    pub field: &'static str,
    /// What is wrong and what is allowed.
    pub why: String,
}

impl Invalid {
    fn new(field: &'static str, why: impl Into<String>) -> Self {
        Invalid { field, why: why.into() }
    }
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        Failure::InvalidArgument(invalid.to_string())
    }
}

/// A read.
pub fn get(get: v1::GetRequest) -> Result<Get, Invalid> {
    let mode = v1::ReadMode::try_from(get.mode);
    let mode = mode.map_err(|_| unknown("mode", get.mode, "READ_MODE_EVENTUAL (0) or READ_MODE_MONOTONIC (1)"))?;
    let options = get.options.unwrap_or_default();
    Ok(Get {
        key: key(get.bucket, get.key),
        is_monotonic: mode == v1::ReadMode::Monotonic,
        r: options.r,
        timeout_ms: options.timeout_ms,
    })
}

/// A write of a value. An empty request id becomes a fresh random one.
pub fn put(put: v1::PutRequest) -> Result<Put, Invalid> {
    let options = put.options.unwrap_or_default();
    Ok(Put {
        key: key(put.bucket, put.key),
        value: Some(put.value),
        context: put.context,
        intent: intent(put.intent)?,
        request: identity(&put.request_id, put.is_retry)?,
        is_retry: put.is_retry,
        r: options.r,
        w: options.w,
        timeout_ms: options.timeout_ms,
    })
}

/// A write of a tombstone. An empty request id becomes a fresh random one.
pub fn delete(delete: v1::DeleteRequest) -> Result<Put, Invalid> {
    let options = delete.options.unwrap_or_default();
    let intent = intent(delete.intent)?;
    if !matches!(intent, Intent::WithContext | Intent::OverwriteAll) {
        return Err(Invalid::new(
            "intent",
            "a delete takes INTENT_WITH_CONTEXT (0) or INTENT_OVERWRITE_ALL (3): the others replace no value",
        ));
    }
    Ok(Put {
        key: key(delete.bucket, delete.key),
        value: None,
        context: delete.context,
        intent,
        request: identity(&delete.request_id, delete.is_retry)?,
        is_retry: delete.is_retry,
        r: options.r,
        w: options.w,
        timeout_ms: options.timeout_ms,
    })
}

/// One request of a session.
pub fn session(request: Option<SessionRequest>) -> Result<Request, Invalid> {
    match request {
        Some(SessionRequest::Get(request)) => get(request).map(Request::Get),
        Some(SessionRequest::Put(request)) => put(request).map(Request::Put),
        Some(SessionRequest::Delete(request)) => delete(request).map(Request::Put),
        None => {
            Err(Invalid::new("request", "neither get, put nor delete is set, or a kind this version does not know"))
        }
    }
}

pub(super) fn key(bucket: String, key: Bytes) -> Key {
    match bucket.is_empty() {
        true => Key::new(Bytes::from_static(BUCKET_DEFAULT.as_bytes()), key),
        false => Key::new(bucket, key),
    }
}

fn intent(number: i32) -> Result<Intent, Invalid> {
    Ok(match v1::Intent::try_from(number) {
        Ok(v1::Intent::WithContext) => Intent::WithContext,
        Ok(v1::Intent::AddSibling) => Intent::AddSibling,
        Ok(v1::Intent::CreateOnly) => Intent::CreateOnly,
        Ok(v1::Intent::OverwriteAll) => Intent::OverwriteAll,
        Err(_) => return Err(unknown("intent", number, "INTENT_WITH_CONTEXT (0) to INTENT_OVERWRITE_ALL (3)")),
    })
}

fn identity(bytes: &Bytes, is_retry: bool) -> Result<RequestId, Invalid> {
    if !bytes.is_empty() {
        let why = || format!("it has {} bytes; allowed is {REQUEST_ID_BYTES}, or none to get one", bytes.len());
        return request_id(bytes).ok_or_else(|| Invalid::new("request_id", why()));
    }
    if is_retry {
        return Err(Invalid::new("request_id", "a retry carries the request id of the first attempt, but it is empty"));
    }
    Ok(RequestId(rand::random()))
}

fn unknown(field: &'static str, number: i32, allowed: &str) -> Invalid {
    Invalid::new(field, format!("{number} is not known to this version; allowed is {allowed}"))
}
