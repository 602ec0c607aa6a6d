//! Whether two shares differ: Fisher's exact test where few of them hit or miss, else the score test of two proportions.
//! Requests of one run depend on each other, so one run of each decides nothing, and runs of one side that differ by more than chance make the test as much weaker
//! (quasi-binomial: variance times Pearson's dispersion, and Student's t by its degrees of freedom).
//! Invariant: 0 of n is a measurement, not a missing one. Intervals: Newcombe (1998), method 10.

use super::{SHARE_MIN, Tail, Tails, Tested};
use crate::offline::wilson;

/// Below so many hits or misses in all, the exact test.
const FISHER_BELOW: u64 = 200;

/// Hits of one side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Side {
    hits: u64,
    all: u64,
    /// Pearson's chi-square of its runs against their common share.
    spread: f64,
    /// What that has of degrees of freedom.
    freedom: usize,
    /// How many runs it has.
    runs: usize,
}

impl Side {
    pub(super) fn of((hits, all): (u64, u64), runs: &[(u64, u64)]) -> Self {
        let (run_hits, run_all) = runs.iter().fold((0, 0), |(hits, all), run| (hits + run.0, all + run.1));
        let share = run_hits as f64 / (run_all as f64).max(1.0);
        let of = |(hits, all): &(u64, u64)| {
            let expected = share * *all as f64;
            (*hits as f64 - expected).powi(2) / (expected * (1.0 - share))
        };
        // Where a run expects less than one hit or miss, chi-square says nothing.
        let says = |(_, all): &&(u64, u64)| share.min(1.0 - share) * *all as f64 >= 1.0;
        let counted: Vec<f64> = runs.iter().filter(says).map(of).collect();
        let (spread, freedom) = (counted.iter().sum(), counted.len().saturating_sub(1));
        Self { hits: hits.min(all), all, spread, freedom, runs: runs.len() }
    }

    fn share(self) -> f64 {
        self.hits as f64 / self.all as f64
    }
}

/// Compares two shares.
pub(super) fn test(a: Side, b: Side) -> Tested {
    if a.all == 0 || b.all == 0 {
        return undecided((0.0, 0.0), "one of them is of nothing");
    }
    if a.runs.max(b.runs) < 2 {
        return undecided((a.share(), b.share()), "one run of each: how much runs differ by themselves is not known");
    }
    let freedom = a.freedom + b.freedom;
    let dispersion = if freedom == 0 { 1.0 } else { ((a.spread + b.spread) / freedom as f64).max(1.0) };
    let (hits, all) = (a.hits + b.hits, a.all + b.all);
    let is_exact = hits.min(all - hits) < FISHER_BELOW;
    let difference = b.share() - a.share();
    let (plain, name) =
        if is_exact { (fisher(a, b), "Fisher") } else { (of_normal(two_sided(score(a, b)), difference), "score test") };
    // How much runs differ is itself known from a few only, also where it came out as little as chance has it.
    let tails = match freedom {
        0 => plain,
        _ => plain.weaker(of_normal(student(score(a, b) / dispersion.sqrt(), freedom), difference)),
    };
    let how = if dispersion > 1.0 {
        format!("{name}, runs differ {dispersion:.1} times as much as chance has them")
    } else {
        name.to_owned()
    };
    Tested {
        a: a.share(),
        b: b.share(),
        difference,
        interval: interval(a, b, dispersion),
        tails: Some(tails),
        p_floor: 0.0,
        matters: matters(a.share(), b.share()),
        how: format!("{how}: {} of {} and {} of {}", a.hits, a.all, b.hits, b.all),
    }
}

fn undecided((a, b): (f64, f64), how: &str) -> Tested {
    let how = how.to_owned();
    Tested { a, b, difference: b - a, interval: None, tails: None, p_floor: 1.0, matters: false, how }
}

fn matters(a: f64, b: f64) -> bool {
    let doubled = |a: f64, b: f64| a.max(b) >= 2.0 * a.min(b);
    (b - a).abs() >= SHARE_MIN || (a != b && (doubled(a, b) || doubled(1.0 - a, 1.0 - b)))
}

/// How many standard deviations they are apart.
fn score(a: Side, b: Side) -> f64 {
    let (n, m) = (a.all as f64, b.all as f64);
    let common = (a.hits + b.hits) as f64 / (n + m);
    let variance = common * (1.0 - common) * (1.0 / n + 1.0 / m);
    if variance > 0.0 { (b.share() - a.share()).abs() / variance.sqrt() } else { 0.0 }
}

/// Each way, of how likely both are.
fn of_normal(both: f64, difference: f64) -> Tails {
    let (near, far) = (Tail { p: both / 2.0, p_min: 0.0 }, Tail { p: 1.0 - both / 2.0, p_min: 0.0 });
    if difference > 0.0 { Tails { less: far, greater: near } } else { Tails { less: near, greater: far } }
}

