//! The words for it all: phase, four conditions, and each node as it was seen.
//! Invariants: every condition is about the generation that was just read; times of transitions change only with the condition;
//! Ready is true only if all of the spec is true now.

use driftkv_proto::v1::Layout;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::chaos::{ChaosPlan, Verdict};
use super::drift::Drift;
use super::formation::hex;
use super::rollout::revision;
use super::{Formation, Inputs, Rollout};
use crate::controller::error::Error;
use crate::controller::kind::Kind;
use crate::controller::names::pause;
use crate::controller::reason::Reason;
use crate::crd::{KVCluster, KVClusterStatus, NodeStatus, Phase};

/// The condition that tells of experiments.
pub const CHAOS_ACTIVE: &str = "ChaosActive";

/// What a condition claims, before its time.
#[derive(Clone, Debug, PartialEq)]
struct Claim {
    kind: &'static str,
    holds: Option<bool>,
    reason: Reason,
    message: String,
}

fn claim(kind: &'static str, holds: impl Into<Option<bool>>, reason: Reason, message: impl Into<String>) -> Claim {
    Claim { kind, holds: holds.into(), reason, message: message.into() }
}

pub(super) fn status(inputs: &Inputs<'_>, drift: &Drift, formation: &Formation, rollout: &Rollout) -> KVClusterStatus {
    let observed = inputs.observed;
    let last = inputs.cluster.status.clone().unwrap_or_default();
    let layout = observed.layout.as_ref();
    let revision = observed.object(Kind::StatefulSet, &inputs.names.cluster).and_then(revision);
    let updated = observed.pods.values().filter(|pod| Some(pod.revision.as_str()) == revision && !pod.is_deleting);
    let claims = claims(inputs, drift, formation, rollout);
    let from = observed.zones.values().map(|zone| zone.source).max();
    let from = from.filter(|_| layout.is_none_or(|layout| are_zones_of(inputs, layout)));
    KVClusterStatus {
        phase: phase(inputs, formation, &claims),
        ready_replicas: count(observed.pods.values().filter(|pod| pod.is_ready && !pod.is_deleting).count()),
        updated_replicas: count(updated.count()),
        conditions: conditions(inputs.cluster, claims, inputs.now),
        nodes: (0..inputs.replicas()).map(|ordinal| node(inputs, ordinal)).collect(),
        endpoints: Some(inputs.names.endpoints(inputs.replicas())),
        layout_version: layout.map_or(last.layout_version, |layout| layout.version),
        cluster_id: layout.map(|layout| hex(&layout.cluster_id)).or(last.cluster_id),
        zones_from: from.or(last.zones_from),
        chaos: last.chaos,
        observed_generation: inputs.cluster.metadata.generation.unwrap_or_default(),
    }
}

