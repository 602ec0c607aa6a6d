//! `driftkv lab load` against real nodes: what it sends, measures, keeps and says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use driftkv_lab::faults::FaultRecord;
use driftkv_lab::history::{Op, Reader, Record};
use driftkv_lab::load::Status;
use serde_json::Value;

use crate::harness::{Outcome, Up, driftkv, free_base_port, manifest};

/// The words of a load.
pub fn load<'a>(words: &[&'a str]) -> Vec<&'a str> {
    ["lab", "load"].iter().chain(words).copied().collect()
}

fn row<'a>(results: &'a Value, op: &str, kind: &str) -> &'a Value {
    let mut rows = results["latencies"].as_array().unwrap().iter();
    rows.find(|row| row["op"] == op && row["kind"] == kind).unwrap_or_else(|| panic!("no {op} {kind}: {results}"))
}

fn records(history: &Path) -> Vec<Record> {
    Reader::open(history).unwrap().collect::<Result<_, _>>().unwrap()
}

/// 1,000 operations a second for 20 s through one node that stands still for 1 s of them: the thousand that were due meanwhile
/// count with what they waited, although only fifty of them were ever on their way.
#[test]
fn a_paused_node_shows_in_the_response_and_not_in_the_service() {
    let up = Up::start(&manifest(3, ""));
    let pause = "id: nap\nfor: 3s\nfaults: [{kind: pause, node: t-0, down: 1s}]\n";
    fs::write(up.directory.path().join("pause.yaml"), pause).unwrap();
    let (endpoint, admins) = (
        format!("127.0.0.1:{}", up.base_port),
        [2, 12, 22].map(|offset| format!("--admin=127.0.0.1:{}", up.base_port + offset)),
    );
    let words = "--rate 1000 --duration 20s --in-flight 50 --keys 2000 --value-bytes 100 --seed 1 --mix get=80,put=20 \
                 --chaos pause.yaml --chaos-at 8s --out run -o json --endpoint";
    let mut words: Vec<&str> = words.split_whitespace().collect();
    words.push(&endpoint);
    words.extend(admins.iter().map(String::as_str));
    let outcome = up.driftkv(&load(&words)).ended(0).told(&["experiment nap began on 3 nodes", "kept in run"]);
    let results = outcome.json();
    let (response, service) = (&row(&results, "all", "response")["p99"], &row(&results, "all", "service")["p99"]);
    let (corrected, uncorrected) = (response["us"].as_u64().unwrap(), service["us"].as_u64().unwrap());
    println!("p99 corrected {} ms, uncorrected {} ms", corrected / 1_000, uncorrected / 1_000);
    assert!(corrected >= 500_000, "corrected p99 {corrected} us: the wait was left out");
    assert!(uncorrected * 2 < corrected, "uncorrected p99 {uncorrected} us beside {corrected} us");
    assert_eq!(results["open_loop"]["due"], 20_000);
    assert_is_whole(&up.directory.path().join("run"), &results);
    assert_tells_of_the_pause(&up.directory.path().join("run"), &results);
}

/// What was injected, when, and what the nodes counted, is in the files of the run.
fn assert_tells_of_the_pause(run: &Path, results: &Value) {
    let fault = &results["faults"][0];
    assert_eq!((&fault["id"], &fault["is_evident"]), (&"nap".into(), &true.into()), "{fault}");
    let (began, ended) = (fault["began_s"].as_f64().unwrap(), fault["ended_s"].as_f64().unwrap());
    assert!(began >= 8.0 && (ended - began - 3.0).abs() < 0.001, "{began} s to {ended} s: it ends by itself after 3 s");
    let lines = fs::read_to_string(run.join("faults.jsonl")).unwrap();
    let [began, healed]: [FaultRecord; 2] =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>().try_into().unwrap();
    let FaultRecord::Began { requested_ns, applied_ns, targets, text, .. } = began else { panic!("{lines}") };
    assert!((8_000_000_000..=applied_ns).contains(&requested_ns), "{requested_ns} ns, {applied_ns} ns");
    assert!(targets == ["t-0", "t-1", "t-2"] && text.contains("pause"), "{lines}");
    let FaultRecord::Healed { evidence, .. } = healed else { panic!("{lines}") };
    let paused: Vec<&str> =
        evidence.iter().filter(|evidence| evidence.is_evident()).map(|evidence| evidence.node.as_str()).collect();
    assert_eq!(paused, ["t-0"], "{lines}");
    assert!(fs::read_to_string(run.join("summary.txt")).unwrap().contains("experiment nap: "));
}

