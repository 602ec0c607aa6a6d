//! What operators ask and are told.
//! Invariant: a bootstrap becomes a layout by every rule of `Layout::first`, or is refused with all its words.
//! Not here: faults (`faults`), the state itself (core's `Status`).

use bytes::Bytes;
use driftkv_core::config::KEY_BYTES_CEILING;
use driftkv_core::effect::{PartitionDigest, Peeked, PeerStatus, Status};
use driftkv_core::id::{ClusterId, Incarnation, Key, PartitionId};
use driftkv_core::layout::{Layout, Member};
use driftkv_proto::v1;

use super::client;

/// Keys in one question what a node stores of them.
const PEEK_KEYS_MAX: usize = 1_000;
/// Values in its answer, in bytes; clients of gRPC take messages of 4 MiB.
const PEEK_BYTES_MAX: usize = 3 << 20;

/// What a node says about itself that core does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Identity of its data directory.
    pub incarnation: Incarnation,
    /// Its name.
    pub name: String,
    /// Its zone; may be empty.
    pub zone: String,
    /// For whoever bootstraps it.
    pub started_with: v1::StartedWith,
}

/// The layout that a bootstrap asks for. Errors: a sentence for the operator; nothing was adopted.
pub fn bootstrap(request: v1::BootstrapRequest) -> Result<Layout, String> {
    let cluster_id: [u8; 16] = request.cluster_id.as_ref().try_into().map_err(|_| {
        format!(
            "cluster_id has {} bytes; allowed is 16, chosen at random by whoever bootstraps",
            request.cluster_id.len()
        )
    })?;
    if let Some(member) = request.members.iter().find(|member| member.incarnation == 0) {
        return Err(format!("member {:?} has no incarnation; `Status` of that node tells it", member.name));
    }
    let members = request.members.into_iter().map(member_from_wire).collect();
    let cluster_id = ClusterId(u128::from_be_bytes(cluster_id));
    Layout::first(cluster_id, request.partitions, request.replication_factor, members).map_err(|e| e.to_string())
}

/// A layout; version 0 and nothing else when there is none.
pub fn layout(layout: Option<&Layout>) -> v1::Layout {
    let Some(layout) = layout else { return v1::Layout::default() };
    let index = |member: &Member| layout.members.binary_search_by_key(&member.incarnation, |m| m.incarnation).ok();
    let partitions = (0..layout.partitions).map(PartitionId);
    let owners = partitions.flat_map(|partition| layout.owners_of(partition).filter_map(index));
    v1::Layout {
        version: layout.version,
        cluster_id: cluster_id_bytes(layout.cluster_id),
        partitions: layout.partitions,
        replication_factor: layout.replication_factor,
        members: layout.members.iter().map(member_to_wire).collect(),
        owners: owners.map(|index| index as u32).collect(),
    }
}

/// The state of the node as core knows it; the caller adds faults and syncs.
pub fn status(about: &About, status: Status) -> v1::StatusReply {
    let name = |target: Incarnation| {
        let peer = status.peers.iter().find(|peer| peer.incarnation == target);
        peer.map_or_else(String::new, |peer| peer.name.clone())
    };
    let hint = |(target, hints, bytes): &(Incarnation, u64, u64)| v1::HintStatus {
        target: target.0,
        name: name(*target),
        hints: *hints,
        bytes: *bytes,
    };
    v1::StatusReply {
        incarnation: about.incarnation.0,
        name: about.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        boot: status.boot.into(),
        synced_commit: status.synced.0,
        cluster_id: status.cluster.map(cluster_id_bytes).unwrap_or_default(),
        layout_version: status.layout_version,
        state: status.state.to_owned(),
        hints: status.hints.iter().map(hint).collect(),
        partitions_owned: status.partitions_owned,
        partitions_built: status.partitions_built,
        partitions_dirty: status.partitions_dirty,
        keys: status.keys,
        operations_in_flight: status.in_flight,
        counters: status.counters.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
        zone: about.zone.clone(),
        peers: status.peers.into_iter().map(peer).collect(),
        started_with: Some(about.started_with.clone()),
        ..v1::StatusReply::default()
    }
}

