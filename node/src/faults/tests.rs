//! Experiments on the node `a` of five, by a clock that stands still until a test moves it: what is refused, begins and ends.
#![allow(clippy::unwrap_used)]

mod links;
mod machine;
mod timers;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use driftkv_proto::{faults::EXPERIMENT_BYTES_MAX, v1};
use tokio::time::{self, Instant};

use super::{Fate, FaultError, Faults, Membership};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn members() -> Membership {
    let names = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
    Membership { names, n: 3, r: 2, w: 2 }
}

fn node(name: &str) -> Faults {
    let faults = Faults::new(name, true);
    faults.set_members(members());
    faults
}

/// The node `a` with one active experiment.
fn with(faults: &str) -> Faults {
    let node = node("a");
    node.apply(&experiment("x", faults)).unwrap();
    node
}

fn experiment(id: &str, faults: &str) -> String {
    format!("{{id: {id}, for: 60s, seed: 7, faults: [{faults}]}}")
}

fn lawless(id: &str, faults: &str) -> String {
    format!("{{id: {id}, for: 60s, seed: 7, allowQuorumLoss: true, faults: [{faults}]}}")
}

/// What this fault of the first experiment did.
fn counters(node: &Faults, index: usize) -> v1::FaultCounters {
    node.status().experiments.first().unwrap().faults.get(index).unwrap().clone()
}

/// The state and the rest of the time of every experiment, in the order of the status.
fn states(status: &v1::FaultStatus) -> Vec<(&str, &str, u64)> {
    status.experiments.iter().map(|it| (it.id.as_str(), it.state.as_str(), it.remaining_ms)).collect()
}

/// Lets `run` do what is due, without moving the clock.
async fn let_run() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

/// Moves the clock to `at` after `start` and lets `run` do what is due.
async fn move_to(start: Instant, at: Duration) {
    time::advance((start + at).saturating_duration_since(Instant::now())).await;
    let_run().await;
}

/// The node with its timers running, and what called the crash hook.
fn running(name: &str) -> (Faults, Arc<Mutex<Vec<String>>>) {
    let (node, crashes) = (node(name), Arc::new(Mutex::new(Vec::new())));
    let hook = Arc::clone(&crashes);
    tokio::spawn(node.clone().run(move |fault| hook.lock().unwrap().push(fault.to_owned())));
    (node, crashes)
}

#[test]
fn nothing_is_injected_unless_the_node_was_started_to_allow_it() {
    let node = Faults::new("a", false);
    node.set_members(members());
    let text = experiment("x", "{kind: drop, between: [a, b], every: 1}");
    assert_eq!(node.apply(&text), Err(FaultError::NotAllowed));
    assert_eq!(node.status(), v1::FaultStatus { is_allowed: false, experiments: Vec::new() });
    assert_eq!(node.outgoing("b"), Fate::Pass);
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    let node = node("a");
    let error = node.apply("for: 1s\nfaults:\n- {kind: drip}\n").unwrap_err();
    assert!(error.to_string().contains("line 3, column 10: unknown kind `drip`"), "{error}");
    let error = node.apply(&"#".repeat(EXPERIMENT_BYTES_MAX + 1)).unwrap_err();
    assert!(error.to_string().contains("at most 65536 are read"), "{error}");
    assert_eq!(node.status().experiments, []);
}

#[test]
fn a_kind_of_a_later_version_refuses_the_whole_experiment() {
    let node = node("a");
    let wipe = "{kind: delay, between: [a, b], mean: 5ms}, {kind: wipe, node: c}";
    let error = node.apply(&experiment("x", wipe)).unwrap_err();
    assert!(
        matches!(&error, FaultError::Unsupported(why) if why.message.contains("kind wipe is not supported")),
        "{error}"
    );
    assert_eq!(node.outgoing("b"), Fate::Pass);
}

#[test]
fn before_the_members_are_known_every_experiment_is_refused() {
    let node = Faults::new("a", true);
    let text = experiment("x", "{kind: delay, between: [a, b], mean: 5ms}");
    assert_eq!(node.apply(&text), Err(FaultError::NoMembers));
    node.set_members(members());
    assert!(node.apply(&text).is_ok());
}

#[test]
fn strangers_and_the_loss_of_a_quorum_are_refused() {
    let node = node("a");
    let error = node.apply(&experiment("x", "{kind: drop, from: a, to: q, rate: 5%}")).unwrap_err();
    assert!(error.to_string().ends_with(": no such node: q; the members are a, b, c, d, e"), "{error}");
    assert!(error.to_string().starts_with("line "), "{error}");
    let cut = "{kind: partition, groups: [[a, b], [c, d, e]]}";
    let error = node.apply(&experiment("x", cut)).unwrap_err();
    assert!(error.to_string().starts_with("disturbs 2 nodes (a, b)"), "{error}");
    assert_eq!(node.status().experiments, []);
    assert!(node.apply(&lawless("x", cut)).is_ok());
}

#[test]
fn experiments_that_cost_the_quorum_only_together_are_refused() {
    let node = node("a");
    node.apply(&experiment("first", "{kind: pause, node: b, down: 5s}")).unwrap();
    let second = "{kind: pause, node: c, down: 5s}";
    let error = node.apply(&experiment("second", second)).unwrap_err().to_string();
    assert!(error.starts_with("disturbs 2 nodes (b, c)"), "{error}");
    assert!(error.ends_with("(counted together with what is active: first)"), "{error}");
    assert!(node.apply(&experiment("timing", "{kind: delay, from: '*', to: '*', mean: 5ms}")).is_ok());
    assert!(node.apply(&lawless("second", second)).is_ok());
}

