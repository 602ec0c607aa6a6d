//! Operators' requests and answers.

use driftkv_core::effect::{PeerStatus, Status};
use driftkv_core::id::{ClusterId, CommitNo, Incarnation, PartitionId};
use driftkv_proto::v1;

use crate::convert::admin::{About, bootstrap, layout, status};

fn request() -> v1::BootstrapRequest {
    let member = |n: u64| v1::Member {
        incarnation: n,
        name: format!("demo-{n}"),
        zone: format!("z{n}"),
        capacity: 1,
        client_address: format!("127.0.0.1:{}", 7000 + 10 * n),
        peer_address: format!("127.0.0.1:{}", 7001 + 10 * n),
        admin_address: format!("127.0.0.1:{}", 7002 + 10 * n),
    };
    let cluster_id = (0..16).collect::<Vec<u8>>().into();
    v1::BootstrapRequest { cluster_id, partitions: 8, replication_factor: 3, members: (1..=4).map(member).collect() }
}

#[test]
fn a_bootstrap_becomes_version_1_and_is_shown_with_all_it_says() {
    let made = bootstrap(request()).unwrap();
    assert_eq!((made.version, made.partitions, made.replication_factor), (1, 8, 3));
    let shown = layout(Some(&made));
    assert_eq!(shown.members, request().members);
    assert_eq!(shown.cluster_id, request().cluster_id);
    assert_eq!(shown.owners.len(), 8 * 3);
    for (partition, row) in shown.owners.chunks(3).enumerate() {
        let owners = made.owners_of(PartitionId(partition as u32)).map(|m| m.incarnation.0);
        let named = row.iter().map(|index| shown.members[*index as usize].incarnation);
        assert!(owners.eq(named), "partition {partition}");
    }
    assert_eq!(layout(None), v1::Layout::default());
}

#[test]
fn a_bootstrap_that_cannot_be_is_refused_with_what_is_wrong() {
    let refused = |change: &dyn Fn(&mut v1::BootstrapRequest)| {
        let mut request = request();
        change(&mut request);
        bootstrap(request).unwrap_err()
    };
    assert!(refused(&|r| r.cluster_id = "short".into()).starts_with("cluster_id has 5 bytes; allowed is 16"));
    assert!(refused(&|r| r.members[2].incarnation = 0).contains("\"demo-3\" has no incarnation"));
    assert!(refused(&|r| r.partitions = 12).contains("12 partitions; allowed is a power of two"));
    assert!(refused(&|r| r.replication_factor = 5).contains("5 members are needed"));
    assert!(refused(&|r| r.members[1].name = "demo-1".to_owned()).contains("two members have the name demo-1"));
    assert!(refused(&|r| r.members[1].peer_address.clear()).contains("bad peer_address"));
    assert!(refused(&|r| r.members.clear()).contains("got 0"));
}

#[test]
fn a_status_names_peers_hint_targets_and_the_node_itself() {
    let about = About {
        incarnation: Incarnation(1),
        name: "demo-1".to_owned(),
        zone: "z1".to_owned(),
        started_with: v1::StartedWith::default(),
    };
    let peer = PeerStatus {
        incarnation: Incarnation(2),
        name: "demo-2".to_owned(),
        is_connected: true,
        is_reachable: false,
        rumour: "suspect",
        missed_deadlines: 3,
        anti_entropy_rounds: 4,
        boot: 6,
    };
    let reply = status(
        &about,
        Status {
            boot: 5,
            synced: CommitNo(6),
            cluster: Some(ClusterId(7)),
            layout_version: 1,
            state: "serving",
            peers: vec![peer],
            hints: vec![(Incarnation(2), 8, 9), (Incarnation(99), 1, 2)],
            partitions_owned: 10,
            partitions_built: 11,
            partitions_dirty: 0,
            keys: 12,
            in_flight: 13,
            counters: vec![("hints_stored", 14)],
        },
    );
    assert_eq!((reply.name.as_str(), reply.zone.as_str(), reply.incarnation), ("demo-1", "z1", 1));
    assert_eq!((reply.boot, reply.synced_commit, reply.layout_version), (5, 6, 1));
    assert_eq!(reply.cluster_id, 7_u128.to_be_bytes().to_vec());
    assert_eq!((reply.state.as_str(), reply.version.as_str()), ("serving", env!("CARGO_PKG_VERSION")));
    let hints: Vec<_> = reply.hints.iter().map(|h| (h.name.as_str(), h.hints, h.bytes)).collect();
    assert_eq!(hints, [("demo-2", 8, 9), ("", 1, 2)]);
    assert_eq!(
        (reply.peers[0].rumour.as_str(), reply.peers[0].missed_deadlines, reply.peers[0].boot),
        ("suspect", 3, 6)
    );
    assert_eq!(reply.counters.get("hints_stored"), Some(&14));
    assert_eq!((reply.partitions_owned, reply.partitions_built, reply.keys), (10, 11, 12));
    assert_eq!(reply.operations_in_flight, 13);
}
