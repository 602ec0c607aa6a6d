//! What the operator asks of the nodes themselves, by their admin ports.
//! Invariants: every question has a deadline; an answer counts only from the node that was meant, for IPs are used again; what changes
//! a node says in which term of the lease it was asked, and a node that knows a newer one refuses.
//! Not here: what is made of the answers (`plan`), where tokens come from (`token`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use driftkv_proto::client::{self, AdminAs, Caller, TERM_METADATA};
use driftkv_proto::v1::{
    ApplyFaultsRequest, BootstrapReply, BootstrapRequest, ClearFaultsRequest, FaultStatus, GetFaultsRequest,
    GetLayoutRequest, Layout, StatusReply, StatusRequest,
};
use tokio::time::timeout;
use tonic::{Code, Response, Status};

use super::election::Term;
use super::token::Tokens;

/// How long a node may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// Why a node did not answer as hoped: a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NodeError(pub String);

/// Why a node did not do what an experiment asks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultsError {
    /// It did not answer, or not to us: asking again may help.
    #[error("{0}")]
    Silent(String),
    /// It refuses just this.
    #[error("{0}")]
    Refused(String),
    /// It knows of an operator with a newer lease.
    #[error("{0}")]
    Fenced(String),
}

/// On whose behalf nodes are asked. Clones share what was learned.
#[derive(Clone, Debug, Default)]
pub struct Speaker {
    /// Tried one after another.
    pub tokens: Tokens,
    /// Of the lease.
    pub term: Term,
    needed_older: Arc<AtomicBool>,
}

impl Speaker {
    /// Who knows these tokens, in this term.
    pub fn new(tokens: Tokens, term: Term) -> Speaker {
        Speaker { tokens, term, needed_older: Arc::default() }
    }

    /// Whether some node took only a token that is not the newest.
    pub fn needed_older(&self) -> bool {
        self.needed_older.load(Ordering::Relaxed)
    }

    /// A caller for each token; one without any if there is none.
    fn callers(&self) -> Vec<Caller> {
        let known: Vec<Caller> = self.tokens.all().iter().filter_map(|token| Caller::with_token(token).ok()).collect();
        if known.is_empty() { vec![Caller::default()] } else { known }
    }
}

/// The admin ports of nodes. Tests put nodes of their own here.
#[tonic::async_trait]
pub trait NodeAdmin: Send + Sync {
    /// The same nodes, asked on behalf of `speaker`.
    fn spoken_to_by(&self, speaker: &Speaker) -> Arc<dyn NodeAdmin>;
    /// How the node at `address` (HOST:PORT) is.
    async fn status(&self, address: &str) -> Result<StatusReply, NodeError>;
    /// The layout it holds; version 0 if none.
    async fn layout(&self, address: &str) -> Result<Layout, NodeError>;
    /// Gives it its first layout; the same again is answered the same.
    async fn bootstrap(&self, address: &str, request: BootstrapRequest) -> Result<BootstrapReply, NodeError>;
    /// What it knows of faults; answered by a node that is paused, too.
    async fn faults(&self, address: &str) -> Result<FaultStatus, FaultsError>;
    /// Begins an experiment that has `left_ms` left; the same id again is answered the same.
    async fn apply_faults(&self, address: &str, text: &str, left_ms: u64) -> Result<FaultStatus, FaultsError>;
    /// Ends the experiment `id`; one that it does not know is no error.
    async fn clear_faults(&self, address: &str, id: &str) -> Result<(), FaultsError>;
}

/// Real nodes, over gRPC.
#[derive(Clone, Debug, Default)]
pub struct Grpc(Speaker);

