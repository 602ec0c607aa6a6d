//! What each event does: a message arrives, a node steps its batch, a disk has synced, a clock ticks.
//! Drives the same `run_batch` and `synced` as the real driver. Every send, commit, sync and answer is shown to the judge
//! (`invariants`) at the moment it happens.

use bytes::Bytes;
use driftkv_core::effect::{AdminReply, Effect, Input, Request};
use driftkv_core::message::{Envelope, Message};
use driftkv_core::store::Store;
use rand::RngExt;

use super::{Due, TICK_MS, World, incarnation, index, network};
use crate::invariants::Invariant;
use crate::trace;

impl World {
    /// A client asks `node`; nothing happens if it is down.
    pub fn ask(&mut self, node: usize, token: u64, request: Request) {
        self.trace.note(self.now, || format!("client {token} asks n{node}: {}", trace::request(&request)));
        self.judge.asked(node, token, &request);
        let at = self.machines[node].clock.read(self.now);
        self.input(node, Input::Client { token, at, request });
    }

    /// Lets the next event happen. False: nothing is left.
    pub fn advance(&mut self) -> bool {
        let Some(((at, _), due)) = self.due.pop_first() else { return false };
        self.now = self.now.max(at);
        match due {
            Due::Tick { node } => self.tick(node),
            Due::Step { node } => self.step(node),
            Due::Synced { node, boot, commit } if self.machines[node].boot == boot && self.is_up(node) => {
                let durable = self.machines[node].disk.sync_to(commit);
                self.judge.synced(node, &durable);
                self.machines[node].untold = Some(commit);
                self.tell_synced(node);
            }
            Due::Arrive { from, to, boots, bytes } => self.arrive(from, to, boots, bytes),
            Due::Synced { .. } => {}
        }
        true
    }

    fn tick(&mut self, node: usize) {
        self.after(TICK_MS, Due::Tick { node });
        let runs = self.is_up(node) && !self.machines[node].is_paused;
        if runs && !self.machines[node].inbox.iter().any(|i| matches!(i, Input::Tick)) {
            self.input(node, Input::Tick);
        }
    }

    fn step(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        machine.has_step = false;
        if machine.is_paused {
            return;
        }
        let inputs = std::mem::take(&mut machine.inbox);
        let Some(running) = &mut machine.node else { return };
        self.judge.steps(node, &inputs);
        let (before, now) = (machine.disk.last_commit(), machine.clock.read(self.now));
        let (effects, commit) = running.run_batch(&mut machine.disk, now, inputs).expect("the store works");
        let boot = machine.boot;
        self.effects(node, effects);
        self.judge.stepped();
        if commit > before {
            self.judge.wrote(node, self.machines[node].disk.last_writes());
            let delay = self.rng.random_range(1..self.pace.sync_ms);
            self.after(delay, Due::Synced { node, boot, commit });
        }
    }

    /// The node hears what its disk has synced, unless it is paused.
    pub(super) fn tell_synced(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        if !machine.is_paused
            && let Some(commit) = machine.untold.take()
        {
            let effects = machine.node.as_mut().map(|n| n.synced(commit)).unwrap_or_default();
            self.effects(node, effects);
        }
    }

    pub(super) fn effects(&mut self, node: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send { to, envelope, .. } => self.send(node, index(to), envelope),
                Effect::Reply { token, outcome } => {
                    self.trace.note(self.now, || format!("client {token} hears n{node}: {}", trace::outcome(&outcome)));
                    self.judge.replies(node, token, &outcome);
                    self.replies.push((token, outcome));
                }
                Effect::Halt(why) => self.judge.breach(Invariant::NoFalseFence, format!("n{node}: {why}")),
                Effect::AdminReply { reply: AdminReply::Refused(why), .. } => {
                    self.judge.breach(Invariant::NoFalseFence, format!("n{node} refused the bootstrap: {why}"));
                }
                Effect::Observe(event) => self.trace.note(self.now, || format!("n{node} observes {event:?}")),
                Effect::AdminReply { .. } | Effect::Connect(_) | Effect::Runs { .. } => {}
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, envelope: Envelope) {
        self.judge.sends(from, to, &envelope.message);
        if !self.machines[from].links.contains(&to) {
            return;
        }
        if !matches!(envelope.message, Message::Swim(_)) {
            self.trace.note(self.now, || format!("n{from} -> n{to} {}", trace::message(&envelope.message)));
        }
        let delays = self.network.delays(&mut self.rng);
        if delays.is_empty() {
            return;
        }
        let boots = (self.machines[from].boot, self.machines[to].boot);
        let bytes = network::encode(envelope);
        for delay in delays {
            self.after(delay, Due::Arrive { from, to, boots, bytes: bytes.clone() });
        }
    }

    fn arrive(&mut self, from: usize, to: usize, boots: (u32, u32), bytes: Bytes) {
        if boots != (self.machines[from].boot, self.machines[to].boot) || !self.network.passes(from, to) {
            return;
        }
        let envelope = network::decode(bytes).expect("the wire carries what core sends");
        let at = self.machines[to].clock.read(self.now);
        self.input(to, Input::Peer { from: incarnation(from), at, envelope });
    }
}
