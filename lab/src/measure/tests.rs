#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
//! Small runs of which every number is known.

use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::{Measured, Phase, Setting, measure};
use crate::metrics::Metric;
use crate::report::model::{Figure, Kind};

mod availability;
mod figures;
mod judged;
mod latency;

const MS: u64 = 1_000_000;
const S: u64 = 1_000 * MS;

/// A get of nothing, due and sent at `at` ns, answered after 1 ms.
fn op(seq: u64, at: u64, changes: Json) -> Json {
    let mut record = json!({
        "run": "ab", "worker": 0, "session": 0, "seq": seq, "op": "get", "key": format!("k{seq}"), "value_id": null, "ctx_in": null,
        "target": "http://a:1", "n": 3, "r": 1, "w": 1, "intended_ns": at, "sent_ns": at, "recv_ns": at + MS, "attempts": 1, "status": "ok",
        "error": null, "coordinator": null, "replicas": null, "returned": [], "ctx_out": "", "degraded": false, "truncated": false,
    });
    record.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    record
}

/// One that failed by `error` after `waited` ns.
fn failed(seq: u64, at: u64, error: &str, waited: u64) -> Json {
    op(seq, at, json!({ "status": "fail", "error": error, "recv_ns": at + waited }))
}

fn put(seq: u64, at: u64, key: &str, over: Option<u64>) -> Json {
    let intent = if over.is_some() { "with_context" } else { "add_sibling" };
    let context = json!({ "intent": intent, "seq": over, "ctx": "" });
    op(seq, at, json!({ "op": "put", "key": key, "value_id": format!("0.{seq}"), "ctx_in": context }))
}

fn get(seq: u64, at: u64, key: &str, session: u32, brought: &[&str]) -> Json {
    let brought: Vec<Json> = brought.iter().map(|id| json!({ "value_id": id, "dot": null })).collect();
    op(seq, at, json!({ "key": key, "session": session, "returned": brought }))
}

fn write(directory: &Path, records: &[Json], duration_ms: u64) {
    let pace = match records.iter().any(|record| !record["intended_ns"].is_null()) {
        true => {
            json!({ "open": { "arrivals": { "kind": "constant", "rate": 10.0 }, "duration_ms": duration_ms, "in_flight": 8 } })
        }
        false => json!({ "closed": { "until": { "after_ms": duration_ms } } }),
    };
    let plan = json!({ "seed": 1, "workload": crate::plan::Workload::default(), "pace": pace });
    let header = json!({
        "driftkv_history": 1, "run": "ab", "started_unix_ms": 1, "plan": plan, "targets": ["http://a:1"], "read_mode": "eventual", "timeout_ms": 1000,
    });
    let lines: Vec<String> = [&header].into_iter().chain(records).map(Json::to_string).collect();
    fs::write(directory.join("history.jsonl"), lines.join("\n") + "\n").unwrap();
    fs::write(directory.join("history.end"), "{}").unwrap();
}

fn measured_with(records: &[Json], faults: &[Json], setting: &Setting) -> Measured {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), records, 10_000);
    if !faults.is_empty() {
        let lines: Vec<String> = faults.iter().map(Json::to_string).collect();
        fs::write(directory.path().join("faults.jsonl"), lines.join("\n") + "\n").unwrap();
    }
    measure(directory.path(), setting).unwrap()
}

fn measured(records: &[Json]) -> Measured {
    measured_with(records, &[], &Setting::default())
}

impl Measured {
    fn metric(&self, name: &str) -> Metric {
        *self.metrics.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.metrics.keys()))
    }

    fn value(&self, name: &str) -> f64 {
        self.metric(name).value
    }

    fn figure(&self, id: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.id == id)
    }
}

/// A cut of a from b and c, applied and healed at these seconds.
fn cut(from_s: u64, to_s: u64, lost: [u64; 3]) -> Vec<Json> {
    let text = "{id: cut, for: 10s, allowQuorumLoss: true, faults: [{kind: partition, groups: [[a], [\"*\"]]}]}";
    let counters = |dropped: u64| json!([{ "fault": "", "applies_here": true, "seen": 0, "delayed": 0, "dropped": dropped, "duplicated": 0, "reordered": 0, "activations": 0 }]);
    let names = ["a", "b", "c"];
    let evidence: Vec<Json> = names
        .iter()
        .zip(lost)
        .map(|(node, lost)| json!({ "node": node, "state": "cleared", "faults": counters(lost) }))
        .collect();
    vec![
        json!({ "event": "began", "id": "cut", "requested_ns": from_s * S - MS, "applied_ns": from_s * S, "faults": [], "targets": names, "text": text }),
        json!({ "event": "healed", "id": "cut", "requested_ns": to_s * S, "healed_ns": to_s * S, "is_evident": true, "evidence": evidence }),
    ]
}

fn three_nodes() -> Vec<(String, String)> {
    ["a", "b", "c"].map(|name| (name.to_owned(), format!("{name}:1"))).to_vec()
}

#[test]
fn a_run_without_operations_has_no_numbers_and_says_so() {
    let nothing = measured(&[]);
    assert!(nothing.metrics.is_empty() && nothing.figures.is_empty(), "{:?}", nothing.metrics);
    assert_eq!(nothing.warnings, ["the history has no operations"]);
}

#[test]
fn a_history_that_is_damaged_is_an_error_and_one_that_is_cut_off_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &[op(0, 0, json!({}))], 10);
    let path = directory.path().join("history.jsonl");
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{whole}{{\"run\"")).unwrap();
    let cut_off = measure(directory.path(), &Setting::default()).unwrap();
    assert!(cut_off.warnings.iter().any(|warning| warning.contains("6 bytes")), "{:?}", cut_off.warnings);
    fs::write(&path, format!("{whole}nonsense\n")).unwrap();
    assert!(measure(directory.path(), &Setting::default()).is_err());
    assert!(measure(&directory.path().join("nowhere"), &Setting::default()).is_err());
}

#[test]
fn the_same_files_give_the_same_numbers() {
    let records: Vec<Json> = (0..50).map(|seq| op(seq, seq * 100 * MS, json!({}))).collect();
    let [one, other] = [0, 1].map(|_| measured(&records));
    assert_eq!((one.metrics, one.figures), (other.metrics, other.figures));
}