impl Grpc {
    /// Asks with each token that is known, the newest first, until one is taken.
    async fn ask<T, F>(&self, address: &str, term: Option<u64>, ask: impl Fn(AdminAs) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut refused = None;
        for (age, caller) in self.0.callers().into_iter().enumerate() {
            let admin =
                client::admin_as(address, caller.in_term(term)).map_err(|error| Failure::bad(error.to_string()))?;
            match timeout(ANSWER_MAX, ask(admin)).await {
                Ok(Err(status)) if status.code() == Code::Unauthenticated => refused = Some(status),
                Ok(answer) => {
                    self.0.needed_older.fetch_or(age > 0, Ordering::Relaxed);
                    return answer.map(Response::into_inner).map_err(|status| self.failure(address, status));
                }
                Err(_) => return Err(Failure::bad(format!("{address}: no answer in {} s", ANSWER_MAX.as_secs()))),
            }
        }
        Err(refused.map_or_else(
            || Failure::bad(format!("{address}: nothing was asked")),
            |status| self.failure(address, status),
        ))
    }

    fn failure(&self, address: &str, status: Status) -> Failure {
        let newest = status.metadata().get(TERM_METADATA).and_then(|term| term.to_str().ok()?.parse().ok());
        if let Some(newest) = newest {
            self.0.term.raise(newest);
        }
        Failure { words: format!("{address}: {}", status.message()), code: status.code(), is_fenced: newest.is_some() }
    }
}

struct Failure {
    words: String,
    code: Code,
    is_fenced: bool,
}

impl Failure {
    fn bad(words: String) -> Failure {
        Failure { words, code: Code::Unavailable, is_fenced: false }
    }
}

impl From<Failure> for NodeError {
    fn from(failure: Failure) -> NodeError {
        NodeError(failure.words)
    }
}

impl From<Failure> for FaultsError {
    fn from(Failure { words, code, is_fenced }: Failure) -> FaultsError {
        match code {
            _ if is_fenced => FaultsError::Fenced(words),
            Code::InvalidArgument | Code::FailedPrecondition | Code::ResourceExhausted | Code::Unimplemented => {
                FaultsError::Refused(words)
            }
            _ => FaultsError::Silent(words),
        }
    }
}

#[tonic::async_trait]
impl NodeAdmin for Grpc {
    fn spoken_to_by(&self, speaker: &Speaker) -> Arc<dyn NodeAdmin> {
        Arc::new(Grpc(speaker.clone()))
    }

    async fn status(&self, address: &str) -> Result<StatusReply, NodeError> {
        Ok(self.ask(address, None, |mut admin| async move { admin.status(StatusRequest {}).await }).await?)
    }

    async fn layout(&self, address: &str) -> Result<Layout, NodeError> {
        Ok(self.ask(address, None, |mut admin| async move { admin.get_layout(GetLayoutRequest {}).await }).await?)
    }

    async fn bootstrap(&self, address: &str, request: BootstrapRequest) -> Result<BootstrapReply, NodeError> {
        let ask = |mut admin: AdminAs| {
            let request = request.clone();
            async move { admin.bootstrap(request).await }
        };
        Ok(self.ask(address, self.0.term.get(), ask).await?)
    }

    async fn faults(&self, address: &str) -> Result<FaultStatus, FaultsError> {
        Ok(self.ask(address, None, |mut admin| async move { admin.get_faults(GetFaultsRequest {}).await }).await?)
    }

    async fn apply_faults(&self, address: &str, text: &str, left_ms: u64) -> Result<FaultStatus, FaultsError> {
        let ask = |mut admin: AdminAs| {
            let request = ApplyFaultsRequest { experiment: text.to_owned(), left_ms };
            async move { admin.apply_faults(request).await }
        };
        Ok(self.ask(address, self.0.term.get(), ask).await?)
    }

    async fn clear_faults(&self, address: &str, id: &str) -> Result<(), FaultsError> {
        let ask = |mut admin: AdminAs| {
            let request = ClearFaultsRequest { id: id.to_owned() };
            async move { admin.clear_faults(request).await }
        };
        match self.ask(address, self.0.term.get(), ask).await {
            Err(failure) if failure.code == Code::NotFound => Ok(()),
            answer => Ok(answer.map(drop)?),
        }
    }
}
