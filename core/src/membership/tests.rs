#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::{ProptestConfig, any};
use proptest::{collection, prop_assert, proptest};

use super::{Membership, PeerIdentity, Rumour, SwimConfig, SwimError, SwimOut};
use crate::id::Incarnation;
use crate::time::Time;

const LATENCY_MS: u64 = 5;

fn identity(number: u64, boot: u32) -> PeerIdentity {
    PeerIdentity::new(Incarnation(number), boot, format!("10.0.0.{number}:7401"))
}

/// Nodes, a clock and a network whose links can be cut.
struct Net {
    now: Time,
    nodes: BTreeMap<Incarnation, Membership>,
    cut: BTreeSet<(Incarnation, Incarnation)>,
    flying: BTreeMap<(Time, u64), (Incarnation, Incarnation, Bytes)>,
    sent: u64,
    events: Vec<(u64, Incarnation, SwimOut)>,
}

impl Net {
    fn of(count: u64) -> Net {
        let (nodes, cut, flying) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        let mut net = Net { now: Time(0), nodes, cut, flying, sent: 0, events: Vec::new() };
        (1..=count).for_each(|number| net.boot(number, 1, count));
        net
    }

    fn boot(&mut self, number: u64, boot: u32, count: u64) {
        let peers: Vec<PeerIdentity> = (1..=count).map(|peer| identity(peer, 0)).collect();
        let mut node = Membership::new(identity(number, boot), number * 100 + u64::from(boot), SwimConfig::default());
        node.start(self.now, &peers);
        self.nodes.insert(Incarnation(number), node);
    }

    /// Cuts every link of these nodes, among themselves too.
    fn silence(&mut self, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers.into_iter().map(Incarnation) {
            for other in self.nodes.keys() {
                self.cut.extend([(number, *other), (*other, number)]);
            }
        }
    }

    fn run(&mut self, ms: u64) {
        let end = self.now.plus(ms);
        while self.now < end {
            self.now = self.now.plus(1);
            while let Some(entry) = self.flying.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let (from, to, data) = entry.remove();
                if let Some(node) = self.nodes.get_mut(&to).filter(|_| !self.cut.contains(&(from, to))) {
                    let result = node.on_data(self.now, from, data);
                    assert!(
                        !matches!(result, Err(ref error) if !matches!(error, SwimError::Rejected(_))),
                        "{result:?}"
                    );
                }
            }
            for (from, node) in &mut self.nodes {
                if node.next_timer().is_some_and(|at| at <= self.now) {
                    node.tick(self.now);
                }
                for out in node.take_output() {
                    if let SwimOut::Send { to, data } = out {
                        self.sent += 1;
                        self.flying.insert((self.now.plus(LATENCY_MS), self.sent), (*from, to, data));
                    } else {
                        self.events.push((self.now.0, *from, out));
                    }
                }
            }
        }
    }

    fn rumour(&self, at: u64, of: u64) -> Rumour {
        self.nodes[&Incarnation(at)].rumour(Incarnation(of))
    }

    fn all_alive(&self) -> bool {
        self.nodes.values().all(|node| self.nodes.keys().all(|peer| node.rumour(*peer) == Rumour::Alive))
    }

    /// Milliseconds until all believe all alive; fails after `ms_max`.
    fn run_until_all_alive(&mut self, ms_max: u64) -> u64 {
        let start = self.now;
        while !self.all_alive() {
            assert!(start.until(self.now) < ms_max, "{:?}", self.events);
            self.run(10);
        }
        start.until(self.now)
    }
}

#[test]
fn three_nodes_learn_of_each_other() {
    let mut net = Net::of(3);
    assert_eq!(net.rumour(1, 2), Rumour::Unknown);
    net.run_until_all_alive(500);
    let ups: BTreeSet<_> = net.events.iter().map(|(_, at, out)| (at.0, format!("{out:?}"))).collect();
    assert_eq!(ups.len(), 6, "{ups:?}");
    net.run(60_000);
    assert_eq!(net.events.len(), 6, "calm: nobody is suspected");
    assert!(net.sent < 60 * 3 * 6, "{} messages in a calm minute", net.sent);
}

#[test]
fn a_node_that_knows_one_other_learns_of_all() {
    let mut net = Net::of(4);
    let newcomer = Incarnation(5);
    let mut node = Membership::new(identity(5, 1), 7, SwimConfig::default());
    node.start(net.now, &[identity(2, 0)]);
    net.nodes.insert(newcomer, node);
    net.run_until_all_alive(3000);
    assert_eq!(net.nodes[&newcomer].peer(Incarnation(4)).unwrap().address, "10.0.0.4:7401");
}

#[test]
fn a_silenced_node_goes_down_and_comes_back_by_itself() {
    let mut net = Net::of(3);
    net.run(2000);
    net.silence([3]);
    net.run(3500);
    assert!([1, 2].iter().any(|at| net.rumour(*at, 3) == Rumour::Suspect), "suspected before it is declared dead");
    net.run(6500);
    assert_eq!([net.rumour(1, 3), net.rumour(2, 3)], [Rumour::Down, Rumour::Down]);
    assert_eq!([net.rumour(3, 1), net.rumour(3, 2)], [Rumour::Down, Rumour::Down]);
    assert_eq!(net.rumour(1, 2), Rumour::Alive);
    assert!(net.events.iter().any(|(_, at, out)| (at.0, out) == (1, &SwimOut::Down(Incarnation(3)))));
    net.cut.clear();
    net.run_until_all_alive(4000);
    assert!(net.events.iter().rev().any(|(_, at, out)| (at.0, out) == (1, &SwimOut::Up(Incarnation(3)))));
    net.run(30_000);
    assert!(net.all_alive());
}

