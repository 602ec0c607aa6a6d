//! The laws a delay is drawn from, and the inverse of each distribution function.
//! Invariant: pure; the caller brings the uniform number, so a seed fixes every delay.
//! Not here: the generator of those numbers, and holding messages back (`node/src/faults.rs`).

/// The longest delay one message suffers, whatever its law says, in milliseconds.
pub const DELAY_MS_MAX: f64 = 60_000.0;

/// How long each message, or each disk operation, is held back. Times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Law {
    /// Always the same.
    Constant {
        /// The delay.
        mean_ms: u64,
    },
    /// Evenly spread.
    Uniform {
        /// The shortest.
        min_ms: u64,
        /// The longest; not below the shortest.
        max_ms: u64,
    },
    /// Many short, few long: the usual model of a busy link.
    Exponential {
        /// The mean.
        mean_ms: u64,
    },
    /// A heavy tail: rare delays far above the mean.
    Pareto {
        /// The mean of the uncapped law.
        mean_ms: u64,
        /// The tail's weight, above 1; nearer to 1 is heavier.
        shape: f64,
    },
}

impl Law {
    /// The mean of the uncapped law, in milliseconds.
    pub fn mean_ms(&self) -> f64 {
        match *self {
            Self::Constant { mean_ms } | Self::Exponential { mean_ms } | Self::Pareto { mean_ms, .. } => mean_ms as f64,
            Self::Uniform { min_ms, max_ms } => (min_ms as f64 + max_ms as f64) / 2.0,
        }
    }

    /// The delay at the point `u` of the distribution, in milliseconds, capped at [`DELAY_MS_MAX`].
    ///
    /// `u`: uniform in [0, 1); values outside are moved to its ends.
    pub fn sample_ms(&self, u: f64) -> f64 {
        let u = u.clamp(0.0, 1.0 - f64::EPSILON);
        let ms = match *self {
            Self::Constant { mean_ms } => mean_ms as f64,
            Self::Uniform { min_ms, max_ms } => min_ms as f64 + u * max_ms.saturating_sub(min_ms) as f64,
            Self::Exponential { mean_ms } => -(mean_ms as f64) * (1.0 - u).ln(),
            Self::Pareto { mean_ms, shape } => {
                let smallest = mean_ms as f64 * (shape - 1.0) / shape;
                smallest / (1.0 - u).powf(1.0 / shape)
            }
        };
        ms.clamp(0.0, DELAY_MS_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::{DELAY_MS_MAX, Law};

    /// The mean over an even grid of `u`, which is the mean of the law up to the grid's error.
    fn mean(law: Law) -> f64 {
        let count = 200_000;
        (0..count).map(|i| law.sample_ms((f64::from(i) + 0.5) / f64::from(count))).sum::<f64>() / f64::from(count)
    }

    #[test]
    fn each_law_has_the_mean_it_says() {
        assert_eq!(Law::Uniform { min_ms: 10, max_ms: 30 }.mean_ms(), 20.0);
        assert_eq!(Law::Pareto { mean_ms: 20, shape: 3.0 }.mean_ms(), 20.0);
        assert!((mean(Law::Constant { mean_ms: 20 }) - 20.0).abs() < 1e-9);
        assert!((mean(Law::Uniform { min_ms: 10, max_ms: 30 }) - 20.0).abs() < 1e-6);
        assert!((mean(Law::Exponential { mean_ms: 20 }) - 20.0).abs() < 0.01);
        assert!((mean(Law::Pareto { mean_ms: 20, shape: 3.0 }) - 20.0).abs() < 0.05);
    }

    #[test]
    fn the_quantiles_are_those_of_the_formulas() {
        assert_eq!(Law::Exponential { mean_ms: 10 }.sample_ms(0.0), 0.0);
        assert!((Law::Exponential { mean_ms: 10 }.sample_ms(0.5) - 6.931_471_8).abs() < 1e-6);
        assert_eq!(Law::Pareto { mean_ms: 10, shape: 2.0 }.sample_ms(0.0), 5.0);
        assert!((Law::Pareto { mean_ms: 10, shape: 2.0 }.sample_ms(0.75) - 10.0).abs() < 1e-9);
    }

    #[test]
    fn no_delay_exceeds_the_cap_or_is_negative() {
        for u in [-1.0, 0.0, 0.5, 0.999_999_999, 1.0, 2.0] {
            let ms = Law::Pareto { mean_ms: 30_000, shape: 1.1 }.sample_ms(u);
            assert!((0.0..=DELAY_MS_MAX).contains(&ms), "{u} {ms}");
        }
    }
}
