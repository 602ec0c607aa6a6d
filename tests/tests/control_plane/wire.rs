//! What the operator sends, in one sequence: every request to the API server and every question to a node has a number, and at
//! one number something happens (`Fault`).
//! Invariants: a crash leaves nothing half polled, for the pass is dropped where it stands and no later call is answered; what was
//! written by the operator is kept here, and judged by `nodes` at the moment it leaves.
//! Not here: watches, which pass through unnumbered by content but numbered as calls.

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use driftkv_operator::controller::nodes::{FaultsError, NodeAdmin, NodeError, Speaker};
use driftkv_proto::v1::{BootstrapReply, BootstrapRequest, FaultStatus, Layout, StatusReply};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tonic::codegen::http::{Method, Request, Response};
use tonic::codegen::{Service, StdError};

use crate::nodes::Nodes;

/// What happens at one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operator ends before the call leaves.
    CrashBefore,
    /// The call is carried out, and the operator ends before it hears.
    CrashAfter,
    /// The API server answers this code and does nothing.
    Refusal(u16),
    /// The connection breaks before the call arrives.
    Reset,
    /// Nobody ever answers.
    Hang,
    /// The answer is the oldest that this URL ever had in the site.
    Stale,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::CrashBefore => f.write_str("crash before"),
            Fault::CrashAfter => f.write_str("crash after"),
            Fault::Refusal(code) => write!(f, "{code}"),
            Fault::Reset => f.write_str("reset"),
            Fault::Hang => f.write_str("hang"),
            Fault::Stale => f.write_str("stale read"),
        }
    }
}

/// One call, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `GET`, `PATCH`, ... or `ADMIN`.
    pub verb: String,
    /// Its path, or the node's question.
    pub path: String,
}

impl Call {
    /// Whether it changes something at the API server.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "GET" | "ADMIN")
    }

    /// Whether a failure of it fails no pass: events, and nodes that are asked how they are.
    pub fn is_dispensable(&self) -> bool {
        let is_question = self.verb == "ADMIN" && !self.path.starts_with("bootstrap");
        is_question || self.path.contains("/events")
    }

    /// Whether the status cannot tell of it: the KVCluster itself is read, or its status written.
    pub fn is_of_the_cluster(&self) -> bool {
        self.path.contains("/kvclusters")
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.path)
    }
}

/// Oldest answers by URL.
pub type Answers = Arc<Mutex<BTreeMap<String, Bytes>>>;

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    fired: Option<Call>,
    is_crashed: bool,
}

/// All calls of one operator process.
pub struct Wire {
    client: Client,
    nodes: Arc<Nodes>,
    answers: Answers,
    /// At which call (from 1) what happens.
    armed: Option<(usize, Fault)>,
    state: Mutex<State>,
    crash: Notify,
}

impl Wire {
    /// Between an operator, `client` and `nodes`.
    pub fn new(client: Client, nodes: Arc<Nodes>, answers: Answers, armed: Option<(usize, Fault)>) -> Arc<Wire> {
        Arc::new(Wire { client, nodes, answers, armed, state: Mutex::default(), crash: Notify::new() })
    }

    /// What the operator has for a client.
    pub fn client(self: &Arc<Wire>) -> Client {
        Client::new(Port(Arc::clone(self)), "default")
    }

    /// The calls until now.
    pub fn calls(&self) -> Vec<Call> {
        self.state.lock().unwrap().calls.clone()
    }

    /// Calls from the `first`-th on (from 0) that write.
    pub fn writes(&self, first: usize) -> Vec<Call> {
        self.calls().into_iter().skip(first).filter(Call::is_write).collect()
    }

    /// The call at which it happened.
    pub fn fired(&self) -> Option<Call> {
        self.state.lock().unwrap().fired.clone()
    }

    /// What was to happen.
    pub fn fault(&self) -> Option<Fault> {
        self.armed.map(|(_, fault)| fault)
    }

    /// Returns when the operator is to end.
    pub async fn crashed(&self) {
        loop {
            let notified = self.crash.notified();
            if self.state.lock().unwrap().is_crashed {
                return;
            }
            notified.await;
        }
    }

    fn crash(&self) {
        self.state.lock().unwrap().is_crashed = true;
        self.crash.notify_waiters();
    }

    /// Numbers a call. `None`: the process has ended.
    fn enter(&self, verb: &str, path: &str) -> Option<Option<Fault>> {
        let mut state = self.state.lock().unwrap();
        if state.is_crashed {
            return None;
        }
        let call = Call { verb: verb.to_owned(), path: path.to_owned() };
        state.calls.push(call.clone());
        let number = state.calls.len();
        let fault = self.armed.and_then(|(at, fault)| (at == number).then_some(fault));
        if fault.is_some() {
            state.fired = Some(call);
        }
        Some(fault)
    }

