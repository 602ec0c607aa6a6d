//! The simulated cluster: machines, disks and a network, and the queue of what is due.
//! Everything random comes from one seeded generator and events are ordered by (time, number): the same seed, the same run.
//! Not here: what each event does (`events`), what fails (`faults`), clients and the phases of a run (`run`).

use std::collections::BTreeMap;

use bytes::Bytes;
use driftkv_core::causality::State;
use driftkv_core::config::ClusterConfig;
use driftkv_core::effect::{AdminRequest, Failure, Input, Reply};
use driftkv_core::id::{ClusterId, CommitNo, Incarnation, Key};
use driftkv_core::layout::{Layout, Member};
use driftkv_core::node::Settings;
use driftkv_core::record::Record;
use driftkv_core::store::{Space, Store};
use driftkv_core::time::Time;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::invariants::Judge;
use crate::trace::Trace;

pub mod disk;
mod events;
pub mod faults;
pub mod machine;
pub mod network;
use machine::Machine;
use network::Network;

/// The cluster of every simulated run.
pub const CLUSTER: ClusterId = ClusterId(77);
/// Slices of the ring.
pub const PARTITIONS: u32 = 8;

/// Milliseconds between two ticks of a node.
const TICK_MS: u64 = 10;

/// How fast a cluster's disks and background work are.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The longest a sync takes, in milliseconds.
    pub sync_ms: u64,
    /// Time between two rounds of anti-entropy of a node.
    pub tree_interval_ms: u64,
}

/// What is due.
enum Due {
    Arrive { from: usize, to: usize, boots: (u32, u32), bytes: Bytes },
    Step { node: usize },
    Synced { node: usize, boot: u32, commit: CommitNo },
    Tick { node: usize },
}

/// The simulated cluster.
pub struct World {
    /// Simulated milliseconds.
    pub now: Time,
    /// All randomness of the run.
    pub rng: SmallRng,
    /// Answers to clients since they were last taken.
    pub replies: Vec<(u64, Result<Reply, Failure>)>,
    /// What happened, line by line, if it is wanted.
    pub trace: Trace,
    /// Sees everything.
    pub judge: Judge,
    seed: u64,
    network: Network,
    machines: Vec<Machine>,
    layout: Layout,
    config: ClusterConfig,
    pace: Pace,
    due: BTreeMap<(Time, u64), Due>,
    next: u64,
}

/// The incarnation of the node with this index.
pub fn incarnation(node: usize) -> Incarnation {
    Incarnation(node as u64 + 1)
}

/// The index of the node with this incarnation.
pub fn index(incarnation: Incarnation) -> usize {
    incarnation.0 as usize - 1
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

/// The layout of a cluster: all nodes, spread over three zones.
pub fn layout(config: ClusterConfig) -> Layout {
    let members = (0..config.replicas as usize).map(member).collect();
    Layout::first(CLUSTER, PARTITIONS, config.replication_factor, members).expect("a valid layout")
}

impl World {
    /// A cluster that is being bootstrapped.
    pub fn new(seed: u64, config: ClusterConfig, pace: Pace, judge: Judge, trace: Trace) -> World {
        let layout = judge.facts.layout.clone();
        let mut world = World {
            now: Time(1),
            rng: SmallRng::seed_from_u64(seed),
            replies: Vec::new(),
            trace,
            judge,
            seed,
            network: Network::default(),
            machines: (0..config.replicas).map(|_| Machine::default()).collect(),
            layout,
            config,
            pace,
            due: BTreeMap::new(),
            next: 0,
        };
        for node in 0..world.count() {
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

    /// Whether no request is under way on any node.
    pub fn is_idle(&self) -> bool {
        self.machines.iter().filter_map(|m| m.node.as_ref()).all(driftkv_core::node::Node::is_idle)
    }

    fn after(&mut self, ms: u64, due: Due) {
        self.next += 1;
        self.due.insert((self.now.plus(ms), self.next), due);
    }

    fn settings(&self, node: usize) -> Settings {
        let mut settings = Settings::new(incarnation(node), self.config);
        settings.seed = self.seed ^ node as u64 ^ u64::from(self.machines[node].boot) << 32;
        settings.replica_timeout_ms = 120;
        settings.timeout_ms = 600;
        settings.hint_interval_ms = 200;
        settings.probe_interval_ms = 60;
        settings.tree_interval_ms = self.pace.tree_interval_ms;
        settings.verify_interval_ms = 700;
        settings
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

    /// What each owner of `key` stores.
    pub fn stored(&self, key: &Key) -> Vec<(usize, State)> {
        let owners = self.layout.owners_of(key.partition(PARTITIONS)).map(|m| index(m.incarnation));
        let place = key.storage_key();
        let state = |node: usize| {
            let bytes = self.machines[node].disk.get(Space::Data, &place).expect("the store works");
            (node, bytes.map(|b| Record::decode(&place, b).expect("a whole record").state).unwrap_or_default())
        };
        owners.map(state).collect()
    }

    /// Hints held by all nodes: (holder, target, bytes).
    pub fn hints(&self) -> Vec<(usize, usize, usize)> {
        let held = |(node, machine): (usize, &Machine)| {
            let hints = machine.disk.scan(Space::Hints, b"", None, usize::MAX).expect("the store works");
            let one = move |(key, value): (Bytes, Bytes)| (node, hint_target(&key), value.len());
            hints.into_iter().map(one).collect::<Vec<_>>()
        };
        self.machines.iter().enumerate().flat_map(held).collect()
    }
}

/// For whom a hint is held: its key begins with the target's incarnation.
pub fn hint_target(key: &[u8]) -> usize {
    let target = key.first_chunk::<8>().copied().expect("a hint's key begins with its target");
    index(Incarnation(u64::from_be_bytes(target)))
}
