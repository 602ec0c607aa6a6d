//! What to do, and what to say: one pure function of the KVCluster and of what was observed.
//! Follows research/operators.md 6: unknown never means done; nothing is destroyed before the others are seen to be well.
//! Invariant: a plan has at most one pod to delete, and none while objects are still to be written or an experiment is under way.
//! Not here: doing it (`apply`).

pub mod chaos;
mod drift;
mod formation;
mod quantity;
mod rollout;
mod status;
#[cfg(test)]
mod tests;

use std::time::Duration;

use driftkv_proto::v1::BootstrapRequest;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::kind::Kind;
use super::names::{Names, pause};
use super::observe::Observed;
use super::reason::Reason;
use super::resources::Wanted;
use crate::crd::{KVCluster, KVClusterStatus};

pub use drift::holds;
pub use formation::{Formation, hex};
pub use rollout::Rollout;
pub use status::{CHAOS_ACTIVE, condition, with_chaos, with_error};

/// When to look again without being called: nodes' states change without an event of Kubernetes.
const SETTLED: Duration = Duration::from_secs(30);
const MOVING: Duration = Duration::from_secs(1);
const REFUSED: Duration = Duration::from_secs(10);

/// What one pass does.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Objects to apply, in order.
    pub apply: Vec<Change>,
    /// Objects to delete.
    pub sweep: Vec<Doomed>,
    /// The layout to give to nodes that are empty.
    pub bootstrap: Option<Bootstrap>,
    /// The pod to delete, so that it comes back as the spec says.
    pub replace: Option<Replacement>,
    /// What to say.
    pub status: KVClusterStatus,
    /// When to look again.
    pub requeue: Duration,
}

/// An object to apply.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// As it should be.
    pub wanted: Wanted,
    /// Whether it is there already, other than it should be.
    pub exists: bool,
}

/// An object to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doomed {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Which of that name: no other is deleted.
    pub uid: String,
}

/// A bootstrap to send.
#[derive(Clone, Debug, PartialEq)]
pub struct Bootstrap {
    /// The same for all.
    pub request: BootstrapRequest,
    /// The IPs of the nodes that have none yet.
    pub ips: Vec<String>,
    /// Whether it finishes one that was begun.
    pub is_resumed: bool,
}

/// A pod to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// Its name.
    pub pod: String,
    /// Which of that name: no other is deleted.
    pub uid: String,
    /// For the event.
    pub why: String,
}

/// Everything that a plan is made of.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// As the API server last said.
    pub cluster: &'a KVCluster,
    /// Its names.
    pub names: &'a Names,
    /// What it should become.
    pub wanted: &'a [Wanted],
    /// What is.
    pub observed: &'a Observed,
    /// For the times of transitions.
    pub now: Timestamp,
}

impl Inputs<'_> {
    /// Whether nothing may be written but the status.
    pub fn is_paused(&self) -> bool {
        pause(self.cluster).is_some()
    }

    /// Number of nodes.
    pub fn replicas(&self) -> u32 {
        self.cluster.spec.replicas
    }

    /// The experiment that is under way, if there is one.
    pub fn experiment(&self) -> Option<&str> {
        let chaos = self.cluster.status.as_ref().and_then(|status| status.chaos.as_ref());
        chaos.filter(|chaos| !chaos.is_settled()).map(|chaos| chaos.id.as_str())
    }

    /// `metadata.uid`.
    pub fn uid(&self) -> &str {
        self.cluster.metadata.uid.as_deref().unwrap_or_default()
    }
}

/// Plans one pass.
pub fn plan(inputs: &Inputs<'_>) -> Plan {
    let drift = drift::compare(inputs);
    let formation = formation::form(inputs);
    let is_written = drift.apply.is_empty() && drift.obstacle.is_none();
    let rollout = if is_written { rollout::next(inputs, &formation) } else { Rollout::Unknown };
    let status = status::status(inputs, &drift, &formation, &rollout);
    let requeue = match (&drift.obstacle, &formation) {
        _ if inputs.is_paused() => SETTLED,
        (Some((Reason::NameTaken, _)), _) | (_, Formation::Refused(..)) => REFUSED,
        (None, Formation::Formed) if matches!(rollout, Rollout::Done) && is_written && is_calm(&status) => SETTLED,
        _ => MOVING,
    };
    let mut plan = Plan { apply: drift.apply, sweep: Vec::new(), bootstrap: None, replace: None, status, requeue };
    if inputs.is_paused() {
        plan.apply.clear();
        return plan;
    }
    // Order: pods that were made before their ServiceAccount and ConfigMap would fail, and be tried again ever more rarely.
    if matches!(drift.obstacle, Some((Reason::WaitingForDeletion, _))) {
        plan.apply.clear();
    }
    // Order: what is swept may still be in use until all pods are as the spec says.
    if matches!(rollout, Rollout::Done) {
        plan.sweep = drift.orphans;
    }
    if let Formation::Bootstrap(bootstrap) = formation {
        plan.bootstrap = Some(bootstrap);
    }
    if let Rollout::Replace(replacement) = rollout {
        plan.replace = Some(replacement);
    }
    plan
}

/// Whether all nodes are ready and none is owed anything: nothing is expected to change by itself.
fn is_calm(status: &KVClusterStatus) -> bool {
    status.nodes.iter().all(|node| node.ready && node.hints_owed == 0)
}
