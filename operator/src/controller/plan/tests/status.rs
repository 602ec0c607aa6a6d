use driftkv_proto::v1::HintStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::{World, said, words};
use crate::controller::error::Error;
use crate::controller::plan::with_error;
use crate::crd::{ChaosPhase, ChaosState, Phase, ZoneSource};

#[test]
fn every_condition_is_about_the_generation_that_was_read() {
    for mut world in [World::empty(), World::serving(), World::outdated()] {
        world.cluster.metadata.generation = Some(9);
        let status = world.plan().status;
        let kinds: Vec<&str> = status.conditions.iter().map(|condition| condition.type_.as_str()).collect();
        assert_eq!(kinds, ["Available", "Progressing", "Degraded", "Ready"]);
        assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(9)));
        assert_eq!(status.observed_generation, 9);
    }
}

#[test]
fn a_settled_status_is_the_same_again() {
    let mut world = World::serving();
    world.remember();
    assert_eq!(Some(world.plan().status), world.cluster.status);
}

#[test]
fn the_time_of_a_transition_changes_only_with_the_condition() {
    let mut world = World::serving();
    world.remember();
    let long_ago = Time(Timestamp::from_second(5).unwrap());
    for condition in &mut world.cluster.status.as_mut().unwrap().conditions {
        condition.last_transition_time = long_ago.clone();
    }
    world.pod(0).is_ready = false;
    let status = world.plan().status;
    let time = |kind: &str| {
        let condition = status.conditions.iter().find(|condition| condition.type_ == kind);
        condition.unwrap().last_transition_time.clone()
    };
    assert_eq!(time("Available"), long_ago, "two of three still reach every quorum");
    assert_ne!(time("Ready"), long_ago);
}

#[test]
fn available_means_that_every_quorum_is_reached() {
    let mut world = World::serving();
    assert_eq!(said(&world.plan(), "Available"), "True/QuorumServing");
    world.pod(0).is_ready = false;
    assert_eq!(said(&world.plan(), "Available"), "True/QuorumServing");
    world.pod(1).is_ready = false;
    assert_eq!(said(&world.plan(), "Available"), "False/QuorumLost");
    assert_eq!(said(&World::empty().plan(), "Available"), "False/NotBootstrapped");
}

#[test]
fn a_cluster_that_the_operator_cannot_reach_is_not_taken_for_one_that_does_not_serve() {
    let mut world = World::serving();
    world.remember();
    world.observed.layout = None;
    for ordinal in 0..3 {
        world.observed.nodes.remove(&ordinal);
        world.observed.silent.insert(ordinal, "no answer in 3 s".to_owned());
    }
    let plan = world.plan();
    assert_eq!(said(&plan, "Available"), "True/QuorumServing");
    assert_eq!(said(&plan, "Degraded"), "True/NodesSilent");
    assert_eq!(
        (said(&plan, "Progressing").as_str(), said(&plan, "Ready").as_str()),
        ("True/Recovering", "False/NodesSilent")
    );
    assert!(super::touches_nothing(&plan));
    assert_eq!(plan.status.layout_version, 1);
    world.pod(0).is_ready = false;
    world.pod(1).is_ready = false;
    assert_eq!(said(&world.plan(), "Available"), "False/QuorumLost");
}

#[test]
fn stand_ins_keep_a_sloppy_cluster_available() {
    let mut world = World::serving();
    let layout = world.observed.layout.as_mut().unwrap();
    (layout.replication_factor, layout.owners) = (1, vec![0, 1]);
    let spec = &mut world.cluster.spec;
    (spec.replication_factor, spec.read_quorum, spec.write_quorum) = (1, 1, 1);
    world.write_objects();
    world.pod(0).is_ready = false;
    assert_eq!(said(&world.plan(), "Available"), "True/QuorumServing");
    assert!(words(&world.plan(), "Available").contains("stand in"));
    world.cluster.spec.sloppy = false;
    assert_eq!(said(&world.plan(), "Available"), "False/QuorumLost");
}

