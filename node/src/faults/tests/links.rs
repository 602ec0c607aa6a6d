//! What happens to messages: which links, which laws, what adds up, and what a seed fixes.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{sync::mpsc, thread, time::Duration};

use tokio::time;

use super::{
    super::{Copy, Fate, Faults},
    counters, experiment, ms, node, with,
};

fn one_copy(fate: &Fate) -> Copy {
    match fate {
        Fate::Deliver(copies) if copies.len() == 1 => *copies.first().unwrap(),
        _ => panic!("not one copy: {fate:?}"),
    }
}

/// The delays of `count` messages to `to`, in milliseconds.
fn delays(node: &Faults, to: &str, count: usize) -> Vec<f64> {
    (0..count).map(|_| one_copy(&node.outgoing(to)).delay.as_secs_f64() * 1_000.0).collect()
}

fn mean(of: &[f64]) -> f64 {
    of.iter().sum::<f64>() / of.len() as f64
}

#[test]
fn without_a_fault_of_messages_no_lock_is_taken() {
    let faults = with("{kind: pause, node: b, down: 5s}, {kind: delay, between: [d, e], mean: 5ms}");
    let held = faults.lock();
    let (sender, answer) = mpsc::channel();
    let other = faults.clone();
    let asked = thread::spawn(move || sender.send((other.outgoing("b"), other.loses_incoming("b"))));
    assert_eq!(answer.recv_timeout(Duration::from_secs(10)), Ok((Fate::Pass, false)));
    drop(held);
    asked.join().unwrap().unwrap();
    assert!(!counters(&faults, 0).applies_here && !counters(&faults, 1).applies_here);
}

#[test]
fn only_the_links_named_are_disturbed() {
    let node = with("{kind: delay, from: a, to: b, mean: 5ms}");
    assert_eq!(node.outgoing("c"), Fate::Pass);
    assert_eq!(one_copy(&node.outgoing("b")), Copy { delay: ms(5), held_back: Duration::ZERO });
    assert!(!node.loses_incoming("b"));
    let counters = counters(&node, 0);
    assert_eq!(counters.fault, "{kind: delay, from: a, to: b, law: constant, mean: 5ms}");
    assert_eq!((counters.seen, counters.delayed, counters.dropped), (1, 1, 0));
}

#[test]
fn a_partition_is_enforced_at_both_ends_of_the_link() {
    let node = with("{kind: partition, groups: [[a, b, d, e], [c]]}");
    assert_eq!((node.outgoing("c"), node.outgoing("b")), (Fate::Drop, Fate::Pass));
    assert!(node.loses_incoming("c") && !node.loses_incoming("b"));
    assert_eq!((counters(&node, 0).seen, counters(&node, 0).dropped), (2, 2));
}

#[test]
fn a_one_way_partition_lets_the_other_way_through() {
    let node = with("{kind: partition, from: a, to: '*'}");
    assert_eq!(node.outgoing("b"), Fate::Drop);
    assert!(!node.loses_incoming("b"));
    let node = with("{kind: partition, from: [b, c, d, e], to: a}");
    assert_eq!(node.outgoing("b"), Fate::Pass);
    assert!(node.loses_incoming("b"));
}

#[test]
fn every_nth_message_of_each_link_is_dropped() {
    let node = with("{kind: drop, from: a, to: '*', every: 3}");
    let drops = |to: &str| (0..9).map(|_| node.outgoing(to) == Fate::Drop).collect::<Vec<_>>();
    let every_third = [false, false, true, false, false, true, false, false, true];
    assert_eq!(drops("b"), every_third);
    assert_eq!(drops("c"), every_third);
    assert_eq!((counters(&node, 0).seen, counters(&node, 0).dropped), (18, 6));
}

#[test]
fn a_rate_drops_about_its_share_and_counts_what_it_dropped() {
    let node = with("{kind: drop, between: [a, b], rate: 5%}");
    let dropped = (0..20_000).filter(|_| node.outgoing("b") == Fate::Drop).count();
    // Five standard deviations of a binomial with 20,000 and 0.05 are 154.
    assert!((846..=1_154).contains(&dropped), "{dropped}");
    assert_eq!((counters(&node, 0).seen, counters(&node, 0).dropped), (20_000, dropped as u64));
}

#[test]
fn each_law_delays_as_it_says() {
    let cases = [
        ("law: constant, mean: 20ms", 20.0, 20.0, 20.0),
        ("law: uniform, min: 10ms, max: 30ms", 20.0, 10.0, 30.0),
        ("law: exponential, mean: 20ms", 20.0, 0.0, 60_000.0),
        ("law: pareto, mean: 20ms, shape: 3", 20.0, 20.0 * 2.0 / 3.0 - 0.001, 60_000.0),
    ];
    for (law, expected, min, max) in cases {
        let node = with(&format!("{{kind: delay, between: [a, b], {law}}}"));
        let delays = delays(&node, "b", 20_000);
        assert!((mean(&delays) - expected).abs() < 1.0, "{law}: {}", mean(&delays));
        assert!(delays.iter().all(|delay| (min..=max).contains(delay)), "{law}");
        assert_eq!((counters(&node, 0).seen, one_copy(&node.outgoing("b")).held_back), (20_000, Duration::ZERO));
    }
}

