//! Closed loops against three durable nodes: what an operation takes, and what it costs.
//! Sessions carry the contexts of what they wrote, and each key belongs to one worker, as with a client that updates what it knows;
//! processor time and bytes are those of the whole processes between the first and the last operation.

use std::time::Duration;

use driftkv_lab::load::{self, Outcome, Progress, Reading, Sessions};
use driftkv_lab::plan::{Action, Distribution, Mix, Pace, Plan, Request, Until, Workload, Writes};
use serde::Serialize;

use super::usage::Usage;
use crate::cluster::Cluster;

/// What the loops ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Updates.
    Puts,
    /// Reads.
    Gets,
    /// Half of each.
    Half,
}

/// One loop, measured.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// What was asked.
    pub kind: Kind,
    /// Operations under way at a time.
    pub in_flight: u32,
    /// Operations answered.
    pub ops: u64,
    /// Operations that failed or whose outcome is unknown.
    pub errors: u64,
    /// Answered in a second.
    pub ops_per_s: f64,
    /// Service time: a closed loop does not know what a user would have waited.
    pub p50_us: u64,
    /// See `p50_us`.
    pub p99_us: u64,
    /// See `p50_us`.
    pub p999_us: u64,
    /// See `p50_us`.
    pub max_us: u64,
    /// Processor time of all three nodes together, an operation.
    pub nodes_cpu_us_per_op: f64,
    /// Processor time of the load client, an operation.
    pub client_cpu_us_per_op: f64,
    /// Bytes that all three nodes together had the system write, an operation.
    pub written_bytes_per_op: f64,
    /// Records that one sync made durable, in the mean over all nodes; 0 without syncs.
    pub records_per_sync: f64,
    /// Largest of the three nodes, at the end.
    pub resident_bytes_per_node: u64,
}

type Watch = Box<dyn FnMut(&Progress) + Send>;

/// What nodes count since they started.
struct Synced {
    syncs: u64,
    records: u64,
}

/// The cluster, and what the sessions know of it.
pub struct Bench {
    cluster: Cluster,
    sessions: Sessions,
    keys: u64,
    value_bytes: usize,
    runs: u64,
}

impl Bench {
    /// Nothing was sent yet.
    pub fn new(cluster: Cluster, keys: u64, value_bytes: usize) -> Bench {
        Bench { cluster, sessions: Sessions::new(1), keys, value_bytes, runs: 0 }
    }

    /// The nodes.
    pub fn cluster(&mut self) -> &mut Cluster {
        &mut self.cluster
    }

    /// Writes every key once, `in_flight` at a time.
    ///
    /// `watch` is called every second with the number of those that are written.
    pub async fn fill(&mut self, in_flight: u32, mut watch: impl FnMut(u64) + Send + 'static) -> Run {
        let mut plan = self.plan(Kind::Puts, in_flight, Until::Ops(self.keys));
        plan.workload.distribution = Distribution::Sequential;
        plan.workload.own_keys = false;
        plan.workload.writes = Writes::Blind;
        self.measure(Kind::Puts, plan, Some(Box::new(move |progress| watch(progress.ended)))).await
    }

    /// Runs one kind for `time`.
    pub async fn run(&mut self, kind: Kind, in_flight: u32, time: Duration) -> Run {
        let plan = self.plan(kind, in_flight, Until::After(time));
        self.measure(kind, plan, None).await
    }

    fn plan(&mut self, kind: Kind, in_flight: u32, until: Until) -> Plan {
        self.runs += 1;
        let (get, put) = match kind {
            Kind::Puts => (0, 1),
            Kind::Gets => (1, 0),
            Kind::Half => (1, 1),
        };
        let workload = Workload {
            keys: self.keys,
            own_keys: true,
            mix: Mix::gets_and_puts(get, put),
            value_bytes: self.value_bytes,
            workers: in_flight,
            sessions: 1,
            ..Workload::default()
        };
        Plan { seed: self.runs, workload, pace: Pace::Closed { until }, request: Request::default() }
    }

    async fn measure(&mut self, kind: Kind, plan: Plan, on_progress: Option<Watch>) -> Run {
        let endpoints: Vec<String> = self.cluster.nodes.iter().map(|node| node.client.to_string()).collect();
        let sessions = Some(self.sessions.clone());
        let options = load::Options { run: self.runs, sessions, on_progress, ..load::Options::default() };
        let pids = self.cluster.pids();
        let (nodes, client, synced) = (Usage::of_all(&pids), Usage::of(std::process::id()), self.synced().await);
        let outcome = load::run(&plan, &endpoints, options).await.expect("the load runs");
        let (nodes, client) = (Usage::of_all(&pids) - nodes, Usage::of(std::process::id()) - client);
        let now = self.synced().await;
        let resident = pids.iter().map(|pid| Usage::of(*pid).resident_bytes).max().unwrap_or(0);
        let synced = Synced { syncs: now.syncs - synced.syncs, records: now.records - synced.records };
        row(kind, plan.workload.workers, &outcome, [nodes, client], &synced, resident)
    }

    async fn synced(&self) -> Synced {
        let mut sum = Synced { syncs: 0, records: 0 };
        for node in &self.cluster.nodes {
            let status = node.status().await.expect("a node that answers");
            sum.syncs += status.syncs;
            sum.records += status.records_synced;
        }
        sum
    }
}

fn row(kind: Kind, in_flight: u32, outcome: &Outcome, usage: [Usage; 2], synced: &Synced, resident: u64) -> Run {
    let stats = &outcome.stats;
    let service = stats.all().1;
    let ops = stats.ok();
    let us = |reading: Option<Reading>| reading.map_or(0, |reading| reading.us);
    let each = |sum: u64| sum as f64 / (ops as f64).max(1.0);
    assert_eq!(stats.op(Action::Delete).ok + stats.op(Action::Rmw).ok, 0, "the mix has gets and puts only");
    Run {
        kind,
        in_flight,
        ops,
        errors: stats.fail() + stats.info(),
        ops_per_s: outcome.ok_rate(),
        p50_us: us(service.quantile(0.5)),
        p99_us: us(service.quantile(0.99)),
        p999_us: us(service.quantile(0.999)),
        max_us: us(service.max()),
        nodes_cpu_us_per_op: each(usage[0].cpu_us),
        client_cpu_us_per_op: each(usage[1].cpu_us),
        written_bytes_per_op: each(usage[0].written_bytes),
        records_per_sync: if synced.syncs == 0 { 0.0 } else { synced.records as f64 / synced.syncs as f64 },
        resident_bytes_per_node: resident,
    }
}
