//! Every bug that the proxies can have, and who finds it.

use std::path::Path;
use std::time::{Duration, Instant};

use driftkv_lab::plan::{Mix, Plan, Until};
use driftkv_tests::cluster::Cluster;
use driftkv_tests::proxy::Bug;
use tempfile::TempDir;

use crate::conviction::By;
use crate::trial::{clear, inject, monotonic, plan, trial};

/// Within this every bug must be found.
const FOUND_WITHIN: Duration = Duration::from_secs(60);
/// Operations of one trial; the next has another seed.
const OPS: u64 = 600;
const PLAIN: Mix = Mix { get: 5, put: 3, delete: 0, rmw: 2 };
const WITH_DELETES: Mix = Mix { get: 5, put: 3, delete: 1, rmw: 2 };

/// What one judge had to say of a bug.
struct Found {
    by: By,
    after: Duration,
    requests: u64,
    what: String,
}

/// Who must find it, each of them.
fn finders(bug: Bug) -> &'static [By] {
    match bug {
        Bug::DropsPuts | Bug::MergesContexts | Bug::HidesSiblings => &[By::Missing, By::Lost],
        Bug::WritesLate | Bug::DeletesUnseen => &[By::Missing],
        Bug::ReadsFromCache | Bug::FindsNothing | Bug::LowersQuorums => &[By::Stale],
        Bug::AppliesTwice | Bug::LosesContexts | Bug::GivesOldContexts => &[By::Revived],
        Bug::ForgetsDeletes | Bug::RevivesDeleted => &[By::Revived],
        Bug::RefusesAndApplies => &[By::Written, By::Wrong],
        Bug::MixesUpKeys | Bug::FlipsBytes => &[By::Written],
        Bug::ReadsOtherView => &[By::OwnWrites],
        Bug::StepsBack => &[By::Monotonic],
        Bug::WritesInMemory => &[By::Lost],
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

/// Trials, each of another seed, until all finders have said that something is wrong. `Err`: one of them does not.
async fn hunt(cluster: &Cluster, bug: Bug, home: &Path) -> Result<Vec<Found>, String> {
    let (began, mut operations) = (Instant::now(), 0);
    let (mut found, mut left, mut said) = (Vec::new(), finders(bug).to_vec(), String::new());
    while !left.is_empty() && began.elapsed() < FOUND_WITHIN {
        let trial = trial(cluster, Some(bug), &plan_for(bug, operations / OPS), home).await;
        let after = began.elapsed();
        left.retain(|by| {
            let Some((needed, what)) = by.convicts(&trial) else { return true };
            found.push(Found { by: *by, after, requests: operations + needed, what });
            false
        });
        operations += OPS;
        said = format!("{}{:?}", trial.run, trial.end);
    }
    let names: Vec<String> = left.iter().map(By::to_string).collect();
    let is_found = names.is_empty() && found.iter().all(|found| found.after <= FOUND_WITHIN);
    is_found.then_some(found).ok_or_else(|| {
        format!("{bug:?} is not found by {names:?} in {operations} operations; of the last trial is said:\n{said}")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_planted_bug_is_found_as_what_it_is() {
    let (cluster, home) = (crate::three().await, TempDir::new().unwrap());
    let mut missed = Vec::new();
    println!("{:<18} {:<20} {:>7} {:>11}  what is shown", "bug", "found by", "after", "requests");
    for bug in Bug::ALL {
        let is_behind = bug == Bug::LowersQuorums;
        if is_behind {
            inject(&cluster, "behind", "90s", "{kind: delay, from: '*', to: '*', law: exponential, mean: 10ms}").await;
        }
        match hunt(&cluster, bug, home.path()).await {
            Ok(found) => found.iter().for_each(|found| tell(bug, found)),
            Err(why) => missed.push(why),
        }
        if is_behind {
            clear(&cluster).await;
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n\n"));
}

fn tell(bug: Bug, Found { by, after, requests, what }: &Found) {
    let (bug, after) = (format!("{bug:?}"), after.as_secs_f64());
    println!("{bug:<18} {by:<20} {after:>5.1} s {requests:>11}  {what}");
}
