//! Messages of one link that wait until their delay is over.
//! Invariants: without `held_back` they leave in the order they came, whatever their delays; with it they may be overtaken, and only then;
//! count and bytes are bounded, and what exceeds the bound is lost and counted.
//! No clock: the caller says what time it is. A message without a fault (`Fate::Pass`) is sent at once if the line is empty; else the caller
//! calls `release` and pushes it with `Copy::default()`, so that the end of a fault is the end of its delays, and the order is kept.

use std::{collections::BTreeMap, mem};

use tokio::time::Instant;

use super::Copy;

/// Messages of one link, each with the time it is due.
#[derive(Debug)]
pub struct DelayLine<T> {
    /// By due time, equal times in the order they came.
    waiting: BTreeMap<(Instant, u64), T>,
    arrivals: u64,
    /// When the last place in the line is due: no place is due earlier.
    last_place: Option<Instant>,
    bytes: usize,
    refused: u64,
    count_max: usize,
    bytes_max: usize,
    size: fn(&T) -> usize,
}

impl<T: Clone> DelayLine<T> {
    /// An empty line for at most `count_max` messages of together at most `bytes_max` bytes, where `size` says the bytes of one.
    pub fn new(count_max: usize, bytes_max: usize, size: fn(&T) -> usize) -> Self {
        let waiting = BTreeMap::new();
        Self { waiting, arrivals: 0, last_place: None, bytes: 0, refused: 0, count_max, bytes_max, size }
    }

    /// Takes each of the `copies` of a message and says how many of them are lost for want of room.
    pub fn push(&mut self, now: Instant, item: T, copies: &[Copy]) -> usize {
        let Some((last, others)) = copies.split_last() else { return 0 };
        let mut refused = 0;
        for copy in others {
            refused += usize::from(!self.admit(now, item.clone(), copy));
        }
        refused + usize::from(!self.admit(now, item, last))
    }

