//! Faults of nodes: pause, crash, slow and failing disks, wrong clocks; and what is refused.

use std::time::{Duration, Instant};

use driftkv_proto::error::from_status;
use driftkv_proto::v1::kv_client::KvClient;
use driftkv_proto::v1::{ErrorCode, Options, PutRequest};
use driftkv_tests::cluster::{Cluster, SOON, Shape, eventually};

use crate::{all_there_once, apply, counters, experiment, expired, inject, put_ms, three, w};

#[tokio::test]
async fn a_pause_makes_hints_that_drain_when_it_is_over() {
    let cluster = Cluster::start(Shape::of(4)).await;
    cluster.all_reach_each_other().await;
    // It would sleep far longer than its experiment lasts.
    inject(&cluster, "sleep", "4s", "{kind: pause, node: n3, down: 60s}").await;
    let client = cluster.client_of(0);
    for n in 0..40 {
        client.put("b", format!("k-{n}"), "x", w(2)).await.unwrap();
    }
    let owed = eventually("hints are held for the sleeper", async || {
        let status = cluster.nodes[0].status().await?;
        status.hints.iter().find(|hint| hint.name == "n3").map(|hint| hint.hints)
    })
    .await;
    expired(&cluster, "sleep").await;
    cluster.hints_drained().await;
    println!("pause of 60 s in an experiment of 4 s: {owed} hints at n0 for the sleeper, 0 after its end");
    assert_eq!(cluster.replicas_identical().await, 120);
    assert_eq!(counters(&cluster, 3, "sleep").await.activations, 1);
}

#[tokio::test]
async fn a_crash_is_answered_first_then_ends_the_process_and_a_restart_recovers() {
    let mut cluster = three().await;
    put_ms(&cluster.client_of(1), "k", 20, 3).await;
    let crash = "{id: bang, for: 5s, faults: [{kind: crash, node: n1}]}";
    for name in ["n0", "n1", "n2"] {
        apply(&cluster, name, crash).await.unwrap();
    }
    assert!(!cluster.nodes[1].ended(SOON).success());
    assert!(cluster.nodes[1].log().contains("injected crash, as {kind: crash, node: n1"), "{}", cluster.nodes[1].log());
    put_ms(&cluster.client_of(0), "without", 10, 2).await;
    cluster.nodes[1].start();
    cluster.all_serve().await;
    cluster.all_reach_each_other().await;
    expired(&cluster, "bang").await;
    all_there_once(&cluster.client_of(1), "k", 20).await;
    assert_eq!(cluster.nodes[1].status().await.unwrap().boot, 2, "it crashed once");
}

#[tokio::test]
async fn a_slow_disk_shows_in_puts_that_need_it_and_only_in_its_time() {
    let cluster = three().await;
    let client = cluster.client_of(0);
    let (before, _) = put_ms(&client, "before", 30, 3).await;
    inject(&cluster, "slow", "4s", "{kind: slow-disk, node: n2, mean: 50ms}").await;
    let (without, _) = put_ms(&client, "without", 30, 2).await;
    let (with, _) = put_ms(&client, "with", 20, 3).await;
    assert_eq!(experiment(&cluster, 0, "slow").await.unwrap().state, "active", "measured while it held");
    expired(&cluster, "slow").await;
    let (after, _) = put_ms(&client, "after", 30, 3).await;
    let seen = counters(&cluster, 2, "slow").await;
    println!(
        "slow disk 50 ms at one of three: p50 of a put {before:.1} ms before, W=2 {without:.1} ms, W=3 {with:.1} ms, after {after:.1} ms; {} syncs delayed",
        seen.delayed
    );
    assert!(with >= 50.0 && without < with - 20.0 && after < with - 20.0, "{before} {without} {with} {after}");
    assert!(seen.delayed >= 20 && seen.delayed == seen.seen, "{seen:?}");
    assert_eq!(counters(&cluster, 0, "slow").await.seen, 0);
}

