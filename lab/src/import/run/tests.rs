#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use std::fs;

use serde_json::{Value as Json, json};

use super::read_run;
use crate::judges::account::{Account, Covers, Did};
use crate::judges::linearizable::{Choice, Model, check};
use crate::judges::{Budget, Verdict, sessions, staleness};

/// A record of the key `k`, with what the tests change.
fn record(seq: u64, op: &str, changes: Json) -> Json {
    let mut record = json!({
        "run": "ab", "worker": 0, "session": 0, "seq": seq, "op": op, "key": "k", "value_id": null, "ctx_in": null, "target": "t",
        "n": null, "r": null, "w": null, "intended_ns": null, "sent_ns": seq * 10, "recv_ns": seq * 10 + 5, "attempts": 1, "status": "ok",
        "error": null, "coordinator": null, "replicas": null, "returned": [], "ctx_out": null, "degraded": null, "truncated": false,
    });
    record.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    record
}

fn text(records: &[Json]) -> String {
    let pace = json!({ "closed": { "until": { "ops": 5 } } });
    let plan = json!({ "seed": 1, "workload": crate::plan::Workload::default(), "pace": pace });
    let header = json!({
        "driftkv_history": 1, "run": "ab", "started_unix_ms": 1, "plan": plan, "targets": ["t"], "read_mode": "eventual", "timeout_ms": 1,
    });
    let lines: Vec<String> = [&header].into_iter().chain(records).map(Json::to_string).collect();
    lines.join("\n") + "\n"
}

fn read(records: &[Json]) -> (Account, u64) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.jsonl");
    fs::write(&path, text(records)).unwrap();
    fs::write(directory.path().join("history.end"), "{}").unwrap();
    let imported = read_run(&path, |_| {}).unwrap().imported;
    (imported.account, imported.left_out)
}

fn values(ids: &[&str]) -> Json {
    let values: Vec<Json> = ids.iter().map(|id| json!({ "value_id": id, "dot": null })).collect();
    json!({ "returned": values })
}

/// Two blind puts, a read-modify-write over both, what says nothing, and a last read.
fn history(last: &[&str]) -> Vec<Json> {
    let put = |id: &str| json!({ "value_id": id, "ctx_in": { "intent": "add_sibling", "seq": null, "ctx": "" } });
    let with_context = json!({ "intent": "with_context", "seq": 2, "ctx": "AQ" });
    vec![
        record(0, "put", put("0.0")),
        record(1, "put", put("0.1")),
        record(2, "rmw_get", values(&["0.0", "0.1"])),
        record(2, "rmw_put", json!({ "value_id": "0.2", "ctx_in": with_context, "sent_ns": 26, "recv_ns": 29 })),
        record(3, "put", json!({ "value_id": "0.3", "sent_ns": null, "status": "fail" })),
        record(4, "get", json!({ "status": "fail" })),
        record(5, "get", values(last)),
    ]
}

fn verdict(account: &Account) -> Verdict {
    check(account, Model::Siblings, &Budget::default(), Choice::Fastest).verdict
}

#[test]
fn a_write_covers_what_the_answer_showed_whose_context_it_carried() {
    let (account, left_out) = read(&history(&["0.2"]));
    assert_eq!(left_out, 2, "what was not sent, and a read without an answer");
    let Did::Replace { covers: Covers::These(covers), .. } = &account.keys[0].operations[3].did else { unreachable!() };
    let names: Vec<&str> = covers.iter().map(|value| account.names.name(*value)).collect();
    assert_eq!(names, ["0.0", "0.1"]);
    assert_eq!(verdict(&account), Verdict::Valid);
    let fresh = staleness::check(&account).causal;
    assert_eq!((fresh.reads, fresh.stale), (2, 0));
}

#[test]
fn a_read_of_what_was_covered_is_found_by_all() {
    let (account, _) = read(&history(&["0.0", "0.1"]));
    assert_eq!(verdict(&account), Verdict::Invalid);
    assert_eq!(staleness::check(&account).causal.stale, 1);
    assert_eq!(sessions::check(&account).read_your_writes.violations, 1);
}

#[test]
fn values_of_other_runs_leave_the_order_unknown() {
    let (account, _) = read(&history(&["0.2", "cd/0.7"]));
    assert_eq!(verdict(&account), Verdict::Unknown);
    assert_eq!(staleness::check(&account).phantom, 0);
}

#[test]
fn a_write_sent_twice_over_everything_is_known_to_be() {
    let put = |attempts: u32, intent: &str| {
        let context = json!({ "intent": intent, "seq": null, "ctx": "" });
        record(0, "put", json!({ "value_id": "0.0", "attempts": attempts, "ctx_in": context }))
    };
    let repeated = |record: Json| read(&[record]).0.keys[0].repeated.len();
    assert_eq!(repeated(put(2, "overwrite_all")), 1);
    assert_eq!(repeated(put(1, "overwrite_all")), 0);
    assert_eq!(repeated(put(2, "add_sibling")), 0, "applied again it takes nothing away");
}

#[test]
fn a_context_of_an_operation_without_a_line_is_damage_unless_the_loader_was_killed() {
    let context = json!({ "intent": "with_context", "seq": 7, "ctx": "AQ" });
    let put = record(0, "put", json!({ "value_id": "0.0", "ctx_in": context }));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history.jsonl");
    fs::write(&path, text(&[put])).unwrap();
    let history = read_run(&path, |_| {}).unwrap();
    let key = &history.imported.account.keys[0];
    assert!(history.is_unfinished && key.has_unknown_contexts);
    fs::write(directory.path().join("history.end"), "{}").unwrap();
    let refused = read_run(&path, |_| {}).unwrap_err().to_string();
    assert!(
        refused.contains("history.jsonl:2: its context is of the operation 7, of which there is no line"),
        "{refused}"
    );
}
