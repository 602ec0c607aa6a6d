//! The sync thread: makes everything committed so far durable, whenever it is asked.
//! Invariant: at most one sync runs and at most one more is asked for; a failed one ends the process, never a retry.

use std::sync::mpsc as std_mpsc;
use std::thread;
use std::time::Instant;

use driftkv_core::id::CommitNo;
use tokio::sync::mpsc;

use crate::faults::Faults;
use crate::metrics::Metrics;
use crate::store::disk::{Syncer, guarded};

/// The engine's view of the sync thread.
pub(super) struct Sync {
    asks: std_mpsc::SyncSender<()>,
    done: mpsc::Receiver<CommitNo>,
    is_running: bool,
}

impl Sync {
    /// Starts the thread. `faults`: may hold a sync back or fail it. Errors: the system gives none.
    pub(super) fn start(mut syncer: Syncer, faults: Faults, metrics: Metrics) -> std::io::Result<Sync> {
        let (asks, asked) = std_mpsc::sync_channel::<()>(1);
        let (finished, done) = mpsc::channel(1);
        thread::Builder::new().name("driftkv-sync".to_owned()).spawn(move || {
            while asked.recv().is_ok() {
                let began = Instant::now();
                let sync = || faults.before_sync().and_then(|()| syncer.sync_held(|| faults.hold_sync()));
                match guarded("syncing", sync) {
                    Ok(commit) => {
                        metrics.synced(syncer.last(), began.elapsed());
                        if finished.blocking_send(commit).is_err() {
                            return;
                        }
                    }
                    Err(error) => die(&error),
                }
            }
        })?;
        Ok(Sync { asks, done, is_running: false })
    }

    /// Asks for a sync unless one runs; its end asks again if there is more.
    pub(super) fn ask(&mut self) {
        if !self.is_running {
            self.is_running = self.asks.try_send(()).is_ok();
        }
    }

    /// What is durable now. Pending for ever while no sync runs. Cancel safe.
    pub(super) async fn done(&mut self) -> CommitNo {
        match self.done.recv().await {
            Some(commit) => {
                self.is_running = false;
                commit
            }
            None => std::future::pending().await,
        }
    }
}

/// Ends the process without destructors: an engine's own drop may sync again and seem to succeed.
pub(super) fn die(error: &dyn std::fmt::Display) -> ! {
    tracing::error!(%error, "the store failed; this process ends at once and acknowledges nothing more");
    std::process::abort()
}
