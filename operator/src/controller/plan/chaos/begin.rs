//! Whether an experiment may begin, and what is written down before it does.
//! Invariant: a refusal says everything that is missing at once, and leaves what was written down as it is.

use driftkv_proto::faults::{Experiment, Fault, ParseError, Refusal};

use super::{ChaosPlan, REFUSED, SOON, Scene, Verdict, after, for_nodes, hash, kills, micro, verdict};
use crate::controller::reason::Reason;
use crate::crd::{ChaosPhase, ChaosStatus, ChaosTarget};

/// So many ids of earlier experiments are kept.
const PAST_MAX: usize = 32;

/// Judges what is asked for while nothing is under way.
pub(super) fn judge(scene: &Scene<'_>, wanted: Option<Result<Experiment, ParseError>>) -> ChaosPlan {
    let recorded = scene.recorded.cloned();
    let outcome = match wanted {
        None => {
            let verdict = recorded.as_ref().map(verdict);
            return ChaosPlan { status: recorded, verdict, acts: Vec::new(), again: None };
        }
        Some(Err(error)) => Err((Reason::ChaosInvalid, error.to_string())),
        Some(Ok(experiment)) => check(scene, &experiment).map(|()| experiment),
    };
    match outcome {
        // Order: only written down here; nodes hear of it in the next look, when it stands on the server.
        Ok(experiment) => {
            let status = begin(scene, &experiment);
            ChaosPlan { verdict: Some(verdict(&status)), status: Some(status), acts: Vec::new(), again: Some(SOON) }
        }
        Err((reason, why)) => {
            let verdict = Verdict { holds: Some(false), reason, message: format!("nothing was injected: {why}") };
            ChaosPlan { status: recorded, verdict: Some(verdict), acts: Vec::new(), again: Some(REFUSED) }
        }
    }
}

fn check(scene: &Scene<'_>, experiment: &Experiment) -> Result<(), (Reason, String)> {
    if let Some(why) = experiment.unsupported() {
        return Err((Reason::ChaosInvalid, why.to_string()));
    }
    let is_past = |recorded: &ChaosStatus| recorded.id == experiment.id || recorded.past_ids.contains(&experiment.id);
    if scene.recorded.is_some_and(is_past) {
        let words =
            format!("an experiment of the id {} was begun before; change its id to run it again", experiment.id);
        return Err((Reason::ChaosIdUsed, words));
    }
    let mut missing = scene.missing.to_vec();
    missing.extend(not_started_to_allow(scene));
    if !missing.is_empty() {
        return Err((Reason::ChaosNotPermitted, missing.join("; ")));
    }
    let [n, r, w] = scene.quorums.map(|count| count as usize);
    experiment.quorum_check(scene.members, n, r, w).map_err(|refusal| {
        let reason = match refusal {
            Refusal::UnknownNodes { .. } => Reason::ChaosInvalid,
            Refusal::QuorumLoss { .. } => Reason::ChaosBlastRadius,
        };
        (reason, refusal.placed())
    })?;
    spares_what_is_left(scene, experiment).map_err(|words| (Reason::ChaosBlastRadius, words))
}

/// Nodes whose processes do not know yet that the spec allows faults.
fn not_started_to_allow(scene: &Scene<'_>) -> Option<String> {
    let is_deaf = |node: &&String| {
        let view = scene.nodes.get(*node);
        view.is_some_and(|view| view.faults.as_ref().is_ok_and(|faults| !faults.is_allowed))
    };
    let deaf: Vec<&str> = scene.members.iter().filter(is_deaf).map(String::as_str).collect();
    let words = || format!("{} was not started with spec.allowFaults yet; a rolling update brings it", deaf.join(", "));
    (!deaf.is_empty()).then(words)
}

/// Nodes that are away already count as disturbed. An experiment that disturbs nobody takes nothing from what is left.
fn spares_what_is_left(scene: &Scene<'_>, experiment: &Experiment) -> Result<(), String> {
    let mut disturbed = experiment.disturbed(scene.members);
    if disturbed.is_empty() || experiment.allow_quorum_loss {
        return Ok(());
    }
    let is_away = |node: &&String| !scene.nodes.get(*node).is_some_and(|view| view.is_ready && view.faults.is_ok());
    let away: Vec<String> = scene.members.iter().filter(is_away).cloned().collect();
    disturbed.extend(away.iter().cloned());
    let [n, r, w] = scene.quorums;
    let allowed = n.saturating_sub(r.max(w)) as usize;
    if disturbed.len() <= allowed {
        return Ok(());
    }
    Err(format!(
        "not ready: {}; with the nodes that it disturbs {} would be away, but N={n}, R={r}, W={w} survive {allowed}; it begins when \
         they are back, or with allowQuorumLoss: true",
        away.join(", "),
        disturbed.len(),
    ))
}

fn begin(scene: &Scene<'_>, experiment: &Experiment) -> ChaosStatus {
    let started_at = micro(scene.now);
    let mut past_ids = scene.recorded.map(|last| last.past_ids.clone()).unwrap_or_default();
    past_ids.extend(scene.recorded.map(|last| last.id.clone()));
    past_ids.drain(..past_ids.len().saturating_sub(PAST_MAX));
    let target = |node: &String| ChaosTarget { node: node.clone(), ..ChaosTarget::default() };
    let is_for_nodes = for_nodes(experiment).is_some();
    ChaosStatus {
        id: experiment.id.clone(),
        hash: hash(experiment),
        phase: ChaosPhase::Requested,
        seed: experiment.seed.to_string(),
        ends_at: after(started_at.0, experiment.for_ms),
        message: String::new(),
        targets: scene.members.iter().filter(|_| is_for_nodes).map(target).collect(),
        kills: experiment.faults.iter().flat_map(|fault| kills_of(scene, fault, started_at.0)).collect(),
        counted_at: started_at.clone(),
        past_ids,
        started_at,
    }
}

fn kills_of(scene: &Scene<'_>, fault: &Fault, started: k8s_openapi::jiff::Timestamp) -> Vec<crate::crd::ChaosKill> {
    let Fault::Crash { after_ms, .. } = fault else { return Vec::new() };
    let hit = scene.members.iter().filter(|node| fault.matches_node(node));
    hit.map(|node| kills::asked(node, after(started, *after_ms))).collect()
}