/// Whether the pods are where `layout` has its members: how zones are known now is then how they were known when it was made.
fn are_zones_of(inputs: &Inputs<'_>, layout: &Layout) -> bool {
    let zone = |name: &str| inputs.names.ordinal(name).and_then(|ordinal| inputs.observed.zones.get(&ordinal));
    layout.members.iter().all(|member| zone(&member.name).is_some_and(|zone| zone.name == member.zone))
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn phase(inputs: &Inputs<'_>, formation: &Formation, claims: &[Claim]) -> Phase {
    let claim = |kind: &str| claims.iter().find(|claim| claim.kind == kind);
    let reason = |kind: &str| claim(kind).map(|claim| claim.reason);
    match formation {
        _ if matches!(reason("Degraded"), Some(reason) if needs_a_person(reason)) => Phase::Degraded,
        Formation::Waiting(_) if !was_formed(inputs) => Phase::Pending,
        Formation::Bootstrap(_) => Phase::Bootstrapping,
        _ if matches!(
            reason("Progressing"),
            Some(Reason::RollingUpdate | Reason::WaitingForNodes | Reason::WaitingForChaos)
        ) =>
        {
            Phase::Updating
        }
        _ => Phase::Running,
    }
}

fn needs_a_person(reason: Reason) -> bool {
    !matches!(reason, Reason::AsSpecified | Reason::NodesNotReady)
}

fn claims(inputs: &Inputs<'_>, drift: &Drift, formation: &Formation, rollout: &Rollout) -> Vec<Claim> {
    let available = available(inputs);
    let progressing = progressing(inputs, drift, formation, rollout);
    let degraded = degraded(inputs, drift, formation);
    let ready = if degraded.holds == Some(true) {
        claim("Ready", false, degraded.reason, degraded.message.clone())
    } else if progressing.holds == Some(true) || progressing.reason == Reason::Paused {
        let is_true = progressing.reason == Reason::Paused && drift.apply.is_empty() && *rollout == Rollout::Done;
        claim("Ready", is_true, progressing.reason, progressing.message.clone())
    } else {
        claim("Ready", available.holds, available.reason, available.message.clone())
    };
    vec![available, progressing, degraded, ready]
}

/// Whether the nodes were one cluster when they were last seen.
fn was_formed(inputs: &Inputs<'_>) -> bool {
    inputs.cluster.status.as_ref().is_some_and(|last| last.layout_version > 0)
}

/// Whether the quorums of the spec are reached for every key.
fn available(inputs: &Inputs<'_>) -> Claim {
    let spec = &inputs.cluster.spec;
    let needed = spec.read_quorum.max(spec.write_quorum);
    let serving: Vec<u32> =
        inputs.observed.pods.values().filter(|pod| pod.is_ready && !pod.is_deleting).map(|pod| pod.ordinal).collect();
    let (ready, all) = (serving.len(), inputs.replicas());
    let Some(layout) = &inputs.observed.layout else {
        // Kubernetes' probes still tell who serves: whichever owners are away, enough are left, or perhaps not.
        let away = all.saturating_sub(count(ready));
        let words = format!("{ready} of {all} nodes are ready; none tells the operator its layout");
        return match (was_formed(inputs), away <= spec.replication_factor.saturating_sub(needed)) {
            (false, _) => claim("Available", false, Reason::NotBootstrapped, "the cluster has no layout yet"),
            (true, true) => claim("Available", true, Reason::QuorumServing, words),
            (true, false) => claim("Available", false, Reason::QuorumLost, words),
        };
    };
    let is_serving = |member: &u32| {
        let member = layout.members.get(*member as usize);
        member.and_then(|member| inputs.names.ordinal(&member.name)).is_some_and(|ordinal| serving.contains(&ordinal))
    };
    let owners = layout.owners.chunks(layout.replication_factor.max(1) as usize);
    let short =
        owners.filter(|owners| owners.iter().filter(|owner| is_serving(owner)).count() < needed as usize).count();
    if short == 0 {
        return claim("Available", true, Reason::QuorumServing, format!("{ready} of {all} nodes serve"));
    }
    if spec.sloppy && ready >= needed as usize {
        let words = format!("{ready} of {all} nodes serve; for {short} partitions others stand in for owners");
        return claim("Available", true, Reason::QuorumServing, words);
    }
    let words = format!("{ready} of {all} nodes serve; {short} partitions have fewer than {needed} owners");
    claim("Available", false, Reason::QuorumLost, words)
}

fn progressing(inputs: &Inputs<'_>, drift: &Drift, formation: &Formation, rollout: &Rollout) -> Claim {
    let yes = |reason, words: &str| claim("Progressing", true, reason, words);
    if inputs.is_paused() {
        let words = "the annotation driftkv.io/paused stops all writes; remove it to go on";
        let unknown = pause(inputs.cluster).filter(|value| *value != "true");
        let unknown = unknown.map(|value| format!(" (it is {value:?}: only \"true\" and \"false\" mean something)"));
        return claim("Progressing", false, Reason::Paused, format!("{words}{}", unknown.unwrap_or_default()));
    }
    if let Some((reason @ Reason::WaitingForDeletion, words)) = &drift.obstacle {
        return yes(*reason, words);
    }
    if let Some((_, words)) = &drift.obstacle {
        return claim("Progressing", false, Reason::NameTaken, words.clone());
    }
    match (formation, rollout) {
        (Formation::Refused(reason, words), _) => claim("Progressing", false, *reason, words.clone()),
        (_, Rollout::Held(why)) => yes(Reason::WaitingForChaos, why),
        (_, Rollout::Replace(next)) => yes(Reason::RollingUpdate, &format!("replacing {}: {}", next.pod, next.why)),
        (_, Rollout::Blocked(why)) => yes(Reason::WaitingForNodes, why),
        (Formation::Waiting(why), _) if was_formed(inputs) => yes(Reason::Recovering, why),
        (Formation::Waiting(why), _) => yes(Reason::Creating, why),
        (Formation::Bootstrap(_), _) => yes(Reason::Bootstrapping, "all nodes answer; they get their layout"),
        (Formation::Formed, Rollout::Unknown) if drift.makes_nodes() => yes(Reason::Creating, "objects are made"),
        (Formation::Formed, Rollout::Unknown) => yes(Reason::RollingUpdate, "Kubernetes takes note of the spec"),
        (Formation::Formed, Rollout::Settling(why)) => yes(Reason::Recovering, why),
        (Formation::Formed, Rollout::Done) => match not_ready(inputs) {
            Some(words) => yes(Reason::Recovering, &words),
            None => claim("Progressing", false, Reason::AsSpecified, "all nodes are as the spec says"),
        },
    }
}

fn degraded(inputs: &Inputs<'_>, drift: &Drift, formation: &Formation) -> Claim {
    if let Some((Reason::NameTaken, words)) = &drift.obstacle {
        return claim("Degraded", true, Reason::NameTaken, words.clone());
    }
    if let Formation::Refused(reason, words) = formation {
        return claim("Degraded", true, *reason, words.clone());
    }
    let stuck = inputs.observed.pods.values().find_map(|pod| Some((pod, pod.stuck.as_ref()?)));
    if let Some((pod, why)) = stuck {
        return claim("Degraded", true, Reason::NodeStuck, format!("{}: {why}", pod.name));
    }
    let ready: Vec<u32> = inputs.observed.pods.values().filter(|pod| pod.is_ready).map(|pod| pod.ordinal).collect();
    let silent = ready.first().and_then(|first| inputs.observed.silent.get(first));
    if let (Some(why), true) = (silent, ready.iter().all(|ordinal| inputs.observed.silent.contains_key(ordinal))) {
        let words = format!("no node that is ready answers the operator on its admin port: {why}");
        return claim("Degraded", true, Reason::NodesSilent, words);
    }
    match not_ready(inputs) {
        Some(words) if (matches!(formation, Formation::Formed) || was_formed(inputs)) && is_late(inputs) => {
            claim("Degraded", true, Reason::NodesNotReady, words)
        }
        _ => claim("Degraded", false, Reason::AsSpecified, "nothing is wrong"),
    }
}

/// Whether a node has been away for longer than one that is replaced, or starts, may be.
fn is_late(inputs: &Inputs<'_>) -> bool {
    const PATIENCE_S: i64 = 60;
    let pods = &inputs.observed.pods;
    let is_missing = (0..inputs.replicas()).any(|ordinal| !pods.contains_key(&ordinal));
    let conditions = inputs.cluster.status.iter().flat_map(|status| &status.conditions);
    let was_not_ready = conditions.into_iter().any(|condition| {
        let age_s = inputs.now.as_second().saturating_sub(condition.last_transition_time.0.as_second());
        condition.type_ == "Ready" && condition.status == "False" && age_s >= PATIENCE_S
    });
    pods.values().any(|pod| pod.is_late) || (is_missing && was_not_ready)
}

/// The nodes that are not ready, in words.
fn not_ready(inputs: &Inputs<'_>) -> Option<String> {
    let pods = &inputs.observed.pods;
    let is_ready = |ordinal: &u32| pods.get(ordinal).is_some_and(|pod| pod.is_ready && !pod.is_deleting);
    let names: Vec<String> =
        (0..inputs.replicas()).filter(|ordinal| !is_ready(ordinal)).map(|ordinal| inputs.names.node(ordinal)).collect();
    (!names.is_empty()).then(|| format!("not ready: {}", names.join(", ")))
}

fn node(inputs: &Inputs<'_>, ordinal: u32) -> NodeStatus {
    let observed = inputs.observed;
    let name = inputs.names.node(ordinal);
    let pod = observed.pods.get(&ordinal);
    let said = observed.nodes.get(&ordinal);
    let member = observed.layout.as_ref().and_then(|layout| layout.members.iter().find(|member| member.name == name));
    let incarnation = said.map(|said| said.incarnation).or(member.map(|member| member.incarnation));
    let hints = observed.nodes.values().flat_map(|node| &node.hints);
    let state = match (pod, said) {
        (_, Some(said)) => said.state.clone(),
        (None, None) => "no pod".to_owned(),
        (Some(pod), None) if pod.is_deleting => "ending".to_owned(),
        (Some(pod), None) => match &pod.stuck {
            Some(_) => "stuck".to_owned(),
            None if pod.ip.is_none() => "starting".to_owned(),
            None => "silent".to_owned(),
        },
    };
    NodeStatus {
        state,
        ready: pod.is_some_and(|pod| pod.is_ready && !pod.is_deleting),
        incarnation: incarnation.map(|incarnation| format!("{incarnation:016x}")),
        version: said.map(|said| said.version.clone()),
        zone: member.map(|member| member.zone.clone()),
        hints_owed: hints.filter(|hint| Some(hint.target) == incarnation).map(|hint| hint.hints).sum(),
        partitions: said.map_or(0, |said| said.partitions_owned),
        name,
    }
}

fn conditions(cluster: &KVCluster, claims: Vec<Claim>, now: Timestamp) -> Vec<Condition> {
    let last = cluster.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let generation = cluster.metadata.generation;
    let said = claims
        .into_iter()
        .map(|claim| condition(last, generation, claim.kind, word(claim.holds), claim.reason, claim.message, now));
    said.chain(chaos_active(last, generation)).collect()
}

fn word(holds: Option<bool>) -> &'static str {
    match holds {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    }
}

