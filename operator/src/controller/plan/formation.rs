//! From pods to one cluster: who gets a first layout, and when nothing may be touched.
//! Follows design.md, Operator and Layouts: a bootstrap only when every node answers and is empty; nodes that report a cluster id are
//! adopted; one that was cut off is finished with the layout that some nodes already have, if it names the others.
//! Invariant: the id of a new cluster is the UID of its KVCluster, so that two operators at once would make the same one.

use std::collections::BTreeMap;

use bytes::Bytes;
use driftkv_proto::v1::{BootstrapRequest, Layout, Member, StatusReply};
use driftkv_proto::{ADMIN_PORT, CLIENT_PORT, PEER_PORT};

use super::{Bootstrap, Inputs};
use crate::controller::reason::Reason;

/// How far the nodes are on their way to one cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum Formation {
    /// Not all of them answer yet, and none has data; the words say who is missing.
    Waiting(String),
    /// All are empty, or some of a bootstrap that was cut off.
    Bootstrap(Bootstrap),
    /// All that answer are members of one cluster.
    Formed,
    /// Something a person must look at.
    Refused(Reason, String),
}

pub(super) fn form(inputs: &Inputs<'_>) -> Formation {
    let nodes = &inputs.observed.nodes;
    let mut ids: Vec<String> = nodes.values().map(|node| hex(&node.cluster_id)).filter(|id| !id.is_empty()).collect();
    ids.extend(inputs.cluster.status.as_ref().and_then(|status| status.cluster_id.clone()));
    ids.sort();
    ids.dedup();
    let has_data = nodes.values().any(|node| !node.cluster_id.is_empty());
    match (ids.as_slice(), has_data) {
        ([], _) => first(inputs),
        ([_], true) => match &inputs.observed.layout {
            Some(layout) => adopt(inputs, layout),
            None => Formation::Waiting("no node tells its layout".to_owned()),
        },
        ([id], false) => gone(inputs, id),
        _ => {
            let of = |(ordinal, node): (&u32, &StatusReply)| {
                let id = hex(&node.cluster_id);
                format!("{} {}", inputs.names.node(*ordinal), if id.is_empty() { "is empty" } else { &id })
            };
            let all: Vec<String> = nodes.iter().map(of).collect();
            let words = format!(
                "the nodes' data belongs to different clusters ({}); put back the volumes that belong together",
                all.join(", ")
            );
            Formation::Refused(Reason::MixedClusters, words)
        }
    }
}

/// No node has data, and none ever had.
fn first(inputs: &Inputs<'_>) -> Formation {
    if let Some(missing) = missing(inputs) {
        return Formation::Waiting(missing);
    }
    let id = inputs.uid().replace('-', "");
    let parsed = u128::from_str_radix(&id, 16);
    let Ok(id) = parsed else { return Formation::Waiting(format!("the KVCluster has no UID but {id:?}")) };
    let members = inputs.observed.nodes.iter().map(|(ordinal, node)| member(inputs, *ordinal, node));
    let request = BootstrapRequest {
        cluster_id: Bytes::copy_from_slice(&id.to_be_bytes()),
        partitions: inputs.cluster.spec.partitions,
        replication_factor: inputs.cluster.spec.replication_factor,
        members: members.collect(),
    };
    let ips = inputs.observed.pods.values().filter_map(|pod| pod.ip.clone()).collect();
    Formation::Bootstrap(Bootstrap { request, ips, is_resumed: false })
}

fn member(inputs: &Inputs<'_>, ordinal: u32, node: &StatusReply) -> Member {
    let name = inputs.names.node(ordinal);
    let address = |port| inputs.names.address(&name, port);
    Member {
        incarnation: node.incarnation,
        zone: inputs.observed.zones.get(&ordinal).map(|zone| zone.name.clone()).unwrap_or_default(),
        capacity: 1,
        client_address: address(CLIENT_PORT),
        peer_address: address(PEER_PORT),
        admin_address: address(ADMIN_PORT),
        name,
    }
}

/// The nodes that do not answer, with why.
fn missing(inputs: &Inputs<'_>) -> Option<String> {
    let observed = inputs.observed;
    let absent = (0..inputs.replicas()).filter(|ordinal| !observed.nodes.contains_key(ordinal));
    let words: Vec<String> = absent
        .map(|ordinal| {
            let name = inputs.names.node(ordinal);
            let silent = observed.silent.get(&ordinal).cloned();
            let pod = observed.pods.get(&ordinal);
            let why = pod.and_then(|pod| pod.stuck.clone()).or(silent);
            match why {
                Some(why) => format!("{name} ({why})"),
                None if pod.is_none() => format!("{name} (no pod yet)"),
                None => format!("{name} (its container does not run yet)"),
            }
        })
        .collect();
    (!words.is_empty()).then(|| format!("waiting for {}", words.join(", ")))
}

/// Some nodes have data of one cluster: all others must be known to it.
fn adopt(inputs: &Inputs<'_>, layout: &Layout) -> Formation {
    let replicas = inputs.replicas();
    if layout.members.len() as u64 != u64::from(replicas) {
        let words = format!(
            "the data is of a cluster of {} nodes, spec.replicas is {replicas}; re-create the KVCluster with that number",
            layout.members.len()
        );
        return Formation::Refused(Reason::OtherSize, words);
    }
    let known: BTreeMap<&str, u64> = layout.members.iter().map(|m| (m.name.as_str(), m.incarnation)).collect();
    let mut empty = Vec::new();
    for (ordinal, node) in &inputs.observed.nodes {
        let name = inputs.names.node(*ordinal);
        if known.get(name.as_str()) != Some(&node.incarnation) {
            let what = if node.cluster_id.is_empty() { "is empty" } else { "is another directory" };
            let words = format!(
                "{name}: its volume {what}, and the cluster knows another one by that name; its acknowledged writes \
                would be lost: put the volume back"
            );
            return Formation::Refused(Reason::UnknownNodes, words);
        }
        if node.cluster_id.is_empty() {
            empty.extend(inputs.observed.pods.get(ordinal).and_then(|pod| pod.ip.clone()));
        }
    }
    if empty.is_empty() {
        return Formation::Formed;
    }
    let request = BootstrapRequest {
        cluster_id: layout.cluster_id.clone(),
        partitions: layout.partitions,
        replication_factor: layout.replication_factor,
        members: layout.members.clone(),
    };
    Formation::Bootstrap(Bootstrap { request, ips: empty, is_resumed: true })
}

/// The status tells of data, and no node has any.
fn gone(inputs: &Inputs<'_>, id: &str) -> Formation {
    if let Some(missing) = missing(inputs) {
        return Formation::Waiting(missing);
    }
    let words = format!(
        "all volumes are empty, but cluster {id} had data; put its volumes back, or delete the KVCluster to begin anew"
    );
    Formation::Refused(Reason::DataGone, words)
}

/// An id as people see it.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
