//! The files of a report in its directory: `report.json` (all of it), `report.html`, `summary.md`, `junit.xml`.
//! Invariants: `read` gives back what `write` was given, except that points without a finite place, which JSON cannot hold, are gone;
//! each file appears whole or not at all. Unlike a run's files these are drawn anew as often as one likes.

use std::fs;
use std::path::Path;

use super::model::{Kind, Point, Report};
use super::{html, junit, summary_md};
use crate::run_dir::FileError;

/// Writes all files of `report` into `directory`, which is made if it is not there. Errors: no file is left half written.
pub fn write(directory: &Path, report: &Report) -> Result<(), FileError> {
    fs::create_dir_all(directory).map_err(FileError::at(directory))?;
    let path = directory.join("report.json");
    let json = serde_json::to_string_pretty(&finite(report)).map_err(|error| FileError::at(&path)(error.into()))?;
    put(&path, &(json + "\n"))?;
    put(&directory.join("report.html"), &html(report))?;
    put(&directory.join("summary.md"), &summary_md(report))?;
    put(&directory.join("junit.xml"), &junit(report))
}

/// The report of `directory`, to be drawn again or compared. Errors: there is none, or it is not one.
pub fn read(directory: &Path) -> Result<Report, FileError> {
    let path = directory.join("report.json");
    let text = fs::read(&path).map_err(FileError::at(&path))?;
    serde_json::from_slice(&text).map_err(|error| FileError::at(&path)(error.into()))
}

/// Writes `text` to `path`: readers see the file before or after, nothing between.
pub(super) fn put(path: &Path, text: &str) -> Result<(), FileError> {
    let new = path.with_extension("new");
    fs::write(&new, text).map_err(FileError::at(&new))?;
    fs::rename(&new, path).map_err(FileError::at(path))
}

/// `report` with numbers that JSON can hold.
fn finite(report: &Report) -> Report {
    let mut report = report.clone();
    for figure in &mut report.figures {
        figure.bands.retain(|band| !band.from.is_nan() && !band.to.is_nan());
        for band in &mut figure.bands {
            for end in [&mut band.from, &mut band.to] {
                *end = end.clamp(f64::MIN, f64::MAX);
            }
        }
        match &mut figure.kind {
            Kind::Lines { series } | Kind::Bars { series, .. } => {
                for of in series {
                    of.points.retain(|point| point.x.is_finite());
                    of.points.iter_mut().for_each(clear);
                }
            }
            Kind::Heat { cells, .. } => cells.retain(|cell| cell.value.is_finite()),
            Kind::Strip { lanes } => {
                for lane in lanes {
                    lane.spans.retain(|span| [span.from, span.to, span.share].iter().all(|of| of.is_finite()));
                }
            }
            Kind::Timeline { lanes } => {
                for lane in lanes {
                    lane.ops.retain(|op| op.from.is_finite());
                    lane.ops.iter_mut().for_each(|op| op.to = op.to.filter(|to| to.is_finite()));
                }
            }
        }
    }
    report
}

fn clear(point: &mut Point) {
    for of in [&mut point.y, &mut point.lo, &mut point.hi] {
        *of = of.filter(|of| of.is_finite());
    }
}
