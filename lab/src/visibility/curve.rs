//! The measured curve: of each bin of times the share of fresh reads with Wilson's interval, made to rise (pool adjacent violators).
//! A sample belongs to the time of the grid that is nearest to when its read really began. More time never makes a read staler, so the fit
//! rises, and so does what is certain: the lower bound at a time is the greatest of the bins up to it.

use super::Sample;
use crate::metrics::Metric;
use crate::offline::wilson;

/// Reads that began at about one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// Of the grid.
    pub planned_ms: f64,
    /// Mean of when they really began.
    pub t_ms: f64,
    /// Reads that brought the write.
    pub fresh: u64,
    /// All.
    pub all: u64,
    /// The share of fresh ones.
    pub rate: f64,
    /// Where that lies with 95 % (Wilson).
    pub interval: (f64, f64),
    /// The rising curve that is nearest to the rates, weighed by the numbers of reads.
    pub fit: f64,
}

/// All bins that have reads, in the order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// In the order of time.
    pub bins: Vec<Bin>,
}

impl Curve {
    /// Of `samples`, by the times of `grid_ms`.
    pub fn of(grid_ms: &[f64], samples: &[Sample]) -> Self {
        let mut grid = grid_ms.to_vec();
        grid.sort_by(f64::total_cmp);
        grid.dedup();
        let mut bins: Vec<Bin> = grid.iter().enumerate().filter_map(|(place, _)| bin(&grid, place, samples)).collect();
        let fitted = rising(&bins.iter().map(|bin| (bin.rate, bin.all as f64)).collect::<Vec<_>>());
        bins.iter_mut().zip(fitted).for_each(|(bin, fit)| bin.fit = fit);
        Self { bins }
    }

    /// The first time at which at least `share` of reads are fresh, with 95 %; a lower bound, the last time of all, if that was not
    /// reached. `None`: nothing was read.
    pub fn reaches(&self, share: f64) -> Option<Metric> {
        match self.bins.iter().find(|bin| bin.interval.0 >= share) {
            Some(bin) => Some(Metric::of(bin.t_ms)),
            None => self.bins.last().map(|bin| Metric { is_at_least: true, ..Metric::of(bin.t_ms) }),
        }
    }

    /// The root of the mean square of what the prediction is off by, bin by bin; as shares. `None`: nothing was read.
    pub(super) fn rmse(&self, fresh_at: &dyn Fn(f64) -> f64, samples: &[Sample]) -> Option<f64> {
        let grid: Vec<f64> = self.bins.iter().map(|bin| bin.planned_ms).collect();
        let off = |(place, bin): (usize, &Bin)| {
            let own = of_bin(&grid, place, samples);
            let mean = own.iter().map(|sample| fresh_at(sample.t_ms)).sum::<f64>() / own.len().max(1) as f64;
            (bin.rate - mean).powi(2)
        };
        let squares: f64 = self.bins.iter().enumerate().map(off).sum();
        (!self.bins.is_empty()).then(|| (squares / self.bins.len() as f64).sqrt())
    }
}

/// The samples that are nearest to a time of `grid`.
fn of_bin(grid: &[f64], place: usize, samples: &[Sample]) -> Vec<Sample> {
    let between = |one: Option<&f64>, other: Option<&f64>| Some(f64::midpoint(*one?, *other?));
    let from = place.checked_sub(1).and_then(|before| between(grid.get(before), grid.get(place))).unwrap_or(0.0);
    let to = between(grid.get(place), grid.get(place + 1)).unwrap_or(f64::INFINITY);
    samples.iter().filter(|sample| (from..to).contains(&sample.t_ms)).copied().collect()
}

fn bin(grid: &[f64], place: usize, samples: &[Sample]) -> Option<Bin> {
    let own = of_bin(grid, place, samples);
    let (all, fresh) = (own.len() as u64, own.iter().filter(|sample| sample.is_fresh).count() as u64);
    let (interval, rate) = (wilson(fresh, all)?, fresh as f64 / all as f64);
    let t_ms = own.iter().map(|sample| sample.t_ms).sum::<f64>() / all as f64;
    Some(Bin { planned_ms: *grid.get(place)?, t_ms, fresh, all, rate, interval, fit: rate })
}

