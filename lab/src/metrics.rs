//! What was measured, by name: what expectations, tables, charts over a grid and comparisons all speak of.
//! Names are dotted and end in their unit where they have one (`latency.get.p99_ms`, `staleness.rate`); docs/experiments.md lists all.
//! Invariant: a metric that was not measured is absent, never 0. Runs of one cell become one by `pool`; `text` prints; `names` knows them all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::offline::wilson;

mod names;
mod pool;
mod text;

#[cfg(test)]
pub(crate) use names::NAMES;
pub use names::unknown;
pub use pool::pool;
pub use text::unit_word;

/// Metrics by their names.
pub type Metrics = BTreeMap<String, Metric>;

/// One number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
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

impl Metric {
    /// A number of which nobody knows how sure it is.
    pub fn of(value: f64) -> Self {
        Self { value, ..Self::default() }
    }

    /// A count of one run.
    pub fn count(count: u64) -> Self {
        Self::of(count as f64)
    }

    /// The share of `hits` among `all`, with its interval after Wilson; `None`: there are none.
    pub fn share(hits: u64, all: u64) -> Option<Self> {
        Self::scaled_share(hits, all, 1.0)
    }

    /// The same in a million.
    pub fn per_million(hits: u64, all: u64) -> Option<Self> {
        Self::scaled_share(hits, all, 1e6)
    }

    fn scaled_share(hits: u64, all: u64, scale: f64) -> Option<Self> {
        let (low, high) = wilson(hits, all)?;
        Some(Self {
            value: scale * hits as f64 / all as f64,
            interval: Some((scale * low, scale * high)),
            share: Some((hits, all)),
            is_at_least: false,
        })
    }
}
