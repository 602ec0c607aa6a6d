#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
//! Small runs of which it is known what must be said.

mod leaders;

use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::measures::wilson;
use super::{Outcome, Property, RunVerdict, Spread, judge};
use crate::judges::Budget;
use crate::judges::linearizable::Choice;

/// A record of the key `k` at N=3, R=2, W=2, with what the tests change.
fn record(seq: u64, op: &str, changes: Json) -> Json {
    let mut record = json!({
        "run": "ab", "worker": 0, "session": 0, "seq": seq, "op": op, "key": "k", "value_id": null, "ctx_in": null, "target": "t",
        "n": 3, "r": 2, "w": 2, "intended_ns": null, "sent_ns": seq * 10, "recv_ns": seq * 10 + 5, "attempts": 1, "status": "ok",
        "error": null, "coordinator": null, "replicas": null, "returned": [], "ctx_out": null, "degraded": false, "truncated": false,
    });
    record.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    record
}

/// A put whose context is that of the answer to `seen`.
fn put(seq: u64, seen: Option<u64>) -> Json {
    let intent = if seen.is_some() { "with_context" } else { "add_sibling" };
    record(
        seq,
        "put",
        json!({ "value_id": format!("0.{seq}"), "ctx_in": { "intent": intent, "seq": seen, "ctx": "" } }),
    )
}

fn get(seq: u64, session: u32, brought: &[&str]) -> Json {
    let brought: Vec<Json> = brought.iter().map(|id| json!({ "value_id": id, "dot": null })).collect();
    record(seq, "get", json!({ "session": session, "returned": brought }))
}

fn with(mut record: Json, changes: Json) -> Json {
    record.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    record
}

fn judged_as(records: &[Json], read_mode: &str, expected: Option<&[Property]>) -> RunVerdict {
    judged_of(records, &json!({}), read_mode, expected, true)
}

/// Of a loader that was killed, so that nothing marks its end; all is expected but what only stores with leaders are judged by. `mix`: what it was to do.
fn judged_unfinished(records: &[Json], mix: &Json) -> RunVerdict {
    judged_of(records, mix, "eventual", Some(&Property::ALL[..7]), false)
}

fn judged_of(
    records: &[Json],
    mix: &Json,
    read_mode: &str,
    expected: Option<&[Property]>,
    is_finished: bool,
) -> RunVerdict {
    let directory = tempfile::tempdir().unwrap();
    keep(directory.path(), records, mix, read_mode);
    if is_finished {
        fs::write(directory.path().join("history.end"), "{}").unwrap();
    }
    judge(directory.path(), expected, &Budget::default(), Choice::Fastest).unwrap()
}

/// Writes a history to `directory`.
fn keep(directory: &Path, records: &[Json], mix: &Json, read_mode: &str) {
    let pace = json!({ "closed": { "until": { "ops": 5 } } });
    let mut plan = json!({ "seed": 1, "workload": crate::plan::Workload::default(), "pace": pace });
    plan["workload"]["mix"].as_object_mut().unwrap().extend(mix.as_object().unwrap().clone());
    let header = json!({
        "driftkv_history": 1, "run": "ab", "started_unix_ms": 1, "plan": plan, "targets": ["t"], "read_mode": read_mode, "timeout_ms": 1,
    });
    let lines: Vec<String> = [&header].into_iter().chain(records).map(Json::to_string).collect();
    fs::write(directory.join("history.jsonl"), lines.join("\n") + "\n").unwrap();
}

fn judged(records: &[Json]) -> RunVerdict {
    judged_as(records, "eventual", None)
}

/// Two writes, the second over the first, and a read of the last by another session.
fn honest() -> Vec<Json> {
    vec![put(0, None), get(1, 0, &["0.0"]), put(2, Some(1)), get(3, 1, &["0.2"])]
}

fn stale() -> Vec<Json> {
    [&honest()[..3], &[get(3, 1, &["0.0"])]].concat()
}

fn violations(verdict: &RunVerdict) -> Vec<(Property, u64)> {
    let some = verdict.properties.iter().filter(|judged| judged.violations > 0);
    some.map(|judged| (judged.property, judged.violations)).collect()
}

