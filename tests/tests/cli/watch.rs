//! What `status` says of the replicas, and how `--watch` goes on and ends; `--trace`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc;

use rustix::process::Signal;

use crate::harness::{SOON, Up, command, manifest, signal, wait_for};

const CUT: &str =
    "id: cut\nfor: 5m\nallowQuorumLoss: true\nfaults:\n- {kind: partition, groups: [[t-0], [t-1, t-2]]}\n";

fn divergence(up: &Up) -> serde_json::Value {
    up.driftkv(&["status", "-o", "json"]).ended(0).json()["divergence"].clone()
}

fn agree(up: &Up) {
    wait_for("agreement of all replicas", || {
        let found = divergence(up);
        if found["partitionsAlike"] == 16 { Ok(()) } else { Err(found.to_string()) }
    });
}

#[test]
fn replicas_agree_then_differ_behind_a_cut_and_agree_again() {
    let up = Up::start(&manifest(3, "  readQuorum: 1\n  writeQuorum: 1\n"));
    agree(&up);
    let text = up.driftkv(&["status"]).ended(0);
    assert!(text.text().lines().any(|line| line == "replicas agree in all 16 partitions"), "{}", text.text());

    up.driftkv_reading(&["chaos", "apply", "-f", "-"], CUT.as_bytes()).ended(0);
    let (one, other) = (format!("127.0.0.1:{}", up.base_port), format!("127.0.0.1:{}", up.base_port + 10));
    up.driftkv(&["put", "k", "one side", "--endpoint", &one]).ended(0);
    up.driftkv(&["put", "k", "the other", "--endpoint", &other]).ended(0);
    let found = wait_for("one partition that differs", || {
        let found = divergence(&up);
        let differing = found["partitionsDiffering"].as_array().map_or(0, Vec::len);
        if differing == 1 && found["partitionsAlike"] == 15 { Ok(found) } else { Err(found.to_string()) }
    });
    assert_eq!((&found["partitionsNotCompared"], &found["keysMissing"]), (&0.into(), &0.into()), "{found}");
    let text = up.driftkv(&["status"]).ended(0);
    for line in ["replicas differ in 1 of 16 partitions", "experiment cut, ", "  {kind: partition, groups: "] {
        assert!(text.text().lines().any(|found| found.starts_with(line)), "{line} in\n{}", text.text());
    }
    assert!(text.text().lines().all(|line| line.chars().count() <= 80), "80 columns are enough:\n{}", text.text());

    up.driftkv(&["chaos", "clear", "cut"]).ended(0);
    agree(&up);
    up.kill("t-2");
    let text = wait_for("a node that is away", || {
        let text = up.driftkv(&["status"]).ended(0).text().to_owned();
        if text.contains("no answer") { Ok(text) } else { Err(text) }
    });
    assert!(text.contains("replicas were not compared"), "each partition has an owner that is silent:\n{text}");
}

/// `status --watch` into a pipe: the process and its lines as they come.
fn watching(up: &Up, words: &[&str]) -> (Child, mpsc::Receiver<String>) {
    let words = [&["status", "--watch=100ms"], words].concat();
    let mut child = command(&words, up.directory.path()).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let (sender, lines) = mpsc::channel();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || stdout.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
    (child, lines)
}

#[test]
fn watching_shows_block_after_block_into_a_pipe_and_ctrl_c_ends_it_well() {
    let up = Up::start(&manifest(3, ""));
    let (mut child, lines) = watching(&up, &[]);
    let mut blocks = 0;
    while blocks < 3 {
        let line = lines.recv_timeout(SOON).unwrap();
        assert!(!line.contains('\x1b'), "{line:?}");
        blocks += usize::from(line.ends_with(" UTC"));
    }
    signal(child.id(), Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(0));

    let (mut child, lines) = watching(&up, &["-o", "json"]);
    for _ in 0..2 {
        let seen: serde_json::Value = serde_json::from_str(&lines.recv_timeout(SOON).unwrap()).unwrap();
        assert_eq!(seen["nodes"].as_array().map(Vec::len), Some(3), "one line is one whole value: {seen}");
        assert!(seen["divergence"]["partitionsAlike"].is_u64(), "{seen}");
    }
    signal(child.id(), Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_traced_request_tells_its_trace_id_beside_its_result() {
    let up = Up::start(&manifest(3, ""));
    let put = up.driftkv(&["put", "k", "v", "--trace"]).ended(0);
    let trace = put.stderr.lines().find_map(|line| line.strip_prefix("trace ")).unwrap_or_default();
    assert!(trace.len() == 32 && trace.bytes().all(|b| b.is_ascii_hexdigit()), "{}", put.stderr);
    let get = up.driftkv(&["get", "k", "--trace"]).ended(0);
    assert_eq!(get.text(), "v", "stdout is the value alone");
    assert!(get.stderr.contains("trace ") && !get.stderr.contains(trace), "{}", get.stderr);
}
