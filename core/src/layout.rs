//! The layout: which nodes own which partition, as one versioned, canonical value.
//! Follows Dynamo (SOSP 2007) 6.2 strategy 3 (fixed partitions, equal shares); zones and minimal moves follow Garage's layout.
//! Invariants: members are sorted by incarnation; each partition has N distinct owners; equal layouts have equal bytes.
//! Not here: how owners are chosen (`layout/assign.rs`), lookup on the request path (`ring`), agreeing on a version.

mod assign;
mod wire;

use std::collections::BTreeSet;

use crate::config::{PARTITIONS_MAX, REPLICAS_MAX, REPLICATION_FACTOR_MAX};
use crate::id::{ClusterId, Incarnation, PartitionId};

/// Longest name, zone or address of a member.
pub const MEMBER_TEXT_BYTES_MAX: usize = 255;

/// One node as the layout knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// Identity of its data directory.
    pub incarnation: Incarnation,
    /// Its name, unique in the layout.
    pub name: String,
    /// Where it fails together with others; may be empty.
    pub zone: String,
    /// Its share of partitions, relative to the others'; at least 1.
    pub capacity: u32,
    /// `host:port` for clients.
    pub client_address: String,
    /// `host:port` for peers.
    pub peer_address: String,
    /// `host:port` for operators.
    pub admin_address: String,
}

/// Why no layout can be made of this. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Whoever proposed the members should add some.
    #[error("{needed} members are needed for a replication factor of {needed}, got {got}")]
    TooFewMembers {
        /// N.
        needed: u32,
        /// Members given.
        got: usize,
    },
    /// More than indices can name.
    #[error("{got} members, the most is {max}")]
    TooManyMembers {
        /// Members given.
        got: usize,
        /// The bound.
        max: u32,
    },
    /// Not a power of two from 1 to `max`.
    #[error("{partitions} partitions; allowed is a power of two from 1 to {max}")]
    BadPartitions {
        /// Q as given.
        partitions: u32,
        /// The bound.
        max: u32,
    },
    /// Not from 1 to `max`.
    #[error("replication factor {replication_factor}; allowed is 1 to {max}")]
    BadReplicationFactor {
        /// N as given.
        replication_factor: u32,
        /// The bound.
        max: u32,
    },
    /// A name or address is empty or too long, or the capacity is 0.
    #[error("member {incarnation} ({name:?}): bad {field}")]
    BadMember {
        /// Whose.
        incarnation: Incarnation,
        /// Its name.
        name: String,
        /// Which attribute.
        field: &'static str,
    },
    /// Two members share what must be their own.
    #[error("two members have the {field} {value}")]
    Duplicate {
        /// Which attribute.
        field: &'static str,
        /// What they share.
        value: String,
    },
    /// The version is the last one that exists.
    #[error("layout version {0} has no successor")]
    VersionsExhausted(u64),
    /// The assignment search failed: a bug of ours.
    #[error("no assignment found for partition {0}; this is a bug in driftkv")]
    Unsatisfiable(u32),
}

/// One version of the assignment of partitions to nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// 1 is the bootstrap; grows by one.
    pub version: u64,
    /// Whose layout.
    pub cluster_id: ClusterId,
    /// Q, a power of two.
    pub partitions: u32,
    /// N.
    pub replication_factor: u32,
    /// Sorted by incarnation.
    pub members: Vec<Member>,
    /// N indices into `members` a partition, first primary first.
    owners: Vec<u16>,
}

impl Layout {
    /// Version 1: the same members in any order give the same bytes.
    ///
    /// Owners of a partition are in distinct zones if there are N zones; else each zone is used as evenly as can be.
    /// Within that, tokens and places in the preference list are shared by capacity.
    pub fn first(
        cluster_id: ClusterId,
        partitions: u32,
        replication_factor: u32,
        members: Vec<Member>,
    ) -> Result<Layout, LayoutError> {
        let members = check(partitions, replication_factor, members)?;
        let owners = assign::assign(partitions, replication_factor, &members, &[])?;
        Ok(Layout { version: 1, cluster_id, partitions, replication_factor, members, owners })
    }