#[test]
fn an_honest_run_holds_and_a_stale_read_violates_what_overlapping_quorums_promise() {
    let verdict = judged(&honest());
    assert_eq!((verdict.verdict, violations(&verdict)), (Outcome::Holds, vec![]), "{verdict}");
    assert!(verdict.to_string().starts_with("run ab: holds (written, fresh, read-your-writes)\n"), "{verdict}");
    assert_eq!((verdict.registers.by_zones, verdict.distance.positive_keys), (1, 0));

    let verdict = judged(&stale());
    assert_eq!(violations(&verdict), [(Property::Fresh, 1), (Property::Linearizable, 1)], "{verdict}");
    assert_eq!(verdict.verdict, Outcome::Violated);
    let of = |stale: &super::StaleReads| {
        (stale.reads, stale.stale, stale.age_ns.unwrap().max, stale.versions_behind.unwrap().max)
    };
    assert_eq!(of(&verdict.stale_in_real_time), (2, 1, 5, 1));
    assert_eq!(of(&verdict.stale_by_causes), (2, 1, 5, 1));
    // The read and the write that it misses, by their lines: the header is the first.
    let lines: Vec<u64> = verdict.stale_in_real_time.examples[0].operations.iter().map(|shown| shown.source).collect();
    assert_eq!(lines, [4, 5]);
    let asked: Vec<&str> =
        verdict.registers.findings[0].witness.iter().map(|shown| shown.asked.as_deref().unwrap()).collect();
    assert!(!asked.is_empty() && asked.iter().all(|node| *node == "t"), "{asked:?}");
    assert!(verdict.to_string().contains("(asked t)"), "{verdict}");
    // Both clusters would meet if everything were longer by the distance of 0.0's last read from the end of 0.2's write.
    assert_eq!((verdict.distance.gamma_ns.unwrap().max, verdict.distance.delta_ns.unwrap().max), (5, 5));
}

#[test]
fn what_is_not_promised_is_told_and_convicts_nobody_unless_it_is_expected() {
    let weak: Vec<Json> = stale().into_iter().map(|record| with(record, json!({ "r": 1, "w": 1 }))).collect();
    let verdict = judged(&weak);
    assert_eq!((verdict.verdict, verdict.properties[1].violations), (Outcome::Holds, 1));
    assert!(verdict.to_string().contains("1 of 2 reads; not promised"), "{verdict}");
    assert_eq!(judged_as(&weak, "eventual", Some(&[Property::Fresh])).verdict, Outcome::Violated);
    assert_eq!(judged_as(&weak, "eventual", Some(&[Property::ReadYourWrites])).verdict, Outcome::Holds);

    let mut sloppy = stale();
    sloppy[2] = with(sloppy[2].clone(), json!({ "degraded": true }));
    assert_eq!(judged(&sloppy).verdict, Outcome::Holds, "one stand-in ends what overlap promises");

    let untold: Vec<Json> = stale().into_iter().map(|record| with(record, json!({ "n": null }))).collect();
    assert_eq!(judged(&untold).verdict, Outcome::Unknown);
    let untold: Vec<Json> = honest().into_iter().map(|record| with(record, json!({ "n": null }))).collect();
    assert_eq!(judged(&untold).verdict, Outcome::Holds, "whatever was promised was kept");
}

#[test]
fn a_session_that_sees_less_than_before_breaks_what_monotonic_reads_promise() {
    let back = [honest(), vec![get(4, 1, &["0.0"])]].concat();
    let weak: Vec<Json> = back.into_iter().map(|record| with(record, json!({ "r": 1, "w": 1 }))).collect();
    assert_eq!(judged(&weak).verdict, Outcome::Holds);
    let verdict = judged_as(&weak, "monotonic", None);
    assert_eq!(verdict.verdict, Outcome::Violated);
    assert!(verdict.sentence().contains("monotonic-reads"), "{verdict}");
    let lines: Vec<u64> = verdict.session_examples[0].operations.iter().map(|shown| shown.source).collect();
    assert_eq!(lines, [4, 6], "the write that it saw before, and the read");
}