/// What was said of experiments in this pass already (`controller/chaos.rs`).
fn chaos_active(said: &[Condition], generation: Option<i64>) -> Option<Condition> {
    let found = said.iter().find(|condition| condition.type_ == CHAOS_ACTIVE)?;
    Some(Condition { observed_generation: generation, ..found.clone() })
}

/// `before` with what a look at an experiment came to.
pub fn with_chaos(
    generation: Option<i64>,
    before: &KVClusterStatus,
    plan: &ChaosPlan,
    now: Timestamp,
) -> KVClusterStatus {
    let mut status = before.clone();
    status.chaos = plan.status.clone();
    status.conditions.retain(|condition| condition.type_ != CHAOS_ACTIVE);
    status.conditions.extend(plan.verdict.clone().map(|Verdict { holds, reason, message }| {
        condition(&before.conditions, generation, CHAOS_ACTIVE, word(holds), reason, message, now)
    }));
    status
}

/// One condition; it keeps the time of its last transition if its status is what it was.
pub fn condition(
    last: &[Condition],
    generation: Option<i64>,
    kind: &str,
    value: &str,
    reason: Reason,
    message: String,
    now: Timestamp,
) -> Condition {
    let before = last.iter().find(|condition| condition.type_ == kind && condition.status == value);
    // Whole seconds, as the API server keeps them: what is written and what is read must compare as equal.
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    Condition {
        last_transition_time: before.map_or(Time(now), |before| before.last_transition_time.clone()),
        message: cut(message),
        observed_generation: generation,
        reason: reason.to_string(),
        status: value.to_owned(),
        type_: kind.to_owned(),
    }
}