    /// The next version for `members`, moving few tokens: what still fits stays, at its place if it can.
    pub fn next(&self, members: Vec<Member>) -> Result<Layout, LayoutError> {
        let version = self.version.checked_add(1).ok_or(LayoutError::VersionsExhausted(self.version))?;
        let members = check(self.partitions, self.replication_factor, members)?;
        let old = self.owners.iter().map(|i| {
            let incarnation = self.members.get(usize::from(*i))?.incarnation;
            members.binary_search_by_key(&incarnation, |m| m.incarnation).ok()
        });
        let old: Vec<Option<usize>> = old.collect();
        let owners = assign::assign(self.partitions, self.replication_factor, &members, &old)?;
        Ok(Layout { version, members, owners, ..*self })
    }

    /// The owners of a partition, first primary first; none if there is no such partition.
    pub fn owners_of(&self, partition: PartitionId) -> impl Iterator<Item = &Member> {
        self.owner_indices(partition).iter().filter_map(|i| self.members.get(usize::from(*i)))
    }

    /// Indices into `members` of the owners of a partition; empty if there is no such partition.
    pub(crate) fn owner_indices(&self, partition: PartitionId) -> &[u16] {
        let factor = self.replication_factor as usize;
        let start = (partition.0 as usize).saturating_mul(factor);
        self.owners.get(start..start.saturating_add(factor)).unwrap_or_default()
    }

    /// The member with this data directory.
    pub fn member(&self, incarnation: Incarnation) -> Option<&Member> {
        let index = self.members.binary_search_by_key(&incarnation, |m| m.incarnation).ok()?;
        self.members.get(index)
    }

    /// The member with this name.
    pub fn member_by_name(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|m| m.name == name)
    }

    /// Hash of the encoding: two nodes with the same hash hold the same layout.
    pub fn hash(&self) -> u128 {
        twox_hash::XxHash3_128::oneshot(&self.encode())
    }
}

/// Checks the parameters and returns the members sorted.
fn check(partitions: u32, replication_factor: u32, mut members: Vec<Member>) -> Result<Vec<Member>, LayoutError> {
    if !partitions.is_power_of_two() || partitions > PARTITIONS_MAX {
        return Err(LayoutError::BadPartitions { partitions, max: PARTITIONS_MAX });
    }
    if !(1..=REPLICATION_FACTOR_MAX).contains(&replication_factor) {
        return Err(LayoutError::BadReplicationFactor { replication_factor, max: REPLICATION_FACTOR_MAX });
    }
    if members.len() < replication_factor as usize {
        return Err(LayoutError::TooFewMembers { needed: replication_factor, got: members.len() });
    }
    if members.len() > REPLICAS_MAX as usize {
        return Err(LayoutError::TooManyMembers { got: members.len(), max: REPLICAS_MAX });
    }
    members.iter().try_for_each(check_member)?;
    check_distinct(&members)?;
    members.sort();
    Ok(members)
}

fn check_member(member: &Member) -> Result<(), LayoutError> {
    let bad = |field| LayoutError::BadMember { incarnation: member.incarnation, name: member.name.clone(), field };
    for (field, text) in [
        ("name", &member.name),
        ("client_address", &member.client_address),
        ("peer_address", &member.peer_address),
        ("admin_address", &member.admin_address),
    ] {
        if text.is_empty() || text.len() > MEMBER_TEXT_BYTES_MAX {
            return Err(bad(field));
        }
    }
    if member.zone.len() > MEMBER_TEXT_BYTES_MAX {
        return Err(bad("zone"));
    }
    if member.capacity == 0 { Err(bad("capacity")) } else { Ok(()) }
}

fn check_distinct(members: &[Member]) -> Result<(), LayoutError> {
    distinct("incarnation", members.iter().map(|m| m.incarnation.to_string()))?;
    distinct("name", members.iter().map(|m| m.name.clone()))?;
    distinct("client_address", members.iter().map(|m| m.client_address.clone()))?;
    distinct("peer_address", members.iter().map(|m| m.peer_address.clone()))?;
    distinct("admin_address", members.iter().map(|m| m.admin_address.clone()))
}

fn distinct(field: &'static str, values: impl Iterator<Item = String>) -> Result<(), LayoutError> {
    let mut seen = BTreeSet::new();
    for value in values {
        if let Some(value) = seen.replace(value) {
            return Err(LayoutError::Duplicate { field, value });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