/// The directory of a run holds everything, once.
fn assert_is_whole(run: &Path, results: &Value) {
    let seqs: BTreeSet<u64> = records(&run.join("history.jsonl")).iter().map(|record| record.seq).collect();
    assert_eq!(seqs, (0..20_000).collect(), "each operation has its line");
    assert_eq!(results["history_records"], 20_000);
    let kept: Value = serde_json::from_slice(&fs::read(run.join("results.json")).unwrap()).unwrap();
    assert_eq!(&kept, results);
    let summary = fs::read_to_string(run.join("summary.txt")).unwrap();
    println!("{summary}");
    let most = summary.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(most <= 80 && summary.contains("response") && summary.contains("service"), "{summary}");
    assert!(fs::read_to_string(run.join("hdr/get-response.hlog")).unwrap().lines().count() >= 20);
}

#[test]
fn what_was_written_is_what_reads_bring_and_the_history_tells_it() {
    let up = Up::start(&manifest(3, ""));
    let words =
        "--ops 2000 --keys 50 --workers 8 --value-bytes 100 --seed 3 --mix get=5,put=3,delete=1,rmw=1 --out run";
    let text = up.driftkv(&load(&words.split_whitespace().collect::<Vec<_>>())).ended(0);
    assert!(text.text().contains("2000 operations") && text.text().contains("closed loop"), "{}", text.text());

    let mut reader = Reader::open(&up.directory.path().join("run/history.jsonl")).unwrap();
    let records: Vec<Record> = reader.by_ref().collect::<Result<_, _>>().unwrap();
    assert_eq!(reader.torn_bytes(), None);
    let (plan, targets) = (&reader.header().plan, &reader.header().targets);
    assert_eq!((plan.seed, targets.len()), (3, 3));
    let rmws = records.iter().filter(|record| record.op == Op::RmwPut).count();
    assert_eq!(records.len(), 2000 + rmws);

    let written: BTreeSet<&str> = records.iter().filter_map(|record| record.value_id.as_deref()).collect();
    let returned: Vec<&str> =
        records.iter().flat_map(|record| &record.returned).map(|value| value.value_id.as_str()).collect();
    assert!(returned.len() > 100, "{} values were read", returned.len());
    assert!(returned.iter().all(|id| written.contains(id)), "a value came back that nobody wrote");
    for record in records.iter().filter(|record| record.status == Status::Ok) {
        assert_eq!((record.n, record.r, record.w), (Some(3), Some(2), Some(2)));
        assert!(record.replicas.is_some_and(|replicas| replicas.primaries + replicas.fallbacks >= 2), "{record:?}");
        assert!(record.ctx_out.is_some() && record.degraded.is_some());
    }
    // Every rmw writes with the context that its own session had.
    let is_linked = |record: &&Record| record.ctx_in.as_ref().is_some_and(|basis| basis.seq.is_some());
    assert!(records.iter().filter(|record| record.op == Op::RmwPut).filter(is_linked).count() > 50);

    // A quorum beyond N is refused where N is known, and told in the node's own words where it is not.
    up.driftkv(&load(&["--ops", "5", "-r", "9"])).ended(2).told(&["-r 9", "3 replicas"]);
    let endpoint = format!("127.0.0.1:{}", up.base_port);
    let refused = up.driftkv(&load(&["--ops", "5", "-r", "9", "--mix", "c", "-o", "json", "--endpoint", &endpoint]));
    let error = &refused.ended(4).json()["errors"]["invalid_argument"];
    assert!(error["count"] == 5 && error["first"].as_str().is_some_and(|first| first.contains('9')), "{error}");

    // The saved plan is the same plan, and a run never overwrites another.
    up.driftkv(&load(&["--plan", "run/plan.json", "--out", "run"])).ended(2).told(&["run: it is there already"]);
    let again = up.driftkv(&load(&["--plan", "run/plan.json", "--print-plan"])).ended(0);
    let first = up.driftkv(&load(
        &[words.trim_end_matches(" --out run"), "--print-plan"].join(" ").split(' ').collect::<Vec<_>>(),
    ));
    assert_eq!(again.text(), first.ended(0).text());
}

#[test]
fn the_same_seed_prints_the_same_bytes_and_sends_nothing() {
    let print = |seed: &str| -> Outcome {
        let words = "--rate 500 --duration 2s --arrivals poisson --distribution zipf:1.1 --keys 1000 --print-plan \
                     --endpoint 127.0.0.1:9 --endpoint 127.0.0.1:10 --seed";
        driftkv(&load(&words.split_whitespace().chain([seed]).collect::<Vec<_>>())).ended(0).told(&["nothing was sent"])
    };
    let first = print("7");
    assert_eq!(first.stdout, print("7").stdout);
    assert_ne!(first.stdout, print("8").stdout);
    // Without a cluster it is for three nodes, and says so.
    let anywhere = driftkv(&load(&["--ops", "30", "--seed", "7", "--print-plan"])).ended(0).told(&["3 nodes"]);
    assert_eq!(anywhere.text().lines().filter(|line| line.contains("\"target\":2")).count(), 10);
    let lines: Vec<Value> = first.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!((800..1200).contains(&lines.len()), "{} lines", lines.len());
    assert!(lines[1..].is_sorted_by_key(|line| line["intended_ns"].as_u64().unwrap()));
}

