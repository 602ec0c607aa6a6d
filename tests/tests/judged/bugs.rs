//! Every bug that the proxies can have, and who finds it.

use std::path::Path;
use std::time::{Duration, Instant};

use driftkv_lab::plan::{Mix, Plan, Until};
use driftkv_tests::cluster::Cluster;
use driftkv_tests::proxy::Bug;
use tempfile::TempDir;

use crate::conviction::By;
use crate::trial::{Trial, clear, inject, monotonic, plan, trial};

/// Within this every bug must be found.
const FOUND_WITHIN: Duration = Duration::from_secs(60);
/// Operations of one trial; the next has another seed.
const OPS: u64 = 600;
const PLAIN: Mix = Mix { get: 5, put: 3, delete: 0, rmw: 2 };
const WITH_DELETES: Mix = Mix { get: 5, put: 3, delete: 1, rmw: 2 };

/// A bug that was found.
struct Found {
    bug: Bug,
    by: By,
    after: Duration,
    operations: u64,
    what: String,
}

/// Who must find it.
fn finder(bug: Bug) -> By {
    match bug {
        Bug::DropsPuts | Bug::WritesLate | Bug::MergesContexts | Bug::DeletesUnseen | Bug::HidesSiblings => By::Missing,
        Bug::ReadsFromCache | Bug::FindsNothing | Bug::LowersQuorums => By::Stale,
        Bug::AppliesTwice | Bug::LosesContexts | Bug::GivesOldContexts => By::Revived,
        Bug::ForgetsDeletes | Bug::RevivesDeleted => By::Revived,
        Bug::RefusesAndApplies | Bug::MixesUpKeys | Bug::FlipsBytes => By::Written,
        Bug::ReadsOtherView => By::OwnWrites,
        Bug::StepsBack => By::Monotonic,
        Bug::WritesInMemory => By::Lost,
    }
}

fn plan_for(bug: Bug, number: u64) -> Plan {
    let mix = match bug {
        Bug::ForgetsDeletes | Bug::RevivesDeleted | Bug::DeletesUnseen => WITH_DELETES,
        _ => PLAIN,
    };
    let plan = plan(&format!("{bug:?}-{number}"), number, mix, Until::Ops(OPS));
    if bug == Bug::StepsBack { monotonic(plan) } else { plan }
}

/// Trials, each of another seed, until `by` says that something is wrong.
async fn hunt(cluster: &Cluster, bug: Bug, by: By, home: &Path) -> Result<Found, String> {
    let (began, mut operations) = (Instant::now(), 0);
    let mut last: Option<Trial> = None;
    while began.elapsed() < FOUND_WITHIN {
        let trial = trial(cluster, Some(bug), &plan_for(bug, operations / OPS), home).await;
        if let Some((needed, what)) = by.convicts(&trial) {
            return Ok(Found { bug, by, after: began.elapsed(), operations: operations + needed, what });
        }
        operations += OPS;
        last = Some(trial);
    }
    let said = last.map(|trial| format!("{}{:?}", trial.run, trial.end)).unwrap_or_default();
    Err(format!("{bug:?} is not found by {by} in {operations} operations; of the last trial is said:\n{said}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_planted_bug_is_found_as_what_it_is() {
    let (cluster, home) = (crate::three().await, TempDir::new().unwrap());
    let mut missed = Vec::new();
    println!("{:<18} {:<22} {:>7} {:>11}  what is shown", "bug", "found by", "after", "operations");
    for bug in Bug::ALL {
        let is_behind = bug == Bug::LowersQuorums;
        if is_behind {
            inject(&cluster, "behind", "90s", "{kind: delay, from: '*', to: '*', law: exponential, mean: 10ms}").await;
        }
        match hunt(&cluster, bug, finder(bug), home.path()).await {
            Ok(Found { bug, by, after, operations, what }) => {
                let (bug, after) = (format!("{bug:?}"), after.as_secs_f64());
                println!("{bug:<18} {by:<22} {after:>5.1} s {operations:>11}  {what}");
                assert!(after <= FOUND_WITHIN.as_secs_f64(), "{bug} was found after {after} s");
            }
            Err(why) => missed.push(why),
        }
        if is_behind {
            clear(&cluster).await;
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n\n"));
}
