//! The metrics that are compared unless others are named: few, so that as few runs as experiments come with can decide (docs/experiments.md).
//! Invariant: with all of them decided by ranks, five runs of one cell on each side suffice (1 / 252 <= 5 % / 12, Holm's first step).

/// By their whole names.
pub const HEADLINES: [&str; 8] = [
    "availability.ratio",
    "convergence.all_s",
    "latency.all.p50_ms",
    "latency.all.p99_ms",
    "lost.count",
    "staleness.rate",
    "throughput.ok_per_s",
    "values.phantom",
];

/// Whether `name` is one.
pub fn is_headline(name: &str) -> bool {
    HEADLINES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::HEADLINES;
    use crate::compare::{ALPHA, Better, better, ranks};

    #[test]
    fn five_runs_decide_all_headlines_and_each_has_a_better_side() {
        assert!(ranks::least_p(5, 5) <= ALPHA / HEADLINES.len() as f64);
        assert!(HEADLINES.iter().all(|name| better(name) != Better::Neither));
    }
}
