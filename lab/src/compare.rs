//! Compares the results of two experiments, metric by metric, so that a regression is told from noise.
//! Follows research/lab.md 3.13. Reading order: `direction` (what is better), `shares` and `ranks` (the tests), `family` (many tests at once),
//! `headline` (which metrics), `outcomes` (what held and is violated), `spec` (whether both did the same), `words` (as a table).
//! Invariants: a verdict needs both a difference that matters ([`RELATIVE_MIN`], [`SHARE_MIN`]) and one that chance does not explain (5 % that
//! anything is called worse, and 5 % better, over the whole comparison, Holm 1979); where the runs are too few to decide, that is the verdict. Not here: what is measured (`measure`).

use std::collections::BTreeMap;

use serde::Serialize;

use crate::metrics::Metric;
use crate::offline::Outcome;
use crate::report::results::{CellResult, ResultsDocument};

mod direction;
mod family;
mod headline;
mod outcomes;
mod ranks;
mod shares;
mod spec;
#[cfg(test)]
mod tests;
mod words;

pub use direction::{Better, better};
pub use headline::{HEADLINES, is_headline};
pub use outcomes::OutcomeChange;

/// Chance that anything is called worse in a comparison of equals.
pub const ALPHA: f64 = 0.05;
/// Times, rates and counts that differ by less of the former do not matter.
pub const RELATIVE_MIN: f64 = 0.05;
/// Shares that differ by less do not matter, unless the rarer side doubled or halved: 99.99 to 99.98 % does.
pub const SHARE_MIN: f64 = 0.0005;

/// The cell of rows that are of all cells together.
pub const ALL_CELLS: &str = "all cells";

/// What came of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// Where the two did not do the same, in words; empty: they did.
    pub spec_differences: Vec<String>,
    /// What was expected or promised, and did not come out as before.
    pub outcomes: Vec<OutcomeChange>,
    /// Each metric of each cell that both have: the worst first.
    pub rows: Vec<Row>,
    /// Cells and metrics that one of them does not have, in words.
    pub only_in_one: Vec<String>,
    /// The second does not have a cell or a headline that the first has, or something that held is not known: what is missing may be worse.
    pub is_incomplete: bool,
    /// What else must be known to read it.
    pub notes: Vec<String>,
}

/// One metric of one cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Which cell; [`ALL_CELLS`]: all at once.
    pub cell: String,
    /// Which metric.
    pub metric: String,
    /// In the first results: the share by its pooled counts, else the median of the runs.
    pub a: f64,
    /// In the second.
    pub b: f64,
    /// `b - a` (of medians: the median of all differences, Hodges and Lehmann).
    pub difference: f64,
    /// Where the difference lies with 95 %; `None`: too few runs.
    pub interval: Option<(f64, f64)>,
    /// How likely chance alone does as much this way; `None`: not comparable.
    pub p: Option<f64>,
    /// The same after Holm, over all that could be decided.
    pub p_adjusted: Option<f64>,
    /// What came of it.
    pub verdict: Verdict,
    /// By which test, or why none.
    pub why: String,
}

/// What came of one metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The second is worse.
    Regression,
    /// They differ, and neither is better by itself.
    Changed,
    /// The second is better.
    Improvement,
    /// Too few runs, or not the same kind of number.
    NotComparable,
    /// None that matters and that chance does not explain.
    NoDifference,
}

/// A test of one metric, before it is judged among all.
#[derive(Clone, Debug, PartialEq)]
struct Tested {
    a: f64,
    b: f64,
    difference: f64,
    interval: Option<(f64, f64)>,
    /// `None`: none could be done.
    tails: Option<Tails>,
    /// The least p that so many runs can bring, whatever they measure.
    p_floor: f64,
    matters: bool,
    how: String,
}

/// How likely chance alone does as much, each way.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Tails {
    /// The second so small.
    less: Tail,
    /// The second so great.
    greater: Tail,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Tail {
    p: f64,
    /// The least that these numbers can bring, however they fall to the two: runs that are all alike bring only 1.
    p_min: f64,
}

impl Tail {
    fn weaker(self, other: Self) -> Self {
        Self { p: self.p.max(other.p), p_min: self.p_min.max(other.p_min) }
    }
}

impl Tails {
    /// The greater p, each way.
    fn weaker(self, other: Self) -> Self {
        Self { less: self.less.weaker(other.less), greater: self.greater.weaker(other.greater) }
    }

