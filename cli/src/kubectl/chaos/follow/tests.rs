//! Looks at a KVCluster in turn, and what is told of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::{Follower, Outcome, SILENT_MAX, STALE_MAX, is_settled, open, refusal};
use crate::kubectl::cluster::Cluster;

const TEXT: &str = "{id: slow, for: 10s}";
const SECOND: Duration = Duration::from_secs(1);

fn cluster(annotation: &str, chaos: Value, condition: Option<(&str, &str, &str)>) -> Cluster {
    let conditions: Vec<Value> = condition
        .iter()
        .map(|(status, reason, message)| {
            json!({"type": "ChaosActive", "status": status, "reason": reason, "message": message,
                "lastTransitionTime": "2026-01-01T00:00:00Z"})
        })
        .collect();
    let annotations = json!({"chaos.driftkv.io/experiment": annotation});
    let object =
        json!({"metadata": {"annotations": annotations}, "status": {"chaos": chaos, "conditions": conditions}});
    Cluster { name: "demo".to_owned(), object }
}

fn chaos(phase: &str, states: &[&str]) -> Value {
    let target =
        |(index, state): (usize, &&str)| json!({"node": format!("demo-{index}"), "state": state, "delayed": index});
    json!({"id": "slow", "phase": phase, "message": "", "endsAt": "2026-01-01T00:00:10Z",
        "targets": states.iter().enumerate().map(target).collect::<Vec<_>>()})
}

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn follower(before: &Cluster) -> Follower {
    Follower::new(before, TEXT, "slow")
}

#[test]
fn each_step_is_told_once_until_every_node_has_said_that_it_ended() {
    let mut follower = follower(&cluster("", Value::Null, None));
    let asked = cluster(TEXT, Value::Null, None);
    assert_eq!(follower.look(&asked, SECOND, start()), (Some("asked for".to_owned()), None));
    assert_eq!(follower.look(&asked, SECOND, start()), (None, None));
    let active = cluster(TEXT, chaos("Active", &["Injected", "Injected", "Requested"]), None);
    let line = "Active: asked at 1 of 3 nodes; injected at 2 of 3 nodes; 3 delayed, ends in 10s";
    assert_eq!(follower.look(&active, SECOND, start()), (Some(line.to_owned()), None));
    let later = "2026-01-01T00:00:01Z".parse().unwrap();
    assert_eq!(follower.look(&active, SECOND, later), (None, None), "the time left alone is no news");
    let ending = cluster(TEXT, chaos("Ended", &["Recovered", "Injected", "Recovered"]), None);
    assert_eq!(follower.look(&ending, SECOND, later).1, None, "a node has not said so");
    let ended = cluster(TEXT, chaos("Ended", &["Recovered", "Recovered", "Recovered"]), None);
    let line = "Ended: recovered at 3 of 3 nodes; 3 delayed";
    assert_eq!(follower.look(&ended, SECOND, later), (Some(line.to_owned()), Some(Outcome::Ended)));
}

#[test]
fn a_refusal_is_the_answer_and_one_from_before_is_not_until_the_operator_had_time() {
    let refused = |message: &str| cluster(TEXT, Value::Null, Some(("False", "ChaosNotPermitted", message)));
    let outcome = |why: &str| Some(Outcome::Refused(format!("ChaosNotPermitted: {why}")));
    assert_eq!(
        follower(&cluster("", Value::Null, None)).look(&refused("no label"), SECOND, start()).1,
        outcome("no label")
    );
    let mut again = follower(&refused("no label"));
    assert_eq!(again.look(&refused("no label"), SECOND, start()).1, None);
    assert_eq!(again.look(&refused("no spec"), SECOND, start()).1, outcome("no spec"));
    assert_eq!(again.look(&refused("no label"), STALE_MAX, start()).1, outcome("no label"));
}

#[test]
fn the_end_of_the_experiment_before_is_no_refusal_of_this_one() {
    let past = || json!({"id": "earlier", "phase": "Ended", "targets": []});
    let before = cluster("", past(), Some(("False", "ChaosCleared", "the annotation was removed")));
    let now = cluster(TEXT, past(), Some(("False", "ChaosEnded", "its time is over")));
    assert_eq!(follower(&before).look(&now, SECOND, start()).1, None);
    assert_eq!((refusal(&before), refusal(&now)), (None, None));
}

#[test]
fn what_others_do_and_what_nobody_does_is_told() {
    let before = cluster("", Value::Null, None);
    let other = cluster("{id: other, for: 1s}", Value::Null, None);
    assert!(matches!(follower(&before).look(&other, SECOND, start()).1, Some(Outcome::Cleared(_))));
    let asked = cluster(TEXT, Value::Null, None);
    assert_eq!(follower(&before).look(&asked, SILENT_MAX, start()).1, Some(Outcome::Silent));
    let mut refused = chaos("Refused", &["Failed", "Recovered"]);
    refused["message"] = json!("demo-0 refused it: no");
    let outcome = follower(&before).look(&cluster(TEXT, refused, None), SECOND, start()).1;
    assert_eq!(outcome, Some(Outcome::Refused("demo-0 refused it: no".to_owned())));
    let cleared = cluster("", chaos("Cleared", &["Recovered"]), None);
    assert!(matches!(follower(&before).look(&cleared, SECOND, start()).1, Some(Outcome::Cleared(_))));
}

#[test]
fn nodes_that_have_not_said_that_it_ended_keep_it_open() {
    let ending = cluster("", chaos("Cleared", &["Recovered", "Injected"]), None);
    assert_eq!((is_settled(&ending), open(&ending)), (false, vec!["demo-1".to_owned()]));
    assert!(is_settled(&cluster("", Value::Null, None)));
    assert!(!is_settled(&cluster("", chaos("Active", &[]), None)));
}
