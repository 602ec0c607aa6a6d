#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
//! Which counters prove which fault.

use super::{Counters, Evidence, FaultRecord, State, Verification, verify};
use crate::faults::periods;

/// What a node counted of the one fault of an experiment.
fn node(name: &str, change: impl FnOnce(&mut Counters)) -> Evidence {
    let mut counters = Counters {
        fault: String::new(),
        applies_here: true,
        seen: 9,
        delayed: 0,
        dropped: 0,
        duplicated: 0,
        reordered: 0,
        activations: 0,
    };
    change(&mut counters);
    Evidence { node: name.to_owned(), state: State::Expired, faults: vec![counters] }
}

fn lost(name: &str, dropped: u64) -> Evidence {
    node(name, |counters| counters.dropped = dropped)
}

fn records(fault: &str, evidence: Vec<Evidence>) -> Vec<FaultRecord> {
    let text = format!("{{id: x, for: 1s, allowQuorumLoss: true, faults: [{fault}]}}");
    let (id, faults, targets) = ("x".to_owned(), vec![], vec![]);
    vec![
        FaultRecord::Began { id: id.clone(), requested_ns: 1, applied_ns: 2, faults, targets, text },
        FaultRecord::Healed { id, requested_ns: 8, healed_ns: 9, is_evident: true, evidence },
    ]
}

fn of(fault: &str, evidence: Vec<Evidence>) -> Verification {
    let [verification] = verify(&records(fault, evidence)).try_into().unwrap();
    verification
}

fn holds(fault: &str, evidence: Vec<Evidence>) -> bool {
    of(fault, evidence).is_verified
}

#[test]
fn a_cut_is_verified_only_if_each_side_lost_something() {
    let cut = "{kind: partition, groups: [[a], [\"*\"]]}";
    assert!(holds(cut, vec![lost("a", 3), lost("b", 0), lost("c", 1)]));
    assert!(!holds(cut, vec![lost("a", 3), lost("b", 0), lost("c", 0)]), "one side only");
    assert!(!holds(cut, vec![lost("a", 3)]), "the other side was never asked");
    let one_way = "{kind: partition, from: [a], to: [b]}";
    assert!(holds(one_way, vec![lost("a", 0), lost("b", 4)]), "lost on arrival");
    assert!(!holds(one_way, vec![lost("a", 0), lost("b", 0), lost("c", 7)]), "c is not of it");
}

#[test]
fn a_fault_of_links_is_verified_by_those_who_send_over_them() {
    let delay = "{kind: delay, from: a, to: [b, c], law: constant, mean: 5ms}";
    let held = |name: &str, delayed| node(name, |counters| counters.delayed = delayed);
    assert!(holds(delay, vec![held("a", 1), held("b", 0)]));
    assert!(!holds(delay, vec![held("a", 0), held("b", 5)]), "another one's delays");
    assert!(!holds(delay, vec![lost("a", 5)]), "losses are no delays");
    let drop = "{kind: drop, between: [a, b], rate: 50%}";
    assert!(!holds(drop, vec![lost("a", 2), lost("b", 0)]));
    assert!(holds(drop, vec![lost("a", 2), lost("b", 1)]));
    let with_one_that_forgot = vec![lost("a", 2), Evidence::without_counters("b", State::Forgotten), lost("c", 1)];
    let told = of("{kind: partition, groups: [[a, b], [c]]}", with_one_that_forgot);
    assert!(
        told.is_verified && told.why == "a b: 2 messages lost (but b was started anew since); c: 1 messages lost",
        "{told}"
    );
}

#[test]
fn a_crash_is_verified_by_a_node_that_forgot_and_a_pause_is_not() {
    let forgot = || vec![Evidence::without_counters("a", State::Forgotten)];
    assert!(holds("{kind: crash, node: a, after: 1ms}", forgot()));
    assert!(!holds("{kind: pause, node: a, down: 100ms}", forgot()));
    assert!(holds("{kind: pause, node: a, down: 100ms}", vec![node("a", |counters| counters.activations = 1)]));
    assert!(!holds("{kind: pause, node: a, down: 100ms}", vec![node("b", |counters| counters.activations = 1)]));
    let silent = of(
        "{kind: crash, node: a, after: 1ms}",
        vec![Evidence::without_counters("a", State::Unknown("gone".to_owned()))],
    );
    assert!(!silent.is_verified && silent.why.contains("a did not say: gone"), "{silent:?}");
}

