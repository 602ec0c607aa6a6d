//! The same proxies without a bug: no alarm, whatever the nodes go through meanwhile.

use std::time::Duration;

use driftkv_lab::offline::Outcome;
use driftkv_lab::plan::{Mix, Plan, Routing, Until, Writes};
use tempfile::TempDir;

use crate::trial::{Trial, clear, inject, monotonic, plan, trial};

/// How long the load of a run lasts.
const LASTS: Duration = Duration::from_secs(3);
/// Of one attempt: short, so that many end with an outcome that nobody knows.
const TIMEOUT: Duration = Duration::from_millis(400);
/// In some runs a failed request is tried again for so long.
const RETRY: Duration = Duration::from_secs(1);
/// What happens between the nodes, in turn; the first run is quiet.
const FAULTS: [&str; 5] = [
    "",
    "{kind: delay, from: '*', to: '*', law: exponential, mean: 5ms}",
    "{kind: partition, groups: [[n0], [n1, n2]]}",
    "{kind: drop, from: '*', to: '*', rate: 2%}",
    "{kind: duplicate, from: '*', to: '*', rate: 10%}, {kind: reorder, from: '*', to: '*', rate: 10%, window: 10ms}",
];

fn runs() -> u64 {
    std::env::var("JUDGED_RUNS").map_or(3, |runs| runs.parse().expect("JUDGED_RUNS is a number"))
}

/// The plans differ in what may matter: deletes, routing, what puts replace, how reads read.
fn plan_of(number: u64) -> Plan {
    let mix = Mix { get: 5, put: 3, delete: u32::from(!number.is_multiple_of(3)), rmw: 2 };
    let mut plan = plan(&format!("honest-{number}"), 1_000 + number, mix, Until::After(LASTS));
    plan.workload.routing = if number.is_multiple_of(2) { Routing::Random } else { Routing::Sticky };
    plan.workload.writes = if number % 7 == 6 { Writes::Overwrite } else { Writes::Context };
    plan.request.timeout = TIMEOUT;
    plan.request.retry = if number % 6 == 5 { RETRY } else { Duration::ZERO };
    if number % 4 == 3 { monotonic(plan) } else { plan }
}

/// What is wrong with a trial of an honest store; empty: no alarm.
fn alarms(trial: &Trial) -> Vec<String> {
    let (run, end) = (&trial.run, &trial.end);
    let mut alarms = Vec::new();
    if run.verdict != Outcome::Holds {
        alarms.push(run.to_string());
    }
    if end.lost_count + end.unjudged_count + end.wrong_count + end.foreign > 0 {
        alarms.push(format!("{end:?}"));
    }
    alarms
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_store_raises_no_alarm_with_faults_or_without() {
    let (cluster, home) = (crate::three().await, TempDir::new().unwrap());
    let mut raised = Vec::new();
    for number in 0..runs() {
        let faults = FAULTS[number as usize % FAULTS.len()];
        if !faults.is_empty() {
            // They end in the midst of the load: what comes back late must not alarm anybody either.
            inject(&cluster, &format!("honest-{number}"), "2s", faults).await;
        }
        let trial = trial(&cluster, None, &plan_of(number), home.path()).await;
        clear(&cluster).await;
        cluster.all_reach_each_other().await;
        let alarms = alarms(&trial);
        let (run, end) = (&trial.run, &trial.end);
        let promised: Vec<_> = run.properties.iter().filter(|judged| judged.is_expected == Some(true)).collect();
        println!(
            "honest run {number}: {} operations, {} of unknown outcome, {} reads of siblings, {} properties promised, {} alarms  {faults}",
            run.operations,
            end.unknown,
            run.values.conflicts,
            promised.len(),
            alarms.len()
        );
        assert!(run.operations > 100 && promised.len() >= 3, "{run}");
        raised.extend(alarms.into_iter().map(|alarm| format!("run {number} ({faults}): {alarm}")));
    }
    assert!(raised.is_empty(), "{}", raised.join("\n\n"));
}
