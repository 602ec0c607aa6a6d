//! From the first look to the last, in order and out of it: restarts, refusals, silence, changes, crashes of the operator.

use driftkv_proto::v1::FaultStatus;

use super::{Act, CRASH, DELAY, Stage, cleared, injected, said, words};
use crate::crd::{ChaosPhase, ChaosState};

#[test]
fn a_look_at_what_goes_on_writes_nothing_and_counters_are_written_now_and_then() {
    let mut stage = Stage::active(DELAY);
    assert_eq!(said(&stage.look()), "True/ChaosInjected");
    let written = stage.recorded.clone();
    for node in stage.nodes.values_mut() {
        node.faults.as_mut().unwrap().experiments[0].faults[0].seen = 50;
    }
    stage.pass(4);
    let plan = stage.look();
    assert_eq!((plan.status, plan.acts), (written, vec![]));
    stage.pass(1);
    stage.look();
    assert_eq!(stage.target("demo-3").seen, 50);
}

#[test]
fn an_operator_that_dies_before_it_wrote_what_it_did_finds_it_done() {
    let mut stage = Stage::new(DELAY);
    stage.look();
    let begun = stage.recorded.clone();
    for act in stage.look().acts {
        stage.obey(&act);
    }
    stage.recorded = begun.clone();
    stage.pass(9);
    let plan = stage.look();
    assert_eq!((plan.acts.len(), said(&plan).as_str()), (0, "True/ChaosInjected"));
    assert_eq!(stage.recorded.as_ref().unwrap().ends_at, begun.unwrap().ends_at, "and not for longer");
}

#[test]
fn one_that_one_node_refuses_is_ended_at_all() {
    let mut stage = Stage::new(DELAY);
    stage.look();
    for act in &stage.look().acts[..4] {
        stage.obey(act);
    }
    stage.refusals = [("demo-4".to_owned(), "no room".to_owned())].into();
    let plan = stage.look();
    assert_eq!((cleared(&plan), said(&plan).as_str()), (4, "Unknown/ChaosRefused"));
    // The next pass knows of no refusal, but of what was written down.
    stage.refusals.clear();
    for act in plan.acts {
        stage.obey(&act);
    }
    let plan = stage.look();
    assert_eq!((injected(&plan), said(&plan).as_str()), (0, "False/ChaosRefused"));
    assert!(words(&plan).contains("demo-4 refused it: no room"), "{}", words(&plan));
    assert_eq!(stage.target("demo-4").state, ChaosState::Failed);
}

#[test]
fn a_silent_node_is_asked_again_and_one_that_restarted_is_left_out() {
    let mut stage = Stage::new(DELAY);
    stage.silence("demo-2");
    stage.look();
    let plan = stage.look();
    assert_eq!(injected(&plan), 4);
    for act in plan.acts {
        stage.obey(&act);
    }
    let plan = stage.look();
    assert_eq!(said(&plan), "True/ChaosInjected");
    assert!(words(&plan).contains("at 4 of 5 nodes") && words(&plan).contains("demo-2: it does not answer"));
    stage.node("demo-2").faults = Ok(FaultStatus { is_allowed: true, ..FaultStatus::default() });
    let plan = stage.look();
    assert_eq!(injected(&plan), 1);
    stage.obey(&plan.acts[0]);
    stage.look();
    stage.node("demo-0").faults = Ok(FaultStatus { is_allowed: true, ..FaultStatus::default() });
    assert_eq!(injected(&stage.look()), 0, "it restarted");
    assert_eq!(stage.target("demo-0").state, ChaosState::Recovered);
}

#[test]
fn a_removed_or_changed_annotation_ends_it_and_the_next_begins_only_then() {
    for next in [None, Some(DELAY.replace("slow", "next")), Some("{for".to_owned())] {
        let mut stage = Stage::active(DELAY);
        stage.silence("demo-1");
        stage.annotation = next.clone();
        let plan = stage.look();
        assert_eq!((cleared(&plan), injected(&plan)), (4, 0), "{next:?}");
        for act in plan.acts {
            stage.obey(&act);
        }
        let plan = stage.look();
        assert_eq!(said(&plan), "Unknown/ChaosEnding", "demo-1 does not answer: {next:?}");
        assert_eq!(stage.recorded.as_ref().unwrap().id, "slow");
        stage.put("demo-1", "active");
        assert_eq!(cleared(&stage.look()), 1, "as soon as it answers");
        stage.put("demo-1", "cleared");
        assert_eq!(said(&stage.look()), "False/ChaosCleared");
        let expected = match &next {
            None => "False/ChaosCleared",
            Some(text) if text.len() > 10 => "Unknown/ChaosRequested",
            Some(_) => "False/ChaosInvalid",
        };
        assert_eq!(said(&stage.look()), expected);
    }
}

#[test]
fn nodes_end_it_by_themselves_and_are_told_only_if_they_do_not() {
    let mut stage = Stage::active(DELAY);
    stage.pass(60);
    assert_eq!(stage.look().acts, []);
    assert_eq!(stage.recorded.as_ref().unwrap().phase, ChaosPhase::Ended);
    stage.pass(1);
    assert_eq!(cleared(&stage.look()), 5);
}

#[test]
fn a_kill_is_written_down_with_its_uid_before_it_is_done_and_done_once() {
    let mut stage = Stage::new(CRASH);
    stage.look();
    assert_eq!(stage.look().acts, [], "not before its time, and nothing for the nodes to do");
    stage.pass(10);
    let plan = stage.look();
    assert_eq!((plan.acts.len(), plan.again), (0, Some(super::super::SOON)), "only written down");
    let plan = stage.look();
    assert_eq!(plan.acts, [Act::Kill { pod: "demo-1".to_owned(), uid: "pod-1".to_owned() }]);
    stage.obey(&plan.acts[0]);
    let plan = stage.look();
    assert_eq!((said(&plan).as_str(), plan.acts.len()), ("True/ChaosInjected", 0), "it is on its way");
    let view = stage.node("demo-1");
    (view.uid, view.is_going) = ("pod-1b".to_owned(), false);
    assert_eq!(stage.look().acts, [], "its successor is another pod");
    stage.node("demo-1").is_ready = true;
    stage.look();
    assert_eq!(stage.recorded.as_ref().unwrap().kills[0].state, ChaosState::Recovered);
    stage.pass(50);
    assert_eq!(said(&stage.look()), "False/ChaosEnded");
}

#[test]
fn a_pod_that_was_made_after_its_killer_was_written_down_lives() {
    let mut stage = Stage::new(CRASH);
    stage.look();
    stage.pass(10);
    stage.look();
    stage.node("demo-1").uid = "pod-1b".to_owned();
    assert_eq!(stage.look().acts, []);
    stage.annotation = None;
    stage.pass(1);
    assert_eq!(stage.look().acts, [], "and nobody is killed after the end");
}

#[test]
fn what_nodes_get_has_no_kill_in_it() {
    let both = "{id: both, for: 60s, faults: [{kind: crash, node: demo-1}, {kind: delay, between: [demo-0, demo-2], mean: 5ms}]}";
    let mut stage = Stage::new(both);
    stage.look();
    let plan = stage.look();
    let texts: Vec<&String> =
        plan.acts.iter().filter_map(|act| if let Act::Inject { text, .. } = act { Some(text) } else { None }).collect();
    assert_eq!(texts.len(), 5);
    assert!(texts.iter().all(|text| text.contains("delay") && !text.contains("crash") && text.contains("id: both")));
}
