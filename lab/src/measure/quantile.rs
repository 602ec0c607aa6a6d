//! Percentiles of latencies, exactly, with the operations that got no answer (research/lab.md 3.2.4, 3.13).
//! Those are slower than all that were answered: a percentile is the time within which that share of all operations was answered, and where
//! so many were not, a lower bound: what was waited. So one that was given up never lowers a percentile, however soon that was.
//! Intervals: order statistics, 95 %, by the normal approximation of the binomial, widened where operations were slow together (`correlation`):
//! under faults they are not independent. None where a rank falls off the end.

use crate::metrics::Metric;

mod correlation;

/// The percentiles that are told: share, word.
pub(super) const TOLD: [(f64, &str); 4] = [(0.5, "p50"), (0.95, "p95"), (0.99, "p99"), (0.999, "p999")];

/// Latencies in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Latencies {
    answered: Vec<u64>,
    silent: Vec<u64>,
    /// All of them in the order in which they came; without an answer: the greatest number.
    series: Vec<u64>,
}

/// A value of some rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) ns: u64,
    pub(super) is_at_least: bool,
}

impl Reading {
    pub(super) fn ms(self) -> f64 {
        self.ns as f64 / 1e6
    }
}

impl Latencies {
    /// Of `all`, in the order of time: latency, and whether it was answered.
    pub(super) fn of(all: impl Iterator<Item = (u64, bool)>) -> Self {
        let mut latencies = Self::default();
        for (ns, is_answered) in all {
            if is_answered { &mut latencies.answered } else { &mut latencies.silent }.push(ns);
            latencies.series.push(if is_answered { ns } else { u64::MAX });
        }
        latencies.answered.sort_unstable();
        latencies.silent.sort_unstable();
        latencies
    }

    pub(super) fn count(&self) -> usize {
        self.answered.len() + self.silent.len()
    }

    /// The value of `rank`, from 1; `None`: there is none.
    fn at(&self, rank: usize) -> Option<Reading> {
        let place = rank.checked_sub(1)?;
        if let Some(ns) = self.answered.get(place) {
            return Some(Reading { ns: *ns, is_at_least: false });
        }
        let waited = *self.silent.get(place - self.answered.len())?;
        let ns = self.answered.last().map_or(waited, |slowest| waited.max(*slowest));
        Some(Reading { ns, is_at_least: true })
    }

    /// The value that a share `quantile` of all do not exceed.
    pub(super) fn quantile(&self, quantile: f64) -> Option<Reading> {
        self.at(rank(self.count(), quantile))
    }

    /// The greatest.
    pub(super) fn max(&self) -> Option<Reading> {
        self.at(self.count())
    }

    /// The share that was answered within `ns`.
    pub(super) fn within(&self, ns: u64) -> f64 {
        self.answered.partition_point(|answered| *answered <= ns) as f64 / self.count().max(1) as f64
    }

    /// A percentile in milliseconds, with its interval.
    pub(super) fn metric(&self, quantile: f64) -> Option<Metric> {
        let Reading { is_at_least, .. } = self.quantile(quantile)?;
        let value = self.quantile(quantile)?.ms();
        Some(Metric { value, interval: self.interval(quantile), share: None, is_at_least })
    }

    /// Where a percentile lies with 95 %, in milliseconds.
    pub(super) fn interval(&self, quantile: f64) -> Option<(f64, f64)> {
        self.interval_of(quantile, self.inflation(quantile)?)
    }

    /// By what the number of operations below a percentile varies more than if they were independent.
    fn inflation(&self, quantile: f64) -> Option<f64> {
        let Reading { ns, is_at_least } = self.quantile(quantile)?;
        let limit = if is_at_least { u64::MAX - 1 } else { ns };
        Some(correlation::inflation(self.series.iter().map(|ns| *ns <= limit)))
    }

    fn interval_of(&self, quantile: f64, inflation: f64) -> Option<(f64, f64)> {
        const Z: f64 = 1.959_964;
        let count = self.count() as f64;
        let (middle, half) = (count * quantile, Z * (count * quantile * (1.0 - quantile) * inflation).sqrt());
        let (low, high) = ((middle - half).floor(), (middle + half).ceil() + 1.0);
        if low < 1.0 || high > count {
            return None;
        }
        Some((self.at(low as usize)?.ms(), self.at(high as usize)?.ms()))
    }
}

