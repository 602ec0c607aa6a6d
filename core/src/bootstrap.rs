//! How a node gets its layout: one bootstrap, adopted once and durably, or from a peer that has it.
//! Follows design.md, Layouts: version 1 is fenced by (cluster id, hash); a retry with the same pair is idempotent.
//! Not here: choosing later versions.

use bytes::Bytes;

use crate::effect::{AdminReply, Effect, Event, Status};
use crate::id::Incarnation;
use crate::layout::Layout;
use crate::membership::{Membership, PeerIdentity, SwimConfig};
use crate::message::Message;
use crate::node::{Hold, Node};
use crate::ring::Ring;
use crate::store::{Space, Store, StoreError};

const LAYOUT: &[u8] = b"layout";

impl Node {
    pub(crate) fn load_layout(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        if let Some(bytes) = store.get(Space::Meta, LAYOUT)? {
            let layout = Layout::decode(bytes).map_err(|e| StoreError(format!("damaged layout: {}", e.0)))?;
            self.use_layout(layout);
        }
        Ok(())
    }

    fn use_layout(&mut self, layout: Layout) {
        let (me, now) = (self.me(), self.now);
        let ring = Ring::new(&layout);
        self.trees.set_partitions(ring.owned_by(me));
        self.peers.set_members(&layout, me);
        if let Some(member) = layout.member(me) {
            let identity = PeerIdentity::new(me, self.minting.boot, member.peer_address.clone());
            let others = layout.members.iter().filter(|m| m.incarnation != me);
            let others: Vec<PeerIdentity> =
                others.map(|m| PeerIdentity::new(m.incarnation, 0, m.peer_address.clone())).collect();
            let mut membership = Membership::new(identity, self.settings.seed, SwimConfig::default());
            membership.start(now, &others);
            self.membership = Some(membership);
        }
        self.ring = Some(ring);
        self.push(Hold::Now, Effect::Connect(layout.clone()));
        self.layout = Some(layout);
    }

    pub(crate) fn bootstrap(&mut self, store: &mut dyn Store, layout: Layout) -> AdminReply {
        let (version, hash) = (layout.version, layout.hash());
        if let Some(mine) = &self.layout {
            if mine.hash() == hash {
                return AdminReply::Bootstrapped { version, hash, was_adopted: false };
            }
            let why = "this node already belongs to another layout; an empty data directory is needed to start anew";
            return AdminReply::Refused(why.to_owned());
        }
        if version != 1 {
            return AdminReply::Refused(format!("a bootstrap is version 1, not {version}"));
        }
        if layout.member(self.me()).is_none() {
            return AdminReply::Refused(format!("the layout does not name this node, incarnation {}", self.me()));
        }
        let cluster = &self.settings.cluster;
        if !self.fits_settings(&layout) {
            return AdminReply::Refused(format!(
                "the layout has {} partitions and {} replicas of each key; this node is configured for {} and {}",
                layout.partitions, layout.replication_factor, cluster.partitions, cluster.replication_factor
            ));
        }
        self.adopt(store, layout);
        AdminReply::Bootstrapped { version, hash, was_adopted: true }
    }

    fn fits_settings(&self, layout: &Layout) -> bool {
        let cluster = &self.settings.cluster;
        (layout.partitions, layout.replication_factor) == (cluster.partitions, cluster.replication_factor)
    }

    fn adopt(&mut self, store: &mut dyn Store, layout: Layout) {
        store.put(Space::Meta, Bytes::from_static(LAYOUT), layout.encode());
        self.observe(Event::LayoutAdopted(layout.version));
        self.use_layout(layout);
    }

    pub(crate) fn on_layout_ask(&mut self, from: Incarnation) {
        if let Some(layout) = &self.layout {
            let bytes = layout.encode();
            self.send(Hold::Batch, from, Message::LayoutGive(bytes));
        }
    }

    /// A node that missed the bootstrap takes version 1 from a linked member, if it names both and fits the settings.
    pub(crate) fn on_layout_give(
        &mut self,
        store: &mut dyn Store,
        from: Incarnation,
        bytes: Bytes,
    ) -> Result<(), StoreError> {
        if self.layout.is_some() || self.peers.seen(from).is_none() {
            return Ok(());
        }
        match Layout::decode(bytes) {
            Ok(layout)
                if layout.version == 1
                    && [self.me(), from].iter().all(|node| layout.member(*node).is_some())
                    && self.fits_settings(&layout) =>
            {
                self.adopt(store, layout);
            }
            _ => self.observe(Event::MalformedMessage(from)),
        }
        Ok(())
    }

    pub(crate) fn status(&self) -> Status {
        let owned = self.ring.as_ref().map_or(0, |ring| ring.owned_by(self.me()).len() as u32);
        let state = match (&self.layout, self.not_ready()) {
            _ if self.fence.halted.is_some() => "halted",
            (None, _) => "empty",
            _ if self.is_stopping => "stopping",
            (_, Some(_)) => "fencing",
            (_, None) => "serving",
        };
        Status {
            boot: self.minting.boot,
            synced: self.synced,
            cluster: self.layout.as_ref().map(|l| l.cluster_id),
            layout_version: self.layout.as_ref().map_or(0, |l| l.version),
            state,
            peers: self.peer_statuses(),
            hints: self.hints.iter().collect(),
            partitions_owned: owned,
            partitions_built: self.trees.built(),
            partitions_dirty: self.trees.count_dirty(),
            keys: self.trees.keys(),
            in_flight: self.in_flight() as u64,
            counters: self.counters.iter().map(|(name, count)| (*name, *count)).collect(),
        }
    }
}
