//! Who was on which side of a partition, as the targets of requests.
//! A side counts while it was cut off, by evidence; sides of the same nodes in several partitions are one.

use std::collections::BTreeMap;

use super::sample::{Sample, Samples};
use crate::faults::Period;

/// The sides of all partitions.
#[derive(Debug, Default)]
pub(super) struct Sides {
    sides: BTreeMap<String, Vec<Cut>>,
    /// The node of each target, by its place among the targets.
    nodes: Vec<Option<String>>,
}

/// When a side was cut off, and which targets are on it.
#[derive(Debug)]
struct Cut {
    from_ns: u64,
    to_ns: u64,
    targets: Vec<u16>,
}

impl Sides {
    /// `nodes`: name and address of each.
    pub(super) fn of(periods: &[Period], nodes: &[(String, String)], samples: &Samples) -> Self {
        let node_at = |target: &String| {
            let found = nodes.iter().find(|(name, address)| bare(address) == bare(target) || name == target);
            found.map(|(name, _)| name.clone())
        };
        let by_target: Vec<Option<String>> = samples.targets.iter().map(node_at).collect();
        let mut sides: BTreeMap<String, Vec<Cut>> = BTreeMap::new();
        for period in periods {
            for side in &period.sides {
                let is_on = |node: &Option<String>| node.as_ref().is_some_and(|node| side.nodes.contains(node));
                let targets = (0..).zip(&by_target).filter(|(_, node)| is_on(node)).map(|(place, _)| place).collect();
                let (from_ns, to_ns) = (period.from_ns, period.to_ns.unwrap_or(u64::MAX));
                sides.entry(side.name.clone()).or_default().push(Cut { from_ns, to_ns, targets });
            }
        }
        Self { sides, nodes: by_target }
    }

    /// The node that a history calls `target`, if it is known, else as it is called there.
    pub(super) fn name_of(&self, target: &str, samples: &Samples) -> String {
        let place = samples.targets.iter().position(|known| known == target);
        let node = place.and_then(|place| self.nodes.get(place)).and_then(Option::as_ref);
        node.map_or_else(|| target.to_owned(), String::clone)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.sides.keys().map(String::as_str)
    }

    /// Whether the node that was asked was on `side` while it was cut off.
    pub(super) fn is_on(&self, side: &str, sample: &Sample) -> bool {
        let cuts = self.sides.get(side).into_iter().flatten();
        cuts.into_iter()
            .any(|cut| (cut.from_ns..cut.to_ns).contains(&sample.due_ns) && cut.targets.contains(&sample.target))
    }

    /// Whether the node that was asked is one of `side`, at any time.
    pub(super) fn has(&self, side: &str, sample: &Sample) -> bool {
        self.sides.get(side).into_iter().flatten().any(|cut| cut.targets.contains(&sample.target))
    }

    /// What the node at a target's place is called.
    pub(super) fn node(&self, target: u16) -> Option<&str> {
        self.nodes.get(usize::from(target))?.as_deref()
    }
}

/// An address without its scheme.
fn bare(address: &str) -> &str {
    let address = address.split_once("://").map_or(address, |(_, rest)| rest);
    address.trim_end_matches('/')
}