/// The rank, from 1, of a percentile of `count` values.
fn rank(count: usize, quantile: f64) -> usize {
    // A product such as 0.99 * 100 may be a little above 99.
    (((count as f64 * quantile) - 1e-9).ceil() as usize).max(1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Latencies, Reading, TOLD};

    const MS: u64 = 1_000_000;

    fn answered(all: impl Iterator<Item = u64>) -> Latencies {
        Latencies::of(all.map(|ns| (ns, true)))
    }

    /// All percentiles and the greatest.
    fn told(latencies: &Latencies) -> Vec<Reading> {
        let some = TOLD.iter().filter_map(|(quantile, _)| latencies.quantile(*quantile));
        some.chain(latencies.max()).collect()
    }

    #[test]
    fn percentiles_are_those_of_the_ranks() {
        let latencies = answered((1..=1000).rev());
        let ns: Vec<u64> = told(&latencies).iter().map(|reading| reading.ns).collect();
        assert_eq!(ns, [500, 950, 990, 999, 1000]);
        assert_eq!(Latencies::default().quantile(0.5), None);
        assert_eq!(latencies.within(250), 0.25);
    }

    /// Flaw 1 of the first measurements: what timed out counted as nothing, and the mean went down.
    #[test]
    fn what_got_no_answer_never_lowers_a_percentile_however_soon_it_was_given_up() {
        let fast: Vec<(u64, bool)> = (1..=200).map(|ms| (ms * MS, true)).collect();
        let before = told(&Latencies::of(fast.iter().copied()));
        for waited in [0, MS, 100 * MS, 5_000 * MS] {
            for count in [1, 10, 150] {
                let lost = std::iter::repeat_n((waited, false), count);
                let after = told(&Latencies::of(fast.iter().copied().chain(lost)));
                for (before, after) in before.iter().zip(&after) {
                    assert!(after.ns >= before.ns, "{count} that waited {waited}: {after:?} is below {before:?}");
                }
            }
        }
    }

    #[test]
    fn a_percentile_that_reaches_what_got_no_answer_is_a_lower_bound() {
        let some = (1..=98).map(|ms| (ms * MS, true)).chain([(500 * MS, false), (2 * MS, false)]);
        let latencies = Latencies::of(some);
        assert_eq!(latencies.quantile(0.5), Some(Reading { ns: 50 * MS, is_at_least: false }));
        assert_eq!(latencies.quantile(0.99), Some(Reading { ns: 98 * MS, is_at_least: true }), "given up after 2 ms");
        assert_eq!(latencies.max(), Some(Reading { ns: 500 * MS, is_at_least: true }));
        assert!(latencies.metric(0.99).unwrap().is_at_least && !latencies.metric(0.5).unwrap().is_at_least);
    }

    #[test]
    fn intervals_hold_the_percentile_in_about_95_of_100_samples() {
        let mut state = 7_u64;
        let mut draw = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state >> 11
        };
        for (quantile, truth) in [(0.5, 0.5), (0.95, 0.95)] {
            let truth = truth * (1_u64 << 53) as f64 / 1e6;
            let holds = |_: &u32| {
                let (low, high) = answered((0..400).map(|_| draw())).interval(quantile).unwrap();
                low <= truth && truth <= high
            };
            let hits = (0..1000).filter(holds).count();
            assert!((930..=990).contains(&hits), "{hits} of 1000 at {quantile}");
        }
        assert_eq!(answered(1..=10).interval(0.99), None, "nobody has seen what is above");
    }

    /// Each value keeps `memory` of the one before; stationary, normal, of variance 1.
    fn autoregressive(state: &mut u64, memory: f64, count: usize) -> Vec<f64> {
        let mut normal = || {
            let mut uniform = || {
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                (*state >> 11) as f64 / (1_u64 << 53) as f64
            };
            (0..12).map(|_| uniform()).sum::<f64>() - 6.0
        };
        let mut last = normal();
        let next = |_| {
            last = memory * last + (1.0 - memory * memory).sqrt() * normal();
            last
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn intervals_of_latencies_that_hang_together_hold_the_percentile_in_about_95_of_100_samples_too() {
        const SAMPLES: usize = 400;
        // Of the normal distribution: the sum of twelve uniform numbers is near enough to it.
        for (memory, count) in [(0.0, 2_000), (0.5, 2_000), (0.9, 5_000)] {
            for (quantile, truth) in [(0.5, 0.0), (0.9, 1.281_552)] {
                let (mut state, mut widened, mut taken_for_independent) = (11, 0, 0);
                for _ in 0..SAMPLES {
                    // A millisecond each, well above zero.
                    let ns = |value: &f64| ((value + 100.0) * 1e6) as u64;
                    let latencies = answered(autoregressive(&mut state, memory, count).iter().map(ns));
                    let has = |(low, high): (f64, f64)| usize::from(low <= truth + 100.0 && truth + 100.0 <= high);
                    widened += has(latencies.interval(quantile).unwrap());
                    taken_for_independent += has(latencies.interval_of(quantile, 1.0).unwrap());
                }
                let told = format!("memory {memory}, {quantile}: {widened}, and {taken_for_independent}, of {SAMPLES}");
                assert!((SAMPLES * 91 / 100..=SAMPLES * 99 / 100).contains(&widened), "{told}");
                match memory {
                    0.9 => assert!(taken_for_independent < SAMPLES * 3 / 4, "{told}"),
                    0.0 => assert!(widened - taken_for_independent <= SAMPLES / 50, "{told}"),
                    _ => assert!(taken_for_independent < widened, "{told}"),
                }
            }
        }
    }

    #[test]
    fn operations_that_were_slow_together_widen_an_interval_and_their_order_alone_does_it() {
        let slow_at = |is_slow: &dyn Fn(u64) -> bool| {
            answered((0..2_000).map(|place| (if is_slow(place) { 1_000 } else { 10 } + place % 7) * MS))
        };
        let (together, apart) = (slow_at(&|place| (500..700).contains(&place)), slow_at(&|place| place % 10 == 0));
        assert_eq!((together.quantile(0.9), together.quantile(0.5)), (apart.quantile(0.9), apart.quantile(0.5)));
        assert_eq!((apart.inflation(0.9), apart.interval(0.9).is_some()), (Some(1.0), true));
        assert!(together.inflation(0.9) > Some(50.0), "{:?}", together.inflation(0.9));
        assert_eq!(together.interval(0.9), None, "one stall shows once what is slow, not two hundred times");
    }
}
