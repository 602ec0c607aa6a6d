//! WARS of this store, with what differs from the paper (core/src/coordinator.rs, coordinator/put.rs, coordinator/get.rs):
//! - A put is coordinated by an owner: the node that was asked if it is one, else the first owner, by a forward whose answer travels back once
//!   more. The coordinator is a replica: it has the write at once, and its acknowledgement waits for its disk alone.
//! - A fresh put leaves for all other owners when it is committed in memory; each acknowledges when its disk has synced.
//! - Any node coordinates a get. It asks all owners at once, itself without a message if it is one: then R=1 is answered by what it holds itself.
//! - The client's own way counts twice beside t: from the acknowledgement to the client, and from the client to the reader.
//!
//! - A link keeps its order: a message behind one that is held back waits too. What is ahead of it is drawn as a Poisson process of the rate that the
//!   nodes counted: of messages a time a ago, with delays d, the greatest d - a is how long the link is not free yet. Answers that were held back
//!   together leave together, which that does not have: `ordered` does.
//!
//! Left out: repair, hints, failures; and that a node which has a write and not yet on disk answers after its sync. Every link has the same law and
//! the same rate, and every node is asked as often.

use driftkv_proto::faults::Law;
use serde::{Deserialize, Serialize};

use super::law::Delay;
use super::wars::{Delays, Thresholds, acknowledged, fresh_from};
use crate::plan::Random;

/// Draws of a prediction: errors of about 0.001.
const DRAWS: usize = 200_000;

/// A cluster, as far as it decides what is seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Store {
    /// Nodes that are asked.
    pub nodes: usize,
    /// Owners of a key.
    pub n: usize,
    /// Replicas that a read waits for.
    pub r: usize,
    /// Replicas that a write waits for.
    pub w: usize,
    /// What messages and disks take.
    pub legs: Legs,
}

/// What messages and disks take.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Legs {
    /// Injected on the way of a write to a replica.
    pub w: Option<Delay>,
    /// Injected on the way of its acknowledgement.
    pub a: Option<Delay>,
    /// Injected on the way of a read to a replica.
    pub r: Option<Delay>,
    /// Injected on the way of its answer.
    pub s: Option<Delay>,
    /// What a message takes one way between nodes without faults, in milliseconds, as measured in the same run; none: nothing.
    pub base_ms: Vec<f64>,
    /// What a sync takes, in milliseconds; none: nothing.
    pub sync_ms: Vec<f64>,
    /// One way between a client and a node, in milliseconds.
    pub client_ms: f64,
    /// Messages a second on each link, one way, that meet the injected law; 0: so few that none waits for another.
    #[serde(default)]
    pub messages_per_s: f64,
}

impl Legs {
    /// The same law on each link both ways, as an experiment injects it.
    pub fn on_every_link(law: Law, base_ms: Vec<f64>) -> Self {
        let delay = Some(Delay(law));
        Self { w: delay, a: delay, r: delay, s: delay, base_ms, ..Self::default() }
    }

    /// One way of a message on a link that is free.
    pub(super) fn alone(&self, random: &mut Random, delay: Option<Delay>) -> f64 {
        delay.map_or(0.0, |Delay(law)| law.sample_ms(random.unit())) + one_of(random, &self.base_ms)
    }

    fn way(&self, random: &mut Random, delay: Option<Delay>) -> f64 {
        let injected = delay.map_or(0.0, |Delay(law)| law.sample_ms(random.unit()).max(self.ahead(random, law)));
        injected + one_of(random, &self.base_ms)
    }

    /// How long, from now on, messages that left before are still held back.
    fn ahead(&self, random: &mut Random, law: Law) -> f64 {
        if self.messages_per_s <= 0.0 {
            return 0.0;
        }
        let (mut ago, mut held) = (0.0, 0.0_f64);
        // One in ten thousand is held longer than this.
        let longest = law.sample_ms(0.9999);
        loop {
            ago += -(1.0 - random.unit()).ln() * 1_000.0 / self.messages_per_s;
            if ago > longest {
                return held;
            }
            held = held.max(law.sample_ms(random.unit()) - ago);
        }
    }
}

pub(super) fn one_of(random: &mut Random, all: &[f64]) -> f64 {
    let place = usize::try_from(random.below(all.len() as u64)).unwrap_or_default();
    all.get(place).copied().unwrap_or_default()
}

impl Store {
    /// From when on reads are fresh, drawn from `seed`.
    pub fn simulate(&self, seed: u64) -> Thresholds {
        let mut random = Random::new(seed, 1);
        Thresholds::new((0..DRAWS).map(|_| self.draw(&mut random)).collect())
    }

    /// Nodes below `n` are the owners; which these are does not matter, for every node is asked as often.
    fn draw(&self, random: &mut Random) -> f64 {
        let (nodes, legs) = (self.nodes.max(self.n).max(1), &self.legs);
        let asked = below(random, nodes);
        let reader = (asked + 1 + below(random, nodes - 1)) % nodes;
        let coordinator = if asked < self.n { asked } else { 0 };
        let back = if coordinator == asked { 0.0 } else { legs.way(random, legs.a) };
        let of = |owner: usize| {
            let mut way = |is_own: bool, delay| if is_own { 0.0 } else { legs.way(random, delay) };
            let (w, a) = (way(owner == coordinator, legs.w), way(owner == coordinator, legs.a));
            let (r, s) = (way(owner == reader, legs.r), way(owner == reader, legs.s));
            Delays { w, a: a + one_of(random, &legs.sync_ms), r, s }
        };
        let delays: Vec<Delays> = (0..self.n).map(of).collect();
        // The coordinator's own acknowledgement also counts for what it forwarded.
        let seen_by_client = acknowledged(&delays, self.w) + back + legs.client_ms;
        fresh_from(&delays, seen_by_client + legs.client_ms, self.r)
    }
}

