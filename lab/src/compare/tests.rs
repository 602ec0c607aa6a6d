//! Comparisons of made-up results: noise alone raises no alarm, planted regressions are found, and too few runs are said to be too few.
#![allow(clippy::indexing_slicing)]

use std::collections::BTreeMap;

use proptest::prelude::{prop, proptest};
use serde_json::json;

use super::{Verdict, compare, compare_only, ranks};
use crate::metrics::{Metric, Metrics};
use crate::offline::Outcome;
use crate::report::model::Expectation;
use crate::report::results::{CellResult, ResultsDocument, RunResult, Tool};

/// SplitMix64: enough for made-up noise.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// About normal.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }
}

/// What a made-up store does.
#[derive(Clone, Copy)]
struct Store {
    p99_ms: f64,
    stale: f64,
    /// How much its runs differ.
    noise: f64,
}

const GOOD: Store = Store { p99_ms: 10.0, stale: 0.001, noise: 0.15 };

fn metrics(store: Store, chance: &mut Chance) -> Metrics {
    let reads = 10_000.0;
    let expected = reads * store.stale * (1.0 + store.noise * chance.normal()).max(0.0);
    let hits = (expected + expected.sqrt() * chance.normal()).round().clamp(0.0, reads) as u64;
    let share =
        |hits: u64, all: u64| Metric { value: hits as f64 / all as f64, share: Some((hits, all)), ..Metric::default() };
    let mut of = |value: f64| Metric { value: value * (store.noise * chance.normal()).exp(), ..Metric::default() };
    let mut metrics: Metrics = [
        ("latency.all.p50_ms", of(store.p99_ms / 8.0)),
        ("latency.all.p99_ms", of(store.p99_ms)),
        ("latency.put.p99_ms", of(1.3 * store.p99_ms)),
        ("convergence.all_s", of(0.5)),
        ("throughput.ok_per_s", of(1e5 / store.p99_ms)),
        ("lost.count", Metric::of(0.0)),
        ("values.phantom", Metric::of(0.0)),
    ]
    .map(|(name, metric)| (name.to_owned(), metric))
    .into();
    metrics.insert("staleness.rate".to_owned(), share(hits, reads as u64));
    let answered = (0..2_000).filter(|_| chance.next() < 0.99).count() as u64;
    metrics.insert("availability.ratio".to_owned(), share(answered, 2_000));
    metrics
}

fn results(store: Store, seed: u64, runs: u64) -> ResultsDocument {
    let mut chance = Chance(seed);
    let mut cell = |name: &str| {
        let runs: Vec<RunResult> = (0..runs)
            .map(|seed| RunResult {
                seed,
                directory: format!("{name}/{seed}"),
                metrics: metrics(store, &mut chance),
                ..RunResult::default()
            })
            .collect();
        let pooled = |name: &String| {
            let all: Vec<&Metric> = runs.iter().map(|run| &run.metrics[name]).collect();
            let share = all.iter().filter_map(|of| of.share).reduce(|one, other| (one.0 + other.0, one.1 + other.1));
            Metric { value: all[0].value, share, ..Metric::default() }
        };
        let metrics = runs[0].metrics.keys().map(|name| (name.clone(), pooled(name))).collect();
        CellResult { name: name.to_owned(), axes: BTreeMap::new(), metrics, runs }
    };
    ResultsDocument {
        schema_version: 1,
        experiment: "made up".to_owned(),
        run_id: None,
        tool: Tool::default(),
        started_unix_ms: 0,
        seed,
        spec: json!({"load": {"rate": 1000}, "keys": [1, 2]}),
        environment: BTreeMap::new(),
        outcome: Outcome::Holds,
        expectations: Vec::new(),
        cells: vec![cell("r=1"), cell("r=2")],
        warnings: Vec::new(),
    }
}

fn one_cell(store: Store, seed: u64, runs: u64) -> ResultsDocument {
    let mut results = results(store, seed, runs);
    results.cells.truncate(1);
    results
}

#[test]
fn noise_alone_raises_an_alarm_in_one_comparison_of_twenty_at_most() {
    let pairs = if cfg!(debug_assertions) { 300 } else { 1_000 };
    let made = [(5, one_cell as fn(Store, u64, u64) -> ResultsDocument), (5, results), (6, results), (10, results)];
    let mut counted = Vec::new();
    for (runs, made) in made {
        let compared = (0..pairs).map(|pair| compare(&made(GOOD, 2 * pair, runs), &made(GOOD, 2 * pair + 1, runs)));
        let has = |of: &super::Comparison, verdict| u64::from(of.count(verdict) > 0);
        let one = compared.fold((0, 0), |(alarms, praises), of| {
            (alarms + has(&of, Verdict::Regression), praises + has(&of, Verdict::Improvement))
        });
        counted.push(one);
    }
    let (alarms, praises) = counted.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let all = pairs * counted.len() as u64;
    assert!(alarms * 20 <= all && praises * 20 <= all, "{alarms} alarms of {all}, {praises} praises: {counted:?}");
    // Of each alone, what chance adds to 5 % of so many: three standard deviations.
    let most = pairs as f64 * 0.05 + 3.0 * (pairs as f64 * 0.05 * 0.95).sqrt();
    assert!(counted.iter().all(|one| one.0.max(one.1) as f64 <= most), "{counted:?} of {pairs} each");
}

