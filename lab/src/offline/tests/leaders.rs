//! Runs of a store with leaders, by their files.

use std::fs;

use serde_json::{Value as Json, json};

use super::{get, honest, judged, judged_as, keep, put, with};
use crate::history::ReadError;
use crate::judges::Budget;
use crate::judges::leaders::SplitBrain;
use crate::judges::linearizable::Choice;
use crate::offline::{Leaders, Outcome, Property, RunVerdict, judge};

/// `record`, answered by `node` under `term`.
fn by(term: u64, node: &str, record: Json) -> Json {
    with(record, json!({ "term": term, "coordinator": node }))
}

fn sample(node: &str, at_ns: u64, role: &str, term: u64) -> Json {
    json!({ "node": node, "sent_ns": at_ns, "recv_ns": at_ns + 1, "role": role, "term": term, "commit": 1 })
}

fn sampled(records: &[Json], samples: &[Json]) -> Result<RunVerdict, ReadError> {
    let directory = tempfile::tempdir().unwrap();
    keep(directory.path(), records, &json!({}), "eventual");
    fs::write(directory.path().join("history.end"), "{}").unwrap();
    let header = json!({ "driftkv_leadership": 1, "run": "ab" });
    let lines: String = [&header].into_iter().chain(samples).map(|line| format!("{line}\n")).collect();
    fs::write(directory.path().join("leadership.jsonl"), lines).unwrap();
    judge(directory.path(), None, &Budget::default(), Choice::Fastest)
}

/// Four operations under two terms that follow each other.
fn elected() -> Vec<Json> {
    let terms = [(1, "a"), (1, "a"), (2, "b"), (2, "b")];
    honest().into_iter().zip(terms).map(|(record, (term, node))| by(term, node, record)).collect()
}

fn told(verdict: &RunVerdict) -> &Leaders {
    verdict.leaders.as_ref().unwrap()
}

fn of_leaders(verdict: &RunVerdict) -> Option<(Outcome, u64, u64)> {
    let judged = verdict.properties.iter().find(|judged| judged.property == Property::OneLeader)?;
    Some((judged.outcome, judged.violations, judged.opportunities))
}

#[test]
fn a_history_without_terms_is_told_nothing_of_leaders() {
    let verdict = judged(&honest());
    assert_eq!((of_leaders(&verdict), &verdict.leaders), (None, &None));
    assert!(!verdict.to_string().contains("leader"), "{verdict}");
    assert!(!serde_json::to_string(&verdict).unwrap().contains("leader"));
    let verdict = judged_as(&honest(), "eventual", Some(&[Property::OneLeader]));
    assert_eq!((verdict.verdict, of_leaders(&verdict)), (Outcome::Unknown, Some((Outcome::Unknown, 0, 0))));
    assert!(verdict.to_string().contains("one-leader           unknown   the history has no terms"), "{verdict}");
}

#[test]
fn terms_that_follow_each_other_hold_and_without_samples_that_is_said_by_clients_alone() {
    let verdict = judged(&elected());
    assert_eq!((verdict.verdict, of_leaders(&verdict)), (Outcome::Holds, Some((Outcome::Holds, 0, 4))), "{verdict}");
    assert_eq!((told(&verdict).verdict, told(&verdict).is_client_only), (SplitBrain::None, true));
    assert!(
        verdict.to_string().contains("leaders: no split-brain; 2 terms; by what clients were told alone"),
        "{verdict}"
    );

    let verdict = sampled(&elected(), &[sample("a", 1, "leader", 1), sample("b", 20, "leader", 2)]).unwrap();
    assert_eq!((told(&verdict).verdict, told(&verdict).is_client_only), (SplitBrain::None, false), "{verdict}");
}

