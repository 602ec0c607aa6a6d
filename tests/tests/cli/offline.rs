//! `driftkv lab check` without a cluster: a run of real nodes is judged by its files alone, as it was and as somebody has changed it.

use std::fs;
use std::path::Path;

use driftkv_lab::history::{Op, Reader, Record, Returned};
use driftkv_lab::load::Status;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Outcome, Up, driftkv, manifest, run};
use crate::load::load;

/// The directory with a run of three nodes at R = W = 2, without faults; the nodes are gone. Each key is written by one worker.
fn stored() -> TempDir {
    let up = Up::start(&manifest(3, ""));
    let words = "--ops 4000 --keys 200 --workers 8 --own-keys --value-bytes 100 --seed 3 --mix get=5,put=4,rmw=1 -r 2 -w 2 --out run -o json";
    let results = up.driftkv(&load(&words.split_whitespace().collect::<Vec<_>>())).ended(0).json();
    assert_eq!(results["ok"], 4000, "{results}");
    let (code, _, directory) = up.stop();
    assert_eq!(code, 0);
    directory
}

fn check(directory: &Path, words: &[&str]) -> Outcome {
    run(&[&["lab", "check", "run"], words].concat(), directory, b"")
}

fn property<'a>(run: &'a Value, name: &str) -> &'a Value {
    let mut properties = run["properties"].as_array().unwrap().iter();
    properties.find(|property| property["property"] == name).unwrap_or_else(|| panic!("no {name}: {run}"))
}

/// Writes the history again with `records` in place of its own.
fn write(history: &Path, records: &[Record]) {
    let text = fs::read_to_string(history).unwrap();
    let header = text.lines().next().unwrap().to_owned();
    let lines: Vec<String> = records.iter().map(|record| serde_json::to_string(record).unwrap()).collect();
    fs::write(history, format!("{header}\n{}\n", lines.join("\n"))).unwrap();
}

fn is_put(record: &Record) -> bool {
    matches!(record.op, Op::Put | Op::RmwPut) && record.status == Status::Ok
}

/// A read, and the value of a write that another one had replaced before it began.
fn outdated(records: &[Record]) -> (usize, String) {
    let find = |(place, read): (usize, &Record)| {
        let began = read.sent_ns.filter(|_| read.op == Op::Get)?;
        let puts = records.iter().filter(|put| is_put(put) && put.key == read.key && put.recv_ns < began);
        let mut puts: Vec<&Record> = puts.collect();
        puts.sort_by_key(|put| put.sent_ns);
        let [.., old, new] = puts[..] else { return None };
        (Some(old.recv_ns) < new.sent_ns).then(|| (place, old.value_id.clone().unwrap()))
    };
    records.iter().enumerate().find_map(find).unwrap()
}

#[test]
fn a_stored_run_is_judged_without_its_cluster_and_a_changed_one_is_found() {
    let directory = stored();
    let directory = directory.path();
    let told = check(directory, &["-o", "json"]).ended(0).json();
    let judged = &told["runs"][0];
    assert_eq!((&told["verdict"], &judged["verdict"]), (&"holds".into(), &"holds".into()), "{told}");
    for (name, is_expected) in [
        ("written", true),
        ("fresh", true),
        ("read_your_writes", true),
        ("monotonic_reads", false),
        ("linearizable", false),
    ] {
        let property = property(judged, name);
        assert_eq!(property["is_expected"], is_expected, "{property}");
        assert!(property["opportunities"].as_u64() > Some(100), "{property}");
        assert!(name == "linearizable" || property["violations"] == 0, "{property}");
    }
    for kind in ["stale_in_real_time", "stale_by_causes"] {
        assert!(judged[kind]["reads"].as_u64() > Some(1_000), "{judged}");
        assert_eq!(judged[kind]["stale"], 0, "{judged}");
    }
    let text = check(directory, &[]).ended(0).told(&["Whether acknowledged writes are still there"]);
    assert!(text.text().contains(": holds (written, fresh, read-your-writes)\n"), "{}", text.text());
    assert!(text.text().contains("eventual reads, N=3 R=2 W=2"), "{}", text.text());

    let history = directory.join("run/history.jsonl");
    let honest: Vec<Record> = Reader::open(&history).unwrap().collect::<Result<_, _>>().unwrap();
    let (place, old) = outdated(&honest);
    let brought = |value_id: &str| {
        let mut changed = honest.clone();
        changed[place].returned = vec![Returned { value_id: value_id.to_owned(), dot: None }];
        write(&history, &changed);
        fs::write(history.with_file_name("history.end"), "{}").unwrap();
    };
    brought(&old);
    let stale = check(directory, &[]).ended(1).told(&["violated (fresh"]);
    let line = format!("line {} ", place + 2);
    assert!(stale.text().contains(&line) && stale.text().contains("versions behind"), "{}", stale.text());
    check(directory, &["--expect", "written"]).ended(0);
    check(directory, &["--expect", "linearizable"]).ended(1).told(&["violated (linearizable)"]);

    brought("0.999999999");
    check(directory, &["--expect", "written"]).ended(1).told(&["violated (written)"]);
    // What others wrote beside it is not known, so neither is whether the read is fresh.
    brought("00000000000000aa/0.1");
    check(directory, &[]).ended(2).told(&["unknown ("]);
}

#[test]
fn what_is_no_run_and_wrong_flags_end_with_64() {
    driftkv(&["lab", "check", "nowhere"]).ended(64).told(&["nowhere/history.jsonl"]);
    driftkv(&["lab", "check", "nowhere", "--expect", "luck"]).ended(64);
    driftkv(&["lab", "check", "nowhere", "-r", "1"]).ended(64).told(&["-r is for reading the store"]);
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("run")).unwrap();
    fs::write(directory.path().join("run/history.jsonl"), "{}\n").unwrap();
    check(directory.path(), &[]).ended(64).told(&["history.jsonl:1: no header of a history"]);
}
