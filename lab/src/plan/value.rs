//! A value proves which write it is: its head names the run and the value id, the rest fills it up.
//! Invariant: what is read back is taken for a write of this run only if it says so itself.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use super::random::Random;

/// The longest head: mark, run, worker below 100,000, any counter, and what parts them. Smaller values could not be told apart.
pub(super) const HEAD_BYTES_MAX: usize = MARK.len() + 16 + 1 + 5 + 1 + 20 + 1;
const MARK: &str = "driftkv-lab ";
/// Filling is cut from a stock of this many bytes, random so that no compression flatters the store.
const STOCK_BYTES: usize = 64 * 1024;

/// Names one write of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId {
    /// The worker that planned it.
    pub worker: u32,
    /// Its number among the worker's operations.
    pub counter: u64,
}

impl ValueId {
    /// The write that made `value`, and its run; `None` if no laboratory made it.
    pub fn of(value: &[u8]) -> Option<(u64, Self)> {
        let head = value.get(..value.len().min(80))?;
        let rest = head.strip_prefix(MARK.as_bytes())?;
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let text = std::str::from_utf8(rest.get(..end)?).ok()?;
        let (run, id) = text.split_once(' ')?;
        Some((u64::from_str_radix(run, 16).ok()?, id.parse().ok()?))
    }
}

impl fmt::Display for ValueId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.worker, self.counter)
    }
}

impl FromStr for ValueId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (worker, counter) = text.split_once('.').ok_or(())?;
        Ok(Self { worker: worker.parse().map_err(|_| ())?, counter: counter.parse().map_err(|_| ())? })
    }
}

/// Where FNV-1a begins.
pub(super) const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a, continued from `hash`.
pub(super) fn fnv(hash: u64, bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Makes values.
#[derive(Clone, Debug)]
pub struct Filler {
    run: u64,
    value_bytes: usize,
    stock: Vec<u8>,
}

impl Filler {
    /// Of `value_bytes` each; a plan that is checked leaves room for the head.
    pub fn new(run: u64, seed: u64, value_bytes: usize) -> Self {
        let mut random = Random::new(seed, u64::MAX);
        let words = (STOCK_BYTES + value_bytes).div_ceil(8);
        let stock = (0..words).flat_map(|_| random.bits().to_le_bytes()).collect();
        Self { run, value_bytes, stock }
    }

    /// What a value that was read is: the write of this run that made it, `RUN/ID` of another run, `damaged ID` if its bytes are
    /// not those that were written, `unknown HASH` if no laboratory wrote it.
    pub fn name(&self, value: &[u8]) -> String {
        match ValueId::of(value) {
            Some((run, id)) if run == self.run && self.value(id) == value => id.to_string(),
            Some((run, id)) if run == self.run => format!("damaged {id}"),
            Some((run, id)) => format!("{run:016x}/{id}"),
            None => format!("unknown {:016x}", fnv(FNV_START, value.iter().copied())),
        }
    }

    /// The value of one write.
    pub fn value(&self, id: ValueId) -> Bytes {
        let mut value = Vec::with_capacity(self.value_bytes.max(80));
        value.extend_from_slice(format!("{MARK}{:016x} {id}\n", self.run).as_bytes());
        let missing = self.value_bytes.saturating_sub(value.len());
        let from = (id.counter.wrapping_mul(7919) % STOCK_BYTES as u64) as usize;
        value.extend_from_slice(self.stock.get(from..from + missing).unwrap_or_default());
        Bytes::from(value)
    }
}