#[test]
fn an_old_leader_that_only_answers_samples_is_stale_and_harms_nobody() {
    let samples = [
        sample("a", 1, "leader", 1),
        sample("b", 20, "leader", 2),
        sample("a", 41, "leader", 1),
        sample("b", 43, "leader", 2),
    ];
    let verdict = sampled(&elected(), &samples).unwrap();
    assert_eq!((verdict.verdict, told(&verdict).verdict), (Outcome::Holds, SplitBrain::StaleLeader), "{verdict}");
    assert_eq!((told(&verdict).stale_answers, told(&verdict).together_ns), (1, 20));
    let text = verdict.to_string();
    assert!(
        text.contains("leaders: a stale leader (1 answers after a newer term had a leader), without harm"),
        "{text}"
    );
    assert!(text.contains("a in term 1 by leadership.jsonl:4"), "{text}");
}

#[test]
fn what_an_old_leader_acknowledges_and_what_is_lost_is_a_split_brain_with_its_operations() {
    // The old leader takes another write, which the new one never has.
    let after = [by(1, "a", put(4, Some(1))), by(2, "b", get(5, 1, &["0.2"]))];
    let verdict = judged(&[elected(), after.to_vec()].concat());
    assert_eq!((verdict.verdict, told(&verdict).verdict), (Outcome::Violated, SplitBrain::SplitBrain), "{verdict}");
    let leaders = told(&verdict);
    assert_eq!((leaders.late_writes, leaders.lost_writes, leaders.stale_reads, leaders.harmed_writes), (1, 1, 0, 1));
    assert_eq!(of_leaders(&verdict), Some((Outcome::Violated, 2, 6)));
    let lines = |example: &crate::offline::Example| -> Vec<u64> {
        example.operations.iter().map(|shown| shown.source).collect()
    };
    let witnesses: Vec<Vec<u64>> = leaders.examples.iter().map(lines).collect();
    assert_eq!(witnesses, [[4, 6], [6, 7]], "both writes; the write that is lost, and the read that misses it");
    let text = verdict.to_string();
    assert!(text.contains("one-leader           violated  2 of 6 answers"), "{text}");
    assert!(text.contains("split-brain: 1 writes lost, 1 acknowledged by an older leader"), "{text}");
    assert!(text.contains("put 0.4 over {0.0} (a in term 1)"), "{text}");

    let stale = [elected(), vec![by(1, "a", get(4, 1, &["0.0"]))]].concat();
    let verdict = judged(&stale);
    assert_eq!((told(&verdict).stale_reads, told(&verdict).verdict), (1, SplitBrain::SplitBrain), "{verdict}");
}

#[test]
fn two_leaders_of_one_term_are_a_safety_violation_whoever_says_so() {
    let mut rivals = elected();
    rivals[3] = by(2, "c", rivals[3].clone());
    let verdict = judged(&rivals);
    assert_eq!(
        (verdict.verdict, told(&verdict).verdict),
        (Outcome::Violated, SplitBrain::SafetyViolation),
        "{verdict}"
    );
    assert!(verdict.to_string().contains("safety violation: 1 terms had two leaders"), "{verdict}");
    let verdict = sampled(&elected(), &[sample("c", 90, "leader", 2)]).unwrap();
    assert_eq!(told(&verdict).rival_terms, 1, "{verdict}");
    let verdict = sampled(&elected(), &[sample("c", 90, "follower", 2)]).unwrap();
    assert_eq!(told(&verdict).verdict, SplitBrain::None, "who follows leads nothing");
}

#[test]
fn a_term_of_what_was_not_answered_and_samples_of_another_run_are_errors() {
    let unanswered = with(by(1, "a", put(4, None)), json!({ "status": "info" }));
    let error = sampled(&[elected(), vec![unanswered]].concat(), &[]).unwrap_err().to_string();
    assert!(error.contains("history.jsonl:6: no record of an operation: it was not answered"), "{error}");
    let error = sampled(&elected(), &[json!({ "node": "a" })]).unwrap_err().to_string();
    assert!(error.contains("leadership.jsonl:2: no sample of leadership: missing field"), "{error}");
}
