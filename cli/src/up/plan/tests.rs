//! What a manifest becomes on this machine, and what is refused before anything starts.
#![allow(clippy::unwrap_used)]

use std::net::TcpListener;
use std::path::Path;

use super::{Plan, manifest};
use crate::error::{Exit, Failure};
use crate::style::Paint;

const LOCAL: &str = include_str!("../../../../examples/local.yaml");

fn plan(base_port: u16) -> Result<Plan, Failure> {
    Plan::new(&manifest(LOCAL, "local.yaml")?, Path::new("/data"), base_port)
}

#[test]
fn the_example_becomes_five_nodes_ten_ports_apart() {
    let plan = plan(7400).unwrap();
    let nodes: Vec<_> = plan.nodes.iter().map(|node| (node.name.as_str(), node.ports)).collect();
    assert_eq!(nodes.first(), Some(&("demo-0", [7400, 7401, 7402, 7403])));
    assert_eq!(nodes.last(), Some(&("demo-4", [7440, 7441, 7442, 7443])));
    let node = plan.nodes.first().unwrap();
    assert_eq!(node.data, Path::new("/data/demo-0/data"));
    assert_eq!(node.log, Path::new("/data/demo-0/log"));
    assert!(node.arguments.contains(&"--allow-faults".into()));
}

#[test]
fn a_bad_manifest_is_bad_input_and_names_file_and_field() {
    let failure = manifest(&LOCAL.replace("readQuorum: 2", "readQuorum: 4"), "local.yaml").unwrap_err();
    assert_eq!(failure.exit, Exit::Usage);
    assert!(failure.message.starts_with("local.yaml: spec.readQuorum is 4"), "{}", failure.message);
}

#[test]
fn ports_beyond_the_last_one_are_refused() {
    let failure = plan(65_500).unwrap_err();
    assert!(failure.message.contains("node 4 would need port 65543"), "{}", failure.message);
}

#[test]
fn a_port_in_use_is_named_with_its_node_and_purpose() {
    // Somebody else's ports may be taken too; what matters is that ours is among those named.
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let failure = plan(port - 12).unwrap().check_ports().unwrap_err();
    assert!(failure.message.contains(&format!("port {port} (admin of demo-1)")), "{}", failure.message);
    assert!(failure.hint.contains("--base-port"));
}

#[test]
fn a_resumed_directory_keeps_what_cannot_change() {
    let before = plan(7400).unwrap().cluster_file();
    assert_eq!(plan(7400).unwrap().check_resumes(&before), Ok(()));
    let failure = plan(8400).unwrap().check_resumes(&before).unwrap_err();
    assert!(failure.message.contains("base port: the data has 7400, now it would be 8400"), "{}", failure.message);
    let four = manifest(&LOCAL.replace("replicas: 5", "replicas: 4"), "local.yaml").unwrap();
    let failure = Plan::new(&four, Path::new("/data"), 7400).unwrap().check_resumes(&before).unwrap_err();
    assert!(failure.message.contains("nodes: the data has demo-0"), "{}", failure.message);
}

#[test]
fn nodes_are_spread_over_the_zones_in_turn() {
    let text = LOCAL.replace("replicas: 5", "replicas: 5\n  zones: [a, b, c]");
    let plan = Plan::new(&manifest(&text, "local.yaml").unwrap(), Path::new("/data"), 7400).unwrap();
    let zones: Vec<&str> = plan.nodes.iter().map(|node| node.zone.as_str()).collect();
    assert_eq!(zones, ["a", "b", "c", "a", "b"]);
    assert!(plan.table(Paint::off(), &[None; 5]).contains("demo-4  b     127.0.0.1:7440"));
}

#[test]
fn the_table_has_a_line_for_each_node() {
    let table = plan(7400).unwrap().table(Paint::off(), &[Some(7), None, None, None, None]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 6);
    assert_eq!(lines.get(1), Some(&"demo-0  127.0.0.1:7400  127.0.0.1:7402  127.0.0.1:7403  7        demo-0/log"));
}