    /// Towards what is worse, or what is better; where neither is, away from what was, whichever way.
    fn towards(self, better: Better, is_worse: bool) -> Tail {
        let Self { less, greater } = self;
        match (better, is_worse) {
            (Better::Neither, _) => Tail {
                p: (2.0 * less.p.min(greater.p)).min(1.0),
                p_min: (2.0 * less.p_min.min(greater.p_min)).min(1.0),
            },
            (Better::Higher, true) | (Better::Lower, false) => less,
            (Better::Higher, false) | (Better::Lower, true) => greater,
        }
    }
}

impl Tested {
    /// In units of which `factor` are one.
    fn times(self, factor: f64) -> Self {
        Self {
            a: self.a * factor,
            b: self.b * factor,
            difference: self.difference * factor,
            interval: self.interval.map(|(lo, hi)| (lo * factor, hi * factor)),
            ..self
        }
    }
}

/// Compares the [`HEADLINES`] that both have.
pub fn compare(a: &ResultsDocument, b: &ResultsDocument) -> Comparison {
    compare_only(a, b, is_headline)
}

/// Compares those metrics whose names are `chosen`: the fewer, the fewer runs are needed to decide.
pub fn compare_only(a: &ResultsDocument, b: &ResultsDocument, chosen: impl Fn(&str) -> bool) -> Comparison {
    let spec_differences = spec::differences(&a.spec, &b.spec);
    let mut comparison = Comparison { spec_differences, outcomes: outcomes::changes(a, b), ..Comparison::default() };
    let of_b: BTreeMap<&str, &CellResult> = b.cells.iter().map(|cell| (cell.name.as_str(), cell)).collect();
    let (mut tested, mut over_all) = (Vec::new(), Strata::new());
    for cell in &a.cells {
        let Some(other) = of_b.get(cell.name.as_str()) else {
            comparison.only_in_one.push(format!("cell {:?} is only in the first", cell.name));
            comparison.is_incomplete = true;
            continue;
        };
        for (name, metric) in cell.metrics.iter().filter(|(name, _)| chosen(name)) {
            match other.metrics.get(name) {
                Some(of_other) => {
                    tested.push((cell.name.clone(), name.clone(), test(name, (cell, metric), (other, of_other))));
                    if metric.share.and(of_other.share).is_none() {
                        over_all.entry(name.clone()).or_default().push((values(cell, name), values(other, name)));
                    }
                }
                None => {
                    comparison.only_in_one.push(format!("{name} of {:?} is only in the first", cell.name));
                    comparison.is_incomplete |= is_headline(name);
                }
            }
        }
        let is_missing = |name: &&String| chosen(name) && !cell.metrics.contains_key(*name);
        let missing = other.metrics.keys().filter(is_missing);
        comparison.only_in_one.extend(missing.map(|name| format!("{name} of {:?} is only in the second", cell.name)));
    }
    let is_new = |cell: &&CellResult| a.cells.iter().all(|of_a| of_a.name != cell.name);
    comparison
        .only_in_one
        .extend(b.cells.iter().filter(is_new).map(|cell| format!("cell {:?} is only in the second", cell.name)));
    let is_doubt = |of: &OutcomeChange| of.before == Outcome::Holds && of.after == Outcome::Unknown;
    comparison.is_incomplete |= comparison.outcomes.iter().any(is_doubt);
    tested.extend(of_all_cells(over_all));
    comparison.judge(tested);
    comparison
}

/// Of each metric that is not a share: the runs of both, cell by cell.
type Strata = BTreeMap<String, Vec<(Vec<f64>, Vec<f64>)>>;

/// What few runs of each cell cannot decide, all cells together may.
fn of_all_cells(metrics: Strata) -> impl Iterator<Item = (String, String, Tested)> {
    metrics.into_iter().filter_map(|(name, mut cells)| {
        cells.retain(|(a, b)| !a.is_empty() && !b.is_empty());
        (cells.len() > 1).then(|| (ALL_CELLS.to_owned(), name, ranks::test_all(&cells)))
    })
}

fn measured(cell: &CellResult, name: &str) -> Vec<Metric> {
    let of = cell.runs.iter().filter_map(|run| run.metrics.get(name));
    of.filter(|metric| metric.value.is_finite()).copied().collect()
}

fn values(cell: &CellResult, name: &str) -> Vec<f64> {
    measured(cell, name).iter().map(|metric| metric.value).collect()
}

