//! Faults of links: delays by each law, losses, doubles, overtaking, cuts.

use driftkv_proto::client::PutOptions;
use driftkv_tests::cluster::{Cluster, Shape, eventually};

use crate::{all_there_once, apply, counters, expired, inject, put_ms, three, values};

#[tokio::test]
async fn a_constant_delay_shows_in_the_median_and_is_gone_after_its_time() {
    let cluster = three().await;
    let client = cluster.client_of(0);
    let (before, _) = put_ms(&client, "before", 40, 3).await;
    inject(&cluster, "slow", "3s", "{kind: delay, from: n0, to: '*', mean: 20ms}").await;
    let (during, _) = put_ms(&client, "during", 40, 3).await;
    assert_eq!(crate::experiment(&cluster, 0, "slow").await.unwrap().state, "active", "measured while it held");
    expired(&cluster, "slow").await;
    let (after, _) = put_ms(&client, "after", 40, 3).await;
    println!(
        "delay, constant 20 ms one way: p50 of a put {before:.1} ms before, {during:.1} ms during, {after:.1} ms after"
    );
    assert!(during >= 20.0 && during - before >= 15.0, "{before} {during}");
    assert!(after < during - 10.0, "{during} {after}");
    assert!(counters(&cluster, 0, "slow").await.delayed >= 80);
}

#[tokio::test]
async fn each_law_delays_by_its_mean_and_stops() {
    let cluster = three().await;
    let client = cluster.client_of(0);
    let (median_before, before) = put_ms(&client, "before", 40, 2).await;
    let laws = [
        ("uniform", "law: uniform, min: 5ms, max: 35ms"),
        ("exponential", "law: exponential, mean: 20ms"),
        ("pareto", "law: pareto, mean: 20ms, shape: 3"),
    ];
    for (name, law) in laws {
        // One link is delayed and W=2 of 3 does not tell; so the other replica is cut off, and each put waits for the one drawn delay.
        let faults = format!("{{kind: delay, from: n0, to: n1, {law}}}, {{kind: partition, from: n0, to: n2}}");
        inject(&cluster, name, "6s", &faults).await;
        let (_, during) = put_ms(&client, name, 100, 2).await;
        assert_eq!(crate::experiment(&cluster, 0, name).await.unwrap().state, "active", "measured while it held");
        expired(&cluster, name).await;
        println!("delay, {name} mean 20 ms: mean of 100 puts {before:.1} ms before, {during:.1} ms during");
        // Four standard errors of the mean of 100: 20 +- 8 ms for the exponential, the widest; above, what a busy machine adds.
        assert!(during - before > 10.0 && during - before < 45.0, "{name}: {before} {during}");
    }
    // The median: one sync that the disk holds up is no delay of a link.
    let (after, _) = put_ms(&client, "after", 40, 3).await;
    assert!(after < median_before + 10.0, "{median_before} {after}");
}

#[tokio::test]
async fn losses_are_as_many_as_the_rate_leaves_to_chance_and_every_nth_is_exact() {
    let cluster = three().await;
    let client = cluster.client_of(0);
    inject(&cluster, "rate", "12s", "{kind: drop, from: n0, to: n1, rate: 5%}").await;
    inject(&cluster, "nth", "12s", "{kind: drop, from: n0, to: n2, every: 4}").await;
    // W=1 is answered by n0 itself, so no loss slows this down. So many, that half the rate or twice as much lies far outside.
    let mut round = 0;
    while counters(&cluster, 0, "rate").await.seen < 2_000 {
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|writer| format!("{writer}-{round}"));
        let put = |name| put_ms(&client, name, 50, 1);
        tokio::join!(put(&a), put(&b), put(&c), put(&d));
        round += 1;
        assert_eq!(crate::experiment(&cluster, 0, "rate").await.unwrap().state, "active", "too slow to see 2,000");
    }
    expired(&cluster, "rate").await;
    expired(&cluster, "nth").await;
    let rate = counters(&cluster, 0, "rate").await;
    let (seen, dropped) = (rate.seen as f64, rate.dropped as f64);
    // The seed is fixed, and with it what each link draws: no luck can break three sigma, and half the rate lies five away.
    let spread = 3.0 * (seen * 0.05 * 0.95).sqrt();
    println!(
        "drop 5 %: {dropped} of {seen} lost; 3 sigma of the binomial: {:.0} to {:.0}",
        seen * 0.05 - spread,
        seen * 0.05 + spread
    );
    assert!((dropped - seen * 0.05).abs() <= spread, "{rate:?}");
    let nth = counters(&cluster, 0, "nth").await;
    println!("drop every 4th: {} of {} lost", nth.dropped, nth.seen);
    assert_eq!(nth.dropped, nth.seen / 4, "{nth:?}");
    assert_eq!(counters(&cluster, 1, "nth").await.seen, 0, "one way only");
    put_ms(&client, "after", 100, 3).await;
    assert_eq!(counters(&cluster, 0, "rate").await, rate, "after the end no message meets it");
}

