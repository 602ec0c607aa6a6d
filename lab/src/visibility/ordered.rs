//! The probes once more, simulated event by event over links that keep their order: a message behind a delayed one waits too.
//! WARS draws each delay by itself, which is true of few messages; probes side by side share links, and then a long delay holds back all that
//! follows, whose answers leave together. Legs and roles are those of `store`; the plan is that of the probes, so the traffic is theirs.
//! Not here: other traffic than the probes (the load beside them, gossip), repair, failures.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::plan::{Planned, probes};
use super::store::{Store, below, one_of};
use super::{Delay, VisibilitySpec};
use crate::plan::Random;

/// Simulated probes: errors of about 0.005 in each of ten bins.
const PROBES: usize = 60_000;

/// The chance that a read is fresh, at the times of the grid, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chances(Vec<(f64, f64)>);

impl Chances {
    /// At `t_ms`: between two times of the grid on the line between them.
    pub fn fresh_at(&self, t_ms: f64) -> f64 {
        let next = self.0.partition_point(|(t, _)| *t <= t_ms);
        let before = next.checked_sub(1).and_then(|before| self.0.get(before));
        match (before, self.0.get(next)) {
            (Some((from, low)), Some((to, high))) => low + (high - low) * (t_ms - from) / (to - from),
            (Some((_, chance)), None) | (None, Some((_, chance))) => *chance,
            (None, None) => 0.0,
        }
    }
}

/// What the probes of `spec` would see of `store`.
pub(super) fn simulate(store: &Store, spec: &VisibilitySpec) -> Chances {
    let mut seen: BTreeMap<u64, (f64, u64, u64)> = BTreeMap::new();
    let (rounds, nodes) = (PROBES.div_ceil(spec.samples.max(1)), store.nodes.max(store.n).max(2));
    for round in 0..rounds as u64 {
        let plan = probes(&VisibilitySpec { seed: spec.seed.wrapping_add(round), ..spec.clone() }, nodes);
        let mut world =
            World::new(store, nodes, &plan, spec.writers.max(1) as usize, Random::new(spec.seed, round + 2));
        world.run();
        for (planned, probe) in plan.iter().zip(&world.probes) {
            let (_, fresh, all) = seen.entry(planned.planned_ms.to_bits()).or_insert((planned.planned_ms, 0, 0));
            (*fresh, *all) = (*fresh + u64::from(probe.is_fresh), *all + 1);
        }
    }
    // Times are not negative, so their bits are in their order.
    Chances(seen.into_values().map(|(t, fresh, all)| (t, fresh as f64 / all.max(1) as f64)).collect())
}

/// What happens, of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// The client's write is at the node that was asked, or forwarded to an owner.
    Write { at: usize },
    /// It is at an owner.
    Replicate { at: usize },
    /// An owner has synced it.
    Synced { at: usize },
    /// One more owner has told the coordinator.
    Ack,
    /// The client's read is at a node.
    Read,
    /// It is at an owner.
    Fetch { at: usize },
    /// An owner has told the reader.
    Answer { is_fresh: bool },
}

#[derive(Clone, Debug, Default)]
struct Probe {
    owners: Vec<usize>,
    coordinator: usize,
    holds: Vec<usize>,
    acks: usize,
    answers: usize,
    is_fresh: bool,
}

struct World<'a> {
    store: &'a Store,
    plan: &'a [Planned],
    writers: usize,
    random: Random,
    probes: Vec<Probe>,
    /// By nanosecond, then in the order in which they were caused; what, and of which probe.
    events: BinaryHeap<Reverse<(u64, u64, usize, What)>>,
    caused: u64,
    /// When the last message of each link arrives.
    links: BTreeMap<(usize, usize), u64>,
}

impl<'a> World<'a> {
    fn new(store: &'a Store, nodes: usize, plan: &'a [Planned], writers: usize, mut random: Random) -> Self {
        let owners = |first: usize| (0..store.n).map(|place| (first + place) % nodes).collect();
        let probe = |_: &Planned| Probe { owners: owners(below(&mut random, nodes)), ..Probe::default() };
        let probes = plan.iter().map(probe).collect();
        let (events, links) = (BinaryHeap::new(), BTreeMap::new());
        Self { store, plan, writers, random, probes, events, caused: 0, links }
    }

    fn run(&mut self) {
        (0..self.writers).for_each(|first| self.begin(0, first));
        while let Some(Reverse((now, _, place, what))) = self.events.pop() {
            self.happen(now, place, what);
        }
    }

    fn cause(&mut self, at: u64, place: usize, what: What) {
        self.caused += 1;
        self.events.push(Reverse((at, self.caused, place, what)));
    }

    /// A message from one node to another: not before the one before it.
    fn send(&mut self, now: u64, (from, to): (usize, usize), delay: Option<Delay>, place: usize, what: What) {
        let way = ns(self.store.legs.alone(&mut self.random, delay));
        let last = self.links.entry((from, to)).or_default();
        *last = (now + way).max(*last);
        let at = *last;
        self.cause(at, place, what);
    }

    fn begin(&mut self, now: u64, place: usize) {
        let Some(planned) = self.plan.get(place).copied() else { return };
        self.cause(now + ns(self.store.legs.client_ms), place, What::Write { at: planned.writer });
    }

