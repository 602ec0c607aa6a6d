//! Names in expectations and charts, before anything starts: a misspelt one would be told as not measured when all runs are over.
//! Known are what a run of the cells measures, the axes of the cells and what settings say (`schedule::SETTINGS`).

use crate::experiment::grid::Grid;
use crate::experiment::refused::Refused;
use crate::experiment::schedule;
use crate::experiment::spec::{ExpectSpec, SliceSpec, Spec};
use crate::metrics;
use crate::plan::{Action, Shape};

/// The first name that no cell it is asked of can have.
pub(super) fn check(spec: &Spec, grid: &Grid) -> Result<(), Refused> {
    let all: Vec<&Spec> = grid.cells.iter().map(|cell| &cell.spec).collect();
    let axes = |slice: &SliceSpec| slice.axes.iter().map(|axis| axis.name.clone()).collect::<Vec<_>>();
    let every_axis: Vec<String> = spec.grid.iter().flat_map(axes).collect();
    check_expect("expect", &spec.expect, &all, &every_axis)?;
    for (index, slice) in spec.grid.iter().enumerate() {
        let cells: Vec<&Spec> =
            grid.cells.iter().filter(|cell| cell.slices.contains(&index)).map(|cell| &cell.spec).collect();
        check_expect(&format!("grid.{index}.expect"), &slice.expect, &cells, &every_axis)?;
        for (number, name) in slice.charts.iter().enumerate() {
            let at = format!("grid.{index}.charts");
            measured(name, &cells).map_err(|why| Refused::at(&format!("{at}.{number}"), format!("{at}: {why}")))?;
        }
    }
    Ok(())
}

fn check_expect(place: &str, expect: &[ExpectSpec], cells: &[&Spec], axes: &[String]) -> Result<(), Refused> {
    for (index, one) in expect.iter().enumerate() {
        for expression in std::iter::once(&one.that).chain(&one.when) {
            let is_setting = |name: &str| schedule::SETTINGS.iter().any(|(setting, _)| *setting == name);
            let is_free = |name: &&str| !is_setting(name) && !axes.iter().any(|axis| axis == name);
            for name in expression.names().into_iter().filter(is_free) {
                measured(name, cells).map_err(|why| {
                    Refused::at(&format!("{place}.{index}"), format!("{place}: `{expression}`: {why}"))
                })?;
            }
        }
    }
    Ok(())
}

/// Whether one of `cells` can measure `name`.
fn measured(name: &str, cells: &[&Spec]) -> Result<(), String> {
    let mut why = None;
    for spec in cells {
        match missing(name, spec) {
            None => return Ok(()),
            Some(first) => why = why.or(Some(first)),
        }
    }
    Err(why.unwrap_or_else(|| format!("no cell measures `{name}`")))
}

fn missing(name: &str, spec: &Spec) -> Option<String> {
    let phases: Vec<&str> = spec.phases.iter().map(|phase| phase.name.as_str()).collect();
    metrics::unknown(name, &phases).or_else(|| {
        let what = not_asked(name, spec)?;
        Some(format!("`{name}` is measured only with {what}, which this file does not have"))
    })
}

/// What the file must have so that `name` is measured, and has not.
fn not_asked(name: &str, spec: &Spec) -> Option<String> {
    let measure = &spec.measure;
    let is_closed = spec.load.rate.is_none() && spec.load.arrivals == Shape::Constant;
    let mut parts = name.split('.');
    let (first, second) = (parts.next()?, parts.next()?);
    let lacks = |is_asked: bool, what: &str| (!is_asked).then(|| what.to_owned());
    match (first, second) {
        ("convergence", "live") => lacks(measure.live_convergence.is_some(), "`measure.liveConvergence`"),
        ("convergence", _) => lacks(measure.convergence.is_some(), "`measure.convergence`"),
        ("visibility", _) => lacks(measure.visibility.is_some(), "`measure.visibility`"),
        ("written" | "lost" | "late" | "wrong", _) => lacks(measure.lost_writes.is_some(), "`measure.lostWrites`"),
        ("throughput", "offered_per_s") => lacks(!is_closed, "a `load.rate`"),
        ("latency" | "service" | "availability", kind) => {
            let kind = Action::ALL.into_iter().find(|action| action.name() == kind)?;
            lacks(spec.workload.mix.share(kind) > 0, &format!("`{}` in `workload.mix`", kind.name()))
        }
        _ => None,
    }
}
