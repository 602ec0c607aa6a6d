//! `driftkv lab run --kubernetes` as a person runs it: on a cluster that it makes, on one that is there, and stopped in the middle.
//! Invariant: whatever comes of a run, nothing that it made is left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use driftkv_tests::binaries::program;
use serde_json::Value;
use tempfile::TempDir;

use super::consents::allow;
use crate::kube::{self, Said, eventually, get, list};
use crate::report::say;
use crate::site::{Operator, PATIENCE, Site, image};

const EXPERIMENT: &str = "\
name: cut
question: Is a write lost when one of three nodes is cut off?
cluster: {CLUSTER}
workload: {keys: 50, workers: 6, routing: sticky}
load: {rate: 100}
request: {timeout: 1s}
phases:
- {name: before, for: 2s}
- {name: cut, for: LENGTH, allowQuorumLoss: true, faults: [{kind: partition, groups: [[NAME-0], [NAME-1, NAME-2]]}]}
- {name: after, for: 8s}
measure: {convergence: {deadline: 30s}, liveConvergence: {deadline: 8s}, lostWrites: 30s}
expect:
- lost.count == 0
- convergence.all_s < 30
- phase.before.availability.ratio > 95%
";

/// An experiment on the cluster NAME, in a directory of its own.
fn experiment(home: &Path, name: &str, cluster: &str, length: &str) -> PathBuf {
    let text = EXPERIMENT.replace("{CLUSTER}", cluster).replace("LENGTH", length).replace("NAME", name);
    let path = home.join(format!("{name}.yaml"));
    fs::write(&path, text).unwrap();
    path
}

fn command(site: &Site, file: &Path, out: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(program("driftkv"));
    command
        .args(["lab", "run"])
        .arg(file)
        .arg("--out")
        .arg(out)
        .args(["--kubernetes", "-n", &site.namespace])
        .args(flags);
    command
}

fn run(site: &Site, file: &Path, out: &Path, flags: &[&str]) -> (i32, Said) {
    let (code, said) = kube::run_command(&mut command(site, file, out, flags), "");
    println!("{}{}", said.error, said.out);
    (code, said)
}

/// Nothing that runs make is left in the namespace: `clusters` are those that were there.
fn nothing_left(site: &Site, clusters: usize) {
    eventually("nothing of the run is left", PATIENCE, || {
        let of_runs = "app.kubernetes.io/managed-by=driftkv-lab";
        let kinds = "jobs,pods,configmaps,serviceaccounts,roles,rolebindings,kvclusters";
        let left = list(&[kinds, "-n", &site.namespace, "-l", of_runs]).len();
        let (found, claims) =
            (list(&["kvclusters", "-n", &site.namespace]).len(), list(&["pvc", "-n", &site.namespace]).len());
        let is_clean = left == 0 && found == clusters && claims == 3 * clusters;
        if is_clean { Ok(()) } else { Err(format!("{left} objects of runs, {found} clusters, {claims} volumes")) }
    });
}

