//! The open loop: every operation is released when it is due, whether or not the store keeps up (research/lab.md 3.2).
//! Operations leave in the order in which they are due, so those that wait for a free slot are simply the next ones of the plan:
//! the queue has no end, keeps every intended time, and takes no memory.
//! Invariants: no tick is skipped and the schedule is never restarted; what was due and never sent is recorded so, once.
//! The dispatcher has a thread of its own, since the timers of the runtime are a millisecond coarse.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::health::Offered;
use super::{LoadError, Run};
use crate::plan::{PlannedOp, in_order};

/// How long the dispatcher sleeps before it looks whether it should stop.
const NAP_MAX: Duration = Duration::from_millis(50);

/// What the schedule says of an operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    /// When it should have been sent.
    pub(super) intended: Instant,
    /// Since when there is a slot for it; before `intended` if it never waited for one.
    pub(super) free_since: Instant,
    /// When the last operation is due, or later.
    pub(super) schedule_end: Instant,
}

impl Due {
    /// How long the loader itself took to turn to it, given that it did so at `begun`.
    pub(super) fn lag(&self, begun: Instant) -> Duration {
        begun.saturating_duration_since(self.intended.max(self.free_since))
    }
}

/// Runs the whole schedule. What is still waiting when it ends has as long as one operation may take; then it is given up.
pub(super) async fn drive(
    run: &Arc<Run>,
    times: impl Iterator<Item = u64> + Send + 'static,
    duration: Duration,
    in_flight: usize,
) -> Result<Offered, LoadError> {
    let in_flight = in_flight.min(u32::MAX as usize).min(Semaphore::MAX_PERMITS);
    let slots = Arc::new(Semaphore::new(in_flight));
    let started = run.started;
    let schedule_end = started + duration;
    let dispatcher = Dispatcher {
        run: Arc::clone(run),
        slots: Arc::clone(&slots),
        runtime: Handle::current(),
        free_since: started,
        schedule_end,
        give_up_at: schedule_end + run.plan.request.timeout,
    };
    let ops = in_order(&run.plan, run.options.targets);
    let schedule = times.map(move |ns| started + Duration::from_nanos(ns)).zip(ops);
    let due = spawn_blocking(move || dispatcher.dispatch(schedule)).await;
    let due = due.map_err(|error| LoadError::Broken(error.to_string()))?;
    let lasted = if run.is_stopped() { started.elapsed().min(duration) } else { duration };
    // Whoever holds a slot ends by its deadline; all slots together mean that nothing is on its way.
    let _all = slots.acquire_many(in_flight as u32).await;
    Ok(Offered { due, lasted })
}

struct Dispatcher {
    run: Arc<Run>,
    slots: Arc<Semaphore>,
    runtime: Handle,
    free_since: Instant,
    schedule_end: Instant,
    give_up_at: Instant,
}

impl Dispatcher {
    /// Sends each operation when it is due, or as soon afterwards as there is a slot; gives the number of those that were due.
    fn dispatch(mut self, schedule: impl Iterator<Item = (Instant, PlannedOp)>) -> u64 {
        let mut schedule = schedule.peekable();
        let mut due = 0;
        while let Some((intended, op)) = schedule.next_if(|(intended, _)| self.wait_until(*intended)) {
            due += 1;
            let Some(slot) = self.slot() else {
                self.give_up(op, intended);
                return due + self.give_up_all(schedule);
            };
            let (run, due) = (Arc::clone(&self.run), self.due(intended));
            self.runtime.spawn(async move {
                run.perform(&op, Some(due)).await;
                drop(slot);
            });
        }
        // A stop cuts the schedule: what waited for a slot until then counts, what was just about to be sent does not.
        if self.slots.available_permits() > 0 { due } else { due + self.give_up_all(schedule) }
    }

    /// Gives up all that is due by now; says how many these were.
    fn give_up_all(&self, schedule: impl Iterator<Item = (Instant, PlannedOp)>) -> u64 {
        let now = Instant::now();
        let overdue = schedule.take_while(|(intended, _)| *intended <= now);
        overdue.map(|(intended, op)| self.give_up(op, intended)).count() as u64
    }

    fn due(&self, intended: Instant) -> Due {
        Due { intended, free_since: self.free_since, schedule_end: self.schedule_end }
    }

    fn give_up(&self, op: PlannedOp, intended: Instant) {
        self.run.give_up(&op, self.due(intended), Instant::now());
    }

    /// Sleeps until `when`; false if the run is stopped first.
    fn wait_until(&self, when: Instant) -> bool {
        while !self.run.is_stopped() {
            let left = when.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(NAP_MAX));
        }
        false
    }

    /// The right to have one more operation under way; `None` if the run ends first.
    fn slot(&mut self) -> Option<OwnedSemaphorePermit> {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Some(slot);
        }
        while !self.run.is_stopped() && Instant::now() < self.give_up_at {
            let wanted = Arc::clone(&self.slots).acquire_owned();
            if let Ok(Ok(slot)) = self.runtime.block_on(async { timeout(NAP_MAX, wanted).await }) {
                self.free_since = Instant::now();
                return Some(slot);
            }
        }
        None
    }
}
