//! A KVCluster that this operator cannot read, such as one of a newer CRD: the status says so, and keeps what it said before.
//! Invariant: whose data it is (`clusterId`) and which experiments were begun is not forgotten; else data that is gone would be taken
//! for data that never was, and an experiment would run twice.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use kube::runtime::controller::Action;
use serde_json::{Map, Value, json};

use super::error::{Error, call_opt};
use super::events::{Happening, publish};
use super::names::Names;
use super::plan;
use super::reason::Reason;
use super::reconcile::{Context, raw, write_status};
use crate::crd::{KVCluster, Phase};

/// The status of a KVCluster whose spec cannot be read: as it was, so that whose data it is, and which experiments were begun, is not
/// forgotten; but for what nobody knows now.
fn status(recorded: Option<&Value>, metadata: &ObjectMeta, words: &str, now: Timestamp) -> Map<String, Value> {
    let mut status = recorded.and_then(Value::as_object).cloned().unwrap_or_default();
    let before: Vec<Condition> =
        status.remove("conditions").and_then(|before| serde_json::from_value(before).ok()).unwrap_or_default();
    let set = |kind, value| {
        plan::condition(&before, metadata.generation, kind, value, Reason::InvalidSpec, words.to_owned(), now)
    };
    let mut conditions =
        vec![set("Available", "Unknown"), set("Progressing", "False"), set("Degraded", "True"), set("Ready", "False")];
    let is_other = |condition: &&Condition| conditions.iter().all(|set| set.type_ != condition.type_);
    let others: Vec<Condition> = before.iter().filter(is_other).cloned().collect();
    conditions.extend(others);
    status.insert("phase".to_owned(), json!(Phase::Degraded));
    status.insert("conditions".to_owned(), json!(conditions));
    status.insert("observedGeneration".to_owned(), json!(metadata.generation.unwrap_or_default()));
    status
}

/// Says what cannot be read, and waits until it is another.
pub(super) async fn tell(context: &Context, metadata: &ObjectMeta, why: &str) -> Result<Action, Error> {
    let name = metadata.name.clone().unwrap_or_default();
    let names = Names { cluster: name.clone(), namespace: metadata.namespace.clone().unwrap_or_default() };
    let uid = metadata.uid.clone().unwrap_or_default();
    let words = format!("the KVCluster cannot be read: {why}; nothing was changed");
    let found = call_opt("read the status", raw(&context.client, &names).get(&name)).await?;
    let recorded = found.as_ref().and_then(|found| found.data.get("status"));
    let status = status(recorded, metadata, &words, Timestamp::now());
    write_status(&context.client, &names, &uid, &status).await?;
    let about = ObjectReference {
        api_version: Some(KVCluster::api_version(&()).into_owned()),
        kind: Some(KVCluster::kind(&()).into_owned()),
        name: Some(name),
        namespace: metadata.namespace.clone(),
        uid: Some(uid),
        ..ObjectReference::default()
    };
    publish(&context.recorder, &about, &[Happening::warning(Reason::InvalidSpec, words)]).await;
    Ok(Action::await_change())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Condition, ObjectMeta, Timestamp, json, status};

    #[test]
    fn what_was_known_is_kept_and_what_is_not_known_now_is_said() {
        let condition = |kind: &str, status: &str| {
            json!({"type": kind, "status": status, "reason": "R", "message": "m", "observedGeneration": 3,
                "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        let recorded = json!({
            "clusterId": "28e4", "layoutVersion": 1, "phase": "Running", "observedGeneration": 3, "ofANewerVersion": [1],
            "chaos": {"id": "cut-1", "pastIds": ["cut-0"]},
            "conditions": [condition("Available", "True"), condition("Degraded", "True"), condition("ChaosActive", "False")],
        });
        let metadata = ObjectMeta { generation: Some(4), ..ObjectMeta::default() };
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let status = status(Some(&recorded), &metadata, "the KVCluster cannot be read", now);
        for kept in ["clusterId", "layoutVersion", "chaos", "ofANewerVersion"] {
            assert_eq!(status.get(kept), recorded.get(kept), "{kept}");
        }
        assert_eq!(status.get("phase").unwrap(), "Degraded");
        assert_eq!(status.get("observedGeneration").unwrap(), 4);
        let conditions: Vec<Condition> = serde_json::from_value(status.get("conditions").unwrap().clone()).unwrap();
        let said: Vec<String> = conditions.iter().map(|c| format!("{}={} {}", c.type_, c.status, c.reason)).collect();
        let invalid = ["Available=Unknown", "Progressing=False", "Degraded=True", "Ready=False"];
        let invalid = invalid.map(|words| format!("{words} InvalidSpec"));
        assert_eq!(said, [&invalid[..], &["ChaosActive=False R".to_owned()]].concat());
        let since = |kind: &str| conditions.iter().find(|c| c.type_ == kind).unwrap().last_transition_time.0;
        assert!(since("Degraded") < now && since("Available") == now, "only what changed has a new time");
        assert!(super::status(None, &metadata, "x", now).contains_key("conditions"));
    }
}
