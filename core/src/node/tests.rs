//! A few nodes on a perfect network and disks that sync when told: single steps and their effects.
//! Faults are the simulator's (`tests/`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
use bytes::Bytes;

use super::*;
use crate::effect::{AdminReply, Get, Intent, Peeked, Put};
use crate::id::{ClusterId, Key, RequestId};
use crate::layout::Member;
use crate::store::MemStore;

struct Net {
    nodes: Vec<Node>,
    stores: Vec<MemStore>,
    now: Time,
    /// Nodes that are cut off.
    cut: BTreeSet<usize>,
    /// Disks that do not sync for now.
    unsynced: BTreeSet<usize>,
    replies: BTreeMap<u64, Result<Reply, Failure>>,
    sent: Vec<(usize, Incarnation, Message)>,
    /// Nodes that may halt, and why they did.
    halts: BTreeMap<usize, Option<String>>,
}

fn member(i: usize) -> Member {
    Member {
        incarnation: Incarnation(i as u64 + 1),
        name: format!("n{i}"),
        zone: format!("z{}", i % 3),
        capacity: 1,
        client_address: format!("c{i}:1"),
        peer_address: format!("p{i}:1"),
        admin_address: format!("a{i}:1"),
    }
}

impl Net {
    fn new(count: usize, cluster: ClusterConfig) -> Net {
        let mut stores: Vec<MemStore> = (0..count).map(|_| MemStore::default()).collect();
        let mut nodes = Vec::new();
        for (i, store) in stores.iter_mut().enumerate() {
            let settings = Settings::new(Incarnation(i as u64 + 1), cluster);
            nodes.push(Node::open(settings, store, Time(0)).unwrap());
        }
        let mut net = Net {
            nodes,
            stores,
            now: Time(1),
            cut: BTreeSet::new(),
            unsynced: BTreeSet::new(),
            replies: BTreeMap::new(),
            sent: Vec::new(),
            halts: BTreeMap::new(),
        };
        let members: Vec<Member> = (0..count).map(member).collect();
        let layout = Layout::first(ClusterId(9), 16, cluster.replication_factor, members).unwrap();
        for i in 0..count {
            net.input(i, Input::Admin { token: 0, request: AdminRequest::Bootstrap(layout.clone()) });
        }
        for i in 0..count {
            for j in (0..count).filter(|j| *j != i) {
                net.input(i, Input::LinkUp { peer: Incarnation(j as u64 + 1), boot: 1, synced: CommitNo(0) });
            }
        }
        net
    }

    fn input(&mut self, node: usize, input: Input) {
        self.input_all(node, [input]);
    }

    /// The first step takes all of `inputs` as one batch; what follows from it comes one by one.
    fn input_all(&mut self, node: usize, inputs: impl IntoIterator<Item = Input>) {
        let mut queue = VecDeque::new();
        self.batch(node, inputs, &mut queue);
        while let Some((i, input)) = queue.pop_front() {
            self.batch(i, [input], &mut queue);
        }
    }

    fn batch(&mut self, i: usize, inputs: impl IntoIterator<Item = Input>, queue: &mut VecDeque<(usize, Input)>) {
        let (mut effects, commit) = self.nodes[i].run_batch(&mut self.stores[i], self.now, inputs).unwrap();
        if !self.unsynced.contains(&i) {
            self.stores[i].sync_to(commit);
            effects.extend(self.nodes[i].synced(commit));
        }
        self.deliver(i, effects, queue);
    }

    fn deliver(&mut self, i: usize, effects: Vec<Effect>, queue: &mut VecDeque<(usize, Input)>) {
        for effect in effects {
            match effect {
                Effect::Reply { token, outcome } => {
                    assert!(self.replies.insert(token, outcome).is_none(), "two replies to {token}");
                }
                Effect::Send { to, envelope, .. } => {
                    self.sent.push((i, to, envelope.message.clone()));
                    let target = to.0 as usize - 1;
                    let is_there = target < self.nodes.len();
                    if is_there && !self.cut.contains(&i) && !self.cut.contains(&target) {
                        let from = Incarnation(i as u64 + 1);
                        queue.push_back((target, Input::Peer { from, at: self.now, envelope }));
                    }
                }
                Effect::AdminReply { reply: AdminReply::Refused(why), .. } => panic!("{why}"),
                Effect::Halt(why) => match self.halts.get_mut(&i) {
                    Some(place) => *place = Some(why),
                    None => panic!("{why}"),
                },
                _ => {}
            }
        }
    }

