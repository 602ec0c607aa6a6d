#![allow(clippy::unwrap_used)]
use super::{About, Told, tell};
use crate::experiment::Host;
use crate::experiment::read::{Changes, Experiment};
use crate::experiment::record::{Promise, RunRecord};
use crate::metrics::{Metric, Metrics};
use crate::offline::Outcome;
use crate::report::Kind;

const GRID: &str = "\
name: grid
question: How stale?
repetitions: 2
cluster: {replicas: 3}
request: {w: 1}
phases: [{name: calm, for: 2s}]
expect: [{that: staleness.rate == 0, when: r + w > n}, latency.all.p99_ms < 50]
grid:
- {name: reads, title: Reads, axes: [{name: R, path: request.r, values: [1, 2, 3]}], charts: [staleness.rate, staleness.age.p50_ms]}
- {name: both, title: Both, axes: [{name: R, path: request.r, values: [1]}, {name: W, path: request.w, values: [1, 2]}], charts: [staleness.rate]}
";

/// A cluster that nobody makes, of fields that a file has.
const HOST: Host<'_> = Host { given: &|_| Ok(serde_json::Map::new()), check: &|_| Ok(()) };

fn experiment() -> Experiment {
    Experiment::read(GRID, "grid.yaml", Changes::default(), HOST).unwrap()
}

fn record(cell: &str, seed: u64, stale: u64) -> RunRecord {
    let metrics = [
        ("staleness.rate", Metric::share(stale, 1_000).unwrap()),
        ("latency.all.p99_ms", Metric { is_at_least: stale == 7, ..Metric::of(40.0) }),
    ];
    RunRecord {
        cell: cell.to_owned(),
        seed,
        run: "beef".to_owned(),
        outcome: Outcome::Holds,
        promises: vec![Promise {
            what: "kept".to_owned(),
            outcome: Outcome::Holds,
            broken: 0,
            of: 10,
            note: String::new(),
        }],
        metrics: metrics.into_iter().map(|(name, metric)| (name.to_owned(), metric)).collect::<Metrics>(),
        trouble: Vec::new(),
        warnings: Vec::new(),
        figures: Vec::new(),
    }
}

fn records(stale_at_three: u64) -> Vec<RunRecord> {
    let cells = [("reads_r=1", 30), ("reads_r=2", 5), ("reads_r=3", stale_at_three), ("both_r=1_w=2", 2)];
    cells.into_iter().flat_map(|(cell, stale)| [record(cell, 1, stale), record(cell, 2, stale)]).collect()
}

fn told(records: &[RunRecord]) -> Told {
    tell(&experiment(), records, &About { file: "grid.yaml".to_owned(), ..About::default() })
}

#[test]
fn what_holds_everywhere_is_one_row_and_runs_of_a_cell_are_pooled() {
    let told = told(&records(0));
    assert_eq!(told.report.outcome, Outcome::Holds, "{:?}", told.report.expectations);
    let [fresh, quick, kept] = told.report.expectations.as_slice() else {
        unreachable!("{:?}", told.report.expectations)
    };
    assert_eq!((fresh.cell.as_str(), fresh.outcome), ("reads_r=3", Outcome::Holds), "only R=3 overlaps W=1");
    assert_eq!(quick.cell, "all: each of 4");
    assert_eq!((kept.measured.as_str(), kept.cell.as_str()), ("broken 0 of 80 times", "8 of 8 runs"));
    let three = told.results.cells.iter().find(|cell| cell.name == "reads_r=1").unwrap();
    assert_eq!(three.metrics.get("staleness.rate").unwrap().share, Some((60, 2_000)));
    assert_eq!(three.runs.len(), 2);
}

#[test]
fn the_command_that_does_it_again_goes_to_the_same_place() {
    let of = |cluster: &str| {
        let text = GRID.replace("{replicas: 3}", cluster);
        let experiment = Experiment::read(&text, "grid.yaml", Changes::default(), HOST).unwrap();
        let about = About { file: "grid.yaml".to_owned(), is_quick: true, ..About::default() };
        tell(&experiment, &[], &about).report.reproduce
    };
    let here = "driftkv lab run grid.yaml --quick --seed 1 --repetitions 2";
    assert_eq!(of("{replicas: 3}"), here);
    let there = "{replicas: 3, kubernetes: {cluster: demo, namespace: shop}}";
    assert_eq!(of(there), format!("{here} --kubernetes --cluster demo -n shop"));
}

#[test]
fn what_does_not_hold_names_its_cell() {
    let told = told(&records(1));
    assert_eq!(told.report.outcome, Outcome::Violated);
    let row = told.report.expectations.first().unwrap();
    assert_eq!((row.cell.as_str(), row.outcome), ("reads_r=3", Outcome::Violated));
}

#[test]
fn a_lower_bound_a_trouble_and_a_missing_run_leave_it_open() {
    let bound = |outcome_of: fn(&mut Vec<RunRecord>)| {
        let mut records = records(0);
        outcome_of(&mut records);
        told(&records).report
    };
    let mute = |records: &mut Vec<RunRecord>| records.first_mut().unwrap().trouble.push("nobody saw it".to_owned());
    let report = bound(mute);
    assert_eq!(report.outcome, Outcome::Unknown);
    assert!(
        report.warnings.iter().any(|warning| warning.contains("nobody saw it (reads_r=1, seed 1)")),
        "{:?}",
        report.warnings
    );
    assert_eq!(bound(|records| drop(records.pop())).outcome, Outcome::Unknown);
    let least = |records: &mut Vec<RunRecord>| {
        records.iter_mut().for_each(|record| record.metrics.get_mut("latency.all.p99_ms").unwrap().is_at_least = true);
    };
    assert_eq!(bound(least).outcome, Outcome::Unknown, "40 ms or more may be 60");
    let unmeasured = |records: &mut Vec<RunRecord>| {
        records.iter_mut().for_each(|record| record.metrics.retain(|name, _| name != "latency.all.p99_ms"));
    };
    assert_eq!(bound(unmeasured).outcome, Outcome::Unknown);
}

#[test]
fn slices_are_drawn_as_lines_over_one_axis_and_shades_over_two() {
    let figures = told(&records(0)).report.figures;
    let [line, heat] = figures.as_slice() else { unreachable!("a metric that nobody measured is not drawn") };
    let Kind::Lines { series } = &line.kind else { unreachable!() };
    let points = &series.first().unwrap().points;
    assert_eq!(points.iter().map(|point| point.x).collect::<Vec<_>>(), [1.0, 2.0, 3.0]);
    assert_eq!(points.first().unwrap().y, Some(3.0), "shares in percent");
    assert!(points.iter().all(|point| point.lo.is_some() && point.hi.is_some()));
    let Kind::Heat { cells, .. } = &heat.kind else { unreachable!() };
    assert_eq!(cells.first().unwrap().text, ["3 %", "60 of 2000"]);
}
