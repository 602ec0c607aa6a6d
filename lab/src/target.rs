//! What the laboratory needs of a cluster under test: its nodes, what they say of themselves, and faults at a moment of its choosing.
//! A pause, a crash and everything else that goes wrong is an experiment of the one fault vocabulary (`driftkv_proto::faults`), so that
//! it is written, bounded, seeded and ended the same everywhere; a node that crashed is started again by whoever keeps it.
//! Not here: how nodes are started and found (the command implements this for the clusters it knows).

use std::fmt::Display;

use driftkv_proto::v1;

use crate::faults::Evidence;
use crate::load::Quorums;

/// A node of a cluster under test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetNode {
    /// As experiments name it; its address where it has not said its name.
    pub name: String,
    /// `HOST:PORT` for clients, if load may go to it.
    pub client: Option<String>,
    /// `HOST:PORT` for operators.
    pub admin: String,
}

/// What each node answered, in the nodes' order: its name, and its answer or why there is none.
pub type Answers<T> = Vec<(String, Result<T, String>)>;

/// A cluster under test.
pub trait Target: Sync {
    /// Why it did not do what it was asked.
    type Error: Display + Send;

    /// All nodes that faults reach.
    fn nodes(&self) -> &[TargetNode];

    /// N, R and W, as far as they are known.
    fn quorums(&self) -> Quorums;

    /// Starts an experiment on every node, or on none; gives its id.
    fn apply(&self, experiment: &str) -> impl Future<Output = Result<String, Self::Error>> + Send;

    /// Ends the experiment `id` wherever it still goes on; gives what each node says of it.
    fn clear(&self, id: &str) -> impl Future<Output = Vec<Evidence>> + Send;

    /// What each node says of itself and of its peers.
    fn statuses(&self) -> impl Future<Output = Answers<v1::StatusReply>> + Send;

    /// What each node stores of each partition that it owns; neither coordinates nor repairs.
    fn digests(&self) -> impl Future<Output = Answers<v1::DigestsReply>> + Send;

    /// What each node stores of each of `keys`, in their order; neither coordinates nor repairs.
    fn peek(&self, bucket: &str, keys: &[String]) -> impl Future<Output = Answers<v1::PeekReply>> + Send;
}