    /// Opens node `i` on `store`, as the next boot of that disk, and links it up again.
    fn restart(&mut self, i: usize, store: MemStore) {
        let mut settings = self.nodes[i].settings.clone();
        settings.seed += 1;
        self.stores[i] = store;
        self.nodes[i] = Node::open(settings, &mut self.stores[i], self.now).unwrap();
        self.sync(i);
        let me = Incarnation(i as u64 + 1);
        for j in (0..self.nodes.len()).filter(|j| *j != i) {
            self.input(j, Input::LinkDown { peer: me });
            self.input(j, Input::LinkUp { peer: me, boot: self.nodes[i].boot(), synced: CommitNo(0) });
            let peer = Incarnation(j as u64 + 1);
            self.input(i, Input::LinkUp { peer, boot: self.nodes[j].boot(), synced: CommitNo(0) });
        }
    }

    fn sync(&mut self, i: usize) {
        self.unsynced.remove(&i);
        let commit = self.stores[i].last_commit();
        self.stores[i].sync_to(commit);
        let effects = self.nodes[i].synced(commit);
        let mut queue = VecDeque::new();
        self.deliver(i, effects, &mut queue);
        while let Some((node, input)) = queue.pop_front() {
            self.input(node, input);
        }
    }

    fn pass(&mut self, ms: u64) {
        for _ in 0..ms / 10 {
            self.now = self.now.plus(10);
            for i in 0..self.nodes.len() {
                self.input(i, Input::Tick);
            }
        }
    }

    fn cut(&mut self, i: usize) {
        self.cut.insert(i);
        let peer = Incarnation(i as u64 + 1);
        for j in (0..self.nodes.len()).filter(|j| *j != i) {
            self.input(j, Input::LinkDown { peer });
        }
    }

    fn heal(&mut self, i: usize) {
        self.cut.remove(&i);
        for j in (0..self.nodes.len()).filter(|j| *j != i) {
            self.input(j, Input::LinkUp { peer: Incarnation(i as u64 + 1), boot: 1, synced: CommitNo(0) });
        }
    }

    fn put(&mut self, node: usize, token: u64, put: Put) {
        let (at, request) = (self.now, Request::Put(put));
        self.input(node, Input::Client { token, at, request });
    }

    fn get(&mut self, node: usize, token: u64, is_monotonic: bool) -> (Vec<Option<Bytes>>, Bytes) {
        let get = Get { key: key(), is_monotonic, r: 0, timeout_ms: 0 };
        self.input(node, Input::Client { token, at: self.now, request: Request::Get(get) });
        match self.replies.get(&token).unwrap_or_else(|| panic!("no reply to {token}")) {
            Ok(Reply::Get { siblings, context, .. }) => {
                (siblings.iter().map(|p| p.value.clone()).collect(), context.clone())
            }
            other => panic!("{other:?}"),
        }
    }

    fn owners(&self) -> (Vec<usize>, Vec<usize>) {
        let partition = self.nodes[0].partition_of(&key());
        let index = |n: Vec<Incarnation>| n.iter().map(|n| n.0 as usize - 1).collect();
        (index(self.nodes[0].primaries(partition)), index(self.nodes[0].fallbacks(partition)))
    }
}

fn key() -> Key {
    Key::new("b", "k")
}

fn put_of(value: &'static str, request: u128) -> Put {
    Put {
        key: key(),
        value: Some(Bytes::from_static(value.as_bytes())),
        context: Bytes::new(),
        intent: Intent::WithContext,
        request: RequestId(request),
        is_retry: false,
        r: 0,
        w: 0,
        timeout_ms: 0,
    }
}

fn five() -> Net {
    Net::new(5, ClusterConfig { replicas: 5, partitions: 16, ..ClusterConfig::default() })
}

fn value(text: &'static str) -> Option<Bytes> {
    Some(Bytes::from_static(text.as_bytes()))
}

#[test]
fn any_node_takes_a_put_and_any_node_shows_it() {
    let mut net = five();
    for node in 0..5 {
        net.put(node, node as u64, Put { intent: Intent::OverwriteAll, ..put_of("v", node as u128) });
        assert!(matches!(net.replies[&(node as u64)], Ok(Reply::Put { .. })), "{:?}", net.replies[&(node as u64)]);
        assert_eq!(net.get((node + 2) % 5, 100 + node as u64, node % 2 == 0).0, [value("v")]);
    }
}

