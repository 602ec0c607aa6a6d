//! Twice the capacity offered: the store goes on at nearly its best rate, and what comes too late hardly costs it anything.
//! Nodes and load have processors of their own. Peak and overload are measured in turn within one run, since the machine is shared:
//! medians are compared, not moments.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::Duration;

use driftkv_lab::load::{self, Options, Outcome};
use driftkv_lab::plan::{Arrivals, Mix, Pace, Plan, Request, Until, Workload, Writes};
use driftkv_tests::cluster::{Cluster, Shape};
use driftkv_tests::processors::{Half, Processors, keep_to};
use tokio::runtime::{Builder, Runtime};

/// Of the closed loop that finds the peak: enough to keep all nodes busy.
const WORKERS: u32 = 192;
const ROUNDS: u64 = 5;
const PHASE: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_millis(500);
/// Of the rate at its best.
const GOODPUT_MIN: f64 = 0.8;
/// Of the writes that failed, those that are on a disk nevertheless: they were under way when their time ended.
const WASTE_MAX: f64 = 0.1;
/// More than the nodes take: what is refused is refused by them, not held back here.
const IN_FLIGHT: usize = 16_384;

fn plan(seed: u64, pace: Pace) -> Plan {
    // So many keys that writes which cover nothing hardly ever meet.
    let workload = Workload {
        keys: 10_000_000,
        mix: Mix { get: 0, put: 1, delete: 0, rmw: 0 },
        writes: Writes::Blind,
        value_bytes: 256,
        workers: WORKERS,
        sessions: WORKERS,
        ..Workload::default()
    };
    Plan { seed, workload, pace, request: Request { timeout: TIMEOUT, connections: 8, ..Request::default() } }
}

/// What a phase came to.
#[derive(Debug)]
struct Phase {
    /// Writes acknowledged within their time, a second.
    goodput: f64,
    /// Writes that were sent and were not.
    failed: u64,
    /// Of these, how many are nevertheless on a disk.
    wasted: u64,
}

/// The nodes, and who loads them: each on half of the processors.
struct Bench {
    cluster: Cluster,
    asking: Runtime,
    loading: Runtime,
    /// On the disks so far, each once.
    keys: u64,
}

impl Bench {
    fn new() -> Bench {
        let all = Processors::of_this_thread().unwrap();
        let is_parted = keep_to(Half::First, &all);
        let asking = Builder::new_current_thread().enable_all().build().unwrap();
        let cluster = asking.block_on(Cluster::start(Shape::of(3)));
        asking.block_on(cluster.all_reach_each_other());
        if let Err(why) = is_parted.and_then(|()| keep_to(Half::Second, &all)) {
            println!("the load takes processors from the nodes: {why}");
        }
        let loading = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Bench { cluster, asking, loading, keys: 0 }
    }

    fn phase(&mut self, seed: u64, pace: Pace) -> Phase {
        let endpoints: Vec<String> = self.cluster.nodes.iter().map(|node| node.client.to_string()).collect();
        let options = Options { run: seed, ..Options::default() };
        let outcome: Outcome = self.loading.block_on(load::run(&plan(seed, pace), &endpoints, options)).unwrap();
        let unsent: u64 =
            outcome.stats.errors().iter().filter(|(name, _)| **name == "not_sent").map(|(_, of)| of.count).sum();
        let (ok, failed) = (outcome.stats.ok(), outcome.stats.ended() - outcome.stats.ok() - unsent);
        // Each write has a key of its own, which three replicas hold.
        let keys = self.asking.block_on(async {
            self.cluster.hints_drained().await;
            self.cluster.replicas_identical().await / 3
        });
        let response = outcome.stats.all().0;
        let errors: Vec<_> = outcome.stats.errors().iter().map(|(name, of)| (name, of.count)).collect();
        println!("{ok} acknowledged in {:.1?}, p99 {:?}; {:?}", outcome.elapsed, response.quantile(0.99), errors);
        let wasted = (keys - self.keys).saturating_sub(ok);
        self.keys = keys;
        Phase { goodput: ok as f64 / outcome.elapsed.max(PHASE).as_secs_f64(), failed, wasted }
    }

    fn peak(&mut self, seed: u64) -> Phase {
        self.phase(seed, Pace::Closed { until: Until::After(PHASE) })
    }

    fn overload(&mut self, seed: u64, rate: f64) -> Phase {
        self.phase(seed, Pace::Open { arrivals: Arrivals::Constant { rate }, duration: PHASE, in_flight: IN_FLIGHT })
    }
}

fn median(of: impl Iterator<Item = f64>) -> f64 {
    let mut of: Vec<f64> = of.collect();
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

#[test]
fn twice_the_capacity_leaves_four_fifths_of_it_and_what_comes_too_late_reaches_no_disk() {
    let mut bench = Bench::new();
    bench.peak(1);
    let rounds: Vec<(Phase, Phase)> = (0..ROUNDS)
        .map(|round| {
            let peak = bench.peak(10 + round);
            let overload = bench.overload(20 + round, 2.0 * peak.goodput);
            println!("peak {peak:.2?}, twice that offered {overload:.2?}");
            (peak, overload)
        })
        .collect();
    let goodput = median(rounds.iter().map(|(peak, overload)| overload.goodput / peak.goodput));
    let failed: u64 = rounds.iter().map(|(_, overload)| overload.failed).sum();
    let wasted: u64 = rounds.iter().map(|(_, overload)| overload.wasted).sum();
    println!("goodput {:.0} % of the peak; {wasted} of {failed} writes that failed reached a disk", 100.0 * goodput);
    assert!(goodput >= GOODPUT_MIN, "goodput is {:.0} % of the peak", 100.0 * goodput);
    assert!(failed > 1_000, "twice the capacity was offered and only {failed} writes failed");
    assert!((wasted as f64) < WASTE_MAX * failed as f64, "{wasted} of {failed} writes that failed are on a disk");
}
