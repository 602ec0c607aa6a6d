//! What of the wanted objects is not so, what stands in the way, and what is there in excess.
//! Invariants: an object that already holds all that is asked for is not written, so that a settled cluster is never written;
//! an object of somebody else is neither written nor deleted; fields that we do not ask for are left alone.

use serde_json::Value;

use super::quantity::is_same;
use super::{Change, Doomed, Inputs};
use crate::controller::kind::Kind;
use crate::controller::observe::Found;
use crate::controller::reason::Reason;

/// The difference between what is wanted and what is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Drift {
    pub(super) apply: Vec<Change>,
    pub(super) orphans: Vec<Doomed>,
    /// The first thing in the way, in words.
    pub(super) obstacle: Option<(Reason, String)>,
}

pub(super) fn compare(inputs: &Inputs<'_>) -> Drift {
    let mut drift = Drift::default();
    let observed = inputs.observed;
    for wanted in inputs.wanted.iter().filter(|wanted| !observed.kinds_absent.contains(&wanted.kind)) {
        match observed.object(wanted.kind, &wanted.name) {
            None => drift.apply.push(Change { wanted: wanted.clone(), exists: false }),
            Some(found) => match obstacle(found, inputs.uid()) {
                Some(obstacle) => drift.obstacle = drift.obstacle.or(Some(obstacle)),
                // With it the hash of what was asked for: so a field that is no longer asked for is noticed too.
                None if holds(&found.body, &wanted.body) => {}
                None => drift.apply.push(Change { wanted: wanted.clone(), exists: true }),
            },
        }
    }
    let is_wanted = |found: &Found| inputs.wanted.iter().any(|w| w.kind == found.kind && w.name == found.name);
    let is_ours = |found: &Found| found.is_labelled && found.owner.as_deref() == Some(inputs.uid());
    let orphans = observed.objects.iter().filter(|found| is_ours(found) && !is_wanted(found) && !found.is_deleting);
    drift.orphans =
        orphans.map(|found| Doomed { kind: found.kind, name: found.name.clone(), uid: found.uid.clone() }).collect();
    drift
}

/// Why an object of a name that we need may not be written. One that lost its owner (`--cascade=orphan`) is taken back.
fn obstacle(found: &Found, uid: &str) -> Option<(Reason, String)> {
    let Found { kind, name, .. } = found;
    if found.is_labelled && (found.is_deleting || found.owner.as_deref().is_some_and(|owner| owner != uid)) {
        let words =
            format!("{kind} {name} of an earlier KVCluster of this name is still there; waiting until it is gone");
        return Some((Reason::WaitingForDeletion, words));
    }
    let is_ours = found.is_labelled && found.owner.as_deref().is_none_or(|owner| owner == uid);
    let words = || format!("{kind} {name} exists and is not the operator's; rename it, or the KVCluster");
    (!is_ours).then(|| (Reason::NameTaken, words()))
}

/// Whether `live` has all that `wanted` asks for. What the server or others added is not looked at: fields of objects, and
/// elements of lists that are told apart by a key. All other lists must be the same.
pub fn holds(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().all(|(key, wanted)| match live.get(key) {
            Some(live) => holds(live, wanted),
            // The server leaves out what is empty.
            None => wanted.as_object().is_some_and(|map| map.is_empty()) || wanted.as_str().is_some_and(str::is_empty),
        }),
        (Value::Array(live), Value::Array(wanted)) => match wanted.first().and_then(merge_key) {
            Some(key) => wanted
                .iter()
                .all(|wanted| live.iter().any(|live| live.get(key) == wanted.get(key) && holds(live, wanted))),
            None => live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| holds(live, wanted)),
        },
        (Value::String(live), Value::String(wanted)) => live == wanted || is_same(live, wanted),
        _ => live == wanted,
    }
}

/// By what server-side apply tells the elements of such a list apart.
fn merge_key(element: &Value) -> Option<&'static str> {
    let keys = ["name", "mountPath", "topologyKey", "uid"];
    keys.into_iter().find(|key| element.get(key).is_some())
}

impl Drift {
    /// Whether the StatefulSet is still to be made.
    pub(super) fn makes_nodes(&self) -> bool {
        self.apply.iter().any(|change| change.wanted.kind == Kind::StatefulSet && !change.exists)
    }
}
