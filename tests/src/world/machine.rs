//! One simulated machine: a node while it runs, its disk, its clock, and what waits to be stepped.
//! Clocks run apart, jump forward and stand still; none runs backward, as a monotonic clock does not.

use std::collections::BTreeSet;

use driftkv_core::effect::{Effect, Input};
use driftkv_core::id::CommitNo;
use driftkv_core::node::{Node, Settings};
use driftkv_core::time::Time;

use super::disk::{Disk, Write};

/// A machine's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    ahead: u64,
    stopped_at: Option<Time>,
}

impl Clock {
    /// What it shows when the world's clock shows `now`.
    pub fn read(&self, now: Time) -> Time {
        self.stopped_at.unwrap_or_else(|| now.plus(self.ahead))
    }

    /// Jumps forward.
    pub fn jump(&mut self, ms: u64) {
        self.ahead += ms;
        self.stopped_at = self.stopped_at.map(|at| at.plus(ms));
    }

    /// Stands still from now on.
    pub fn stop(&mut self, now: Time) {
        self.stopped_at.get_or_insert(now.plus(self.ahead));
    }

    /// Goes on, with the jump that makes up for the standstill.
    pub fn go(&mut self) {
        self.stopped_at = None;
    }
}

/// One machine.
#[derive(Default)]
pub struct Machine {
    /// `None`: it is down.
    pub node: Option<Node>,
    /// Survives crashes, up to what was not synced.
    pub disk: Disk,
    /// How often it was started.
    pub boot: u32,
    /// Its clock.
    pub clock: Clock,
    /// What arrived and was not stepped yet.
    pub inbox: Vec<Input>,
    /// A step is due.
    pub has_step: bool,
    /// It neither steps nor ticks; what arrives waits.
    pub is_paused: bool,
    /// Links as this node believes them.
    pub links: BTreeSet<usize>,
    /// Synced while it was paused: the node is not told yet.
    pub untold: Option<CommitNo>,
}

impl Machine {
    /// Starts the node; its boot is synced before it serves. What the disk made durable, and what may leave.
    pub fn start(&mut self, settings: Settings, now: Time) -> (Vec<Write>, Vec<Effect>) {
        let mut node = Node::open(settings, &mut self.disk, self.clock.read(now)).expect("the store opens");
        let commit = driftkv_core::store::Store::last_commit(&self.disk);
        let durable = self.disk.sync_to(commit);
        let effects = node.synced(commit);
        self.node = Some(node);
        self.boot += 1;
        self.is_paused = false;
        (durable, effects)
    }

    /// Loses everything in memory; the first `keep` unsynced commits survive.
    pub fn crash(&mut self, keep: usize) -> Vec<Write> {
        self.node = None;
        self.forget();
        self.disk.crash(keep)
    }

    /// Stops in order, all commits synced and the marker last. Nothing more leaves.
    pub fn stop(&mut self) -> Vec<Write> {
        let Some(mut node) = self.node.take() else { return Vec::new() };
        let commit = node.finish(&mut self.disk).expect("the store works");
        self.forget();
        self.disk.sync_to(commit)
    }

    fn forget(&mut self) {
        self.inbox.clear();
        self.links.clear();
        self.untold = None;
    }
}
