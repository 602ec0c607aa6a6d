#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
//! Polls of which it is known when all agreed.

use std::collections::BTreeMap;

use super::{Convergence, Counters, PartitionDigest, Poll, Span, measure, spans};
use crate::offline::Outcome;
use crate::report::model::Kind;

const S: u64 = 1_000_000_000;

/// At `at` seconds: of each node its roots by partition; 0 stands for a tree that is not built.
fn poll(at: u64, nodes: &[&[u64]]) -> Poll {
    let digest =
        |(partition, root): (u32, &u64)| PartitionDigest { partition, root: *root, keys: 5, is_built: *root > 0 };
    let told = |(node, roots): (usize, &&[u64])| (format!("n{node}"), (0..).zip(*roots).map(digest).collect());
    Poll { at_ns: at * S, per_replica_digest: nodes.iter().enumerate().map(told).collect() }
}

/// Two partitions of two owners, healed at 10 s, which must agree by 20 s.
fn seen(polls: Vec<Poll>) -> Convergence {
    Convergence { heal_ns: 10 * S, deadline_ns: 10 * S, replicas: 2, partitions: 2, polls, ..Convergence::default() }
}

fn healing() -> Convergence {
    seen(vec![
        poll(9, &[&[1, 1], &[1, 1]]),
        poll(11, &[&[1, 1], &[2, 2]]),
        poll(12, &[&[2, 1], &[2, 2]]),
        poll(14, &[&[2, 2], &[2, 2]]),
        poll(15, &[&[2, 2], &[2, 2]]),
    ])
}

#[test]
fn a_partition_converged_between_the_last_difference_and_the_first_agreement() {
    let healing = healing();
    let spans: Vec<Span> = spans(&healing).into_values().collect();
    let span = |after: u64, by: u64| Span::Converged { after_ns: after * S, by_ns: by * S };
    assert_eq!(spans, [span(11, 12), span(12, 14)], "what was before the heal does not count");
    let converged = measure(&healing);
    let of = |name: &str| (converged.metrics[name].value, converged.metrics[name].interval.unwrap());
    assert_eq!(of("convergence.p50_s"), (2.0, (1.0, 2.0)));
    assert_eq!((of("convergence.p99_s"), of("convergence.all_s")), ((4.0, (2.0, 4.0)), (4.0, (2.0, 4.0))));
    assert_eq!(converged.metrics["convergence.converged.share"].share, Some((2, 2)));
    assert_eq!((converged.outcome, converged.differing), (Outcome::Holds, vec![]));
}

#[test]
fn agreement_that_did_not_last_does_not_count() {
    let mut relapsed = healing();
    relapsed.polls.push(poll(16, &[&[2, 3], &[2, 2]]));
    relapsed.polls.push(poll(17, &[&[2, 3], &[2, 3]]));
    assert_eq!(measure(&relapsed).metrics["convergence.all_s"].value, 7.0);
}

#[test]
fn what_differs_at_the_deadline_is_violated_with_its_list_and_before_it_unknown() {
    let mut open = healing();
    open.polls.push(poll(16, &[&[2, 3], &[2, 2]]));
    let early = measure(&open);
    assert_eq!((early.outcome, early.differing), (Outcome::Unknown, vec![1]));
    let almost = Convergence { deadline_ns: 7 * S, ..open.clone() };
    assert_eq!(measure(&almost).outcome, Outcome::Violated, "a second later it would have been over");
    open.polls.push(poll(20, &[&[2, 3], &[2, 2]]));
    let late = measure(&open);
    assert_eq!((late.outcome, late.differing), (Outcome::Violated, vec![1]));
    let all = late.metrics["convergence.all_s"];
    assert_eq!((all.value, all.is_at_least, late.metrics["convergence.p50_s"].value), (10.0, true, 2.0));
    open.polls.push(poll(25, &[&[3, 3], &[3, 3]]));
    assert_eq!(measure(&open).outcome, Outcome::Violated, "it agreed too late");
}

#[test]
fn what_was_not_told_is_neither_agreement_nor_a_difference() {
    let silent = seen(vec![poll(11, &[&[1, 1]]), poll(12, &[&[1, 0], &[1, 1]])]);
    let converged = measure(&silent);
    assert_eq!(
        (converged.outcome, converged.unknown),
        (Outcome::Unknown, vec![1]),
        "one node, then a tree that is not built"
    );
    let mut gap = healing();
    gap.polls.insert(4, poll(14, &[&[2, 2]]));
    assert_eq!(measure(&gap).outcome, Outcome::Holds);
    assert_eq!(measure(&seen(vec![])).outcome, Outcome::Unknown, "nobody looked");
    assert!(measure(&seen(vec![])).metrics.keys().all(|name| !name.ends_with("_s")));
    let lost = Convergence { partitions: 3, ..healing() };
    assert_eq!(measure(&lost).unknown, [2], "nobody told of the third");
}

#[test]
fn shares_are_of_what_was_counted_since_the_heal_also_by_a_node_that_was_started_anew() {
    let counters = |of: [(&str, [u64; 3]); 2]| -> Counters {
        let named = |counts: [u64; 3]| super::BY.map(str::to_owned).into_iter().zip(counts).collect::<BTreeMap<_, _>>();
        of.into_iter().map(|(node, counts)| (node.to_owned(), named(counts))).collect()
    };
    let before = counters([("a", [10, 5, 0]), ("b", [100, 0, 0])]);
    let after = counters([("a", [14, 5, 2]), ("b", [2, 0, 0])]);
    let metrics = measure(&Convergence { before, after, ..healing() }).metrics;
    let of = |name: &str| metrics[&format!("convergence.by.{name}.share")].share;
    assert_eq!((of("hints"), of("read_repair"), of("anti_entropy")), (Some((6, 8)), Some((0, 8)), Some((2, 8))));
    assert!(!measure(&healing()).metrics.contains_key("convergence.by.hints.share"), "nobody counted");
}

#[test]
fn the_curve_is_the_share_that_agrees_and_what_is_kept_is_read_back() {
    let Kind::Lines { series } = measure(&healing()).figure.unwrap().kind else { unreachable!() };
    let points: Vec<(f64, f64)> = series[0].points.iter().map(|point| (point.x, point.y.unwrap())).collect();
    assert_eq!(points, [(1.0, 0.0), (2.0, 0.5), (4.0, 1.0), (5.0, 1.0)]);
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(Convergence::read(directory.path()).unwrap(), None);
    healing().write(directory.path()).unwrap();
    assert_eq!(Convergence::read(directory.path()).unwrap(), Some(healing()));
    std::fs::write(directory.path().join("convergence.json"), "{").unwrap();
    assert!(Convergence::read(directory.path()).is_err());
}
