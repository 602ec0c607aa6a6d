//! Latency, rate and siblings in buckets of a second.

use std::collections::BTreeMap;

use super::{axis, point, series, time_figure};
use crate::measure::Run;
use crate::measure::latency::{Clock, latency as latency_of};
use crate::measure::quantile::{Latencies, Reading};
use crate::report::Figure;
use crate::report::model::{Point, Scale, Series, Style};

const SECOND_NS: u64 = 1_000_000_000;

/// Percentiles of the response, second by second.
pub(super) fn latency(run: &Run<'_>) -> Option<Figure> {
    let clock = if run.samples.is_open { Clock::Response } else { Clock::Service };
    let mut buckets: BTreeMap<u64, Vec<(u64, bool)>> = BTreeMap::new();
    for sample in run.samples.all.iter().filter(|sample| !sample.is_refused) {
        buckets.entry(sample.due_ns / SECOND_NS).or_default().extend(latency_of(sample, clock));
    }
    let buckets: Vec<(u64, Latencies)> =
        buckets.into_iter().map(|(second, all)| (second, Latencies::of(all.into_iter()))).collect();
    let line = |name: &str, of: &dyn Fn(&Latencies) -> Option<Reading>| {
        let points = buckets.iter().filter_map(|(second, latencies)| {
            let Reading { is_at_least, .. } = of(latencies)?;
            Some(Point { is_at_least, ..point(middle(*second), of(latencies)?.ms()) })
        });
        series(name, Style::Line, points.collect())
    };
    let lines: Vec<Series> = vec![
        line("p50", &|latencies| latencies.quantile(0.5)),
        line("p95", &|latencies| latencies.quantile(0.95)),
        line("p99", &|latencies| latencies.quantile(0.99)),
        line("max", &Latencies::max),
    ];
    let (what, says) = match clock {
        Clock::Response => {
            ("response time", "From when an operation was due to its end, by the second in which it was due. ")
        }
        Clock::Service => {
            ("service time", "From when an operation was sent to its end, by the second in which it was sent. ")
        }
    };
    let says = says.to_owned() + "What got no answer is slower than all that did; such a point is a lower bound.";
    let y = axis(&format!("{what} (ms)"), Scale::Log);
    time_figure(run, "latency-over-time", "Latency over time", &says, y, lines)
}

/// What was due, and what was done.
pub(super) fn rate(run: &Run<'_>) -> Option<Figure> {
    let count = |at: &dyn Fn(&crate::measure::sample::Sample) -> Option<u64>| {
        let mut buckets: BTreeMap<u64, u64> = BTreeMap::new();
        for ns in run.samples.all.iter().filter_map(at) {
            *buckets.entry(ns / SECOND_NS).or_default() += 1;
        }
        let last = buckets.last_key_value().map_or(0, |(second, _)| second + 1);
        let points =
            (0..last).map(|second| point(middle(second), buckets.get(&second).copied().unwrap_or_default() as f64));
        points.collect::<Vec<Point>>()
    };
    let mut lines = Vec::new();
    if run.samples.is_open {
        lines.push(series("offered", Style::Model, count(&|sample| Some(sample.due_ns))));
    }
    lines.push(series("done", Style::Line, count(&|sample| sample.is_ok().then_some(sample.end_ns))));
    lines.push(series("not done", Style::Line, count(&|sample| (!sample.is_ok()).then_some(sample.end_ns))));
    let says = "Operations that were due in each second, and that ended in it, done or not. Where the second falls behind the first, the rest waits.";
    time_figure(run, "rate", "Offered and achieved rate", says, axis("operations a second", Scale::Linear), lines)
}

/// How many values reads brought; `None`: never more than one.
pub(super) fn siblings(run: &Run<'_>) -> Option<Figure> {
    if run.samples.brought.iter().all(|(_, count)| *count < 2) {
        return None;
    }
    let mut buckets: BTreeMap<u64, (u64, u64, u16)> = BTreeMap::new();
    for (end, count) in &run.samples.brought {
        let (reads, sum, max) = buckets.entry(end / SECOND_NS).or_default();
        (*reads, *sum, *max) = (*reads + 1, *sum + u64::from(*count), (*max).max(*count));
    }
    let mean =
        buckets.iter().map(|(second, (reads, sum, _))| point(middle(*second), *sum as f64 / (*reads).max(1) as f64));
    let max = buckets.iter().map(|(second, (_, _, max))| point(middle(*second), f64::from(*max)));
    let lines = vec![series("most", Style::Line, max.collect()), series("mean", Style::Line, mean.collect())];
    let says = "Values that reads brought, by the second in which they ended. More than one are siblings: concurrent writes that nobody has resolved.";
    time_figure(run, "siblings", "Siblings over time", says, axis("values a read", Scale::Linear), lines)
}

/// The middle of a bucket.
pub(super) fn middle(second: u64) -> f64 {
    second as f64 + 0.5
}