#[test]
fn a_doubled_p99_and_ten_times_as_many_stale_reads_are_found() {
    let worse = Store { p99_ms: 20.0, stale: 0.01, ..GOOD };
    for seed in 0..20 {
        let comparison = compare(&results(GOOD, seed, 8), &results(worse, seed + 1000, 8));
        assert!(comparison.is_regression());
        let back = compare(&results(worse, seed + 1000, 8), &results(GOOD, seed, 8));
        let all_are = |of: &super::Comparison, name: &str, verdict: Verdict| {
            of.rows.iter().filter(|row| row.metric == name).all(|row| row.verdict == verdict)
        };
        for name in ["latency.all.p50_ms", "latency.all.p99_ms", "staleness.rate", "throughput.ok_per_s"] {
            assert!(all_are(&comparison, name, Verdict::Regression), "{name}: {comparison}");
            assert!(all_are(&back, name, Verdict::Improvement), "{name}: {back}");
        }
    }
}

#[test]
fn five_runs_of_each_find_a_hundredfold_latency_and_what_was_never_there_before() {
    let slow = Store { p99_ms: 1_000.0, ..GOOD };
    for made in [one_cell, results] {
        let comparison = compare(&made(GOOD, 1, 5), &made(slow, 2, 5));
        let is_found = |name: &str| {
            let mut rows = comparison.rows.iter().filter(|row| row.metric == name);
            rows.any(|row| row.verdict == Verdict::Regression)
        };
        assert!(is_found("latency.all.p50_ms") && is_found("latency.all.p99_ms"), "{comparison}");
    }
    let (before, mut after) = (one_cell(GOOD, 1, 5), one_cell(GOOD, 2, 5));
    for (run, lost) in after.cells[0].runs.iter_mut().zip([1.0, 3.0, 1.0, 2.0, 1.0]) {
        run.metrics.insert("lost.count".to_owned(), Metric::of(lost));
    }
    let comparison = compare(&before, &after);
    let lost = comparison.rows.iter().find(|row| row.metric == "lost.count");
    assert!(lost.is_some_and(|row| row.verdict == Verdict::Regression), "{comparison}");
}

#[test]
fn what_held_and_is_violated_is_a_regression_whatever_the_numbers_say() {
    let expected = |outcome: Outcome, cell: &str| Expectation {
        expression: "lost.count == 0".to_owned(),
        cell: cell.to_owned(),
        measured: String::new(),
        interval: String::new(),
        outcome,
        why: String::new(),
    };
    let mut before = one_cell(GOOD, 1, 1);
    before.expectations = vec![expected(Outcome::Holds, "5 of 5 runs")];
    let mut after = before.clone();
    assert!(!compare(&before, &after).is_regression());
    after.expectations = vec![expected(Outcome::Violated, "4 of 5 runs")];
    let comparison = compare(&before, &after);
    assert!(comparison.is_regression() && !compare(&after, &before).is_regression());
    assert!(comparison.to_string().contains("regression: lost.count == 0: holds, then violated"), "{comparison}");
    let violated = ResultsDocument { outcome: Outcome::Violated, ..before.clone() };
    assert!(compare(&before, &violated).is_regression());
}

#[test]
fn too_few_runs_are_said_to_decide_nothing_and_fewer_metrics_need_fewer() {
    let worse = Store { p99_ms: 20.0, ..GOOD };
    let (a, b) = (one_cell(GOOD, 1, 3), one_cell(worse, 2, 3));
    let comparison = compare(&a, &b);
    assert!(!comparison.is_regression());
    assert_eq!(comparison.count(Verdict::NotComparable), 6, "{comparison}");
    assert!(comparison.notes[0].contains("6 metrics cannot be decided"), "{comparison}");
    assert!(compare_only(&a, &b, |name| name == "latency.all.p99_ms").is_regression());
    let single = compare(&results(GOOD, 1, 1), &results(worse, 2, 1));
    assert!(!single.is_regression() && single.to_string().contains("1 and 1 runs: at least 2"), "{single}");
    assert!(!compare_only(&a, &b, |name| name == "bogus").decides_anything());
}

#[test]
fn what_was_done_differently_or_by_one_alone_is_told() {
    let (a, mut b) = (results(GOOD, 1, 5), results(GOOD, 2, 5));
    b.spec = json!({"load": {"rate": 2000, "workers": 4}, "keys": [1, 3]});
    b.cells[0].metrics.remove("latency.all.p50_ms");
    b.cells[1].name = "r=3".to_owned();
    let comparison = compare(&a, &b);
    assert_eq!(
        comparison.spec_differences,
        ["keys.1: 2, then 3", "load.rate: 1000, then 2000", "load.workers: nothing, then 4"]
    );
    assert_eq!(
        comparison.only_in_one,
        [
            "latency.all.p50_ms of \"r=1\" is only in the first",
            "cell \"r=2\" is only in the first",
            "cell \"r=3\" is only in the second"
        ]
    );
}