    async fn carry(&self, request: Request<Body>) -> Result<Response<Body>, StdError> {
        let (verb, path) = (request.method().to_string(), request.uri().path().to_owned());
        let url = request.uri().to_string();
        let Some(fault) = self.enter(&verb, &path) else { return pending().await };
        match fault {
            Some(Fault::CrashBefore) => {
                self.crash();
                pending().await
            }
            Some(Fault::Refusal(code)) => Ok(refusal(code)),
            Some(Fault::Reset) => Err(Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionReset))),
            Some(Fault::Hang) => pending().await,
            Some(Fault::Stale) if request.method() == Method::GET => {
                let oldest = self.answers.lock().unwrap().get(&url).cloned();
                match oldest {
                    Some(answer) => Ok(Response::new(Body::from(answer))),
                    None => self.send(request, &url).await,
                }
            }
            Some(Fault::CrashAfter) => {
                let _ = self.send(request, &url).await;
                self.crash();
                pending().await
            }
            _ => self.send(request, &url).await,
        }
    }

    async fn send(&self, request: Request<Body>, url: &str) -> Result<Response<Body>, StdError> {
        if request.uri().query().is_some_and(|query| query.contains("watch=")) {
            return Ok(self.client.send(request).await?);
        }
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await?;
        self.nodes.judge(&parts.method, &parts.uri, &body);
        let is_read = parts.method == Method::GET;
        let answer = self.client.send(Request::from_parts(parts, Body::from(body.to_vec()))).await?;
        let (parts, body) = answer.into_parts();
        let body = body.collect_bytes().await?;
        if is_read && parts.status.is_success() {
            self.answers.lock().unwrap().entry(url.to_owned()).or_insert_with(|| body.clone());
        }
        Ok(Response::from_parts(parts, Body::from(body.to_vec())))
    }

    /// A question to a node, carried out by `answer`.
    async fn ask<T>(
        &self,
        question: &str,
        address: &str,
        answer: impl Fn() -> Result<T, NodeError>,
    ) -> Result<T, NodeError> {
        let words = format!("{question} {address}");
        let Some(fault) = self.enter("ADMIN", &words) else { return pending().await };
        match fault {
            Some(Fault::CrashBefore) => self.crash(),
            Some(Fault::CrashAfter) => {
                let _ = answer();
                self.crash();
            }
            Some(Fault::Refusal(_) | Fault::Reset | Fault::Hang) => {
                return Err(NodeError(format!("{address}: the connection broke")));
            }
            Some(Fault::Stale) | None => return answer(),
        }
        pending().await
    }
}

fn refusal(code: u16) -> Response<Body> {
    let status: Value = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
        "message": format!("injected {code}"), "reason": "Injected",
    });
    let response =
        Response::builder().status(code).header("content-type", "application/json").header("retry-after", "1");
    response.body(Body::from(status.to_string().into_bytes())).unwrap()
}

/// A wire as the operator asks nodes through it. Tokens are the business of tests with real nodes.
#[derive(Clone)]
pub struct Admin(pub Arc<Wire>);

#[tonic::async_trait]
impl NodeAdmin for Admin {
    fn spoken_to_by(&self, _: &Speaker) -> Arc<dyn NodeAdmin> {
        Arc::new(self.clone())
    }

    async fn status(&self, address: &str) -> Result<StatusReply, NodeError> {
        self.0.ask("status", address, || self.0.nodes.status(address)).await
    }

    async fn layout(&self, address: &str) -> Result<Layout, NodeError> {
        self.0.ask("layout", address, || self.0.nodes.layout(address)).await
    }

    async fn bootstrap(&self, address: &str, request: BootstrapRequest) -> Result<BootstrapReply, NodeError> {
        self.0.ask("bootstrap", address, || self.0.nodes.bootstrap(address, &request)).await
    }

    // No KVCluster here asks for an experiment: whoever begins or asks for one is wrong.
    async fn faults(&self, address: &str) -> Result<FaultStatus, FaultsError> {
        Err(FaultsError::Refused(format!("{address}: no experiment was asked for")))
    }

    async fn apply_faults(&self, address: &str, _: &str, _: u64) -> Result<FaultStatus, FaultsError> {
        self.faults(address).await
    }

    async fn clear_faults(&self, address: &str, _: &str) -> Result<(), FaultsError> {
        self.faults(address).await.map(drop)
    }
}

/// A wire as `kube::Client` wants it.
#[derive(Clone)]
struct Port(Arc<Wire>);

impl Service<Request<Body>> for Port {
    type Response = Response<Body>;
    type Error = StdError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, StdError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let wire = Arc::clone(&self.0);
        Box::pin(async move { wire.carry(request).await })
    }
}
