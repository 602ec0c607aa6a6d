//! What this node knows of each peer by its own evidence.
//! Follows design.md, Membership: routing trusts missed deadlines and streams before rumours.
//! Invariant: only an answer to something we asked makes a suspect reachable again; what it says by itself does not show
//! that it hears us. What is remembered for the rollback fence is durable soon, and kept for members only.
//! Not here: what the fence makes of it (`fence`).

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec::{Malformed, Reader};
use crate::effect::{Event, PeerStatus};
use crate::fence::Seen;
use crate::id::{CommitNo, Incarnation};
use crate::layout::Layout;
use crate::membership::{Rumour, SwimOut};
use crate::message::{Message, Refusal};
use crate::node::{Hold, Node};
use crate::store::{Space, Store, StoreError};
use crate::time::Time;

const SEEN: &[u8] = b"seen/";
const SEEN_VERSION: u8 = 1;
const SAVE_INTERVAL_MS: u64 = 1_000;
/// A peer's commits that are remembered only in memory while nothing else is written here.
const SAVE_COMMITS: u64 = 64;
/// Linked peers that no layout names: more than any cluster has members.
const STRANGERS_MAX: usize = 1_024;

#[derive(Debug, Default)]
struct Peer {
    is_member: bool,
    is_linked: bool,
    is_suspect: bool,
    is_down: bool,
    missed_deadlines: u32,
    /// When it last answered something.
    answered_at: Time,
    seen: Seen,
    saved: Seen,
}

/// All peers.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    peers: BTreeMap<Incarnation, Peer>,
    probe_at: Time,
    save_at: Time,
    /// The newest commit when they were last saved.
    saved_at: CommitNo,
}

impl Peers {
    /// Reads what was remembered of each peer.
    pub(crate) fn open(store: &dyn Store) -> Result<Peers, StoreError> {
        let mut peers = Peers::default();
        for (key, value) in store.scan(Space::Meta, SEEN, Some(b"seen0"), STRANGERS_MAX)? {
            let damaged = |_| StoreError("damaged memory of a peer".to_owned());
            let mut r = Reader::new(key.slice(SEEN.len().min(key.len())..));
            let incarnation = Incarnation(r.u64().map_err(damaged)?);
            let seen = read_seen(value).map_err(damaged)?;
            peers.peers.insert(incarnation, Peer { seen, saved: seen, ..Peer::default() });
        }
        Ok(peers)
    }

    pub(crate) fn set_members(&mut self, layout: &Layout, me: Incarnation) {
        for member in layout.members.iter().filter(|m| m.incarnation != me) {
            self.peers.entry(member.incarnation).or_default().is_member = true;
        }
        self.peers.retain(|_, peer| peer.is_member || peer.is_linked);
    }

    /// What was seen of `peer`; `None`: neither a member nor linked.
    pub(crate) fn seen(&self, peer: Incarnation) -> Option<Seen> {
        self.peers.get(&peer).map(|peer| peer.seen)
    }

    pub(crate) fn see(&mut self, peer: Incarnation, seen: Seen) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.seen = seen;
        }
    }

    pub(crate) fn answered_at(&self, peer: Incarnation) -> Time {
        self.peers.get(&peer).map_or(Time::default(), |peer| peer.answered_at)
    }

    /// Adds what is new to the open batch: all of it if something else was written since, else only a new boot and what
    /// ran far ahead. So a cluster at rest writes nothing.
    fn save(&mut self, store: &mut dyn Store) {
        let is_active = store.last_commit() > self.saved_at;
        let mut has_saved = false;
        for (incarnation, peer) in self.peers.iter_mut().filter(|(_, peer)| peer.is_member) {
            let (seen, saved) = (peer.seen, peer.saved);
            let is_far = seen.boot != saved.boot || seen.commit.0 >= saved.commit.0.saturating_add(SAVE_COMMITS);
            if seen == saved || !(is_active || is_far) {
                continue;
            }
            peer.saved = seen;
            has_saved = true;
            let mut key = BytesMut::from(SEEN);
            key.put_u64(incarnation.0);
            store.put(Space::Meta, key.freeze(), write_seen(seen));
        }
        self.saved_at = CommitNo(store.last_commit().0.saturating_add(u64::from(has_saved)));
    }
}

