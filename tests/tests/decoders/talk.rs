//! What four nodes say to each other while they are bootstrapped, written to, cut off and healed, and by hand what they have no
//! cause to say meanwhile: the valid messages that are mutated.

use std::collections::VecDeque;
use std::sync::OnceLock;

use bytes::Bytes;
use driftkv_core::config::ClusterConfig;
use driftkv_core::effect::{AdminRequest, Effect, Get, Input, Intent, Put, Request};
use driftkv_core::id::{ClusterId, CommitNo, Incarnation, Key, RequestId};
use driftkv_core::layout::{Layout, Member};
use driftkv_core::message::{Envelope, Message, Refusal};
use driftkv_core::node::{Node, Settings};
use driftkv_core::store::MemStore;
use driftkv_core::time::Time;

pub const NODES: usize = 4;

/// Nodes on a perfect network and disks that sync at once.
pub struct Talk {
    pub nodes: Vec<Node>,
    pub stores: Vec<MemStore>,
    pub now: Time,
    pub sent: Vec<Envelope>,
    is_cut: bool,
}

pub fn id(node: usize) -> Incarnation {
    Incarnation(node as u64 + 1)
}

pub fn layout() -> Layout {
    let member = |i: usize| Member {
        incarnation: id(i),
        name: format!("n{i}"),
        zone: format!("z{}", i % 3),
        capacity: 1,
        client_address: format!("c{i}:1"),
        peer_address: format!("p{i}:1"),
        admin_address: format!("a{i}:1"),
    };
    Layout::first(ClusterId(9), 8, 3, (0..NODES).map(member).collect()).expect("a valid layout")
}

impl Talk {
    pub fn new() -> Talk {
        let mut stores: Vec<MemStore> = (0..NODES).map(|_| MemStore::default()).collect();
        let cluster = ClusterConfig { replicas: NODES as u32, partitions: 8, ..ClusterConfig::default() };
        let open = |(i, store): (usize, &mut MemStore)| Node::open(Settings::new(id(i), cluster), store, Time(0));
        let nodes = stores.iter_mut().enumerate().map(open).collect::<Result<_, _>>().expect("an empty store");
        let mut talk = Talk { nodes, stores, now: Time(1), sent: Vec::new(), is_cut: false };
        for i in 0..NODES {
            talk.input(i, Input::Admin { token: 0, request: AdminRequest::Bootstrap(layout()) });
        }
        talk.link(true);
        talk
    }

    fn link(&mut self, is_up: bool) {
        for (i, j) in (0..NODES).flat_map(|i| (0..NODES).map(move |j| (i, j))).filter(|(i, j)| i != j) {
            let peer = id(j);
            self.input(
                i,
                if is_up { Input::LinkUp { peer, boot: 1, synced: CommitNo(0) } } else { Input::LinkDown { peer } },
            );
        }
    }

    /// What follows from one input, to its end.
    pub fn input(&mut self, node: usize, input: Input) {
        let mut queue = VecDeque::from([(node, input)]);
        while let Some((i, input)) = queue.pop_front() {
            let batch = self.nodes[i].run_batch(&mut self.stores[i], self.now, [input]);
            let (mut effects, commit) = batch.expect("no input makes a sound store look damaged");
            self.stores[i].sync_to(commit);
            effects.extend(self.nodes[i].synced(commit));
            for effect in effects {
                let Effect::Send { to, envelope, .. } = effect else { continue };
                self.sent.push(envelope.clone());
                let target = (to.0 as usize).wrapping_sub(1);
                if target < NODES && !self.is_cut {
                    queue.push_back((target, Input::Peer { from: id(i), at: self.now, envelope }));
                }
            }
        }
    }

    /// Time passes for all.
    pub fn tick(&mut self, ms: u64) {
        self.now = self.now.plus(ms);
        (0..NODES).for_each(|i| self.input(i, Input::Tick));
    }

    fn ask(&mut self, node: usize, number: u64) {
        let key = Key::new("b", format!("k{}", number % 6));
        let intent = [Intent::AddSibling, Intent::OverwriteAll, Intent::CreateOnly][number as usize % 3];
        let request = match number % 4 {
            0 => Request::Get(Get { key, is_monotonic: number.is_multiple_of(8), r: 0, timeout_ms: 0 }),
            _ => Request::Put(Put {
                key,
                value: (!number.is_multiple_of(7)).then(|| Bytes::from(format!("value {number}"))),
                context: Bytes::new(),
                intent,
                request: RequestId(number.into()),
                is_retry: number.is_multiple_of(5),
                r: 0,
                w: 0,
                timeout_ms: 0,
            }),
        };
        self.input(node, Input::Client { token: number, at: self.now, request });
    }

    /// Requests through all nodes, whole and cut apart; long enough for hints, repair, anti-entropy and gossip.
    fn converse(&mut self) {
        for round in 0..3 {
            self.is_cut = round == 1;
            self.link(!self.is_cut);
            for number in 0..24 {
                self.ask(number as usize % NODES, round * 24 + number);
                self.tick(20);
            }
            (0..40).for_each(|_| self.tick(60));
        }
        let envelope = |message| Envelope { layout_version: 1, boot: 1, synced: CommitNo(9), message, trace: None };
        self.sent.extend(unsaid().map(envelope));
    }
}

/// Nodes that never lost anything compare nothing, refuse nothing and know their layout.
fn unsaid() -> impl Iterator<Item = Message> {
    let (partition, round) = (Key::new("b", "k0").partition(8), 3);
    let keys = || (0..6).map(|n| Key::new("b", format!("k{n}")).storage_key());
    let leaves = |count: u32| (0..count).map(|leaf| (leaf, u64::from(leaf) * 7)).collect();
    [
        Message::LayoutAsk,
        Message::LayoutGive(layout().encode()),
        Message::ReplicateRefused { op: 4, reason: Refusal::HintsFull },
        Message::FetchRefused { op: 5, reason: Refusal::NotOwner },
        Message::TreeBranches { partition, round, branches: (0..64).collect() },
        Message::TreeLeaves { partition, round, leaves: leaves(64) },
        Message::TreeKeys { partition, round, leaves: (0..64).collect(), keys: keys().map(|key| (key, 1)).collect() },
        Message::TreeWant { partition, round, keys: keys().collect() },
    ]
    .into_iter()
}

/// Some messages of every kind that was sent.
pub fn envelopes() -> &'static [Envelope] {
    static SAID: OnceLock<Vec<Envelope>> = OnceLock::new();
    SAID.get_or_init(|| {
        let mut talk = Talk::new();
        talk.converse();
        let mut kept: Vec<Envelope> = Vec::new();
        for envelope in talk.sent {
            let kind = std::mem::discriminant(&envelope.message);
            let same = kept.iter().filter(|one| std::mem::discriminant(&one.message) == kind).count();
            if same < 12 && !kept.contains(&envelope) {
                kept.push(envelope);
            }
        }
        kept
    })
}

pub fn said() -> Vec<Message> {
    envelopes().iter().map(|envelope| envelope.message.clone()).collect()
}

#[test]
fn every_kind_of_message_is_among_the_samples() {
    let kinds: std::collections::HashSet<_> = said().iter().map(std::mem::discriminant).collect();
    let name = |message: &Message| format!("{message:?}").split([' ', '(', '{']).next().unwrap().to_owned();
    let names: std::collections::BTreeSet<String> = said().iter().map(name).collect();
    assert_eq!(kinds.len(), 19, "{names:?}");
}