#[test]
fn what_nobody_wrote_and_what_a_delete_took_away_is_found_whatever_the_quorums() {
    let verdict = judged_as(&[put(0, None), get(1, 0, &["0.7"])], "eventual", None);
    assert_eq!((verdict.verdict, verdict.values.phantom), (Outcome::Violated, 1));
    let gone = json!({ "value_id": "0.2", "ctx_in": { "intent": "with_context", "seq": 1, "ctx": "" } });
    let deleted = |last: &[&str]| [&honest()[..2], &[record(2, "delete", gone.clone()), get(3, 1, last)]].concat();
    assert_eq!(judged(&deleted(&[])).verdict, Outcome::Holds);
    let verdict = judged(&deleted(&["0.0"]));
    assert_eq!((verdict.verdict, verdict.values.revived), (Outcome::Violated, 1), "{verdict}");
    let mut again = deleted(&["0.0"]);
    again[0] = with(again[0].clone(), json!({ "attempts": 2 }));
    let verdict = judged(&again);
    assert_eq!((verdict.verdict, verdict.values.revived), (Outcome::Holds, 1), "its first attempt may come late");
    assert!(verdict.to_string().contains("revived: 1 reads"), "{verdict}");
}

#[test]
fn siblings_are_searched_and_keys_of_others_are_left_out() {
    let beside = vec![put(0, None), put(1, None), get(2, 0, &["0.0", "0.1"])];
    let verdict = judged(&beside);
    assert_eq!(
        (verdict.verdict, verdict.siblings.valid, verdict.values.conflicts),
        (Outcome::Holds, 1, 1),
        "{verdict}"
    );
    let shared = [beside, vec![get(3, 0, &["0.0", "0.1", "cd/0.5"])]].concat();
    let verdict = judged(&shared);
    assert_eq!((verdict.verdict, verdict.left_out.keys_of_others), (Outcome::Unknown, 1), "{verdict}");
    assert!(verdict.to_string().contains("left out: 1 keys with values of other runs"), "{verdict}");
}

/// research/lab.md 3.7: the strict verdict convicts, the lenient one only tells.
#[test]
fn a_sibling_that_a_read_leaves_out_breaks_the_strict_verdict_and_not_the_lenient_one() {
    let of = |last: &[&str]| {
        let verdict = judged(&[put(0, None), put(1, None), get(2, 0, &["0.0", "0.1"]), get(3, 0, last)]);
        ((verdict.siblings.valid, verdict.siblings_leniently.valid), verdict)
    };
    assert_eq!(of(&["0.0", "0.1"]).0, (1, 1));
    let (valid, verdict) = of(&["0.1"]);
    assert_eq!((valid, verdict.verdict), ((0, 1), Outcome::Violated), "{verdict}");
    assert!(verdict.to_string().contains("only show the newest): 1 keys, 1 linearizable, 0 not"), "{verdict}");
    assert_eq!(of(&[]).0, (0, 0), "the newest is not there");
    // A delete that had seen one of two blind writes leaves the other, whichever came first.
    let gone = json!({ "value_id": "0.3", "ctx_in": { "intent": "with_context", "seq": 1, "ctx": "" } });
    let records = [put(0, None), get(1, 0, &["0.0"]), put(2, None), record(3, "delete", gone), get(4, 0, &["0.2"])];
    let verdict = judged(&records);
    assert_eq!((verdict.siblings.valid, verdict.siblings_leniently.valid), (1, 1), "{verdict}");
}

#[test]
fn spreads_and_intervals_are_those_of_the_textbook() {
    assert_eq!(Spread::of((1..=100).rev().collect()), Some(Spread { p50: 50, p99: 99, max: 100 }));
    assert_eq!(Spread::of(vec![7]), Some(Spread { p50: 7, p99: 7, max: 7 }));
    assert_eq!(Spread::of(vec![]), None);
    let (low, high) = wilson(10, 100).unwrap();
    assert!((low - 0.0552).abs() < 1e-4 && (high - 0.1744).abs() < 1e-4, "{low} {high}");
    assert_eq!((wilson(0, 0), wilson(0, 10).unwrap().0), (None, 0.0));
}

