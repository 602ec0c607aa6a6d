//! What a `KVCluster` says of itself: the types of its status.
//! Invariant: everything here but `chaos` is derived from what was observed, so that a lost status is only computed again.
//! Not here: the reasons that conditions give (`controller/reason.rs`).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::ChaosStatus;

/// What a cluster is.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KVClusterStatus {
    /// The cluster in one word.
    #[serde(default)]
    pub phase: Phase,
    /// Nodes that take requests.
    #[serde(default)]
    pub ready_replicas: u32,
    /// Nodes that run what the spec asks for.
    #[serde(default)]
    pub updated_replicas: u32,
    /// What is so and what is not: Available (requests are served), Progressing (on its way to the spec), Degraded
    /// (something is not as it should be), Ready (all of the spec of observedGeneration is true now), and, if an experiment was asked
    /// for, ChaosActive (it is injected).
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Each node as it was last seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub nodes: Vec<NodeStatus>,
    /// Where the cluster is reached from inside Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Endpoints>,
    /// Version of the layout that the nodes hold; 0 before the bootstrap.
    #[serde(default)]
    pub layout_version: u64,
    /// Identity of the data, chosen at the bootstrap; a KVCluster that finds its data again keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// Where the zones of the layout came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zones_from: Option<ZoneSource>,
    /// The last experiment that the annotation chaos.driftkv.io/experiment began. Other than the rest, it is not computed again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chaos: Option<ChaosStatus>,
    /// Generation of the spec that this status is about.
    #[serde(default)]
    pub observed_generation: i64,
}

/// A cluster in one word.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Not all nodes have answered yet.
    #[default]
    Pending,
    /// All nodes are empty and get their first layout.
    Bootstrapping,
    /// As it should be.
    Running,
    /// On its way to a changed spec.
    Updating,
    /// Something needs a person; the conditions say what.
    Degraded,
}

/// One node as it was last seen.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Its name, which is that of its pod.
    pub name: String,
    /// What it says of itself: empty, fencing, serving, stopping; or, if it does not answer, what its pod lacks.
    pub state: String,
    /// Whether its pod is ready, so that clients are sent to it.
    #[serde(default)]
    pub ready: bool,
    /// Identity of its data directory, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
    /// Version of its program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its zone in the layout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Writes that the other nodes keep for it and still owe it.
    #[serde(default)]
    pub hints_owed: u64,
    /// Partitions that it owns a copy of.
    #[serde(default)]
    pub partitions: u32,
}

/// Where the cluster is reached from inside Kubernetes, each as HOST:PORT.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// For clients: any node that is ready.
    pub client: String,
    /// For clients that choose among the nodes themselves.
    pub nodes: Vec<String>,
    /// For `driftkv status` and the like: each node's admin port.
    pub admin: Vec<String>,
}

/// Where zones come from.
#[derive(schemars::JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ZoneSource {
    /// The label `topology.kubernetes.io/zone` of Kubernetes' nodes.
    Nodes,
    /// The same label on the pods.
    Pods,
    /// The names of Kubernetes' nodes: each is a zone of its own.
    NodeNames,
}
