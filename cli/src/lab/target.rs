//! The clusters this command knows as targets of the laboratory: local processes of `driftkv up`, and any other by its admin ports.
//! Nodes are disturbed through their own fault port only: it is bounded in time, refused where faults are not allowed, and the
//! same for processes that somebody else supervises.

use std::path::Path;

use driftkv_lab::faults::{Evidence, State};
use driftkv_lab::load::Quorums;
use driftkv_lab::target::{Answers, Target, TargetNode};
use driftkv_proto::v1;
use tonic::{Code, Response};

use crate::admin;
use crate::chaos;
use crate::endpoints::{AdminEndpoint, Endpoints};
use crate::error::{Exit, Failure};
use crate::up::plan::Plan;

/// A cluster that runs.
#[derive(Debug)]
pub struct KnownCluster {
    nodes: Vec<TargetNode>,
    quorums: Quorums,
}

impl KnownCluster {
    /// The cluster at `endpoints`. The nodes that were not named are asked for only if `all` are needed.
    pub async fn find(endpoints: &Endpoints, all: bool) -> Self {
        let admin = if all { admin::all_nodes(endpoints).await } else { endpoints.admin.clone() };
        // Client and admin ports were named in the same order, or not at all.
        let is_paired = endpoints.client.len() == endpoints.admin.len();
        let client = |node: &AdminEndpoint| {
            let place = endpoints.admin.iter().position(|known| known.address == node.address).filter(|_| is_paired);
            place.and_then(|place| endpoints.client.get(place).cloned())
        };
        let nodes = admin.iter().map(|node| TargetNode {
            name: node.name.clone(),
            client: client(node),
            admin: node.address.clone(),
        });
        let quorums = endpoints.file.as_ref().map(|file| Quorums {
            n: file.replication_factor,
            r: file.read_quorum,
            w: file.write_quorum,
        });
        Self { nodes: nodes.collect(), quorums: quorums.unwrap_or_default() }
    }

    /// Nodes that somebody else has found.
    #[cfg(feature = "kubectl")]
    pub fn of(nodes: Vec<TargetNode>, quorums: Quorums) -> Self {
        Self { nodes, quorums }
    }

    /// Processes of this machine.
    pub fn of_plan(plan: &Plan) -> Self {
        let nodes = plan.nodes.iter().map(|node| TargetNode {
            name: node.name.clone(),
            client: Some(node.client()),
            admin: node.admin(),
        });
        let spec = &plan.spec;
        let quorums = Quorums { n: spec.replication_factor, r: spec.read_quorum, w: spec.write_quorum };
        Self { nodes: nodes.collect(), quorums }
    }

    pub(super) fn admin(&self) -> Vec<AdminEndpoint> {
        let admin = |node: &TargetNode| AdminEndpoint { name: node.name.clone(), address: node.admin.clone() };
        self.nodes.iter().map(admin).collect()
    }
}

impl Target for KnownCluster {
    type Error = Failure;

    fn nodes(&self) -> &[TargetNode] {
        &self.nodes
    }

    fn quorums(&self) -> Quorums {
        self.quorums
    }

    async fn apply(&self, experiment: &str) -> Result<String, Failure> {
        let parsed = chaos::parse(experiment, Path::new("experiment"))?;
        let (_, verdict) = chaos::apply(&self.admin(), experiment, &parsed).await;
        if let Err(Failure { exit: Exit::Unavailable, .. }) = &verdict {
            // Those that did answer have taken it.
            self.clear(&parsed.id).await;
        }
        verdict.map(|()| parsed.id)
    }

    async fn clear(&self, id: &str) -> Vec<Evidence> {
        let request = v1::ClearFaultsRequest { id: id.to_owned() };
        let question = move |mut client: admin::AdminClient| {
            let request = request.clone();
            async move {
                match client.clear_faults(request).await {
                    // A node that was started anew has nothing to end.
                    Err(status) if status.code() == Code::NotFound => Ok(Response::new(v1::FaultStatus::default())),
                    answer => answer,
                }
            }
        };
        let answers = admin::ask_all(&self.admin(), question).await;
        let evidence = |(node, answer): admin::Answer<v1::FaultStatus>| match answer {
            Ok(status) => Evidence::of(&node.name, id, &status),
            Err(failure) => Evidence::without_counters(&node.name, State::Unknown(failure.message)),
        };
        answers.into_iter().map(evidence).collect()
    }

    async fn statuses(&self) -> Answers<v1::StatusReply> {
        told(admin::statuses(&self.admin()).await)
    }

    async fn digests(&self) -> Answers<v1::DigestsReply> {
        let question = |mut client: admin::AdminClient| async move { client.digests(v1::DigestsRequest {}).await };
        told(admin::ask_all(&self.admin(), question).await)
    }

    async fn peek(&self, bucket: &str, keys: &[String]) -> Answers<v1::PeekReply> {
        let keys = keys.iter().map(|key| key.clone().into()).collect();
        let request = v1::PeekRequest { bucket: bucket.to_owned(), keys };
        let question = move |mut client: admin::AdminClient| {
            let request = request.clone();
            async move { client.peek(request).await }
        };
        told(admin::ask_all(&self.admin(), question).await)
    }
}

fn told<T>(answers: Vec<admin::Answer<T>>) -> Answers<T> {
    answers.into_iter().map(|(node, answer)| (node.name, answer.map_err(|failure| failure.message))).collect()
}
