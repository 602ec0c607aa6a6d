//! Whether what was promised was kept: reads every key that runs have written, and accounts for every acknowledged write.
//! Reading order: `writes` (what the histories say), `final_read` (what is there), `judge` (what is missing); research/lab.md 3.9.
//! Not here: consistency of the reads during the run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use driftkv_proto::error::KvError;
use serde::Serialize;

use crate::history::ReadError;

mod final_read;
mod judge;
mod writes;

/// What was found at the end. Values are named `RUN/ID`; at most [`SHOWN_MAX`] of each kind of trouble are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Runs that were looked at.
    pub runs: usize,
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
}

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

/// Reads every key that `runs` (directories) have written, and judges what is there. Errors: there is no verdict.
pub async fn acknowledged(runs: &[PathBuf], reading: &Reading) -> Result<Verdict, CheckError> {
    let written = writes::read(runs)?;
    let keys = written.keys.keys().cloned().collect();
    let found: BTreeMap<String, Vec<String>> = final_read::all(&written, keys, reading).await?;
    Ok(judge::judge(&written, &found))
}
