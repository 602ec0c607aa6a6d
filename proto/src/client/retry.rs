//! When to try again, where, and how long to wait before: pure, so that it can be checked without a network.
//! The first retry goes to the same node, since a retried put is cheapest at its first coordinator; after that, and at once when a
//! node is silent, the next node is asked.
//! Invariant: attempts and pauses together never exceed the deadline.

use std::time::Duration;

const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// No attempt is cut shorter than this to leave time for another.
const ATTEMPT_MIN: Duration = Duration::from_millis(250);

/// Where the attempts of one request go.
#[derive(Debug)]
pub(super) struct Route {
    index: usize,
    count: usize,
    attempts: u32,
}

impl Route {
    /// `first`: the node to begin with, of `count`.
    pub(super) fn new(first: usize, count: usize) -> Self {
        Self { index: first % count.max(1), count: count.max(1), attempts: 0 }
    }

    /// The node to ask now.
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// Notes a failed attempt, chooses the next node and says how long to pause first. `u`: uniform in [0, 1).
    pub(super) fn after_failure(&mut self, is_silent: bool, u: f64) -> Duration {
        self.attempts = self.attempts.saturating_add(1);
        if is_silent || self.attempts > 1 {
            self.index = (self.index + 1) % self.count;
        }
        pause(self.attempts, u)
    }

    /// How long one attempt may take: with other nodes to ask, half of what remains, so that a silent node does not use up all of it.
    pub(super) fn attempt_timeout(&self, remaining: Duration) -> Duration {
        if self.count == 1 { remaining } else { (remaining / 2).max(ATTEMPT_MIN).min(remaining) }
    }
}

/// Doubles from 10 ms to 500 ms; between half and all of that, so that clients do not return in step.
fn pause(attempts: u32, u: f64) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    let longest = PAUSE_FIRST.saturating_mul(1 << doublings).min(PAUSE_MAX);
    longest.mul_f64(0.5 + 0.5 * u.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::Route;
    use std::time::Duration;

    #[test]
    fn the_same_node_is_tried_twice_then_each_of_the_others() {
        let mut route = Route::new(1, 3);
        let mut asked = vec![route.index()];
        for _ in 0..4 {
            route.after_failure(false, 0.5);
            asked.push(route.index());
        }
        assert_eq!(asked, [1, 1, 2, 0, 1]);
    }

    #[test]
    fn a_silent_node_is_left_at_once() {
        let mut route = Route::new(0, 2);
        route.after_failure(true, 0.5);
        assert_eq!(route.index(), 1);
    }

    #[test]
    fn pauses_double_up_to_their_cap() {
        let mut route = Route::new(0, 1);
        let pauses: Vec<u128> = (0..9).map(|_| route.after_failure(false, 1.0).as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 500, 500, 500]);
        assert_eq!(Route::new(0, 1).after_failure(false, 0.0), Duration::from_millis(5));
    }

    #[test]
    fn an_attempt_leaves_time_for_another_node_if_there_is_one() {
        let seconds = Duration::from_secs;
        assert_eq!(Route::new(0, 1).attempt_timeout(seconds(4)), seconds(4));
        assert_eq!(Route::new(0, 3).attempt_timeout(seconds(4)), seconds(2));
        assert_eq!(Route::new(0, 3).attempt_timeout(Duration::from_millis(100)), Duration::from_millis(100));
    }
}
