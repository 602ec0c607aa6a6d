//! Compares the results of two experiments, metric by metric, so that a regression is told from noise.
//! Follows research/lab.md 3.13. Reading order: `direction` (what is better), `shares` and `ranks` (the tests), `family` (many tests at once),
//! `spec` (whether both did the same), `words` (as a table).
//! Invariants: a verdict needs both a difference that matters ([`RELATIVE_MIN`], [`SHARE_MIN`]) and one that chance does not explain (5 % over the
//! whole comparison, Holm 1979); where the runs are too few to decide, that is the verdict. Not here: what is measured (`measure`).

use std::collections::BTreeMap;

use serde::Serialize;

use crate::metrics::Metric;
use crate::report::results::{CellResult, ResultsDocument};

mod direction;
mod family;
mod ranks;
mod shares;
mod spec;
#[cfg(test)]
mod tests;
mod words;

pub use direction::{Better, better};

/// Chance of any false alarm in a comparison.
pub const ALPHA: f64 = 0.05;
/// Times, rates and counts that differ by less of the former do not matter.
pub const RELATIVE_MIN: f64 = 0.05;
/// Shares that differ by less do not matter, unless the rarer side doubled or halved: 99.99 to 99.98 % does.
pub const SHARE_MIN: f64 = 0.0005;

/// What came of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// Where the two did not do the same, in words; empty: they did.
    pub spec_differences: Vec<String>,
    /// Each metric of each cell that both have: the worst first.
    pub rows: Vec<Row>,
    /// Cells and metrics that one of them does not have, in words.
    pub only_in_one: Vec<String>,
    /// What else must be known to read it.
    pub notes: Vec<String>,
}

/// One metric of one cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Which cell.
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
    /// How likely chance alone does as much; `None`: not comparable.
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
    p: Option<f64>,
    /// The least that so many runs can bring.
    p_min: f64,
    matters: bool,
    how: String,
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

/// Compares all that both have.
pub fn compare(a: &ResultsDocument, b: &ResultsDocument) -> Comparison {
    compare_only(a, b, |_| true)
}

/// Compares those metrics whose names are `chosen`: the fewer, the fewer runs are needed to decide.
pub fn compare_only(a: &ResultsDocument, b: &ResultsDocument, chosen: impl Fn(&str) -> bool) -> Comparison {
    let mut comparison = Comparison { spec_differences: spec::differences(&a.spec, &b.spec), ..Comparison::default() };
    let of_b: BTreeMap<&str, &CellResult> = b.cells.iter().map(|cell| (cell.name.as_str(), cell)).collect();
    let mut tested = Vec::new();
    for cell in &a.cells {
        let Some(other) = of_b.get(cell.name.as_str()) else {
            comparison.only_in_one.push(format!("cell {:?} is only in the first", cell.name));
            continue;
        };
        for (name, metric) in cell.metrics.iter().filter(|(name, _)| chosen(name)) {
            match other.metrics.get(name) {
                Some(of_other) => {
                    tested.push((cell.name.clone(), name.clone(), test(name, (cell, metric), (other, of_other))))
                }
                None => comparison.only_in_one.push(format!("{name} of {:?} is only in the first", cell.name)),
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
    comparison.judge(tested);
    comparison
}

/// Shares by their counts, all else by the runs.
fn test(name: &str, a: (&CellResult, &Metric), b: (&CellResult, &Metric)) -> Tested {
    let runs = |cell: &CellResult| -> Vec<Metric> {
        let of = cell.runs.iter().filter_map(|run| run.metrics.get(name));
        of.filter(|metric| metric.value.is_finite()).copied().collect()
    };
    let (runs_a, runs_b) = (runs(a.0), runs(b.0));
    if let (Some(pooled_a), Some(pooled_b)) = (a.1.share, b.1.share) {
        let counts = |runs: &[Metric]| -> Vec<(u64, u64)> { runs.iter().filter_map(|metric| metric.share).collect() };
        let side = |pooled, runs: &[Metric]| shares::Side::of(pooled, &counts(runs));
        let tested = shares::test(side(pooled_a, &runs_a), side(pooled_b, &runs_b));
        return if name.ends_with("per_million") { tested.times(1e6) } else { tested };
    }
    let values = |runs: &[Metric]| -> Vec<f64> { runs.iter().map(|metric| metric.value).collect() };
    let mut tested = ranks::test(&values(&runs_a), &values(&runs_b), (a.1.value, b.1.value));
    if runs_a.iter().chain(&runs_b).any(|metric| metric.is_at_least) {
        tested.how += "; some values are lower bounds";
    }
    tested
}

impl Comparison {
    /// Whether something became worse.
    pub fn is_regression(&self) -> bool {
        self.rows.iter().any(|row| row.verdict == Verdict::Regression)
    }

    /// How many have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|row| row.verdict == verdict).count()
    }

    fn judge(&mut self, tested: Vec<(String, String, Tested)>) {
        let ps: Vec<Option<(f64, f64)>> = tested.iter().map(|(.., of)| of.p.map(|p| (p, of.p_min))).collect();
        let family = family::adjusted(&ps);
        for ((cell, metric, of), p_adjusted) in tested.into_iter().zip(family.adjusted) {
            let Tested { a, b, difference, interval, p, matters, how, .. } = of;
            let verdict = match p_adjusted {
                None => Verdict::NotComparable,
                Some(p) if p > ALPHA || !matters => Verdict::NoDifference,
                Some(_) => better(&metric).verdict(difference),
            };
            let is_too_few = p.is_some() && p_adjusted.is_none();
            let why = if is_too_few { format!("{how}; too few runs to decide among so many metrics") } else { how };
            self.rows.push(Row { cell, metric, a, b, difference, interval, p, p_adjusted, verdict, why });
        }
        self.rows.sort_by_key(|row| row.verdict);
        if family.undecidable > 0 {
            self.notes.push(format!(
                "{} metrics cannot be decided: with so many compared at once, p must fall below {:.4}; have {} runs of each cell in both, or compare fewer metrics",
                family.undecidable,
                family.level,
                family::runs_needed(family.level)
            ));
        }
        if !self.spec_differences.is_empty() {
            self.notes.push("the two did not do the same: what differs may come from that".to_owned());
        }
    }
}
