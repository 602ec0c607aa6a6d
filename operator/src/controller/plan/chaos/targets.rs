//! One node of an experiment: requested -> injected -> recovered, or failed, by what the node itself says.
//! Invariant: what a node does not say is not taken for said; only the time that its own clock needs ends the waiting.

use driftkv_proto::v1::{ActiveExperiment, FaultCounters};
use k8s_openapi::jiff::SignedDuration;

use super::{Act, NodeView, Scene};
use crate::crd::{ChaosPhase, ChaosState, ChaosStatus, ChaosTarget};

/// Less time is not worth an injection.
const LEFT_MS_MIN: i64 = 200;
/// A node got its remaining time at the latest a call's deadline after it was computed, and ends the experiment by itself then.
const OWN_END: SignedDuration = SignedDuration::from_secs(5);

/// How far it is now, and what is to be done there. `text`: for nodes; `None`: nothing.
pub(super) fn advance(
    scene: &Scene<'_>,
    recorded: &ChaosStatus,
    phase: ChaosPhase,
    text: Option<&str>,
    target: &mut ChaosTarget,
) -> Option<Act> {
    if matches!(target.state, ChaosState::Recovered | ChaosState::Failed) {
        return None;
    }
    let faults = match scene.nodes.get(&target.node).map(|NodeView { faults, .. }| faults) {
        Some(Ok(faults)) => faults,
        Some(Err(why)) => return silent(scene, recorded, phase, target, why),
        None => return silent(scene, recorded, phase, target, "it has no pod that runs"),
    };
    let found = faults.experiments.iter().find(|experiment| experiment.id == recorded.id);
    if let Some(found) = found {
        count(target, found);
    }
    target.message = None;
    match found.map(|found| found.state.as_str()) {
        Some("active") => {
            target.state = ChaosState::Injected;
            let is_late = overdue(scene, recorded) >= SignedDuration::from_secs(1);
            let is_to_end = phase.is_over() && (phase != ChaosPhase::Ended || is_late);
            is_to_end.then(|| Act::Clear { node: target.node.clone(), id: recorded.id.clone() })
        }
        Some(_) => {
            target.state = ChaosState::Recovered;
            if !phase.is_over() {
                target.message = Some("it was ended there by somebody else".to_owned());
            }
            None
        }
        None => unknown_there(scene, recorded, phase, text, target),
    }
}

/// The node does not know the experiment: it did not get it yet, or has restarted since, and then is left out, as everywhere.
fn unknown_there(
    scene: &Scene<'_>,
    recorded: &ChaosStatus,
    phase: ChaosPhase,
    text: Option<&str>,
    target: &mut ChaosTarget,
) -> Option<Act> {
    if target.state == ChaosState::Injected {
        target.state = ChaosState::Recovered;
        target.message = Some("it restarted meanwhile, and is in it no more".to_owned());
        return None;
    }
    if phase.is_over() {
        let was_late = phase == ChaosPhase::Ended;
        target.state = if was_late { ChaosState::Failed } else { ChaosState::Recovered };
        target.message = Some("it never had it".to_owned());
        return None;
    }
    let left_ms = recorded.ends_at.0.duration_since(scene.now).as_millis();
    let left_ms = i64::try_from(left_ms).ok().filter(|left_ms| *left_ms >= LEFT_MS_MIN)?;
    Some(Act::Inject { node: target.node.clone(), text: text?.to_owned(), left_ms: left_ms.unsigned_abs() })
}

fn silent(
    scene: &Scene<'_>,
    recorded: &ChaosStatus,
    phase: ChaosPhase,
    target: &mut ChaosTarget,
    why: &str,
) -> Option<Act> {
    target.message = Some(format!("it does not answer ({why})"));
    if phase.is_over() && overdue(scene, recorded) >= OWN_END {
        target.state = ChaosState::Failed;
        target.message = Some(format!("its own clock has ended it, if it had it; it does not answer ({why})"));
    }
    None
}

/// For how long the experiment should have ended.
fn overdue(scene: &Scene<'_>, recorded: &ChaosStatus) -> SignedDuration {
    scene.now.duration_since(recorded.ends_at.0)
}

/// The sum over the faults of the experiment.
fn count(target: &mut ChaosTarget, found: &ActiveExperiment) {
    let sum = |of: fn(&FaultCounters) -> u64| found.faults.iter().map(of).sum();
    target.seen = sum(|fault| fault.seen);
    target.delayed = sum(|fault| fault.delayed);
    target.dropped = sum(|fault| fault.dropped);
    target.duplicated = sum(|fault| fault.duplicated);
    target.reordered = sum(|fault| fault.reordered);
    target.activations = sum(|fault| fault.activations);
}
