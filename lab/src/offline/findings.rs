//! What is found of a run beyond its verdict, to be measured and drawn (`measure`): each stale read in time, and the key that shows most.
//! That key is, in this order: the register furthest from linearizable, another key that is not, one of a broken session guarantee, one of a
//! stale read. Invariant: the operations around a witness are of its key, and are few.

use std::collections::HashSet;

use super::{Example, RunVerdict};
use crate::history::Header;
use crate::judges::Verdict;
use crate::judges::account::{Account, Key, Operation};
use crate::judges::linearizable::{Shown, shown};
use crate::judges::staleness::Stale;

/// How many operations are shown beside a witness.
const AROUND_MAX: usize = 40;

/// Beside the verdict of a run.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) header: Header,
    /// Stale reads as regular registers have them.
    pub(crate) real_time: Stale,
    /// Reads that brought a value and what had covered it.
    pub(crate) false_siblings: u64,
    /// `None`: nothing was violated.
    pub(crate) nearby: Option<Nearby>,
}

/// A violation among the operations around it.
#[derive(Debug)]
pub(crate) struct Nearby {
    pub(crate) key: String,
    /// In words.
    pub(crate) why: String,
    /// In the order of their starts.
    pub(crate) operations: Vec<Neighbour>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Neighbour {
    pub(crate) shown: Shown,
    pub(crate) is_write: bool,
    pub(crate) is_witness: bool,
}

/// The worst of what `verdict` found; `judged` has its key.
pub(super) fn nearby(verdict: &RunVerdict, judged: &Account) -> Option<Nearby> {
    let (name, why, witness) = worst(verdict)?;
    let key = judged.keys.iter().find(|key| key.name == *name)?;
    let sources: HashSet<u64> = witness.iter().map(|shown| shown.source).collect();
    let at: Vec<i64> = witness.iter().map(|shown| shown.start).collect();
    let is_witness = |operation: &Operation| sources.contains(&operation.source);
    let distance = |operation: &Operation| at.iter().map(|at| operation.start.abs_diff(*at)).min().unwrap_or(u64::MAX);
    let mut around: Vec<usize> = places(key, |operation| !is_witness(operation));
    around.sort_by_cached_key(|place| key.operations.get(*place).map(distance));
    around.truncate(AROUND_MAX);
    around.extend(places(key, is_witness));
    around.sort_by_key(|place| key.operations.get(*place).map(|operation| (operation.start, operation.source)));
    let told = |place: usize| {
        let operation = key.operations.get(place)?;
        let shown = shown(judged, key, &[place]).pop()?;
        Some(Neighbour { shown, is_write: !operation.did.only_observes(), is_witness: is_witness(operation) })
    };
    let operations = around.into_iter().filter_map(told).collect();
    Some(Nearby { key: name.to_owned(), why: why.to_owned(), operations })
}

fn places(key: &Key, is_wanted: impl Fn(&Operation) -> bool) -> Vec<usize> {
    let all = key.operations.iter().enumerate();
    all.filter(|(_, operation)| is_wanted(operation)).map(|(place, _)| place).collect()
}

fn worst(verdict: &RunVerdict) -> Option<(&str, &str, &[Shown])> {
    let unordered = [&verdict.registers, &verdict.siblings].into_iter().flat_map(|report| &report.findings);
    let unordered = unordered
        .filter(|found| found.verdict == Verdict::Invalid && !found.witness.is_empty())
        .map(|found| (found.key.as_str(), found.why.as_str(), found.witness.as_slice()));
    let examples = [
        &verdict.session_examples,
        &verdict.stale_in_real_time.examples,
        &verdict.stale_by_causes.examples,
        &verdict.value_examples,
    ];
    let told = examples.into_iter().flatten();
    let far = verdict.distance.worst.iter();
    far.map(parts).chain(unordered).chain(told.map(parts)).next()
}

fn parts(Example { key, why, operations }: &Example) -> (&str, &str, &[Shown]) {
    (key, why, operations)
}