#[test]
fn a_node_that_is_away_for_a_moment_is_recovering_and_for_long_is_degraded() {
    let mut world = World::serving();
    world.pod(1).is_ready = false;
    let plan = world.plan();
    assert_eq!(said(&plan, "Progressing"), "True/Recovering");
    assert_eq!(said(&plan, "Degraded"), "False/AsSpecified");
    assert_eq!(said(&plan, "Ready"), "False/Recovering");
    world.pod(1).is_late = true;
    let plan = world.plan();
    assert_eq!((said(&plan, "Degraded").as_str(), plan.status.phase), ("True/NodesNotReady", Phase::Running));
}

#[test]
fn each_node_is_told_with_what_others_owe_it() {
    let mut world = World::serving();
    world.node(0).hints.push(HintStatus { target: 101, hints: 3, ..HintStatus::default() });
    world.node(2).hints.push(HintStatus { target: 101, hints: 4, ..HintStatus::default() });
    world.node(1).version = "1.2.3".to_owned();
    world.node(1).partitions_owned = 2;
    let status = world.plan().status;
    let node = &status.nodes[1];
    assert_eq!((node.name.as_str(), node.state.as_str(), node.ready, node.hints_owed), ("demo-1", "serving", true, 7));
    assert_eq!((node.incarnation.as_deref(), node.zone.as_deref()), (Some("0000000000000065"), Some("zone-1")));
    assert_eq!((node.version.as_deref(), node.partitions), (Some("1.2.3"), 2));
    world.observed.nodes.remove(&1);
    world.pod(1).stuck = Some("ErrImagePull: x".to_owned());
    let node = &world.plan().status.nodes[1];
    assert_eq!((node.state.as_str(), node.incarnation.as_deref()), ("stuck", Some("0000000000000065")));
}

#[test]
fn where_zones_came_from_is_remembered() {
    let mut world = World::empty();
    world.observed.zones.get_mut(&1).unwrap().source = ZoneSource::NodeNames;
    world.remember();
    world.cluster.status.as_mut().unwrap().cluster_id = None;
    world.observed = World::serving().observed;
    assert_eq!(world.plan().status.zones_from, Some(ZoneSource::NodeNames));
}

#[test]
fn zones_of_data_that_was_adopted_are_told_if_they_are_still_those_of_the_layout() {
    let mut world = World::serving();
    world.observed.zones = World::empty().observed.zones;
    assert_eq!(world.plan().status.zones_from, Some(ZoneSource::Nodes));
    world.observed.zones.get_mut(&2).unwrap().name = "elsewhere".to_owned();
    assert_eq!(world.plan().status.zones_from, None);
}

#[test]
fn an_error_is_told_without_claiming_what_was_not_seen() {
    let now = Timestamp::from_second(7).unwrap();
    let last = World::serving().plan().status;
    let error = Error::Deadline { what: "list pods".to_owned() };
    let before = last.conditions.clone();
    let status = with_error(Some(2), &before, last, &error, now);
    let told: Vec<String> =
        status.conditions.iter().map(|c| format!("{} {} {}", c.type_, c.status, c.reason)).collect();
    let expected = [
        "Available Unknown ApiUnavailable",
        "Progressing True ApiUnavailable",
        "Degraded True ApiUnavailable",
        "Ready False ApiUnavailable",
    ];
    assert_eq!(told, expected);
    assert_eq!(status.observed_generation, 2);
    assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(2)));
}

#[test]
fn what_was_said_of_an_experiment_outlives_every_pass() {
    let mut world = World::serving();
    world.experiment(ChaosPhase::Active, ChaosState::Injected);
    world.cluster.metadata.generation = Some(2);
    let plan = world.plan();
    assert_eq!(said(&plan, "ChaosActive"), "True/ChaosInjected");
    assert_eq!(plan.status.chaos, world.cluster.status.as_ref().unwrap().chaos);
    let error = Error::Deadline { what: "x".to_owned() };
    let last = plan.status.conditions.clone();
    let failed = with_error(Some(2), &last, plan.status, &error, Timestamp::from_second(9).unwrap());
    assert!(failed.chaos.is_some(), "ids that were begun are not forgotten");
    let active = failed.conditions.iter().find(|condition| condition.type_ == "ChaosActive").unwrap();
    assert_eq!((active.reason.as_str(), active.observed_generation), ("ChaosInjected", Some(2)));
}