pub(super) fn below(random: &mut Random, end: usize) -> usize {
    usize::try_from(random.below(end as u64)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use driftkv_proto::faults::Law;

    use super::{Legs, Store};

    fn store(nodes: usize, (n, r, w): (usize, usize, usize), law: Law) -> Store {
        Store { nodes, n, r, w, legs: Legs::on_every_link(law, vec![]) }
    }

    const TEN: Law = Law::Constant { mean_ms: 10 };

    #[test]
    fn an_owner_that_reads_for_itself_sees_a_write_when_it_has_come() {
        let curve = store(3, (3, 1, 1), TEN).simulate(1);
        assert_eq!((curve.fresh_at(9.9), curve.fresh_at(10.0)), (0.0, 1.0), "no request is on its way meanwhile");
        let all = store(3, (3, 1, 3), TEN).simulate(1);
        assert_eq!(all.fresh_at(0.0), 1.0, "all have it before it is acknowledged");
        let slow_client =
            Store { legs: Legs { client_ms: 4.0, ..Legs::on_every_link(TEN, vec![]) }, ..store(3, (3, 1, 1), TEN) };
        assert_eq!((slow_client.simulate(1).fresh_at(1.9), slow_client.simulate(1).fresh_at(2.0)), (0.0, 1.0));
    }

    #[test]
    fn a_disk_delays_the_acknowledgement_and_so_helps_the_read() {
        let legs = Legs { sync_ms: vec![4.0], ..Legs::on_every_link(TEN, vec![]) };
        let curve = Store { legs, ..store(3, (3, 1, 1), TEN) }.simulate(1);
        assert_eq!((curve.fresh_at(5.9), curve.fresh_at(6.0)), (0.0, 1.0));
    }

    #[test]
    fn overlapping_quorums_are_fresh_at_once_whatever_the_delays() {
        let law = Law::Pareto { mean_ms: 20, shape: 1.5 };
        for (n, r, w) in [(3, 2, 2), (3, 1, 3), (3, 3, 1), (5, 3, 3), (5, 4, 2)] {
            for nodes in [5, 9] {
                assert_eq!(store(nodes, (n, r, w), law).simulate(4).fresh_at(0.0), 1.0, "N={n} R={r} W={w} of {nodes}");
            }
        }
        assert!(store(5, (3, 1, 1), law).simulate(4).fresh_at(0.0) < 0.9, "and others are not");
    }

    /// One owner of three nodes: whoever is asked, the owner has it, and a reader that is none asks it.
    #[test]
    fn one_owner_is_always_fresh_and_a_forward_gives_the_write_time() {
        assert_eq!(store(3, (1, 1, 1), TEN).simulate(1).fresh_at(0.0), 1.0);
        // Two owners a and b of three nodes. Stale at once: one of them is asked to write and the other to read (2 of 6 pairs), or the
        // third forwards to a and b reads (1 of 6): by then the answer has travelled 10 ms, as long as the write to b.
        let curve = store(3, (2, 1, 1), TEN).simulate(1);
        let fresh = curve.fresh_at(0.0);
        assert!((fresh - 4.0 / 6.0).abs() < 0.005, "{fresh}");
        assert_eq!(curve.fresh_at(10.0), 1.0);
    }

    /// P(held by what is ahead <= x) = exp(-rate * integral from x of P(delay > u)), the law of M/G/infinity: with an exponential delay of mean m
    /// exp(-rate m exp(-x / m)), independent of the message's own delay.
    #[test]
    fn messages_behind_a_delayed_one_wait_as_the_formula_says() {
        let legs = Legs { messages_per_s: 100.0, ..Legs::on_every_link(Law::Exponential { mean_ms: 20 }, vec![]) };
        let curve = Store { legs, ..store(3, (3, 1, 1), TEN) }.simulate(5);
        for t in [0.0, 10.0, 40.0, 80.0] {
            let own = (-t / 20.0_f64).exp();
            let known = (1.0 - own) * (-2.0 * own).exp();
            assert!((curve.fresh_at(t) - known).abs() < 0.005, "{} at {t}, not {known}", curve.fresh_at(t));
        }
    }

    #[test]
    fn an_exponential_law_is_that_of_the_formula() {
        // R=1 by an owner that reads for itself: fresh at t with 1 - exp(-t / mean).
        let curve = store(3, (3, 1, 1), Law::Exponential { mean_ms: 20 }).simulate(9);
        for t in [0.0, 5.0, 20.0, 60.0] {
            let known = 1.0 - (-t / 20.0_f64).exp();
            assert!((curve.fresh_at(t) - known).abs() < 0.005, "{} at {t}, not {known}", curve.fresh_at(t));
        }
    }
}