/// The API server takes 32,768 characters; people read fewer.
fn cut(message: String) -> String {
    const CHARACTERS_MAX: usize = 1_000;
    match message.char_indices().nth(CHARACTERS_MAX) {
        Some((at, _)) => format!("{}…", message.get(..at).unwrap_or_default()),
        None => message,
    }
}

/// A status after a pass that failed: `status` with the error in it. What was not seen is said to be unknown.
pub fn with_error(
    generation: Option<i64>,
    last: &[Condition],
    mut status: KVClusterStatus,
    error: &Error,
    now: Timestamp,
) -> KVClusterStatus {
    status.observed_generation = generation.unwrap_or_default();
    let set = |kind, value| condition(last, generation, kind, value, error.reason(), error.to_string(), now);
    let is_current =
        |condition: &Condition| condition.type_ == "Available" && condition.observed_generation == generation;
    let available = status.conditions.iter().find(|condition| is_current(condition)).cloned();
    let available = available.unwrap_or_else(|| set("Available", "Unknown"));
    let chaos = chaos_active(&status.conditions, generation);
    status.conditions = vec![available, set("Progressing", "True"), set("Degraded", "True"), set("Ready", "False")];
    status.conditions.extend(chaos);
    if matches!(error.reason(), Reason::ApplyRejected | Reason::Forbidden) {
        status.phase = Phase::Degraded;
    }
    status
}
