//! Many nodes on one thread, driven by the same `run_batch` as the real driver: seeded time, network, disks and faults.
//! Invariant: the same seed gives the same trace. Messages pass between nodes as core values, not through protobuf.

use std::collections::{BTreeMap, BTreeSet};

use driftkv_core::config::ClusterConfig;
use driftkv_core::effect::{AdminReply, AdminRequest, Effect, Failure, Input, Reply, Request};
use driftkv_core::id::{ClusterId, CommitNo, Incarnation};
use driftkv_core::layout::{Layout, Member};
use driftkv_core::message::{Envelope, Message};
use driftkv_core::node::{Node, Settings};
use driftkv_core::store::{MemStore, Store};
use driftkv_core::time::Time;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// The cluster of every simulated run.
pub const CLUSTER: ClusterId = ClusterId(77);

/// What is due.
#[derive(Debug)]
enum Due {
    Arrive { from: usize, to: usize, boot: u32, envelope: Envelope },
    Step { node: usize },
    Synced { node: usize, boot: u32, commit: CommitNo },
    Tick { node: usize },
}

/// One simulated machine.
struct Machine {
    node: Option<Node>,
    store: MemStore,
    boot: u32,
    inbox: Vec<Input>,
    has_step: bool,
    is_paused: bool,
    /// Links as this node believes them.
    links: BTreeSet<usize>,
    seed: u64,
}

/// The simulated cluster.
pub struct World {
    /// Simulated milliseconds.
    pub now: Time,
    /// All randomness of the run.
    pub rng: SmallRng,
    /// Answers to clients since they were last taken.
    pub replies: Vec<(u64, Result<Reply, Failure>)>,
    /// One line an event.
    pub trace: Vec<String>,
    /// What was found wrong so far.
    pub broken: Vec<String>,
    /// Chance, in percent, that a message is lost or doubled.
    pub loss: u32,
    machines: Vec<Machine>,
    layout: Layout,
    config: ClusterConfig,
    due: BTreeMap<(Time, u64), Due>,
    next: u64,
    cuts: BTreeSet<(usize, usize)>,
    dots: BTreeMap<driftkv_core::causality::Dot, driftkv_core::causality::Payload>,
}

fn incarnation(node: usize) -> Incarnation {
    Incarnation(node as u64 + 1)
}

fn member(i: usize) -> Member {
    Member {
        incarnation: incarnation(i),
        name: format!("n{i}"),
        zone: format!("z{}", i % 3),
        capacity: 1,
        client_address: format!("c{i}:1"),
        peer_address: format!("p{i}:1"),
        admin_address: format!("a{i}:1"),
    }
}

impl World {
    /// A bootstrapped cluster of `count` nodes.
    pub fn new(seed: u64, count: usize, is_sloppy: bool) -> World {
        let config = ClusterConfig { replicas: count as u32, partitions: 8, sloppy: is_sloppy, ..Default::default() };
        let members = (0..count).map(member).collect();
        let layout = Layout::first(CLUSTER, 8, config.replication_factor, members).expect("a valid layout");
        let machine = |i: usize| Machine {
            node: None,
            store: MemStore::default(),
            boot: 0,
            inbox: Vec::new(),
            has_step: false,
            is_paused: false,
            links: BTreeSet::new(),
            seed: seed ^ i as u64,
        };
        let mut world = World {
            now: Time(1),
            rng: SmallRng::seed_from_u64(seed),
            replies: Vec::new(),
            trace: Vec::new(),
            broken: Vec::new(),
            loss: 0,
            machines: (0..count).map(machine).collect(),
            layout,
            config,
            due: BTreeMap::new(),
            next: 0,
            cuts: BTreeSet::new(),
            dots: BTreeMap::new(),
        };
        for node in 0..count {
            world.start(node);
            let request = AdminRequest::Bootstrap(world.layout.clone());
            world.input(node, Input::Admin { token: 0, request });
        }
        world
    }

    /// How many nodes there are.
    pub fn count(&self) -> usize {
        self.machines.len()
    }

    /// Whether a node runs.
    pub fn is_up(&self, node: usize) -> bool {
        self.machines[node].node.is_some()
    }

    fn note(&mut self, line: String) {
        self.trace.push(format!("{:>6} {line}", self.now.0));
    }

    fn after(&mut self, ms: u64, due: Due) {
        self.next += 1;
        self.due.insert((self.now.plus(ms), self.next), due);
    }

