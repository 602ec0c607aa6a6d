use driftkv_proto::v1::HintStatus;
use serde_json::json;

use super::{World, replaced, said, touches_nothing, words};
use crate::controller::kind::Kind;
use crate::crd::{ChaosPhase, ChaosState};

#[test]
fn a_settled_cluster_is_left_alone() {
    let plan = World::serving().plan();
    assert!(touches_nothing(&plan));
    assert_eq!(said(&plan, "Progressing"), "False/AsSpecified");
    assert_eq!(plan.status.updated_replicas, 3);
}

#[test]
fn one_pod_is_replaced_and_by_its_uid() {
    let plan = World::outdated().plan();
    let replacement = plan.replace.unwrap();
    assert_eq!((replacement.pod.as_str(), replacement.uid.as_str()), ("demo-2", "pod-2"));
    assert!(plan.apply.is_empty());
}

#[test]
fn no_pod_is_replaced_before_kubernetes_has_seen_the_spec_or_while_objects_are_written() {
    let mut world = World::outdated();
    *world.body(Kind::StatefulSet, "/metadata/generation") = json!(2);
    assert_eq!(replaced(&world.plan()), None);
    let mut world = World::outdated();
    world.cluster.spec.read_quorum = 1;
    let plan = world.plan();
    assert_eq!((replaced(&plan), plan.apply.len()), (None, 2), "the ConfigMap and the StatefulSet");
}

#[test]
fn a_healthy_pod_waits_for_whatever_is_not_known_to_be_well_of_the_others() {
    type Change = fn(&mut World);
    let cases: [(&str, Change); 12] = [
        ("demo-1 is being made", |w| drop(w.observed.pods.remove(&1))),
        ("demo-0 is being made", |w| w.pod(0).is_deleting = true),
        ("demo-1 is not ready", |w| w.pod(1).is_ready = false),
        ("demo-1 does not say how it is", |w| drop(w.observed.nodes.remove(&1))),
        ("demo-1 is fencing", |w| w.node(1).state = "fencing".to_owned()),
        ("demo-0 does not see demo-1 alive", |w| w.peer(0, 1).is_connected = false),
        ("demo-0 does not see demo-1 alive", |w| w.peer(0, 1).is_reachable = false),
        ("demo-1 does not see demo-0 alive", |w| w.peer(1, 0).rumour = "suspect".to_owned()),
        ("demo-0 does not see demo-1 alive", |w| w.peer(0, 1).boot = 0),
        ("demo-1 has not compared its data with demo-0", |w| w.peer(1, 0).anti_entropy_rounds = 0),
        ("no node tells its layout", |w| w.observed.layout = None),
        ("demo-2 still owes demo-1 4 hints", |w| {
            w.node(2).hints.push(HintStatus { target: 101, hints: 4, ..HintStatus::default() });
        }),
    ];
    for (expected, change) in cases {
        let mut world = World::outdated();
        // Those that were replaced already.
        world.pod(0).revision = "r1".to_owned();
        world.pod(1).revision = "r1".to_owned();
        change(&mut world);
        let plan = world.plan();
        assert_eq!(replaced(&plan), None, "{expected}");
        let progress = words(&plan, "Progressing");
        assert!(progress.contains(expected) || expected.contains("layout"), "{expected}: {progress}");
    }
}

#[test]
fn the_gate_does_not_ask_for_what_concerns_the_next_pod_itself() {
    let mut world = World::outdated();
    world.peer(0, 2).is_reachable = false;
    world.peer(2, 0).anti_entropy_rounds = 0;
    world.node(0).hints.push(HintStatus { target: 102, hints: 4, ..HintStatus::default() });
    assert_eq!(replaced(&world.plan()), Some("demo-2"));
}

#[test]
fn owners_of_no_common_partition_need_not_compare() {
    let mut world = World::outdated();
    world.peer(1, 0).anti_entropy_rounds = 0;
    assert_eq!(replaced(&world.plan()), None);
    let layout = world.observed.layout.as_mut().unwrap();
    (layout.replication_factor, layout.owners) = (2, vec![0, 2, 1, 2]);
    assert_eq!(replaced(&world.plan()), Some("demo-2"));
}

