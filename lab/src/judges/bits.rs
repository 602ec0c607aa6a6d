//! Sets of small numbers.

/// A set of numbers below a bound that is given when it is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits {
    words: Vec<u64>,
}

impl Bits {
    /// The empty one, for numbers below `bound`.
    pub(super) fn new(bound: usize) -> Self {
        Self { words: vec![0; bound.div_ceil(64)] }
    }

    pub(super) fn insert(&mut self, number: usize) {
        if let Some(word) = self.words.get_mut(number / 64) {
            *word |= 1 << (number % 64);
        }
    }

    /// Adds all numbers below `count`.
    pub(super) fn insert_below(&mut self, count: usize) {
        for (place, word) in self.words.iter_mut().enumerate().take(count.div_ceil(64)) {
            let whole = (place + 1) * 64 <= count;
            *word |= if whole { u64::MAX } else { (1 << (count % 64)) - 1 };
        }
    }

    pub(super) fn contains(&self, number: usize) -> bool {
        self.words.get(number / 64).is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    pub(super) fn insert_all(&mut self, others: &Self) {
        for (word, other) in self.words.iter_mut().zip(&others.words) {
            *word |= other;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// How many it shares with `others`.
    pub(super) fn shared(&self, others: &Self) -> u64 {
        self.words.iter().zip(&others.words).map(|(word, other)| u64::from((word & other).count_ones())).sum()
    }

    /// The smallest number that `others` does not have.
    pub(super) fn first_outside(&self, others: &Self) -> Option<usize> {
        self.outside(others).next()
    }

    /// All numbers that `others` does not have, in ascending order.
    pub(super) fn outside<'a>(&'a self, others: &'a Self) -> impl Iterator<Item = usize> + 'a {
        let pairs = self.words.iter().zip(&others.words).enumerate();
        pairs.flat_map(|(place, (word, other))| {
            let mut left = word & !other;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
                left &= left - 1;
                Some(64 * place + bit)
            })
        })
    }
}
