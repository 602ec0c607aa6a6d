//! When each partition converged, poll by poll.

use std::collections::BTreeMap;

use super::{Convergence, PartitionDigest, Poll};

/// What is known of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// It agrees until the last poll that saw all of it; since when, in nanoseconds since the run began.
    Converged {
        /// Not before: it was seen to differ, or the heal.
        after_ns: u64,
        /// Not after: it was seen to agree.
        by_ns: u64,
    },
    /// The last poll that told saw a difference.
    Differs,
    /// No poll told of all its owners.
    Unknown,
}

/// What one poll says of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    Agrees,
    Differs,
    Unknown,
}

/// What is known of each partition.
pub fn spans(convergence: &Convergence) -> BTreeMap<u32, Span> {
    let mut spans: BTreeMap<u32, Span> =
        (0..convergence.partitions).map(|partition| (partition, Span::Unknown)).collect();
    let mut differed: BTreeMap<u32, u64> = BTreeMap::new();
    for poll in convergence.after_heal() {
        for (partition, sight) in sights(poll, convergence.replicas) {
            let span = spans.entry(partition).or_insert(Span::Unknown);
            match (sight, *span) {
                (Sight::Differs, _) => {
                    differed.insert(partition, poll.at_ns);
                    *span = Span::Differs;
                }
                (Sight::Agrees, Span::Differs | Span::Unknown) => {
                    let after_ns = differed.get(&partition).copied().unwrap_or(convergence.heal_ns);
                    *span = Span::Converged { after_ns, by_ns: poll.at_ns };
                }
                (Sight::Agrees, Span::Converged { .. }) | (Sight::Unknown, _) => {}
            }
        }
    }
    spans
}

/// Whether all owners of every partition that `poll` tells of hold the same.
pub(crate) fn agrees(poll: &Poll, replicas: usize) -> bool {
    let sights = sights(poll, replicas);
    !sights.is_empty() && sights.values().all(|sight| *sight == Sight::Agrees)
}

/// What `poll` says of each partition that some node told of.
pub(super) fn sights(poll: &Poll, replicas: usize) -> BTreeMap<u32, Sight> {
    let mut told: BTreeMap<u32, Vec<PartitionDigest>> = BTreeMap::new();
    for digest in poll.per_replica_digest.iter().flat_map(|(_, digests)| digests) {
        told.entry(digest.partition).or_default().push(*digest);
    }
    told.into_iter().map(|(partition, digests)| (partition, sight(&digests, replicas))).collect()
}

fn sight(digests: &[PartitionDigest], replicas: usize) -> Sight {
    let built: Vec<&PartitionDigest> = digests.iter().filter(|digest| digest.is_built).collect();
    let is_alike = built.windows(2).all(|pair| match pair {
        [one, other] => (one.root, one.keys) == (other.root, other.keys),
        _ => true,
    });
    match is_alike {
        // Two that differ are enough to know.
        false => Sight::Differs,
        true if built.len() >= replicas && built.len() == digests.len() => Sight::Agrees,
        true => Sight::Unknown,
    }
}
