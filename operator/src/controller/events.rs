//! Events of a KVCluster, for `kubectl describe`: one a step, with reasons out of the closed set.
//! Invariant: an event that cannot be written is only logged: no pass fails for want of one.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::{Event, EventType, Recorder};

use super::error::call;
use super::plan::CHAOS_ACTIVE;
use super::reason::Reason;

/// Longest note that the API server takes.
const NOTE_BYTES_MAX: usize = 1_000;

/// Something to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// Whether it is bad.
    pub is_warning: bool,
    /// Why.
    pub reason: String,
    /// In words.
    pub note: String,
    /// Kind and name of the object that it happened to, if not to the KVCluster itself. Events of the same reason about the same
    /// object are summed up.
    pub object: Option<(String, String)>,
}

impl Happening {
    /// Nothing to worry about.
    pub fn normal(reason: Reason, note: impl Into<String>) -> Happening {
        Happening { is_warning: false, reason: reason.to_string(), note: note.into(), object: None }
    }

    /// Somebody should look.
    pub fn warning(reason: Reason, note: impl Into<String>) -> Happening {
        Happening { is_warning: true, ..Happening::normal(reason, note) }
    }

    /// It happened to this object.
    pub fn to(self, kind: impl ToString, name: &str) -> Happening {
        Happening { object: Some((kind.to_string(), name.to_owned())), ..self }
    }
}

/// What changed in the conditions that is worth an event: Degraded or Ready, either way, a new reason of Degraded, and each step
/// of an experiment.
pub fn transitions(before: &[Condition], after: &[Condition]) -> Vec<Happening> {
    let find = |all: &[Condition], kind: &str| all.iter().find(|condition| condition.type_ == kind).cloned();
    let mut happenings = Vec::new();
    if let Some(now) = find(after, "Degraded") {
        let was = find(before, "Degraded");
        let is_new = was.as_ref().is_none_or(|was| was.status != now.status || was.reason != now.reason);
        if is_new && now.status == "True" {
            happenings.push(Happening { is_warning: true, reason: now.reason, note: now.message, object: None });
        }
    }
    if let Some(now) = find(after, "Ready") {
        let was_true = find(before, "Ready").is_some_and(|was| was.status == "True");
        if now.status == "True" && !was_true {
            let note = format!("ready: {}", now.message);
            happenings.push(Happening { is_warning: false, reason: now.reason, note, object: None });
        }
    }
    happenings.extend(find(after, CHAOS_ACTIVE).and_then(|now| experiment(find(before, CHAOS_ACTIVE), now)));
    happenings
}

/// A new step of an experiment; a refusal also when it has other words.
fn experiment(was: Option<Condition>, now: Condition) -> Option<Happening> {
    let is_bad = [
        Reason::ChaosInvalid,
        Reason::ChaosNotPermitted,
        Reason::ChaosBlastRadius,
        Reason::ChaosRefused,
        Reason::ChaosIdUsed,
    ]
    .iter()
    .any(|reason| reason.to_string() == now.reason);
    let is_new = was.is_none_or(|was| {
        was.status != now.status || was.reason != now.reason || (is_bad && was.message != now.message)
    });
    is_new.then_some(Happening { is_warning: is_bad, reason: now.reason, note: now.message, object: None })
}

/// Writes them, in order.
pub async fn publish(recorder: &Recorder, about: &ObjectReference, happenings: &[Happening]) {
    for happening in happenings {
        let event = Event {
            type_: if happening.is_warning { EventType::Warning } else { EventType::Normal },
            reason: happening.reason.clone(),
            note: Some(cut(&happening.note)),
            action: "Reconcile".to_owned(),
            secondary: happening.object.as_ref().map(|(kind, name)| ObjectReference {
                kind: Some(kind.clone()),
                name: Some(name.clone()),
                namespace: about.namespace.clone(),
                ..ObjectReference::default()
            }),
        };
        if let Err(error) = call("write an event", recorder.publish(&event, about)).await {
            tracing::warn!(%error, reason = %happening.reason, "an event was not written");
        }
    }
}

fn cut(note: &str) -> String {
    let end = (0..=note.len().min(NOTE_BYTES_MAX)).rev().find(|at| note.is_char_boundary(*at)).unwrap_or(0);
    note.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use k8s_openapi::jiff::Timestamp;

    use super::{Condition, Reason, cut, transitions};
    use crate::controller::plan::condition;

    fn of(kind: &str, value: &str, reason: Reason) -> Condition {
        condition(&[], Some(1), kind, value, reason, "words".to_owned(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn only_changes_are_told() {
        let well = [of("Degraded", "False", Reason::AsSpecified), of("Ready", "True", Reason::QuorumServing)];
        let ill = [of("Degraded", "True", Reason::NodeStuck), of("Ready", "False", Reason::NodeStuck)];
        let worse = [of("Degraded", "True", Reason::MixedClusters), of("Ready", "False", Reason::MixedClusters)];
        assert!(transitions(&well, &well).is_empty() && transitions(&ill, &ill).is_empty());
        assert_eq!(transitions(&well, &ill)[0].reason, "NodeStuck");
        assert_eq!(transitions(&ill, &worse)[0].reason, "MixedClusters");
        let again = transitions(&ill, &well);
        assert_eq!((again.len(), again[0].is_warning), (1, false));
    }

    #[test]
    fn each_step_of_an_experiment_is_told_once_and_a_refusal_is_a_warning() {
        let said = |value: &str, reason: Reason, words: &str| {
            [Condition { message: words.to_owned(), ..of("ChaosActive", value, reason) }]
        };
        let active = said("True", Reason::ChaosInjected, "at 4 of 5 nodes");
        let more = said("True", Reason::ChaosInjected, "at 5 of 5 nodes");
        let refused = said("False", Reason::ChaosInvalid, "line 3");
        let otherwise = said("False", Reason::ChaosInvalid, "line 4");
        let told = |before: &[Condition], after: &[Condition]| -> Vec<bool> {
            transitions(before, after).iter().map(|happening| happening.is_warning).collect()
        };
        assert_eq!(told(&[], &active), [false]);
        assert!(told(&active, &more).is_empty() && told(&refused, &refused).is_empty());
        assert_eq!((told(&active, &refused), told(&refused, &otherwise)), (vec![true], vec![true]));
    }

    #[test]
    fn long_notes_end_between_characters() {
        assert!(cut(&"ä".repeat(900)).len() <= 1_000);
    }
}
