//! The clusters this command knows as targets of the laboratory: local processes of `driftkv up`, and any other by its admin ports.
//! Nodes are disturbed through their own fault port only: it is bounded in time, refused where faults are not allowed, and the
//! same for processes that somebody else supervises.

use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use driftkv_lab::load::{LoadError, Outcome, Quorums};
use driftkv_lab::target::{Target, TargetNode};
use driftkv_proto::faults::Experiment;

use super::progress::Display;
use crate::admin;
use crate::chaos;
use crate::endpoints::{AdminEndpoint, Endpoints};
use crate::error::Failure;

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

    fn admin(&self) -> Vec<AdminEndpoint> {
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
        verdict.map(|()| parsed.id)
    }

    async fn clear(&self, id: &str) -> Result<(), Failure> {
        chaos::verdict(chaos::clear(&self.admin(), id).await)
    }
}

/// An experiment that waits for its moment.
#[derive(Debug)]
pub struct Chaos {
    text: String,
    id: String,
    at: Duration,
}

impl Chaos {
    /// The experiment in `file`. Errors: it is none, or the cluster would not survive it.
    pub fn read(file: &Path, at: Duration, from: &Endpoints, cluster: &KnownCluster) -> Result<Self, Failure> {
        let text = chaos::read(file)?;
        let experiment: Experiment = chaos::parse(&text, file)?;
        chaos::check(&experiment, from, &cluster.admin(), file)?;
        Ok(Self { text, id: experiment.id, at })
    }

    async fn strike(&self, target: &impl Target<Error = Failure>, display: &Display) {
        tokio::time::sleep(self.at).await;
        let nodes = crate::style::count(target.nodes().len() as u64, "node");
        match target.apply(&self.text).await {
            Ok(id) => display.say(&format!("experiment {id} began on {nodes}")),
            Err(failure) => display.say(&format!("experiment {} did not begin: {failure}", self.id)),
        }
    }
}

/// Runs `load`, and starts `chaos` in its time; what is still injected at the end of the load is ended.
pub async fn alongside(
    load: impl Future<Output = Result<Outcome, LoadError>>,
    chaos: Option<Chaos>,
    target: &impl Target<Error = Failure>,
    display: &Display,
) -> Result<Outcome, LoadError> {
    let Some(chaos) = chaos else {
        return load.await;
    };
    let mut load = pin!(load);
    let early = tokio::select! {
        outcome = &mut load => Some(outcome),
        () = chaos.strike(target, display) => None,
    };
    let outcome = match early {
        Some(outcome) => outcome,
        None => load.await,
    };
    if let Err(failure) = target.clear(&chaos.id).await {
        display.say(&format!("experiment {} could not be ended: {failure}", chaos.id));
    }
    outcome
}
