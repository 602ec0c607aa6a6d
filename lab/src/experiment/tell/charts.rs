//! The slices of a grid as figures: lines with intervals over one axis, shades with numbers over two. One metric a figure: no second y axis.

use super::Pooled;
use crate::experiment::grid::Slice;
use crate::experiment::read::Experiment;
use crate::metrics::{Metric, unit_word};
use crate::report::model::{HeatCell, Point, Series, Style};
use crate::report::{Axis, Figure, Kind, Scale};

/// Of all slices.
pub(super) fn of(experiment: &Experiment, pooled: &[Pooled<'_>]) -> Vec<Figure> {
    let slices = experiment.grid.slices.iter();
    slices.flat_map(|slice| slice.spec.charts.iter().filter_map(|metric| chart(slice, metric, pooled))).collect()
}

/// `None`: nothing was measured.
fn chart(slice: &Slice, metric: &str, pooled: &[Pooled<'_>]) -> Option<Figure> {
    let measured: Vec<(&Vec<usize>, &Metric)> = slice
        .places
        .iter()
        .filter_map(|(place, cell)| Some((place, pooled.get(*cell)?.metrics.get(metric)?)))
        .collect();
    if measured.is_empty() {
        return None;
    }
    let axis = |index: usize| slice.spec.axes.get(index).map(|axis| axis.name.clone()).unwrap_or_default();
    let (kind, y) = match slice.labels.as_slice() {
        [columns, rows] => (heat(metric, columns, rows, &measured), Axis { label: axis(1), scale: Scale::Linear }),
        [labels] => (line(metric, labels, &measured), Axis { label: label(metric), scale: Scale::Linear }),
        _ => return None,
    };
    Some(Figure {
        id: format!("{}-{}", slice.spec.name, metric.replace(['.', '_'], "-")),
        title: format!("{}: {}", slice.spec.title, label(metric)),
        says: says(metric, slice.labels.len()),
        x: Axis { label: axis(0), scale: Scale::Linear },
        y,
        bands: Vec::new(),
        kind,
    })
}

fn says(metric: &str, axes: usize) -> String {
    let interval = "with the interval in which the truth lies with 95 %: of shares over all repetitions together (Wilson), of all else over the repetitions";
    match axes {
        1 => format!("{metric} at each setting, {interval}."),
        _ => format!("{metric} at each combination; the second line of a cell says of how many, or the interval."),
    }
}

fn line(metric: &str, labels: &[String], measured: &[(&Vec<usize>, &Metric)]) -> Kind {
    let numbers: Option<Vec<f64>> = labels.iter().map(|label| label.parse().ok()).collect();
    let scale = scale(metric);
    let points = measured.iter().filter_map(|(place, value)| {
        let index = *place.first()?;
        let x = numbers.as_ref().map_or(Some(index as f64), |numbers| numbers.get(index).copied())?;
        let (lo, hi) = value.interval.unzip();
        let (lo, hi) = (lo.map(|lo| lo * scale), hi.map(|hi| hi * scale));
        Some(Point { x, y: Some(value.value * scale), lo, hi, is_at_least: value.is_at_least })
    });
    let series = vec![Series { name: metric.to_owned(), points: points.collect(), style: Style::Line }];
    match numbers {
        Some(_) => Kind::Lines { series },
        None => Kind::Bars { categories: labels.to_vec(), series },
    }
}

fn heat(metric: &str, columns: &[String], rows: &[String], measured: &[(&Vec<usize>, &Metric)]) -> Kind {
    let cell = |(place, value): &(&Vec<usize>, &Metric)| {
        let [column, row] = place.as_slice() else { return None };
        let second = match value.share {
            Some((hits, all)) => format!("{hits} of {all}"),
            None => value.interval_text(metric),
        };
        let first = value.value_text(metric);
        Some(HeatCell { column: *column, row: *row, value: value.value * scale(metric), text: vec![first, second] })
    };
    Kind::Heat { columns: columns.to_vec(), rows: rows.to_vec(), cells: measured.iter().filter_map(cell).collect() }
}

/// Shares are drawn in percent.
fn scale(metric: &str) -> f64 {
    if unit_word(metric) == "%" { 100.0 } else { 1.0 }
}

/// The metric with its unit.
fn label(metric: &str) -> String {
    match unit_word(metric) {
        "" => metric.to_owned(),
        "/s" => format!("{} (1/s)", metric.trim_end_matches("_per_s")),
        unit => format!("{} ({unit})", metric.trim_end_matches("_ms").trim_end_matches("_s")),
    }
}
