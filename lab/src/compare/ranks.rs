//! Whether two sets of runs differ, by ranks: Mann and Whitney (1947), exact for all ties up to sixty runs, else by the normal with ties corrected.
//! The difference is that of Hodges and Lehmann (1963), with its exact interval where there are no ties.
//! Invariant: nothing is assumed of the numbers but their order. Runs, not requests, are what is counted: those of one run depend on each other.

use super::{RELATIVE_MIN, Tested};

const EXACT_MAX: usize = 60;

/// Compares the runs of `a` with those of `b`; `pooled`: what is told of both if there are too few runs.
pub(super) fn test(a: &[f64], b: &[f64], pooled: (f64, f64)) -> Tested {
    if a.len() < 2 || b.len() < 2 {
        let how = format!("{} and {} runs: at least 2 of each are needed, and 4 to decide anything", a.len(), b.len());
        let (a, b) = pooled;
        return Tested { a, b, difference: b - a, interval: None, p: None, p_min: 1.0, matters: false, how };
    }
    let mut differences: Vec<f64> = b.iter().flat_map(|of_b| a.iter().map(move |of_a| of_b - of_a)).collect();
    differences.sort_by(f64::total_cmp);
    let (middle_a, difference) = (median(a), median(&differences));
    Tested {
        a: middle_a,
        b: median(b),
        difference,
        interval: interval(&differences, a.len(), b.len()),
        p: Some(p_value(a, b)),
        p_min: least_p(a.len(), b.len()),
        matters: difference.abs() >= RELATIVE_MIN * middle_a.abs() && difference != 0.0,
        how: format!("Mann-Whitney, {} and {} runs", a.len(), b.len()),
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
    f64::midpoint(at((sorted.len().max(1) - 1) / 2), at(sorted.len() / 2))
}

/// How likely it is that chance puts the ranks as far apart, both ways.
pub(super) fn p_value(a: &[f64], b: &[f64]) -> f64 {
    let ranks = double_ranks(a, b);
    let all = a.len() + b.len();
    let sum: usize = ranks.iter().take(a.len()).sum();
    // Of twice the ranks: the mean of a sum of `a.len()` of them.
    let mean = a.len() * (all + 1);
    let far = sum.abs_diff(mean);
    if far == 0 {
        return 1.0;
    }
    if all <= EXACT_MAX {
        let counts = sums(&ranks, a.len());
        let total: f64 = counts.iter().sum();
        let as_far = counts.iter().enumerate().filter(|(of, _)| of.abs_diff(mean) >= far);
        return (as_far.map(|(_, count)| count).sum::<f64>() / total).min(1.0);
    }
    let (n, m, all) = (a.len() as f64, b.len() as f64, all as f64);
    let ties: f64 = ties(&ranks).into_iter().map(|tie| (tie * tie * tie - tie) as f64).sum();
    let variance = n * m / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
    super::shares::two_sided(((far as f64 / 2.0 - 0.5) / variance.sqrt()).max(0.0))
}

/// The least p that so many runs can bring: all of one side before all of the other.
pub(super) fn least_p(a: usize, b: usize) -> f64 {
    let ways: f64 = (1..=a).map(|i| (b + i) as f64 / i as f64).product();
    (2.0 / ways).min(1.0)
}

/// Twice the rank of each, those of `a` first; equal values share their mean rank.
fn double_ranks(a: &[f64], b: &[f64]) -> Vec<usize> {
    let all: Vec<f64> = a.iter().chain(b).copied().collect();
    let below = |of: &f64| all.iter().filter(|other| *other < of).count();
    let equal = |of: &f64| all.iter().filter(|other| *other == of).count();
    all.iter().map(|of| 2 * below(of) + equal(of) + 1).collect()
}

fn ties(ranks: &[usize]) -> Vec<usize> {
    let mut sorted = ranks.to_vec();
    sorted.sort_unstable();
    sorted.chunk_by(usize::eq).map(<[usize]>::len).collect()
}

/// In how many ways `chosen` of `ranks` have each sum.
fn sums(ranks: &[usize], chosen: usize) -> Vec<f64> {
    let width = ranks.iter().sum::<usize>() + 1;
    let mut ways = vec![vec![0.0; width]; chosen + 1];
    if let Some(none) = ways.first_mut().and_then(|of| of.first_mut()) {
        *none = 1.0;
    }
    for rank in ranks {
        // From many to few: each rank is taken once.
        for count in (0..chosen).rev() {
            let Some([fewer, more]) = ways.get_mut(count..count + 2) else { continue };
            for (from, to) in fewer.iter().zip(more.iter_mut().skip(*rank)) {
                *to += from;
            }
        }
    }
    ways.pop().unwrap_or_default()
}

/// Where the difference lies with 95 %: as many of the sorted differences from each end as chance explains.
fn interval(differences: &[f64], a: usize, b: usize) -> Option<(f64, f64)> {
    let left_out = if a + b <= EXACT_MAX {
        let distinct: Vec<usize> = (1..=a + b).collect();
        let ways = sums(&distinct, a);
        let total: f64 = ways.iter().sum();
        let mut below = 0.0;
        ways.iter()
            .skip(a * (a + 1) / 2)
            .take_while(|count| {
                below += *count / total;
                below <= 0.025
            })
            .count()
    } else {
        let (n, m) = (a as f64, b as f64);
        (n * m / 2.0 - 1.96 * (n * m * (n + m + 1.0) / 12.0).sqrt()).max(0.0) as usize
    };
    let first = left_out.checked_sub(1)?;
    Some((*differences.get(first)?, *differences.get(differences.len().checked_sub(left_out)?)?))
}
