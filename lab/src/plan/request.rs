//! How each request of a plan is made. It changes no operation, but what the store has to do for it.

use std::fmt;
use std::time::Duration;

use driftkv_proto::v1::ReadMode;
use serde::{Deserialize, Serialize};

use super::{DURATION_MAX, PlanError, whole_ms};

const CONNECTIONS_MAX: usize = 1_000;

/// Settings of all requests alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What gets promise.
    pub read_mode: Reads,
    /// Replicas to read; 0: the cluster's default.
    pub r: u32,
    /// Replicas that must have a write on disk; 0: the cluster's default.
    pub w: u32,
    /// How long an operation may take from the moment it is sent.
    #[serde(rename = "timeout_ms", with = "whole_ms")]
    pub timeout: Duration,
    /// For how long after it was first sent an operation that failed is tried again, at other nodes and with the same request id; 0:
    /// never. `timeout` is then that of each attempt.
    #[serde(rename = "retry_ms", with = "whole_ms", default)]
    pub retry: Duration,
    /// Streams to each node.
    pub connections: usize,
}

/// What gets promise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reads {
    /// R replicas answered.
    #[default]
    Eventual,
    /// Never older than an earlier monotonic get.
    Monotonic,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            read_mode: Reads::Eventual,
            r: 0,
            w: 0,
            timeout: Duration::from_secs(5),
            retry: Duration::ZERO,
            connections: 1,
        }
    }
}

impl Request {
    pub(super) fn check(&self) -> Result<(), PlanError> {
        match self {
            Self { timeout, .. } if !(Duration::from_millis(1)..=DURATION_MAX).contains(timeout) => {
                Err(PlanError::new("timeout", "it must be a millisecond or more, and a year or less"))
            }
            Self { retry, .. } if *retry > DURATION_MAX => Err(PlanError::new("retry", "it must be a year or less")),
            Self { connections, .. } if !(1..=CONNECTIONS_MAX).contains(connections) => {
                Err(PlanError::new("connections", format!("there must be 1 to {CONNECTIONS_MAX}, not {connections}")))
            }
            _ => Ok(()),
        }
    }

    fn streams(&self) -> String {
        if self.connections == 1 { "1 stream".to_owned() } else { format!("{} streams", self.connections) }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quorum = |count: u32| if count == 0 { "the cluster's".to_owned() } else { count.to_string() };
        let (r, w, seconds) = (quorum(self.r), quorum(self.w), self.timeout.as_secs_f64());
        write!(out, "{} reads, R {r}, W {w}, timeout {seconds} s, {} a node", self.read_mode, self.streams())?;
        match self.retry.as_secs_f64() {
            0.0 => Ok(()),
            seconds => write!(out, ", tried again for {seconds} s"),
        }
    }
}

/// As it is written in files and on the command line.
impl fmt::Display for Reads {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Eventual => "eventual",
            Self::Monotonic => "monotonic",
        })
    }
}

impl From<Reads> for ReadMode {
    fn from(reads: Reads) -> Self {
        match reads {
            Reads::Eventual => Self::Eventual,
            Reads::Monotonic => Self::Monotonic,
        }
    }
}