#[test]
fn a_cluster_cut_into_single_nodes_heals() {
    let mut net = Net::of(5);
    net.run(2000);
    net.silence(1..=5);
    net.run(60_000);
    assert!((1..=5).all(|at| (1..=5).all(|of| at == of || net.rumour(at, of) == Rumour::Down)));
    net.cut.clear();
    net.run_until_all_alive(6000);
}

#[test]
fn two_nodes_that_lost_each_other_meet_again() {
    let mut net = Net::of(2);
    net.run(2000);
    for _ in 0..5 {
        net.silence([1]);
        net.run(10_000);
        assert_eq!([net.rumour(1, 2), net.rumour(2, 1)], [Rumour::Down, Rumour::Down]);
        net.cut.clear();
        net.run_until_all_alive(4000);
    }
    assert!(net.nodes[&Incarnation(1)].identity().renewals < 50);
}

#[test]
fn a_node_whose_messages_get_lost_one_way_comes_back_too() {
    let mut net = Net::of(3);
    net.run(2000);
    net.cut.extend([(Incarnation(3), Incarnation(1)), (Incarnation(3), Incarnation(2))]);
    net.run(20_000);
    assert_eq!(net.rumour(1, 3), Rumour::Down);
    net.cut.clear();
    net.run_until_all_alive(6000);
}

#[test]
fn a_restarted_node_replaces_what_it_was() {
    for down_ms in [0, 10_000] {
        let mut net = Net::of(3);
        net.run(2000);
        net.nodes.remove(&Incarnation(3));
        net.run(down_ms);
        assert_eq!(net.rumour(1, 3) == Rumour::Down, down_ms > 0);
        net.boot(3, 2, 3);
        net.run_until_all_alive(4000);
        net.run(2000);
        assert_eq!(net.nodes[&Incarnation(1)].peer(Incarnation(3)).unwrap().boot, 2);
        net.run(10_000);
        assert!(net.all_alive());
    }
}

#[test]
fn the_same_seeds_give_the_same_events() {
    let trace = || {
        let mut net = Net::of(4);
        net.run(2000);
        net.silence([2]);
        net.run(15_000);
        net.cut.clear();
        net.run(15_000);
        (net.sent, net.events)
    };
    assert_eq!(trace(), trace());
}

#[test]
fn a_late_tick_catches_up_and_memory_stays_bounded() {
    let mut net = Net::of(3);
    net.run(2000);
    let node = net.nodes.get_mut(&Incarnation(1)).unwrap();
    for second in 0..20_000 {
        node.tick(Time(second * 10_000));
    }
    assert!(node.take_output().len() <= 2 + 4096);
    assert_eq!(node.rumour(Incarnation(2)), Rumour::Down);
}

fn messages() -> Vec<(Incarnation, Bytes)> {
    let mut net = Net::of(3);
    net.run(6);
    net.flying.values().filter(|(_, to, _)| to.0 == 1).map(|(from, _, data)| (*from, data.clone())).collect()
}

#[test]
fn a_message_over_the_wrong_stream_or_of_too_many_nodes_is_refused() {
    let (from, data) = messages().remove(0);
    let config = SwimConfig { members_max: 1, ..SwimConfig::default() };
    let mut node = Membership::new(identity(1, 1), 1, config);
    let other = Incarnation(9);
    let wrong = SwimError::WrongSender { claimed: from, from: other };
    assert_eq!(node.on_data(Time(0), other, data.clone()), Err(wrong));
    assert_eq!(node.on_data(Time(0), from, data), Ok(()));
    let (third, data) = messages().into_iter().find(|(sender, _)| *sender != from).unwrap();
    assert_eq!(node.on_data(Time(0), third, data), Err(SwimError::TooManyMembers { got: 2, max: 1 }));
    let large = Bytes::from(vec![0; super::SWIM_BYTES_MAX + 1]);
    assert!(matches!(node.on_data(Time(0), from, large), Err(SwimError::TooLarge { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(data in collection::vec(any::<u8>(), 0..200)) {
        let mut node = Membership::new(identity(1, 1), 1, SwimConfig::default());
        prop_assert!(node.on_data(Time(0), Incarnation(2), Bytes::from(data)).is_err());
    }

    #[test]
    fn damaged_messages_never_panic(
        which in any::<usize>(), damage in collection::vec((any::<usize>(), any::<u8>()), 1..4), cut in any::<usize>(),
    ) {
        let messages = messages();
        let (from, data) = &messages[which % messages.len()];
        let mut data = data.to_vec();
        for (at, with) in damage {
            let at = at % data.len();
            data[at] = with;
        }
        data.truncate(data.len() - cut % 3 * (cut % data.len()) / 2);
        let mut node = Membership::new(identity(1, 1), 1, SwimConfig::default());
        node.start(Time(0), &[identity(2, 0), identity(3, 0)]);
        let _ = node.on_data(Time(1), *from, Bytes::from(data));
        (1..20).for_each(|second| node.tick(Time(second * 500)));
        prop_assert!(node.take_output().len() < 200);
    }
}
