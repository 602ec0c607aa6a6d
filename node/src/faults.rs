//! What this node does with an experiment of the fault vocabulary (`proto/src/faults.rs`): it loses, delays, doubles and reorders what it
//! sends, loses what crosses a cut, stands still, ends, syncs slowly or not at all, or goes by a wrong clock. design.md, *Faults are API*.
//! Invariants: nothing is injected unless the node was started to allow it; an experiment is injected whole or refused; each ends by itself,
//! by this node's monotonic clock, whoever dies meanwhile; the same seed draws the same fates for each link.
//! An experiment is not remembered over a restart, so a node that `crash` ended and its supervisor brought back does not crash again.
//! Not here: sending and holding messages back (the peer streams, with a [`DelayLine`]), and standing still (the engine, see [`Faults::paused`]).

mod delay_line;
mod disk;
mod error;
mod fate;
mod injected;
mod register;
mod schedule;
#[cfg(test)]
mod tests;

use std::{
    future,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use driftkv_proto::{
    faults::{Experiment, Refusal},
    v1,
};
use tokio::{
    sync::{Notify, watch},
    time::{self, Instant},
};

pub use delay_line::DelayLine;
pub use error::FaultError;
pub use fate::{Copy, Fate};
use register::Register;

/// The faults of one node; clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Faults(Arc<Shared>);

/// Whom an experiment may name, and what it must leave standing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Every member, this node included.
    pub names: Vec<String>,
    /// Replicas a key.
    pub n: u32,
    /// The read quorum.
    pub r: u32,
    /// The write quorum.
    pub w: u32,
}

#[derive(Debug)]
struct Shared {
    is_allowed: bool,
    /// Whether a message may meet an active fault. A copy of what the register knows, for the path of every message.
    meets_messages: AtomicBool,
    /// The same for the path of every sync.
    meets_disk: AtomicBool,
    /// The same for every look at the clock.
    skew_ms: AtomicI64,
    active_count: AtomicUsize,
    state: Mutex<State>,
    /// Wakes a sync that is held back when experiments go.
    disk_freed: Condvar,
    /// Wakes `run` when experiments come or go.
    changed: Notify,
    paused: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    members: Option<Membership>,
    register: Register,
}

impl Faults {
    /// The faults of the node `name`, none at first. Unless `is_allowed`, there will never be any.
    pub fn new(name: &str, is_allowed: bool) -> Self {
        Self(Arc::new(Shared {
            is_allowed,
            meets_messages: AtomicBool::new(false),
            meets_disk: AtomicBool::new(false),
            skew_ms: AtomicI64::new(0),
            active_count: AtomicUsize::new(0),
            disk_freed: Condvar::new(),
            state: Mutex::new(State { members: None, register: Register::new(name) }),
            changed: Notify::new(),
            paused: watch::Sender::new(false),
        }))
    }

    /// Whether this node was started to be disturbed.
    pub fn is_allowed(&self) -> bool {
        self.0.is_allowed
    }

    /// Sets who the members are; until then no experiment can be checked, and each is refused.
    pub fn set_members(&self, members: Membership) {
        self.lock().members = Some(members);
    }

    /// Starts the experiment written in `text` and says what is known of it and the others.
    ///
    /// The same id again, while it is in the status, does not restart it and is answered the same way; later it is refused.
    /// Errors: why nothing was injected; what was active goes on unchanged.
    pub fn apply(&self, text: &str) -> Result<v1::FaultStatus, FaultError> {
        self.apply_within(text, Duration::MAX)
    }

    /// As [`Faults::apply`], of an experiment that began elsewhere: it ends after `left` here, if that is sooner than it says.
    pub fn apply_within(&self, text: &str, left: Duration) -> Result<v1::FaultStatus, FaultError> {
        if !self.0.is_allowed {
            return Err(FaultError::NotAllowed);
        }
        let experiment = Experiment::parse(text)?;
        if let Some(why) = experiment.unsupported() {
            return Err(FaultError::Unsupported(why));
        }
        let now = Instant::now();
        let mut state = self.lock();
        self.settle(&mut state.register, now);
        if !state.register.knows(&experiment)? {
            check_quorum(&state, &experiment)?;
            state.register.start(experiment, text, left, now)?;
            self.settle(&mut state.register, now);
            self.0.changed.notify_one();
        }
        Ok(self.report(&state.register, now))
    }

    /// Ends the experiment `id`, or all with the empty id, at once, and says what is known. One that has ended stays as it is.
    ///
    /// Errors: an id this node does not know.
    pub fn clear(&self, id: &str) -> Result<v1::FaultStatus, FaultError> {
        let now = Instant::now();
        let mut state = self.lock();
        self.settle(&mut state.register, now);
        state.register.clear(id)?;
        self.settle(&mut state.register, now);
        self.0.disk_freed.notify_all();
        self.0.changed.notify_one();
        Ok(self.report(&state.register, now))
    }

