//! How much less a series says than as many independent values would: operations that were slow together count as fewer.
//! A percentile's interval hangs on how many values lie below it. Of independent ones that number varies as the binomial has it; of others by the
//! sum of all autocorrelations more (Flegal and Jones, "Implementing MCMC", 2011), which is the factor here. Its inverse times the count is the
//! effective sample size.
//! The sum is Geyer's initial monotone sequence ("Practical Markov chain Monte Carlo", 1992): pairs of neighbouring lags, as long as they are
//! positive, none above the one before. Long series are first added up in blocks, which leaves the variance of their sum as it is.
//! Invariant: never below 1, so that no interval is narrower than that of independent values.

/// Blocks of a long series: bounds the cost to so many times the lags that matter.
const BLOCKS_MAX: usize = 4_096;
/// Lags beyond this part of a series say nothing.
const LAGS_PART: usize = 4;

/// By what the variance of the number of hits exceeds that of independent ones. `is_hit`: each value, in the order of time.
pub(super) fn inflation(is_hit: impl ExactSizeIterator<Item = bool>) -> f64 {
    let count = is_hit.len();
    let length = count.div_ceil(BLOCKS_MAX).max(1);
    let mut blocks = vec![0.0; count / length];
    // What does not fill a block is left out.
    for (place, _) in is_hit.enumerate().filter(|(_, is_hit)| *is_hit) {
        blocks.get_mut(place / length).into_iter().for_each(|block| *block += 1.0);
    }
    let share = blocks.iter().sum::<f64>() / (blocks.len() * length).max(1) as f64;
    let independent = length as f64 * share * (1.0 - share);
    if independent <= 0.0 {
        return 1.0;
    }
    let mean = share * length as f64;
    blocks.iter_mut().for_each(|block| *block -= mean);
    (long_run_variance(&blocks) / independent).max(1.0)
}

/// Of centred values: their variance and twice all covariances with later ones.
fn long_run_variance(values: &[f64]) -> f64 {
    let covariance = |lag: usize| {
        let later = values.iter().skip(lag);
        values.iter().zip(later).map(|(one, other)| one * other).sum::<f64>() / values.len().max(1) as f64
    };
    let (mut sum, mut last) = (0.0, f64::INFINITY);
    for pair in 0..(values.len() / LAGS_PART / 2).max(1) {
        let both = (covariance(2 * pair) + covariance(2 * pair + 1)).min(last);
        if both <= 0.0 {
            break;
        }
        sum += both;
        last = both;
    }
    2.0 * sum - covariance(0)
}

#[cfg(test)]
mod tests {
    use super::{BLOCKS_MAX, inflation};

    /// `count` values in groups of `length` that are alike, hits by the bits of a generator.
    fn groups(count: usize, length: usize) -> Vec<bool> {
        let mut state = 9_u64;
        let mut bit = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state >> 40 & 1 == 1
        };
        let mut now = false;
        let value = |place: usize| {
            now = if place.is_multiple_of(length) { bit() } else { now };
            now
        };
        (0..count).map(value).collect()
    }

    #[test]
    fn values_that_come_in_groups_count_as_one_each() {
        for (count, length) in [(4_000, 1), (4_000, 10), (200_000, 1), (200_000, 40), (BLOCKS_MAX * 100, 500)] {
            let found = inflation(groups(count, length).into_iter());
            let truth = length as f64;
            assert!((0.8 * truth..1.25 * truth + 0.2).contains(&found), "{count} in groups of {length}: {found}");
        }
    }

    #[test]
    fn where_nothing_varies_or_neighbours_differ_it_is_one() {
        assert_eq!(inflation(std::iter::empty::<bool>()), 1.0);
        assert_eq!(inflation(vec![true; 50].into_iter()), 1.0);
        assert_eq!(inflation((0..1_000).map(|place| place % 2 == 0)), 1.0);
    }
}