#[tokio::test]
async fn a_sync_under_way_is_released_when_the_experiment_ends() {
    let cluster = three().await;
    let client = cluster.client_of(0);
    inject(&cluster, "stuck", "2s", "{kind: slow-disk, node: n2, mean: 60s}").await;
    let began = std::time::Instant::now();
    client.put("b", "k", "x", w(3)).await.unwrap();
    println!("slow disk 60 s for 2 s: the put with W=3 took {:.1} s", began.elapsed().as_secs_f64());
    assert!(began.elapsed() < std::time::Duration::from_secs(20));
    expired(&cluster, "stuck").await;
    assert!(counters(&cluster, 2, "stuck").await.delayed >= 1);
}

#[tokio::test]
async fn a_disk_error_ends_the_process_and_every_acknowledged_write_is_there_after_a_restart() {
    let mut cluster = three().await;
    inject(&cluster, "bad", "3s", "{kind: disk-error, node: n2, rate: 20%}").await;
    let client = cluster.client_of(0);
    // W=2: n0 and n1 have it, and n2 as long as its disk lives.
    put_ms(&client, "k", 60, 2).await;
    assert!(!cluster.nodes[2].ended(SOON).success());
    let log = cluster.nodes[2].log();
    assert!(
        log.contains("the store failed")
            && log.contains("injected disk error: {kind: disk-error, node: n2, rate: 20%}"),
        "{log}"
    );
    cluster.nodes[2].start();
    cluster.all_serve().await;
    cluster.all_reach_each_other().await;
    expired(&cluster, "bad").await;
    // All three must answer, so what n2 lost has come back, too.
    all_there_once(&cluster.client_of(2), "k", 60).await;
    put_ms(&client, "after", 40, 3).await;
    println!("disk error 20 %: the process ended; 60 of 60 acknowledged writes at R=3 after its restart");
    assert_eq!(cluster.nodes[2].status().await.unwrap().boot, 2, "it is not injected again after a restart");
}

#[tokio::test]
async fn wrong_clocks_lose_no_write() {
    let cluster = three().await;
    let faults = "{kind: clock-skew, node: n0, by: 30s}, {kind: clock-skew, node: n1, by: -30s}";
    inject(&cluster, "clocks", "3s", faults).await;
    // A jump may cost the requests under way their deadline, so a failed put is asked again.
    for n in 0..40 {
        eventually("the put is acknowledged", async || {
            cluster.client_of(n % 3).put("b", format!("k-{n}"), "x", w(2)).await.ok()
        })
        .await;
    }
    expired(&cluster, "clocks").await;
    let (ahead, behind) =
        (experiment(&cluster, 0, "clocks").await.unwrap(), experiment(&cluster, 1, "clocks").await.unwrap());
    assert_eq!((ahead.faults[0].activations, ahead.faults[1].activations), (1, 0));
    assert_eq!((behind.faults[0].activations, behind.faults[1].activations), (0, 1));
    cluster.all_reach_each_other().await;
    for n in 0..40 {
        assert!(crate::values(&cluster.client_of(0), &format!("k-{n}"), 3).await.contains(&"x".to_owned()), "k-{n}");
    }
    put_ms(&cluster.client_of(1), "after", 10, 3).await;
    println!("clock skew +30 s and -30 s: 40 of 40 acknowledged writes there");
}

