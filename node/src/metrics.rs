//! What a node measures of itself, to be read by operators and by the benchmark.
//! Invariant: recording never blocks and never fails; cost is a few atomic additions.
//! Not here: what core counts (`Status`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::store::disk::Written;

/// All that is measured. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    syncs: AtomicU64,
    records_synced: AtomicU64,
    bytes_synced: AtomicU64,
}

impl Metrics {
    /// A sync ended that took `_took`. One with nothing to write is not counted.
    pub fn synced(&self, written: Written, _took: Duration) {
        if written.records > 0 {
            self.0.syncs.fetch_add(1, Ordering::Relaxed);
            self.0.records_synced.fetch_add(written.records, Ordering::Relaxed);
            self.0.bytes_synced.fetch_add(written.bytes, Ordering::Relaxed);
        }
    }

    /// How many syncs there were, and what they made durable.
    pub fn syncs(&self) -> (u64, Written) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let written = Written { records: read(&self.0.records_synced), bytes: read(&self.0.bytes_synced) };
        (read(&self.0.syncs), written)
    }
}
