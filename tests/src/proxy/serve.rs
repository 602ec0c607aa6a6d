//! The `Kv` service of one proxy: unary calls and sessions, both answered by the same store.
//! Errors travel as a node sends them: in a session as a message, in a unary call as a code with our own trailer.

use std::sync::Arc;

use driftkv_proto::REPLY_BYTES_MAX;
use driftkv_proto::error::to_status;
use driftkv_proto::v1::kv_server::{Kv, KvServer};
use driftkv_proto::v1::session_reply::Reply;
use driftkv_proto::v1::session_request::Request as Asked;
use driftkv_proto::v1::{DeleteRequest, GetReply, GetRequest, PutReply, PutRequest, SessionReply, SessionRequest};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Server, server::TcpIncoming};
use tonic::{Request, Response, Status, Streaming};

use super::Store;

/// Answers that wait for a client to take them.
const QUEUE: usize = 64;

/// The proxy of one node.
#[derive(Clone)]
struct Front {
    node: usize,
    store: Arc<Store>,
}

/// Listens on a port that the system chooses; gives its address and the task that serves it.
pub(super) async fn start(node: usize, store: Arc<Store>) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let service = KvServer::new(Front { node, store }).max_encoding_message_size(REPLY_BYTES_MAX);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = tokio::spawn(async move {
        Server::builder().serve_with_incoming(service, incoming).await.expect("the proxy serves");
    });
    (address, server)
}

impl Front {
    async fn talk(self, mut requests: Streaming<SessionRequest>, replies: mpsc::Sender<Result<SessionReply, Status>>) {
        while let Ok(Some(SessionRequest { id, request: Some(request), .. })) = requests.message().await {
            let (front, replies) = (self.clone(), replies.clone());
            tokio::spawn(async move {
                let reply = Some(front.store.answer(front.node, request).await);
                // A client that has gone needs no answer.
                let _ = replies.send(Ok(SessionReply { id, reply })).await;
            });
        }
    }

    async fn write(&self, request: Asked) -> Result<Response<PutReply>, Status> {
        match self.store.answer(self.node, request).await {
            Reply::Put(reply) => Ok(Response::new(reply)),
            Reply::Error(error) => Err(to_status(&error)),
            Reply::Get(_) => Err(Status::internal("a read answers a write")),
        }
    }
}

#[tonic::async_trait]
impl Kv for Front {
    type SessionStream = ReceiverStream<Result<SessionReply, Status>>;

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetReply>, Status> {
        match self.store.answer(self.node, Asked::Get(request.into_inner())).await {
            Reply::Get(reply) => Ok(Response::new(reply)),
            Reply::Error(error) => Err(to_status(&error)),
            Reply::Put(_) => Err(Status::internal("a write answers a read")),
        }
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutReply>, Status> {
        self.write(Asked::Put(request.into_inner())).await
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Result<Response<PutReply>, Status> {
        self.write(Asked::Delete(request.into_inner())).await
    }

    async fn session(
        &self,
        requests: Request<Streaming<SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (replies, stream) = mpsc::channel(QUEUE);
        tokio::spawn(self.clone().talk(requests.into_inner(), replies));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}
