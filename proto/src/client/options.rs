//! What a caller may say about one request, and the wire message it becomes.
//! Zero, absent and empty mean the cluster's default, as on the wire.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use crate::error::KvError;
use crate::v1::{self, DeleteRequest, ErrorCode, GetRequest, Intent, PutRequest, ReadMode};
use crate::{FRAME_BYTES_MAX, REQUEST_ID_BYTES};

/// How long a request may take in all, retries included, unless its options say otherwise.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// How to read.
#[derive(Debug, Clone, Default)]
pub struct GetOptions {
    /// Eventual unless said otherwise.
    pub mode: ReadMode,
    /// Replicas to read; 0: the cluster's default.
    pub r: u32,
    /// Everything included; `None`: [`TIMEOUT_DEFAULT`].
    pub timeout: Option<Duration>,
}

/// How to put or delete.
#[derive(Debug, Clone, Default)]
pub struct PutOptions {
    /// Of the get this write follows; what it covers is replaced.
    pub context: Bytes,
    /// What to do with what is there.
    pub intent: Intent,
    /// Replicas to read, for intents that read; 0: the cluster's default.
    pub r: u32,
    /// Replicas that must have it on disk; 0: the cluster's default.
    pub w: u32,
    /// Everything included; `None`: [`TIMEOUT_DEFAULT`].
    pub timeout: Option<Duration>,
    /// 16 bytes; `None`: a fresh random one.
    pub request_id: Option<Bytes>,
    /// The same request id was sent before and its outcome is not known.
    pub is_retry: bool,
}

impl GetOptions {
    pub(super) fn request(&self, bucket: &str, key: Bytes, timeout_ms: u32) -> GetRequest {
        let options = Some(v1::Options { r: self.r, w: 0, timeout_ms });
        GetRequest { bucket: bucket.to_owned(), key, mode: self.mode.into(), options }
    }
}

impl PutOptions {
    pub(super) fn put_request(&self, bucket: &str, key: Bytes, value: Bytes, timeout_ms: u32) -> PutRequest {
        PutRequest {
            bucket: bucket.to_owned(),
            key,
            value,
            context: self.context.clone(),
            intent: self.intent.into(),
            request_id: self.request_id.clone().unwrap_or_default(),
            is_retry: self.is_retry,
            options: self.wire(timeout_ms),
        }
    }

    pub(super) fn delete_request(&self, bucket: &str, key: Bytes, timeout_ms: u32) -> DeleteRequest {
        DeleteRequest {
            bucket: bucket.to_owned(),
            key,
            context: self.context.clone(),
            intent: self.intent.into(),
            request_id: self.request_id.clone().unwrap_or_default(),
            is_retry: self.is_retry,
            options: self.wire(timeout_ms),
        }
    }

    /// The same with a request id for certain.
    pub(super) fn identified(mut self) -> Self {
        self.request_id.get_or_insert_with(|| Bytes::copy_from_slice(&rand::random::<[u8; REQUEST_ID_BYTES]>()));
        self
    }

    fn wire(&self, timeout_ms: u32) -> Option<v1::Options> {
        Some(v1::Options { r: self.r, w: self.w, timeout_ms })
    }
}

/// Refuses what no node would take: in a session one such message would end the stream for all.
pub(super) fn check_size(message: &impl Message) -> Result<(), KvError> {
    let bytes = message.encoded_len();
    if bytes <= FRAME_BYTES_MAX {
        return Ok(());
    }
    let message = format!("the request has {bytes} bytes, a frame at most {FRAME_BYTES_MAX}");
    Err(KvError::from(v1::Error { code: ErrorCode::TooLarge.into(), message, ..v1::Error::default() }))
}

/// The time a node is given when this side waits `wait`: a little less, so that its own account of what was missing arrives in time.
pub(super) fn node_timeout_ms(wait: Duration) -> u32 {
    let grace = (wait / 10).min(Duration::from_millis(50));
    u32::try_from((wait - grace).as_millis()).unwrap_or(u32::MAX).max(1)
}
