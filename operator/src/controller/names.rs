//! What the objects of one cluster are called, how they are labelled, and where its nodes are reached.
//! Invariant: a node's addresses are DNS names made of its ordinal, so that a new IP is harmless.

use std::collections::BTreeMap;

use driftkv_proto::{ADMIN_PORT, CLIENT_PORT, PEER_PORT};
use kube::ResourceExt;

use crate::crd::{Endpoints, KVCluster};

/// The field manager of every write, and the value of `app.kubernetes.io/managed-by`.
pub const MANAGER: &str = "driftkv-operator";
/// On every object of a cluster: its name.
pub const LABEL_CLUSTER: &str = "driftkv.io/cluster";
/// On the headless Service alone: what a ServiceMonitor selects.
pub const LABEL_SERVICE: &str = "driftkv.io/service";
/// On every object: hash of what was asked for, so that a field that is no longer asked for is noticed.
pub const ANNOTATION_APPLIED: &str = "driftkv.io/applied";
/// On a KVCluster: `"true"`, or anything else but `"false"`, stops all writes to its objects and nodes; the status goes on.
pub const ANNOTATION_PAUSED: &str = "driftkv.io/paused";
/// On a KVCluster: an experiment of the fault vocabulary.
pub const ANNOTATION_EXPERIMENT: &str = "chaos.driftkv.io/experiment";
/// On a namespace: `"true"` allows experiments on its KVClusters.
pub const LABEL_CHAOS: &str = "chaos.driftkv.io/allowed";
/// On the Secret with the admin token: any new value makes a new token.
pub const ANNOTATION_ROTATE: &str = "driftkv.io/rotate";
/// On the same: the value that was last obeyed.
pub const ANNOTATION_ROTATED: &str = "driftkv.io/rotated";
/// Kubernetes' own label of zones.
pub const LABEL_ZONE: &str = "topology.kubernetes.io/zone";

/// The annotation that pauses `cluster`, as it was written, if it does. A value that means nothing pauses too: whoever wrote it
/// wanted something.
pub fn pause(cluster: &KVCluster) -> Option<&str> {
    cluster.annotations().get(ANNOTATION_PAUSED).map(String::as_str).filter(|value| *value != "false")
}

/// The names of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// `metadata.name`.
    pub cluster: String,
    /// `metadata.namespace`.
    pub namespace: String,
}

impl Names {
    /// Of this cluster.
    pub fn of(cluster: &KVCluster) -> Names {
        Names { cluster: cluster.name_any(), namespace: cluster.namespace().unwrap_or_default() }
    }

    /// The headless Service, whose names nodes know each other by.
    pub fn nodes_service(&self) -> String {
        format!("{}-nodes", self.cluster)
    }

    /// The Secret with the token of the admin ports.
    pub fn admin_secret(&self) -> String {
        format!("{}-admin", self.cluster)
    }

    /// A node, its pod, and in the layout.
    pub fn node(&self, ordinal: u32) -> String {
        format!("{}-{ordinal}", self.cluster)
    }

    /// The ordinal of a pod of this cluster.
    pub fn ordinal(&self, pod: &str) -> Option<u32> {
        pod.strip_prefix(&self.cluster)?.strip_prefix('-')?.parse().ok()
    }

    /// HOST:PORT of a node. No cluster domain in it: resolvers add theirs to what ends in `.svc`.
    pub fn address(&self, node: &str, port: u16) -> String {
        format!("{node}.{}.{}.svc:{port}", self.nodes_service(), self.namespace)
    }

    /// The peer address of a node: what proves that whoever answers at an IP is this node and no other.
    pub fn peer_address(&self, node: &str) -> String {
        self.address(node, PEER_PORT)
    }

    /// What the status tells clients.
    pub fn endpoints(&self, replicas: u32) -> Endpoints {
        let all = |port| (0..replicas).map(|ordinal| self.address(&self.node(ordinal), port)).collect();
        let client = format!("{}.{}.svc:{CLIENT_PORT}", self.cluster, self.namespace);
        Endpoints { client, nodes: all(CLIENT_PORT), admin: all(ADMIN_PORT) }
    }

    /// What selects the pods.
    pub fn selector(&self) -> BTreeMap<String, String> {
        let pairs = [("app.kubernetes.io/name", "driftkv"), (LABEL_CLUSTER, &self.cluster)];
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    /// On every object.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.selector();
        labels.insert("app.kubernetes.io/instance".to_owned(), self.cluster.clone());
        labels.insert("app.kubernetes.io/managed-by".to_owned(), MANAGER.to_owned());
        labels
    }

    /// The label query that finds every object of the cluster.
    pub fn query(&self) -> String {
        format!("app.kubernetes.io/managed-by={MANAGER},{LABEL_CLUSTER}={}", self.cluster)
    }
}
