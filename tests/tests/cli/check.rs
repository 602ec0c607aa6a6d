//! `driftkv lab check` where reads do not see, for a time, what was acknowledged.

use std::fs;

use serde_json::Value;

use crate::harness::{Up, manifest};
use crate::load::load;

/// A node that is cut off takes writes with W = 1. The others do not have them, until the cut is over and hints are handed over:
/// late, not lost. On Kubernetes, with 5 % of the messages of one link dropped, such a write was once called lost.
#[test]
fn a_write_that_is_handed_over_later_is_late_and_not_lost() {
    let up = Up::start(&manifest(3, ""));
    let cut = "id: cut\nfor: 15s\nallowQuorumLoss: true\nfaults: [{kind: partition, groups: [[t-0], ['*']]}]\n";
    fs::write(up.directory.path().join("cut.yaml"), cut).unwrap();
    let client = |node: u16| format!("127.0.0.1:{}", up.base_port + 10 * node);
    let [taking, other] = [0, 1].map(client);
    up.driftkv(&["chaos", "apply", "-f", "cut.yaml"]).ended(0);
    let words = [
        "--ops", "100", "--keys", "100", "-w", "1", "--writes", "blind", "--mix", "put=1", "--out", "run", "-o", "json",
    ];
    let results = up.driftkv(&load(&[&words[..], &["--value-bytes", "100", "--endpoint", &taking]].concat()));
    assert_eq!(results.ended(0).json()["ok"], 100);

    let check =
        |words: &[&str]| up.driftkv(&[&["lab", "check", "run", "--endpoint", &other, "-r", "1"], words].concat());
    check(&["--settle", "0s"]).ended(1).told(&["lost: 100 acknowledged writes"]);
    let told = check(&["--settle", "50s"]).ended(0);
    let text = told.text();
    assert!(text.contains("late: 100 acknowledged writes missing at first, the last of them there after "), "{text}");
    assert!(text.ends_with("no acknowledged write is lost\n"), "{text}");
}

/// A load of overwrites that came to its end. `out`: its directory.
fn overwrites(up: &Up, out: &str) {
    let words = "--ops 600 --keys 20 --workers 4 --value-bytes 100 --writes overwrite --mix put=2,get=1 -r 2 -w 2 -o json --out";
    let words: Vec<&str> = words.split_whitespace().chain([out]).collect();
    assert_eq!(up.driftkv(&load(&words)).ended(0).json()["ok"], 600);
}

/// The last lines of a history are written half a second late: a loader that is killed has sent what it does not tell.
#[test]
fn a_loader_that_was_killed_convicts_no_store() {
    let up = Up::start(&manifest(3, ""));
    overwrites(&up, "run");
    let run = up.directory.path().join("run");
    let history = fs::read_to_string(run.join("history.jsonl")).unwrap();
    let offline = |code| up.driftkv(&["lab", "check", "run"]).ended(code);
    let store = |code| up.driftkv(&["lab", "check", "run", "--data", ".driftkv", "--settle", "0s"]).ended(code);
    offline(0);
    store(0);

    // Up to a torn line, and without that of a put whose value was read before its line was written.
    let lines: Vec<Value> = history.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let read = (300..lines.len()).find(|place| lines[*place]["returned"][0].is_object()).unwrap();
    let unwritten = &lines[read]["returned"][0]["value_id"];
    let lines = history.lines().zip(&lines).take(read + 1).filter(|(_, told)| told["value_id"] != *unwritten);
    let kept: Vec<&str> = lines.map(|(line, _)| line).collect();
    fs::write(run.join("history.end"), "{}").unwrap();
    fs::write(run.join("history.jsonl"), kept.join("\n") + "\n{\"run\":").unwrap();
    let told = offline(2).told(&["unknown (written"]);
    assert!(told.text().contains("the history has no end (the loader was killed)"), "{}", told.text());
    let told = store(2).told(&["not judged: ", "A loader was killed"]);
    assert!(!told.text().contains("lost"), "{}", told.text());

    // Whole lines, and no mark of the end: the same. With one, what has no line was written by nobody.
    fs::write(run.join("history.jsonl"), kept.join("\n") + "\n").unwrap();
    offline(1).told(&["violated (written"]);
    fs::remove_file(run.join("results.json")).unwrap();
    offline(1);
    fs::remove_file(run.join("history.end")).unwrap();
    offline(2).told(&["unknown (written"]);
    store(2).told(&["A loader was killed"]);
}

#[test]
fn a_second_run_on_the_same_keys_makes_no_loss_of_the_first() {
    let up = Up::start(&manifest(3, ""));
    overwrites(&up, "first");
    overwrites(&up, "second");
    let check = |words: &[&str]| up.driftkv(&[&["lab", "check", "--data", ".driftkv"], words].concat());
    let told = check(&["first"]).ended(2).told(&["not judged: ", "Name all runs that wrote to the bucket"]);
    assert!(!told.text().contains("lost"), "{}", told.text());
    check(&["second"]).ended(0);
    check(&["first", "second"]).ended(0);

    // One that is named and that nobody has is lost all the same, where nobody else wrote.
    let history = up.directory.path().join("second/history.jsonl");
    let text = fs::read_to_string(&history).unwrap();
    let mut forged: Value =
        serde_json::from_str(text.lines().rfind(|line| line.contains("\"op\":\"put\"")).unwrap()).unwrap();
    (forged["value_id"], forged["key"]) = ("0.999999999".into(), "key-of-nobody-else".into());
    forged["seq"] = 999_999_999.into();
    fs::write(&history, format!("{text}{forged}\n")).unwrap();
    fs::write(history.with_file_name("history.end"), "{}").unwrap();
    check(&["second", "--settle", "0s"]).ended(1).told(&["lost: 1 acknowledged write;"]);
}
