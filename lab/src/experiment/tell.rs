//! An experiment as its report: the runs of each cell pooled, expectations judged, sentences, figures over its slices, and everything for programs.
//! Reading order: here (all of it), `tell/expected.rs` (expectations and promises), `tell/charts.rs` (slices drawn), `tell/words.rs` (sentences, facts, tables).
//! Invariants: what holds in all cells is one row, what does not is a row a cell; a run with trouble makes the whole inconclusive.

use std::path::Path;

use super::grid::Cell;
use super::read::Experiment;
use super::record::{About, RunRecord};
use crate::metrics::{Metrics, pool};
use crate::offline::Outcome;
use crate::report::results::{CellResult, ResultsDocument, RunResult, Tool};
use crate::report::{self, CellRow, Report};
use crate::run_dir::FileError;

mod charts;
mod expected;
#[cfg(test)]
mod tests;
mod words;

/// All that is told.
#[derive(Clone, Debug)]
pub struct Told {
    /// For people.
    pub report: Report,
    /// For programs.
    pub results: ResultsDocument,
    /// For tables.
    pub cells: Vec<CellRow>,
}

/// A cell with what came of its runs.
struct Pooled<'a> {
    cell: &'a Cell,
    runs: Vec<&'a RunRecord>,
    metrics: Metrics,
}

/// Tells what `records` show of `experiment`; cells without a run are left out, and said.
pub fn tell(experiment: &Experiment, records: &[RunRecord], about: &About) -> Told {
    let pooled: Vec<Pooled<'_>> = experiment.grid.cells.iter().map(|cell| Pooled::of(cell, records)).collect();
    let mut expectations = expected::of_cells(experiment, &pooled);
    expectations.extend(expected::promises(&pooled));
    let warnings = words::warnings(experiment, &pooled);
    let has_trouble = records.iter().any(|record| !record.trouble.is_empty());
    let is_whole = pooled.iter().all(|pooled| pooled.runs.len() == pooled.cell.spec.repetitions as usize);
    let worst = expectations.iter().map(|row| row.outcome).max().unwrap_or_default();
    let outcome = if has_trouble || !is_whole { worst.max(Outcome::Unknown) } else { worst };
    let report = Report {
        title: experiment.spec.name.clone(),
        question: experiment.spec.question.trim().to_owned(),
        answers: words::answers(&pooled, outcome, &expectations),
        outcome,
        expectations,
        warnings,
        reproduce: words::reproduce(experiment, about),
        caveats: words::caveats(),
        facts: words::facts(experiment, about),
        figures: figures(experiment, &pooled),
        tables: words::tables(&pooled),
    };
    let results = results(experiment, &pooled, &report, about);
    let row = |pooled: &Pooled<'_>| CellRow {
        name: pooled.cell.name.clone(),
        axes: pooled.cell.axes.clone(),
        metrics: pooled.metrics.clone(),
    };
    Told { cells: pooled.iter().filter(|pooled| !pooled.runs.is_empty()).map(row).collect(), report, results }
}

impl Told {
    /// Writes everything into `directory`.
    pub fn write(&self, directory: &Path) -> Result<(), FileError> {
        let file = |name: &str, text: &str| {
            let path = directory.join(name);
            std::fs::write(&path, text).map_err(FileError::at(&path))
        };
        file("results.json", &self.results.text())?;
        file("cells.csv", &report::cells_csv(&self.cells))?;
        report::write(directory, &self.report)
    }
}

impl<'a> Pooled<'a> {
    fn of(cell: &'a Cell, records: &'a [RunRecord]) -> Self {
        let runs: Vec<&RunRecord> = records.iter().filter(|record| record.cell == cell.name).collect();
        let metrics: Vec<&Metrics> = runs.iter().map(|record| &record.metrics).collect();
        Self { cell, metrics: pool(&metrics), runs }
    }
}

/// Of one cell those of the run that shows most, of many their slices.
fn figures(experiment: &Experiment, pooled: &[Pooled<'_>]) -> Vec<report::Figure> {
    match pooled {
        [only] => {
            let worst = only.runs.iter().max_by_key(|record| (record.outcome, std::cmp::Reverse(record.seed)));
            let more = if only.runs.len() > 1 {
                worst.map(|record| format!(" Of the run with seed {}.", record.seed))
            } else {
                None
            };
            let more = more.unwrap_or_default();
            let figures = worst.map(|record| record.figures.clone()).unwrap_or_default();
            figures
                .into_iter()
                .map(|figure| report::Figure { says: format!("{}{more}", figure.says), ..figure })
                .collect()
        }
        many => charts::of(experiment, many),
    }
}

fn results(experiment: &Experiment, pooled: &[Pooled<'_>], report: &Report, about: &About) -> ResultsDocument {
    let run = |record: &RunRecord| RunResult {
        seed: record.seed,
        directory: format!("cells/{}/seed-{}", record.cell, record.seed),
        outcome: record.outcome,
        metrics: record.metrics.clone(),
    };
    let cell = |pooled: &Pooled<'_>| CellResult {
        name: pooled.cell.name.clone(),
        axes: pooled.cell.axes.iter().cloned().collect(),
        metrics: pooled.metrics.clone(),
        runs: pooled.runs.iter().map(|record| run(record)).collect(),
    };
    ResultsDocument {
        schema_version: 1,
        experiment: experiment.spec.name.clone(),
        run_id: Some(format!("{}-{}", experiment.spec.name, about.started_unix_ms)),
        tool: Tool {
            name: "driftkv".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            // Whoever builds a release says so; asked of git at each build, each commit would compile this anew.
            git: option_env!("DRIFTKV_GIT").map(str::to_owned),
        },
        started_unix_ms: about.started_unix_ms,
        seed: experiment.spec.seed,
        spec: experiment.resolved.clone(),
        environment: about.environment.iter().cloned().collect(),
        outcome: report.outcome,
        expectations: report.expectations.clone(),
        cells: pooled.iter().map(cell).collect(),
        warnings: report.warnings.clone(),
    }
}
