//! What a `KVCluster` says of the experiment that its annotation `chaos.driftkv.io/experiment` asks for.
//! Invariant: written before anything is injected, so that an experiment is known to have begun whoever dies next; an id in here is
//! never begun again.
//! Not here: the vocabulary (`driftkv_proto::faults`), what follows from it (`controller/plan/chaos.rs`).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The last experiment that was begun.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChaosStatus {
    /// Its id.
    pub id: String,
    /// Hash of what it says, however it is written.
    pub hash: String,
    /// How far it is.
    pub phase: ChaosPhase,
    /// What its draws were seeded with.
    pub seed: String,
    /// When it was taken on.
    pub started_at: MicroTime,
    /// When it ends at the latest; each node ends it by its own clock.
    pub ends_at: MicroTime,
    /// Why it is in this phase.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What each node made of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["node".into()]))]
    pub targets: Vec<ChaosTarget>,
    /// Pods that it asks to kill.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kills: Vec<ChaosKill>,
    /// When the counters were read.
    pub counted_at: MicroTime,
    /// Ids of earlier experiments, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past_ids: Vec<String>,
}

/// How far an experiment is.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChaosPhase {
    /// Taken on; no node is known to have it yet.
    Requested,
    /// At least one node has it.
    Active,
    /// Its time is over.
    Ended,
    /// The annotation or a consent was withdrawn.
    Cleared,
    /// A node refused it, and all others were cleared.
    Refused,
}

/// What one node made of it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChaosTarget {
    /// Its name.
    pub node: String,
    /// How far it is there.
    pub state: ChaosState,
    /// What is odd about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Messages and syncs that met a fault.
    #[serde(default)]
    pub seen: u64,
    /// Of those, held back.
    #[serde(default)]
    pub delayed: u64,
    /// Of those, lost.
    #[serde(default)]
    pub dropped: u64,
    /// Of those, sent twice.
    #[serde(default)]
    pub duplicated: u64,
    /// Of those, overtaken.
    #[serde(default)]
    pub reordered: u64,
    /// Pauses, disk errors and wrong clocks.
    #[serde(default)]
    pub activations: u64,
}

/// A pod that is killed.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChaosKill {
    /// Its name.
    pub node: String,
    /// When.
    pub due_at: MicroTime,
    /// How far it is.
    pub state: ChaosState,
    /// Which of that name: no other is killed. Written before it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

/// How far a fault is somewhere.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChaosState {
    /// It is asked for.
    #[default]
    Requested,
    /// It is there.
    Injected,
    /// It was there, and is no more; or it never came to be, and will not.
    Recovered,
    /// It was refused, or what became of it could not be learned in time.
    Failed,
}

impl ChaosPhase {
    /// Whether nothing more is injected.
    pub fn is_over(self) -> bool {
        !matches!(self, ChaosPhase::Requested | ChaosPhase::Active)
    }
}

impl ChaosStatus {
    /// Whether it is over, and every node has said so or had the time to end it by itself.
    pub fn is_settled(&self) -> bool {
        let is_open = |state: ChaosState| matches!(state, ChaosState::Requested | ChaosState::Injected);
        self.phase.is_over() && !self.targets.iter().any(|target| is_open(target.state))
    }
}