    fn happen(&mut self, now: u64, place: usize, what: What) {
        let store = self.store;
        let legs = &store.legs;
        let (w, a, r, s) = (legs.w, legs.a, legs.r, legs.s);
        let (Some(planned), Some(probe)) = (self.plan.get(place).copied(), self.probes.get_mut(place)) else { return };
        match what {
            What::Write { at } if !probe.owners.contains(&at) => {
                let to = probe.owners.first().copied().unwrap_or_default();
                self.send(now, (at, to), w, place, What::Write { at: to });
            }
            What::Write { at } => {
                probe.coordinator = at;
                let others: Vec<usize> = probe.owners.iter().copied().filter(|owner| *owner != at).collect();
                others
                    .into_iter()
                    .for_each(|owner| self.send(now, (at, owner), w, place, What::Replicate { at: owner }));
                self.hold(now, place, at);
            }
            What::Replicate { at } => self.hold(now, place, at),
            What::Synced { at } if at == probe.coordinator => self.cause(now, place, What::Ack),
            What::Synced { at } => {
                let to = probe.coordinator;
                self.send(now, (at, to), a, place, What::Ack);
            }
            What::Ack => {
                probe.acks += 1;
                if probe.acks == self.store.w {
                    // The answer to a forward travels back; its place in the order of its link is left out.
                    let is_forwarded = probe.coordinator != planned.writer;
                    let back = if is_forwarded { legs.alone(&mut self.random, a) } else { 0.0 };
                    let read = now + ns(back + 2.0 * legs.client_ms + planned.planned_ms);
                    self.cause(read, place, What::Read);
                }
            }
            What::Read => {
                let (at, owners) = (planned.reader, probe.owners.clone());
                if owners.contains(&at) {
                    let is_fresh = probe.holds.contains(&at);
                    self.answered(now, place, is_fresh);
                }
                owners.into_iter().filter(|owner| *owner != at).for_each(|owner| {
                    self.send(now, (at, owner), r, place, What::Fetch { at: owner });
                });
            }
            What::Fetch { at } => {
                let is_fresh = probe.holds.contains(&at);
                self.send(now, (at, planned.reader), s, place, What::Answer { is_fresh });
            }
            What::Answer { is_fresh } => self.answered(now, place, is_fresh),
        }
    }

    /// The owner `at` has the write, and begins to sync it.
    fn hold(&mut self, now: u64, place: usize, at: usize) {
        self.probes.get_mut(place).into_iter().for_each(|probe| probe.holds.push(at));
        let synced = now + ns(one_of(&mut self.random, &self.store.legs.sync_ms));
        self.cause(synced, place, What::Synced { at });
    }

    /// One more replica counts for a read; with the last that is needed the client goes on.
    fn answered(&mut self, now: u64, place: usize, is_fresh: bool) {
        let Some(probe) = self.probes.get_mut(place) else { return };
        probe.answers += 1;
        if probe.answers <= self.store.r {
            probe.is_fresh |= is_fresh;
        }
        if probe.answers == self.store.r {
            self.begin(now + ns(self.store.legs.client_ms), place + self.writers);
        }
    }
}

fn ns(ms: f64) -> u64 {
    (ms * 1e6) as u64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use driftkv_proto::faults::Law;

    use super::super::store::{Legs, Store};
    use super::{Chances, VisibilitySpec, simulate};

    fn chances(writers: u32, (r, w): (usize, usize), law: Law) -> (Chances, Store) {
        let store = Store { nodes: 3, n: 3, r, w, legs: Legs { client_ms: 0.5, ..Legs::on_every_link(law, vec![]) } };
        let grid_ms = vec![0.0, 5.0, 10.0, 20.0, 40.0];
        (simulate(&store, &VisibilitySpec { samples: 5_000, writers, grid_ms, ..VisibilitySpec::default() }), store)
    }

    #[test]
    fn a_constant_delay_is_seen_to_the_millisecond_and_overlap_at_once() {
        let (chances, _) = chances(1, (1, 1), Law::Constant { mean_ms: 10 });
        assert_eq!([0.0, 5.0, 10.0].map(|t| chances.fresh_at(t)), [0.0, 0.0, 1.0], "the client's ways take 1 ms");
        let law = Law::Exponential { mean_ms: 5 };
        for quorums in [(2, 2), (1, 3), (3, 1)] {
            assert_eq!(self::chances(16, quorums, law).0.fresh_at(0.0), 1.0, "{quorums:?}");
        }
    }

    #[test]
    fn few_messages_are_those_of_wars_and_many_wait_for_each_other() {
        let law = Law::Exponential { mean_ms: 5 };
        let (few, store) = chances(1, (1, 1), law);
        let (many, _) = chances(32, (1, 1), law);
        let wars = store.simulate(1);
        let off = |chances: &Chances| [0.0, 5.0, 10.0, 20.0].map(|t| wars.fresh_at(t) - chances.fresh_at(t));
        assert!(off(&few).iter().all(|off| off.abs() < 0.15), "{:?}", off(&few));
        assert!(off(&many)[1..].iter().all(|off| *off > 0.0) && off(&many)[2] > 0.2, "{:?}", off(&many));
    }

    #[test]
    fn between_two_times_it_is_the_line() {
        let line = Chances(vec![(0.0, 0.2), (10.0, 0.6)]);
        assert_eq!([0.0, 5.0, 10.0, 99.0].map(|t| line.fresh_at(t)), [0.2, 0.4, 0.6, 0.6]);
        assert_eq!(Chances::default().fresh_at(1.0), 0.0);
    }
}
