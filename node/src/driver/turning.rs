//! Whether the engine's loop still turns: what liveness asks, and nothing else (not the disk's health, not the peers').
//! Invariant: a loop that waits, for work or for the end of an injected pause, is not stuck, however long it waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Work on one batch that takes longer is taken for a loop that will not come back.
pub const STUCK_AFTER: Duration = Duration::from_secs(5);
/// Nothing is worked on.
const REST: u64 = 0;

/// Since when the loop has been working. Clones share it.
#[derive(Clone, Debug)]
pub struct Turning {
    start: Instant,
    /// Milliseconds after `start`, and one more; or [`REST`].
    since: Arc<AtomicU64>,
}

impl Default for Turning {
    fn default() -> Turning {
        Turning { start: Instant::now(), since: Arc::new(AtomicU64::new(REST)) }
    }
}

impl Turning {
    /// A loop that has worked on something for too long.
    #[cfg(test)]
    pub fn stuck() -> Turning {
        let start = Instant::now().checked_sub(STUCK_AFTER * 2).unwrap_or_else(Instant::now);
        Turning { start, since: Arc::new(AtomicU64::new(1)) }
    }

    /// The loop has something to do.
    pub fn work(&self) {
        self.since.store(self.now(Instant::now()), Ordering::Relaxed);
    }

    /// The loop waits.
    pub fn rest(&self) {
        self.since.store(REST, Ordering::Relaxed);
    }

    /// Whether it has worked on the same thing for too long.
    pub fn is_stuck(&self) -> bool {
        self.is_stuck_at(Instant::now())
    }

    fn is_stuck_at(&self, now: Instant) -> bool {
        let since = self.since.load(Ordering::Relaxed);
        since != REST && u128::from(self.now(now).saturating_sub(since)) > STUCK_AFTER.as_millis()
    }

    fn now(&self, at: Instant) -> u64 {
        let elapsed_ms = at.saturating_duration_since(self.start).as_millis();
        u64::try_from(elapsed_ms).unwrap_or(u64::MAX).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{STUCK_AFTER, Turning};

    #[test]
    fn a_loop_is_stuck_only_in_work_that_does_not_end() {
        let turning = Turning::default();
        let later = Instant::now() + STUCK_AFTER + Duration::from_secs(1);
        assert!(!turning.is_stuck_at(later), "it has not begun");
        turning.work();
        assert!(!turning.is_stuck());
        assert!(turning.is_stuck_at(later));
        turning.rest();
        assert!(!turning.is_stuck_at(later), "it waits");
    }
}
