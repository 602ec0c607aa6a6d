//! Bounds-checked reading of our own binary encodings (states, records, contexts, forwarded puts).
//! Invariant: any bytes from outside give a value or `Malformed`, never a panic and no large allocation.

use bytes::{Buf, Bytes};

/// Bytes that are not what their place promises: damaged, truncated, of an unknown version or forged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed bytes: {0}")]
pub struct Malformed(pub &'static str);

/// Takes values off the front of a buffer.
pub struct Reader(Bytes);

impl Reader {
    /// Reads `bytes` from their start; slices share the buffer.
    pub fn new(bytes: Bytes) -> Self {
        Reader(bytes)
    }

    fn need(&self, n: usize) -> Result<(), Malformed> {
        if self.0.remaining() < n { Err(Malformed("truncated")) } else { Ok(()) }
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.need(1)?;
        Ok(self.0.get_u8())
    }

    /// Four bytes, big endian.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.need(4)?;
        Ok(self.0.get_u32())
    }

    /// Eight bytes, big endian.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.need(8)?;
        Ok(self.0.get_u64())
    }

    /// Sixteen bytes, big endian.
    pub fn u128(&mut self) -> Result<u128, Malformed> {
        self.need(16)?;
        Ok(self.0.get_u128())
    }

    /// A u32 length and that many bytes.
    pub fn bytes(&mut self) -> Result<Bytes, Malformed> {
        let len = self.u32()? as usize;
        self.need(len)?;
        Ok(self.0.split_to(len))
    }

    /// A u32 count of items of at least `item_bytes_min` each, so that a forged count cannot outgrow its message.
    pub fn count(&mut self, item_bytes_min: usize) -> Result<usize, Malformed> {
        let count = self.u32()? as usize;
        self.need(count.saturating_mul(item_bytes_min))?;
        Ok(count)
    }

    /// What is left.
    pub fn rest(&mut self) -> Bytes {
        let n = self.0.remaining();
        self.0.split_to(n)
    }

    /// Errors unless everything was read.
    pub fn end(&self) -> Result<(), Malformed> {
        if self.0.has_remaining() { Err(Malformed("trailing bytes")) } else { Ok(()) }
    }
}
