//! Whether two sets of runs differ, by ranks: Mann and Whitney (1947), exact for all ties up to sixty runs, else by the normal with ties corrected.
//! The difference is that of Hodges and Lehmann (1963), with its exact interval where there are no ties.
//! Invariant: nothing is assumed of the numbers but their order. Runs, not requests, are what is counted: those of one run depend on each other.

use super::{RELATIVE_MIN, Tail, Tails, Tested};

const EXACT_MAX: usize = 60;
/// Sums of ranks of all strata up to which every one is counted.
const WIDTH_MAX: usize = 20_000;

/// Compares the runs of `a` with those of `b`; `pooled`: what is told of both if there are too few runs.
pub(super) fn test(a: &[f64], b: &[f64], pooled: (f64, f64)) -> Tested {
    if a.len() < 2 || b.len() < 2 {
        let how = format!("{} and {} runs: at least 2 of each are needed, and 3 to decide anything", a.len(), b.len());
        let (a, b) = pooled;
        return Tested { a, b, difference: b - a, interval: None, tails: None, p_floor: 1.0, matters: false, how };
    }
    let mut differences: Vec<f64> = b.iter().flat_map(|of_b| a.iter().map(move |of_a| of_b - of_a)).collect();
    differences.sort_by(f64::total_cmp);
    let (middle_a, difference) = (median(a), median(&differences));
    Tested {
        a: middle_a,
        b: median(b),
        difference,
        interval: interval(&differences, a.len(), b.len()),
        tails: Some(tails(&[(a, b)])),
        p_floor: least_p(a.len(), b.len()),
        matters: difference.abs() >= RELATIVE_MIN * middle_a.abs() && difference != 0.0,
        how: format!("Mann-Whitney, {} and {} runs", a.len(), b.len()),
    }
}

/// Compares one metric over several cells, each with the runs of both: only runs of one cell are ranked among each other (van Elteren 1960).
pub(super) fn test_all(cells: &[(Vec<f64>, Vec<f64>)]) -> Tested {
    let sides: Vec<(&[f64], &[f64])> = cells.iter().map(|(a, b)| (&a[..], &b[..])).collect();
    let middles = |pick: fn(&(&[f64], &[f64])) -> f64| -> Vec<f64> { sides.iter().map(pick).collect() };
    let (of_a, of_b) = (middles(|(a, _)| median(a)), middles(|(_, b)| median(b)));
    let (a, b) = (median(&of_a), median(&of_b));
    let matter = |(a, b): (&f64, &f64)| (b - a).abs() >= RELATIVE_MIN * a.abs() && a != b;
    let matters = of_a.iter().zip(&of_b).filter(|sides| matter(*sides)).count() * 2 >= sides.len();
    Tested {
        a,
        b,
        difference: b - a,
        interval: None,
        tails: Some(tails(&sides)),
        p_floor: sides.iter().map(|(a, b)| least_p(a.len(), b.len())).product(),
        matters,
        how: format!("Mann-Whitney in each of {} cells, added up", sides.len()),
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
    f64::midpoint(at((sorted.len().max(1) - 1) / 2), at(sorted.len() / 2))
}

/// How likely it is that chance puts the ranks so far apart, each way; of several strata their sums are added up.
pub(super) fn tails(strata: &[(&[f64], &[f64])]) -> Tails {
    let ranks: Vec<Vec<usize>> = strata.iter().map(|(a, b)| double_ranks(a, b)).collect();
    let sum: usize = ranks.iter().zip(strata).map(|(ranks, (a, _))| ranks.iter().take(a.len()).sum::<usize>()).sum();
    let is_small = strata.iter().all(|(a, b)| a.len() + b.len() <= EXACT_MAX);
    if is_small && ranks.iter().flatten().sum::<usize>() <= WIDTH_MAX {
        let one = ranks.iter().zip(strata).map(|(ranks, (a, _))| sums(ranks, a.len()));
        return exact(&one.reduce(|all, next| convolved(&all, &next)).unwrap_or_default(), sum);
    }
    let (mean, variance) = ranks
        .iter()
        .zip(strata)
        .map(|(ranks, (a, b))| moments(ranks, a.len(), b.len()))
        .fold((0.0, 0.0), |(mean, variance), of| (mean + of.0, variance + of.1));
    let far = (sum as f64 / 2.0 - mean) / variance.sqrt().max(f64::MIN_POSITIVE);
    let tail = (super::shares::two_sided(far.abs()) / 2.0).min(1.0);
    let [less, greater] = if far > 0.0 { [tail, 1.0 - tail] } else { [1.0 - tail, tail] };
    Tails { less: Tail { p: less, p_min: 0.0 }, greater: Tail { p: greater, p_min: 0.0 } }
}

/// `ways`: of each sum of the ranks of the first side. The second is greater where that is small.
fn exact(ways: &[f64], sum: usize) -> Tails {
    let total: f64 = ways.iter().sum();
    let is_possible = |ways: &&f64| **ways > 0.0;
    let least = |edge: Option<&f64>| edge.copied().unwrap_or(total) / total;
    let upto = ways.iter().take(sum + 1).sum::<f64>() / total;
    let from = ways.iter().skip(sum).sum::<f64>() / total;
    Tails {
        less: Tail { p: from.min(1.0), p_min: least(ways.iter().rev().find(is_possible)) },
        greater: Tail { p: upto.min(1.0), p_min: least(ways.iter().find(is_possible)) },
    }
}

fn convolved(one: &[f64], other: &[f64]) -> Vec<f64> {
    let mut both = vec![0.0; (one.len() + other.len()).saturating_sub(1)];
    for (from, ways) in one.iter().enumerate().filter(|(_, ways)| **ways > 0.0) {
        both.iter_mut().skip(from).zip(other).for_each(|(sum, of_other)| *sum += ways * of_other);
    }
    both
}

/// Mean and variance of the sum of the ranks of the first side, ties corrected.
fn moments(ranks: &[usize], a: usize, b: usize) -> (f64, f64) {
    let (n, m, all) = (a as f64, b as f64, ranks.len() as f64);
    let ties: f64 = ties(ranks).into_iter().map(|tie| (tie * tie * tie - tie) as f64).sum();
    (n * (all + 1.0) / 2.0, n * m / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)).max(1.0)))
}

/// The least p, one way, that so many runs can bring: all of one side before all of the other.
pub(super) fn least_p(a: usize, b: usize) -> f64 {
    let ways: f64 = (1..=a).map(|i| (b + i) as f64 / i as f64).product();
    (1.0 / ways).min(1.0)
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
