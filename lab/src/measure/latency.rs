//! Latencies by kind of operation and by phase: `latency.*` is the response, from when an operation was due, in a closed loop the service;
//! `service.*` is from when it was sent. Both are always told, for they differ where the store cannot keep up (research/lab.md 3.2).
//! Left out: what a node refused at once, which took no time and is counted as an error and in availability.

use super::quantile::{Latencies, TOLD};
use super::sample::{Sample, Samples};
use super::{Phase, Setting};
use crate::metrics::{Metric, Metrics};
use crate::plan::Action;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    Response,
    Service,
}

/// Of the operations that `is_wanted`.
pub(super) fn latencies(samples: &[Sample], clock: Clock, is_wanted: impl Fn(&Sample) -> bool) -> Latencies {
    let wanted = samples.iter().filter(|sample| !sample.is_refused && is_wanted(sample));
    Latencies::of(wanted.filter_map(|sample| latency(sample, clock)))
}

/// Latency of one, and whether it was answered.
pub(super) fn latency(sample: &Sample, clock: Clock) -> Option<(u64, bool)> {
    let ns = match clock {
        Clock::Response => Some(sample.response_ns()),
        Clock::Service => sample.service_ns(),
    };
    Some((ns?, sample.is_ok()))
}

/// All of a run.
pub(super) fn metrics(samples: &Samples, setting: &Setting, metrics: &mut Metrics) {
    let headline = if samples.is_open { Clock::Response } else { Clock::Service };
    for (what, clock) in [("latency", headline), ("service", Clock::Service)] {
        for kind in Action::ALL {
            add(
                metrics,
                &format!("{what}.{}", kind.name()),
                &latencies(&samples.all, clock, |sample| sample.kind == kind),
            );
        }
        add(metrics, &format!("{what}.all"), &latencies(&samples.all, clock, |_| true));
    }
    // However it ended: whether an answer came by a deadline is asked of the refusals too.
    let ended = samples.all.iter().filter_map(Sample::service_ns).max();
    metrics.extend(ended.map(|ns| ("service.ended.max_ms".to_owned(), Metric::of(ns as f64 / 1e6))));
    for phase in &setting.phases {
        let of_phase = latencies(&samples.all, headline, |sample| phase.has(sample.due_ns));
        add(metrics, &format!("phase.{}.latency.all", phase.name), &of_phase);
    }
}

fn add(metrics: &mut Metrics, prefix: &str, latencies: &Latencies) {
    let told = TOLD.iter().filter_map(|(quantile, word)| Some((*word, latencies.metric(*quantile)?)));
    let max = latencies.max().map(|reading| Metric { is_at_least: reading.is_at_least, ..Metric::of(reading.ms()) });
    for (word, metric) in told.chain(max.map(|max| ("max", max))) {
        metrics.insert(format!("{prefix}.{word}_ms"), metric);
    }
}

impl Phase {
    /// Whether `ns` after the start of the run lies in it.
    pub(super) fn has(&self, ns: u64) -> bool {
        (self.from_s..self.to_s).contains(&(ns as f64 / 1e9))
    }
}
