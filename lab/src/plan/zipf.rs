//! Zipf's law over 0..n for any exponent: P(rank) is proportional to 1 / (rank + 1)^theta.
//! Rejection-inversion after Hoermann and Derflinger (ACM TOMACS 6(3), 1996): constant time and memory, exact for every theta >= 0,
//! 1 and beyond included, unlike the approximation of Gray et al. that YCSB uses.

use super::random::Random;

/// Draws ranks.
#[derive(Clone, Copy, Debug)]
pub struct Zipf {
    n: u64,
    theta: f64,
    integral_first: f64,
    integral_last: f64,
    shortcut: f64,
}

impl Zipf {
    /// Ranks 0 to `n` - 1; `n` of 0 counts as 1. `theta` is finite and not negative.
    pub fn new(n: u64, theta: f64) -> Self {
        let n = n.max(1);
        let mut zipf = Self { n, theta, integral_first: 0.0, integral_last: 0.0, shortcut: 0.0 };
        zipf.integral_first = zipf.integral(1.5) - 1.0;
        zipf.integral_last = zipf.integral(n as f64 + 0.5);
        zipf.shortcut = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.height(2.0));
        zipf
    }

    /// The next rank; 0 is the most frequent.
    pub fn draw(&self, random: &mut Random) -> u64 {
        if self.theta == 0.0 {
            return random.below(self.n);
        }
        loop {
            let u = self.integral_last + random.unit() * (self.integral_first - self.integral_last);
            let x = self.inverse(u);
            let k = (x + 0.5).floor().clamp(1.0, self.n as f64);
            if k - x <= self.shortcut || u >= self.integral(k + 0.5) - self.height(k) {
                return k as u64 - 1;
            }
        }
    }

    /// The hat's height at x.
    fn height(&self, x: f64) -> f64 {
        (-self.theta * x.ln()).exp()
    }

    /// The area under the hat up to x.
    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        expm1_over((1.0 - self.theta) * log) * log
    }

    /// The x up to which the area is `area`.
    fn inverse(&self, area: f64) -> f64 {
        // Rounding may lead below -1, where the logarithm ends.
        let t = (area * (1.0 - self.theta)).max(-1.0);
        (ln1p_over(t) * area).exp()
    }
}

/// (e^x - 1) / x, continued through 0.
fn expm1_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.exp_m1() / x } else { 1.0 + x / 2.0 * (1.0 + x / 3.0) }
}

/// ln(1 + x) / x, continued through 0.
fn ln1p_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.ln_1p() / x } else { 1.0 - x * (0.5 - x / 3.0) }
}
