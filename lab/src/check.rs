//! Whether what was promised was kept: reads every key that runs have written, and accounts for every acknowledged write.
//! Reading order: `writes` (what the histories say), `final_read` (what is there), `judge` (what is missing), `coverage` (of one replica);
//! research/lab.md 3.9.
//! Invariant: no write is called lost that a majority of its owners shows before `Reading::settle` is over: a sloppy quorum keeps
//! it where reads may miss it until it was handed over (Dynamo, SOSP 2007, 4.6); none that may have been replaced by a write of which no line
//! tells: of another run, or of a loader that was killed. Not here: consistency of the reads during the run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use driftkv_proto::error::KvError;
use driftkv_proto::v1::ReadMode;
use serde::Serialize;

use crate::history::ReadError;

mod coverage;
mod final_read;
mod judge;
mod writes;

pub use coverage::Coverage;
pub(crate) use final_read::name;

/// What was found at the end. Values are named `RUN/ID`; at most [`SHOWN_MAX`] of each kind of trouble are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Runs that were looked at.
    pub runs: usize,
    /// Of these, whose history has no end: the loader was killed, and its last writes have no line.
    pub unfinished_runs: usize,
    /// Keys that these have written, and that were read.
    pub keys: usize,
    /// Writes that were acknowledged, deletes included.
    pub acknowledged: u64,
    /// Writes whose outcome nobody knows: they may be there or not.
    pub unknown: u64,
    /// Live values of these runs.
    pub values: u64,
    /// Live values of others.
    pub foreign: u64,
    /// How many acknowledged writes are neither there nor replaced by one that had seen them.
    pub lost_count: u64,
    /// Which.
    pub lost: Vec<Place>,
    /// How many acknowledged writes are missing of which nobody can say that they are lost: their key has values, or a delete, that none of these
    /// histories wrote, or a run is unfinished, and what has no line may have replaced them.
    pub unjudged_count: u64,
    /// How many acknowledged writes were missing at first and there later: kept, but out of sight of some reads.
    pub late_count: u64,
    /// When the last of them was there, in milliseconds after the first reading; 0: there was none.
    pub late_ms: u64,
    /// How many values are there that were refused, or differ from what was written.
    pub wrong_count: u64,
    /// Which.
    pub wrong: Vec<Place>,
}

/// A value of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// In the bucket of its run.
    pub key: String,
    /// `RUN/ID`.
    pub value_id: String,
    /// What is the matter with it.
    pub why: &'static str,
}

/// How much of the trouble is listed.
pub const SHOWN_MAX: usize = 20;

/// How the keys are read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Client ports of the nodes.
    pub endpoints: Vec<String>,
    /// Replicas that must answer; 0: the cluster's default.
    pub r: u32,
    /// For each key, all attempts together.
    pub timeout: Duration,
    /// How long writes that are missing at first may take to show; zero: each key is read once.
    pub settle: Duration,
}

/// The names of the live values of each key.
#[derive(Debug, Default)]
struct Found {
    there: BTreeMap<String, Vec<String>>,
    /// Those of earlier readings: what was wrong once stays wrong.
    before: BTreeMap<String, Vec<String>>,
}

impl Found {
    /// What a later reading brought.
    fn add(&mut self, read: BTreeMap<String, Vec<String>>) {
        for (key, names) in read {
            let Some(old) = self.there.insert(key.clone(), names) else { continue };
            self.before.entry(key).or_default().extend(old);
        }
    }
}

/// Between two readings of what is missing.
const PAUSE: Duration = Duration::from_millis(200);

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// A history cannot be read.
    #[error(transparent)]
    History(#[from] ReadError),
    /// The runs have nothing to do with each other.
    #[error("{}: its keys are in bucket {bucket}, those of the other runs in {other}", .path.display())]
    Buckets {
        /// A run.
        path: PathBuf,
        /// Where its keys are.
        bucket: String,
        /// Where the others' are.
        other: String,
    },
    /// A key cannot be read; nothing is known of it.
    #[error("{key}: {error}")]
    Unreadable {
        /// Which.
        key: String,
        /// Why.
        error: KvError,
    },
    /// An endpoint is no address; nothing was read.
    #[error(transparent)]
    Endpoint(KvError),
    /// A task of the check panicked.
    #[error("the check failed: {0}")]
    Broken(String),
}

/// Reads every key that `runs` (directories) have written, and judges what is there. Keys of which something is missing are read
/// again, from a majority of their owners, until nothing is or the time to settle is over. Errors: there is no verdict.
pub async fn acknowledged(runs: &[PathBuf], reading: &Reading) -> Result<Verdict, CheckError> {
    let written = writes::read(runs)?;
    let keys: Vec<String> = written.keys.keys().cloned().collect();
    let mut found = Found::default();
    found.add(final_read::all(&written, keys, reading, ReadMode::Eventual).await?);
    let (since, mut late_ms) = (Instant::now(), 0);
    let (verdict, mut missing) = judge::judge(&written, written.keys.keys(), &found);
    let (at_first, mut lost_count) = (verdict.lost_count + verdict.unjudged_count, verdict.lost_count);
    while !missing.is_empty() && since.elapsed() < reading.settle {
        tokio::time::sleep(PAUSE).await;
        found.add(final_read::all(&written, missing.clone(), reading, ReadMode::Monotonic).await?);
        let (again, still) = judge::judge(&written, missing.iter(), &found);
        if again.lost_count < lost_count {
            late_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        }
        (lost_count, missing) = (again.lost_count, still);
    }
    let (verdict, _) = judge::judge(&written, written.keys.keys(), &found);
    let late_count = at_first.saturating_sub(verdict.lost_count + verdict.unjudged_count);
    Ok(Verdict { late_count, late_ms, unfinished_runs: written.unfinished, ..verdict })
}
