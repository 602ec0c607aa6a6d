//! A law of delays as it is kept in `visibility.json`: the laws of the fault vocabulary, with their names.

use driftkv_proto::faults::Law;
use serde::{Deserialize, Serialize};

/// What is injected on a link.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Delay(#[serde(with = "Words")] pub Law);

/// [`Law`], field by field.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Law", rename_all = "snake_case", tag = "law")]
enum Words {
    /// Always the same.
    Constant { mean_ms: u64 },
    /// Evenly spread.
    Uniform { min_ms: u64, max_ms: u64 },
    /// Many short, few long.
    Exponential { mean_ms: u64 },
    /// A heavy tail.
    Pareto { mean_ms: u64, shape: f64 },
}
