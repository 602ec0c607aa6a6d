//! A `Kv` server on loopback that answers sessions at once, and not at all while it stands still.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use driftkv_proto::v1::kv_server::{Kv, KvServer};
use driftkv_proto::v1::{self, GetReply, PutReply, SessionReply, SessionRequest, session_reply, session_request};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Server, server::TcpIncoming};
use tonic::{Request, Response, Status, Streaming};

/// Every value of each key, in the order in which they came.
type Kept = Arc<Mutex<HashMap<Bytes, Vec<Bytes>>>>;

/// A running server and what it saw.
#[derive(Clone)]
pub struct Fake {
    address: String,
    stands_still: Arc<watch::Sender<bool>>,
    refusal: Arc<OnceLock<v1::Error>>,
    requests: Arc<AtomicU64>,
    kept: Option<Kept>,
}

impl Fake {
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// Keeps the last value that it took of each key; of five reads one brings the value before that.
    pub async fn start_stale() -> Self {
        Self::start_with(Some(Arc::default())).await
    }

    async fn start_with(kept: Option<Kept>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let fake = Self {
            address,
            stands_still: Arc::new(watch::channel(false).0),
            refusal: Arc::default(),
            requests: Arc::default(),
            kept,
        };
        let service = KvServer::new(fake.clone());
        tokio::spawn(Server::builder().serve_with_incoming(service, TcpIncoming::from(listener)));
        fake
    }

    pub fn address(&self) -> String {
        self.address.clone()
    }

    pub fn stand_still(&self, stands_still: bool) {
        self.stands_still.send_replace(stands_still);
    }

    /// Answers everything from now on with this.
    pub fn refuse(&self, code: v1::ErrorCode, message: &str) {
        let code = code.into();
        self.refusal.set(v1::Error { code, message: message.to_owned(), ..v1::Error::default() }).unwrap();
    }

    /// Requests it took so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    fn keep(&self, put: v1::PutRequest) {
        let Some(kept) = &self.kept else { return };
        kept.lock().unwrap().entry(put.key).or_default().push(put.value);
    }

    fn siblings(&self, key: &Bytes) -> Vec<v1::Sibling> {
        let Some(kept) = &self.kept else { return Vec::new() };
        let kept = kept.lock().unwrap();
        let values = kept.get(key).map(Vec::as_slice).unwrap_or_default();
        let back = if self.requests().is_multiple_of(5) { 2 } else { 1 };
        let value = values.iter().rev().nth(back.min(values.len()).saturating_sub(1));
        value.map(|value| v1::Sibling { value: value.clone(), request_id: Bytes::new() }).into_iter().collect()
    }

    async fn talk(self, mut requests: Streaming<SessionRequest>, replies: mpsc::Sender<Result<SessionReply, Status>>) {
        let mut stands_still = self.stands_still.subscribe();
        while let Ok(Some(SessionRequest { id, request: Some(request), .. })) = requests.message().await {
            self.requests.fetch_add(1, Ordering::Relaxed);
            stands_still.wait_for(|stands_still| !stands_still).await.unwrap();
            let achieved = Some(v1::Achieved { primaries: 2, fallbacks: 0, strict: true });
            let context = Bytes::from_static(b"context");
            let reply = match request {
                _ if self.refusal.get().is_some() => session_reply::Reply::Error(self.refusal.get().cloned().unwrap()),
                session_request::Request::Get(get) => {
                    session_reply::Reply::Get(GetReply { siblings: self.siblings(&get.key), context, achieved })
                }
                session_request::Request::Put(put) => {
                    self.keep(put);
                    session_reply::Reply::Put(PutReply { context, achieved, ..PutReply::default() })
                }
                _ => session_reply::Reply::Put(PutReply { context, achieved, ..PutReply::default() }),
            };
            if replies.send(Ok(SessionReply { id, reply: Some(reply) })).await.is_err() {
                return;
            }
        }
    }
}

#[tonic::async_trait]
impl Kv for Fake {
    type SessionStream = ReceiverStream<Result<SessionReply, Status>>;

    async fn get(&self, _: Request<v1::GetRequest>) -> Result<Response<GetReply>, Status> {
        Err(Status::unimplemented("the load client speaks sessions"))
    }

    async fn put(&self, _: Request<v1::PutRequest>) -> Result<Response<PutReply>, Status> {
        Err(Status::unimplemented("the load client speaks sessions"))
    }

    async fn delete(&self, _: Request<v1::DeleteRequest>) -> Result<Response<PutReply>, Status> {
        Err(Status::unimplemented("the load client speaks sessions"))
    }

    async fn session(
        &self,
        requests: Request<Streaming<SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (replies, stream) = mpsc::channel(16);
        tokio::spawn(self.clone().talk(requests.into_inner(), replies));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}