#[test]
fn sick_pods_come_first_and_wait_for_nobody() {
    let mut world = World::outdated();
    world.pod(0).is_ready = false;
    world.pod(0).stuck = Some("CrashLoopBackOff: back-off 10s".to_owned());
    world.observed.nodes.remove(&0);
    assert_eq!(replaced(&world.plan()), Some("demo-0"));
    // All are sick: a memory limit that was too low.
    for ordinal in 1..3 {
        world.pod(ordinal).is_ready = false;
        world.observed.nodes.remove(&ordinal);
    }
    assert_eq!(replaced(&world.plan()), Some("demo-0"));
    world.pod(0).revision = "r1".to_owned();
    assert_eq!(replaced(&world.plan()), Some("demo-1"), "the first one cannot serve alone");
}

#[test]
fn a_broken_image_stops_at_the_first_pod_and_is_repaired_by_the_spec() {
    let mut world = World::outdated();
    world.pod(2).revision = "r1".to_owned();
    world.pod(2).is_ready = false;
    world.pod(2).stuck = Some("ErrImagePull: no such image".to_owned());
    world.observed.nodes.remove(&2);
    let plan = world.plan();
    assert_eq!((replaced(&plan), said(&plan, "Degraded").as_str()), (None, "True/NodeStuck"));
    assert!(words(&plan, "Degraded").contains("no such image"));
    // The spec is corrected: what was r1 is outdated as well.
    *world.body(Kind::StatefulSet, "/status/updateRevision") = json!("r2");
    assert_eq!(replaced(&world.plan()), Some("demo-2"));
}

#[test]
fn a_ready_pod_that_the_operator_cannot_reach_is_not_sick() {
    let mut world = World::outdated();
    world.observed.nodes.remove(&0);
    assert_eq!(replaced(&world.plan()), None);
}

#[test]
fn a_pod_that_missed_a_probe_but_serves_is_not_sick() {
    let mut world = World::outdated();
    world.pod(0).is_ready = false;
    assert_eq!(replaced(&world.plan()), None);
}

#[test]
fn a_paused_cluster_is_not_touched_and_says_so() {
    let mut world = World::outdated();
    let annotations = &mut world.cluster.metadata.annotations;
    annotations.get_or_insert_default().insert("driftkv.io/paused".to_owned(), "true".to_owned());
    world.cluster.spec.read_quorum = 1;
    let plan = world.plan();
    assert!(touches_nothing(&plan));
    assert_eq!(said(&plan, "Progressing"), "False/Paused");
    assert_eq!(said(&plan, "Ready"), "False/Paused");
}

#[test]
fn a_pause_that_means_nothing_pauses_and_only_false_does_not() {
    let with = |value: &str| {
        let mut world = World::outdated();
        let annotations = &mut world.cluster.metadata.annotations;
        annotations.get_or_insert_default().insert("driftkv.io/paused".to_owned(), value.to_owned());
        world.plan()
    };
    assert!(touches_nothing(&with("yes")) && words(&with("yes"), "Progressing").contains("\"yes\""));
    assert!(touches_nothing(&with("")) && !words(&with("true"), "Progressing").contains("only"));
    assert_eq!(replaced(&with("false")), Some("demo-2"));
}

#[test]
fn pods_are_known_by_number_and_not_by_text() {
    let names = World::empty().names();
    let ordinals = ["demo-10", "demo-2", "demo-x-2", "other-2", "demo-"].map(|pod| names.ordinal(pod));
    assert_eq!(ordinals, [Some(10), Some(2), None, None, None]);
}

#[test]
fn no_pod_is_replaced_while_an_experiment_is_under_way_not_even_a_sick_one() {
    for (phase, state) in [
        (ChaosPhase::Requested, ChaosState::Requested),
        (ChaosPhase::Active, ChaosState::Injected),
        (ChaosPhase::Ended, ChaosState::Injected),
    ] {
        let mut world = World::outdated();
        world.pod(1).stuck = Some("a crash loop".to_owned());
        world.experiment(phase, state);
        let plan = world.plan();
        assert_eq!((replaced(&plan), said(&plan, "Progressing").as_str()), (None, "True/WaitingForChaos"), "{phase:?}");
        assert!(words(&plan, "Progressing").contains("experiment slow is under way (ChaosActive)"));
        world.experiment(ChaosPhase::Ended, ChaosState::Recovered);
        assert_eq!(replaced(&world.plan()), Some("demo-1"), "it goes on when that is over");
    }
}

#[test]
fn objects_are_put_right_in_the_middle_of_an_experiment() {
    let mut world = World::serving();
    world.experiment(ChaosPhase::Active, ChaosState::Injected);
    world.cluster.spec.read_quorum = 1;
    assert_eq!(world.plan().apply.len(), 2);
}
