//! An experiment that a program begins and ends by the annotation: each call waits until every node has it, or has it no more.
//! Invariants: one that is refused or that nobody takes on is asked for no more; another experiment that is under way is never ended.

use std::time::{Duration, Instant};

use driftkv_proto::faults::Experiment;
use k8s_openapi::jiff::Timestamp;
use tokio::time::sleep;

use super::follow::{self, Follower, Outcome, SILENT_MAX};
use super::{is_under_way, picture, take_back, write};
use crate::error::{Exit, Failure};
use crate::kubectl::cluster::Cluster;
use crate::kubectl::site::Site;

/// Between two looks: records of runs are only as exact.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Asks the operator for the experiment in `text`, and waits until all nodes have it. Errors: it is refused, or nobody takes it on.
pub async fn begin(site: &Site, name: &str, text: &str, experiment: &Experiment) -> Result<(), Failure> {
    let before = Cluster::find(site, Some(name)).await?;
    is_under_way(&before, experiment)?;
    write(site, &before, Some(text)).await?;
    match begun(site, &before, text, experiment).await {
        Ok(()) => Ok(()),
        Err(failure) => {
            // Nothing begins behind the back of a run that was told that it did not.
            let taken = take_back(site, &before, text).await;
            Err(match taken {
                Ok(_) => failure,
                Err(error) => failure.hint(format!("The annotation may still be there: {error}")),
            })
        }
    }
}

async fn begun(site: &Site, before: &Cluster, text: &str, experiment: &Experiment) -> Result<(), Failure> {
    let (mut follower, asked) = (Follower::new(before, text, &experiment.id), Instant::now());
    loop {
        let now = look(site, &before.name, asked).await?;
        if let Some(now) = now {
            let is_ours = now.text("/status/chaos/id") == experiment.id;
            if let Some(why) = follow::failed(&now).filter(|_| is_ours) {
                return Err(Failure::failed(format!("not taken by {why}")));
            }
            let (_, outcome) = follower.look(&now, asked.elapsed(), Timestamp::now());
            match outcome {
                None if is_ours && follow::is_everywhere(&now) => return Ok(()),
                None => {}
                // It was shorter than a look.
                Some(Outcome::Ended) => return Ok(()),
                Some(Outcome::Refused(why)) => return Err(Failure::failed(format!("refused: {why}"))),
                Some(Outcome::Cleared(why)) => return Err(Failure::failed(format!("ended at once: {why}"))),
                Some(Outcome::Silent) => return Err(silent("begun")),
            }
        }
        if asked.elapsed() > SILENT_MAX {
            return Err(silent("begun everywhere"));
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Takes the annotation away if it asks for an experiment whose id `is_ours`, and waits until no node has it. Errors: some node may still have it.
pub async fn end(site: &Site, name: &str, is_ours: impl Fn(&str) -> bool) -> Result<(), Failure> {
    let asked = Instant::now();
    let before = Cluster::find(site, Some(name)).await?;
    let text = before.text(picture::ANNOTATION_POINTER);
    if Experiment::parse(text).is_ok_and(|asked| is_ours(&asked.id)) {
        take_back(site, &before, text).await?;
    }
    loop {
        let now = look(site, name, asked).await?;
        if now.is_some_and(|now| follow::is_settled(&now) || !is_ours(now.text("/status/chaos/id"))) {
            return Ok(());
        }
        if asked.elapsed() > SILENT_MAX {
            return Err(silent("ended"));
        }
        sleep(LOOK_EVERY).await;
    }
}

/// `None`: the API server is away for a while.
async fn look(site: &Site, name: &str, since: Instant) -> Result<Option<Cluster>, Failure> {
    match Cluster::find(site, Some(name)).await {
        Ok(now) => Ok(Some(now)),
        Err(failure) if failure.exit == Exit::Unavailable && since.elapsed() < SILENT_MAX => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn silent(what: &str) -> Failure {
    Failure::unavailable(format!("the operator has not {what} it in {} s", SILENT_MAX.as_secs()))
}
