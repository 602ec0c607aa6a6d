//! Twice the capacity offered: the store goes on at its best rate, and what comes too late costs it nothing but the refusal.
//! Capacity and overload are measured in turn within one run, since the machine is shared: medians are compared, not moments.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::Duration;

use driftkv_lab::load::{self, Options, Outcome};
use driftkv_lab::plan::{Arrivals, Mix, Pace, Plan, Until, Workload, Writes};
use driftkv_tests::cluster::{Cluster, Shape};

const WORKERS: u32 = 1_024;
const ROUNDS: usize = 3;
const PHASE: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_millis(500);
/// Of the rate at its best.
const GOODPUT_MIN: f64 = 0.8;
/// Of the writes that failed, those that may have reached a disk nevertheless: they were under way when their time ended.
const WASTE_MAX: f64 = 0.5;
/// More than the nodes take: what is refused is refused by them, not held back here.
const IN_FLIGHT: usize = 16_384;

fn plan(seed: u64, pace: Pace) -> Plan {
    // So many keys that writes which cover nothing hardly ever meet.
    let workload = Workload {
        keys: 10_000_000,
        mix: Mix { get: 0, put: 1, delete: 0, rmw: 0 },
        writes: Writes::Blind,
        value_bytes: 200,
        workers: WORKERS,
        sessions: WORKERS,
        ..Workload::default()
    };
    Plan { seed, workload, pace }
}

/// What a phase came to.
#[derive(Debug)]
struct Phase {
    /// Writes acknowledged within their time, a second.
    goodput: f64,
    /// Writes that were not.
    failed: u64,
    /// Of these, how many are nevertheless on a disk.
    wasted: u64,
}

async fn phase(cluster: &Cluster, seed: u64, pace: Pace, before: u64) -> (Phase, u64) {
    let endpoints: Vec<String> = cluster.nodes.iter().map(|node| node.client.to_string()).collect();
    let options = Options { run: seed, timeout: TIMEOUT, connections: 2, ..Options::default() };
    let outcome: Outcome = load::run(&plan(seed, pace), &endpoints, options).await.unwrap();
    let (ok, failed) = (outcome.stats.ok(), outcome.stats.ended() - outcome.stats.ok());
    cluster.hints_drained().await;
    // Each write has a key of its own, which three replicas hold.
    let keys = cluster.replicas_identical().await / 3;
    println!("{ok} acknowledged in {:.1?}; {:?}", outcome.elapsed, outcome.stats.errors());
    let wasted = (keys - before).saturating_sub(ok);
    (Phase { goodput: ok as f64 / PHASE.as_secs_f64(), failed, wasted }, keys)
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twice_the_capacity_leaves_four_fifths_of_it_and_most_of_what_came_too_late_reaches_no_disk() {
    let cluster = Cluster::start(Shape::of(3)).await;
    cluster.all_reach_each_other().await;
    let best = || Pace::Closed { until: Until::After(PHASE) };
    let (_, mut keys) = phase(&cluster, 1, best(), 0).await;
    let (mut peaks, mut overloads) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS as u64 {
        let (peak, held) = phase(&cluster, 10 + round, best(), keys).await;
        let arrivals = Arrivals::Constant { rate: 2.0 * peak.goodput };
        let pace = Pace::Open { arrivals, duration: PHASE, in_flight: IN_FLIGHT };
        let (overload, held) = phase(&cluster, 20 + round, pace, held).await;
        println!("peak {peak:.2?}, twice that offered {overload:.2?}");
        keys = held;
        peaks.push(peak.goodput);
        overloads.push(overload);
    }
    let goodput = median(overloads.iter().map(|phase| phase.goodput).collect()) / median(peaks);
    let (failed, wasted) = overloads.iter().fold((0, 0), |(f, w), phase| (f + phase.failed, w + phase.wasted));
    println!(
        "goodput is {:.0} % of the peak; of {failed} writes that failed, {wasted} reached a disk",
        100.0 * goodput
    );
    assert!(goodput >= GOODPUT_MIN, "goodput is {:.0} % of the peak", 100.0 * goodput);
    assert!(failed > 1_000, "twice the capacity was offered and only {failed} writes failed");
    assert!((wasted as f64) < WASTE_MAX * failed as f64, "{wasted} of {failed} writes that failed are on a disk");
}
