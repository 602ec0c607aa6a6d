//! Judges of histories: what a client saw, against what it was promised. Nothing here knows the store.
//! Reading order: `account` (what is judged), `zones` (registers, exactly, in O(n log n)), `inclusion` (the same of sets that grow), `search` with `states` (everything else, within a
//! budget), `linearizable` (which of them judges a key), `atomicity` (how far from it: Gamma and Delta), `staleness`, `causal`, `sessions`, `siblings`,
//! `leaders` (of stores that have them).
//! Definitions: docs/verdicts.md. Invariant: a judge that does not know says so; `Invalid` is proven by the operations that it names.

pub mod account;
pub mod atomicity;
mod bits;
pub mod causal;
mod inclusion;
pub mod leaders;
pub mod linearizable;
pub mod search;
pub mod sessions;
pub mod siblings;
pub mod staleness;
mod states;
#[cfg(test)]
mod tests;
pub mod zones;

use std::time::Duration;

use serde::Serialize;

/// What a judge says; the verdict of many is the greatest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The property holds.
    #[default]
    Valid,
    /// The budget was used up, or the history does not tell.
    Unknown,
    /// The property does not hold.
    Invalid,
}

/// What a judge may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Time for all keys together.
    pub time: Duration,
    /// Memory of the configurations that a search remembers, for all keys that are searched at a time together.
    pub memory_bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { time: Duration::from_secs(60), memory_bytes: 1 << 30 }
    }
}
