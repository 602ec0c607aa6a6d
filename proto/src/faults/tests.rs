//! The vocabulary as people write it: what is read, what is refused and where, and what leaves a quorum.
#![allow(clippy::unwrap_used)]

use super::{Cut, DropRule, Experiment, Fault, Law, Links, Refusal};

/// The example of the design, as in an annotation.
const EXAMPLE: &str = "\
id: slow-links      # change it to run again
for: 60s            # required, capped
seed: 7
allowQuorumLoss: false
faults:
- {kind: delay, from: demo-0, to: \"*\", law: exponential, mean: 20ms}
- {kind: drop, between: [demo-1, demo-2], rate: 5%}
- {kind: partition, groups: [[demo-0, demo-1], [demo-2, demo-3, demo-4]]}
- {kind: pause, node: demo-3, down: 5s, every: 30s}
";

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn with_fault(fault: &str) -> String {
    format!("for: 10s\nfaults:\n- {fault}\n")
}

fn one_fault(fault: &str) -> Fault {
    let experiment = Experiment::parse(&with_fault(fault)).unwrap();
    experiment.faults.into_iter().next().unwrap()
}

fn one_way(from: &[&str], to: &[&str]) -> Links {
    Links::OneWay { from: names(from), to: names(to) }
}

fn between(a: &str, b: &str) -> Links {
    Links::Between(a.to_owned(), b.to_owned())
}

#[test]
fn the_example_of_the_design_is_read() {
    let experiment = Experiment::parse(EXAMPLE).unwrap();
    let faults = vec![
        Fault::Delay { links: one_way(&["demo-0"], &["*"]), law: Law::Exponential { mean_ms: 20 } },
        Fault::Drop { links: between("demo-1", "demo-2"), rule: DropRule::Rate(0.05) },
        Fault::Partition(Cut::Groups(vec![names(&["demo-0", "demo-1"]), names(&["demo-2", "demo-3", "demo-4"])])),
        Fault::Pause { node: "demo-3".to_owned(), down_ms: 5_000, every_ms: Some(30_000) },
    ];
    let id = "slow-links".to_owned();
    let places = crate::faults::Places::default();
    assert_eq!(experiment, Experiment { id, for_ms: 60_000, seed: 7, allow_quorum_loss: false, faults, places });
    assert_eq!(experiment.unsupported(), None);
}

#[test]
fn the_default_id_is_a_stable_hash_of_the_text() {
    let text = "for: 1s\nfaults: [{kind: crash, node: a}]";
    let id = Experiment::parse(text).unwrap().id;
    assert_eq!(id, Experiment::parse(&format!("{text}\n")).unwrap().id);
    assert_eq!(id, "93c5c41fdcb18f93");
}

#[test]
fn an_id_that_looks_like_a_number_stays_text() {
    let experiment = Experiment::parse("{id: 0e12, for: 1s, faults: [{kind: crash, node: a}]}").unwrap();
    assert_eq!(experiment.id, "0e12");
    assert_eq!(Experiment::parse(&experiment.to_flow()).unwrap(), experiment);
}

#[test]
fn every_kind_is_read_described_and_written_back() {
    let cases = [
        ("{kind: delay, between: [a, b], mean: 5ms}", "delay a <-> b: constant, 5ms"),
        ("{kind: delay, from: a, to: b, law: uniform, min: 0s, max: 2s}", "delay a -> b: uniform, 0s to 2s"),
        ("{kind: delay, from: [a, b], to: '*', law: pareto, mean: 1s}", "delay a, b -> *: pareto, mean 1s, shape 2"),
        (
            "{kind: delay, from: a, to: b, law: pareto, mean: 1s, shape: 1.5}",
            "delay a -> b: pareto, mean 1s, shape 1.5",
        ),
        ("{kind: drop, from: a, to: b, rate: 0.07}", "drop a -> b: 7% of messages"),
        ("{kind: drop, from: a, to: b, every: 3}", "drop a -> b: one message in 3"),
        ("{kind: duplicate, between: [a, '*'], rate: 1%}", "duplicate a <-> *: 1% of messages"),
        ("{kind: reorder, between: [a, b], rate: 10%}", "reorder a <-> b: 10% of messages, by up to 50ms"),
        ("{kind: partition, groups: [[a], [b, c]]}", "partition a | b, c"),
        ("{kind: partition, from: a, to: [b, c]}", "partition a -> b, c"),
        ("{kind: pause, node: a, down: 5s}", "pause a: once, for 5s"),
        ("{kind: pause, node: a, down: 5s, every: 1m}", "pause a: for 5s every 1m"),
        ("{kind: crash, node: a}", "crash a: after 0s"),
        ("{kind: crash, node: a, after: 3s}", "crash a: after 3s"),
        ("{kind: wipe, node: a}", "wipe a: after 0s"),
        ("{kind: slow-disk, node: a, law: exponential, mean: 9ms}", "slow-disk a: exponential, mean 9ms"),
        ("{kind: disk-error, node: a, rate: 1%}", "disk-error a: 1% of syncs"),
        ("{kind: clock-skew, node: a, by: -5s}", "clock-skew a: stands still for 5s"),
        ("{kind: clock-skew, node: a, by: 5s}", "clock-skew a: jumps ahead by 5s"),
    ];
    for (text, words) in cases {
        let fault = one_fault(text);
        assert_eq!(fault.describe(), words);
        assert_eq!(one_fault(&fault.to_flow()), fault, "{}", fault.to_flow());
    }
}

#[test]
fn a_whole_experiment_is_written_back_on_one_line() {
    let experiment = Experiment::parse(EXAMPLE).unwrap();
    let flow = experiment.to_flow();
    assert!(!flow.contains('\n'));
    assert_eq!(Experiment::parse(&flow).unwrap(), experiment);
}

#[test]
fn only_a_wipe_is_unsupported_and_says_why() {
    let unsupported = |text: &str| Experiment::parse(&with_fault(text)).unwrap().unsupported();
    let why = unsupported("{kind: wipe, node: a}").unwrap();
    assert!(why.message.contains("kind wipe is not supported: a wiped node must be replaced"), "{why}");
    let text = "# a wipe\nid: wipe-1\nfor: 1s\nfaults:\n- {kind: pause, node: a, down: 1s}\n- {kind: wipe, node: a}\n";
    let why = Experiment::parse(text).unwrap().unsupported().unwrap();
    assert_eq!((why.line, why.column), (6, 10));
    assert_eq!(unsupported("{kind: slow-disk, node: a, mean: 5ms}"), None);
    assert_eq!(unsupported("{kind: disk-error, node: a, rate: 1%}"), None);
    assert_eq!(unsupported("{kind: clock-skew, node: a, by: -5s}"), None);
}

#[test]
fn a_wrong_fault_is_refused_with_its_line_and_what_is_allowed() {
    let cases = [
        ("{kind: slow, node: a}", "unknown kind `slow`; the kinds are delay, drop,"),
        ("{kind: delay, between: [a, b], men: 5ms}", "unknown field `men`, expected one of kind, from,"),
        ("{kind: delay, between: [a, b], mean: 5ms, down: 1s}", "kind delay takes no field `down`; it takes from, to,"),
        ("{kind: delay, between: [a, b], mean: 20}", "`mean`: `20` is not a duration: a number and one of ms, s, m, h"),
        ("{kind: delay, between: [a, b], mean: 2d}", "`mean`: `2d` is not a duration"),
        ("{kind: delay, between: [a, b], mean: 61s}", "`mean`: 61s is over the cap of 60s"),
        ("{kind: delay, between: [a, b], mean: 0s}", "`mean` must be above 0"),
        ("{kind: delay, between: [a, b]}", "kind delay needs the field `mean`"),
        ("{kind: delay, between: [a, b], law: gauss, mean: 1s}", "unknown law `gauss`; the laws are constant,"),
        (
            "{kind: delay, between: [a, b], law: uniform, mean: 1s}",
            "law uniform takes no field `mean`; it takes min, max",
        ),
        ("{kind: delay, between: [a, b], law: uniform, min: 2s, max: 1s}", "`max` is below `min`"),
        ("{kind: delay, between: [a, b], law: pareto, mean: 1s, shape: 1}", "`shape`: `1` is not a number above 1"),
        ("{kind: delay, between: [a], mean: 1s}", "`between` needs two different nodes"),
        ("{kind: delay, between: [a, a], mean: 1s}", "`between` needs two different nodes"),
        ("{kind: delay, from: a, mean: 1s}", "kind delay needs either `from` and `to`, or `between`"),
        ("{kind: delay, from: a, to: a, mean: 1s}", "a node has no link to itself"),
        ("{kind: delay, from: y, to: a, mean: 1s}", "quoted if it reads as a number or as yes or no"),
        ("{kind: delay, from: [], to: a, mean: 1s}", "`from` names no node"),
        ("{kind: delay, from: 'a b', to: a, mean: 1s}", "`from`: `a b` is not a name"),
        ("{kind: drop, between: [a, b], rate: 120%}", "`rate`: `120%` is not a rate"),
        ("{kind: drop, between: [a, b], every: 0}", "`every`: `0` is not a count"),
        ("{kind: drop, between: [a, b], rate: 5%, every: 2}", "kind drop needs either `rate` or `every`"),
        ("{kind: partition, groups: [[a, b]]}", "`groups` needs two or more groups"),
        ("{kind: partition, groups: [[a], [b, a]]}", "`groups` names `a` twice"),
        ("{kind: partition, between: [a, b]}", "kind partition takes no field `between`; it takes groups, from, to"),
        ("{kind: pause, node: a, down: 5s, every: 5s}", "`every` counts from start to start and must exceed `down`"),
        ("{kind: pause, node: a}", "kind pause needs the field `down`"),
        ("{kind: reorder, between: [a, b], rate: 5%, window: 2m}", "`window`: 2m is over the cap of 60s"),
        ("{kind: crash, node: a, after: 10s}", "`after`: 10s is not before the end, `for`: 10s"),
        ("{kind: wipe, node: a, after: 1h}", "`after`: 1h is not before the end, `for`: 10s"),
        ("{kind: slow-disk, node: a, rate: 5%}", "kind slow-disk takes no field `rate`; it takes node, law, mean,"),
        ("{kind: disk-error, node: a}", "kind disk-error needs the field `rate`"),
        ("{kind: clock-skew, node: a, by: 0s}", "`by`: 0s moves no clock"),
        ("{kind: clock-skew, node: a, by: -61m}", "`by`: -61m is over the cap of 1h either way"),
        ("{node: a}", "missing field `kind`"),
    ];
    for (text, message) in cases {
        let error = Experiment::parse(&with_fault(text)).unwrap_err();
        assert_eq!(error.line, 3, "{error}");
        assert!(error.column > 2, "{error}");
        assert!(error.message.contains(message), "{error}\n  should say: {message}");
        assert!(error.to_string().starts_with("line 3, column "), "{error}");
    }
}

#[test]
fn a_wrong_head_is_refused_with_its_line() {
    let cases = [
        ("faults: [{kind: crash, node: a}]", 1, "missing field `for`"),
        ("id: x\nfor: 0s\nfaults: [{kind: crash, node: a}]", 2, "`for` must be above 0"),
        ("id: x\nfor: 61m\nfaults: [{kind: crash, node: a}]", 2, "`for`: 61m is over the cap of 1h"),
        ("for: 1s\nid: 'a b'\nfaults: [{kind: crash, node: a}]", 2, "`id`: `a b` is not a name"),
        ("for: 1s\nallowQuorumloss: true\nfaults: []", 2, "unknown field `allowQuorumloss`"),
        ("for: 1s\nseed: -1\nfaults: []", 2, "expected a whole number from 0 to 18446744073709551615"),
        ("for: 1s\n\nfaults: []", 3, "`faults` has 0 entries"),
        ("for: 1s\nfor: 2s\nfaults: []", 2, "duplicate mapping key `for` is not allowed here"),
        ("for: 1s\nfaults: {}", 2, "expected a list: [one, another]"),
        ("for: 1s\nfaults: [a]", 2, "expected fields: {name: value, another: value}"),
        ("for: 1s\nid: [a]\nfaults: []", 2, "expected a single value"),
        ("for: 1s\nfaults: [{kind: crash, node: a}]\n---\nfor: 1s", 4, "only single YAML document expected"),
        ("for: 1s\nfaults: [", 2, ""),
        ("", 1, ""),
    ];
    for (text, line, message) in cases {
        let error = Experiment::parse(text).unwrap_err();
        assert!(error.message.contains(message), "{error}\n  should say: {message}");
        assert_eq!(error.line, line, "{error}");
    }
}

#[test]
fn only_the_links_and_nodes_named_are_matched() {
    let delay = one_fault("{kind: delay, from: a, to: '*', mean: 5ms}");
    assert!(delay.matches_link("a", "b") && !delay.matches_link("b", "a"));
    assert!(delay.touches("z") && !delay.matches_node("a"));
    let pause = one_fault("{kind: pause, node: a, down: 5s}");
    assert!(pause.matches_node("a") && !pause.matches_node("b"));
    assert!(!pause.matches_link("a", "b") && !pause.touches("b"));
    let cut = one_fault("{kind: partition, groups: [[a], [b]]}");
    assert!(cut.matches_link("b", "a") && !cut.matches_link("a", "c") && !cut.touches("c"));
}

/// What the check says of these faults in a cluster of five, N=3, R=W=2: one node may be disturbed.
fn check(faults: &[&str], extra: &str) -> Result<(), Refusal> {
    let members = names(&["a", "b", "c", "d", "e"]);
    let text = format!("for: 1s\n{extra}faults: [{}]", faults.join(", "));
    Experiment::parse(&text).unwrap().quorum_check(&members, 3, 2, 2)
}

#[test]
fn one_disturbed_node_is_allowed_and_a_second_is_not() {
    assert_eq!(check(&["{kind: pause, node: a, down: 1s}"], ""), Ok(()));
    assert_eq!(check(&["{kind: pause, node: a, down: 1s}", "{kind: crash, node: a}"], ""), Ok(()));
    let error = check(&["{kind: pause, node: a, down: 1s}", "{kind: crash, node: b}"], "").unwrap_err();
    assert_eq!(
        error.to_string(),
        "disturbs 2 nodes (a, b), but N=3, R=2, W=2 survive 1; to inject it all the same, write allowQuorumLoss: true"
    );
}

#[test]
fn a_partition_disturbs_its_smaller_sides() {
    assert_eq!(check(&["{kind: partition, groups: [[a], ['*']]}"], ""), Ok(()));
    assert_eq!(check(&["{kind: partition, groups: [[a, b], [c]]}"], ""), Ok(()));
    let two_three = "{kind: partition, groups: [[a, b], [c, d, e]]}";
    let error = check(&[two_three], "").unwrap_err();
    assert!(error.to_string().contains("2 nodes (a, b)"), "{error}");
    assert_eq!(check(&[two_three], "allowQuorumLoss: true\n"), Ok(()));
    assert_eq!(check(&["{kind: partition, from: a, to: [b, c, d, e]}"], ""), Ok(()));
    assert!(check(&["{kind: partition, from: [a, b], to: [d, e]}"], "").is_err());
}

#[test]
fn a_lossy_link_disturbs_one_of_its_ends() {
    assert_eq!(check(&["{kind: drop, between: [a, b], rate: 5%}"], ""), Ok(()));
    assert_eq!(check(&["{kind: drop, from: '*', to: a, rate: 5%}", "{kind: crash, node: a}"], ""), Ok(()));
    assert!(check(&["{kind: drop, from: '*', to: '*', rate: 5%}"], "").is_err());
    assert!(
        check(&["{kind: drop, between: [a, b], rate: 5%}", "{kind: drop, between: [c, d], rate: 5%}"], "").is_err()
    );
}

#[test]
fn faults_of_timing_disturb_no_one() {
    assert_eq!(check(&["{kind: delay, from: '*', to: '*', mean: 1s}"], ""), Ok(()));
    assert_eq!(check(&["{kind: reorder, between: [a, b], rate: 5%}"], ""), Ok(()));
}

#[test]
fn a_disk_that_fails_or_hardly_answers_disturbs_its_node_and_a_wrong_clock_does_not() {
    let two = |fault: &str| check(&[&fault.replace("NODE", "a"), &fault.replace("NODE", "b")], "");
    assert_eq!(check(&["{kind: disk-error, node: a, rate: 1%}"], ""), Ok(()));
    assert!(two("{kind: disk-error, node: NODE, rate: 1%}").is_err());
    assert_eq!(two("{kind: slow-disk, node: NODE, law: uniform, min: 500ms, max: 1500ms}"), Ok(()));
    assert!(two("{kind: slow-disk, node: NODE, law: exponential, mean: 1001ms}").is_err());
    assert_eq!(check(&["{kind: clock-skew, node: '*', by: -5s}"], ""), Ok(()));
}

#[test]
fn an_unknown_node_is_refused_naming_the_known_even_if_quorum_loss_is_allowed() {
    let error = check(&["{kind: delay, from: q, to: '*', mean: 1s}"], "allowQuorumLoss: true\n").unwrap_err();
    assert_eq!(error.to_string(), "no such node: q; the members are a, b, c, d, e");
    let text = "# of q\nid: q-1\nfor: 1s\nfaults:\n- {kind: delay, from: a, to: [b, c], mean: 1s}\n- {kind: delay, from: a, to: q, mean: 1s}\n";
    let refused = Experiment::parse(text).unwrap().quorum_check(&names(&["a", "b", "c"]), 3, 2, 2).unwrap_err();
    assert_eq!(refused.placed(), "line 6, column 30: no such node: q; the members are a, b, c");
    for fault in ["between: [q, b]", "from: [q], to: a", "from: a, to: [b, q]"] {
        assert!(check(&[&format!("{{kind: delay, {fault}, mean: 1s}}")], "").unwrap_err().place().is_some(), "{fault}");
    }
    for fault in ["{kind: partition, groups: [[a], [q]]}", "{kind: pause, node: q, down: 1s}"] {
        assert_eq!(check(&[fault], "").unwrap_err().place().map(|(line, _)| line), Some(2), "{fault}");
    }
}
