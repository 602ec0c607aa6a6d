//! What goes wrong in the world, and how it is mended: crashes, stops, pauses, cuts, bad links, clocks.
//! Which fault happens when is drawn in `run/faults.rs`.

use driftkv_core::effect::Input;
use rand::RngExt;

use super::network::Cut;
use super::{Due, TICK_MS, World, incarnation};

impl World {
    /// Starts a node on its disk.
    pub fn start(&mut self, node: usize) {
        let settings = self.settings(node);
        let (durable, effects) = self.machines[node].start(settings, self.now);
        self.judge.booted(node);
        self.judge.synced(node, &durable);
        self.trace.note(self.now, || format!("n{node} starts"));
        self.effects(node, effects);
        if self.machines[node].boot == 1 {
            self.after(TICK_MS, Due::Tick { node });
        }
        self.relink();
    }

    /// Stops a node at once: a random prefix of its unsynced commits survives.
    pub fn crash(&mut self, node: usize) {
        let unsynced = self.machines[node].disk.unsynced();
        let keep = self.rng.random_range(0..=unsynced);
        let durable = self.machines[node].crash(keep);
        self.judge.synced(node, &durable);
        self.trace.note(self.now, || format!("n{node} crashes; {keep} of {unsynced} unsynced commits survive"));
        self.relink();
    }

    /// Stops a node in order.
    pub fn stop(&mut self, node: usize) {
        let durable = self.machines[node].stop();
        self.judge.synced(node, &durable);
        self.trace.note(self.now, || format!("n{node} stops in order"));
        self.relink();
    }

    /// A paused node neither steps nor ticks; what arrives waits.
    pub fn pause(&mut self, node: usize) {
        self.machines[node].is_paused = true;
        self.trace.note(self.now, || format!("n{node} is paused"));
    }

    /// Ends a pause.
    pub fn resume(&mut self, node: usize) {
        if std::mem::take(&mut self.machines[node].is_paused) {
            self.trace.note(self.now, || format!("n{node} goes on"));
            self.tell_synced(node);
            self.wake(node);
        }
    }

    /// A node's clock jumps forward by `ms`.
    pub fn jump_clock(&mut self, node: usize, ms: u64) {
        self.machines[node].clock.jump(ms);
        self.trace.note(self.now, || format!("the clock of n{node} jumps {ms} ms"));
    }

    /// A node's clock stands still.
    pub fn stop_clock(&mut self, node: usize) {
        let now = self.now;
        self.machines[node].clock.stop(now);
        self.trace.note(now, || format!("the clock of n{node} stands still"));
    }

    /// All clocks run.
    pub fn run_clocks(&mut self) {
        self.machines.iter_mut().for_each(|m| m.clock.go());
    }

    /// Cuts `from -> to`, one way.
    pub fn cut(&mut self, from: usize, to: usize, cut: Cut) {
        self.network.cut(from, to, cut);
        self.trace.note(self.now, || format!("cut n{from} -> n{to}, {cut:?}"));
        self.relink();
    }

    /// From now on so many percent of messages are lost, and doubled.
    pub fn set_links(&mut self, loss: u32, doubling: u32) {
        (self.network.loss, self.network.doubling) = (loss, doubling);
        self.trace.note(self.now, || format!("{loss}% of messages are lost, {doubling}% doubled"));
    }

    /// The network is perfect again.
    pub fn heal(&mut self) {
        self.network.heal();
        self.trace.note(self.now, || "the network heals".to_owned());
        self.relink();
    }

    /// Tells each node which of its outgoing links came up or broke.
    fn relink(&mut self) {
        for from in 0..self.count() {
            for to in (0..self.count()).filter(|to| *to != from) {
                let is_linked = self.is_up(from) && self.is_up(to) && self.network.is_connected(from, to);
                let (peer, links) = (incarnation(to), &mut self.machines[from].links);
                if is_linked && links.insert(to) {
                    let (boot, synced) = (self.machines[to].boot, self.machines[to].disk.last_synced());
                    self.input(from, Input::LinkUp { peer, boot, synced });
                } else if !is_linked && links.remove(&to) {
                    self.input(from, Input::LinkDown { peer });
                }
            }
        }
    }
}
