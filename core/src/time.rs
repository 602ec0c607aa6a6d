//! Time as the protocol sees it: milliseconds that the driver hands in. Core never reads a clock.

/// Milliseconds since some start of the driver's choosing; never goes back within one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub u64);

impl Time {
    /// This time plus `ms` milliseconds.
    pub fn plus(self, ms: u64) -> Time {
        Time(self.0.saturating_add(ms))
    }

    /// Milliseconds from now until `later`; 0 when it has passed.
    pub fn until(self, later: Time) -> u64 {
        later.0.saturating_sub(self.0)
    }
}
