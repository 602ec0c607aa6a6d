//! Several runs of one cell as one (research/lab.md 3.13).
//! Shares: hits and opportunities are added, and Wilson's interval is that of the sum. Counts are added. Of greatest values the greatest
//! counts. All else: the median of the runs, with the interval between two of them that holds the median of all such runs with 95 %
//! (order statistics); of fewer than six runs it is from the least to the greatest, which holds it with 1 - 2^(1-n): 94 % of five.
//! A run in which something was not measured has no part in it; percentiles are never averaged.

use super::{Metric, Metrics};

/// One cell out of its runs.
pub fn pool(runs: &[&Metrics]) -> Metrics {
    let mut pooled = Metrics::new();
    for name in runs.iter().flat_map(|run| run.keys()) {
        if pooled.contains_key(name) {
            continue;
        }
        let some: Vec<Metric> = runs.iter().filter_map(|run| run.get(name)).copied().collect();
        if let Some(metric) = one(name, some) {
            pooled.insert(name.clone(), metric);
        }
    }
    pooled
}

fn one(name: &str, mut some: Vec<Metric>) -> Option<Metric> {
    if let [only] = some.as_slice() {
        return Some(*only);
    }
    if let Some(shares) = some.iter().map(|metric| metric.share).collect::<Option<Vec<_>>>() {
        let (hits, all) = shares.iter().fold((0, 0), |(hits, all), (more, of)| (hits + more, all + of));
        return if name.ends_with(".per_million") { Metric::per_million(hits, all) } else { Metric::share(hits, all) };
    }
    some.sort_by(|one, other| one.value.total_cmp(&other.value));
    let is_at_least = some.iter().any(|metric| metric.is_at_least);
    if is_count(name) {
        return Some(Metric { is_at_least, ..Metric::of(some.iter().map(|metric| metric.value).sum()) });
    }
    if is_greatest(name) {
        return Some(Metric { is_at_least, ..Metric::of(some.last()?.value) });
    }
    median(&some)
}

/// Of values in ascending order.
fn median(sorted: &[Metric]) -> Option<Metric> {
    let at = |rank: usize| sorted.get(rank).map(|metric| metric.value);
    let count = sorted.len();
    let (low, high) = ((count - 1) / 2, count / 2);
    let rank = rank_below(count);
    Some(Metric {
        value: f64::midpoint(at(low)?, at(high)?),
        interval: Some((at(rank)?, at(count - 1 - rank)?)),
        share: None,
        // A bound below the middle may stand for a value above it.
        is_at_least: sorted.iter().take(high + 1).any(|metric| metric.is_at_least),
    })
}

/// The greatest rank r, from 0, such that the median lies outside of the values of rank r and n-1-r with 5 % at most; 0 if none does.
fn rank_below(count: usize) -> usize {
    let n = i32::try_from(count).unwrap_or(i32::MAX);
    // Probabilities of a fair coin's heads, from the least on.
    let (mut term, mut below, mut rank) = (0.5_f64.powi(n), 0.0, 0);
    for heads in 0..count / 2 {
        below += term;
        if below > 0.025 {
            break;
        }
        rank = heads;
        term *= (count - heads) as f64 / (heads + 1) as f64;
    }
    rank
}

/// Of several runs, the sum.
pub(super) fn is_count(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let is_value = name.starts_with("values.") && !matches!(last, "rate" | "share");
    is_value
        || last.ends_with("_keys")
        || matches!(last, "count" | "reads" | "stale" | "violations" | "false" | "samples")
}

/// Of several runs, the greatest.
fn is_greatest(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    matches!(last, "max" | "max_ms" | "max_s" | "worst_age_ms" | "longest_gap_s")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::{Metric, Metrics, rank_below};

    fn pool(runs: &[Metrics]) -> Metrics {
        super::pool(&runs.iter().collect::<Vec<_>>())
    }

    fn runs(name: &str, metrics: &[Metric]) -> Vec<Metrics> {
        metrics.iter().map(|metric| Metrics::from([(name.to_owned(), *metric)])).collect()
    }

    fn values(name: &str, values: &[f64]) -> Metric {
        let metrics: Vec<Metric> = values.iter().map(|value| Metric::of(*value)).collect();
        pool(&runs(name, &metrics))[name]
    }

    #[test]
    fn shares_are_pooled_by_their_counts_and_not_by_their_values() {
        let few = Metric::share(1, 2).unwrap();
        let many = Metric::share(0, 998).unwrap();
        let pooled = pool(&runs("staleness.rate", &[few, many]))["staleness.rate"];
        assert_eq!(
            (pooled.value, pooled.share, pooled.interval),
            (0.001, Some((1, 1000)), Metric::share(1, 1000).unwrap().interval)
        );
        let millions = [Metric::per_million(1, 2).unwrap(), Metric::per_million(0, 998).unwrap()];
        assert_eq!(pool(&runs("sessions.x.per_million", &millions))["sessions.x.per_million"].value, 1000.0);
    }

    #[test]
    fn counts_are_added_greatest_values_stay_and_all_else_has_its_median() {
        assert_eq!(values("errors.timeout.count", &[1.0, 2.0, 4.0]).value, 7.0);
        assert_eq!(values("latency.get.max_ms", &[1.0, 9.0, 4.0]).value, 9.0);
        let median = values("latency.get.p99_ms", &[5.0, 1.0, 2.0, 90.0, 3.0]);
        assert_eq!((median.value, median.interval), (3.0, Some((1.0, 90.0))));
        assert_eq!(values("latency.get.p99_ms", &[1.0, 4.0]).value, 2.5);
    }

    #[test]
    fn a_lower_bound_below_the_middle_makes_the_median_one() {
        let bound = |value| Metric { is_at_least: true, ..Metric::of(value) };
        let of = |metrics: &[Metric]| pool(&runs("a.p99_ms", metrics))["a.p99_ms"].is_at_least;
        assert!(of(&[bound(1.0), Metric::of(2.0), Metric::of(3.0)]));
        assert!(!of(&[Metric::of(1.0), Metric::of(2.0), bound(3.0)]));
    }

    #[test]
    fn what_one_run_did_not_measure_is_pooled_of_the_others() {
        let mut runs = runs("a.p99_ms", &[Metric::of(1.0), Metric::of(3.0)]);
        runs.push(Metrics::new());
        assert_eq!(pool(&runs)["a.p99_ms"].value, 2.0);
        assert!(pool(&[]).is_empty());
    }

    #[test]
    fn the_ranks_of_the_medians_interval_are_those_of_the_table_of_signs() {
        // 95 % for n = 6, 8, 9, 10, 12, 20: the sign test's critical values.
        let ranks: Vec<usize> = [2, 5, 6, 8, 9, 10, 12, 20].into_iter().map(rank_below).collect();
        assert_eq!(ranks, [0, 0, 0, 0, 1, 1, 2, 5]);
    }
}
