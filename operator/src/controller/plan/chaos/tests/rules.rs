//! What a chaos annotation must obey, rule by rule (docs/operator.md, *Experiments*); the last two are about rollouts and `life`.

use driftkv_proto::v1::FaultStatus;

use super::{CRASH, CUT, DELAY, Stage, injected, said, words};
use crate::crd::{ChaosPhase, ChaosState};

#[test]
fn one_value_is_all_there_is_and_nothing_is_half_applied() {
    let mut stage = Stage::new(DELAY);
    assert_eq!(said(&stage.look()), "Unknown/ChaosRequested");
    let plan = stage.look();
    assert_eq!((injected(&plan), plan.acts.len()), (5, 5), "all nodes get the same, or none");
    let texts: std::collections::BTreeSet<String> = plan.acts.iter().map(|act| format!("{act:?}")).collect();
    assert_eq!(texts.len(), 5);
}

#[test]
fn it_always_expires_and_whoever_comes_late_gets_only_what_is_left() {
    let mut stage = Stage::new(DELAY);
    stage.look();
    let recorded = stage.recorded.clone().unwrap();
    assert_eq!(recorded.ends_at.0.duration_since(recorded.started_at.0).as_secs(), 60);
    for node in ["demo-1", "demo-2", "demo-3", "demo-4"] {
        stage.silence(node);
    }
    stage.pass(41);
    let plan = stage.look();
    let super::Act::Inject { left_ms, .. } = &plan.acts[0] else { panic!("{plan:?}") };
    assert_eq!((plan.acts.len(), *left_ms), (1, 19_000));
    stage.pass(19);
    assert_eq!(stage.look().acts, [], "too late to begin");
    assert_eq!(stage.recorded.as_ref().unwrap().phase, ChaosPhase::Ended);
}

#[test]
fn whatever_is_not_understood_injects_nothing_and_names_line_and_column() {
    for (text, expected) in [
        ("{for: 60s", "line 1, column"),
        ("for: 60s\nfaults:\n- {kind: explode, node: demo-0}\n", "line 3, column 10"),
        ("for: 60s\nfaults:\n- {kind: pause, node: demo-0, down: 1s, colour: red}\n", "line 3"),
        ("for: 61m\nfaults: [{kind: pause, node: demo-0, down: 1s}]\n", "line 1, column 6: `for`: 61m is over the cap"),
        ("faults: [{kind: pause, node: demo-0, down: 1s}]\n", "for"),
        ("for: 60s\nfaults: [{kind: pause, node: demo-9, down: 1s}]\n", "line 2, column 30: no such node: demo-9"),
        ("for: 60s\nfaults: [{kind: wipe, node: demo-0}]\n", "line 2, column 17: kind wipe is not supported"),
    ] {
        let mut stage = Stage::new(text);
        let plan = stage.look();
        assert_eq!(said(&plan), "False/ChaosInvalid", "{text}");
        assert!(words(&plan).contains(expected), "{text}: {}", words(&plan));
        assert!(words(&plan).starts_with("nothing was injected"), "{}", words(&plan));
        assert_eq!((stage.recorded.clone(), plan.acts), (None, vec![]), "{text}");
    }
}

#[test]
fn each_missing_consent_is_named_and_all_of_them_at_once() {
    let mut stage = Stage::new(DELAY);
    stage.missing = vec!["one is missing".to_owned(), "two is missing".to_owned()];
    stage.node("demo-3").faults = Ok(FaultStatus::default());
    let plan = stage.look();
    assert_eq!(said(&plan), "False/ChaosNotPermitted");
    for missing in ["one is missing", "two is missing", "demo-3 was not started with spec.allowFaults yet"] {
        assert!(words(&plan).contains(missing), "{}", words(&plan));
    }
    assert!(stage.recorded.is_none() && plan.acts.is_empty());
    stage.missing.clear();
    stage.node("demo-3").faults = Ok(FaultStatus { is_allowed: true, ..FaultStatus::default() });
    assert_eq!(said(&stage.look()), "Unknown/ChaosRequested", "as soon as all are there");
}

#[test]
fn a_consent_that_is_withdrawn_ends_it() {
    let mut stage = Stage::active(DELAY);
    stage.missing = vec!["namespace db has no label".to_owned()];
    let plan = stage.look();
    assert_eq!((super::cleared(&plan), injected(&plan)), (5, 0));
    stage.put_all("cleared");
    let plan = stage.look();
    assert_eq!(said(&plan), "False/ChaosCleared");
    assert!(words(&plan).contains("no label"), "{}", words(&plan));
}

