//! Bare gRPC on this machine: a server of the client contract that stores nothing, in a process of its own, and what a call of it
//! costs that process. A put is answered with its value as the context, so that as many bytes go back as came.
//! Unary is what any store pays that speaks plain gRPC; the stream is what is left of that when many share one.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use driftkv_proto::client::{Client, PutOptions, Session};
use driftkv_proto::v1::kv_server::{Kv, KvServer};
use driftkv_proto::v1::{
    DeleteRequest, GetReply, GetRequest, PutReply, PutRequest, SessionReply, SessionRequest, session_reply,
    session_request,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use super::usage::Usage;
use crate::cluster::{eventually, free_address};

/// The first argument of the process that serves.
pub const ECHO_ARGUMENT: &str = "echo";
const REPLIES_MAX: usize = 1_024;

/// What calls of the echo cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Of the server.
    pub server_cpu_us: f64,
    /// Of the client.
    pub client_cpu_us: f64,
    /// Calls a second.
    pub per_second: f64,
}

/// Costs of both kinds of call.
#[derive(Clone, Copy, Debug)]
pub struct Calibration {
    /// One call, one request.
    pub unary: Cost,
    /// Many on one stream.
    pub stream: Cost,
}

struct Echo;

fn echo(put: PutRequest) -> PutReply {
    PutReply { context: put.value, siblings: 1, ..PutReply::default() }
}

#[tonic::async_trait]
impl Kv for Echo {
    type SessionStream = ReceiverStream<Result<SessionReply, Status>>;

    async fn get(&self, _: Request<GetRequest>) -> Result<Response<GetReply>, Status> {
        Err(Status::unimplemented("the echo answers puts"))
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutReply>, Status> {
        Ok(Response::new(echo(request.into_inner())))
    }

    async fn delete(&self, _: Request<DeleteRequest>) -> Result<Response<PutReply>, Status> {
        Err(Status::unimplemented("the echo answers puts"))
    }

    async fn session(
        &self,
        request: Request<Streaming<SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut requests = request.into_inner();
        let (replies, stream) = mpsc::channel(REPLIES_MAX);
        tokio::spawn(async move {
            while let Ok(Some(SessionRequest { id, request, .. })) = requests.message().await {
                let Some(session_request::Request::Put(put)) = request else { return };
                let reply = SessionReply { id, reply: Some(session_reply::Reply::Put(echo(put))) };
                if replies.send(Ok(reply)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// Serves on `address` until the process is killed.
pub async fn serve(address: SocketAddr) -> Result<(), Box<dyn std::error::Error>> {
    let incoming = TcpIncoming::from(TcpListener::bind(address).await?).with_nodelay(Some(true));
    Server::builder().serve_with_incoming(KvServer::new(Echo), incoming).await?;
    Ok(())
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Measures both kinds with `in_flight` calls at a time of `value_bytes` each, `time` for each kind.
pub async fn calibrate(in_flight: usize, value_bytes: usize, time: Duration) -> Calibration {
    let address = free_address();
    let me = std::env::current_exe().expect("this executable");
    let child = Command::new(me).args([ECHO_ARGUMENT, &address.to_string()]).stdin(Stdio::null()).spawn();
    let server = Process(child.expect("the echo starts"));
    let endpoint = address.to_string();
    let session = eventually("the echo answers", async || Session::connect(&endpoint, in_flight).await.ok()).await;
    let client = Client::connect(vec![endpoint.clone()]).expect("an address");
    let value = Bytes::from(vec![7_u8; value_bytes]);
    let pid = server.0.id();
    let sent = value.clone();
    let unary = cost(pid, in_flight, time, move || {
        let (client, value) = (client.clone(), sent.clone());
        async move { client.put("b", "key", value, PutOptions::default()).await.is_ok() }
    });
    let unary = unary.await;
    let stream = cost(pid, in_flight, time, move || {
        let (session, value) = (session.clone(), value.clone());
        async move { session.put("b", "key", value, PutOptions::default()).await.is_ok() }
    });
    Calibration { unary, stream: stream.await }
}

/// What `call` costs, made over and over by `in_flight` tasks for `time`. Panics if a call fails: then nothing was measured.
async fn cost<F, Call>(server: u32, in_flight: usize, time: Duration, call: F) -> Cost
where
    F: Fn() -> Call + Clone + Send + 'static,
    Call: Future<Output = bool> + Send,
{
    let before = [server, std::process::id()].map(Usage::of);
    let (start, calls) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let mut tasks = JoinSet::new();
    for _ in 0..in_flight {
        let (call, calls) = (call.clone(), Arc::clone(&calls));
        tasks.spawn(async move {
            while start.elapsed() < time {
                assert!(call().await, "the echo failed");
                calls.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    tasks.join_all().await;
    let elapsed = start.elapsed().as_secs_f64();
    let calls = calls.load(Ordering::Relaxed) as f64;
    let [server, client] = [server, std::process::id()].map(Usage::of);
    Cost {
        server_cpu_us: (server - before[0]).cpu_us as f64 / calls,
        client_cpu_us: (client - before[1]).cpu_us as f64 / calls,
        per_second: calls / elapsed,
    }
}
