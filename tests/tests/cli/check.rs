//! `driftkv lab check` where reads do not see, for a time, what was acknowledged.

use std::fs;

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
