//! Which way of a metric is the better one: one rule, by its name.
//! Invariant: what the rule does not know is `Neither`: it may change, but never become better or worse.
//! Not here: which metrics there are (docs/experiments.md).

/// Which numbers are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Greater ones.
    Higher,
    /// Smaller ones.
    Lower,
    /// Neither by itself.
    Neither,
}

/// What is better of the metric `name` (docs/experiments.md has all); of a name that is not known, neither.
pub fn better(name: &str) -> Better {
    let parts: Vec<&str> = name.split('.').collect();
    let parts = match parts.as_slice() {
        ["phase", _, rest @ ..] => rest,
        all => all,
    };
    match parts {
        ["availability", "degraded", ..] => Better::Lower,
        ["availability", .., "ratio"] | ["throughput", "ok_per_s"] | ["linearizable", "valid_keys"] => Better::Higher,
        ["convergence", .., "converged", "share"] | ["visibility", "at_0", ..] => Better::Higher,
        // Opportunities, and who did what.
        ["staleness", "reads"] | ["visibility", "samples"] | ["written", ..] => Better::Neither,
        ["convergence", "by", ..] | ["convergence", "live", "by", ..] => Better::Neither,
        ["availability" | "latency" | "service" | "errors" | "staleness" | "values" | "conflicts" | "siblings", ..] => {
            Better::Lower
        }
        [
            "sessions" | "linearizable" | "gamma" | "delta" | "lost" | "late" | "wrong" | "convergence" | "visibility",
            ..,
        ] => Better::Lower,
        _ => Better::Neither,
    }
}

#[cfg(test)]
mod tests {
    use super::{Better, better};
    use crate::metrics::NAMES;

    #[test]
    fn more_answers_and_fresher_reads_are_better_and_so_is_less_waiting() {
        for name in [
            "throughput.ok_per_s",
            "availability.get.ratio",
            "availability.side.minority.ratio",
            "convergence.converged.share",
            "convergence.live.converged.share",
            "visibility.at_0.rate",
            "linearizable.valid_keys",
            "phase.cut.availability.ratio",
        ] {
            assert_eq!(better(name), Better::Higher, "{name}");
        }
        for name in [
            "latency.get.p99_ms",
            "staleness.rate",
            "phase.cut.latency.put.p50_ms",
            "availability.longest_gap_s",
            "availability.degraded.ratio",
            "errors.timeout.count",
            "linearizable.invalid_keys",
            "gamma.max_ms",
            "service.get.p99_ms",
            "wrong.count",
            "visibility.t99_ms",
            "visibility.failed.count",
            "convergence.live.all_s",
        ] {
            assert_eq!(better(name), Better::Lower, "{name}");
        }
        for name in ["convergence.by.hints.share", "convergence.live.by.hints.share", "anything.else", ""] {
            assert_eq!(better(name), Better::Neither, "{name}");
        }
    }

    #[test]
    fn of_every_measurement_a_side_is_chosen_but_of_opportunities_and_of_who_did_what() {
        let neither: Vec<&str> = NAMES.iter().copied().filter(|name| better(name) == Better::Neither).collect();
        let expected = [
            "throughput.offered_per_s",
            "staleness.reads",
            "written.{acknowledged,unknown}.count",
            "convergence.by.{hints,read_repair,anti_entropy}.share",
            "convergence.live.by.{hints,read_repair,anti_entropy}.share",
            "visibility.samples",
        ];
        assert_eq!(neither, expected);
    }
}
