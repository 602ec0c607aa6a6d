//! Latencies with their censored ones: an operation that got no answer took at least so long, and a percentile that reaches such
//! a value is a lower bound (research/lab.md 3.2.4).
//! Invariant: a value is never recorded smaller than it was, but for the three digits of its histogram.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// A distribution of durations in microseconds.
#[derive(Clone, Debug)]
pub struct Latency {
    histogram: Histogram<u64>,
    censored: u64,
    first_censored: Option<u64>,
}

/// What a percentile says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The value, in microseconds.
    pub us: u64,
    /// Only a lower bound: operations without an answer lie at or below it.
    pub is_at_least: bool,
}

impl Latency {
    /// An empty one for values up to `longest`.
    pub fn new(longest: Duration) -> Self {
        let high = micros(longest).max(1_000);
        let mut histogram = Histogram::new_with_bounds(1, high, 3).unwrap_or_else(|_| fallback());
        // Beyond `longest` it grows rather than cut a value down.
        histogram.auto(true);
        Self { histogram, censored: 0, first_censored: None }
    }

    /// A latency that was seen to its end.
    pub fn record(&mut self, latency: Duration) {
        self.histogram.saturating_record(micros(latency));
    }

    /// One that was given up after `waited`.
    pub fn record_censored(&mut self, waited: Duration) {
        let us = micros(waited);
        self.histogram.saturating_record(us);
        self.censored += 1;
        self.first_censored = Some(self.first_censored.map_or(us, |first| first.min(us)));
    }

    /// All of `other` too.
    pub fn add(&mut self, other: &Self) {
        // A histogram that grows takes every value another one holds.
        let _ = self.histogram.add(&other.histogram);
        self.censored += other.censored;
        self.first_censored = [self.first_censored, other.first_censored].into_iter().flatten().min();
    }

    /// Forgets all values.
    pub fn reset(&mut self) {
        self.histogram.reset();
        (self.censored, self.first_censored) = (0, None);
    }

    /// The value that a share `quantile` (0 to 1) of all do not exceed; `None` of nothing.
    pub fn quantile(&self, quantile: f64) -> Option<Reading> {
        (self.count() > 0).then(|| self.reading(self.histogram.value_at_quantile(quantile)))
    }

    /// The largest value; `None` of nothing.
    pub fn max(&self) -> Option<Reading> {
        (self.count() > 0).then(|| self.reading(self.histogram.max()))
    }

    /// The mean, in microseconds; a lower bound if anything is censored. `None` of nothing.
    pub fn mean_us(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.histogram.mean())
    }

    /// How many were recorded.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// How many of them got no answer.
    pub fn censored(&self) -> u64 {
        self.censored
    }

    /// The histogram itself.
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }

    fn reading(&self, us: u64) -> Reading {
        let first = self.first_censored.map(|first| self.histogram.lowest_equivalent(first));
        let is_at_least = first.is_some_and(|first| us >= first);
        // A lower bound is rounded down.
        Reading { us: if is_at_least { self.histogram.lowest_equivalent(us) } else { us }, is_at_least }
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = if self.is_at_least { ">= " } else { "" };
        let text = match self.us {
            us @ 0..1_000 => format!("{bound}{us} us"),
            us @ 1_000..10_000 => format!("{bound}{:.2} ms", us as f64 / 1e3),
            us @ 10_000..1_000_000 => format!("{bound}{:.1} ms", us as f64 / 1e3),
            us @ 1_000_000..100_000_000 => format!("{bound}{:.2} s", us as f64 / 1e6),
            us => format!("{bound}{:.1} s", us as f64 / 1e6),
        };
        out.pad(&text)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX).max(1)
}

/// For bounds the library refuses, of which `new` has none.
fn fallback() -> Histogram<u64> {
    let mut bits = 3;
    loop {
        match Histogram::new(bits) {
            Ok(histogram) => return histogram,
            Err(_) => bits -= 1,
        }
    }
}
