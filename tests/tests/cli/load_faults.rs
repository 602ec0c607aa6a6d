//! `driftkv lab load --chaos` where the experiment does not go as planned: what is told, kept, and how the command ends.

use std::fs;
use std::net::TcpStream;

use serde_json::Value;

use crate::harness::{Up, manifest};
use crate::load::load;

fn words(text: &str) -> Vec<&str> {
    load(&text.split_whitespace().collect::<Vec<_>>())
}

fn kept(up: &Up, file: &str) -> String {
    fs::read_to_string(up.directory.path().join("run").join(file)).unwrap()
}

#[test]
fn an_experiment_that_did_not_begin_fails_the_load_and_says_why_once() {
    let up = Up::start(&manifest(3, "").replace("allowFaults: true", "allowFaults: false"));
    fs::write(
        up.directory.path().join("pause.yaml"),
        "id: nap\nfor: 3s\nfaults: [{kind: pause, node: t-0, down: 1s}]\n",
    )
    .unwrap();

    // Over before its moment: nothing is asked of the nodes, not even to end it.
    let outcome = up.driftkv(&words("--ops 20 --chaos pause.yaml --chaos-at 30m -o json"));
    let results = outcome.ended(1).told(&["experiment nap did not begin: the run was over", "--chaos-at"]);
    assert!(!results.stderr.contains("may go on"), "{}", results.stderr);
    let results = results.json();
    assert_eq!((&results["ok"], &results["faults"][0]["began_s"]), (&20.into(), &Value::Null));
    let known = up.driftkv(&words("--duration 1s --chaos pause.yaml"));
    known.ended(2).told(&["--chaos-at", "Nothing was sent"]);

    // Refused by the nodes: their reason, once, at its moment and in the files.
    let refused = up.driftkv(&words("--rate 50 --duration 2s --chaos pause.yaml --chaos-at 500ms --out run"));
    let told = refused.stderr.as_str();
    assert!(refused.code != 0 && told.matches("did not begin: ").count() == 1, "{told}");
    assert!(!told.contains("may go on") && refused.text().contains("experiment nap did not begin: "), "{told}");
    assert!(kept(&up, "faults.jsonl").starts_with("{\"event\":\"refused\",\"id\":\"nap\""));
    assert!(kept(&up, "summary.txt").contains("did not begin: "));
}

#[test]
fn a_node_that_crashed_has_forgotten_the_experiment_which_ended_it() {
    let up = Up::start(&manifest(3, ""));
    fs::write(up.directory.path().join("crash.yaml"), "id: bang\nfor: 60s\nfaults: [{kind: crash, node: t-2}]\n")
        .unwrap();
    let (first, admin) = (up.pid("t-2"), format!("127.0.0.1:{}", up.base_port + 22));
    let is_back = || up.pid("t-2") != first && TcpStream::connect(&admin).is_ok();
    let words = words("--rate 50 --duration 30m --chaos crash.yaml --chaos-at 500ms --out run -o json");
    let outcome = up.interrupted(&words, is_back).ended(0).told(&["experiment bang began on 3 nodes"]);
    assert!(!outcome.stderr.contains("may go on"), "{}", outcome.stderr);
    let fault = outcome.json()["faults"][0].clone();
    assert!(fault["is_evident"] == true && fault["ended_s"].as_f64() > fault["began_s"].as_f64(), "{fault}");
    let lines = kept(&up, "faults.jsonl");
    assert!(
        lines.contains("\"node\":\"t-2\",\"state\":\"forgotten\"") && lines.contains("\"state\":\"cleared\""),
        "{lines}"
    );
}
