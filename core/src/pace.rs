//! How fast client operations end at this node while it is busy, so that one which cannot end in its time is refused at once.
//! Little's law: behind `in_flight` operations, of which `rate` end a second, the next one ends after in_flight / rate. A put that is
//! admitted and given up later costs three disks what it costs one that is answered; a refusal costs next to nothing.
//! Invariants: nothing is refused below [`BUSY_MIN`] or without a measurement; only busy windows are measured, since a node that is
//! asked little also answers little. Not here: the hard limit on operations (`node`).

use crate::time::Time;

/// With fewer operations under way nothing is refused, however slow they are.
const BUSY_MIN: usize = 128;
/// Over which operations are counted. A burst fills a node for two of them before it is told from a little more work than before.
const WINDOW_MS: u64 = 50;
/// What a new window counts against the ones before: one of so many parts.
const SMOOTHING: u64 = 4;

/// The rate at which operations end.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    window_began: Time,
    ended: u64,
    was_busy: bool,
    /// Operations that end in a second; `None`: not known, since the last window was not busy.
    rate: Option<u64>,
}

impl Pace {
    /// An operation ended well.
    pub(crate) fn ended(&mut self) {
        self.ended += 1;
    }

    /// Whether an operation that arrived at `at`, and may take `timeout_ms` from then on, would take more than half of that behind the
    /// `in_flight` that are under way. Half, since its replicas are as busy as this node.
    pub(crate) fn is_hopeless(&mut self, now: Time, at: Time, timeout_ms: u64, in_flight: usize) -> bool {
        self.roll(now, in_flight);
        let Some(rate) = self.rate.filter(|_| in_flight >= BUSY_MIN) else { return false };
        let behind_ms = (in_flight as u64).saturating_mul(1_000) / rate.max(1);
        at.until(now).saturating_add(behind_ms) > timeout_ms / 2
    }

    fn roll(&mut self, now: Time, in_flight: usize) {
        let elapsed = self.window_began.until(now);
        if elapsed < WINDOW_MS {
            return;
        }
        let latest = self.ended.saturating_mul(1_000) / elapsed;
        self.rate = match (self.was_busy, self.rate) {
            (false, _) => None,
            (true, None) => Some(latest),
            (true, Some(before)) => Some((before * (SMOOTHING - 1) + latest) / SMOOTHING),
        };
        (self.window_began, self.ended, self.was_busy) = (now, 0, in_flight >= BUSY_MIN);
    }
}

#[cfg(test)]
mod tests {
    use super::{BUSY_MIN, Pace, WINDOW_MS};
    use crate::time::Time;

    /// Windows of 50 ms from 1 s on, in each of which so many end while `in_flight` are under way.
    fn after(ended: &[u64], in_flight: usize) -> (Pace, Time) {
        let (mut pace, mut now) = (Pace::default(), Time(1_000));
        pace.is_hopeless(now, now, 500, in_flight);
        for count in ended {
            (0..*count).for_each(|_| pace.ended());
            now = now.plus(WINDOW_MS);
            pace.is_hopeless(now, now, 500, in_flight);
        }
        (pace, now)
    }

    #[test]
    fn what_would_wait_for_more_than_half_of_its_time_is_hopeless() {
        let (mut pace, now) = after(&[50, 50, 50], 1_000);
        assert!(pace.is_hopeless(now, now, 500, 300), "300 at 1,000 a second take 300 ms");
        assert!(!pace.is_hopeless(now, now, 500, 240));
        assert!(!pace.is_hopeless(now, now, 5_000, 2_400));
        let arrived = Time(now.0 - 100);
        assert!(pace.is_hopeless(now, arrived, 500, 200), "it has waited for 100 ms already");
    }

    #[test]
    fn a_node_with_little_to_do_refuses_nothing() {
        let (mut pace, now) = after(&[1, 1, 1], BUSY_MIN - 1);
        assert!(!pace.is_hopeless(now, now, 500, 4_000), "a burst meets no measurement");
        let (mut pace, now) = after(&[0, 0, 0], 1_000);
        assert!(!pace.is_hopeless(now, now, 500, BUSY_MIN - 1));
        assert!(pace.is_hopeless(now, now, 500, BUSY_MIN), "nothing ends");
    }

    #[test]
    fn a_stall_is_forgotten_when_operations_end_again() {
        let (mut pace, now) = after(&[100, 0, 0, 0, 0, 0, 0, 0], 400);
        assert!(pace.is_hopeless(now, now, 1_000, 400));
        let (mut pace, now) = after(&[100, 0, 0, 0, 0, 0, 0, 0, 100, 100], 400);
        assert!(!pace.is_hopeless(now, now, 1_000, 400));
    }
}