#[test]
fn a_cluster_that_is_away_is_unavailable_and_leaves_no_directory() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("run");
    let endpoint = format!("127.0.0.1:{}", free_base_port());
    let words = ["--ops", "5", "--endpoint", &endpoint, "--out", out.to_str().unwrap()];
    driftkv(&load(&words)).ended(4).told(&[&endpoint, "Nothing was sent"]);
    assert!(!out.exists());
    driftkv(&load(&["--rate", "0", "--endpoint", &endpoint])).ended(2).told(&["--rate"]);
}

#[test]
fn ctrl_c_ends_a_load_in_order_with_what_it_measured() {
    let up = Up::start(&manifest(3, ""));
    let words = load(&["--rate", "100", "--duration", "30m", "--out", "run", "-o", "json"]);
    let outcome = up.interrupted(&words, || records_of(&up.directory.path().join("run")) > 50).ended(0);
    let results = outcome.told(&["stopping"]).json();
    assert_eq!(results["is_stopped"], true);
    let history = records(&up.directory.path().join("run/history.jsonl"));
    assert_eq!(results["history_records"], history.len());
    assert_eq!(results["open_loop"]["due"], history.iter().filter(|record| record.op != Op::RmwPut).count());
}

/// Lines of the history so far, while it is being written.
fn records_of(run: &Path) -> usize {
    Reader::open(&run.join("history.jsonl")).map_or(0, |reader| reader.filter(Result::is_ok).count())
}

/// A client that tries again sees nothing of a crash; and what it was promised is there at the end, as `lab check` finds.
#[test]
fn a_crash_costs_a_client_that_tries_again_nothing_and_no_acknowledged_write() {
    let up = Up::start(&manifest(3, ""));
    fs::write(up.directory.path().join("crash.yaml"), "id: fall\nfor: 3s\nfaults: [{kind: crash, node: t-0}]\n")
        .unwrap();
    let words = "--rate 400 --duration 6s --keys 500 --own-keys --value-bytes 100 --seed 5 --mix get=2,put=5,delete=1,rmw=1 \
                 --timeout 500ms --retry 4s --chaos crash.yaml --chaos-at 2s --out run -o json";
    let results = up.driftkv(&load(&words.split_whitespace().collect::<Vec<_>>())).ended(0).json();
    assert_eq!((&results["ok"], &results["errors"]), (&2400.into(), &serde_json::json!({})), "{results}");
    let retried = results["retried"].as_object().unwrap();
    assert!(!retried.is_empty(), "a node fell and no first attempt failed: {results}");
    let run = up.directory.path().join("run");
    let again = records(&run.join("history.jsonl")).iter().filter(|record| record.attempts > 1).count() as u64;
    let told: u64 = retried.values().map(|of| of["count"].as_u64().unwrap()).sum();
    assert!((told..=2 * told).contains(&again), "{again} requests of {told} operations were sent again");

    let verdict = up.driftkv(&["lab", "check", "run", "--data", ".driftkv", "-o", "json"]).ended(0).json();
    assert!(verdict["acknowledged"].as_u64() > Some(1_000) && verdict["values"].as_u64() > Some(100), "{verdict}");
    assert_eq!((&verdict["lost_count"], &verdict["wrong_count"]), (&0.into(), &0.into()), "{verdict}");
    let check = ["lab", "check", "run", "--data", ".driftkv"];
    assert!(up.driftkv(&check).ended(0).text().ends_with("no acknowledged write is lost\n"));

    // A write that the history says was acknowledged, and that never was.
    let history = fs::read_to_string(run.join("history.jsonl")).unwrap();
    let put = history.lines().rfind(|line| line.contains("\"op\":\"put\"")).unwrap();
    let mut forged: Value = serde_json::from_str(put).unwrap();
    (forged["value_id"], forged["seq"]) = ("0.999999999".into(), 999_999_999.into());
    fs::write(run.join("history.jsonl"), format!("{history}{forged}\n")).unwrap();
    fs::write(run.join("history.end"), "{}").unwrap();
    let lost = up
        .driftkv(&[&check[..], &["--settle", "1s"]].concat())
        .ended(1)
        .told(&["lost: 1 acknowledged write; not as they should be: 0 values"]);
    assert!(lost.text().contains("0.999999999 was acknowledged and is lost"), "{}", lost.text());
    up.driftkv(&["lab", "check", "nowhere", "--data", ".driftkv"]).ended(64).told(&["nowhere/history.jsonl"]);
}
