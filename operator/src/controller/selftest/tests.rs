#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::{LABEL_SELFTEST, Selftest, conditions, is_ready, pod_in_words, wanted};
use crate::crd::KVCluster;

fn args() -> Selftest {
    Selftest {
        namespace: "db".to_owned(),
        name: "selftest-1".to_owned(),
        image: None,
        storage_size: "64Mi".to_owned(),
        storage_class: None,
        timeout: Duration::from_secs(60),
    }
}

/// The cluster of a selftest with this status.
fn cluster(status: Value) -> KVCluster {
    let mut cluster = wanted(&args()).unwrap();
    cluster.metadata.generation = Some(2);
    cluster.status = serde_json::from_value(status).unwrap();
    cluster
}

fn condition(kind: &str, status: &str, reason: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": "words", "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

#[test]
fn the_cluster_of_a_selftest_is_marked_and_asks_for_what_was_said() {
    let made =
        wanted(&Selftest { image: Some("x:1".to_owned()), storage_class: Some("fast".to_owned()), ..args() }).unwrap();
    assert_eq!(made.metadata.labels.unwrap()[LABEL_SELFTEST], "true");
    assert_eq!((made.spec.replicas, made.spec.image.as_deref()), (3, Some("x:1")));
    assert_eq!((made.spec.storage.size.as_str(), made.spec.storage.class_name.as_deref()), ("64Mi", Some("fast")));
    assert_eq!(wanted(&args()).unwrap().spec.image, None, "that of the operator is what is tried");
}

#[test]
fn ready_counts_only_for_the_newest_spec() {
    let with = |generation: i64, status: &str| {
        is_ready(&cluster(
            json!({"observedGeneration": generation, "conditions": [condition("Ready", status, "AsSpecified")]}),
        ))
    };
    assert!(with(2, "True"));
    assert!(!with(1, "True") && !with(2, "False") && !with(2, "Unknown"));
    assert!(!is_ready(&cluster(Value::Null)));
}

#[test]
fn a_failure_says_which_conditions_and_pods_are_in_the_way() {
    let seen = cluster(
        json!({"conditions": [condition("Degraded", "True", "NodeStuck"), condition("Ready", "True", "AsSpecified")]}),
    );
    assert_eq!(conditions(seen.status.as_ref()), "Degraded=True (NodeStuck: words)");
    assert!(conditions(None).contains("no operator"));
    let waiting = json!({"name": "node", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": "ErrImagePull"}}});
    let pod: Pod = serde_json::from_value(
        json!({"metadata": {"name": "selftest-1-0"}, "status": {"phase": "Pending", "containerStatuses": [waiting]}}),
    )
    .unwrap();
    assert_eq!(pod_in_words(&pod), "selftest-1-0 Pending (ErrImagePull)");
    assert_eq!(pod_in_words(&Pod::default()), " without a phase");
}
