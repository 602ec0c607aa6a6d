//! When operations are due: times in nanoseconds from the start, decided before the run.
//! Invariant: times never go back; a schedule knows nothing of how the store does.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::PlanError;
use super::random::Random;

const NS: f64 = 1e9;
/// Finding the step of an operation is linear.
const STEPS_MAX: u32 = 1_000;
/// Apart from the workers' streams.
const STREAM: u64 = 1 << 40;

/// Rates in operations a second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Arrivals {
    /// Evenly.
    Constant {
        /// Of the whole run.
        rate: f64,
    },
    /// Exponential gaps: as many independent clients together.
    Poisson {
        /// On average.
        rate: f64,
    },
    /// Evenly within each of `steps` equal parts of the run, the first at `from`, the last at `to`.
    Step {
        /// Of the first step.
        from: f64,
        /// Of the last step.
        to: f64,
        /// Two or more.
        steps: u32,
    },
    /// From `from` at the start to `to` at the end, along a line.
    Ramp {
        /// At the start.
        from: f64,
        /// At the end.
        to: f64,
    },
    /// `size` operations at once, again and again, at `rate` on the whole.
    Burst {
        /// On average.
        rate: f64,
        /// Operations at once.
        size: u32,
    },
}

impl Arrivals {
    pub(super) fn check(&self, duration: Duration) -> Result<(), PlanError> {
        let wrong = |why: String| Err(PlanError::new("arrivals", why));
        let rates = match *self {
            Self::Constant { rate } | Self::Poisson { rate } | Self::Burst { rate, .. } => [rate, rate],
            Self::Step { from, to, .. } | Self::Ramp { from, to } => [from, to],
        };
        if let Some(rate) = rates.into_iter().find(|rate| !(0.0..=1e7).contains(rate)) {
            return wrong(format!("a rate of {rate} operations/s is not between 0 and ten million"));
        }
        match *self {
            Self::Step { steps, .. } if !(2..=STEPS_MAX).contains(&steps) => {
                wrong(format!("there must be 2 to {STEPS_MAX} steps, not {steps}"))
            }
            Self::Burst { size: 0, .. } => wrong("a burst has 1 operation or more".to_owned()),
            _ if self.times(0, duration).next().is_none() => {
                wrong(format!("nothing is due within {} ms at this rate", duration.as_millis()))
            }
            _ => Ok(()),
        }
    }

    /// The rate that is offered on average over `duration`.
    pub fn mean_rate(&self) -> f64 {
        match *self {
            Self::Constant { rate } | Self::Poisson { rate } | Self::Burst { rate, .. } => rate,
            Self::Step { from, to, .. } | Self::Ramp { from, to } => f64::midpoint(from, to),
        }
    }

    /// When each operation is due, in nanoseconds from the start, up to `duration`.
    pub fn times(&self, seed: u64, duration: Duration) -> impl Iterator<Item = u64> + Send + use<> {
        let arrivals = *self;
        let seconds = duration.as_secs_f64();
        let end = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let mut random = Random::new(seed, STREAM);
        let (mut index, mut sum) = (0_u64, 0.0_f64);
        let next = move || {
            let seconds = match arrivals {
                Self::Constant { rate } => index as f64 / rate,
                Self::Poisson { rate } => {
                    sum += -(1.0 - random.unit()).ln() / rate;
                    sum
                }
                Self::Step { from, to, steps } => stepped(index as f64, from, to, steps, seconds)?,
                Self::Ramp { from, to } => ramped(index as f64, from, to, seconds)?,
                Self::Burst { rate, size } => (index / u64::from(size.max(1))) as f64 * f64::from(size) / rate,
            };
            index += 1;
            // A rate of 0 gives infinity, which lies beyond every end.
            Some((seconds * NS) as u64).filter(|ns| *ns < end && seconds.is_finite())
        };
        std::iter::from_fn(next).fuse()
    }
}

/// When operation `index` is due; `None` beyond the last step.
fn stepped(index: f64, from: f64, to: f64, steps: u32, duration: f64) -> Option<f64> {
    let length = duration / f64::from(steps);
    let mut before = 0.0;
    for step in 0..steps {
        let rate = from + (to - from) * f64::from(step) / f64::from(steps.saturating_sub(1).max(1));
        let count = rate * length;
        if index < before + count {
            return Some(f64::from(step) * length + (index - before) / rate);
        }
        before += count;
    }
    None
}

/// When a rate that goes from `from` to `to` along a line has brought `index` operations; `None` if it never does.
fn ramped(index: f64, from: f64, to: f64, duration: f64) -> Option<f64> {
    let slope = (to - from) / duration;
    let root = from * from + 2.0 * slope * index;
    // index = from*t + slope*t^2/2, solved for t in the form that survives a slope of 0.
    let t = 2.0 * index / (from + root.sqrt());
    // The first one is due at once, unless nothing ever is.
    if index == 0.0 { (from + to > 0.0).then_some(0.0) } else { Some(t).filter(|_| root >= 0.0) }
}
