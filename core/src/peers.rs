//! What this node knows of each peer by its own evidence, and the rollback fence built on it.
//! Follows design.md, Identity and Membership: routing trusts missed deadlines and streams before rumours.
//! Invariant: a node that a peer has seen further ahead than its disk now is stops; until a majority has denied that,
//! it neither coordinates nor counts in reads.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec::Reader;
use crate::effect::{Effect, Event, PeerStatus};
use crate::id::{CommitNo, Incarnation};
use crate::layout::Layout;
use crate::membership::{Rumour, SwimOut};
use crate::message::{Message, Refusal};
use crate::node::{Hold, Node};
use crate::store::{Space, Store, StoreError};
use crate::time::Time;

const SEEN: &[u8] = b"seen/";
const SAVE_INTERVAL_MS: u64 = 1_000;

/// A peer's progress: boot count and last synced commit; higher is later.
type Progress = (u32, CommitNo);

#[derive(Debug, Default)]
struct Peer {
    is_linked: bool,
    is_suspect: bool,
    is_down: bool,
    missed_deadlines: u32,
    /// The newest progress heard.
    seen: Progress,
    /// The newest progress of boots before that one.
    before: Progress,
    saved: (Progress, Progress),
}

/// All peers, and who has answered the fence.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    peers: BTreeMap<Incarnation, Peer>,
    answered: BTreeSet<Incarnation>,
    has_passed: bool,
    probe_at: Time,
    save_at: Time,
}

impl Peers {
    /// Reads what was remembered of each peer.
    pub(crate) fn open(store: &dyn Store) -> Result<Peers, StoreError> {
        let mut peers = Peers::default();
        for (key, value) in store.scan(Space::Meta, SEEN, Some(b"seen0"), usize::MAX)? {
            let damaged = |_| StoreError("damaged memory of a peer".to_owned());
            let mut r = Reader::new(key.slice(SEEN.len().min(key.len())..));
            let incarnation = Incarnation(r.u64().map_err(damaged)?);
            let mut r = Reader::new(value);
            let mut progress = || Ok((r.u32()?, CommitNo(r.u64()?)));
            let seen = progress().map_err(damaged)?;
            let before = progress().map_err(damaged)?;
            peers.peers.insert(incarnation, Peer { seen, before, saved: (seen, before), ..Peer::default() });
        }
        Ok(peers)
    }

    pub(crate) fn set_members(&mut self, layout: &Layout, me: Incarnation) {
        for member in layout.members.iter().filter(|m| m.incarnation != me) {
            self.peers.entry(member.incarnation).or_default();
        }
    }

    fn save(&mut self, store: &mut dyn Store) {
        for (incarnation, peer) in &mut self.peers {
            let now = (peer.seen, peer.before);
            if peer.saved == now {
                continue;
            }
            peer.saved = now;
            let mut key = BytesMut::from(SEEN);
            key.put_u64(incarnation.0);
            let mut value = BytesMut::with_capacity(24);
            for (boot, commit) in [peer.seen, peer.before] {
                value.put_u32(boot);
                value.put_u64(commit.0);
            }
            store.put(Space::Meta, key.freeze(), value.freeze());
        }
    }
}

impl Peer {
    fn is_reachable(&self) -> bool {
        self.is_linked && !self.is_suspect && !self.is_down
    }

    fn note(&mut self, progress: Progress) {
        if progress.0 > self.seen.0 {
            self.before = self.before.max(self.seen);
        }
        self.seen = self.seen.max(progress);
    }
}

impl Node {
    pub(crate) fn is_reachable(&self, peer: Incarnation) -> bool {
        self.peers.peers.get(&peer).is_some_and(Peer::is_reachable)
    }

