//! The streams between nodes, as the engine sees them: one outlet a peer, with a queue for each class and one for SWIM.
//! Follows design.md, Wire: one long-lived stream a peer and class, coalesced writes, no timers; a node dials every other one
//! and speaks on the streams it dialled.
//! Invariants: nothing is queued while a stream is down; every queue is bounded, and what does not fit is dropped, as a
//! network may; nothing here blocks the engine.
//! Not here: one stream's life (`peers/link`), what arrives (`peers/inbound`), who listens (`api/peer`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use driftkv_core::id::{CommitNo, Incarnation};
use driftkv_core::layout::{Layout, Member};
use driftkv_core::message::{Class, Envelope, Message};
use driftkv_proto::v1::PeerFrame;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::convert;
use crate::driver::Handle;
use crate::faults::{Faults, Membership};

pub mod frames;
pub mod identity;
pub mod inbound;
pub(crate) mod link;

pub use identity::Identity;
use link::Link;

/// Messages that wait for one stream.
const LANE_MESSAGES_MAX: usize = 4_096;
/// Bytes of states that wait for one stream; a single larger one passes alone.
const LANE_BYTES_MAX: usize = 64 << 20;
/// SWIM messages that wait for one stream.
const URGENT_MAX: usize = 64;

/// The sending end of one stream's queue.
#[derive(Debug)]
struct Lane {
    queue: mpsc::Sender<Envelope>,
    state: Arc<LaneState>,
    task: JoinHandle<()>,
}

/// What a stream's two ends share.
#[derive(Debug, Default)]
pub(crate) struct LaneState {
    is_up: AtomicBool,
    bytes: AtomicUsize,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Outlet {
    name: String,
    urgent: mpsc::Sender<Envelope>,
    foreground: Lane,
    background: Lane,
}

/// All streams of this node. Owned by the engine.
pub struct Peers {
    identity: Arc<Identity>,
    faults: Faults,
    handle: Handle,
    quorums: Quorums,
    outlets: BTreeMap<Incarnation, Outlet>,
}

/// N, R, W of the cluster, for the blast radius of faults.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Quorums {
    pub n: u32,
    pub r: u32,
    pub w: u32,
}

impl Peers {
    /// No stream yet. `handle`: where what arrives goes.
    pub fn new(identity: Arc<Identity>, faults: Faults, handle: Handle, quorums: Quorums) -> Peers {
        Peers { identity, faults, handle, quorums, outlets: BTreeMap::new() }
    }

    /// Keeps a stream of each class to every other member of `layout`. Needs a tokio runtime.
    pub fn connect(&mut self, layout: &Layout) {
        self.identity.set_layout(layout);
        let names = layout.members.iter().map(|member| member.name.clone()).collect();
        let Quorums { n, r, w } = self.quorums;
        self.faults.set_members(Membership { names, n, r, w });
        let me = self.identity.incarnation();
        self.outlets.retain(|incarnation, _| layout.member(*incarnation).is_some());
        for member in layout.members.iter().filter(|member| member.incarnation != me) {
            if !self.outlets.contains_key(&member.incarnation) {
                let outlet = self.open(member);
                self.outlets.insert(member.incarnation, outlet);
            }
        }
    }

    fn open(&self, member: &Member) -> Outlet {
        let (urgent, urgent_queue) = mpsc::channel(URGENT_MAX);
        Outlet {
            name: member.name.clone(),
            urgent,
            foreground: self.lane(member, Class::Foreground, Some(urgent_queue)),
            background: self.lane(member, Class::Background, None),
        }
    }

    fn lane(&self, member: &Member, class: Class, urgent: Option<mpsc::Receiver<Envelope>>) -> Lane {
        let (queue, waiting) = mpsc::channel(LANE_MESSAGES_MAX);
        let state = Arc::<LaneState>::default();
        let link = Link {
            peer: member.incarnation,
            name: member.name.clone(),
            address: member.peer_address.clone(),
            class,
            identity: Arc::clone(&self.identity),
            faults: self.faults.clone(),
            handle: self.handle.clone(),
            state: Arc::clone(&state),
        };
        let task = tokio::spawn(link.run(waiting, urgent));
        Lane { queue, state, task }
    }

    /// Queues a message. Drops it if the stream is down or its queue full; core lives with lost messages.
    pub fn send(&self, to: Incarnation, class: Class, envelope: Envelope) {
        let Some(outlet) = self.outlets.get(&to) else {
            // A node that has no layout yet dials nobody; it answers on the stream it was called on.
            self.identity
                .answer(to, || PeerFrame { envelopes: vec![convert::to_wire(envelope)], ..PeerFrame::default() });
            return;
        };
        if matches!(envelope.message, Message::Swim(_)) {
            if outlet.foreground.state.is_up.load(Ordering::Acquire) {
                let _ = outlet.urgent.try_send(envelope);
            }
            return;
        }
        let lane = if class == Class::Foreground { &outlet.foreground } else { &outlet.background };
        if let Some(dropped) = lane.push(envelope)
            && dropped.is_power_of_two()
        {
            tracing::warn!(peer = %outlet.name, ?class, dropped, "the queue to a peer is full: messages are dropped");
        }
    }

    /// Every message from now on says that this commit is durable.
    pub fn set_synced(&self, commit: CommitNo) {
        self.identity.set_synced(commit);
    }

    /// A peer's name, or its incarnation if the layout does not name it.
    pub fn name(&self, incarnation: Incarnation) -> String {
        self.outlets.get(&incarnation).map_or_else(|| incarnation.to_string(), |outlet| outlet.name.clone())
    }
}

impl Lane {
    /// Gives the number dropped so far if this one is, too.
    fn push(&self, envelope: Envelope) -> Option<u64> {
        if !self.state.is_up.load(Ordering::Acquire) {
            return None;
        }
        let bytes = size(&envelope);
        let before = self.state.bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = before == 0 || before.saturating_add(bytes) <= LANE_BYTES_MAX;
        if fits && self.queue.try_send(envelope).is_ok() {
            return None;
        }
        self.state.bytes.fetch_sub(bytes, Ordering::Relaxed);
        Some(self.state.dropped.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl LaneState {
    fn set_up(&self, is_up: bool) {
        self.is_up.store(is_up, Ordering::Release);
    }

    /// So many messages had no room.
    fn lost(&self, count: usize) {
        self.dropped.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// These bytes are no longer queued.
    fn taken(&self, envelopes: &[Envelope]) {
        let bytes = envelopes.iter().map(size).sum();
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Bytes of states and puts: what makes messages large.
pub(crate) fn size(envelope: &Envelope) -> usize {
    match &envelope.message {
        Message::Replicate(replicate) => replicate.state.len(),
        Message::FetchReply(reply) => reply.state.as_ref().map_or(0, |state| state.len()),
        Message::Forward { put, .. } => put.len(),
        Message::LayoutGive(layout) => layout.len(),
        Message::TreeKeys { keys, .. } => keys.iter().map(|(key, _)| key.len() + 16).sum(),
        Message::TreeWant { keys, .. } => keys.iter().map(|key| key.len() + 8).sum(),
        _ => 0,
    }
}