/// The reply to a bootstrap; `hash` is of the layout.
pub fn bootstrap_reply(version: u64, hash: u128, was_adopted: bool) -> v1::BootstrapReply {
    v1::BootstrapReply { version, layout_hash: Bytes::copy_from_slice(&hash.to_be_bytes()), was_adopted }
}

/// The reply to a digest.
pub fn digest_reply(root: u64, keys: u64, is_built: bool) -> v1::DigestReply {
    v1::DigestReply { root: Bytes::copy_from_slice(&root.to_be_bytes()), keys, is_built }
}

/// The reply to a question for all digests.
pub fn digests_reply(digests: Vec<PartitionDigest>) -> v1::DigestsReply {
    let digest = |digest: PartitionDigest| v1::PartitionDigest {
        partition: digest.partition.0,
        root: digest.root,
        keys: digest.keys,
        is_built: digest.is_built,
    };
    v1::DigestsReply { partitions: digests.into_iter().map(digest).collect() }
}

/// The keys that a peek asks for. Errors: a sentence for who asked.
pub fn peek(request: v1::PeekRequest) -> Result<Vec<Key>, String> {
    let count = request.keys.len();
    if count > PEEK_KEYS_MAX {
        return Err(format!("keys: there are {count}; allowed are {PEEK_KEYS_MAX}"));
    }
    let ceiling = KEY_BYTES_CEILING as usize;
    let mut lengths = request.keys.iter().map(|key| key.len()).chain([request.bucket.len()]);
    if let Some(length) = lengths.find(|length| *length > ceiling) {
        return Err(format!("keys: a bucket or a key has {length} bytes; allowed are {ceiling}"));
    }
    let bucket = request.bucket;
    Ok(request.keys.into_iter().map(|key| client::key(bucket.clone(), key)).collect())
}

/// The reply to a peek. Errors: it would be too large.
pub fn peek_reply(peeked: Vec<Peeked>) -> Result<v1::PeekReply, String> {
    let bytes: usize = peeked.iter().flat_map(|peeked| &peeked.values).map(Bytes::len).sum();
    if bytes > PEEK_BYTES_MAX {
        return Err(format!("the values have {bytes} bytes; allowed are {PEEK_BYTES_MAX}: ask for fewer keys"));
    }
    let key =
        |peeked: Peeked| v1::PeekedKey { is_owned: peeked.is_owned, is_known: peeked.is_known, values: peeked.values };
    Ok(v1::PeekReply { keys: peeked.into_iter().map(key).collect() })
}

fn peer(peer: PeerStatus) -> v1::PeerStatus {
    v1::PeerStatus {
        incarnation: peer.incarnation.0,
        name: peer.name,
        is_connected: peer.is_connected,
        is_reachable: peer.is_reachable,
        rumour: peer.rumour.to_owned(),
        missed_deadlines: peer.missed_deadlines,
        anti_entropy_rounds: peer.anti_entropy_rounds,
        boot: peer.boot.into(),
    }
}

fn cluster_id_bytes(id: ClusterId) -> Bytes {
    Bytes::copy_from_slice(&id.0.to_be_bytes())
}

fn member_to_wire(member: &Member) -> v1::Member {
    v1::Member {
        incarnation: member.incarnation.0,
        name: member.name.clone(),
        zone: member.zone.clone(),
        capacity: member.capacity,
        client_address: member.client_address.clone(),
        peer_address: member.peer_address.clone(),
        admin_address: member.admin_address.clone(),
    }
}

fn member_from_wire(member: v1::Member) -> Member {
    Member {
        incarnation: Incarnation(member.incarnation),
        name: member.name,
        zone: member.zone,
        capacity: member.capacity,
        client_address: member.client_address,
        peer_address: member.peer_address,
        admin_address: member.admin_address,
    }
}
