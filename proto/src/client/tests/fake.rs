//! A `Kv` server on loopback: unary calls are answered from a script, then well; sessions by simple rules.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Server, server::TcpIncoming};
use tonic::{Request, Response, Status, Streaming};

use crate::v1::{self, ErrorCode, GetReply, PutReply, SessionReply, SessionRequest};
use crate::v1::{kv_server, session_reply::Reply, session_request};

/// What a write said about itself.
#[derive(Debug, Clone)]
pub struct Seen {
    pub request_id: Bytes,
    pub is_retry: bool,
    pub timeout_ms: u32,
}

/// A running server and what it saw.
#[derive(Clone)]
pub struct Fake {
    address: String,
    script: Arc<Mutex<VecDeque<Result<(), Status>>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Fake {
    /// Answers the first unary calls with `script`, all later ones with success.
    pub async fn start(script: Vec<Result<(), Status>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let fake = Self { address, script: Arc::new(Mutex::new(script.into())), seen: Arc::default() };
        let service = kv_server::KvServer::new(fake.clone()).max_decoding_message_size(crate::FRAME_BYTES_MAX);
        tokio::spawn(Server::builder().serve_with_incoming(service, TcpIncoming::from(listener)));
        fake
    }

    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// The writes so far, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn saw(&self, request_id: Bytes, is_retry: bool, options: Option<v1::Options>) {
        let timeout_ms = options.map_or(0, |options| options.timeout_ms);
        self.seen.lock().unwrap().push(Seen { request_id, is_retry, timeout_ms });
    }

    fn scripted(&self) -> Result<(), Status> {
        self.script.lock().unwrap().pop_front().unwrap_or(Ok(()))
    }

    /// Gets wait for a second one and are answered in pairs, the later first. Putting `end` ends the stream.
    async fn talk(self, mut requests: Streaming<SessionRequest>, replies: mpsc::Sender<Result<SessionReply, Status>>) {
        let mut held: Option<SessionReply> = None;
        while let Ok(Some(SessionRequest { id, request: Some(request), .. })) = requests.message().await {
            let ready = match request {
                session_request::Request::Get(get) => {
                    let reply = SessionReply {
                        id,
                        reply: Some(Reply::Get(GetReply { context: get.key, ..Default::default() })),
                    };
                    match held.take() {
                        Some(earlier) => vec![reply, earlier],
                        None => {
                            held = Some(reply);
                            vec![]
                        }
                    }
                }
                session_request::Request::Put(put) if put.key == "end" => return,
                session_request::Request::Put(put) => {
                    self.saw(put.request_id, put.is_retry, put.options);
                    vec![SessionReply { id, reply: Some(Reply::Put(PutReply::default())) }]
                }
                session_request::Request::Delete(_) => {
                    let error = v1::Error { code: ErrorCode::TooManySiblings.into(), ..Default::default() };
                    vec![SessionReply { id, reply: Some(Reply::Error(error)) }]
                }
            };
            for reply in ready {
                replies.send(Ok(reply)).await.unwrap();
            }
        }
    }
}

#[tonic::async_trait]
impl kv_server::Kv for Fake {
    type SessionStream = ReceiverStream<Result<SessionReply, Status>>;

    async fn get(&self, _: Request<v1::GetRequest>) -> Result<Response<GetReply>, Status> {
        self.scripted().map(|()| Response::new(GetReply::default()))
    }

    async fn put(&self, request: Request<v1::PutRequest>) -> Result<Response<PutReply>, Status> {
        let put = request.into_inner();
        self.saw(put.request_id, put.is_retry, put.options);
        self.scripted().map(|()| Response::new(PutReply::default()))
    }

    async fn delete(&self, request: Request<v1::DeleteRequest>) -> Result<Response<PutReply>, Status> {
        let delete = request.into_inner();
        self.saw(delete.request_id, delete.is_retry, delete.options);
        self.scripted().map(|()| Response::new(PutReply::default()))
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