#[test]
fn only_so_many_are_active_at_once() {
    let node = node("a");
    let text = |id: usize| experiment(&format!("x{id}"), "{kind: delay, between: [a, b], mean: 5ms}");
    for id in 0..8 {
        node.apply(&text(id)).unwrap();
    }
    assert_eq!(node.apply(&text(8)), Err(FaultError::TooMany));
    node.clear("x3").unwrap();
    assert!(node.apply(&text(8)).is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_same_id_does_not_start_again_even_after_its_end() {
    let (node, _) = running("a");
    let (start, text) = (Instant::now(), experiment("x", "{kind: drop, between: [a, b], every: 1}"));
    node.apply(&text).unwrap();
    move_to(start, ms(20_000)).await;
    assert_eq!(states(&node.apply(&text).unwrap()), [("x", "active", 40_000)]);
    move_to(start, ms(60_000)).await;
    assert_eq!(states(&node.apply(&text).unwrap()), [("x", "expired", 0)]);
    assert_eq!(node.outgoing("b"), Fate::Pass);
}

#[test]
fn the_same_id_with_other_faults_is_refused_and_with_another_layout_of_the_text_is_not() {
    let node = with("{kind: drop, between: [a, b], every: 1}");
    let same = "id: x\nfor: 1m   # again\nseed: 7\nfaults:\n- {kind: drop, between: [a, b], every: 1}\n";
    assert_eq!(states(&node.apply(same).unwrap()).len(), 1);
    let other = experiment("x", "{kind: drop, between: [a, b], every: 2}");
    assert_eq!(node.apply(&other), Err(FaultError::IdTaken { id: "x".to_owned() }));
    node.clear("x").unwrap();
    assert_eq!(node.apply(&other), Err(FaultError::IdTaken { id: "x".to_owned() }));
}

#[tokio::test(start_paused = true)]
async fn an_experiment_has_no_effect_from_its_end_on_even_if_no_timer_runs() {
    let node = with("{kind: partition, groups: [[a], ['*']]}");
    let start = Instant::now();
    move_to(start, ms(59_999)).await;
    assert_eq!(node.outgoing("b"), Fate::Drop);
    assert!(node.loses_incoming("b"));
    assert_eq!(states(&node.status()), [("x", "active", 1)]);
    move_to(start, ms(60_000)).await;
    assert_eq!(node.outgoing("b"), Fate::Pass);
    assert!(!node.loses_incoming("b"));
    assert_eq!(states(&node.status()), [("x", "expired", 0)]);
}

#[tokio::test(start_paused = true)]
async fn what_ended_stays_visible_with_its_counters_and_the_last_first() {
    let node = node("a");
    for id in 0..20 {
        let id = format!("x{id}");
        node.apply(&experiment(&id, "{kind: drop, between: [a, b], every: 1}")).unwrap();
        assert_eq!(node.outgoing("b"), Fate::Drop);
        node.clear(&id).unwrap();
        assert_eq!(node.outgoing("b"), Fate::Pass);
    }
    let status = node.status();
    assert_eq!(status.experiments.len(), 16);
    let newest = status.experiments.first().unwrap();
    assert_eq!((newest.id.as_str(), newest.state.as_str(), newest.remaining_ms), ("x19", "cleared", 0));
    assert_eq!(newest.text, experiment("x19", "{kind: drop, between: [a, b], every: 1}"));
    let counters = newest.faults.first().unwrap();
    assert_eq!((counters.seen, counters.dropped, counters.applies_here), (1, 1, true));
}

#[test]
fn an_id_no_longer_shown_is_refused_and_not_answered_as_if_it_had_begun() {
    let node = node("a");
    let text = |id: usize| experiment(&format!("x{id}"), "{kind: drop, between: [a, b], every: 1}");
    for id in 0..20 {
        node.apply(&text(id)).unwrap();
        node.clear("").unwrap();
    }
    assert_eq!(node.apply(&text(3)), Err(FaultError::IdTaken { id: "x3".to_owned() }));
    assert!(node.apply(&text(4)).unwrap().experiments.iter().all(|it| it.state == "cleared"), "still shown");
    assert_eq!(node.outgoing("b"), Fate::Pass);
}

#[test]
fn clear_ends_one_or_all_and_names_the_unknown() {
    let node = node("a");
    for id in ["x", "y", "z"] {
        node.apply(&experiment(id, "{kind: delay, between: [a, b], mean: 5ms}")).unwrap();
    }
    let unknown = node.clear("q").unwrap_err();
    assert_eq!(unknown.to_string(), "no experiment `q` is known here");
    let states_of = |status: &v1::FaultStatus| {
        status.experiments.iter().map(|it| format!("{} {}", it.id, it.state)).collect::<Vec<_>>()
    };
    assert_eq!(states_of(&node.clear("y").unwrap()), ["x active", "z active", "y cleared"]);
    assert_eq!(states_of(&node.clear("y").unwrap()), ["x active", "z active", "y cleared"]);
    assert_eq!(states_of(&node.clear("").unwrap()), ["z cleared", "x cleared", "y cleared"]);
    assert_eq!(node.outgoing("b"), Fate::Pass);
}