/// The rising sequence nearest to `values`, each with its weight, in squares.
fn rising(values: &[(f64, f64)]) -> Vec<f64> {
    // Blocks of mean, weight and length; one that is below the block before it is pooled with that.
    let mut blocks: Vec<(f64, f64, usize)> = Vec::new();
    for (value, weight) in values {
        let mut block = (*value, *weight, 1);
        while let Some((mean, weight, count)) = blocks.pop_if(|(mean, ..)| *mean > block.0) {
            let both = weight + block.1;
            block = ((mean * weight + block.0 * block.1) / both, both, count + block.2);
        }
        blocks.push(block);
    }
    blocks.into_iter().flat_map(|(mean, _, count)| std::iter::repeat_n(mean, count)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::{Curve, Sample, rising};
    use crate::visibility::wars::Thresholds;

    fn samples(t_ms: f64, fresh: usize, all: usize) -> Vec<Sample> {
        let one = |number| Sample {
            t_ms,
            planned_ms: t_ms,
            is_fresh: number < fresh,
            write_ms: 1.0,
            read_ms: 1.0,
            writer: 0,
            reader: 1,
        };
        (0..all).map(one).collect()
    }

    /// The nearest rising sequence, by trying all blocks.
    fn brute(values: &[(f64, f64)]) -> Vec<f64> {
        let mut best: (f64, Vec<f64>) = (f64::INFINITY, Vec::new());
        for cuts in 0..1_u32 << (values.len() - 1) {
            let (mut fitted, mut from) = (Vec::new(), 0);
            for end in 1..=values.len() {
                if end < values.len() && cuts & (1 << (end - 1)) == 0 {
                    continue;
                }
                let block = &values[from..end];
                let mean = block.iter().map(|(value, weight)| value * weight).sum::<f64>()
                    / block.iter().map(|(_, weight)| weight).sum::<f64>();
                fitted.extend(std::iter::repeat_n(mean, end - from));
                from = end;
            }
            let off: f64 =
                values.iter().zip(&fitted).map(|((value, weight), fit)| weight * (value - fit).powi(2)).sum();
            if fitted.is_sorted() && off < best.0 - 1e-12 {
                best = (off, fitted);
            }
        }
        best.1
    }

    #[test]
    fn the_fit_is_the_nearest_rising_sequence() {
        let mut state = 9_u64;
        for _ in 0..300 {
            let mut draw = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as f64 / (1_u64 << 24) as f64
            };
            let values: Vec<(f64, f64)> = (0..7).map(|_| (draw(), 0.1 + draw())).collect();
            let (fast, slow) = (rising(&values), brute(&values));
            assert!(
                fast.iter().zip(&slow).all(|(one, other)| (one - other).abs() < 1e-9),
                "{values:?}: {fast:?} {slow:?}"
            );
        }
    }

    #[test]
    fn bins_are_by_when_a_read_really_began_and_a_time_is_reached_by_its_lower_bound() {
        let late = Sample { planned_ms: 0.0, ..samples(9.0, 1, 1)[0] };
        let all = [samples(0.0, 50, 100), samples(10.0, 99, 100), samples(100.0, 400, 400), vec![late]].concat();
        let curve = Curve::of(&[100.0, 0.0, 10.0], &all);
        let counts: Vec<(u64, u64)> = curve.bins.iter().map(|bin| (bin.fresh, bin.all)).collect();
        assert_eq!(counts, [(50, 100), (100, 101), (400, 400)], "the late one is of 10 ms");
        let at = |share| curve.reaches(share).map(|metric| (metric.value.round(), metric.is_at_least));
        assert_eq!((at(0.9), at(0.99), at(0.999)), (Some((10.0, false)), Some((100.0, false)), Some((100.0, true))));
        assert_eq!(Curve::default().reaches(0.9), None);
    }

    #[test]
    fn the_error_of_a_prediction_is_that_of_its_bins() {
        let all = [samples(0.0, 50, 100), samples(10.0, 100, 100)].concat();
        let curve = Curve::of(&[0.0, 10.0], &all);
        // 40 % at once, all by 5 ms: off by 0.1 and 0.
        let predicted = Thresholds::new([vec![-1.0; 40], vec![5.0; 60]].concat());
        let rmse = curve.rmse(&|t| predicted.fresh_at(t), &all).unwrap_or_default();
        assert!((rmse - (0.01_f64 / 2.0).sqrt()).abs() < 1e-12, "{rmse}");
    }
}
