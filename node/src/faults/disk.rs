//! A disk that takes longer or fails: what the sync thread asks around each sync.
//! A slow one has the bytes and does not say yet that it keeps them, as a real one: whoever ends the process then leaves them unsynced.
//! Invariants: no sync is held back beyond the end of the experiment that holds it, even if it was cleared meanwhile; a sync that fails has
//! written nothing, so nobody hears of its commits.
//! Reads are not slowed and do not fail: they come from the engine thread, and mostly from memory.

use std::{sync::atomic::Ordering, time::Duration};

use driftkv_core::store::StoreError;
use tokio::time::Instant;

use super::Faults;

/// By how much one sync is held back, and by which experiment.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) id: String,
    pub(super) delay: Duration,
}

impl Faults {
    /// To be asked before anything of a sync is written.
    ///
    /// Errors: this sync is to fail; the text says that it was injected. Cost: one relaxed load while no fault meets the disk.
    pub fn before_sync(&self) -> Result<(), StoreError> {
        if !self.0.meets_disk.load(Ordering::Relaxed) {
            return Ok(());
        }
        let now = Instant::now();
        let mut state = self.lock();
        self.settle(&mut state.register, now);
        match state.register.take_disk_error(now) {
            Some(fault) => Err(StoreError(format!("injected disk error: {fault}"))),
            None => Ok(()),
        }
    }

    /// Blocks for as long as this sync is to take longer; to be asked between its write and its fdatasync. Cost: as above.
    pub fn hold_sync(&self) {
        if !self.0.meets_disk.load(Ordering::Relaxed) {
            return;
        }
        let began = Instant::now();
        let mut state = self.lock();
        let held = state.register.hold_disk(began);
        loop {
            let now = Instant::now();
            self.settle(&mut state.register, now);
            let left = state.register.disk_wait(&held, began, now);
            if left.is_zero() {
                return;
            }
            // A cleared experiment wakes us; a poisoned lock is treated as in `lock`.
            state = self.0.disk_freed.wait_timeout(state, left).unwrap_or_else(|broken| broken.into_inner()).0;
        }
    }
}