    /// The active experiments, then the last that ended, newest first, with what each of their faults did here.
    pub fn status(&self) -> v1::FaultStatus {
        let now = Instant::now();
        let mut state = self.lock();
        self.settle(&mut state.register, now);
        self.report(&state.register, now)
    }

    /// What happens to one message from this node to the node `to`.
    ///
    /// Cost: one relaxed load while no fault meets messages; else a lock, and memory for the copies.
    pub fn outgoing(&self, to: &str) -> Fate {
        if !self.0.meets_messages.load(Ordering::Relaxed) {
            return Fate::Pass;
        }
        self.lock().register.outgoing(to, Instant::now())
    }

    /// Whether a message that came from the node `from` is lost.
    ///
    /// Both ends enforce a cut, so that a node the experiment has not reached cannot break it. All else is the sender's.
    /// Cost: as of [`Faults::outgoing`].
    pub fn loses_incoming(&self, from: &str) -> bool {
        if !self.0.meets_messages.load(Ordering::Relaxed) {
            return false;
        }
        self.lock().register.loses_incoming(from, Instant::now())
    }

    /// How far the engine's clock is to be from the true one, in milliseconds. Positive: ahead.
    ///
    /// Cost: one relaxed load. Changes only while [`Faults::run`] runs.
    pub fn skew_ms(&self) -> i64 {
        self.0.skew_ms.load(Ordering::Relaxed)
    }

    /// How many experiments are active; [`Faults::status`] has their counters. Changes only while [`Faults::run`] runs.
    pub fn active_count(&self) -> usize {
        self.0.active_count.load(Ordering::Relaxed)
    }

    /// How many active faults of each kind touch this node; kinds without any are left out.
    pub fn active_kinds(&self) -> Vec<(&'static str, u64)> {
        let mut state = self.lock();
        self.settle(&mut state.register, Instant::now());
        state.register.kinds_here().into_iter().collect()
    }

    /// Whether this node is to stand still: nothing is processed while this holds true. Changes only while [`Faults::run`] runs.
    pub fn paused(&self) -> watch::Receiver<bool> {
        self.0.paused.subscribe()
    }

    /// Ends experiments and pauses when their time is up and begins pauses and crashes; returns never.
    ///
    /// `crash`: called with the fault that wants the process to end now, without warning. If it returns, the node lives on.
    pub async fn run(self, crash: impl Fn(&str) + Send + 'static) {
        loop {
            let (crashes, next_turn) = self.turn();
            for fault in crashes {
                crash(&fault);
            }
            let timer = async {
                match next_turn {
                    Some(at) => time::sleep_until(at).await,
                    None => future::pending().await,
                }
            };
            tokio::select! {
                () = timer => {}
                () = self.0.changed.notified() => {}
            }
        }
    }

    /// The crashes that are due, each once, and when to look again.
    fn turn(&self) -> (Vec<String>, Option<Instant>) {
        let now = Instant::now();
        let mut state = self.lock();
        self.settle(&mut state.register, now);
        (state.register.take_crashes(now), state.register.next_turn(now))
    }

    /// Brings what others see of the register up to `now`.
    fn settle(&self, register: &mut Register, now: Instant) {
        register.expire(now);
        self.0.meets_messages.store(register.meets_messages(), Ordering::Relaxed);
        self.0.meets_disk.store(register.meets_disk(), Ordering::Relaxed);
        self.0.skew_ms.store(register.skew_ms(), Ordering::Relaxed);
        self.0.active_count.store(register.active_count(), Ordering::Relaxed);
        let is_paused = register.is_paused(now);
        let was_changed = self.0.paused.send_if_modified(|held| std::mem::replace(held, is_paused) != is_paused);
        if was_changed {
            tracing::info!(is_paused, "a fault pauses this node, or ends its pause");
        }
    }

    fn report(&self, register: &Register, now: Instant) -> v1::FaultStatus {
        v1::FaultStatus { is_allowed: self.0.is_allowed, experiments: register.report(now) }
    }

    /// A thread that panicked with the lock left counters at worst one behind: that is no reason to lose the others.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts the experiments already active with the new one: two that spare the quorum alone may cost it together.
/// One that disturbs no node takes nothing away, whatever the others do.
fn check_quorum(state: &State, experiment: &Experiment) -> Result<(), FaultError> {
    let Membership { names, n, r, w } = state.members.as_ref().ok_or(FaultError::NoMembers)?;
    let check = |experiment: &Experiment| experiment.quorum_check(names, *n as usize, *r as usize, *w as usize);
    check(experiment).map_err(|refusal| FaultError::Refused { refusal, others: Vec::new() })?;
    if experiment.disturbed(names).is_empty() {
        return Ok(());
    }
    let (others, mut faults) = state.register.active();
    faults.extend_from_slice(&experiment.faults);
    let refuse = |refusal: Refusal| FaultError::Refused { refusal, others };
    check(&Experiment { faults, ..experiment.clone() }).map_err(refuse)
}
