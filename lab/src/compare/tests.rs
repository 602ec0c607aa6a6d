//! Comparisons of made-up results: noise alone raises no alarm, planted regressions are found, and too few runs are said to be too few.
#![allow(clippy::indexing_slicing)]

use std::collections::BTreeMap;

use proptest::prelude::{prop, proptest};
use serde_json::json;

use super::{Verdict, compare, compare_only, ranks};
use crate::metrics::{Metric, Metrics};
use crate::offline::Outcome;
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
        ("latency.get.p50_ms", of(store.p99_ms / 8.0)),
        ("latency.get.p99_ms", of(store.p99_ms)),
        ("latency.put.p99_ms", of(1.3 * store.p99_ms)),
        ("throughput.ok_per_s", of(1e5 / store.p99_ms)),
    ]
    .map(|(name, metric)| (name.to_owned(), metric))
    .into();
    metrics.insert("staleness.rate".to_owned(), share(hits, reads as u64));
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

#[test]
fn noise_alone_raises_an_alarm_in_one_comparison_of_twenty_at_most() {
    let pairs = if cfg!(debug_assertions) { 100 } else { 200 };
    for runs in [6, 10] {
        let alarms = (0..pairs)
            .filter(|pair| {
                let comparison = compare(&results(GOOD, 2 * pair, runs), &results(GOOD, 2 * pair + 1, runs));
                comparison.count(Verdict::Regression) + comparison.count(Verdict::Improvement) > 0
            })
            .count();
        assert!(alarms as u64 * 20 <= pairs, "{alarms} of {pairs} with {runs} runs");
    }
}

#[test]
fn a_doubled_p99_and_ten_times_as_many_stale_reads_are_found() {
    let worse = Store { p99_ms: 20.0, stale: 0.01, ..GOOD };
    for seed in 0..20 {
        let comparison = compare(&results(GOOD, seed, 8), &results(worse, seed + 1000, 8));
        assert!(comparison.is_regression());
        for name in ["latency.get.p99_ms", "staleness.rate", "throughput.ok_per_s"] {
            let rows: Vec<_> = comparison.rows.iter().filter(|row| row.metric == name).collect();
            assert!(rows.iter().all(|row| row.verdict == Verdict::Regression), "{name}: {comparison}");
        }
        let back = compare(&results(worse, seed + 1000, 8), &results(GOOD, seed, 8));
        assert!(!back.is_regression() && back.count(Verdict::Improvement) == 10, "{back}");
    }
}

#[test]
fn too_few_runs_are_said_to_decide_nothing_and_fewer_metrics_need_fewer() {
    let worse = Store { p99_ms: 20.0, ..GOOD };
    let (a, b) = (results(GOOD, 1, 4), results(worse, 2, 4));
    let comparison = compare(&a, &b);
    assert!(!comparison.is_regression());
    assert_eq!(comparison.count(Verdict::NotComparable), 8, "{comparison}");
    assert!(comparison.notes[0].contains("8 metrics cannot be decided"), "{comparison}");
    let mut one = (a, b);
    one.0.cells.truncate(1);
    one.1.cells.truncate(1);
    assert!(compare_only(&one.0, &one.1, |name| name == "latency.get.p99_ms").is_regression());
    let single = compare(&results(GOOD, 1, 1), &results(worse, 2, 1));
    assert!(!single.is_regression() && single.to_string().contains("1 and 1 runs: at least 2"), "{single}");
}

#[test]
fn what_was_done_differently_or_by_one_alone_is_told() {
    let (a, mut b) = (results(GOOD, 1, 5), results(GOOD, 2, 5));
    b.spec = json!({"load": {"rate": 2000, "workers": 4}, "keys": [1, 3]});
    b.cells[0].metrics.remove("latency.get.p50_ms");
    b.cells[1].name = "r=3".to_owned();
    let comparison = compare(&a, &b);
    assert_eq!(
        comparison.spec_differences,
        ["keys.1: 2, then 3", "load.rate: 1000, then 2000", "load.workers: nothing, then 4"]
    );
    assert_eq!(
        comparison.only_in_one,
        [
            "latency.get.p50_ms of \"r=1\" is only in the first",
            "cell \"r=2\" is only in the first",
            "cell \"r=3\" is only in the second"
        ]
    );
}

#[test]
fn the_same_results_do_not_differ_from_themselves() {
    let a = results(GOOD, 1, 5);
    let comparison = compare(&a, &a);
    let p_is_one = |row: &super::Row| row.p.is_none_or(|p| p > 0.999);
    assert!(comparison.rows.iter().all(p_is_one), "{comparison:?}");
    assert!(comparison.to_string().ends_with("0 changed, 2 without a difference, 8 not comparable\n"), "{comparison}");
}

/// Every way to choose who is of the first side.
fn brute_force(a: &[f64], b: &[f64]) -> f64 {
    let all: Vec<f64> = a.iter().chain(b).copied().collect();
    let rank = |of: f64| -> f64 {
        let (below, equal) =
            (all.iter().filter(|other| **other < of).count(), all.iter().filter(|other| **other == of).count());
        below as f64 + (equal as f64 + 1.0) / 2.0
    };
    let mean = a.len() as f64 * (all.len() as f64 + 1.0) / 2.0;
    let seen = (a.iter().map(|of| rank(*of)).sum::<f64>() - mean).abs();
    let (mut ways, mut as_far) = (0, 0);
    for chosen in 0u32..1 << all.len() {
        if chosen.count_ones() as usize != a.len() {
            continue;
        }
        let sum: f64 = (0..all.len()).filter(|i| chosen >> i & 1 == 1).map(|i| rank(all[i])).sum();
        ways += 1;
        as_far += usize::from((sum - mean).abs() >= seen - 1e-9);
    }
    as_far as f64 / f64::from(ways)
}

proptest! {
    #[test]
    fn the_exact_p_is_that_of_all_ways_to_choose(a in prop::collection::vec(0u8..6, 2..6), b in prop::collection::vec(0u8..6, 2..6)) {
        let [a, b] = [a, b].map(|of| of.into_iter().map(f64::from).collect::<Vec<_>>());
        let (exact, brute) = (ranks::p_value(&a, &b), brute_force(&a, &b));
        assert!((exact - brute).abs() < 1e-9, "{exact} {brute}");
        assert!(exact >= ranks::least_p(a.len(), b.len()) - 1e-9 || a.len() != b.len(), "{exact}");
    }
}

#[test]
fn by_the_normal_p_is_near_the_exact_one() {
    let mut chance = Chance(7);
    let mut many = |count: usize, shift: f64| (0..count).map(|_| chance.normal() + shift).collect::<Vec<_>>();
    let (a, b) = (many(30, 0.0), many(30, 0.6));
    let exact = ranks::p_value(&a, &b);
    let mut more = a.clone();
    more.push(0.3);
    let normal = ranks::p_value(&more, &b);
    assert!((exact.ln() - normal.ln()).abs() < 0.7, "{exact} {normal}");
}