    /// Starts a node on its disk; its boot is synced before it serves.
    pub fn start(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        let mut settings = Settings::new(incarnation(node), self.config);
        settings.seed = machine.seed ^ u64::from(machine.boot) << 32;
        settings.replica_timeout_ms = 120;
        settings.timeout_ms = 600;
        settings.hint_interval_ms = 200;
        settings.probe_interval_ms = 60;
        settings.tree_interval_ms = 20;
        settings.verify_interval_ms = 700;
        let mut fresh = Node::open(settings, &mut machine.store, self.now).expect("the store opens");
        let commit = machine.store.last_commit();
        machine.store.sync_to(commit);
        let effects = fresh.synced(commit);
        machine.node = Some(fresh);
        machine.boot += 1;
        machine.is_paused = false;
        self.note(format!("start {node}"));
        self.effects(node, effects);
        if self.machines[node].boot == 1 {
            self.after(5, Due::Tick { node });
        }
        self.relink();
    }

    /// Stops a node at once: a random prefix of its unsynced commits survives.
    pub fn crash(&mut self, node: usize) {
        let unsynced = self.machines[node].store.unsynced();
        let keep = self.rng.random_range(0..=unsynced);
        let machine = &mut self.machines[node];
        machine.node = None;
        machine.inbox.clear();
        machine.links.clear();
        machine.store.crash(keep);
        self.note(format!("crash {node} keeps {keep} of {unsynced}"));
        self.relink();
    }

    /// Stops a node in order, all its commits synced and the marker last.
    pub fn stop(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        if let Some(mut old) = machine.node.take() {
            let commit = old.finish(&mut machine.store).expect("the store works");
            machine.store.sync_to(commit);
        }
        machine.inbox.clear();
        machine.links.clear();
        self.note(format!("stop {node}"));
        self.relink();
    }

    /// A paused node neither steps nor ticks; what arrives waits.
    pub fn pause(&mut self, node: usize, is_paused: bool) {
        self.machines[node].is_paused = is_paused;
        self.note(format!("pause {node} {is_paused}"));
        if !is_paused {
            self.wake(node);
        }
    }

    /// Cuts `from` -> `to` one way.
    pub fn cut(&mut self, from: usize, to: usize) {
        self.cuts.insert((from, to));
        self.note(format!("cut {from}->{to}"));
        self.relink();
    }

    /// Ends all cuts.
    pub fn heal(&mut self) {
        self.cuts.clear();
        self.note("heal".to_owned());
        self.relink();
    }

    /// Tells each node which of its outgoing links work.
    fn relink(&mut self) {
        for from in 0..self.count() {
            for to in (0..self.count()).filter(|to| *to != from) {
                let is_linked = self.is_up(from) && self.is_up(to) && !self.cuts.contains(&(from, to));
                let peer = incarnation(to);
                let was_linked = self.machines[from].links.contains(&to);
                if is_linked && !was_linked {
                    self.machines[from].links.insert(to);
                    let (boot, synced) = (self.machines[to].boot, CommitNo(0));
                    self.input(from, Input::LinkUp { peer, boot, synced });
                } else if !is_linked && was_linked {
                    self.machines[from].links.remove(&to);
                    self.input(from, Input::LinkDown { peer });
                }
            }
        }
    }

    fn input(&mut self, node: usize, input: Input) {
        if self.is_up(node) {
            self.machines[node].inbox.push(input);
            self.wake(node);
        }
    }

    fn wake(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        if !machine.has_step && !machine.is_paused {
            machine.has_step = true;
            let delay = self.rng.random_range(0..3);
            self.after(delay, Due::Step { node });
        }
    }

    /// A client asks `node`; nothing happens if it is down.
    pub fn ask(&mut self, node: usize, token: u64, request: Request) {
        self.note(format!("client {token} asks {node}: {request:?}"));
        let at = self.now;
        self.input(node, Input::Client { token, at, request });
    }

