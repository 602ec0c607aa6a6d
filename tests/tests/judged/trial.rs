//! One trial: a planned load on proxies before real nodes, then both judges, as `driftkv lab load` and `driftkv lab check` have them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use driftkv_lab::check::{self, Reading};
use driftkv_lab::judges::Budget;
use driftkv_lab::judges::linearizable::Choice;
use driftkv_lab::load::{self, Options, Quorums};
use driftkv_lab::offline::{self, RunVerdict};
use driftkv_lab::plan::{Mix, Pace, Plan, Reads, Request, Until, Workload};
use driftkv_lab::run_dir::RunDir;
use driftkv_proto::client::admin;
use driftkv_proto::v1::{ApplyFaultsRequest, ClearFaultsRequest};
use driftkv_tests::cluster::Cluster;
use driftkv_tests::proxy::{Bug, Proxies};

/// Few keys and as many sessions as workers, so that writes meet.
const KEYS: u64 = 12;
const WORKERS: u32 = 9;
/// How long writes that are missing at the end may take to show.
const SETTLE: Duration = Duration::from_secs(1);
/// Of the search for an order; what it cannot decide by then is not promised either.
const BUDGET: Budget = Budget { time: Duration::from_secs(1), memory_bytes: 256 << 20 };
/// Of one read of the final check.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// What the judges said.
pub struct Trial {
    /// Of the history alone.
    pub run: RunVerdict,
    /// Of what is there at the end.
    pub end: check::Verdict,
}

/// A plan of N=3, R=W=2 for these nodes; the bucket is the trial's own.
pub fn plan(bucket: &str, seed: u64, mix: Mix, until: Until) -> Plan {
    let workload = Workload {
        bucket: bucket.to_owned(),
        keys: KEYS,
        mix,
        value_bytes: 64,
        workers: WORKERS,
        sessions: WORKERS,
        ..Workload::default()
    };
    let request = Request { r: 2, w: 2, timeout: Duration::from_secs(2), ..Request::default() };
    Plan { seed, workload, pace: Pace::Closed { until }, request }
}

/// The same with monotonic reads.
pub fn monotonic(plan: Plan) -> Plan {
    let request = Request { read_mode: Reads::Monotonic, ..plan.request };
    Plan { request, ..plan }
}

/// Runs `plan` on proxies with `bug`, keeps the history below `home`, and has everything judged.
pub async fn trial(cluster: &Cluster, bug: Option<Bug>, plan: &Plan, home: &Path) -> Trial {
    let nodes: Vec<String> = cluster.nodes.iter().map(|node| node.client.to_string()).collect();
    let proxies = Proxies::start(&nodes, bug).await;
    let path: PathBuf = home.join(&plan.workload.bucket);
    let cluster = Quorums { n: 3, r: 2, w: 2 };
    let out = Some(RunDir::create(&path).unwrap());
    let options = Options { run: rand::random(), cluster, out, ..Options::default() };
    load::run(plan, &proxies.endpoints, options).await.unwrap();
    proxies.crash();
    let (endpoints, settle) = (proxies.endpoints.clone(), SETTLE);
    let reading = Reading { endpoints, r: 2, timeout: READ_TIMEOUT, settle };
    let end = check::acknowledged(std::slice::from_ref(&path), &reading).await.unwrap();
    let run = tokio::task::spawn_blocking(move || offline::judge(&path, None, &BUDGET, Choice::Fastest));
    Trial { run: run.await.unwrap().unwrap(), end }
}

/// Injects `faults` at all nodes for this long.
pub async fn inject(cluster: &Cluster, id: &str, lasts: &str, faults: &str) {
    let text = format!("{{id: {id}, for: {lasts}, seed: 7, allowQuorumLoss: true, faults: [{faults}]}}");
    for node in &cluster.nodes {
        let mut client = admin(&node.admin.to_string()).unwrap();
        client.apply_faults(ApplyFaultsRequest { experiment: text.clone(), ..Default::default() }).await.unwrap();
    }
}

/// Ends all that was injected.
pub async fn clear(cluster: &Cluster) {
    for node in &cluster.nodes {
        let mut client = admin(&node.admin.to_string()).unwrap();
        client.clear_faults(ClearFaultsRequest { id: String::new() }).await.unwrap();
    }
}