    /// Why this node takes no requests; `None`: it does.
    pub(crate) fn not_ready(&self) -> Option<&'static str> {
        let Some(layout) = &self.layout else {
            return Some("it has no layout yet; bootstrap the cluster");
        };
        if layout.member(self.me()).is_none() {
            return Some("the layout does not name it");
        }
        (!self.peers.has_passed).then_some("it is asking a majority whether its disk is the newest they know of it")
    }

    /// Anything heard is evidence of life; SWIM data alone does not deny a Down that SWIM itself declared.
    pub(crate) fn hear(&mut self, from: Incarnation, boot: u32, synced: CommitNo, is_swim: bool) {
        let Some(peer) = self.peers.peers.get_mut(&from) else { return };
        peer.note((boot, synced));
        peer.is_suspect = false;
        if !is_swim {
            peer.is_down = false;
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
        self.peers.peers.entry(peer).or_default().is_linked = true;
        self.hear(peer, boot, synced, false);
        self.send(Hold::Now, peer, Message::FenceAsk);
        if self.not_ready().is_none() {
            self.drain_hints(store, peer)?;
        }
        Ok(())
    }

    pub(crate) fn on_link_down(&mut self, store: &mut dyn Store, peer: Incarnation) -> Result<(), StoreError> {
        if let Some(known) = self.peers.peers.get_mut(&peer) {
            known.is_linked = false;
        }
        self.on_peer_lost(store, peer)
    }

    /// It missed a deadline: ask others until it is heard again.
    pub(crate) fn suspect(&mut self, node: Incarnation) {
        let Some(peer) = self.peers.peers.get_mut(&node) else { return };
        peer.missed_deadlines = peer.missed_deadlines.saturating_add(1);
        if !std::mem::replace(&mut peer.is_suspect, true) {
            self.observe(Event::PeerSuspected(node));
        }
    }

    pub(crate) fn tick_peers(&mut self, store: &mut dyn Store) {
        if self.now >= self.peers.probe_at {
            self.peers.probe_at = self.now.plus(self.settings.probe_interval_ms);
            let is_fencing = self.layout.is_some() && !self.peers.has_passed;
            let wanted = |(node, peer): (&Incarnation, &Peer)| {
                let is_unanswered = is_fencing && !self.peers.answered.contains(node);
                (peer.is_linked && (peer.is_suspect || peer.is_down || is_unanswered)).then_some(*node)
            };
            let asked: Vec<Incarnation> = self.peers.peers.iter().filter_map(wanted).collect();
            for node in asked {
                self.send(Hold::Now, node, Message::FenceAsk);
            }
            self.pass_fence_by_majority();
        }
        if self.now >= self.peers.save_at {
            self.peers.save_at = self.now.plus(SAVE_INTERVAL_MS);
            self.peers.save(store);
        }
    }

    pub(crate) fn on_fence_ask(&mut self, from: Incarnation, boot: u32) {
        let Some(peer) = self.peers.peers.get(&from) else { return };
        let (seen_boot, seen_commit) = if peer.seen.0 > boot { peer.seen } else { peer.before };
        self.send(Hold::Now, from, Message::FenceAnswer { asked_boot: boot, seen_boot, seen_commit });
    }

    pub(crate) fn on_fence_answer(
        &mut self,
        from: Incarnation,
        asked_boot: u32,
        seen_boot: u32,
        seen_commit: CommitNo,
    ) {
        let boot = self.minting.boot;
        if seen_boot > boot || (seen_boot < boot && seen_commit > self.commit_at_boot) {
            let why = format!(
                "{from} has seen this incarnation at boot {seen_boot}, commit {}; this disk began boot {boot} at commit {}: \
                 it was rolled back. Move the data directory aside and start with an empty one",
                seen_commit.0, self.commit_at_boot.0
            );
            self.push(Hold::Now, Effect::Halt(why));
        } else if asked_boot == boot {
            self.peers.answered.insert(from);
            self.pass_fence_by_majority();
        }
    }

    fn pass_fence_by_majority(&mut self) {
        let Some(layout) = &self.layout else { return };
        let members = layout.members.len();
        let answers = 1 + self.peers.answered.iter().filter(|n| layout.member(**n).is_some()).count();
        if !self.peers.has_passed && answers > members / 2 {
            self.peers.has_passed = true;
            self.observe(Event::FencePassed);
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
        };
        self.peers.peers.iter().map(status).collect()
    }
}
