//! Whether an experiment leaves a quorum: checked before anything is injected.
//! Counted with caution, as if all faults of the experiment held at once. A node is *disturbed* when it is paused, crashed or wiped, has a
//! disk that fails or takes longer than `SYNC_MS_MAX`, is on a smaller side of a partition, or must be left out for the others to hear
//! each other in spite of drops. Delays, duplicates, reordering, quicker disks and clocks change timing only and do not count.
//! Invariant: if the check passes, the nodes not disturbed are up and no message between them is lost on purpose.

use std::collections::BTreeSet;

use super::{
    Cut, Experiment, Fault, Links,
    link::{EVERY_NODE, group_index, has_name, is_name},
    place::{At, in_front},
};

/// A disk that takes longer a sync, on average, lets its node acknowledge too little too late to be counted on.
const SYNC_MS_MAX: f64 = 1_000.0;

/// Why an experiment is not injected although it is well written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It names nodes that are not members: a typing error, or another cluster's experiment.
    #[error("no such node: {}; the members are {}", .unknown.join(", "), .members.join(", "))]
    UnknownNodes {
        /// The names nobody has.
        unknown: Vec<String>,
        /// The names there are.
        members: Vec<String>,
        /// Line and column of the first of `unknown`.
        place: Option<At>,
    },
    /// It would disturb more nodes than a quorum survives.
    #[error(
        "disturbs {} ({}), but N={n}, R={r}, W={w} survive {allowed}; to inject it all the same, write allowQuorumLoss: true",
        count_nodes(.disturbed.len()), .disturbed.join(", ")
    )]
    QuorumLoss {
        /// The nodes counted.
        disturbed: Vec<String>,
        /// How many may be disturbed: N - max(R, W).
        allowed: usize,
        /// Replicas a key.
        n: usize,
        /// The read quorum.
        r: usize,
        /// The write quorum.
        w: usize,
    },
}

impl Refusal {
    /// Line and column of what is refused, if it stands in one place.
    pub fn place(&self) -> Option<At> {
        match self {
            Self::UnknownNodes { place, .. } => *place,
            Self::QuorumLoss { .. } => None,
        }
    }

    /// In words, with the place in the text.
    pub fn placed(&self) -> String {
        format!("{}{self}", in_front(self.place()))
    }
}

impl Experiment {
    /// Refuses names that are no members and, unless `allow_quorum_loss`, more disturbed nodes than N - max(R, W).
    pub fn quorum_check(&self, members: &[String], n: usize, r: usize, w: usize) -> Result<(), Refusal> {
        let named: BTreeSet<&str> =
            self.faults.iter().flat_map(Fault::names).filter(|name| *name != EVERY_NODE).collect();
        let is_unknown = |name: &&str| !members.iter().any(|member| member == name);
        let unknown: Vec<String> = named.into_iter().filter(is_unknown).map(str::to_owned).collect();
        if !unknown.is_empty() {
            let place = unknown.first().and_then(|name| self.places.nodes.get(name)).copied();
            return Err(Refusal::UnknownNodes { unknown, members: members.to_vec(), place });
        }
        let disturbed = self.disturbed(members);
        let allowed = n.saturating_sub(r.max(w));
        if self.allow_quorum_loss || disturbed.len() <= allowed {
            return Ok(());
        }
        Err(Refusal::QuorumLoss { disturbed: disturbed.into_iter().collect(), allowed, n, r, w })
    }

    /// The members this experiment disturbs, counted with caution.
    pub fn disturbed(&self, members: &[String]) -> BTreeSet<String> {
        let mut disturbed: BTreeSet<String> =
            self.faults.iter().flat_map(|fault| members.iter().filter(|name| fault.stops(name))).cloned().collect();
        // Order: partitions with groups, then one-way cuts and drops. Those may leave out either end, and an end that is
        // disturbed anyway costs nothing; the other way round the count would be needlessly high.
        for fault in &self.faults {
            if let Fault::Partition(Cut::Groups(groups)) = fault {
                disturbed.extend(smaller_sides(groups, members, &disturbed));
            }
        }
        for (from, to) in self.faults.iter().filter_map(|fault| fault.lossy_ends(members)) {
            disturbed.extend(cheaper_end(from, to, &disturbed));
        }
        disturbed
    }
}

impl Fault {
    fn stops(&self, name: &str) -> bool {
        let stops = match self {
            Self::Pause { .. } | Self::Crash { .. } | Self::Wipe { .. } | Self::DiskError { .. } => true,
            Self::SlowDisk { law, .. } => law.mean_ms() > SYNC_MS_MAX,
            _ => false,
        };
        stops && self.matches_node(name)
    }

    /// Who sends and who receives the messages that are lost; leaving out either set leaves no loss.
    fn lossy_ends(&self, members: &[String]) -> Option<(BTreeSet<String>, BTreeSet<String>)> {
        let set = |is_in: &dyn Fn(&str) -> bool| members.iter().filter(|name| is_in(name)).cloned().collect();
        match self {
            Self::Drop { links: Links::OneWay { from, to }, .. } | Self::Partition(Cut::OneWay { from, to }) => {
                Some((set(&|name| has_name(from, name)), set(&|name| has_name(to, name))))
            }
            Self::Drop { links: Links::Between(a, b), .. } => {
                Some((set(&|name| is_name(a, name)), set(&|name| is_name(b, name))))
            }
            _ => None,
        }
    }
}

/// All sides but the one with the most nodes not disturbed yet; of equals the first is kept.
fn smaller_sides(groups: &[Vec<String>], members: &[String], disturbed: &BTreeSet<String>) -> Vec<String> {
    let healthy_in = |index: usize| {
        let is_healthy = |name: &&String| group_index(groups, name) == Some(index) && !disturbed.contains(*name);
        members.iter().filter(is_healthy).count()
    };
    let kept = (0..groups.len()).rev().max_by_key(|index| healthy_in(*index));
    let is_cut_off = |name: &&String| group_index(groups, name).is_some_and(|index| Some(index) != kept);
    members.iter().filter(is_cut_off).cloned().collect()
}

fn cheaper_end(from: BTreeSet<String>, to: BTreeSet<String>, disturbed: &BTreeSet<String>) -> BTreeSet<String> {
    if from.difference(disturbed).count() <= to.difference(disturbed).count() { from } else { to }
}

fn count_nodes(count: usize) -> String {
    if count == 1 { "1 node".to_owned() } else { format!("{count} nodes") }
}
