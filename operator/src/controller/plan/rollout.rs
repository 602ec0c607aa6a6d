//! Which pod is replaced next, if any: one at a time, the sick first, and a healthy one only when all others are well.
//! Follows research/operators.md 3.9 and 3.10: that a pod is ready does not prove that the others see it, and a pod that cannot
//! start is replaced by whoever can, without waiting for itself.
//! Invariant: the gate counts only the other nodes, and what is not known of them counts as not well.

use driftkv_proto::v1::{Layout, StatusReply};

use super::{Formation, Inputs, Replacement};
use crate::controller::kind::Kind;
use crate::controller::observe::{Found, PodView};

/// How far the pods are from the spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rollout {
    /// Objects are not written yet, or Kubernetes has not looked at them.
    Unknown,
    /// Every pod is as the spec says.
    Done,
    /// Pods are missing, or being made.
    Settling(String),
    /// This pod is next.
    Replace(Replacement),
    /// One would be next, but for this.
    Blocked(String),
    /// None is replaced while an experiment is under way.
    Held(String),
}

/// The revision that pods should have; `None`: Kubernetes has not seen the newest spec yet.
pub(super) fn revision(set: &Found) -> Option<&str> {
    let number = |path: &str| set.body.pointer(path).and_then(serde_json::Value::as_i64);
    let is_seen = number("/status/observedGeneration")? >= number("/metadata/generation")?;
    set.body.pointer("/status/updateRevision").and_then(serde_json::Value::as_str).filter(|_| is_seen)
}

pub(super) fn next(inputs: &Inputs<'_>, formation: &Formation) -> Rollout {
    let set = inputs.observed.object(Kind::StatefulSet, &inputs.names.cluster);
    let Some(revision) = set.and_then(revision) else { return Rollout::Unknown };
    let pods = &inputs.observed.pods;
    let is_outdated = |pod: &&PodView| pod.revision != revision && !pod.is_deleting;
    let outdated: Vec<&PodView> = pods.values().filter(is_outdated).collect();
    let away = (0..inputs.replicas()).find(|ordinal| pods.get(ordinal).is_none_or(|pod| pod.is_deleting));
    if outdated.is_empty() {
        return away.map_or(Rollout::Done, |ordinal| {
            Rollout::Settling(format!("{} is being made", inputs.names.node(ordinal)))
        });
    }
    if let Some(id) = inputs.experiment() {
        // Not even a sick one: what an experiment did is not healed behind its back.
        return Rollout::Held(format!("experiment {id} is under way (ChaosActive); pods are replaced when it is over"));
    }
    if let Some(ordinal) = away {
        // One at a time, whatever its state.
        return Rollout::Blocked(format!("{} is being made", inputs.names.node(ordinal)));
    }
    let sick = outdated.iter().find(|pod| is_sick(inputs, pod));
    if let Some(pod) = sick {
        let why = pod.stuck.clone().unwrap_or_else(|| "it does not serve".to_owned());
        return replace(pod, format!("it is not as the spec says, and first because it is sick: {why}"));
    }
    if !matches!(formation, Formation::Formed) {
        return Rollout::Blocked("the nodes are not one cluster".to_owned());
    }
    let Some(candidate) = outdated.last() else { return Rollout::Done };
    match obstacle(inputs, candidate.ordinal) {
        Some(obstacle) => Rollout::Blocked(format!("{} is next, but {obstacle}", candidate.name)),
        None => replace(candidate, "it is not as the spec says, and all others are well".to_owned()),
    }
}

fn replace(pod: &PodView, why: String) -> Rollout {
    Rollout::Replace(Replacement { pod: pod.name.clone(), uid: pod.uid.clone(), why })
}

/// Not ready by Kubernetes' probe, and not known to serve: whoever replaces it takes nothing from anybody.
fn is_sick(inputs: &Inputs<'_>, pod: &PodView) -> bool {
    let serves = inputs.observed.nodes.get(&pod.ordinal).is_some_and(|node| node.state == "serving");
    pod.stuck.is_some() || (!pod.is_ready && !serves)
}

/// Why `candidate`, which is healthy, may not be taken away now.
fn obstacle(inputs: &Inputs<'_>, candidate: u32) -> Option<String> {
    let layout = inputs.observed.layout.as_ref();
    let Some(layout) = layout else { return Some("no node tells its layout".to_owned()) };
    let mut others = Vec::new();
    for ordinal in (0..inputs.replicas()).filter(|ordinal| *ordinal != candidate) {
        match is_well(inputs, ordinal) {
            Ok(status) => others.push(status),
            Err(why) => return Some(why),
        }
    }
    let itself = inputs.observed.nodes.get(&candidate);
    for node in &others {
        let witnesses = others.iter().copied().filter(|other| other.incarnation != node.incarnation);
        for witness in witnesses {
            if let Some(why) = unseen(witness, node).or_else(|| uncompared(layout, node, witness)) {
                return Some(why);
            }
        }
        for keeper in others.iter().copied().chain(itself) {
            let owed = keeper.hints.iter().find(|hint| hint.target == node.incarnation && hint.hints > 0);
            if let Some(owed) = owed {
                return Some(format!("{} still owes {} {} hints", keeper.name, node.name, owed.hints));
            }
        }
    }
    None
}

fn is_well<'a>(inputs: &Inputs<'a>, ordinal: u32) -> Result<&'a StatusReply, String> {
    let name = inputs.names.node(ordinal);
    let pod = inputs.observed.pods.get(&ordinal).ok_or_else(|| format!("{name} has no pod"))?;
    if let Some(why) = &pod.stuck {
        return Err(format!("{name} is stuck: {why}"));
    }
    if !pod.is_ready {
        return Err(format!("{name} is not ready"));
    }
    let Some(status) = inputs.observed.nodes.get(&ordinal) else {
        let why = inputs.observed.silent.get(&ordinal).cloned().unwrap_or_default();
        return Err(format!("{name} does not say how it is: {why}"));
    };
    match status.state.as_str() {
        "serving" => Ok(status),
        state => Err(format!("{name} is {state}")),
    }
}

/// Whether `witness` knows `node` to be alive, and as the process that it now is.
fn unseen(witness: &StatusReply, node: &StatusReply) -> Option<String> {
    let seen = witness.peers.iter().find(|peer| peer.incarnation == node.incarnation);
    let is_seen = seen
        .is_some_and(|peer| peer.is_connected && peer.is_reachable && peer.rumour == "alive" && peer.boot == node.boot);
    (!is_seen).then(|| format!("{} does not see {} alive yet", witness.name, node.name))
}

/// Whether `node` has compared a partition with `peer` since it started, if they own one together.
fn uncompared(layout: &Layout, node: &StatusReply, peer: &StatusReply) -> Option<String> {
    let known = node.peers.iter().find(|known| known.incarnation == peer.incarnation);
    let has_compared = known.is_some_and(|known| known.anti_entropy_rounds > 0);
    (!has_compared && do_share(layout, node.incarnation, peer.incarnation))
        .then(|| format!("{} has not compared its data with {} since it started", node.name, peer.name))
}

/// Whether some partition has both among its owners.
fn do_share(layout: &Layout, a: u64, b: u64) -> bool {
    let index = |incarnation| layout.members.iter().position(|member| member.incarnation == incarnation);
    let (Some(a), Some(b)) = (index(a), index(b)) else { return false };
    let owners = layout.owners.chunks(layout.replication_factor.max(1) as usize);
    let has = |owners: &[u32], member: usize| owners.iter().any(|owner| *owner as usize == member);
    owners.into_iter().any(|owners| has(owners, a) && has(owners, b))
}
