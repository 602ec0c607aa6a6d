//! `up`: nothing starts after a mistake, a node that dies comes back, and a data directory resumes.

use std::fs;
use std::net::TcpListener;

use crate::harness::{Up, free_base_port, manifest, run, wait_for};

#[test]
fn a_bad_manifest_is_refused_with_its_place_before_anything_starts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let refused = |text: &str| {
        fs::write(path.join("bad.yaml"), text).unwrap();
        let outcome = run(&["up", "-f", "bad.yaml", "--data", "made"], path, b"").ended(2);
        assert!(!path.join("made").exists(), "{}", outcome.stderr);
        outcome
    };
    refused(&manifest(3, "  replica: 4\n")).told(&["bad.yaml:9:3: ", "replica"]);
    refused(&manifest(3, "  sloppy: maybe\n")).told(&["bad.yaml:9:11: expected true or false"]);
    refused(&manifest(3, "  readQuorum: 4\n")).told(&["bad.yaml: spec.readQuorum is 4", "replicationFactor"]);
    refused("kind: Pod\n").told(&["KVCluster"]);
    refused("").told(&["bad.yaml: is empty"]);
    run(&["up", "-f", "absent.yaml"], path, b"").ended(2).told(&["absent.yaml"]);
    run(&["up"], path, b"").ended(2).told(&["--file <FILE>"]);
}

#[test]
fn a_port_in_use_is_named_before_anything_starts() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("cluster.yaml"), manifest(3, "")).unwrap();
    let base_port = free_base_port();
    let _taken = TcpListener::bind(("127.0.0.1", base_port + 12)).unwrap();
    let words = ["up", "-f", "cluster.yaml", "--base-port", &base_port.to_string()];
    let outcome = run(&words, directory.path(), b"").ended(1);
    let told = format!("port {} (admin of t-1)", base_port + 12);
    outcome.told(&[&told, "--base-port", "Nothing was started"]);
    assert!(!directory.path().join(".driftkv/t-0").exists());
}

#[test]
fn the_same_directory_resumes_with_its_data_and_its_identity() {
    let up = Up::start(&manifest(3, ""));
    assert!(up.lines()[0].starts_with("starting t: 3 nodes, N=3 R=2 W=2 sloppy"), "{:?}", up.lines());
    up.driftkv(&["put", "k", "kept"]).ended(0);
    let cluster = |up: &Up| up.driftkv(&["ring", "-o", "json"]).ended(0).json()["clusterId"].clone();
    let before = cluster(&up);
    let base_port = up.base_port;
    let other = run(&["up", "-f", "cluster.yaml"], up.directory.path(), b"").ended(2);
    other.told(&["another `driftkv up` runs on this data directory"]);

    let (code, lines, directory) = up.stop();
    assert_eq!(code, 0, "{lines:?}");
    assert_eq!(lines.last().unwrap(), "all nodes stopped");
    fs::write(directory.path().join("more.yaml"), manifest(4, "")).unwrap();
    let changed = run(&["up", "-f", "more.yaml"], directory.path(), b"").ended(2);
    changed.told(&["nodes: the data has t-0 t-1 t-2, now it would be t-0 t-1 t-2 t-3", "Nothing was started"]);

    let up = Up::start_in(directory, base_port);
    assert!(up.lines()[0].starts_with("resuming t"), "{:?}", up.lines());
    assert_eq!(cluster(&up), before);
    assert_eq!(up.driftkv(&["get", "k"]).ended(0).stdout, b"kept");
}

#[test]
fn a_killed_node_is_started_again_on_its_disk() {
    let up = Up::start(&manifest(3, ""));
    up.driftkv(&["put", "k", "before"]).ended(0);
    let first = up.pid("t-1");
    up.kill("t-1");
    up.wait_for_line("t-1 ended (killed by signal 9)");
    // R = W = 2 of 3: the other two go on.
    up.driftkv(&["put", "k", "meanwhile", "--intent", "overwrite-all"]).ended(0);
    up.wait_for_line("t-1 runs again");
    assert_ne!(up.pid("t-1"), first);
    wait_for("t-1 serves in its second boot", || {
        let status = up.driftkv(&["status", "-o", "json"]).ended(0).json();
        let node = status["nodes"].as_array().unwrap().iter().find(|node| node["name"] == "t-1").unwrap().clone();
        if node["state"] == "serving" && node["boot"] == 2 { Ok(()) } else { Err(node.to_string()) }
    });
    let endpoint = format!("127.0.0.1:{}", up.base_port + 10);
    wait_for("the value at t-1", || {
        let get = up.driftkv(&["get", "k", "--endpoint", &endpoint]);
        if get.stdout == b"meanwhile" { Ok(()) } else { Err(get.stderr) }
    });
    let (code, lines, _) = up.stop();
    assert_eq!((code, lines.last().map(String::as_str)), (0, Some("all nodes stopped")));
}

#[test]
fn the_example_goes_on_while_two_of_its_five_nodes_are_killed() {
    let up = Up::start(include_str!("../../../examples/local.yaml"));
    for (round, pair) in [["demo-0", "demo-3"], ["demo-1", "demo-4"]].into_iter().enumerate() {
        let before = pair.map(|node| up.pid(node));
        pair.iter().for_each(|node| up.kill(node));
        for number in 0..10 {
            let (key, value) = (format!("{round}-{number}"), number.to_string());
            up.driftkv(&["put", &key, &value, "-w", "2"]).ended(0);
            // Two owners that are back already, and have not been handed their hints, may answer first: quorums here are sloppy.
            wait_for("what was put", || {
                let get = up.driftkv(&["get", &key, "-r", "2"]);
                if get.stdout == value.as_bytes() { Ok(()) } else { Err(get.stderr) }
            });
        }
        wait_for("both nodes run again", || {
            let is_back = pair.iter().zip(before).all(|(node, pid)| up.pid(node) != pid);
            if is_back { Ok(()) } else { Err(up.lines().join("\n")) }
        });
        wait_for("all nodes serve and have handed over their hints", || {
            let status = up.driftkv(&["status", "-o", "json"]).ended(0).json();
            let is_calm = |node: &serde_json::Value| {
                let hints = node["hints"].as_array();
                node["state"] == "serving" && hints.is_some_and(|hints| hints.iter().all(|hint| hint["hints"] == 0))
            };
            let nodes = status["nodes"].as_array().unwrap();
            if nodes.iter().all(is_calm) { Ok(()) } else { Err(status.to_string()) }
        });
    }
    for key in ["0-9", "1-9"] {
        assert_eq!(up.driftkv(&["get", key, "-r", "3"]).ended(0).stdout, b"9");
    }
}
