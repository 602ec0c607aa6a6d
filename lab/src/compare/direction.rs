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

/// What is better of the metric `name`, without a prefix `phase.NAME.`:
///
/// - neither: numbers of opportunities (ending in `.reads`, `.writes`, `.keys`, `.operations`), what was offered (`offered`), and unknown families;
/// - higher: `throughput`, `availability…ratio` but for `degraded`, and everything `fresh`, `valid_keys` or `seen`;
/// - lower: times (`latency`, `gamma`, `delta`, `convergence`, `recovery`, `lag`), violations (`staleness`, `sessions`, `linearizable`, `values`,
///   `conflicts`, `siblings`, `lost`, `revived`), failures (`errors`), and the rest of `availability`.
pub fn better(name: &str) -> Better {
    let parts: Vec<&str> = name.split('.').collect();
    let parts = match parts.as_slice() {
        ["phase", _, rest @ ..] => rest,
        all => all,
    };
    let (first, last) = (parts.first().copied().unwrap_or_default(), parts.last().copied().unwrap_or_default());
    let has = |word: &str| parts.iter().any(|part| part.split('_').any(|of| of == word));
    if matches!(last, "reads" | "writes" | "keys" | "operations" | "opportunities") || has("offered") {
        return Better::Neither;
    }
    if has("fresh") || has("seen") || last == "valid_keys" {
        return Better::Higher;
    }
    match first {
        "throughput" => Better::Higher,
        "availability" if last == "ratio" && !has("degraded") => Better::Higher,
        "availability" | "latency" | "staleness" | "sessions" | "linearizable" | "values" | "conflicts"
        | "siblings" => Better::Lower,
        "errors" | "gamma" | "delta" | "convergence" | "recovery" | "lag" | "lost" | "revived" | "split_brain" => {
            Better::Lower
        }
        _ => Better::Neither,
    }
}

#[cfg(test)]
mod tests {
    use super::{Better, better};

    #[test]
    fn more_answers_and_fresher_reads_are_better_and_so_is_less_waiting() {
        for name in [
            "throughput.ok_per_s",
            "availability.get.ratio",
            "availability.side.minority.ratio",
            "tvis.10_ms.fresh",
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
        ] {
            assert_eq!(better(name), Better::Lower, "{name}");
        }
        for name in ["staleness.reads", "throughput.offered_per_s", "anything.else", ""] {
            assert_eq!(better(name), Better::Neither, "{name}");
        }
    }
}
