//! Latencies as distributions: percentiles on an axis of nines, and cumulated.

use super::{axis, figure, point, series, with};
use crate::measure::Run;
use crate::measure::latency::{Clock, latencies};
use crate::measure::quantile::Latencies;
use crate::plan::Action;
use crate::report::Figure;
use crate::report::model::{Kind, Point, Scale, Series, Style};

/// Points of a cumulated distribution.
const STEPS: u32 = 200;

/// Response and service by percentile.
pub(super) fn percentiles(run: &Run<'_>) -> Option<Figure> {
    let line = |name: &str, latencies: &Latencies| series(name, Style::Line, by_percentile(latencies));
    let mut lines: Vec<Series> = Vec::new();
    if run.samples.is_open {
        lines.push(line("response", &latencies(&run.samples.all, Clock::Response, |_| true)));
    }
    lines.push(line("service", &latencies(&run.samples.all, Clock::Service, |_| true)));
    let says = "Latency within which a share of all operations was answered. Response: from when an operation was due; service: from when it was sent. \
                They part where operations had to wait. Bars are 95 % intervals.";
    let y = axis("latency (ms)", Scale::Log);
    let empty = figure("latency-percentiles", "Latency by percentile", says, y, Kind::Lines { series: Vec::new() });
    with(Figure { x: axis("percentile", Scale::Nines), ..empty }, lines)
}

/// As far as there is an operation beyond.
fn by_percentile(latencies: &Latencies) -> Vec<Point> {
    const SHARES: [f64; 18] = [
        0.0, 0.25, 0.5, 0.75, 0.9, 0.925, 0.95, 0.975, 0.99, 0.9925, 0.995, 0.9975, 0.999, 0.9995, 0.9999, 0.99995,
        0.99999, 0.999999,
    ];
    let count = latencies.count() as f64;
    let shares = SHARES.into_iter().filter(|share| (1.0 - share) * count >= 1.0 - 1e-9);
    let told = |share: f64| {
        let reading = latencies.quantile(share)?;
        let (lo, hi) = latencies.interval(share).unzip();
        Some(Point { lo, hi, is_at_least: reading.is_at_least, ..point(share, reading.ms()) })
    };
    shares.filter_map(told).collect()
}

/// The share of operations that were answered within a time, by kind.
pub(super) fn cumulative(run: &Run<'_>) -> Option<Figure> {
    let clock = if run.samples.is_open { Clock::Response } else { Clock::Service };
    let of = |kind: Action| {
        let latencies = latencies(&run.samples.all, clock, |sample| sample.kind == kind);
        series(kind.name(), Style::Steps, steps(&latencies))
    };
    let lines = Action::ALL.into_iter().map(of).collect();
    let says = "Share of the operations of each kind that were answered within a time; those that never were keep it below 100 %.";
    let empty = figure(
        "latency-cdf",
        "Latency, cumulated",
        says,
        axis("share of operations", Scale::Share),
        Kind::Lines { series: Vec::new() },
    );
    with(Figure { x: axis("latency (ms)", Scale::Log), ..empty }, lines)
}

fn steps(latencies: &Latencies) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    for step in 1..=STEPS {
        let Some(reading) =
            latencies.quantile(f64::from(step) / f64::from(STEPS)).filter(|reading| !reading.is_at_least)
        else {
            break;
        };
        let x = reading.ms();
        let y = latencies.within(reading.ns);
        match points.last_mut().filter(|last| last.x >= x) {
            Some(last) => last.y = Some(y),
            None => points.push(point(x, y)),
        }
    }
    points
}
