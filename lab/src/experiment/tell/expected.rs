//! What was expected of cells, and what every run promises, with what came.

use super::Pooled;
use crate::experiment::expression::{Expression, Known};
use crate::experiment::read::Experiment;
use crate::experiment::schedule;
use crate::experiment::spec::ExpectSpec;
use crate::offline::Outcome;
use crate::report::model::Expectation;

/// Of all cells, and of the cells of slices.
pub(super) fn of_cells(experiment: &Experiment, pooled: &[Pooled<'_>]) -> Vec<Expectation> {
    let mut rows = Vec::new();
    for expect in &experiment.spec.expect {
        rows.extend(of_some(expect, pooled.iter().collect(), "all"));
    }
    for (index, slice) in experiment.grid.slices.iter().enumerate() {
        let of_slice = pooled.iter().filter(|pooled| pooled.cell.slices.contains(&index)).collect::<Vec<_>>();
        for expect in &slice.spec.expect {
            rows.extend(of_some(expect, of_slice.clone(), &slice.spec.name));
        }
    }
    rows
}

fn of_some(expect: &ExpectSpec, mut cells: Vec<&Pooled<'_>>, place: &str) -> Vec<Expectation> {
    cells.retain(|pooled| expect.when.as_ref().is_none_or(|when| judge(when, pooled) == Outcome::Holds));
    let rows: Vec<Expectation> = cells.iter().map(|pooled| of_one(expect, pooled)).collect();
    if cells.is_empty() {
        let why = "no cell fits its condition".to_owned();
        return vec![Expectation { cell: place.to_owned(), outcome: Outcome::Unknown, why, ..empty(expect) }];
    }
    let failed: Vec<Expectation> = rows.iter().filter(|row| row.outcome != Outcome::Holds).cloned().collect();
    match (rows.as_slice(), failed.is_empty()) {
        ([_], _) => rows,
        (_, true) => {
            let measured = worst(expect, &cells);
            vec![Expectation { cell: format!("{place}: each of {}", rows.len()), measured, ..empty(expect) }]
        }
        (_, false) => failed,
    }
}

fn empty(expect: &ExpectSpec) -> Expectation {
    Expectation {
        expression: text(expect),
        cell: String::new(),
        measured: String::new(),
        interval: String::new(),
        outcome: Outcome::Holds,
        why: String::new(),
    }
}

fn text(expect: &ExpectSpec) -> String {
    match &expect.when {
        Some(when) => format!("{} where {when}", expect.that),
        None => expect.that.to_string(),
    }
}

/// The range of what was measured over `cells`, of the first metric that the expectation names.
fn worst(expect: &ExpectSpec, cells: &[&Pooled<'_>]) -> String {
    let names = expect.that.names();
    let of = |name: &str| -> Option<String> {
        let mut values: Vec<_> = cells.iter().filter_map(|pooled| pooled.metrics.get(name)).collect();
        values.sort_by(|a, b| a.value.total_cmp(&b.value));
        let (first, last) = (values.first()?, values.last()?);
        let (least, most) = (first.text(name), last.text(name));
        Some(if least == most { least } else { format!("{least} to {most}") })
    };
    names.into_iter().find_map(of).unwrap_or_default()
}

fn of_one(expect: &ExpectSpec, pooled: &Pooled<'_>) -> Expectation {
    let names = expect.that.names();
    let measured: Vec<(&str, &crate::metrics::Metric)> =
        names.iter().filter_map(|name| Some((*name, pooled.metrics.get(*name)?))).collect();
    let told = |text: &dyn Fn(&str, &crate::metrics::Metric) -> String| {
        let texts: Vec<String> = measured.iter().map(|(name, metric)| text(name, metric)).collect();
        texts.join(", ")
    };
    let missing: Vec<&str> = names.iter().filter(|name| look_up(pooled, name).is_none()).copied().collect();
    let why = if missing.is_empty() { String::new() } else { format!("not measured: {}", missing.join(", ")) };
    Expectation {
        cell: pooled.cell.name.clone(),
        measured: told(&|name, metric| metric.text(name)),
        interval: told(&|name, metric| metric.interval_text(name)),
        outcome: judge(&expect.that, pooled),
        why,
        ..empty(expect)
    }
}

fn judge(expression: &Expression, pooled: &Pooled<'_>) -> Outcome {
    expression.judge(&|name| look_up(pooled, name))
}

/// A metric, an axis, or what the settings say.
fn look_up(pooled: &Pooled<'_>, name: &str) -> Option<Known> {
    if let Some(metric) = pooled.metrics.get(name) {
        return Some(Known { value: metric.value, is_at_least: metric.is_at_least });
    }
    let exactly = |value: f64| Known { value, is_at_least: false };
    let axis = pooled.cell.axes.iter().find(|(axis, _)| axis == name).and_then(|(_, label)| label.parse().ok());
    let setting = || {
        let (_, read) = schedule::SETTINGS.into_iter().find(|(setting, _)| *setting == name)?;
        read(&pooled.cell.spec).map(f64::from)
    };
    axis.or_else(setting).map(exactly)
}

/// What every run promises, over all runs.
pub(super) fn promises(pooled: &[Pooled<'_>]) -> Vec<Expectation> {
    let runs: Vec<_> = pooled.iter().flat_map(|pooled| &pooled.runs).collect();
    let mut rows: Vec<Expectation> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for promise in runs.iter().flat_map(|run| &run.promises) {
        if seen.contains(&promise.what.as_str()) {
            continue;
        }
        seen.push(&promise.what);
        let of_all = || runs.iter().flat_map(|run| run.promises.iter().map(move |other| (run, other)));
        let same: Vec<_> = of_all().filter(|(_, other)| other.what == promise.what).collect();
        let (broken, of) = same.iter().fold((0, 0), |(broken, of), (_, one)| (broken + one.broken, of + one.of));
        let outcome = same.iter().map(|(_, one)| one.outcome).max().unwrap_or_default();
        let worst = same.iter().find(|(_, one)| one.outcome == outcome && outcome != Outcome::Holds);
        let place = worst.map(|(run, one)| {
            let note = if one.note.is_empty() { String::new() } else { format!(": {}", one.note) };
            format!("first in cell {}, seed {}{note}", run.cell, run.seed)
        });
        rows.push(Expectation {
            expression: format!("promised: {}", promise.what),
            cell: format!("{} of {} runs", same.len(), runs.len()),
            measured: format!("broken {broken} of {of} times"),
            interval: String::new(),
            outcome,
            why: place.unwrap_or_default(),
        });
    }
    rows
}
