//! Many tests at once: how sure each must be so that all together raise a false alarm in 5 % of comparisons at most.
//! Holm (1979), after Tarone (1990): tests whose runs are too few to ever be that sure do not count, and are said to decide nothing.
//! Invariant: an adjusted p is never below its p.

use super::ALPHA;

/// What came of all.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Family {
    /// In the order given; `None`: not tested, or too few runs to decide.
    pub(super) adjusted: Vec<Option<f64>>,
    /// What the least p of a test must not be above for it to decide.
    pub(super) level: f64,
    /// The same, were all of them to count.
    pub(super) level_of_all: f64,
}

/// `tests`: p and the least p that its runs could bring.
pub(super) fn adjusted(tests: &[Option<(f64, f64)>]) -> Family {
    let decidable_at = |level: f64| tests.iter().flatten().filter(|(_, p_min)| *p_min <= level).count();
    let all = tests.iter().flatten().count();
    // Tarone: the least k so that no more than k tests can reach ALPHA / k.
    let count = (1..=all.max(1)).find(|k| decidable_at(ALPHA / *k as f64) <= *k).unwrap_or(all.max(1));
    let level = ALPHA / count as f64;
    let mut order: Vec<(usize, f64)> = Vec::new();
    for (index, test) in tests.iter().enumerate() {
        if let Some((p, p_min)) = test
            && *p_min <= level
        {
            order.push((index, *p));
        }
    }
    order.sort_by(|one, other| one.1.total_cmp(&other.1));
    let mut adjusted = vec![None; tests.len()];
    let mut greatest: f64 = 0.0;
    for (rank, (index, p)) in order.iter().enumerate() {
        greatest = greatest.max(p * (count.saturating_sub(rank)).max(1) as f64).min(1.0);
        if let Some(of) = adjusted.get_mut(*index) {
            *of = Some(greatest);
        }
    }
    Family { adjusted, level, level_of_all: ALPHA / all.max(1) as f64 }
}

/// So many runs on each side can bring a p of `level` by ranks, one way.
pub(super) fn runs_needed(level: f64) -> usize {
    (2..40).find(|runs| super::ranks::least_p(*runs, *runs) <= level).unwrap_or(40)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::{adjusted, runs_needed};

    #[test]
    fn holm_multiplies_the_least_p_by_the_number_of_tests_and_keeps_the_order() {
        let family = adjusted(&[Some((0.01, 0.0)), Some((0.04, 0.0)), None, Some((0.03, 0.0))]);
        let rounded: Vec<Option<i64>> =
            family.adjusted.iter().map(|p| p.map(|p| (p * 1000.0).round() as i64)).collect();
        assert_eq!(rounded, [Some(30), Some(60), None, Some(60)]);
    }

    #[test]
    fn tests_that_can_never_be_sure_enough_do_not_burden_the_others() {
        let mut tests = vec![Some((0.0079, 0.0079)); 60];
        tests.push(Some((0.001, 1e-9)));
        let family = adjusted(&tests);
        assert_eq!(family.adjusted.iter().filter(|of| of.is_none()).count(), 60);
        assert!(family.adjusted[60].unwrap() < 0.01, "{:?}", family.adjusted[60]);
        assert_eq!(runs_needed(family.level_of_all), 7);
    }
}
