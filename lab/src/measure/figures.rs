//! The figures of one run (research/lab.md 4): data for the report, which draws them. Those without data are left out.
//! Invariants: times are seconds since the run began, buckets are one second by when operations were due; bands are on every time axis;
//! whatever is thinned out keeps its least and greatest values.

use super::Run;
use crate::report::model::{Axis, Figure, Kind, Point, Scale, Series, Style};

mod availability;
mod distribution;
mod over_time;
mod scatter;
mod staleness;
mod timeline;

/// All that have data, in the order in which they are told.
pub(super) fn of(run: &Run<'_>) -> Vec<Figure> {
    let figures = [
        over_time::latency(run),
        scatter::operations(run),
        over_time::rate(run),
        distribution::percentiles(run),
        distribution::cumulative(run),
        staleness::over_time(run),
        staleness::ages(run),
        staleness::versions(run),
        staleness::gamma(run),
        availability::strip(run),
        over_time::siblings(run),
        timeline::violation(run),
    ];
    figures.into_iter().flatten().collect()
}

fn axis(label: &str, scale: Scale) -> Axis {
    Axis { label: label.to_owned(), scale }
}

fn time_axis() -> Axis {
    axis("time since the run began (s)", Scale::Linear)
}

fn point(x: f64, y: f64) -> Point {
    Point { x, y: Some(y), ..Point::default() }
}

fn series(name: &str, style: Style, points: Vec<Point>) -> Series {
    Series { name: name.to_owned(), points, style }
}

/// Lines over time with the faults of the run; `None`: there is no point in any.
fn time_figure(run: &Run<'_>, id: &str, title: &str, says: &str, y: Axis, series: Vec<Series>) -> Option<Figure> {
    let figure = Figure {
        x: time_axis(),
        bands: run.bands.clone(),
        ..figure(id, title, says, y, Kind::Lines { series: Vec::new() })
    };
    with(figure, series.into_iter().map(with_gaps).collect())
}

/// A line ends where a second has nothing to tell, and begins anew: nobody measured what would join them.
fn with_gaps(line: Series) -> Series {
    if line.style != Style::Line {
        return line;
    }
    let mut points: Vec<Point> = Vec::new();
    for next in line.points {
        let last = points.last().map(|last| last.x);
        let missing = last.map(|last| last + 1.0).filter(|missing| next.x > missing + 0.5);
        points.extend(missing.map(|x| Point { x, ..Point::default() }));
        points.push(next);
    }
    Series { points, ..line }
}

fn figure(id: &str, title: &str, says: &str, y: Axis, kind: Kind) -> Figure {
    let x = axis("", Scale::Linear);
    Figure { id: id.to_owned(), title: title.to_owned(), says: says.to_owned(), x, y, bands: Vec::new(), kind }
}

fn with(figure: Figure, series: Vec<Series>) -> Option<Figure> {
    let series: Vec<Series> = series.into_iter().filter(|series| !series.points.is_empty()).collect();
    (!series.is_empty()).then_some(Figure { kind: Kind::Lines { series }, ..figure })
}

#[cfg(test)]
mod tests {
    use super::{Style, point, series, with_gaps};

    #[test]
    fn a_line_is_not_drawn_over_seconds_of_which_nothing_is_known() {
        let points = || vec![point(0.5, 1.0), point(1.5, 2.0), point(5.5, 3.0)];
        let line = with_gaps(series("a", Style::Line, points()));
        let told: Vec<(f64, Option<f64>)> = line.points.iter().map(|point| (point.x, point.y)).collect();
        assert_eq!(told, [(0.5, Some(1.0)), (1.5, Some(2.0)), (2.5, None), (5.5, Some(3.0))]);
        assert_eq!(with_gaps(series("a", Style::Dots, points())).points.len(), 3);
    }
}
