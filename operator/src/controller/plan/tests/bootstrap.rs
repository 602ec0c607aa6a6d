use super::{UID, World, said, touches_nothing, words};
use crate::controller::plan::formation::hex;
use crate::crd::Phase;

#[test]
fn all_nodes_live_and_empty_get_one_layout_whose_id_is_the_clusters_uid() {
    let plan = World::empty().plan();
    let bootstrap = plan.bootstrap.unwrap();
    assert_eq!(hex(&bootstrap.request.cluster_id), UID.replace('-', ""));
    assert_eq!(bootstrap.ips, ["10.0.0.0", "10.0.0.1", "10.0.0.2"]);
    let member = &bootstrap.request.members[1];
    assert_eq!((member.incarnation, member.zone.as_str()), (101, "zone-1"));
    assert_eq!(member.peer_address, "demo-1.demo-nodes.db.svc:7401");
    assert_eq!((bootstrap.request.partitions, bootstrap.request.replication_factor), (256, 3));
    assert_eq!(plan.status.phase, Phase::Bootstrapping);
}

#[test]
fn nothing_is_bootstrapped_while_a_node_does_not_answer() {
    let mut world = World::empty();
    world.observed.nodes.remove(&2);
    let plan = world.plan();
    assert!(touches_nothing(&plan));
    assert_eq!(said(&plan, "Progressing"), "True/Creating");
    assert!(words(&plan, "Progressing").contains("demo-2"));
    world.observed.pods.remove(&2);
    assert!(words(&world.plan(), "Progressing").contains("demo-2 (no pod yet)"));
}

#[test]
fn nodes_that_report_a_cluster_are_adopted() {
    let mut world = World::serving();
    let plan = world.plan();
    assert!(touches_nothing(&plan));
    assert_eq!(plan.status.cluster_id.as_deref(), Some("07070707070707070707070707070707"));
    assert_eq!(said(&plan, "Ready"), "True/QuorumServing");
    // Also while one of them is away.
    world.observed.nodes.remove(&0);
    assert!(touches_nothing(&world.plan()));
}

#[test]
fn a_bootstrap_that_was_cut_off_is_finished_with_the_layout_that_some_have() {
    let mut world = World::serving();
    world.node(2).cluster_id.clear();
    world.node(2).layout_version = 0;
    let bootstrap = world.plan().bootstrap.unwrap();
    assert!(bootstrap.is_resumed);
    assert_eq!(bootstrap.ips, ["10.0.0.2"]);
    assert_eq!(bootstrap.request.cluster_id, vec![7; 16]);
}

#[test]
fn a_node_with_another_volume_than_the_layout_knows_stops_everything() {
    for is_empty in [true, false] {
        let mut world = World::serving();
        world.node(1).incarnation = 999;
        if is_empty {
            world.node(1).cluster_id.clear();
        }
        let plan = world.plan();
        assert!(touches_nothing(&plan));
        assert_eq!(said(&plan, "Degraded"), "True/UnknownNodes");
        assert!(words(&plan, "Degraded").contains("demo-1"), "{}", words(&plan, "Degraded"));
        assert_eq!((plan.status.phase, said(&plan, "Ready").as_str()), (Phase::Degraded, "False/UnknownNodes"));
    }
}

#[test]
fn nodes_of_different_clusters_are_not_touched() {
    let mut world = World::serving();
    world.node(0).cluster_id = vec![8; 16].into();
    let plan = world.plan();
    assert!(touches_nothing(&plan));
    assert_eq!(said(&plan, "Degraded"), "True/MixedClusters");
    // Neither are volumes of another cluster than the status remembers.
    let mut world = World::serving();
    world.remember();
    world.cluster.status.as_mut().unwrap().cluster_id = Some("09".repeat(16));
    assert_eq!(said(&world.plan(), "Degraded"), "True/MixedClusters");
}

#[test]
fn a_cluster_that_had_data_is_never_bootstrapped_again() {
    let mut world = World::serving();
    world.remember();
    world.observed = World::empty().observed;
    let plan = world.plan();
    assert!(touches_nothing(&plan));
    assert_eq!(said(&plan, "Degraded"), "True/DataGone");
    assert_eq!(plan.status.cluster_id.as_deref(), Some("07070707070707070707070707070707"));
}

#[test]
fn data_of_another_number_of_nodes_is_not_touched() {
    let mut world = World::serving();
    world.observed.layout.as_mut().unwrap().members.pop();
    assert_eq!(said(&world.plan(), "Degraded"), "True/OtherSize");
}
