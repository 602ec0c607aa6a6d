//! `status`, `ring` and `chaos`: what they show is what the nodes hold.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use driftkv_core::id::{Incarnation, Key};
use driftkv_core::layout::Layout;
use driftkv_core::ring::Ring;
use driftkv_proto::{client, v1};

use crate::harness::{Outcome, Up, manifest, wait_for};

#[test]
fn status_has_a_line_for_each_node_and_says_who_is_away() {
    let up = Up::start(&manifest(3, "  zones: [a, b, c]\n"));
    wait_for("all peers reachable", || {
        let status = up.driftkv(&["status", "-o", "json"]).ended(0).json();
        let is_whole = |node: &serde_json::Value| {
            node["state"] == "serving"
                && node["peers"].as_array().unwrap().iter().all(|peer| peer["isReachable"] == true)
        };
        let nodes = status["nodes"].as_array().unwrap();
        if nodes.len() == 3 && nodes.iter().all(is_whole) { Ok(()) } else { Err(status.to_string()) }
    });
    let text = up.driftkv(&["status"]).ended(0);
    let lines: Vec<&str> = text.text().lines().collect();
    assert!(lines[0].starts_with("cluster ") && lines[0].ends_with(", layout 1"), "{lines:?}");
    let headings: Vec<&str> = lines[1].split_whitespace().collect();
    assert_eq!(headings, ["NODE", "ZONE", "STATE", "BOOT", "KEYS", "PARTITIONS", "PEERS", "HINTS", "FAULTS"]);
    let first: Vec<&str> = lines[2].split_whitespace().collect();
    assert_eq!(first[..4], ["t-0", "a", "serving", "1"]);
    assert!(!text.text().contains('\x1b'), "no colour into a pipe");

    // By addresses alone: the names come from the nodes, the nodes not named from the layout.
    let endpoint = format!("127.0.0.1:{}", up.base_port);
    let by_address = up.driftkv(&["status", "--endpoint", &endpoint, "-o", "json"]).ended(0).json();
    let names: Vec<&str> =
        by_address["nodes"].as_array().unwrap().iter().map(|n| n["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["t-0", "t-1", "t-2"]);
}

#[test]
fn the_ring_shows_the_preference_lists_that_the_nodes_use() {
    let up = Up::start(&manifest(4, "  replicationFactor: 2\n  readQuorum: 1\n  writeQuorum: 2\n"));
    let layout = core_layout(&format!("127.0.0.1:{}", up.base_port + 2));
    let names: BTreeMap<Incarnation, &str> =
        layout.members.iter().map(|member| (member.incarnation, member.name.as_str())).collect();
    let ring = Ring::new(&layout);
    for (bucket, key) in [("default", "k"), ("default", "cart"), ("b", "ü"), ("b", ""), ("", "x"), ("carts", "user:1")]
    {
        let key_of_core = Key::new(bucket.to_owned(), key.to_owned());
        let partition = ring.partition_of(&key_of_core);
        let json = up.driftkv(&["ring", key, "-b", bucket, "-o", "json"]).ended(0).json();
        let told = |role: &str| {
            let members = json["key"][role].as_array().unwrap().iter();
            members.map(|member| member["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let named = |nodes: &[Incarnation]| nodes.iter().map(|node| names[node].to_owned()).collect::<Vec<_>>();
        assert_eq!(json["key"]["position"], format!("{:032x}", key_of_core.position()), "{bucket}/{key}");
        assert_eq!(json["key"]["partition"], partition.0, "{bucket}/{key}");
        assert_eq!(told("primaries"), named(ring.primaries(partition)), "{bucket}/{key}");
        assert_eq!(told("fallbacks"), named(ring.fallbacks(partition)), "{bucket}/{key}");
    }
    let picture = up.driftkv(&["ring"]).ended(0);
    assert!(picture.text().contains("16 partitions x 2 copies = 32 tokens on 4 nodes"), "{}", picture.text());
    let with_key = up.driftkv(&["ring", "cart"]).ended(0);
    assert!(with_key.text().contains("key \"cart\" of bucket \"default\""), "{}", with_key.text());
}

/// The layout of a node as core makes it of the same members.
fn core_layout(admin: &str) -> Layout {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let wire = runtime.block_on(async {
        let reply = client::admin(admin).unwrap().get_layout(v1::GetLayoutRequest {}).await;
        reply.unwrap().into_inner()
    });
    let request = v1::BootstrapRequest {
        cluster_id: wire.cluster_id,
        partitions: wire.partitions,
        replication_factor: wire.replication_factor,
        members: wire.members,
    };
    driftkv_node::convert::admin::bootstrap(request).unwrap()
}

#[test]
fn an_experiment_is_applied_shown_and_cleared_on_all_nodes() {
    let up = Up::start(&manifest(3, ""));
    // A peer that the gossip never heard of cannot go missing in it.
    wait_for("gossip of all about all", || {
        let status = up.driftkv(&["status", "-o", "json"]).ended(0).json();
        let peers = status["nodes"].as_array().unwrap().iter().flat_map(|node| node["peers"].as_array().unwrap());
        let alive = peers.filter(|peer| peer["rumour"] == "alive").count();
        if alive == 6 { Ok(()) } else { Err(status.to_string()) }
    });
    let apply = |text: &str| up.driftkv_reading(&["chaos", "apply", "-f", "-"], text.as_bytes());
    let cut = "id: cut\nfor: 1m\nallowQuorumLoss: true\nfaults:\n- {kind: partition, groups: [[t-0], [t-1, t-2]]}\n";
    let applied = apply(cut).ended(0);
    assert_eq!(applied.text().matches("applied").count(), 3, "{}", applied.text());
    let active = |outcome: Outcome| {
        let json = outcome.json();
        let experiments =
            json["nodes"].as_array().unwrap().iter().flat_map(|n| n["experiments"].as_array().unwrap().clone());
        experiments.filter(|experiment| experiment["state"] == "active").count()
    };
    assert_eq!(active(up.driftkv(&["chaos", "status", "-o", "json"]).ended(0)), 3);
    wait_for("the cut seen by status", || {
        let status = up.driftkv(&["status"]).ended(0);
        let is_seen = status.text().contains("t-1 is not reached by t-0");
        if is_seen { Ok(()) } else { Err(status.text().to_owned()) }
    });
    let text = up.driftkv(&["chaos", "status"]).ended(0);
    assert!(text.text().contains("{kind: partition, groups: [[t-0], [t-1, t-2]]}"), "{}", text.text());
    up.driftkv(&["chaos", "clear", "cut"]).ended(0);
    assert_eq!(active(up.driftkv(&["chaos", "status", "-o", "json"]).ended(0)), 0);

    // An id is begun once: to say so again would claim a fault that is not there.
    apply(cut).ended(2).told(&["experiment cut was begun before: t-0 (cleared)", "chaos apply --id NEW"]);
    let again = up.driftkv_reading(&["chaos", "apply", "-f", "-", "--id", "again"], cut.as_bytes()).ended(0);
    assert!(again.text().contains("experiment again for 1m"), "{}", again.text());
    assert!(apply(&cut.replace("id: cut", "id: again")).ended(0).text().contains("active already"));
    up.driftkv(&["chaos", "clear"]).ended(0);
    up.driftkv(&["chaos", "clear", "nobody"]).ended(1).told(&["no experiment `nobody` is known here"]);

    apply("for: 5s\nfaults:\n- {kind: explode}\n").ended(2).told(&["stdin:3:", "explode"]);
    up.driftkv(&["chaos", "apply", "-f", "."]).ended(2).told(&["is a directory; a file is needed"]);
    up.driftkv_reading(&["chaos", "apply", "-f", "-"], b"for: \xff").ended(2).told(&["stdin: is not text in UTF-8"]);
    apply("for: 5s\nfaults:\n- {kind: wipe, node: t-0}\n").ended(2).told(&["stdin:3:10: kind wipe is not supported"]);
    // The node answers before it ends, and `up` says that it was asked to.
    apply("id: bang\nfor: 5s\nfaults:\n- {kind: crash, node: t-2}\n").ended(0);
    up.wait_for_line("t-2 ended (it aborted, signal 6)");
    up.wait_for_line("injected crash");
    up.wait_for_line("t-2 runs again");
    apply(&cut.replace("t-0", "t-9")).ended(2).told(&["stdin:5:29: no such node: t-9"]);
    apply(&cut.replace("allowQuorumLoss: true\n", "").replace("[t-1, t-2]", "[t-1], [t-2]"))
        .ended(2)
        .told(&["allowQuorumLoss"]);
}

/// It is asked once, for all that it cannot answer: three questions in a row had taken 12 s.
#[test]
fn status_waits_once_for_a_node_that_stands_still_and_shows_what_holds_it() {
    let up = Up::start(&manifest(3, ""));
    let nap = "id: nap\nfor: 50s\nfaults:\n- {kind: pause, node: t-2, down: 50s}\n";
    up.driftkv_reading(&["chaos", "apply", "-f", "-"], nap.as_bytes()).ended(0);
    let began = Instant::now();
    let status = up.driftkv(&["status"]).ended(0);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}");
    let line = status.text().lines().find(|line| line.starts_with("t-2")).unwrap();
    assert!(line.contains("no answer") && line.ends_with("1 active"), "{}", status.text());
    assert!(status.text().contains("experiment nap, "), "{}", status.text());
    up.driftkv(&["chaos", "clear"]).ended(0);
}

/// Starts `experiment`s of these ids at one node alone, and, if `are_cleared`, ends them.
fn at_one_node(admin: &str, ids: std::ops::Range<u32>, experiment: impl Fn(&str) -> String, are_cleared: bool) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut node = client::admin(admin).unwrap();
        for id in ids.map(|id| format!("x{id}")) {
            let request = v1::ApplyFaultsRequest { experiment: experiment(&id), ..Default::default() };
            node.apply_faults(request).await.unwrap();
            if are_cleared {
                node.clear_faults(v1::ClearFaultsRequest { id }).await.unwrap();
            }
        }
    });
}

/// A node that cannot begin it says so, whether it has no room or has had the id: then no node is left with it.
#[test]
fn an_experiment_that_one_node_cannot_begin_is_at_none_and_that_is_said() {
    let up = Up::start(&manifest(3, ""));
    let delay = |id: &str| format!("{{id: {id}, for: 5m, faults: [{{kind: delay, from: t-0, to: t-1, mean: 1ms}}]}}");
    let apply = |id: &str| up.driftkv_reading(&["chaos", "apply", "-f", "-"], delay(id).as_bytes());
    let is_active_somewhere = |id: &str| {
        let status = up.driftkv(&["chaos", "status", "-o", "json"]).ended(0).json();
        let nodes = status["nodes"].as_array().unwrap().iter();
        let mut all = nodes.flat_map(|node| node["experiments"].as_array().unwrap().clone());
        all.any(|one| one["id"] == id && one["state"] == "active")
    };
    let admin = format!("127.0.0.1:{}", up.base_port + 12);

    at_one_node(&admin, 0..20, delay, true);
    let refused = apply("x0").ended(1).told(&["1 of 3 nodes refused or failed", "t-1 refuses: the id `x0` belongs to"]);
    assert_eq!(refused.text().matches("applied, and cleared again").count(), 2, "{}", refused.text());
    assert!(!is_active_somewhere("x0"));

    at_one_node(&admin, 20..28, delay, false);
    let refused = apply("one-more").ended(1).told(&["1 of 3 nodes refused or failed", "t-1 refuses: 8 experiments"]);
    assert_eq!(refused.text().matches("applied, and cleared again").count(), 2, "{}", refused.text());
    assert!(!is_active_somewhere("one-more"));
}

#[test]
fn a_cluster_that_allows_no_faults_gets_none() {
    let up = Up::start(
        &manifest(1, "  replicationFactor: 1\n  readQuorum: 1\n  writeQuorum: 1\n")
            .replace("allowFaults: true", "allowFaults: false"),
    );
    let text = "for: 5s\nallowQuorumLoss: true\nfaults:\n- {kind: pause, node: t-0, down: 1s}\n";
    let refused = up.driftkv_reading(&["chaos", "apply", "-f", "-"], text.as_bytes());
    assert_ne!(refused.code, 0);
    refused.told(&["allowFaults: true"]);
    let status = up.driftkv(&["status"]).ended(0);
    assert!(status.text().lines().any(|line| line.starts_with("t-0") && line.ends_with("off")), "{}", status.text());
}
