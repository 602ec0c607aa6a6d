//! `driftkv lab run` and what belongs to it, on clusters that it starts itself: what it says, keeps, ends with, and goes on with.

use std::fs;
use std::path::Path;

use driftkv_lab::experiment::record::RunRecord;
use driftkv_lab::faults::FaultRecord;
use driftkv_lab::report::results::ResultsDocument;
use tempfile::TempDir;

use crate::harness::{Outcome, Up, interrupted, manifest, run};

/// Three nodes, one of which is cut off for a while, under strict quorums.
const CUT: &str = "\
name: cut
question: Does a strict quorum stay right while one node is <away>?
seed: 3
repetitions: 1
cluster: {replicas: 3, partitions: 16, sloppy: false}
workload: {keys: 20, workers: 6, writes: context}
load: {rate: 150, arrivals: poisson}
request: {timeout: 1s}
phases:
- {name: before, for: 1s}
- {name: away, for: 3s, faults: [{kind: partition, groups: [[lab-2], [\"*\"]]}]}
- {name: after, for: 6s}
measure: {convergence: {deadline: 20s}, liveConvergence: {deadline: 6s}, lostWrites: 20s}
expect: [staleness.rate == 0, lost.count == 0, convergence.all_s < 20]
";

/// Two cells of two runs each, without faults.
const GRID: &str = "\
name: quorums
question: What does W cost?
seed: 1
repetitions: 2
histories: violated
cluster: {replicas: 3, partitions: 16, sloppy: false}
workload: {keys: 20, workers: 4}
load: {rate: 100}
phases: [{name: calm, for: 1s}]
grid:
- {name: writes, title: Replicas that confirm, axes: [{name: W, path: request.w, values: [1, 3]}], charts: [latency.put.p50_ms]}
expect: [values.phantom == 0]
";

fn directory(text: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("x.yaml"), text).unwrap();
    directory
}

fn lab(directory: &TempDir, words: &str) -> Outcome {
    let words: Vec<&str> = ["lab"].into_iter().chain(words.split_whitespace()).collect();
    run(&words, directory.path(), b"")
}

fn results(folder: &Path) -> ResultsDocument {
    ResultsDocument::read(&folder.join("results.json")).unwrap()
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn an_experiment_ends_in_a_folder_that_explains_itself() {
    let directory = directory(CUT);
    let outcome = lab(&directory, "run x.yaml -o out").ended(0).told(&["away: partition"]);
    assert!(outcome.text().contains("Everything that was expected holds."), "{}", outcome.text());
    let folder = directory.path().join("out");
    let page = text(&folder.join("report.html"));
    assert!(
        page.contains("&lt;away&gt;") && page.matches("<svg").count() >= 8,
        "{} plots",
        page.matches("<svg").count()
    );
    assert!(!page.contains("http://") || page.matches("http://").count() == page.matches("http://www.w3.org").count());
    assert!(text(&folder.join("summary.md")).contains("staleness.rate == 0"));
    assert!(text(&folder.join("junit.xml")).contains("failures=\"0\""));
    assert!(text(&folder.join("cells.csv")).lines().count() == 2);
    let document = results(&folder);
    let metric = |name: &str| document.cells[0].metrics.get(name).map(|metric| metric.value);
    assert_eq!((metric("lost.count"), metric("staleness.rate")), (Some(0.0), Some(0.0)));
    let live = &document.cells[0].metrics["convergence.live.converged.share"];
    assert_eq!((live.share, metric("convergence.live.all_s").is_some()), (Some((20, 20)), true), "of 20 keys");
    assert!(metric("phase.away.availability.ratio").is_some() && metric("convergence.all_s").is_some());
    let lines = text(&folder.join("cells/cut/seed-3/faults.jsonl"));
    let records: Vec<FaultRecord> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let is_seen = |record: &FaultRecord| matches!(record, FaultRecord::Probed { is_effective: true, .. });
    assert!(records.iter().any(is_seen), "a node was seen to be gone: {lines}");
    again(&directory, &folder, &page);
}

/// Judged again without a cluster, drawn again, compared with itself.
fn again(directory: &TempDir, folder: &Path, page: &str) {
    lab(directory, "check out/cells/cut/seed-3").ended(0);
    fs::remove_file(folder.join("report.html")).unwrap();
    lab(directory, "report out").ended(0);
    assert_eq!(text(&folder.join("report.html")), page, "the same files give the same page");
    lab(directory, "compare out out").ended(0);
    lab(directory, "compare out out --fail-on regression").ended(2).told(&["no metric could be decided"]);
    lab(directory, "compare out out --metric bogus").ended(2).told(&["no metric that both have begins with bogus"]);
    lab(directory, "check out").ended(64).told(&["out/cells/CELL/seed-N"]);
    lab(directory, "run x.yaml -o out").ended(64).told(&["it is there already", "--resume out"]);
    let outcome = lab(directory, "run --resume out").ended(0);
    assert!(outcome.text().contains("Everything that was expected holds."), "nothing was left to run");
}

/// Quorums are those of the file: the nodes do not tell them, and without them nothing is promised and nothing compared.
#[test]
fn nodes_that_run_already_are_judged_by_the_quorums_of_the_file_and_go_on() {
    let up = Up::start(&manifest(3, "  sloppy: false\n"));
    let endpoints: Vec<String> =
        [0, 10, 20].iter().map(|offset| format!("127.0.0.1:{}", up.base_port + offset)).collect();
    let quorums = "replicationFactor: 3, readQuorum: 2, writeQuorum: 2";
    let cluster = format!("{{endpoints: [{}], {quorums}}}", endpoints.join(", "));
    let text = CUT.replace("{replicas: 3, partitions: 16, sloppy: false}", &cluster).replace("lab-2", "t-2");
    fs::write(up.directory.path().join("x.yaml"), &text).unwrap();
    let outcome = up.driftkv(&["lab", "run", "x.yaml", "-o", "out"]).ended(0);
    assert!(outcome.text().contains("promised: fresh"), "{}", outcome.text());
    let document = results(&up.directory.path().join("out"));
    assert_eq!(document.cells[0].metrics.get("convergence.converged.share").unwrap().share, Some((16, 16)));
    up.driftkv(&["put", "k", "v"]).ended(0);
    fs::write(up.directory.path().join("x.yaml"), text.replace(quorums, "readQuorum: 2")).unwrap();
    up.driftkv(&["lab", "run", "x.yaml", "-o", "out2"]).ended(64).told(&["all three", "Nothing was started."]);
}

#[test]
fn what_does_not_hold_ends_with_one_and_names_its_cell() {
    let directory = directory(
        &GRID.replace("values.phantom == 0", "latency.put.p50_ms < 0").replace("repetitions: 2", "repetitions: 1"),
    );
    let outcome = lab(&directory, "run x.yaml -o out").ended(1).told(&["an expectation does not hold"]);
    assert!(outcome.text().contains("VIOLATED") && outcome.text().contains("writes_w=3"), "{}", outcome.text());
    let folder = directory.path().join("out");
    assert!(text(&folder.join("junit.xml")).contains("<failure"));
    assert!(folder.join("cells/writes_w=1/seed-1/run.json").exists());
    assert!(
        !folder.join("cells/writes_w=1/seed-1/history.jsonl").exists(),
        "no history of a run that kept its promises"
    );
}

#[test]
fn a_fault_that_nobody_injects_makes_the_run_inconclusive() {
    let directory = directory(&CUT.replace("sloppy: false}", "sloppy: false, allowFaults: false}"));
    let outcome = lab(&directory, "run x.yaml -o out").ended(2).told(&["inconclusive"]);
    assert!(outcome.text().contains("its faults did not begin"), "{}", outcome.text());
}

#[test]
fn an_interrupted_grid_goes_on_where_it_was() {
    let directory = directory(GRID);
    let folder = directory.path().join("out");
    let first = folder.join("cells/writes_w=1/seed-1/run.json");
    let words = ["lab", "run", "x.yaml", "-o", "out"];
    interrupted(&words, directory.path(), || first.exists()).ended(2).told(&["stopping", "--resume out"]);
    let before = text(&first);
    assert!(!folder.join("cells/writes_w=3/seed-2/run.json").exists(), "it was stopped before the end");
    lab(&directory, "run --resume out").ended(0);
    assert_eq!(text(&first), before, "what was over is not run again");
    let document = results(&folder);
    let runs: Vec<usize> = document.cells.iter().map(|cell| cell.runs.len()).collect();
    assert_eq!(runs, [2, 2]);
    let record: RunRecord = serde_json::from_str(&before).unwrap();
    assert_eq!((record.cell.as_str(), record.seed), ("writes_w=1", 1));
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_its_place_and_nothing_is_started() {
    let directory = directory(CUT);
    for (from, to, parts) in [
        ("keys: 20", "kyes: 20", ["x.yaml:6:12", "kyes"]),
        ("replicas: 3", "replicas: 0", ["cluster", "replicas"]),
        ("replicas: 3", "replicsa: 3", ["cluster", "replicsa"]),
        ("kind: partition", "kind: cut", ["phase `away`", "cut"]),
        ("lost.count == 0", "lost.count = 0", ["`lost.count = 0`", "=="]),
    ] {
        fs::write(directory.path().join("x.yaml"), CUT.replacen(from, to, 1)).unwrap();
        lab(&directory, "run x.yaml -o out").ended(64).told(&parts).told(&["Nothing was started."]);
        assert!(!directory.path().join("out").exists(), "{to}");
    }
    lab(&directory, "run nowhere.yaml").ended(64).told(&["nowhere.yaml"]);
    lab(&directory, "run --resume .").ended(64).told(&["spec.yaml"]);
    lab(&directory, "compare . .").ended(64).told(&["results.json"]);
    fs::write(directory.path().join("x.yaml"), CUT).unwrap();
    let told = lab(&directory, "explain x.yaml").ended(0);
    assert!(told.text().contains("away: partition lab-2 | *"), "{}", told.text());
}
