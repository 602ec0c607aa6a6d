//! What matters of a pod.
//! Invariant: what every pod passes through on its way up (no machine yet, not ready yet) is no trouble before [`PATIENCE_S`].

use k8s_openapi::api::core::v1::{ContainerState, Pod, PodCondition};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::super::names::{LABEL_ZONE, Names};

/// How long a pod may take to be placed, and to become ready, before that is worth a person's attention.
const PATIENCE_S: i64 = 30;

/// A pod of the StatefulSet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodView {
    /// Its ordinal in the StatefulSet.
    pub ordinal: u32,
    /// Its name.
    pub name: String,
    /// Which of that name.
    pub uid: String,
    /// The revision of the StatefulSet that it was made from.
    pub revision: String,
    /// Its IP, if it has one and its container runs.
    pub ip: Option<String>,
    /// The machine that it is on.
    pub machine: Option<String>,
    /// The zone that its own label names.
    pub zone_label: Option<String>,
    /// Whether it is ready.
    pub is_ready: bool,
    /// Whether it has not been ready for longer than a start takes.
    pub is_late: bool,
    /// Whether it is about to go.
    pub is_deleting: bool,
    /// Why it will not come up by itself, if that is so.
    pub stuck: Option<String>,
}

/// `None`: it belongs to another StatefulSet of that name, or has no ordinal.
pub(super) fn view(names: &Names, set: Option<&str>, pod: Pod, now: Timestamp) -> Option<(u32, PodView)> {
    let owner = pod.owner_references().iter().find(|owner| owner.controller == Some(true));
    if owner.map(|owner| owner.uid.as_str()) != set {
        return None;
    }
    let name = pod.name_any();
    let ordinal = names.ordinal(&name)?;
    let status = pod.status.clone().unwrap_or_default();
    let holds = |kind: &str| status.conditions.iter().flatten().any(|c| c.type_ == kind && c.status == "True");
    let unready = status.conditions.iter().flatten().find(|c| c.type_ == "Ready" && c.status != "True");
    let is_running = status.phase.as_deref() == Some("Running");
    let view = PodView {
        ordinal,
        uid: pod.uid().unwrap_or_default(),
        revision: pod.labels().get("controller-revision-hash").cloned().unwrap_or_default(),
        ip: status.pod_ip.clone().filter(|_| is_running),
        machine: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        zone_label: pod.labels().get(LABEL_ZONE).cloned(),
        is_ready: holds("Ready"),
        is_late: unready.is_some_and(|condition| is_old(condition, now)),
        is_deleting: pod.metadata.deletion_timestamp.is_some(),
        stuck: stuck(&pod, now),
        name,
    };
    Some((ordinal, view))
}

/// States in which Kubernetes waits for a change that only a person or the operator makes.
const STUCK: [&str; 8] = [
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

fn is_old(condition: &PodCondition, now: Timestamp) -> bool {
    let since = condition.last_transition_time.as_ref();
    since.is_some_and(|since| now.as_second().saturating_sub(since.0.as_second()) >= PATIENCE_S)
}

fn stuck(pod: &Pod, now: Timestamp) -> Option<String> {
    let status = pod.status.as_ref()?;
    if status.phase.as_deref() == Some("Failed") {
        let why = status.reason.as_deref().or(status.message.as_deref()).unwrap_or("its container ended");
        return Some(format!("the pod failed: {why}"));
    }
    let unschedulable = status.conditions.iter().flatten().find(|condition| {
        condition.type_ == "PodScheduled"
            && condition.reason.as_deref() == Some("Unschedulable")
            && is_old(condition, now)
    });
    if let Some(condition) = unschedulable {
        return Some(format!("no machine takes it: {}", condition.message.as_deref().unwrap_or_default()));
    }
    status.container_statuses.iter().flatten().find_map(|container| {
        let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref())?;
        let reason = waiting.reason.as_deref().filter(|reason| STUCK.contains(reason))?;
        let message = waiting.message.as_deref().unwrap_or_default();
        let last = container.last_state.as_ref().map(ended).unwrap_or_default();
        Some(format!("{reason}: {message}{last}"))
    })
}

/// How the last run ended.
fn ended(state: &ContainerState) -> String {
    let ended = state.terminated.as_ref();
    ended.map_or_else(String::new, |ended| format!(" (it ended with code {})", ended.exit_code))
}
