//! Pods that an experiment kills: each once, by the UID that was written down before.
//! Invariant: requested -> (the UID is written down) -> injected when that very pod goes -> recovered when its successor is ready.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::{Act, Scene};
use crate::crd::{ChaosKill, ChaosPhase, ChaosState, ChaosStatus};

/// One that is yet to come.
pub(super) fn asked(node: &str, due_at: MicroTime) -> ChaosKill {
    ChaosKill { node: node.to_owned(), due_at, state: ChaosState::Requested, uid: None }
}

/// How far each is now; names the pod of one that is due.
pub(super) fn advance(scene: &Scene<'_>, recorded: &ChaosStatus) -> Vec<ChaosKill> {
    recorded.kills.iter().map(|kill| advance_one(scene, kill)).collect()
}

fn advance_one(scene: &Scene<'_>, kill: &ChaosKill) -> ChaosKill {
    let pod = scene.nodes.get(&kill.node);
    let mut next = kill.clone();
    match (kill.state, &kill.uid) {
        // A pod that is being made is waited for: the experiment asks for a crash of a node, not of nothing.
        (ChaosState::Requested, None) if scene.now >= kill.due_at.0 => next.uid = pod.map(|pod| pod.uid.clone()),
        (ChaosState::Requested, Some(uid)) if pod.is_none_or(|pod| pod.uid != *uid || pod.is_going) => {
            next.state = ChaosState::Injected;
        }
        (ChaosState::Injected, _) if pod.is_some_and(|pod| pod.is_ready) => next.state = ChaosState::Recovered,
        _ => {}
    }
    next
}

/// Those whose UID stands on the server, and whose pod is still that one.
pub(super) fn due(scene: &Scene<'_>, recorded: &ChaosStatus, next: &ChaosStatus) -> Vec<Act> {
    if !matches!(recorded.phase, ChaosPhase::Requested | ChaosPhase::Active) || next.phase.is_over() {
        return Vec::new();
    }
    let is_due = |kill: &&ChaosKill| {
        let pod = scene.nodes.get(&kill.node);
        kill.state == ChaosState::Requested
            && pod.is_some_and(|pod| Some(&pod.uid) == kill.uid.as_ref() && !pod.is_going)
    };
    let act = |kill: &ChaosKill| Some(Act::Kill { pod: kill.node.clone(), uid: kill.uid.clone()? });
    recorded.kills.iter().filter(is_due).filter_map(act).collect()
}