#[test]
fn one_run_of_each_side_decides_no_share() {
    let worse = Store { stale: 0.2, ..GOOD };
    let of =
        |a: u64, b: u64| compare_only(&one_cell(GOOD, 1, a), &one_cell(worse, 2, b), |name| name == "staleness.rate");
    let single = of(1, 1);
    assert!(!single.decides_anything() && single.to_string().contains("one run of each"), "{single}");
    assert!(of(5, 5).is_regression());
}

#[test]
fn what_the_second_lacks_leaves_it_open() {
    let a = results(GOOD, 1, 5);
    assert!(!compare(&a, &a).is_incomplete);
    let lacks = |change: fn(&mut ResultsDocument)| {
        let mut b = a.clone();
        change(&mut b);
        (compare(&a, &b).is_incomplete, compare(&b, &a).is_incomplete)
    };
    assert_eq!(lacks(|b| drop(b.cells.pop())), (true, false), "more than before is no doubt");
    assert_eq!(lacks(|b| b.cells[0].metrics.retain(|name, _| name != "latency.all.p50_ms")), (true, false));
    assert_eq!(lacks(|b| b.outcome = Outcome::Unknown), (true, false));
}

#[test]
fn the_same_results_do_not_differ_from_themselves() {
    let a = results(GOOD, 1, 5);
    let comparison = compare(&a, &a);
    let p_is_one = |row: &super::Row| row.p_adjusted.is_none_or(|p| p > 0.5);
    assert!(comparison.rows.iter().all(p_is_one), "{comparison:?}");
    assert_eq!(comparison.count(Verdict::Regression) + comparison.count(Verdict::Improvement), 0, "{comparison}");
}

/// Every way to choose who is of the first side: how many put the second as high, and as low.
fn brute_force(a: &[f64], b: &[f64]) -> (f64, f64) {
    let all: Vec<f64> = a.iter().chain(b).copied().collect();
    let rank = |of: f64| -> f64 {
        let (below, equal) =
            (all.iter().filter(|other| **other < of).count(), all.iter().filter(|other| **other == of).count());
        below as f64 + (equal as f64 + 1.0) / 2.0
    };
    let seen = a.iter().map(|of| rank(*of)).sum::<f64>();
    let (mut ways, mut as_high, mut as_low) = (0, 0, 0);
    for chosen in 0u32..1 << all.len() {
        if chosen.count_ones() as usize != a.len() {
            continue;
        }
        let sum: f64 = (0..all.len()).filter(|i| chosen >> i & 1 == 1).map(|i| rank(all[i])).sum();
        ways += 1;
        as_high += usize::from(sum <= seen + 1e-9);
        as_low += usize::from(sum >= seen - 1e-9);
    }
    (as_high as f64 / f64::from(ways), as_low as f64 / f64::from(ways))
}

proptest! {
    #[test]
    fn the_exact_p_is_that_of_all_ways_to_choose(a in prop::collection::vec(0u8..6, 2..6), b in prop::collection::vec(0u8..6, 2..6)) {
        let [a, b] = [a, b].map(|of| of.into_iter().map(f64::from).collect::<Vec<_>>());
        let (exact, (as_high, as_low)) = (ranks::tails(&[(&a, &b)]), brute_force(&a, &b));
        assert!((exact.greater.p - as_high).abs() < 1e-9 && (exact.less.p - as_low).abs() < 1e-9, "{exact:?}");
        assert!(exact.greater.p >= exact.greater.p_min - 1e-9 && exact.less.p >= exact.less.p_min - 1e-9, "{exact:?}");
        assert!(exact.greater.p_min >= ranks::least_p(a.len(), b.len()) - 1e-9, "{exact:?}");
    }
}

#[test]
fn strata_are_ranked_apart_and_added_up() {
    let (low, high) = ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]);
    let (far_low, far_high) = ([100.0, 200.0, 300.0], [400.0, 500.0, 600.0]);
    let both = ranks::tails(&[(&low, &high), (&far_low, &far_high)]);
    assert!((both.greater.p - 1.0 / 400.0).abs() < 1e-12, "{both:?}");
}

#[test]
fn by_the_normal_p_is_near_the_exact_one() {
    let mut chance = Chance(7);
    let mut many = |count: usize, shift: f64| (0..count).map(|_| chance.normal() + shift).collect::<Vec<_>>();
    let (a, b) = (many(30, 0.0), many(30, 0.6));
    let exact = ranks::tails(&[(&a, &b)]).greater.p;
    let mut more = a.clone();
    more.push(0.3);
    let normal = ranks::tails(&[(&more, &b)]).greater.p;
    assert!((exact.ln() - normal.ln()).abs() < 0.7, "{exact} {normal}");
}
