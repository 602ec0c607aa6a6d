//! The picture of a cluster, as a whole text.
#![allow(clippy::unwrap_used)]

use driftkv_proto::v1::{Layout, Member, StatusReply};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::super::{Cluster, Look, Seen, Silent};
use crate::endpoints::AdminEndpoint;
use crate::error::Failure;
use crate::style::Paint;

fn node(index: u64) -> Value {
    json!({"name": format!("demo-{index}"), "state": "serving", "ready": true, "incarnation": format!("{index:016x}"),
        "version": "0.1.0", "zone": format!("zone-{index}"), "hintsOwed": index, "partitions": 64 * (1 - index)})
}

fn look(answers: bool) -> Look {
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let object = json!({
        "metadata": {"name": "demo", "generation": 1, "annotations": {
            "chaos.driftkv.io/experiment": "{id: cut, for: 6m, faults: [{kind: drop, between: [demo-0, demo-1], rate: 5%}]}"}},
        "spec": {"replicas": 2, "partitions": 64, "replicationFactor": 2, "readQuorum": 1, "writeQuorum": 2, "sloppy": true},
        "status": {
            "phase": "Degraded", "layoutVersion": 1, "clusterId": "00ff", "observedGeneration": 1,
            "conditions": [condition("Ready", "False", "NodesNotReady", "demo-1 is not ready"),
                condition("Available", "True", "QuorumServing", "")],
            "nodes": [node(0), node(1)],
            "endpoints": {"client": "demo.shop.svc:7400", "nodes": ["demo-0:7400", "demo-1:7400"], "admin": ["demo-0:7402"]},
            "chaos": {"id": "cut", "phase": "Active", "endsAt": "2026-01-01T00:05:30Z",
                "targets": [{"node": "demo-0", "state": "Injected", "seen": 7, "dropped": 3}]},
        },
    });
    let pods = (0..2).map(|index| {
        json!({"metadata": {"name": format!("demo-{index}"), "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"nodeName": "machine-1.of.a.very.long.domain", "containers": []}, "status": {"phase": "Running"}})
    });
    let pods = pods.map(|pod| serde_json::from_value(pod).unwrap()).collect();
    let endpoint = |name: &str| AdminEndpoint { name: name.to_owned(), address: "a:1".to_owned() };
    let status = StatusReply {
        name: "demo-0".to_owned(),
        state: "stopping".to_owned(),
        incarnation: 0xab,
        version: "0.1.0".to_owned(),
        partitions_owned: 64,
        partitions_built: 60,
        ..StatusReply::default()
    };
    let said = vec![(endpoint("demo-0"), Ok(status)), (endpoint("demo-1"), Err(Failure::unavailable("demo-1: gone")))];
    let member = |name: &str| Member { name: name.to_owned(), ..Member::default() };
    let layout = Layout {
        version: 1,
        partitions: 64,
        replication_factor: 2,
        members: vec![member("demo-0"), member("demo-1")],
        owners: [0, 1].repeat(64),
        ..Layout::default()
    };
    let layout = answers.then_some(layout);
    Look {
        namespace: "shop".to_owned(),
        now: Timestamp::from_second(1_767_225_900).unwrap(),
        cluster: Cluster { name: "demo".to_owned(), object },
        pods,
        seen: Seen {
            answers: if answers { said } else { Vec::new() },
            silent: Silent::new(),
            layout,
            divergence: None,
        },
        gaps: vec!["read the admin token: not allowed".to_owned()],
    }
}

#[test]
fn a_cluster_reads_as_this_in_a_hundred_columns() {
    let text = look(true).text(Paint::off(), 100);
    assert_eq!(text, include_str!("hundred.txt"), "\n{text}");
}

#[test]
fn a_narrow_terminal_has_fewer_columns_and_no_longer_lines() {
    let text = look(true).text(Paint::off(), 80);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "\n{text}");
    assert!(!text.contains("INCARNATION") && text.contains("HINTS OWED"), "\n{text}");
}

#[test]
fn without_an_answer_of_the_nodes_the_operators_last_look_is_shown() {
    let text = look(false).text(Paint::off(), 100);
    assert!(text.contains("demo-1  serving"), "\n{text}");
}
