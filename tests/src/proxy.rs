//! A store with bugs: the client ports of real nodes, each behind a proxy that speaks the same contract and does what it should not.
//! What is served is `Kv`, unary and sessions, so any client may be pointed at it; what is behind it are the nodes of a test's cluster.
//! `bug` names what can be switched on, `reads` and `writes` do it. Without a bug every request is passed on as it is and every answer
//! comes back as it was. Not here: looking for the bugs (`tests/tests/judged/`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use driftkv_proto::client::{GetOptions, PutOptions, Session};
use driftkv_proto::error::KvError;
use driftkv_proto::v1::session_reply::Reply;
use driftkv_proto::v1::session_request::Request;
use driftkv_proto::v1::{DeleteRequest, GetReply, GetRequest, Options, PutReply, PutRequest};
use tokio::task::JoinHandle;

mod bug;
mod reads;
mod serve;
mod writes;

pub use bug::Bug;

/// Requests that a proxy may have on their way to its node.
const IN_FLIGHT: usize = 1_000;
/// What a node's own time for a request falls short of ours (`driftkv_proto::client`), so that it is given what its client asked for.
const GRACE: Duration = Duration::from_millis(50);

/// One proxy a node, which share one bug and what it remembers.
pub struct Proxies {
    /// Where clients find them, in the order of the nodes.
    pub endpoints: Vec<String>,
    store: Arc<Store>,
    servers: Vec<JoinHandle<()>>,
}

impl Proxies {
    /// In front of `nodes` (client ports), with a bug or without.
    pub async fn start(nodes: &[String], bug: Option<Bug>) -> Proxies {
        let mut sessions = Vec::new();
        for node in nodes {
            sessions.push(Session::connect(node, IN_FLIGHT).await.expect("a session with a node"));
        }
        let store = Arc::new(Store { bug, sessions, turns: AtomicU64::new(0), kept: Mutex::default() });
        let (mut endpoints, mut servers) = (Vec::new(), Vec::new());
        for node in 0..nodes.len() {
            let (endpoint, server) = serve::start(node, Arc::clone(&store)).await;
            endpoints.push(endpoint);
            servers.push(server);
        }
        Proxies { endpoints, store, servers }
    }

    /// What they kept in memory only is gone, as if they had been killed and started again.
    pub fn crash(&self) {
        *self.store.kept() = Kept::default();
    }
}

impl Drop for Proxies {
    fn drop(&mut self) {
        self.servers.iter().for_each(JoinHandle::abort);
    }
}

/// What all proxies of a test share.
struct Store {
    bug: Option<Bug>,
    sessions: Vec<Session>,
    turns: AtomicU64,
    kept: Mutex<Kept>,
}

/// What the bugs remember.
#[derive(Default)]
struct Kept {
    /// By node and key: an answer, and since when it is kept.
    answers: HashMap<(usize, Bytes), (Instant, GetReply)>,
    /// By node and key: the answer before that.
    older: HashMap<(usize, Bytes), GetReply>,
    /// Of each key, a context that was once given out.
    contexts: HashMap<Bytes, Bytes>,
    /// The last answer of all that had a value, and its key.
    last: Option<(Bytes, GetReply)>,
    /// Of each key, writes that were acknowledged and not passed on.
    unwritten: HashMap<Bytes, Arc<tokio::sync::Mutex<Vec<PutRequest>>>>,
}

impl Store {
    /// The answer that a client of proxy `node` gets.
    async fn answer(self: &Arc<Self>, node: usize, request: Request) -> Reply {
        match (self.bug, request) {
            (None, request) => self.pass_on(node, request).await,
            (Some(bug), Request::Get(get)) => self.get(bug, node, get).await,
            (Some(bug), Request::Put(put)) => self.put(bug, node, put).await,
            (Some(bug), Request::Delete(delete)) => self.delete(bug, node, delete).await,
        }
    }

    /// The answer of `node` itself.
    async fn pass_on(&self, node: usize, request: Request) -> Reply {
        let session = &self.sessions[node];
        let answer = match request {
            Request::Get(get) => session.get(&get.bucket, get.key.clone(), get_options(&get)).await.map(Reply::Get),
            Request::Put(put) => {
                let options = put_options(&put);
                session.put(&put.bucket, put.key, put.value, options).await.map(Reply::Put)
            }
            Request::Delete(delete) => {
                let options = delete_options(&delete);
                session.delete(&delete.bucket, delete.key, options).await.map(Reply::Put)
            }
        };
        answer.unwrap_or_else(|error: KvError| Reply::Error(error.into()))
    }

    /// Every `n`-th time that it is asked.
    fn is_turn(&self, n: u64) -> bool {
        self.turns.fetch_add(1, Ordering::Relaxed) % n == n - 1
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a client is told of a write that was not passed on; without a context, so that it has to read before it replaces anything.
fn acknowledgement(request_id: &Bytes) -> Reply {
    let achieved = driftkv_proto::v1::Achieved { primaries: 2, fallbacks: 0, strict: true };
    Reply::Put(PutReply { achieved: Some(achieved), request_id: request_id.clone(), ..PutReply::default() })
}

fn timeout(options: &Option<Options>) -> Option<Duration> {
    let ms = options.as_ref().map_or(0, |options| options.timeout_ms);
    (ms > 0).then(|| Duration::from_millis(u64::from(ms)) + GRACE)
}

fn get_options(get: &GetRequest) -> GetOptions {
    let r = get.options.as_ref().map_or(0, |options| options.r);
    GetOptions { mode: get.mode(), r, timeout: timeout(&get.options) }
}

fn put_options(put: &PutRequest) -> PutOptions {
    let (r, w) = put.options.as_ref().map_or((0, 0), |options| (options.r, options.w));
    PutOptions {
        context: put.context.clone(),
        intent: put.intent(),
        r,
        w,
        timeout: timeout(&put.options),
        request_id: (!put.request_id.is_empty()).then(|| put.request_id.clone()),
        is_retry: put.is_retry,
    }
}

fn delete_options(delete: &DeleteRequest) -> PutOptions {
    put_options(&PutRequest {
        context: delete.context.clone(),
        intent: delete.intent,
        request_id: delete.request_id.clone(),
        is_retry: delete.is_retry,
        options: delete.options,
        ..PutRequest::default()
    })
}