#[test]
fn a_node_shows_what_it_stores_itself_and_asks_nobody() {
    let mut net = five();
    let (owners, fallbacks) = net.owners();
    let away = owners[2];
    net.cut(away);
    net.put(owners[0], 1, put_of("v", 1));
    let shown = |net: &Net, node: usize| net.nodes[node].peek(&net.stores[node], &[key()]).unwrap().remove(0);
    let seen = Peeked { is_owned: true, is_known: true, values: vec![Bytes::from_static(b"v")] };
    assert_eq!(shown(&net, owners[0]), seen);
    assert_eq!(shown(&net, away), Peeked { is_owned: true, ..Peeked::default() }, "it did not hear of it");
    for stranger in fallbacks {
        assert_eq!(shown(&net, stranger), Peeked::default(), "hints are none of its own");
    }
    let sent = net.sent.len();
    net.input(away, Input::Admin { token: 0, request: AdminRequest::Peek(vec![key()]) });
    assert_eq!((net.sent.len(), shown(&net, away).is_known), (sent, false), "looking mends nothing");
    net.put(owners[0], 2, Put { value: None, intent: Intent::OverwriteAll, ..put_of("", 2) });
    assert_eq!(shown(&net, owners[0]), Peeked { values: Vec::new(), ..seen });
}

#[test]
fn a_put_is_answered_only_when_w_disks_have_it() {
    let mut net = five();
    let (owners, _) = net.owners();
    net.unsynced.extend(owners.iter().copied());
    net.put(owners[0], 1, put_of("v", 1));
    assert!(!net.replies.contains_key(&1));
    net.sync(owners[1]);
    assert!(!net.replies.contains_key(&1));
    net.sync(owners[0]);
    assert!(net.replies[&1].is_ok());
}

#[test]
fn a_context_replaces_and_a_blind_put_adds_a_sibling() {
    let mut net = five();
    net.put(0, 1, put_of("a", 1));
    net.put(1, 2, put_of("b", 2));
    let (both, context) = net.get(2, 3, false);
    assert_eq!(both.len(), 2);
    net.put(3, 4, Put { context, ..put_of("c", 4) });
    assert_eq!(net.get(4, 5, false).0, [value("c")]);
}

#[test]
fn create_only_refuses_a_live_value_and_takes_a_tombstone() {
    let mut net = five();
    net.put(0, 1, put_of("a", 1));
    net.put(1, 2, Put { intent: Intent::CreateOnly, ..put_of("b", 2) });
    assert_eq!(net.replies[&2], Err(Failure::AlreadyExists { siblings: 1 }));
    let context = net.get(2, 3, false).1;
    net.put(2, 4, Put { value: None, context, ..put_of("", 4) });
    net.put(3, 5, Put { intent: Intent::CreateOnly, ..put_of("b", 5) });
    assert!(net.replies[&5].is_ok(), "{:?}", net.replies[&5]);
    assert_eq!(net.get(4, 6, true).0, [value("b")]);
}

#[test]
fn a_retry_through_another_coordinator_is_recognised() {
    let mut net = five();
    let (owners, _) = net.owners();
    net.put(owners[0], 1, put_of("a", 1));
    net.put(owners[1], 2, Put { is_retry: true, ..put_of("a", 1) });
    assert!(matches!(net.replies[&2], Ok(Reply::Put { was_applied: true, .. })), "{:?}", net.replies[&2]);
    assert_eq!(net.get(0, 3, false).0, [value("a")]);
}

#[test]
fn a_write_outlives_two_lost_primaries_and_its_hints_go_home() {
    let mut net = five();
    let (owners, fallbacks) = net.owners();
    net.cut(owners[1]);
    net.cut(owners[2]);
    net.put(fallbacks[0], 1, put_of("v", 1));
    assert!(matches!(net.replies[&1], Ok(Reply::Put { .. })), "{:?}", net.replies[&1]);
    net.heal(owners[1]);
    net.heal(owners[2]);
    net.pass(5_000);
    for owner in owners {
        let record = net.nodes[owner].load(&net.stores[owner], &key()).unwrap().record;
        assert_eq!(record.state.live_count(), 1, "owner {owner}");
    }
    assert!(net.nodes.iter().all(|n| n.hints.iter().all(|(_, count, _)| count == 0)));
}