/// The put waits for owners that are cut off, as long as its timeout of 12 s allows by the node's clock.
#[tokio::test]
async fn a_clock_that_jumps_ahead_ends_what_waits_for_a_deadline() {
    let cluster = three().await;
    inject(&cluster, "cut", "20s", "{kind: partition, groups: [[n0], [n1, n2]]}").await;
    let mut kv = KvClient::connect(format!("http://{}", cluster.nodes[0].client)).await.unwrap();
    let options = Options { w: 3, timeout_ms: 12_000, ..Options::default() };
    let request = PutRequest {
        bucket: "b".to_owned(),
        key: "k".into(),
        value: "x".into(),
        options: Some(options),
        ..PutRequest::default()
    };
    let began = Instant::now();
    let put = tokio::spawn(async move { kv.put(request).await });
    eventually("the put is under way", async || {
        let status = cluster.nodes[0].status().await?;
        (status.operations_in_flight > 0).then_some(())
    })
    .await;
    let jumped = began.elapsed();
    inject(&cluster, "jump", "5s", "{kind: clock-skew, node: n0, by: 60s}").await;
    let error = from_status(&put.await.unwrap().unwrap_err(), true);
    let took = began.elapsed();
    println!(
        "clock skew +60 s after {:.2} s: a put that waits, with a timeout of 12 s, ended after {:.2} s",
        jumped.as_secs_f64(),
        took.as_secs_f64()
    );
    assert_eq!(error.code, ErrorCode::DeadlineExceeded, "{error}");
    assert!(took < Duration::from_secs(6), "{took:?}");
}

/// What it waits for never comes, and its timeout of a second is over when the clock goes on, as its experiment ends: no message comes to wake the node. The next one is answered in its time.
#[tokio::test]
async fn a_clock_that_stands_still_ends_no_deadline_until_its_experiment_is_over() {
    let cluster = three().await;
    inject(&cluster, "cut", "30s", "{kind: partition, groups: [[n0], [n1, n2]]}").await;
    inject(&cluster, "still", "4s", "{kind: clock-skew, node: n0, by: -600s}").await;
    let mut kv = KvClient::connect(format!("http://{}", cluster.nodes[0].client)).await.unwrap();
    let mut took = Vec::new();
    for key in ["still", "after"] {
        let options = Options { w: 3, timeout_ms: 1_000, ..Options::default() };
        let request = PutRequest {
            bucket: "b".to_owned(),
            key: key.into(),
            value: "x".into(),
            options: Some(options),
            ..PutRequest::default()
        };
        let began = Instant::now();
        let error = from_status(&kv.put(request).await.unwrap_err(), true);
        // Once time has gone on, n0 may know that the others are out of reach, and need not wait for them.
        let is_told =
            error.code == ErrorCode::DeadlineExceeded || (key == "after" && error.code == ErrorCode::QuorumNotReached);
        assert!(is_told, "{key}: {error}");
        took.push(began.elapsed());
        expired(&cluster, "still").await;
    }
    println!(
        "clock skew -600 s for 4 s: a put with a timeout of 1 s ended after {:.2?}, the next one after {:.2?}",
        took[0], took[1]
    );
    assert!(took[0] > Duration::from_secs(3) && took[0] < Duration::from_secs(10), "{took:?}");
    assert!(took[1] < Duration::from_secs(3), "{took:?}");
}

#[tokio::test]
async fn what_cannot_be_read_or_is_unknown_injects_nothing_and_names_its_place() {
    let cluster = three().await;
    let cases = [
        ("for: 5s\nfaults:\n- {kind: explode}\n", "line 3, column 10: unknown kind `explode`"),
        ("for: 5s\nfaults:\n- {kind: pause, node: n0, down: 5}\n", "line 3, column 33: `down`: `5` is not a duration"),
        (
            "for: 5s\nfaults:\n- {kind: pause, node: n0, down: 1s}\n- {kind: pause, node: n9, down: 1s}\n",
            "line 4, column 23: no such node: n9",
        ),
        ("for: 5s\nfaults:\n- {kind: disk-error, node: '*', rate: 1%}\n", "disturbs 3 nodes (n0, n1, n2)"),
        ("for: 5s\nfaults:\n- {kind: wipe, node: n0}\n", "kind wipe is not supported"),
    ];
    for (text, told) in cases {
        let refused = apply(&cluster, "n0", text).await.unwrap_err();
        assert!(refused.message().contains(told), "{refused}\n  should say: {told}");
    }
    let faults = cluster.nodes[0].status().await.unwrap().faults.unwrap();
    assert_eq!(faults.experiments, []);
}