#[test]
fn each_fault_of_an_experiment_needs_its_own_evidence() {
    let two = "{kind: pause, node: a, down: 100ms}, {kind: slow-disk, node: a, law: constant, mean: 5ms}";
    let mut evidence = node("a", |counters| counters.activations = 1);
    evidence.faults.push(evidence.faults[0].clone());
    let verifications = verify(&records(two, vec![evidence.clone()]));
    assert_eq!(verifications.iter().map(|one| one.is_verified).collect::<Vec<_>>(), [true, false]);
    assert!(!periods(&records(two, vec![evidence.clone()]), &[])[0].is_verified);
    evidence.faults[1].delayed = 1;
    assert!(periods(&records(two, vec![evidence]), &[])[0].is_verified);
}

#[test]
fn what_did_not_begin_or_has_no_end_is_not_verified() {
    let refused = FaultRecord::Refused { id: "x".to_owned(), requested_ns: None, why: "over".to_owned() };
    assert!(!verify(&[refused])[0].is_verified);
    let mut endless = records("{kind: pause, node: a, down: 100ms}", vec![]);
    endless.pop();
    assert!(!verify(&endless)[0].is_verified);
    assert_eq!(periods(&endless, &[])[0].to_ns, None);
}

/// A node that crashed is not reached across a cut either, whether there is one or not.
#[test]
fn a_probe_stands_in_for_what_nobody_told_and_not_against_what_was_counted() {
    let cut = "{kind: partition, groups: [[a], [b, c]]}";
    let probed = |evidence: Vec<Evidence>| {
        let mut records = records(cut, evidence);
        let saw = "a does not reach b".to_owned();
        records.insert(1, FaultRecord::Probed { id: "x".to_owned(), fault: 0, at_ns: 5, is_effective: true, saw });
        verify(&records)[0].is_verified
    };
    let gone = |name: &str| Evidence::without_counters(name, State::Forgotten);
    assert!(!probed(vec![lost("a", 0), lost("b", 0), lost("c", 0)]));
    assert!(!probed(vec![gone("a"), lost("b", 0), lost("c", 0)]), "b and c deny it");
    assert!(probed(vec![gone("a"), lost("b", 1), lost("c", 0)]));
    assert!(probed(vec![lost("a", 1), gone("b"), gone("c")]));
}

#[test]
fn a_probe_that_sees_no_effect_overrules_the_counters() {
    let probed = |is_effective| {
        let mut records =
            records("{kind: partition, groups: [[a], [b]]}", vec![lost("a", 1), lost("b", u64::from(is_effective))]);
        records.insert(
            1,
            FaultRecord::Probed { id: "x".to_owned(), fault: 0, at_ns: 5, is_effective, saw: "ping".to_owned() },
        );
        verify(&records).remove(0)
    };
    assert_eq!((probed(true).is_verified, probed(true).probe), (true, Some(true)));
    assert_eq!((probed(false).is_verified, probed(false).probe), (false, Some(false)));
    assert!(probed(false).why.contains("ping"));
}

#[test]
fn a_period_is_when_it_was_so_and_knows_its_sides() {
    let names: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
    let cut = records("{kind: partition, groups: [[b], [\"*\"]]}", vec![lost("a", 1), lost("b", 1)]);
    let period = periods(&cut, &names).remove(0);
    assert_eq!((period.from_ns, period.to_ns, period.is_verified), (2, Some(9), true));
    let sides: Vec<&str> = period.sides.iter().map(|side| side.name.as_str()).collect();
    assert_eq!((sides, period.label().as_str()), (vec!["b", "a_c"], "partition (x)"));
}
