//! The Rust client: unary requests with retries (`Client`), many at once on one stream (`Session`), and `admin`.
//! A put keeps its request id through all its attempts and says `is_retry` as soon as one has an unknown outcome, so that a node
//! that has already applied it answers so instead of writing again.
//! Invariants: no attempt begins after the deadline; an error's `maybe_applied` speaks for all attempts, not for the last.
//! Not here: choosing the coordinator by key (any node forwards), resolving siblings (the caller's business).

mod caller;
mod channel;
mod options;
mod retry;
mod session;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use crate::error::{KvError, from_status};
use crate::v1::kv_client::KvClient;
use crate::v1::{GetReply, PutReply};
use retry::Route;

pub use caller::{Caller, TERM_METADATA};
pub use channel::{AdminAs, admin, admin_as};
pub use options::{GetOptions, PutOptions, TIMEOUT_DEFAULT};
pub use session::Session;

/// Less time than this is not worth another attempt.
const ATTEMPT_LEAST: Duration = Duration::from_millis(5);

/// Sends each request to one node, and to others while that may help. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    nodes: Arc<[Node]>,
    /// The node that answered last: where the next request begins.
    preferred: Arc<AtomicUsize>,
    traceparent: Option<MetadataValue<Ascii>>,
}

#[derive(Debug)]
struct Node {
    address: String,
    kv: KvClient<Channel>,
}

/// What an attempt has to say about itself.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    is_retry: bool,
    timeout_ms: u32,
}

impl Client {
    /// A client of the nodes at `endpoints`, each `host:port` or `http://host:port`; the first is preferred.
    ///
    /// Connects when first used, and again after a loss. Needs a tokio runtime.
    /// Errors: no endpoint, or one that is not an address.
    pub fn connect(endpoints: Vec<String>) -> Result<Self, KvError> {
        let node = |address: String| Ok(Node { kv: channel::kv(&address)?, address });
        let nodes: Arc<[Node]> = endpoints.into_iter().map(node).collect::<Result<_, KvError>>()?;
        if nodes.is_empty() {
            return Err(KvError::invalid_argument("no endpoint was given"));
        }
        Ok(Self { nodes, preferred: Arc::default(), traceparent: None })
    }

    /// The same client, whose requests say that they are part of this span (W3C `traceparent`).
    ///
    /// Errors: it has characters that no `traceparent` has.
    pub fn traced(&self, traceparent: &str) -> Result<Self, KvError> {
        let value = traceparent.parse().map_err(|_| KvError::invalid_argument("that is no traceparent"))?;
        Ok(Self { traceparent: Some(value), ..self.clone() })
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(traceparent) = &self.traceparent {
            request.metadata_mut().insert("traceparent", traceparent.clone());
        }
        request
    }

    /// Every live sibling of the key and the context that covers them.
    pub async fn get(&self, bucket: &str, key: impl Into<Bytes>, options: GetOptions) -> Result<GetReply, KvError> {
        let key = key.into();
        options::check_size(&options.request(bucket, key.clone(), 0))?;
        let call = |mut kv: KvClient<Channel>, attempt: Attempt| {
            let request = self.request(options.request(bucket, key.clone(), attempt.timeout_ms));
            async move { kv.get(request).await }
        };
        self.attempts(Write::No, options.timeout, call).await
    }

    /// Writes one value; answers after W replicas have it on disk.
    ///
    /// Errors: with `maybe_applied` the value may be, or become, visible; repeat with the same `request_id` and `is_retry`.
    pub async fn put(
        &self,
        bucket: &str,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
        options: PutOptions,
    ) -> Result<PutReply, KvError> {
        let (key, value, options) = (key.into(), value.into(), options.identified());
        options::check_size(&options.put_request(bucket, key.clone(), value.clone(), 0))?;
        let call = |mut kv: KvClient<Channel>, attempt: Attempt| {
            let mut request = options.put_request(bucket, key.clone(), value.clone(), attempt.timeout_ms);
            request.is_retry = attempt.is_retry;
            let request = self.request(request);
            async move { kv.put(request).await }
        };
        self.attempts(Write::new(options.is_retry), options.timeout, call).await
    }