#[test]
fn a_strict_cluster_refuses_what_a_sloppy_one_takes() {
    let cluster = ClusterConfig { replicas: 5, partitions: 16, sloppy: false, ..ClusterConfig::default() };
    let mut net = Net::new(5, cluster);
    let (owners, _) = net.owners();
    net.cut(owners[1]);
    net.cut(owners[2]);
    net.put(owners[0], 1, put_of("v", 1));
    let expected = Failure::QuorumNotReached { needed: 2, primaries: 1, fallbacks: 2, maybe_applied: true };
    assert_eq!(net.replies[&1], Err(expected));
}

#[test]
fn a_foreign_context_and_an_empty_key_are_refused() {
    let mut net = five();
    net.put(0, 1, Put { context: Bytes::from_static(b"nonsense"), ..put_of("v", 1) });
    assert!(matches!(net.replies[&1], Err(Failure::BadContext(_))));
    net.put(0, 2, Put { key: Key::new("b", ""), ..put_of("v", 2) });
    assert!(matches!(net.replies[&2], Err(Failure::InvalidArgument(_))));
    net.put(0, 3, Put { w: 4, ..put_of("v", 3) });
    assert!(matches!(net.replies[&3], Err(Failure::InvalidArgument(_))));
}

#[test]
fn a_forward_that_the_network_doubled_mints_once_even_while_it_reads() {
    let mut net = five();
    let (owners, fallbacks) = net.owners();
    net.cut.insert(fallbacks[0]);
    net.put(fallbacks[0], 1, Put { intent: Intent::OverwriteAll, ..put_of("v", 1) });
    net.cut.clear();
    let (_, to, message) = net.sent.iter().find(|(_, _, m)| matches!(m, Message::Forward { .. })).unwrap().clone();
    let envelope = Envelope { layout_version: 1, boot: 1, synced: CommitNo(0), trace: None, message };
    let from = Incarnation(fallbacks[0] as u64 + 1);
    let forward = Input::Peer { from, at: net.now, envelope };
    net.input_all(to.0 as usize - 1, [forward.clone(), forward]);
    let owner = owners[0];
    let record = net.nodes[owner].load(&net.stores[owner], &key()).unwrap().record;
    assert_eq!(record.state.dots().count(), 1, "{record:?}");
    let answers = net.sent.iter().filter(|(_, _, m)| matches!(m, Message::ForwardReply { .. }));
    assert_eq!(answers.count(), 1);
}

#[test]
fn two_attempts_that_read_at_once_on_one_coordinator_mint_once() {
    let mut net = five();
    let (owners, _) = net.owners();
    let put = Put { intent: Intent::OverwriteAll, ..put_of("v", 1) };
    let at = net.now;
    let first = Input::Client { token: 1, at, request: Request::Put(put.clone()) };
    let again = Input::Client { token: 2, at, request: Request::Put(Put { is_retry: true, ..put }) };
    net.input_all(owners[0], [first, again]);
    assert!(matches!(net.replies[&1], Ok(Reply::Put { was_applied: false, .. })), "{:?}", net.replies[&1]);
    assert!(matches!(net.replies[&2], Ok(Reply::Put { was_applied: true, .. })), "{:?}", net.replies[&2]);
}

#[test]
fn a_hint_that_had_no_room_is_no_proof_that_a_put_was_applied() {
    let limits = crate::config::Limits { hint_bytes_max: 40, ..Default::default() };
    let mut net = Net::new(5, ClusterConfig { replicas: 5, partitions: 16, limits, ..ClusterConfig::default() });
    let (owners, fallbacks) = net.owners();
    owners.iter().for_each(|owner| net.cut(*owner));
    net.put(fallbacks[0], 1, Put { w: 1, ..put_of("v", 1) });
    assert!(net.replies[&1].is_err(), "{:?}", net.replies[&1]);
    net.put(fallbacks[1], 2, Put { r: 1, w: 1, is_retry: true, ..put_of("v", 1) });
    assert!(net.replies[&2].is_err(), "nobody holds it, yet: {:?}", net.replies[&2]);
}

mod bounds;
mod liveness;
mod safety;
