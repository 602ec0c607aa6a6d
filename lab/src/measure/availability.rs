//! Availability (research/lab.md 3.11): what was answered within the deadline, of all that was due; in windows of 1 s by when it was due.
//! A window is unavailable below the threshold of the setting; a window in which nothing was due is neither, and does not end a gap.
//! Of a side of a partition: what was due while it was cut, by the node that was asked. Recovery counts windows from the last heal.

use std::collections::BTreeMap;

use super::sample::{Ending, Sample, Samples};
use super::{Setting, Sides};
use crate::faults::Period;
use crate::metrics::{Metric, Metrics};
use crate::plan::Action;

const SECOND_NS: u64 = 1_000_000_000;

/// Answered in time, of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) ok: u64,
    pub(super) all: u64,
}

impl Share {
    fn add(&mut self, is_ok: bool) {
        self.ok += u64::from(is_ok);
        self.all += 1;
    }

    pub(super) fn ratio(self) -> f64 {
        self.ok as f64 / self.all.max(1) as f64
    }

    fn metric(self) -> Option<Metric> {
        Metric::share(self.ok, self.all)
    }
}

/// It was done, within the deadline if there is one.
pub(super) fn is_available(sample: &Sample, setting: &Setting) -> bool {
    let limit = setting.deadline.map_or(u128::MAX, |deadline| deadline.as_nanos());
    sample.is_ok() && u128::from(sample.response_ns()) <= limit
}

/// Windows of a second from `start_ns` on, by their numbers.
pub(super) fn windows(
    samples: &[Sample],
    setting: &Setting,
    start_ns: u64,
    is_wanted: impl Fn(&Sample) -> bool,
) -> BTreeMap<u64, Share> {
    let mut windows: BTreeMap<u64, Share> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.due_ns >= start_ns && is_wanted(sample)) {
        windows.entry((sample.due_ns - start_ns) / SECOND_NS).or_default().add(is_available(sample, setting));
    }
    windows
}

/// All of a run.
pub(super) fn metrics(samples: &Samples, setting: &Setting, periods: &[Period], sides: &Sides, metrics: &mut Metrics) {
    let share = |is_wanted: &dyn Fn(&Sample) -> bool| {
        let mut share = Share::default();
        samples
            .all
            .iter()
            .filter(|sample| is_wanted(sample))
            .for_each(|sample| share.add(is_available(sample, setting)));
        share.metric()
    };
    let mut put = |name: String, metric: Option<Metric>| metrics.extend(metric.map(|metric| (name, metric)));
    put("availability.ratio".to_owned(), share(&|_| true));
    for kind in Action::ALL {
        put(format!("availability.{}.ratio", kind.name()), share(&|sample| sample.kind == kind));
    }
    for phase in &setting.phases {
        put(format!("phase.{}.availability.ratio", phase.name), share(&|sample| phase.has(sample.due_ns)));
    }
    for side in sides.names() {
        put(format!("availability.side.{side}.ratio"), share(&|sample| sides.is_on(side, sample)));
    }
    let told = || samples.all.iter().filter(|sample| sample.is_ok()).filter_map(|sample| sample.is_degraded);
    let degraded = told().filter(|is_degraded| *is_degraded).count();
    put("availability.degraded.ratio".to_owned(), Metric::share(degraded as u64, told().count() as u64));
    put("availability.longest_gap_s".to_owned(), longest_gap(&windows(&samples.all, setting, 0, |_| true), setting));
    put("availability.time_to_first_success_ms".to_owned(), first_success(samples, periods));
    put("availability.recovery_s".to_owned(), recovery(samples, setting, periods));
    let endings = [
        (Ending::FastReject, "fast_reject"),
        (Ending::Timeout, "timeout"),
        (Ending::Connection, "connection"),
        (Ending::NotSent, "not_sent"),
    ];
    for (ending, word) in endings.into_iter().filter(|_| !samples.all.is_empty()) {
        let count = samples.all.iter().filter(|sample| sample.ending == ending).count();
        put(format!("errors.{word}.count"), Some(Metric::count(count as u64)));
    }
}

/// From the start of the first to the end of the last of unavailable windows that follow each other; 0: none was.
fn longest_gap(windows: &BTreeMap<u64, Share>, setting: &Setting) -> Option<Metric> {
    windows.first_key_value()?;
    let (mut longest, mut since) = (0, None);
    for (second, share) in windows {
        if share.ratio() >= setting.unavailable_below {
            since = None;
            continue;
        }
        let since = *since.get_or_insert(*second);
        longest = longest.max(second + 1 - since);
    }
    Some(Metric::of(longest as f64))
}

/// From the first fault to the end of the first operation after it that was done.
fn first_success(samples: &Samples, periods: &[Period]) -> Option<Metric> {
    let fault = periods.iter().map(|period| period.from_ns).min()?;
    let after = || samples.all.iter().filter(|sample| sample.due_ns >= fault);
    let first = after().filter(|sample| sample.is_ok()).map(|sample| sample.end_ns).min();
    let ms = |ns: u64| (ns - fault) as f64 / 1e6;
    match first {
        Some(end) => Some(Metric::of(ms(end))),
        // Nothing was done any more.
        None => after().next().map(|_| Metric { is_at_least: true, ..Metric::of(ms(samples.end_ns)) }),
    }
}

/// From the last heal to the first window from which on all are available; a lower bound if the last is not.
fn recovery(samples: &Samples, setting: &Setting, periods: &[Period]) -> Option<Metric> {
    let heal = periods.iter().map(|period| period.to_ns).collect::<Option<Vec<_>>>()?.into_iter().max()?;
    let windows = windows(&samples.all, setting, heal, |_| true);
    let last = *windows.last_key_value()?.0;
    let bad = windows.iter().rev().find(|(_, share)| share.ratio() < setting.unavailable_below);
    let seconds = bad.map_or(0, |(second, _)| second + 1);
    Some(Metric { is_at_least: bad.is_some_and(|(second, _)| *second == last), ..Metric::of(seconds as f64) })
}