    /// Writes a tombstone. Errors as for [`Client::put`].
    pub async fn delete(&self, bucket: &str, key: impl Into<Bytes>, options: PutOptions) -> Result<PutReply, KvError> {
        let (key, options) = (key.into(), options.identified());
        options::check_size(&options.delete_request(bucket, key.clone(), 0))?;
        let call = |mut kv: KvClient<Channel>, attempt: Attempt| {
            let mut request = options.delete_request(bucket, key.clone(), attempt.timeout_ms);
            request.is_retry = attempt.is_retry;
            let request = self.request(request);
            async move { kv.delete(request).await }
        };
        self.attempts(Write::new(options.is_retry), options.timeout, call).await
    }

    async fn attempts<T, F, Call>(&self, mut write: Write, limit: Option<Duration>, call: F) -> Result<T, KvError>
    where
        F: Fn(KvClient<Channel>, Attempt) -> Call,
        Call: Future<Output = Result<Response<T>, Status>>,
    {
        let deadline = Instant::now() + limit.unwrap_or(TIMEOUT_DEFAULT);
        let mut route = Route::new(self.preferred.load(Ordering::Relaxed), self.nodes.len());
        loop {
            let Some(node) = self.nodes.get(route.index()) else {
                return Err(KvError::invalid_argument("no endpoint was given"));
            };
            let wait = route.attempt_timeout(deadline.saturating_duration_since(Instant::now()));
            let attempt = Attempt { is_retry: write.is_in_doubt(), timeout_ms: options::node_timeout_ms(wait) };
            let outcome = timeout(wait, call(node.kv.clone(), attempt)).await;
            let is_silent = outcome.is_err();
            let error = match outcome {
                Ok(Ok(reply)) => {
                    self.preferred.store(route.index(), Ordering::Relaxed);
                    return Ok(reply.into_inner());
                }
                Ok(Err(status)) => node.error(&status, write),
                Err(_) => {
                    let message = format!("{} was silent for {} ms", node.address, wait.as_millis());
                    KvError::no_answer(Code::DeadlineExceeded, message, write.is_write())
                }
            };
            let error = write.after_failure(error);
            let pause = route.after_failure(is_silent, rand::random());
            if !error.is_retriable() || Instant::now() + pause + ATTEMPT_LEAST >= deadline {
                return Err(error);
            }
            sleep(pause).await;
            // It may have slept for longer; what this attempt was told says more than that there was no time for another.
            if Instant::now() + ATTEMPT_LEAST >= deadline {
                return Err(error);
            }
        }
    }
}

impl Node {
    fn error(&self, status: &Status, write: Write) -> KvError {
        let error = from_status(status, write.is_write() && !channel::was_never_sent(status));
        if error.code == crate::v1::ErrorCode::Unspecified {
            let message = format!("{}: {}", self.address, error.message);
            return KvError { message, ..error };
        }
        error
    }
}

/// Whether a request writes, and if so, whether an earlier attempt may have been applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Write {
    No,
    Certain,
    InDoubt,
}

impl Write {
    fn new(is_retry: bool) -> Self {
        if is_retry { Self::InDoubt } else { Self::Certain }
    }

    fn is_write(self) -> bool {
        self != Self::No
    }

    fn is_in_doubt(self) -> bool {
        self == Self::InDoubt
    }

    /// Remembers the doubt an attempt leaves and puts the doubt of all attempts into its error.
    fn after_failure(&mut self, error: KvError) -> KvError {
        if error.maybe_applied && self.is_write() {
            *self = Self::InDoubt;
        }
        KvError { maybe_applied: self.is_in_doubt(), ..error }
    }
}
