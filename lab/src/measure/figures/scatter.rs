//! Every operation as a dot, thinned out: of each part of a series the least and the greatest stay.

use std::collections::BTreeMap;

use super::{axis, point, series, time_figure};
use crate::load::Status;
use crate::measure::Run;
use crate::report::Figure;
use crate::report::model::{Point, Scale, Series, Style};

/// Dots of all series together.
const DOTS_MAX: usize = 4_000;

/// Latency of each operation by kind and outcome.
pub(super) fn operations(run: &Run<'_>) -> Option<Figure> {
    let mut dots: BTreeMap<(&'static str, &'static str), Vec<Point>> = BTreeMap::new();
    for sample in &run.samples.all {
        let outcome = match sample.status {
            Status::Ok => "ok",
            Status::Fail => "fail",
            Status::Info => "info",
        };
        let latency = if run.samples.is_open { sample.response_ns() } else { sample.service_ns().unwrap_or_default() };
        // A logarithm needs something: no clock tells less than a microsecond.
        let dot = point(super::super::seconds(sample.due_ns), (latency as f64 / 1e6).max(1e-3));
        dots.entry((sample.kind.name(), outcome)).or_default().push(dot);
    }
    let mut all: Vec<Series> = dots
        .into_iter()
        .map(|((kind, outcome), points)| series(&format!("{kind} {outcome}"), Style::Dots, points))
        .collect();
    // The rare ones first: what they do not need is left for the others.
    all.sort_by_key(|series| series.points.len());
    let (mut left, mut series_left) = (DOTS_MAX, all.len());
    for series in &mut all {
        series.points = thinned(std::mem::take(&mut series.points), left / series_left.max(1));
        left -= series.points.len();
        series_left -= 1;
    }
    all.sort_by(|one, other| one.name.cmp(&other.name));
    let says = "Each dot is an operation at the time at which it was due: done (ok), certainly not done (fail), or of unknown outcome (info). \
                Of many, the fastest and the slowest of each moment are shown.";
    time_figure(run, "operations", "Operations", says, axis("latency (ms)", Scale::Log), all)
}

/// At most `most` of `points`, in the order of x: the least and the greatest of parts of equal numbers.
pub(super) fn thinned(mut points: Vec<Point>, most: usize) -> Vec<Point> {
    points.sort_by(|one, other| one.x.total_cmp(&other.x));
    if points.len() <= most {
        return points;
    }
    let parts = (most / 2).max(1);
    let size = points.len().div_ceil(parts);
    let extremes = |part: &[Point]| {
        let y = |point: &Point| point.y.unwrap_or_default();
        let places = 0..part.len();
        let compare = |one: &usize, other: &usize| {
            let of = |place: &usize| part.get(*place).map_or(0.0, y);
            of(one).total_cmp(&of(other))
        };
        let (least, greatest) = (places.clone().min_by(compare), places.max_by(compare));
        let mut kept: Vec<usize> = [least, greatest].into_iter().flatten().collect();
        kept.sort_unstable();
        kept.dedup();
        kept.into_iter().filter_map(|place| part.get(place).copied()).collect::<Vec<Point>>()
    };
    points.chunks(size).flat_map(extremes).collect()
}

#[cfg(test)]
mod tests {
    use super::{point, thinned};

    #[test]
    fn what_is_thinned_out_keeps_its_extremes_and_its_order() {
        let y = |x: u32| {
            if x == 7_777 {
                1e6
            } else if x == 123 {
                -5.0
            } else {
                f64::from(x % 10)
            }
        };
        let kept = thinned((0..10_000).map(|x| point(f64::from(x), y(x))).collect(), 400);
        assert!(kept.len() <= 400 && kept.len() > 300, "{}", kept.len());
        assert!(kept.iter().any(|point| point.y == Some(1e6)) && kept.iter().any(|point| point.y == Some(-5.0)));
        assert!(kept.is_sorted_by(|one, other| one.x <= other.x));
        assert_eq!(thinned(kept.clone(), 400), kept, "few are left alone");
    }
}