    /// When [`DelayLine::pop_due`] has something next.
    pub fn next_due(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((due, _), _)| *due)
    }

    /// The next message whose delay is over.
    pub fn pop_due(&mut self, now: Instant) -> Option<T> {
        let next = self.waiting.first_entry().filter(|next| next.key().0 <= now)?;
        let item = next.remove();
        self.bytes = self.bytes.saturating_sub((self.size)(&item));
        Some(item)
    }

    /// Makes all due at once, in the order they would have left.
    pub fn release(&mut self, now: Instant) {
        let waiting = mem::take(&mut self.waiting);
        self.waiting = waiting.into_values().zip(self.arrivals..).map(|(item, place)| ((now, place), item)).collect();
        self.arrivals += self.waiting.len() as u64;
        self.last_place = None;
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many were lost for want of room since the line was made.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn admit(&mut self, now: Instant, item: T, copy: &Copy) -> bool {
        let bytes = self.bytes.saturating_add((self.size)(&item));
        if self.waiting.len() >= self.count_max || bytes > self.bytes_max {
            self.refused += 1;
            return false;
        }
        // One held back keeps the time of its place, so that what follows is neither later nor earlier than without it.
        let place = self.last_place.map_or(now + copy.delay, |last| last.max(now + copy.delay));
        self.last_place = Some(place);
        self.waiting.insert((place + copy.held_back, self.arrivals), item);
        self.arrivals += 1;
        self.bytes = bytes;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Copy, DelayLine};

    const NOW: Copy = Copy { delay: Duration::ZERO, held_back: Duration::ZERO };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn delayed(delay_ms: u64) -> Copy {
        Copy { delay: ms(delay_ms), ..NOW }
    }

    fn held_back(held_back_ms: u64) -> Copy {
        Copy { held_back: ms(held_back_ms), ..NOW }
    }

    fn line() -> DelayLine<&'static str> {
        DelayLine::new(100, 1_000, |item| item.len())
    }

    fn popped(line: &mut DelayLine<&'static str>, now: Instant) -> Vec<&'static str> {
        std::iter::from_fn(|| line.pop_due(now)).collect()
    }

    #[test]
    fn a_message_leaves_when_its_delay_is_over_and_not_before() {
        let (mut line, start) = (line(), Instant::now());
        assert_eq!(line.next_due(), None);
        assert_eq!(line.push(start, "a", &[delayed(20)]), 0);
        assert_eq!(line.next_due(), Some(start + ms(20)));
        assert_eq!(line.pop_due(start + ms(19)), None);
        assert_eq!(line.pop_due(start + ms(20)), Some("a"));
        assert!(line.is_empty());
    }

    #[test]
    fn delays_keep_the_order_of_the_link() {
        let (mut line, start) = (line(), Instant::now());
        line.push(start, "slow", &[delayed(50)]);
        line.push(start + ms(1), "quick", &[delayed(5)]);
        line.push(start + ms(2), "at once", &[NOW]);
        assert_eq!(popped(&mut line, start + ms(49)), [""; 0]);
        assert_eq!(popped(&mut line, start + ms(50)), ["slow", "quick", "at once"]);
    }

    #[test]
    fn one_held_back_is_overtaken_and_delays_no_other() {
        let (mut line, start) = (line(), Instant::now());
        line.push(start, "a", &[held_back(30)]);
        line.push(start, "b", &[NOW]);
        line.push(start, "c", &[delayed(10)]);
        assert_eq!(popped(&mut line, start), ["b"]);
        assert_eq!(popped(&mut line, start + ms(10)), ["c"]);
        assert_eq!(popped(&mut line, start + ms(30)), ["a"]);
    }

    #[test]
    fn one_held_back_does_not_overtake_what_left_before_it() {
        let (mut line, start) = (line(), Instant::now());
        line.push(start, "first", &[delayed(100)]);
        line.push(start, "held", &[held_back(5)]);
        line.push(start, "last", &[NOW]);
        assert_eq!(popped(&mut line, start + ms(100)), ["first", "last"]);
        assert_eq!(popped(&mut line, start + ms(105)), ["held"]);
    }

    #[test]
    fn every_copy_leaves_and_none_means_none() {
        let (mut line, start) = (line(), Instant::now());
        line.push(start, "lost", &[]);
        line.push(start, "twice", &[NOW, delayed(5)]);
        assert_eq!(line.len(), 2);
        assert_eq!(popped(&mut line, start), ["twice"]);
        assert_eq!(popped(&mut line, start + ms(5)), ["twice"]);
    }

    #[test]
    fn release_lets_all_leave_in_order_and_later_ones_follow() {
        let (mut line, start) = (line(), Instant::now());
        line.push(start, "a", &[delayed(5_000)]);
        line.push(start, "b", &[delayed(1)]);
        line.release(start + ms(10));
        line.push(start + ms(10), "c", &[NOW]);
        assert_eq!(line.next_due(), Some(start + ms(10)));
        assert_eq!(popped(&mut line, start + ms(10)), ["a", "b", "c"]);
    }

    #[test]
    fn a_full_line_loses_what_comes_and_says_so() {
        let mut line = DelayLine::<&str>::new(2, 1_000, |item| item.len());
        let start = Instant::now();
        assert_eq!(line.push(start, "a", &[delayed(1), delayed(1), delayed(1)]), 1);
        assert_eq!((line.len(), line.refused()), (2, 1));
        assert_eq!(line.pop_due(start + ms(1)), Some("a"));
        assert_eq!(line.push(start, "b", &[NOW]), 0);
    }

    #[test]
    fn the_bytes_of_a_line_are_bounded_and_given_back() {
        let mut line = DelayLine::<&str>::new(100, 10, |item| item.len());
        let start = Instant::now();
        assert_eq!(line.push(start, "12345678", &[delayed(1)]), 0);
        assert_eq!(line.push(start, "123", &[NOW]), 1);
        assert_eq!(line.push(start, "12", &[NOW]), 0);
        assert_eq!(popped(&mut line, start + ms(1)), ["12345678", "12"]);
        assert_eq!(line.push(start, "1234567890", &[NOW]), 0);
    }
}
