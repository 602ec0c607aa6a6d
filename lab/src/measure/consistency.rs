//! What the judges found, as metrics: stale reads, what reads brought, sessions, linearizability, Gamma and Delta, siblings.
//! Times of the judges are nanoseconds. `staleness.rate` is in real time, `staleness.causal.rate` by causes; ages and versions are those of
//! the former. Gamma's percentiles are of the clusters in conflict; where there are none, the greatest is 0 and the others are absent.

use super::{Phase, Run, seconds};
use crate::judges::sessions::Guarantee;
use crate::metrics::{Metric, Metrics};
use crate::offline::{Distance, Spread, StaleReads};

/// All of a run.
pub(super) fn metrics(run: &Run<'_>, metrics: &mut Metrics) {
    let verdict = &run.verdict;
    stale(metrics, &verdict.stale_in_real_time);
    put_share(metrics, "staleness.causal.rate", verdict.stale_by_causes.stale, verdict.stale_by_causes.reads);
    for phase in &run.setting.phases {
        let of = |starts: &[i64]| starts.iter().filter(|start| has(phase, **start)).count() as u64;
        let (stale, reads) = (of(&run.findings.real_time.stale_at), of(&run.findings.real_time.judged_at));
        put_share(metrics, &format!("staleness.phase.{}.rate", phase.name), stale, reads);
    }
    let values = &verdict.values;
    if values.reads > 0 {
        let counts = [
            ("phantom", values.phantom),
            ("future", values.future),
            ("revived", values.revived),
            ("conflicts", values.conflicts),
        ];
        metrics.extend(counts.map(|(word, count)| (format!("values.{word}"), Metric::count(count))));
        metrics.insert("siblings.false".to_owned(), Metric::count(run.findings.false_siblings));
    }
    put_share(metrics, "conflicts.rate", values.conflicts, values.reads);
    siblings(metrics, &run.samples.brought);
    let sessions = &verdict.sessions;
    session(metrics, "read_your_writes", &sessions.read_your_writes);
    session(metrics, "monotonic_reads", &sessions.monotonic_reads);
    session(metrics, "monotonic_writes", &sessions.monotonic_writes);
    session(metrics, "writes_follow_reads", &sessions.writes_follow_reads);
    let reports = [&verdict.registers, &verdict.siblings];
    if reports.iter().any(|report| report.operations > 0) {
        let [valid, invalid, unknown] = reports.iter().fold([0, 0, 0], |[valid, invalid, unknown], report| {
            [valid + report.valid, invalid + report.invalid, unknown + report.unknown]
        });
        let counts = [("valid", valid), ("invalid", invalid), ("unknown", unknown)];
        metrics.extend(counts.map(|(word, count)| (format!("linearizable.{word}_keys"), Metric::count(count as u64))));
    }
    let leniently = &verdict.siblings_leniently;
    if leniently.operations > 0 {
        let counts = [("valid", leniently.valid), ("invalid", leniently.invalid), ("unknown", leniently.unknown)];
        let named =
            |(word, count): (&str, usize)| (format!("linearizable.lenient.{word}_keys"), Metric::count(count as u64));
        metrics.extend(counts.map(named));
    }
    distance(metrics, &verdict.distance);
}

fn put_share(metrics: &mut Metrics, name: &str, hits: u64, all: u64) {
    metrics.extend(Metric::share(hits, all).map(|metric| (name.to_owned(), metric)));
}

fn has(phase: &Phase, start: i64) -> bool {
    u64::try_from(start).is_ok_and(|start| phase.has(start))
}

fn stale(metrics: &mut Metrics, stale: &StaleReads) {
    put_share(metrics, "staleness.rate", stale.stale, stale.reads);
    if stale.reads > 0 {
        metrics.insert("staleness.reads".to_owned(), Metric::count(stale.reads));
        metrics.insert("staleness.stale".to_owned(), Metric::count(stale.stale));
    }
    if let Some(Spread { p50, p99, max }) = stale.age_ns {
        let ages = [("p50_ms", p50), ("p99_ms", p99), ("max_ms", max)];
        metrics.extend(ages.map(|(word, ns)| (format!("staleness.age.{word}"), ms(ns))));
    }
    if let Some(Spread { p50, max, .. }) = stale.versions_behind {
        let versions = [("p50", p50), ("max", max)];
        metrics.extend(versions.map(|(word, count)| (format!("staleness.versions.{word}"), Metric::count(count))));
    }
}

fn siblings(metrics: &mut Metrics, brought: &[(u64, u16)]) {
    let Some(spread) = Spread::of(brought.iter().map(|(_, count)| u64::from(*count)).collect()) else { return };
    metrics.insert("siblings.p99".to_owned(), Metric::count(spread.p99));
    metrics.insert("siblings.max".to_owned(), Metric::count(spread.max));
}

fn session(metrics: &mut Metrics, name: &str, guarantee: &Guarantee) {
    let Some(rate) = Metric::per_million(guarantee.violations, guarantee.opportunities) else { return };
    metrics.insert(format!("sessions.{name}.per_million"), rate);
    metrics.insert(format!("sessions.{name}.violations"), Metric::count(guarantee.violations));
    if guarantee.violations > 0 {
        let age = u64::try_from(guarantee.worst_age).unwrap_or_default();
        metrics.insert(format!("sessions.{name}.worst_age_ms"), ms(age));
    }
}

fn distance(metrics: &mut Metrics, distance: &Distance) {
    if distance.keys == 0 {
        return;
    }
    if let Some(gamma) = distance.gamma_ns {
        metrics.insert("gamma.p50_ms".to_owned(), ms(gamma.p50));
        metrics.insert("gamma.p99_ms".to_owned(), ms(gamma.p99));
    }
    metrics.insert("gamma.max_ms".to_owned(), ms(distance.gamma_ns.map_or(0, |gamma| gamma.max)));
    metrics.insert("delta.max_ms".to_owned(), ms(distance.delta_ns.map_or(0, |delta| delta.max)));
    put_share(metrics, "gamma.positive.share", distance.positive_clusters, distance.clusters);
}

fn ms(ns: u64) -> Metric {
    Metric::of(ns as f64 / 1e6)
}

impl Run<'_> {
    /// What was asked for, and what was done.
    pub(super) fn throughput(&self, metrics: &mut Metrics) {
        let samples = &self.samples;
        let (ok, elapsed) = (samples.all.iter().filter(|sample| sample.is_ok()).count(), seconds(samples.end_ns));
        if elapsed > 0.0 {
            metrics.insert("throughput.ok_per_s".to_owned(), Metric::of(ok as f64 / elapsed));
        }
        if samples.is_open && self.schedule_s() > 0.0 {
            let offered = samples.all.len() as f64 / self.schedule_s();
            metrics.insert("throughput.offered_per_s".to_owned(), Metric::of(offered));
        }
    }
}
