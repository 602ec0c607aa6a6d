//! WARS (Bailis et al., VLDB 2012; research/lab.md 3.4): the four delays of a quorum decide whether a read sees a write.
//! W: coordinator to replica, A: its acknowledgement, R: read request, S: response. A write is acknowledged at the W-th smallest of W_i + A_i;
//! the R replicas of the smallest R_i + S_i answer a read; it is fresh t after the acknowledgement iff for one of them ack + t + R_i >= W_i.
//! So each draw has a time from which on it is fresh, and those times are the whole curve (`Thresholds`).
//! As in the paper: no repair, no failures, and a coordinator that is no replica; of this store: `store`.

use crate::plan::Random;

/// The delays of one replica, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Delays {
    /// From the coordinator to the replica.
    pub w: f64,
    /// Of its acknowledgement.
    pub a: f64,
    /// Of a read request.
    pub r: f64,
    /// Of its response.
    pub s: f64,
}

/// From when on each draw is fresh, in the order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thresholds(Vec<f64>);

impl Thresholds {
    /// Of times in any order.
    pub(super) fn new(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        Self(times)
    }

    /// The share of reads that are fresh `t_ms` after the acknowledgement; 0 without draws.
    pub fn fresh_at(&self, t_ms: f64) -> f64 {
        self.0.partition_point(|from| *from <= t_ms) as f64 / self.0.len().max(1) as f64
    }
}

/// `draws` writes with a read each of `n` replicas; `sample` gives the delays of one replica.
pub fn simulate(
    n: usize,
    r: usize,
    w: usize,
    draws: usize,
    seed: u64,
    mut sample: impl FnMut(&mut Random) -> Delays,
) -> Thresholds {
    let mut random = Random::new(seed, 0);
    let mut draw = || {
        let delays: Vec<Delays> = (0..n).map(|_| sample(&mut random)).collect();
        fresh_from(&delays, acknowledged(&delays, w), r)
    };
    Thresholds::new((0..draws).map(|_| draw()).collect())
}

/// When a write is acknowledged: the `w`-th smallest of W + A.
pub(super) fn acknowledged(delays: &[Delays], w: usize) -> f64 {
    let mut acks: Vec<f64> = delays.iter().map(|delays| delays.w + delays.a).collect();
    acks.sort_by(f64::total_cmp);
    acks.get(w.saturating_sub(1)).copied().unwrap_or(f64::INFINITY)
}

/// From when after `acknowledged` on a read by the `r` fastest is fresh.
pub(super) fn fresh_from(delays: &[Delays], acknowledged: f64, r: usize) -> f64 {
    let mut by_answer: Vec<&Delays> = delays.iter().collect();
    by_answer.sort_by(|one, other| (one.r + one.s).total_cmp(&(other.r + other.s)));
    let from = by_answer.into_iter().take(r).map(|delays| delays.w - delays.r - acknowledged);
    from.min_by(f64::total_cmp).unwrap_or(f64::INFINITY)
}

/// The chance that a read misses the last write if nothing ever propagates: C(N-W, R) / C(N, R).
pub fn missed(n: u64, r: u64, w: u64) -> f64 {
    // Each of the R replicas, one after the other, is none of the W.
    (0..r)
        .map(|drawn| n.saturating_sub(w).saturating_sub(drawn) as f64 / n.saturating_sub(drawn).max(1) as f64)
        .product()
}

/// The chance that a read brings one of the last `k` versions, each missed with `missed`.
pub fn within_versions(missed: f64, k: u32) -> f64 {
    1.0 - missed.powf(f64::from(k))
}

#[cfg(test)]
mod tests {
    use super::{Delays, Random, missed, simulate, within_versions};

    const DRAWS: usize = 200_000;

    /// With a chance of `share` Pareto of (smallest, shape), else exponential of the rate.
    fn mixed(random: &mut Random, share: f64, (smallest, shape): (f64, f64), rate: f64) -> f64 {
        let (is_short, u) = (random.unit() < share, 1.0 - random.unit());
        if is_short { smallest / u.powf(1.0 / shape) } else { -u.ln() / rate }
    }

    /// The authors' fit of Yammer's latencies.
    fn yammer(random: &mut Random) -> Delays {
        let w = mixed(random, 0.939, (3.0, 3.35), 0.0028);
        let [a, r, s] = [0, 1, 2].map(|_| mixed(random, 0.982, (1.5, 3.8), 0.0217));
        Delays { w, a, r, s }
    }

    #[test]
    fn the_fit_of_yammer_gives_the_shares_that_are_known() {
        let curve = simulate(3, 1, 1, DRAWS, 7, yammer);
        for (t, share) in [(0.0, 0.887), (10.0, 0.939), (1_000.0, 0.9965)] {
            let fresh = curve.fresh_at(t);
            assert!((fresh - share).abs() < 0.003, "{fresh} at {t} ms, not {share}");
        }
    }

    #[test]
    fn the_closed_form_is_that_of_the_table() {
        let near = |value: f64, known: f64| assert!((value - known).abs() < 5e-5, "{value} {known}");
        near(missed(3, 1, 1), 0.6667);
        near(missed(3, 1, 2), 0.3333);
        near(missed(3, 2, 1), 0.3333);
        near(missed(5, 2, 2), 0.3);
        for (k, within) in [(2, 0.5556), (3, 0.7037), (5, 0.8683), (10, 0.9827)] {
            near(within_versions(missed(3, 1, 1), k), within);
        }
        let overlapping = (1..=7).flat_map(|n| (1..=n).flat_map(move |r| (n + 1 - r..=n).map(move |w| (n, r, w))));
        overlapping.for_each(|(n, r, w)| assert_eq!(missed(n, r, w), 0.0, "N={n} R={r} W={w}"));
    }

    #[test]
    fn a_write_that_reaches_only_those_that_acknowledge_it_is_missed_as_the_closed_form_says() {
        for (n, r, w) in [(3, 1, 1), (3, 1, 2), (3, 2, 1), (5, 2, 2), (5, 3, 3)] {
            // The first W replicas take it at once, the others never; who answers a read is chance.
            let mut place = 0;
            let sample = |random: &mut Random| {
                place += 1;
                let never = if (place - 1) % n < w { 0.0 } else { 1e12 };
                Delays { w: never, a: 0.0, r: 0.0, s: random.unit() }
            };
            let fresh = simulate(n, r, w, 100_000, 3, sample).fresh_at(0.0);
            let known = 1.0 - missed(n as u64, r as u64, w as u64);
            assert!((fresh - known).abs() < 0.006, "N={n} R={r} W={w}: {fresh}, not {known}");
        }
    }
}
