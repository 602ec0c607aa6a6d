//! The names that metrics can have, as docs/experiments.md has them with what they mean.
//! A pattern's `{a,b}` stands for one of its words, OP for a kind of operation or `all`, PHASE for a phase,
//! SIDE for the nodes of a side of a partition joined by `_`, G for a session guarantee.
//! Invariant: what a run measures has a name of this list; a test compares the list with the docs, and others what runs measured with the list.

use crate::plan::Action;

#[cfg(test)]
mod tests;

/// All of them.
pub(crate) const NAMES: &[&str] = &[
    "throughput.ok_per_s",
    "throughput.offered_per_s",
    "latency.OP.{p50,p95,p99,p999,max}_ms",
    "service.OP.{p50,p95,p99,p999,max}_ms",
    "service.ended.max_ms",
    "phase.PHASE.latency.all.{p50,p95,p99,p999,max}_ms",
    "phase.PHASE.availability.ratio",
    "availability.ratio",
    "availability.OP.ratio",
    "availability.side.SIDE.ratio",
    "availability.longest_gap_s",
    "availability.time_to_first_success_ms",
    "availability.recovery_s",
    "availability.degraded.ratio",
    "errors.{fast_reject,timeout,connection,not_sent}.count",
    "staleness.rate",
    "staleness.causal.rate",
    "staleness.phase.PHASE.rate",
    "staleness.reads",
    "staleness.stale",
    "staleness.age.{p50,p99,max}_ms",
    "staleness.versions.{p50,max}",
    "values.{phantom,future,revived}",
    "values.conflicts",
    "conflicts.rate",
    "siblings.{p99,max}",
    "siblings.false",
    "sessions.G.{violations,per_million,worst_age_ms}",
    "linearizable.{valid,invalid,unknown}_keys",
    "linearizable.lenient.{valid,invalid,unknown}_keys",
    "gamma.{p50,p99,max}_ms",
    "gamma.positive.share",
    "delta.max_ms",
    "written.{acknowledged,unknown}.count",
    "lost.count",
    "lost.rate",
    "late.count",
    "late.max_ms",
    "wrong.count",
    "convergence.{p50,p99,all}_s",
    "convergence.converged.share",
    "convergence.by.{hints,read_repair,anti_entropy}.share",
    "convergence.live.{p50,p99,all}_s",
    "convergence.live.converged.share",
    "convergence.live.by.{hints,read_repair,anti_entropy}.share",
    "visibility.{t90,t99,t999}_ms",
    "visibility.at_0.rate",
    "visibility.samples",
    "visibility.failed.count",
    "visibility.wars.rmse",
    "visibility.wars.poisson.rmse",
    "visibility.wars.independent.rmse",
];

const GUARANTEES: &str = "read_your_writes,monotonic_reads,monotonic_writes,writes_follow_reads";

/// Nearer names than this are worth a question (Jaro and Winkler, 1 is the same).
const NEAR: f64 = 0.8;

/// Why no run with these `phases` measures `name`, with what may have been meant; `None`: it can.
pub fn unknown(name: &str, phases: &[&str]) -> Option<String> {
    let mut nearest: Option<(f64, String)> = None;
    for pattern in NAMES {
        for known in expanded(pattern, phases) {
            if is_of(name, &known) {
                return None;
            }
            let near = strsim::jaro_winkler(name, &known);
            if near >= NEAR && nearest.as_ref().is_none_or(|(best, _)| near > *best) {
                nearest = Some((near, known));
            }
        }
    }
    let meant = nearest.map_or_else(String::new, |(_, known)| format!("; did you mean {known}?"));
    Some(format!("there is no measurement `{name}`{meant}"))
}

/// The pattern with all its words in their places; SIDE stays.
fn expanded(pattern: &str, phases: &[&str]) -> Vec<String> {
    let kinds: Vec<&str> = Action::ALL.iter().map(|kind| kind.name()).chain(["all"]).collect();
    let words = [(".OP.", kinds.join(",")), (".PHASE.", phases.join(",")), (".G.", GUARANTEES.to_owned())];
    let put_in = |pattern: String, (place, words): &(&str, String)| pattern.replace(place, &format!(".{{{words}}}."));
    one_of_each(&words.iter().fold(pattern.to_owned(), put_in))
}

/// Each choice of one word of every `{…}`.
fn one_of_each(pattern: &str) -> Vec<String> {
    let parts = pattern.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)));
    let Some((before, (words, after))) = parts else { return vec![pattern.to_owned()] };
    let afters = one_of_each(after);
    words.split(',').flat_map(|word| afters.iter().map(move |after| format!("{before}{word}{after}"))).collect()
}

/// Whether `name` is `known`, in which SIDE may be anything.
fn is_of(name: &str, known: &str) -> bool {
    match known.split_once("SIDE") {
        None => name == known,
        Some((before, after)) => {
            let side = name.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
            side.is_some_and(|side| !side.is_empty())
        }
    }
}