/// How likely it is that chance gives `b` so few, or so many, with the hits of both as they are.
fn fisher(a: Side, b: Side) -> Tails {
    let all = a.all + b.all;
    let hits = a.hits + b.hits;
    let of = |of_a: u64| (log_choose(a.all, of_a) + log_choose(b.all, hits - of_a) - log_choose(all, hits)).exp();
    let (least, most) = (hits.saturating_sub(b.all), hits.min(a.all));
    let sum = |from: u64, to: u64| (from..=to).map(of).sum::<f64>().min(1.0);
    Tails {
        less: Tail { p: sum(a.hits, most), p_min: of(most).min(1.0) },
        greater: Tail { p: sum(least, a.hits), p_min: of(least).min(1.0) },
    }
}

fn log_choose(all: u64, chosen: u64) -> f64 {
    log_factorial(all) - log_factorial(chosen) - log_factorial(all - chosen)
}

/// Exact for small ones, else Stirling's series, to 1e-10.
fn log_factorial(of: u64) -> f64 {
    if of < 32 {
        return (2..=of).map(|factor| (factor as f64).ln()).sum();
    }
    let x = of as f64;
    x * x.ln() - x + 0.5 * (std::f64::consts::TAU * x).ln() + 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3))
        + 1.0 / (1260.0 * x.powi(5))
}

/// Newcombe's, with fewer observations where the runs differ by more than chance.
fn interval(a: Side, b: Side, dispersion: f64) -> Option<(f64, f64)> {
    let effective = |of: Side| {
        let all = (of.all as f64 / dispersion).round().max(1.0);
        wilson((of.share() * all).round() as u64, all as u64)
    };
    let ((low_a, high_a), (low_b, high_b)) = (effective(a)?, effective(b)?);
    let (share_a, share_b) = (a.share(), b.share());
    let both = |one: f64, other: f64| (one * one + other * other).sqrt();
    let difference = share_b - share_a;
    Some((difference - both(share_b - low_b, high_a - share_a), difference + both(high_b - share_b, share_a - low_a)))
}

/// How likely a normal is further from 0 than `z`, both ways.
pub(super) fn two_sided(z: f64) -> f64 {
    // Abramowitz, Stegun 26.2.11 near the middle, 26.2.14 in the tail: neither takes a small number from a large one.
    let density = (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt();
    if z < 3.0 {
        let (mut term, mut sum) = (z, z);
        for i in 1..80 {
            term *= z * z / f64::from(2 * i + 1);
            sum += term;
        }
        return (1.0 - 2.0 * density * sum).clamp(0.0, 1.0);
    }
    let fraction = (1..120).rev().fold(z, |below, i| z + f64::from(i) / below);
    2.0 * density / fraction
}

/// The same of Student's t with `freedom` degrees: with t = sqrt(freedom) tan(angle), its density is cos(angle) to the power of freedom - 1.
pub(super) fn student(t: f64, freedom: usize) -> f64 {
    let power = i32::try_from(freedom.max(1) - 1).unwrap_or(i32::MAX);
    let area = |from: f64| {
        let (steps, to) = (2_000, std::f64::consts::FRAC_PI_2);
        let step = (to - from) / f64::from(steps);
        let weight = |i: i32| {
            if i == 0 || i == steps {
                1.0
            } else if i % 2 == 1 {
                4.0
            } else {
                2.0
            }
        };
        (0..=steps).map(|i| weight(i) * (from + step * f64::from(i)).cos().max(0.0).powi(power)).sum::<f64>() * step
            / 3.0
    };
    (area((t / (freedom.max(1) as f64).sqrt()).atan()) / area(0.0)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::{Side, fisher, log_factorial, matters, student, two_sided};

    fn close(one: f64, other: f64) -> bool {
        (one - other).abs() <= 1e-4 * other.abs()
    }

    #[test]
    fn tails_are_those_of_the_tables() {
        assert!(close(two_sided(1.959_964), 0.05), "{}", two_sided(1.959_964));
        assert!(close(two_sided(3.290_527), 0.001), "{}", two_sided(3.290_527));
        assert!(close(two_sided(5.0), 5.733e-7), "{}", two_sided(5.0));
        assert!(close(student(2.306_004, 8), 0.05), "{}", student(2.306_004, 8));
        assert!(close(student(12.706_2, 1), 0.05), "{}", student(12.706_2, 1));
    }

    #[test]
    fn the_lady_tasting_tea_is_as_likely_as_fisher_said() {
        let side = |hits, all| Side::of((hits, all), &[]);
        let three = fisher(side(3, 4), side(1, 4));
        assert!(close(three.less.p, 17.0 / 70.0) && close(three.greater.p, 69.0 / 70.0), "{three:?}");
        let four = fisher(side(4, 4), side(0, 4)).less;
        assert!(close(four.p, 1.0 / 70.0) && close(four.p_min, 1.0 / 70.0), "{four:?}");
        assert!(close(fisher(side(0, 4), side(0, 4)).greater.p_min, 1.0), "nothing at all decides nothing");
        assert!((log_factorial(40) - 110.320_639_714_757_4).abs() < 1e-9);
    }

    #[test]
    fn a_rare_failure_that_doubles_matters_however_rare() {
        assert!(matters(0.0001, 0.0002) && matters(0.9999, 0.9998) && matters(0.0, 1e-9) && matters(0.5, 0.501));
        assert!(!matters(0.0010, 0.0011) && !matters(0.5, 0.5001) && !matters(0.0, 0.0));
    }
}
