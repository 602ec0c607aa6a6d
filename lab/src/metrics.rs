//! What was measured, by name: what expectations, tables, charts over a grid and comparisons all speak of.
//! Names are dotted and end in their unit where they have one (`latency.get.p99_ms`, `staleness.rate`); docs/experiments.md lists all.
//! Invariant: a metric that was not measured is absent, never 0.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Metrics by their names.
pub type Metrics = BTreeMap<String, Metric>;

/// One number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Of one run; of several, pooled (shares, counts) or their median (all else).
    pub value: f64,
    /// Where it lies with 95 %, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<(f64, f64)>,
    /// Of a share: so many of so many. Runs of one cell are pooled by adding these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<(u64, u64)>,
    /// Only a lower bound: what got no answer lies at or below it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_at_least: bool,
}
