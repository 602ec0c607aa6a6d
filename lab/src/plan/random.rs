//! The seeded generator of a plan: xoshiro256++, the same on every machine, and one for each purpose.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

/// Draws numbers.
#[derive(Clone, Debug)]
pub struct Random(Xoshiro256PlusPlus);

impl Random {
    /// The generator for one purpose; different `stream`s of one seed have nothing to do with each other.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut bytes = [0; 32];
        let mut mixer = Xoshiro256PlusPlus::seed_from_u64(seed);
        let words = [mixer.next_u64(), mixer.next_u64() ^ stream, mixer.next_u64(), mixer.next_u64()];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        let mut random = Self(Xoshiro256PlusPlus::from_seed(bytes));
        // Neighbouring streams differ in a few bits of their state; some steps spread them.
        for _ in 0..16 {
            random.bits();
        }
        random
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// From 0 up to, not including, 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From 0 up to, not including, `end`; 0 if that is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // The bias is at most end / 2^64.
        ((u128::from(self.bits()) * u128::from(end)) >> 64) as u64
    }
}
