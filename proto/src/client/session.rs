//! Many requests in flight on one stream: replies come in any order and are matched by id.
//! Invariants: at most `in_flight` calls wait at a time; a call ends by its reply, by its deadline or with the stream, and a call that is
//! dropped leaves nothing behind; when the stream is gone no call waits.
//! Not here: retries and reconnection. The caller decides, with `PutOptions::request_id` and `is_retry`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use super::options::{GetOptions, PutOptions, TIMEOUT_DEFAULT, check_size, node_timeout_ms};
use crate::error::{KvError, from_status};
use crate::v1::{GetReply, PutReply, SessionReply, SessionRequest};
use crate::v1::{session_reply::Reply, session_request::Request};

/// One stream to one node. Clones share it; the last one dropped ends it.
#[derive(Debug, Clone)]
pub struct Session {
    stream: Arc<Stream>,
    traceparent: Option<Arc<str>>,
}

#[derive(Debug)]
struct Stream {
    requests: mpsc::Sender<SessionRequest>,
    waiting: Arc<Mutex<Waiting>>,
    permits: Semaphore,
    next_id: AtomicU64,
    reader: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Waiting {
    calls: HashMap<u64, oneshot::Sender<Option<Reply>>>,
    /// Why the stream ended; no call is added afterwards.
    end: Option<KvError>,
}

impl Session {
    /// Opens a stream to the node at `endpoint` for up to `in_flight` calls at a time; further calls wait their turn.
    pub async fn connect(endpoint: &str, in_flight: usize) -> Result<Self, KvError> {
        if in_flight == 0 || in_flight > Semaphore::MAX_PERMITS {
            return Err(KvError::invalid_argument(format!("in_flight is {in_flight}; it must be 1 or more")));
        }
        let mut kv = super::channel::kv(endpoint)?;
        let (requests, queue) = mpsc::channel(in_flight);
        let opened = timeout(TIMEOUT_DEFAULT, kv.session(ReceiverStream::new(queue))).await;
        let silent = |_| KvError::no_answer(Code::DeadlineExceeded, format!("{endpoint} opened no session"), false);
        let replies = opened.map_err(silent)?.map_err(|status| from_status(&status, false))?.into_inner();
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        let reader = tokio::spawn(read_replies(replies, Arc::clone(&waiting)));
        let (permits, next_id) = (Semaphore::new(in_flight), AtomicU64::new(1));
        let stream = Arc::new(Stream { requests, waiting, permits, next_id, reader });
        Ok(Self { stream, traceparent: None })
    }

    /// The same session, whose requests say that they are part of this span (W3C `traceparent`).
    pub fn traced(&self, traceparent: &str) -> Self {
        Self { stream: Arc::clone(&self.stream), traceparent: Some(traceparent.into()) }
    }

    /// Whether the stream has ended; every call fails from then on.
    pub fn is_closed(&self) -> bool {
        lock(&self.stream.waiting).end.is_some()
    }

    /// Every live sibling of the key and the context that covers them.
    pub async fn get(&self, bucket: &str, key: impl Into<Bytes>, options: GetOptions) -> Result<GetReply, KvError> {
        let key = key.into();
        let request = |timeout_ms| Request::Get(options.request(bucket, key, timeout_ms));
        match self.call(request, false, options.timeout).await? {
            Reply::Get(reply) => Ok(reply),
            _ => Err(wrong_kind(false)),
        }
    }

    /// Writes one value; answers after W replicas have it on disk.
    ///
    /// Errors: with `maybe_applied` the value may be, or become, visible. A lost stream is such an error.
    pub async fn put(
        &self,
        bucket: &str,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
        options: PutOptions,
    ) -> Result<PutReply, KvError> {
        let (key, value, options) = (key.into(), value.into(), options.identified());
        let request = |timeout_ms| Request::Put(options.put_request(bucket, key, value, timeout_ms));
        self.write(request, &options).await
    }

    /// Writes a tombstone. Errors as for [`Session::put`].
    pub async fn delete(&self, bucket: &str, key: impl Into<Bytes>, options: PutOptions) -> Result<PutReply, KvError> {
        let (key, options) = (key.into(), options.identified());
        let request = |timeout_ms| Request::Delete(options.delete_request(bucket, key, timeout_ms));
        self.write(request, &options).await
    }