#[test]
fn a_rate_delivers_its_share_twice() {
    let node = with("{kind: duplicate, from: a, to: b, rate: 100%}, {kind: duplicate, from: a, to: c, rate: 10%}");
    assert_eq!(node.outgoing("b"), Fate::Deliver(vec![Copy::default(); 2]));
    let doubled = (0..10_000).filter(|_| node.outgoing("c") == Fate::Deliver(vec![Copy::default(); 2])).count();
    assert!((850..=1_150).contains(&doubled), "{doubled}");
    assert_eq!((counters(&node, 1).seen, counters(&node, 1).duplicated), (10_000, doubled as u64));
}

#[test]
fn reorder_holds_its_share_back_within_the_window() {
    let node = with("{kind: reorder, between: [a, b], rate: 10%, window: 40ms}");
    let copies: Vec<Copy> = (0..10_000).map(|_| one_copy(&node.outgoing("b"))).collect();
    let held: Vec<f64> =
        copies.iter().filter(|copy| !copy.held_back.is_zero()).map(|copy| copy.held_back.as_secs_f64()).collect();
    assert!((850..=1_150).contains(&held.len()), "{}", held.len());
    assert!(held.iter().all(|seconds| *seconds <= 0.040) && (mean(&held) - 0.020).abs() < 0.002, "{}", mean(&held));
    assert!(copies.iter().all(|copy| copy.delay.is_zero()));
    assert_eq!((counters(&node, 0).seen, counters(&node, 0).reordered), (10_000, held.len() as u64));
}

#[test]
fn effects_of_several_experiments_add_up() {
    let node = with("{kind: delay, between: [a, b], mean: 5ms}, {kind: delay, from: '*', to: b, mean: 7ms}");
    node.apply(&experiment(
        "y",
        "{kind: delay, from: a, to: b, mean: 100ms}, {kind: duplicate, from: a, to: b, rate: 1}",
    ))
    .unwrap();
    let copy = Copy { delay: ms(112), held_back: Duration::ZERO };
    assert_eq!(node.outgoing("b"), Fate::Deliver(vec![copy; 2]));
    node.apply(&experiment("z", "{kind: drop, from: a, to: b, every: 1}")).unwrap();
    assert_eq!(node.outgoing("b"), Fate::Drop);
    node.clear("z").unwrap();
    node.clear("x").unwrap();
    let copy = Copy { delay: ms(100), held_back: Duration::ZERO };
    assert_eq!(node.outgoing("b"), Fate::Deliver(vec![copy; 2]));
}

#[tokio::test(start_paused = true)]
async fn no_message_is_held_beyond_the_end_of_the_experiment() {
    let node =
        with("{kind: delay, between: [a, b], mean: 30s}, {kind: reorder, between: [a, b], rate: 1, window: 50s}");
    time::advance(ms(59_000)).await;
    assert_eq!(one_copy(&node.outgoing("b")), Copy { delay: ms(1_000), held_back: Duration::ZERO });
}

#[test]
fn the_same_seed_draws_the_same_for_each_link_whatever_the_others_carry() {
    let faults =
        "{kind: drop, from: '*', to: '*', rate: 30%}, {kind: delay, from: '*', to: '*', law: exponential, mean: 9ms}";
    let fates = |name: &str, seed: u64, to: &str, noise: &str| {
        let node = node(name);
        let text = format!("{{for: 60s, seed: {seed}, allowQuorumLoss: true, faults: [{faults}]}}");
        node.apply(&text).unwrap();
        let next = |_| {
            node.outgoing(noise);
            node.outgoing(to)
        };
        (0..100).map(next).collect::<Vec<Fate>>()
    };
    let reference = fates("a", 7, "b", "c");
    assert_eq!(reference, fates("a", 7, "b", "d"));
    assert_ne!(reference, fates("a", 8, "b", "c"));
    assert_ne!(reference, fates("a", 7, "c", "b"));
    assert_ne!(reference, fates("e", 7, "b", "c"));
}

#[test]
fn the_first_draws_of_a_seed_stay_what_they_are() {
    let node = with("{kind: delay, from: a, to: b, law: uniform, min: 0s, max: 1s}");
    let micros: Vec<u128> = (0..3).map(|_| one_copy(&node.outgoing("b")).delay.as_micros()).collect();
    assert_eq!(micros, [761_125, 27_324, 603_723]);
}
