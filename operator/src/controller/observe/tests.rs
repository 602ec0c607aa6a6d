#![allow(clippy::unwrap_used)]

use driftkv_proto::v1::{StartedWith, StatusReply};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::pods::{PodView, view};
use super::{at, meant, zone};
use crate::controller::names::Names;
use crate::crd::ZoneSource;

fn names() -> Names {
    Names { cluster: "demo".to_owned(), namespace: "db".to_owned() }
}

/// The view of a pod of the StatefulSet with this status, at second 100.
fn seen(status: Value) -> PodView {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {
            "name": "demo-1", "uid": "u", "labels": {"controller-revision-hash": "r1"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "demo", "uid": "set", "controller": true}],
        },
        "status": status,
    }))
    .unwrap();
    let now = Timestamp::from_second(100).unwrap();
    assert!(view(&names(), Some("another"), pod.clone(), now).is_none());
    view(&names(), Some("set"), pod, now).unwrap().1
}

fn at_second(second: i64) -> String {
    Timestamp::from_second(second).unwrap().to_string()
}

#[test]
fn a_pod_that_waits_for_a_person_is_stuck_and_one_on_its_way_is_not() {
    let waiting = |reason: &str| {
        let state = json!({"waiting": {"reason": reason, "message": "words"}});
        let last = json!({"terminated": {"exitCode": 2}});
        let container = json!({"name": "node", "image": "", "imageID": "", "ready": false, "restartCount": 3, "state": state, "lastState": last});
        seen(json!({"phase": "Running", "podIP": "10.0.0.1", "containerStatuses": [container]})).stuck
    };
    assert_eq!(waiting("CrashLoopBackOff").unwrap(), "CrashLoopBackOff: words (it ended with code 2)");
    assert!(waiting("ErrImagePull").is_some());
    assert_eq!(waiting("ContainerCreating"), None);
    let unplaced = |since: i64| {
        let condition = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room", "lastTransitionTime": at_second(since)});
        seen(json!({"phase": "Pending", "conditions": [condition]})).stuck
    };
    assert_eq!(unplaced(90), None, "its volume may be on its way");
    assert_eq!(unplaced(20).unwrap(), "no machine takes it: no room");
    assert!(seen(json!({"phase": "Failed", "reason": "Evicted"})).stuck.unwrap().contains("Evicted"));
}

#[test]
fn a_pod_is_late_only_after_a_while() {
    let pod = |since: i64| {
        let condition = json!({"type": "Ready", "status": "False", "lastTransitionTime": at_second(since)});
        seen(json!({"phase": "Running", "podIP": "10.0.0.1", "conditions": [condition]}))
    };
    assert_eq!([pod(95).is_late, pod(20).is_late, pod(20).is_ready], [false, true, false]);
    assert_eq!(pod(20).ip.as_deref(), Some("10.0.0.1"));
    assert_eq!(seen(json!({"phase": "Pending", "podIP": "10.0.0.1"})).ip, None);
}

#[test]
fn only_the_node_that_was_meant_is_listened_to() {
    let reply = |name: &str, peer_address: &str| StatusReply {
        name: name.to_owned(),
        started_with: Some(StartedWith { peer_address: peer_address.to_owned(), ..StartedWith::default() }),
        ..StatusReply::default()
    };
    let ours = "demo-1.demo-nodes.db.svc:7401";
    assert!(meant(&names(), "demo-1", reply("demo-1", ours)).is_ok());
    assert!(meant(&names(), "demo-1", reply("demo-2", ours)).is_err());
    assert!(meant(&names(), "demo-1", reply("demo-1", "demo-1.demo-nodes.other.svc:7401")).is_err());
}

#[test]
fn zones_come_from_the_best_source_there_is() {
    let name = |text: &str| Some(text.to_owned());
    let told = |by_node, by_pod| {
        let zone = zone(by_node, by_pod, "machine-7");
        (zone.name, zone.source)
    };
    assert_eq!(told(name("a"), name("b")), ("a".to_owned(), ZoneSource::Nodes));
    assert_eq!(told(None, name("b")), ("b".to_owned(), ZoneSource::Pods));
    assert_eq!(told(None, None), ("machine-7".to_owned(), ZoneSource::NodeNames));
}

#[test]
fn addresses_of_both_families_can_be_dialled() {
    assert_eq!([at("10.0.0.1", 7402), at("fd00::1", 7402)], ["10.0.0.1:7402", "[fd00::1]:7402"]);
}