/// The last half second of a history that was killed is missing, and other sessions have read what was written in it.
#[test]
fn what_has_no_line_in_a_history_without_its_end_is_unknown_and_convicts_nobody() {
    let unwritten = [honest(), vec![get(4, 1, &["0.9"])]].concat();
    assert_eq!(judged(&unwritten).verdict, Outcome::Violated, "of a run that came to its end it is a phantom");
    let verdict = judged_unfinished(&unwritten, &json!({}));
    assert_eq!((verdict.verdict, violations(&verdict)), (Outcome::Unknown, vec![]), "{verdict}");
    assert_eq!((verdict.left_out.keys_without_lines, verdict.left_out.is_unfinished), (1, true));
    assert!(verdict.to_string().contains("the history has no end (the loader was killed)"), "{verdict}");
    assert_eq!(judged_unfinished(&honest(), &json!({})).verdict, Outcome::Holds, "as far as it goes");

    // What its lines prove stays proven.
    assert_eq!(judged_unfinished(&stale(), &json!({})).verdict, Outcome::Violated);
    let refused = with(put(4, None), json!({ "status": "fail" }));
    for value in ["0.4", "damaged 0.2"] {
        let verdict = judged_unfinished(&[honest(), vec![refused.clone(), get(5, 1, &[value])]].concat(), &json!({}));
        assert_eq!(verdict.properties[0].violations, 1, "{value}: {verdict}");
    }
}

/// `lab run` gives each run a bucket that is named for it.
#[test]
fn a_stranger_in_a_bucket_of_the_runs_own_is_a_phantom_and_elsewhere_leaves_it_open() {
    let judged = |bucket: &str, brought: &str| {
        let directory = tempfile::tempdir().unwrap();
        let at_one = |record: Json| with(record, json!({ "r": 1, "w": 1 }));
        let records = [at_one(put(1, None)), at_one(get(2, 0, &[brought]))];
        keep(directory.path(), &records, &json!({}), "eventual");
        let path = directory.path().join("history.jsonl");
        let usual = format!("\"bucket\":{:?}", crate::plan::Workload::default().bucket);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(&usual), "{text}");
        fs::write(&path, text.replace(&usual, &format!("\"bucket\":{bucket:?}"))).unwrap();
        fs::write(directory.path().join("history.end"), "{}").unwrap();
        judge(directory.path(), None, &Budget::default(), Choice::Fastest).unwrap()
    };
    assert_eq!(judged("lab-ab", "0.1").verdict, Outcome::Holds);
    for stranger in ["00cd/0.1", "unknown 0123456789abcdef"] {
        let own = judged("lab-ab", stranger);
        assert_eq!((own.verdict, own.values.phantom, own.value_examples.len()), (Outcome::Violated, 1, 1), "{own}");
        let shared = judged("shop", stranger);
        assert_eq!((shared.verdict, shared.values.phantom), (Outcome::Unknown, 0), "{shared}");
    }
}

#[test]
fn a_history_in_which_nothing_was_done_keeps_nothing() {
    assert_eq!(judged_as(&[], "eventual", None).verdict, Outcome::Unknown);
    let failed = with(get(1, 0, &[]), json!({ "status": "fail" }));
    assert_eq!(judged_as(&[failed], "eventual", None).verdict, Outcome::Unknown);
}

#[test]
fn a_phantom_beside_a_stranger_is_shown() {
    let verdict = judged_as(&[put(1, None), get(2, 0, &["0.99", "00cd/0.1"])], "eventual", None);
    assert_eq!((verdict.verdict, verdict.value_examples.len()), (Outcome::Violated, 1), "{verdict}");
}

#[test]
fn a_delete_without_a_line_may_have_emptied_any_key() {
    let empty = [honest(), vec![get(4, 1, &[])]].concat();
    assert_eq!(judged_unfinished(&empty, &json!({})).verdict, Outcome::Violated, "nobody deleted");
    let verdict = judged_unfinished(&empty, &json!({ "delete": 1 }));
    assert_eq!((verdict.verdict, violations(&verdict)), (Outcome::Unknown, vec![]), "{verdict}");
    assert_eq!(verdict.properties[0].outcome, Outcome::Holds, "what was read was written");
}