#[tokio::test]
async fn doubled_and_overtaking_messages_write_nothing_twice() {
    let cluster = three().await;
    let client = cluster.client_of(0);
    inject(&cluster, "double", "3s", "{kind: duplicate, from: '*', to: '*', rate: 30%}").await;
    inject(&cluster, "reorder", "3s", "{kind: reorder, from: '*', to: '*', rate: 30%, window: 10ms}").await;
    put_ms(&client, "k", 60, 3).await;
    expired(&cluster, "double").await;
    expired(&cluster, "reorder").await;
    let (double, reorder) = (counters(&cluster, 0, "double").await, counters(&cluster, 0, "reorder").await);
    println!(
        "duplicate 30 %: {} of {}; reorder 30 %: {} of {}",
        double.duplicated, double.seen, reorder.reordered, reorder.seen
    );
    for (did, seen) in [(double.duplicated, double.seen), (reorder.reordered, reorder.seen)] {
        let (did, seen) = (did as f64, seen as f64);
        assert!(seen >= 100.0 && (did - seen * 0.3).abs() <= 5.0 * (seen * 0.21).sqrt(), "{did} of {seen}");
    }
    all_there_once(&client, "k", 60).await;
    cluster.replicas_identical().await;
    put_ms(&client, "after", 60, 3).await;
    assert_eq!(counters(&cluster, 0, "double").await, double, "messages after its end meet it no more");
    assert_eq!(counters(&cluster, 0, "reorder").await, reorder, "messages after its end meet it no more");
}

#[tokio::test]
async fn a_cut_makes_siblings_and_heals_itself() {
    let cluster = Cluster::start(Shape::of(5)).await;
    cluster.all_reach_each_other().await;
    let base = cluster.client(0).put("b", "k", "before", PutOptions::default()).await.unwrap();
    let cut = "{kind: partition, groups: [[n0, n1], [n2, n3, n4]]}";
    let text = format!("{{id: cut, for: 4s, faults: [{cut}]}}");
    let refused = apply(&cluster, "n0", &text).await.unwrap_err();
    assert!(
        refused.message().contains("disturbs 2 nodes (n0, n1)") && refused.message().contains("allowQuorumLoss"),
        "{refused}"
    );
    assert!(crate::experiment(&cluster, 0, "cut").await.is_none(), "refused is not injected");
    inject(&cluster, "cut", "4s", cut).await;
    let covering = || PutOptions { context: base.context.clone(), ..PutOptions::default() };
    cluster.client_of(0).put("b", "k", "left", covering()).await.unwrap();
    cluster.client_of(4).put("b", "k", "right", covering()).await.unwrap();
    assert_eq!(crate::experiment(&cluster, 0, "cut").await.unwrap().state, "active", "written while it held");
    expired(&cluster, "cut").await;
    let siblings = eventually("both values are siblings", async || {
        let reply = cluster
            .client(0)
            .get("b", "k", driftkv_proto::client::GetOptions { r: 3, ..Default::default() })
            .await
            .ok()?;
        (reply.siblings.len() == 2).then_some(reply.siblings.len())
    })
    .await;
    println!("partition 2|3 for 4 s: {siblings} siblings after both sides wrote");
    cluster.hints_drained().await;
    cluster.replicas_identical().await;
}

#[tokio::test]
async fn a_one_way_cut_loses_only_one_way() {
    let cluster = three().await;
    inject(&cluster, "mute", "2s", "{kind: partition, from: n0, to: n1}").await;
    put_ms(&cluster.client_of(0), "k", 10, 2).await;
    put_ms(&cluster.client_of(1), "l", 10, 2).await;
    expired(&cluster, "mute").await;
    let (sender, receiver) = (counters(&cluster, 0, "mute").await, counters(&cluster, 1, "mute").await);
    println!("partition n0 -> n1: n0 sent and lost {} messages", sender.dropped);
    assert!(sender.dropped >= 10 && sender.dropped == sender.seen, "{sender:?}");
    assert_eq!(receiver.dropped, receiver.seen, "{receiver:?}");
    assert_eq!(counters(&cluster, 2, "mute").await.seen, 0);
    cluster.all_reach_each_other().await;
    put_ms(&cluster.client_of(0), "after", 10, 3).await;
    assert_eq!(values(&cluster.client_of(1), "after-9", 3).await, ["x"]);
}