/// Lines of the one run's records of faults.
fn faults(out: &Path) -> Vec<Value> {
    let cells = fs::read_dir(out.join("cells")).unwrap().map(|cell| cell.unwrap().path().join("seed-1"));
    let text = fs::read_to_string(cells.last().unwrap().join("faults.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub fn experiments(operator: &Operator) {
    operator.allow_chaos(true);
    let (site, home) = (Site::new("lab"), TempDir::new().unwrap());
    allow(&site);
    made(&site, home.path());
    stopped(&site, home.path(), "lab", &fields(), &[]);
    nothing_left(&site, 0);
    site.apply(&image(), "allowFaults: true");
    site.ready(PATIENCE);
    stopped(&site, home.path(), "demo", "{}", &["--cluster", "demo"]);
    let cluster = site.seen();
    assert_eq!(cluster["status"]["chaos"]["phase"], "Cleared", "before its minute was over");
    nothing_left(&site, 1);
    there(&site, home.path());
    refused(&site, home.path());
    site.end();
}

/// The fields of a cluster that is made.
fn fields() -> String {
    format!("{{replicas: 3, partitions: 64, image: '{}', storage: {{size: 1Gi}}}}", image())
}

fn made(site: &Site, home: &Path) {
    let (file, out) = (experiment(home, "lab", &fields(), "6s"), home.join("made"));
    let (code, said) = run(site, &file, &out, &[]);
    assert_eq!(code, 0, "{said:?}");
    let faults = faults(&out);
    let [began, probed, healed] = faults.as_slice() else { panic!("one cut, seen and healed: {faults:?}") };
    assert_eq!(
        (&began["event"], &probed["is_effective"], &healed["is_evident"]),
        (&"began".into(), &true.into(), &true.into())
    );
    assert!(
        said.error.contains("measuring") || said.error.contains("replicas agree"),
        "what the pod tells is passed on: {}",
        said.error
    );
    for file in ["report.html", "results.json", "cells.csv", "junit.xml"] {
        assert!(out.join(file).is_file(), "{file} is not there");
    }
    let results: Value = serde_json::from_str(&fs::read_to_string(out.join("results.json")).unwrap()).unwrap();
    assert_eq!(results["outcome"], "holds", "{results}");
    let live = &results["cells"][0]["metrics"]["convergence.live.converged.share"];
    assert_eq!(live["share"], serde_json::json!([50, 50]), "each pod was asked what it holds: {live}");
    say("an experiment on a cluster made for it: a cut seen and healed, nothing lost, nothing left".to_owned());
    nothing_left(site, 0);
}

/// Somebody presses Ctrl-C while a cut of the cluster `name` is under way.
fn stopped(site: &Site, home: &Path, name: &str, fields: &str, flags: &[&str]) {
    let (file, out) = (experiment(home, name, fields, "60s"), home.join(format!("stopped-{name}")));
    let child = command(site, &file, &out, flags).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the cut is under way", PATIENCE, || {
        let cluster = get(&["kvcluster", name, "-n", &site.namespace]).unwrap_or_default();
        let phase = cluster["status"]["chaos"]["phase"].clone();
        if phase == "Active" { Ok(()) } else { Err(phase.to_string()) }
    });
    assert!(kube::run("kill", &["-INT", &child.id().to_string()], "").is_ok);
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && error.contains("--resume"), "{:?} {error}", output.status);
    assert!(!error.contains("may go on"), "what it injected is ended: {error}");
}

fn there(site: &Site, home: &Path) {
    let (file, out) = (experiment(home, "demo", "{replicationFactor: 3}", "5s"), home.join("there"));
    let (code, said) = run(site, &file, &out, &["--cluster", "demo"]);
    assert_eq!(code, 0, "{said:?}");
    assert!(site.seen()["metadata"]["annotations"]["chaos.driftkv.io/experiment"].is_null(), "its annotation is gone");
    let spec = fs::read_to_string(out.join("spec.yaml")).unwrap();
    assert!(spec.contains("writeQuorum: 2"), "a folder has all fields of its cluster: {spec}");
    nothing_left(site, 1);
}

/// What does not fit the cluster that is there, and what a namespace does not consent to.
fn refused(site: &Site, home: &Path) {
    let other = experiment(home, "demo", "{readQuorum: 1}", "2s");
    let (code, said) = run(site, &other, &home.join("other"), &["--cluster", "demo"]);
    assert!(code == 64 && said.error.contains("readQuorum is to be 1, and the KVCluster has 2"), "{code} {said:?}");
    assert!(!home.join("other").exists(), "nothing was started, so nothing is to be gone on with");
    let (code, said) = run(site, &other, &home.join("nobody"), &["--cluster", "nobody"]);
    assert!(code == 64 && said.error.contains("there is no KVCluster nobody"), "{code} {said:?}");
    kube::kubectl(&["label", "namespace", &site.namespace, "chaos.driftkv.io/allowed-"]);
    let file = experiment(home, "demo", "{replicas: 3}", "3s");
    let (code, said) = run(site, &file, &home.join("refused"), &["--cluster", "demo"]);
    assert!(
        code == 2 && said.out.contains("chaos.driftkv.io/allowed"),
        "a fault that is refused decides nothing: {code} {said:?}"
    );
    nothing_left(site, 1);
}
