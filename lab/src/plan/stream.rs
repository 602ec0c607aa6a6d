//! The operations of one worker, one after the other.

use super::keys::Chooser;
use super::mix::{Action, Mix};
use super::random::Random;
use super::{Routing, ValueId, Workload};

/// One operation, before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedOp {
    /// Its number in the run.
    pub seq: u64,
    /// Whose it is, and which of its operations; a write's value id.
    pub id: ValueId,
    /// The session whose contexts it carries.
    pub session: u32,
    /// Index of the node it goes to.
    pub target: usize,
    /// What it does.
    pub action: Action,
    /// Index of its key.
    pub key: u64,
}

/// An endless iterator over a worker's operations.
#[derive(Clone, Debug)]
pub struct Stream {
    worker: u32,
    workers: u32,
    sessions: u32,
    targets: u64,
    mix: Mix,
    own_keys: bool,
    routing: Routing,
    random: Random,
    keys: Chooser,
    counter: u64,
}

impl Stream {
    pub(super) fn new(seed: u64, workload: &Workload, worker: u32, targets: usize) -> Self {
        Self {
            worker,
            workers: workload.workers.max(1),
            sessions: workload.sessions.max(1),
            targets: targets.max(1) as u64,
            mix: workload.mix,
            own_keys: workload.own_keys,
            routing: workload.routing,
            random: Random::new(seed, u64::from(worker)),
            keys: Chooser::new(workload.distribution, workload.keys, worker, workload.workers),
            counter: 0,
        }
    }

    /// The next operation.
    pub fn next_op(&mut self) -> PlannedOp {
        let action = self.mix.draw(&mut self.random);
        let key = self.keys.next(&mut self.random, action == Action::Put);
        let key = if self.own_keys { self.keys.own(key) } else { key };
        let id = ValueId { worker: self.worker, counter: self.counter };
        let seq = self.counter * u64::from(self.workers) + u64::from(self.worker);
        self.counter += 1;
        PlannedOp { seq, id, session: self.session(), target: self.target(), action, key }
    }

    fn session(&mut self) -> u32 {
        let (own, first) = (self.sessions / self.workers, self.worker % self.sessions);
        let extra = u32::from(self.worker < self.sessions % self.workers);
        match own + extra {
            0 | 1 => first,
            several => self.worker + self.workers * self.random.below(u64::from(several)) as u32,
        }
    }

    fn target(&mut self) -> usize {
        match self.routing {
            Routing::Sticky => (u64::from(self.worker) % self.targets) as usize,
            Routing::Random => self.random.below(self.targets) as usize,
        }
    }
}