/// Shares by their counts, all else by the runs.
fn test(name: &str, a: (&CellResult, &Metric), b: (&CellResult, &Metric)) -> Tested {
    let (runs_a, runs_b) = (measured(a.0, name), measured(b.0, name));
    if let (Some(pooled_a), Some(pooled_b)) = (a.1.share, b.1.share) {
        let counts = |runs: &[Metric]| -> Vec<(u64, u64)> { runs.iter().filter_map(|metric| metric.share).collect() };
        let side = |pooled, runs: &[Metric]| shares::Side::of(pooled, &counts(runs));
        let tested = shares::test(side(pooled_a, &runs_a), side(pooled_b, &runs_b));
        return if name.ends_with("per_million") { tested.times(1e6) } else { tested };
    }
    let mut tested = ranks::test(&values(a.0, name), &values(b.0, name), (a.1.value, b.1.value));
    if runs_a.iter().chain(&runs_b).any(|metric| metric.is_at_least) {
        tested.how += "; some values are lower bounds";
    }
    tested
}

impl Comparison {
    /// Whether something became worse: a metric, or something held and is violated.
    pub fn is_regression(&self) -> bool {
        self.rows.iter().any(|row| row.verdict == Verdict::Regression) || self.outcomes.iter().any(|of| of.is_worse)
    }

    /// How many metrics have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|row| row.verdict == verdict).count()
    }

    /// Whether any metric had runs enough to be called worse.
    pub fn decides_anything(&self) -> bool {
        self.rows.iter().any(|row| row.verdict != Verdict::NotComparable)
    }

    fn judge(&mut self, tested: Vec<(String, String, Tested)>) {
        let towards = |is_worse: bool| -> Vec<Option<(f64, f64)>> {
            let tail = |(_, metric, of): &(String, String, Tested)| {
                of.tails.map(|tails| tails.towards(better(metric), is_worse)).map(|tail| (tail.p, tail.p_min))
            };
            tested.iter().map(tail).collect()
        };
        let (worse, gained) = (family::adjusted(&towards(true)), family::adjusted(&towards(false)));
        let adjusted = worse.adjusted.iter().zip(&gained.adjusted);
        self.rows = tested.iter().zip(adjusted).map(|(of, (w, g))| row(of, (*w, *g), worse.level)).collect();
        self.rows.sort_by_key(|row| row.verdict);
        self.note(worse.level_of_all);
    }

    fn note(&mut self, level: f64) {
        let undecided = self.rows.iter().filter(|row| row.verdict == Verdict::NotComparable && row.p.is_some()).count();
        if undecided > 0 {
            self.notes.push(format!(
                "{undecided} metrics cannot be decided: with so many compared at once, p must fall below {level:.4}; have {} runs of each cell in both, or compare fewer metrics",
                family::runs_needed(level)
            ));
        }
        if !self.spec_differences.is_empty() {
            self.notes.push("the two did not do the same: what differs may come from that".to_owned());
        }
    }
}

/// `worse`, `gained`: p after Holm, each way.
fn row((cell, metric, of): &(String, String, Tested), (worse, gained): (Option<f64>, Option<f64>), level: f64) -> Row {
    let is_too_few = of.tails.is_some() && of.p_floor > level;
    let why = if is_too_few { "; too few runs to decide among so many metrics" } else { "" };
    let least = |one: Option<f64>, other: Option<f64>| one.into_iter().chain(other).reduce(f64::min);
    Row {
        cell: cell.clone(),
        metric: metric.clone(),
        a: of.a,
        b: of.b,
        difference: of.difference,
        interval: of.interval,
        p: of.tails.map(|tails| tails.less.p.min(tails.greater.p)),
        p_adjusted: if is_too_few { None } else { least(worse, gained) },
        verdict: of.verdict(better(metric), (worse, gained), level),
        why: format!("{}{why}", of.how),
    }
}

impl Tested {
    fn verdict(&self, better: Better, (worse, gained): (Option<f64>, Option<f64>), level: f64) -> Verdict {
        let is_sure = |p: Option<f64>| p.is_some_and(|p| p <= ALPHA);
        match (is_sure(worse), is_sure(gained)) {
            _ if self.tails.is_none() || self.p_floor > level => Verdict::NotComparable,
            _ if !self.matters => Verdict::NoDifference,
            (true, _) if better == Better::Neither => Verdict::Changed,
            (true, _) => Verdict::Regression,
            (false, true) => Verdict::Improvement,
            (false, false) => Verdict::NoDifference,
        }
    }
}