fn write_seen(seen: Seen) -> Bytes {
    let mut value = BytesMut::with_capacity(21);
    value.put_u8(SEEN_VERSION);
    value.put_u32(seen.boot);
    value.put_u64(seen.nonce);
    value.put_u64(seen.commit.0);
    value.freeze()
}

fn read_seen(value: Bytes) -> Result<Seen, Malformed> {
    let mut r = Reader::new(value);
    if r.u8()? != SEEN_VERSION {
        return Err(Malformed("unknown version of a peer's memory"));
    }
    let seen = Seen { boot: r.u32()?, nonce: r.u64()?, commit: CommitNo(r.u64()?) };
    r.end()?;
    Ok(seen)
}

impl Peer {
    fn is_reachable(&self) -> bool {
        self.is_linked && !self.is_suspect && !self.is_down
    }

    fn answered(&mut self, now: Time) {
        self.answered_at = now;
        self.is_suspect = false;
        self.is_down = false;
    }
}

impl Node {
    pub(crate) fn is_reachable(&self, peer: Incarnation) -> bool {
        self.peers.peers.get(&peer).is_some_and(Peer::is_reachable)
    }

    /// Why this node takes no requests; `None`: it does.
    pub(crate) fn not_ready(&self) -> Option<&'static str> {
        if self.fence.halted.is_some() {
            return Some(
                "its disk was rolled back, and it serves no more; keep the other nodes running (its log says more)",
            );
        }
        if self.synced < self.boot_commit {
            return Some("its boot count is not on disk yet");
        }
        let Some(layout) = &self.layout else {
            return Some("it has no layout yet; bootstrap the cluster");
        };
        if layout.member(self.me()).is_none() {
            return Some("the layout does not name it");
        }
        (!self.fence.has_passed).then_some("it is asking a majority whether its disk is the newest they know of it")
    }

    /// Takes note of a peer's progress. Of a boot it has not shown the marks of yet, nothing is noted (`fence`).
    pub(crate) fn hear(&mut self, from: Incarnation, boot: u32, synced: CommitNo) {
        let Some(peer) = self.peers.peers.get_mut(&from) else { return };
        if peer.seen.boot == boot {
            peer.seen.commit = peer.seen.commit.max(synced);
        }
    }

    /// It answered: it hears us, and we hear it.
    pub(crate) fn hear_answer(&mut self, from: Incarnation) {
        let now = self.now;
        if let Some(peer) = self.peers.peers.get_mut(&from) {
            peer.answered(now);
        }
    }

    pub(crate) fn on_link_up(
        &mut self,
        store: &mut dyn Store,
        peer: Incarnation,
        boot: u32,
        synced: CommitNo,
    ) -> Result<(), StoreError> {
        // A link may be up before the layout names its peer: it must not be forgotten.
        let strangers = self.peers.peers.values().filter(|peer| !peer.is_member).count();
        if !self.peers.peers.contains_key(&peer) && strangers >= STRANGERS_MAX {
            return Ok(());
        }
        let now = self.now;
        let known = self.peers.peers.entry(peer).or_default();
        known.is_linked = true;
        known.answered(now);
        self.hear(peer, boot, synced);
        self.ask_fence(peer);
        if self.not_ready().is_none() {
            self.drain_hints(store, peer)?;
        }
        Ok(())
    }

    pub(crate) fn on_link_down(&mut self, store: &mut dyn Store, peer: Incarnation) -> Result<(), StoreError> {
        if let Some(known) = self.peers.peers.get_mut(&peer) {
            known.is_linked = false;
        }
        self.peers.peers.retain(|node, known| known.is_member || *node != peer);
        self.hints.lose(peer);
        self.on_peer_lost(store, peer)
    }

    /// It did not answer what it was asked at `since`. If it has answered something else meanwhile, a message was lost or it is busy: it is no
    /// suspect, or a network that loses one message in twenty would have no quorum for a fifth of the time.
    pub(crate) fn miss(&mut self, node: Incarnation, since: Time) {
        let Some(peer) = self.peers.peers.get_mut(&node) else { return };
        peer.missed_deadlines = peer.missed_deadlines.saturating_add(1);
        if peer.answered_at <= since {
            self.suspect(node);
        }
    }

    /// Ask others until it is heard again.
    pub(crate) fn suspect(&mut self, node: Incarnation) {
        let Some(peer) = self.peers.peers.get_mut(&node) else { return };
        if !std::mem::replace(&mut peer.is_suspect, true) {
            self.observe(Event::PeerSuspected(node));
        }
    }

    pub(crate) fn tick_peers(&mut self, store: &mut dyn Store) {
        if self.now >= self.peers.probe_at {
            self.peers.probe_at = self.now.plus(self.settings.probe_interval_ms);
            // Also after a majority has answered: any peer may be the one that has seen more.
            let wanted = |(node, peer): (&Incarnation, &Peer)| {
                let is_unanswered = peer.is_member && !self.fence.answered.contains(node);
                (peer.is_linked && (peer.is_suspect || peer.is_down || is_unanswered)).then_some(*node)
            };
            let asked: Vec<Incarnation> = self.peers.peers.iter().filter_map(wanted).collect();
            for node in asked {
                self.ask_fence(node);
            }
            self.pass_fence_by_majority();
        }
        if self.now >= self.peers.save_at {
            self.peers.save_at = self.now.plus(SAVE_INTERVAL_MS);
            self.peers.save(store);
        }
    }

    /// The other side has another layout: what it wants cannot be judged.
    pub(crate) fn refuse_other_layout(&mut self, from: Incarnation, message: Message) {
        let reason = Refusal::NotReady;
        match message {
            Message::Replicate(r) if r.op != 0 => {
                self.send(Hold::Now, from, Message::ReplicateRefused { op: r.op, reason });
            }
            Message::Fetch(f) => self.send(Hold::Now, from, Message::FetchRefused { op: f.op, reason }),
            _ => {}
        }
    }

    pub(crate) fn on_swim(&mut self, from: Incarnation, data: Bytes) {
        let now = self.now;
        let refused = self.membership.as_mut().is_some_and(|m| m.on_data(now, from, data).is_err());
        if refused {
            self.observe(Event::MalformedMessage(from));
        }
        self.take_rumours();
    }

    pub(crate) fn tick_membership(&mut self) {
        let now = self.now;
        if let Some(membership) = &mut self.membership {
            membership.tick(now);
        }
        self.take_rumours();
    }

    pub(crate) fn take_rumours(&mut self) {
        let outputs = self.membership.as_mut().map(|m| m.take_output()).unwrap_or_default();
        for output in outputs {
            match output {
                SwimOut::Send { to, data } => self.send(Hold::Now, to, Message::Swim(data)),
                SwimOut::Up(node) => self.set_rumour(node, false, Event::PeerUp(node)),
                SwimOut::Down(node) => self.set_rumour(node, true, Event::PeerDown(node)),
            }
        }
    }

    fn set_rumour(&mut self, node: Incarnation, is_down: bool, event: Event) {
        if let Some(peer) = self.peers.peers.get_mut(&node) {
            peer.is_down = is_down;
            self.observe(event);
        }
    }

    pub(crate) fn peer_statuses(&self) -> Vec<PeerStatus> {
        let rumour = |node| match self.membership.as_ref().map_or(Rumour::Unknown, |m| m.rumour(node)) {
            Rumour::Alive => "alive",
            Rumour::Suspect => "suspect",
            Rumour::Down => "down",
            Rumour::Unknown => "unknown",
        };
        let status = |(node, peer): (&Incarnation, &Peer)| PeerStatus {
            incarnation: *node,
            name: self.layout.as_ref().and_then(|l| l.member(*node)).map_or_else(String::new, |m| m.name.clone()),
            is_connected: peer.is_linked,
            is_reachable: peer.is_reachable(),
            rumour: rumour(*node),
            missed_deadlines: peer.missed_deadlines,
            anti_entropy_rounds: self.trees.rounds(*node),
            boot: peer.seen.boot,
        };
        self.peers.peers.iter().map(status).collect()
    }
}