    /// Lets the next event happen. False: nothing is left.
    pub fn advance(&mut self) -> bool {
        let Some(((at, _), due)) = self.due.pop_first() else { return false };
        self.now = self.now.max(at);
        match due {
            Due::Tick { node } => {
                self.after(5, Due::Tick { node });
                let runs = self.is_up(node) && !self.machines[node].is_paused;
                if runs && !self.machines[node].inbox.iter().any(|i| matches!(i, Input::Tick)) {
                    self.input(node, Input::Tick);
                }
            }
            Due::Step { node } => self.step(node),
            Due::Synced { node, boot, commit } if self.machines[node].boot == boot => {
                let machine = &mut self.machines[node];
                machine.store.sync_to(commit);
                let effects = machine.node.as_mut().map(|n| n.synced(commit)).unwrap_or_default();
                self.effects(node, effects);
            }
            Due::Arrive { from, to, boot, envelope } if self.machines[from].boot == boot => {
                if !self.cuts.contains(&(from, to)) {
                    let at = self.now;
                    self.input(to, Input::Peer { from: incarnation(from), at, envelope });
                }
            }
            Due::Synced { .. } | Due::Arrive { .. } => {}
        }
        true
    }

    fn step(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        machine.has_step = false;
        if machine.is_paused {
            return;
        }
        let inputs = std::mem::take(&mut machine.inbox);
        let Some(running) = &mut machine.node else { return };
        let before = machine.store.last_commit();
        let (effects, commit) = running.run_batch(&mut machine.store, self.now, inputs).expect("the store works");
        let boot = machine.boot;
        if commit > before {
            let delay = self.rng.random_range(1..25);
            self.after(delay, Due::Synced { node, boot, commit });
        }
        self.effects(node, effects);
    }

    fn effects(&mut self, node: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send { to, envelope, .. } => self.send(node, to.0 as usize - 1, envelope),
                Effect::Reply { token, outcome } => {
                    self.note(format!("client {token} hears from {node}: {outcome:?}"));
                    self.replies.push((token, outcome));
                }
                Effect::Halt(why) => self.broken.push(format!("no false fence: node {node}: {why}")),
                Effect::AdminReply { reply: AdminReply::Refused(why), .. } => self.broken.push(why),
                Effect::Observe(event) => self.note(format!("node {node} observes {event:?}")),
                Effect::AdminReply { .. } | Effect::Connect(_) => {}
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, envelope: Envelope) {
        self.check_dots(&envelope.message);
        if !self.machines[from].links.contains(&to) {
            return;
        }
        if !matches!(envelope.message, Message::Swim(_)) {
            self.note(format!("{from}->{to} {:?}", envelope.message));
        }
        let copies = match self.rng.random_range(0..100u32) {
            roll if roll < self.loss => 0,
            roll if roll < 2 * self.loss => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let slow = self.rng.random_range(0..20) == 0;
            let delay = if slow { self.rng.random_range(5..200) } else { self.rng.random_range(1..8) };
            let boot = self.machines[from].boot;
            self.after(delay, Due::Arrive { from, to, boot, envelope: envelope.clone() });
        }
    }

    /// No dot used for two values: every state that is ever sent shows the same payload under the same dot.
    fn check_dots(&mut self, message: &Message) {
        let Message::Replicate(replicate) = message else { return };
        let Ok(state) = driftkv_core::causality::State::decode(replicate.state.clone()) else {
            self.broken.push("a state that was sent does not decode".to_owned());
            return;
        };
        for (dot, payload) in state.dots() {
            let known = self.dots.entry(dot).or_insert_with(|| payload.clone());
            if known != payload {
                self.broken.push(format!("no dot used for two values: {dot:?}"));
            }
        }
    }

    /// What each owner of each key stores: `key -> [(node, state)]`.
    pub fn stored(&self, key: &driftkv_core::id::Key) -> Vec<(usize, driftkv_core::causality::State)> {
        let partition = key.partition(self.layout.partitions);
        let owners = self.layout.owners_of(partition).map(|m| m.incarnation.0 as usize - 1);
        let state = |node: usize| {
            let bytes = self.machines[node].store.get(driftkv_core::store::Space::Data, &key.storage_key());
            let record = bytes.expect("the store works").map(driftkv_core::record::Record::decode);
            (node, record.transpose().expect("a whole record").map(|r| r.state).unwrap_or_default())
        };
        owners.map(state).collect()
    }

    /// Hints held by all nodes: holder, target, bytes of the key and the record.
    pub fn hints(&self) -> Vec<(usize, u8, usize)> {
        let held = |(node, m): (usize, &Machine)| {
            let hints = m.store.scan(driftkv_core::store::Space::Hints, b"", None, usize::MAX).unwrap_or_default();
            hints.into_iter().map(move |(key, value)| (node, key[7] - 1, key.len() + value.len())).collect::<Vec<_>>()
        };
        self.machines.iter().enumerate().flat_map(held).collect()
    }
}