#[test]
fn more_nodes_than_a_quorum_survives_are_disturbed_only_if_it_says_so() {
    let two = "{for: 60s, faults: [{kind: pause, node: demo-0, down: 1s}, {kind: crash, node: demo-1}]}";
    for text in [CUT, two] {
        let mut stage = Stage::new(text);
        let plan = stage.look();
        assert_eq!(said(&plan), "False/ChaosBlastRadius", "{text}");
        assert!(words(&plan).contains("disturbs 2 nodes (demo-0, demo-1)"), "{}", words(&plan));
        assert!(stage.recorded.is_none());
        stage.annotation = Some(text.replacen("for:", "allowQuorumLoss: true, for:", 1));
        assert_eq!(said(&stage.look()), "Unknown/ChaosRequested");
    }
}

#[test]
fn nodes_that_are_away_already_count_as_disturbed() {
    let mut stage = Stage::new(CRASH);
    stage.node("demo-4").is_ready = false;
    let plan = stage.look();
    assert_eq!(said(&plan), "False/ChaosBlastRadius");
    assert!(words(&plan).contains("not ready: demo-4"), "{}", words(&plan));
    stage.nodes.remove("demo-1");
    stage.node("demo-4").is_ready = true;
    assert_eq!(said(&stage.look()), "Unknown/ChaosRequested", "the one that is away is the one it would disturb");
    let mut stage = Stage::new(DELAY);
    stage.silence("demo-4");
    assert_eq!(said(&stage.look()), "Unknown/ChaosRequested", "a delay takes nothing from what is left");
}

#[test]
fn every_target_is_reported_with_counters_and_the_seed() {
    let mut stage = Stage::active(DELAY);
    assert_eq!(stage.states(), [ChaosState::Injected; 5]);
    assert_eq!(stage.recorded.as_ref().unwrap().seed, "7");
    stage.silence("demo-2");
    stage.pass(61);
    for node in ["demo-0", "demo-1", "demo-3", "demo-4"] {
        stage.put(node, "expired");
    }
    let plan = stage.look();
    assert_eq!(said(&plan), "Unknown/ChaosEnding", "one has not said so");
    assert_eq!((stage.target("demo-0").state, stage.target("demo-0").delayed), (ChaosState::Recovered, 9));
    stage.pass(5);
    let plan = stage.look();
    assert_eq!((said(&plan).as_str(), stage.target("demo-2").state), ("False/ChaosEnded", ChaosState::Failed));
    assert!(words(&plan).contains("demo-2: its own clock has ended it"), "{}", words(&plan));
}

#[test]
fn an_id_is_begun_once_whatever_becomes_of_the_annotation() {
    let mut stage = Stage::active(DELAY);
    stage.pass(61);
    stage.put_all("expired");
    assert_eq!(said(&stage.look()), "False/ChaosEnded");
    let again = |stage: &mut Stage, text: Option<&str>| {
        stage.annotation = text.map(str::to_owned);
        let plan = stage.look();
        assert_eq!(plan.acts, []);
        said(&plan)
    };
    assert_eq!(again(&mut stage, Some(DELAY)), "False/ChaosEnded", "the same is left alone");
    assert_eq!(again(&mut stage, Some(&DELAY.replace("{id", "{ id"))), "False/ChaosEnded", "also written differently");
    assert_eq!(again(&mut stage, None), "False/ChaosEnded");
    assert_eq!(again(&mut stage, Some(DELAY)), "False/ChaosEnded", "and when it comes back");
    assert_eq!(again(&mut stage, Some(&DELAY.replace("60s", "50s"))), "False/ChaosIdUsed");
    assert_eq!(again(&mut stage, Some(&DELAY.replace("slow", "other"))), "Unknown/ChaosRequested");
    stage.annotation = None;
    stage.look();
    assert_eq!(again(&mut stage, Some(DELAY)), "False/ChaosIdUsed", "an older one is remembered too");
}

#[test]
fn so_many_old_ids_are_kept_and_no_more() {
    let mut stage = Stage::new(DELAY);
    for nth in 0..40 {
        stage.annotation = Some(DELAY.replace("slow", &format!("slow-{nth}")));
        assert_eq!(said(&stage.look()), "Unknown/ChaosRequested");
        stage.annotation = None;
        stage.look();
    }
    let past = &stage.recorded.as_ref().unwrap().past_ids;
    assert_eq!((past.len(), past[0].as_str(), past[31].as_str()), (32, "slow-7", "slow-38"));
}