    async fn write(&self, request: impl FnOnce(u32) -> Request, options: &PutOptions) -> Result<PutReply, KvError> {
        let outcome = match self.call(request, true, options.timeout).await {
            Ok(Reply::Put(reply)) => Ok(reply),
            Ok(_) => Err(wrong_kind(true)),
            Err(error) => Err(error),
        };
        // What a retry's own answer rules out, the earlier attempt may still have done.
        outcome.map_err(|error| KvError { maybe_applied: error.maybe_applied || options.is_retry, ..error })
    }

    async fn call(
        &self,
        request: impl FnOnce(u32) -> Request,
        is_write: bool,
        limit: Option<Duration>,
    ) -> Result<Reply, KvError> {
        let stream = &*self.stream;
        let deadline = Instant::now() + limit.unwrap_or(TIMEOUT_DEFAULT);
        let late = |what: &str, is_sent| KvError::no_answer(Code::DeadlineExceeded, what, is_sent && is_write);
        let turn = timeout_at(deadline, stream.permits.acquire()).await;
        let _permit = turn.map_err(|_| late("too many calls in flight", false))?.map_err(|_| stream.end(false))?;

        let (answer, call) = oneshot::channel();
        let ticket = Ticket::new(stream, answer)?;
        let remaining = deadline.saturating_duration_since(Instant::now());
        let request = Some(request(node_timeout_ms(remaining)));
        let traceparent = self.traceparent.as_deref().unwrap_or_default().to_owned();
        let message = SessionRequest { id: ticket.id, request, traceparent };
        check_size(&message)?;
        let queued = timeout_at(deadline, stream.requests.send(message)).await;
        queued.map_err(|_| late("the stream did not take the request", false))?.map_err(|_| stream.end(false))?;
        match timeout_at(deadline, call).await {
            Ok(Ok(Some(Reply::Error(error)))) => Err(KvError::from(error)),
            Ok(Ok(Some(reply))) => Ok(reply),
            Ok(Ok(None)) => Err(wrong_kind(is_write)),
            Ok(Err(_)) => Err(stream.end(is_write)),
            Err(_) => Err(late("no reply in time", true)),
        }
    }
}

impl Stream {
    /// Why the stream ended, as the error of one call.
    fn end(&self, maybe_applied: bool) -> KvError {
        let end = lock(&self.waiting).end.clone();
        let end = end.unwrap_or_else(|| KvError::no_answer(Code::Unavailable, "the session is closing", false));
        KvError { maybe_applied, ..end }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// A call's place among those that wait; dropping it gives the place up.
struct Ticket<'a> {
    id: u64,
    stream: &'a Stream,
}

impl<'a> Ticket<'a> {
    fn new(stream: &'a Stream, answer: oneshot::Sender<Option<Reply>>) -> Result<Self, KvError> {
        let id = stream.next_id.fetch_add(1, Ordering::Relaxed);
        let mut waiting = lock(&stream.waiting);
        if let Some(end) = &waiting.end {
            return Err(KvError { maybe_applied: false, ..end.clone() });
        }
        waiting.calls.insert(id, answer);
        Ok(Self { id, stream })
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        lock(&self.stream.waiting).calls.remove(&self.id);
    }
}

async fn read_replies(mut replies: Streaming<SessionReply>, waiting: Arc<Mutex<Waiting>>) {
    let end = loop {
        match replies.message().await {
            Ok(Some(reply)) => {
                let call = lock(&waiting).calls.remove(&reply.id);
                // A reply nobody waits for came after its call's deadline.
                if let Some(call) = call {
                    let _ = call.send(reply.reply);
                }
            }
            Ok(None) => break KvError::no_answer(Code::Unavailable, "the node ended the session", false),
            Err(status) => break from_status(&status, false),
        }
    };
    // Order: the reason first and under the same lock, so that no call can join after the others were let go.
    let mut waiting = lock(&waiting);
    waiting.end = Some(end);
    waiting.calls.clear();
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wrong_kind(is_write: bool) -> KvError {
    KvError::no_answer(Code::Internal, "the reply is of another kind than the request", is_write)
}
