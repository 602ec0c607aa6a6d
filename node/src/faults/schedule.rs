//! When a pause holds: a pure function of the time since its experiment began.
//! A late look never sees a pause that is over, so a pause is never longer than written.

use std::time::Duration;

/// Where in its schedule a pause is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Phase {
    /// Which of its repetitions, counted from 0.
    pub index: u64,
    /// Whether the node stands still.
    pub is_down: bool,
    /// How long until that changes; `None`: never again.
    pub turns_in: Option<Duration>,
}

/// The phase of a pause of `down_ms`, repeated from start to start each `every_ms`, after `elapsed`.
pub(super) fn phase(down_ms: u64, every_ms: Option<u64>, elapsed: Duration) -> Phase {
    let down = Duration::from_millis(down_ms);
    let every = every_ms.map(Duration::from_millis);
    let index = every.map_or(0, |every| elapsed.as_nanos().checked_div(every.as_nanos()).unwrap_or(0) as u64);
    let began = Duration::from_millis(every_ms.unwrap_or(0).saturating_mul(index));
    let since = elapsed.saturating_sub(began);
    let is_down = since < down;
    let turns_at = if is_down { Some(down) } else { every };
    Phase { index, is_down, turns_in: turns_at.map(|at| at.saturating_sub(since)) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Phase, phase};

    fn at(every_ms: Option<u64>, elapsed_ms: u64) -> Phase {
        phase(5_000, every_ms, Duration::from_millis(elapsed_ms))
    }

    fn expected(index: u64, is_down: bool, turns_in_ms: Option<u64>) -> Phase {
        Phase { index, is_down, turns_in: turns_in_ms.map(Duration::from_millis) }
    }

    #[test]
    fn a_single_pause_begins_at_once_and_never_returns() {
        assert_eq!(at(None, 0), expected(0, true, Some(5_000)));
        assert_eq!(at(None, 4_999), expected(0, true, Some(1)));
        assert_eq!(at(None, 5_000), expected(0, false, None));
        assert_eq!(at(None, 90_000), expected(0, false, None));
    }

    #[test]
    fn a_repeated_pause_counts_from_start_to_start() {
        let every = Some(30_000);
        assert_eq!(at(every, 0), expected(0, true, Some(5_000)));
        assert_eq!(at(every, 5_000), expected(0, false, Some(25_000)));
        assert_eq!(at(every, 29_999), expected(0, false, Some(1)));
        assert_eq!(at(every, 30_000), expected(1, true, Some(5_000)));
        assert_eq!(at(every, 95_000), expected(3, false, Some(25_000)));
    }
}
