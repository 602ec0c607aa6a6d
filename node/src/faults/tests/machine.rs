//! Faults of a node's disk and clock: how long a sync is held back, which fails, and what time it is. By the real clock.
#![allow(clippy::unwrap_used)]

use std::{thread, time::Duration};

use tokio::time::Instant;

use super::{counters, experiment, lawless, ms, node, states, with};

/// How long a sync is held back.
fn held(node: &super::Faults) -> Duration {
    let began = Instant::now();
    node.hold_sync();
    began.elapsed()
}

#[test]
fn a_sync_of_a_slow_disk_is_held_back_by_the_law_and_counted() {
    let node = with("{kind: slow-disk, node: a, mean: 30ms}, {kind: slow-disk, node: b, mean: 50s}");
    assert!(held(&node) >= ms(30));
    assert!(held(&node) >= ms(30));
    let (here, there) = (counters(&node, 0), counters(&node, 1));
    assert_eq!((here.seen, here.delayed, there.seen, there.delayed), (2, 2, 0, 0));
}

#[test]
fn a_sync_is_released_when_its_experiment_ends_in_the_middle_of_it() {
    let node = node("a");
    node.apply("{id: x, for: 200ms, allowQuorumLoss: true, faults: [{kind: slow-disk, node: a, mean: 50s}]}").unwrap();
    assert!(held(&node) < ms(40_000));
    assert_eq!(states(&node.status()), [("x", "expired", 0)]);
    assert!(held(&node) < ms(40_000));
    assert_eq!(counters(&node, 0).seen, 1, "after the end nothing is counted");
}

#[test]
fn a_sync_is_released_when_its_experiment_is_cleared_and_another_still_holds_it() {
    let node = with("{kind: slow-disk, node: a, mean: 1s}");
    node.apply("{id: y, for: 60s, allowQuorumLoss: true, faults: [{kind: slow-disk, node: a, mean: 50s}]}").unwrap();
    let syncing = node.clone();
    let sync = thread::spawn(move || held(&syncing));
    while counters(&node, 0).seen == 0 {
        thread::yield_now();
    }
    node.clear("y").unwrap();
    let took = sync.join().unwrap();
    assert!(took >= ms(1_000) && took < ms(40_000), "{took:?}");
}

#[test]
fn a_sync_fails_as_often_as_the_rate_says_and_says_that_it_was_injected() {
    let node = node("a");
    let faults = "{kind: disk-error, node: a, rate: 25%}, {kind: disk-error, node: b, rate: 100%}";
    node.apply(&lawless("x", faults)).unwrap();
    let failures: Vec<String> =
        (0..400).filter_map(|_| node.before_sync().err()).map(|error| error.to_string()).collect();
    assert!((60..140).contains(&failures.len()), "{}", failures.len());
    assert!(failures.iter().all(|told| told.contains("injected disk error: {kind: disk-error, node: a, rate: 25%}")));
    assert_eq!((counters(&node, 0).seen, counters(&node, 0).activations), (400, failures.len() as u64));
    assert_eq!((counters(&node, 1).seen, counters(&node, 1).activations), (0, 0));
    node.clear("x").unwrap();
    assert!((0..100).all(|_| node.before_sync().is_ok()));
}

#[test]
fn a_clock_that_jumped_ahead_keeps_its_lead_and_one_that_stood_still_catches_up() {
    let node = node("a");
    assert_eq!((node.skew_ms(), node.active_count()), (0, 0));
    node.apply(&experiment("ahead", "{kind: clock-skew, node: a, by: 5s}, {kind: clock-skew, node: b, by: 1m}"))
        .unwrap();
    assert_eq!((node.skew_ms(), counters(&node, 0).activations, counters(&node, 1).activations), (5_000, 1, 0));
    node.apply(&experiment("behind", "{kind: clock-skew, node: '*', by: -2s}")).unwrap();
    assert_eq!((node.skew_ms(), node.active_count()), (3_000, 2));
    node.clear("behind").unwrap();
    assert_eq!(node.skew_ms(), 5_000);
    node.clear("ahead").unwrap();
    assert_eq!((node.skew_ms(), node.active_count()), (5_000, 0));
}
