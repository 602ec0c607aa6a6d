//! Who seems to be alive: SWIM (Das, Gupta, Motivala 2002) as `foca` implements it, over our own peer streams.
//! A node that was declared Down by mistake rejoins by itself: it renews its identity, and higher identities win.
//! Our addition: configured peers that are not alive are announced to for ever, or a cut into single nodes never heals.
//! Invariants: what a peer sends can neither panic nor grow memory past `members_max`; `now` alone drives time.
//! Not here: ownership (`layout`) and routing; both may hear rumours, neither obeys them.

mod timers;
mod wire;

use std::collections::BTreeSet;
use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use bytes::Bytes;
use foca::{Foca, NoCustomBroadcast, PeriodicParams, State};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use crate::codec::Malformed;
use crate::id::Incarnation;
use crate::time::Time;
use timers::Outbox;
use wire::Wire;

/// Largest message, in bytes: the peer streams carry any size, so that a full list of members fits.
pub const SWIM_BYTES_MAX: usize = 64 << 10;
/// Peers announced to in one interval.
const ANNOUNCEMENTS_MAX: usize = 8;

/// A node as SWIM knows it. Of two with the same incarnation the one with the higher (boot, renewals) is current.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerIdentity {
    /// Its data directory.
    pub incarnation: Incarnation,
    /// Its boot count; 0 when not known: right for announcing.
    pub boot: u32,
    /// How often it rejoined since it booted.
    pub renewals: u32,
    /// Where peers reach it; at most 255 bytes, as the layout requires.
    pub address: String,
}

impl PeerIdentity {
    /// A node that has just booted.
    pub fn new(incarnation: Incarnation, boot: u32, address: impl Into<String>) -> Self {
        PeerIdentity { incarnation, boot, renewals: 0, address: address.into() }
    }
}

impl foca::Identity for PeerIdentity {
    type Addr = Incarnation;

    fn renew(&self) -> Option<Self> {
        Some(PeerIdentity { renewals: self.renewals.checked_add(1)?, ..self.clone() })
    }

    fn addr(&self) -> Incarnation {
        self.incarnation
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self > adversary
    }
}

/// The pace of SWIM, in milliseconds, and its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwimConfig {
    /// One member is probed so often.
    pub probe_interval_ms: u64,
    /// How long a direct answer may take before others are asked to try; less than the interval.
    pub probe_timeout_ms: u64,
    /// How long a suspect has to speak up.
    pub suspicion_ms: u64,
    /// News travels so often.
    pub gossip_interval_ms: u64,
    /// Peers that are not alive are tried so often.
    pub announce_interval_ms: u64,
    /// Members asked to probe for us, and gossiped to at once.
    pub indirect_probes: usize,
    /// How often one piece of news is passed on.
    pub transmissions: u8,
    /// Most members, dead ones included.
    pub members_max: usize,
}

impl Default for SwimConfig {
    fn default() -> Self {
        SwimConfig {
            probe_interval_ms: 1000,
            probe_timeout_ms: 400,
            suspicion_ms: 3000,
            gossip_interval_ms: 200,
            announce_interval_ms: 2000,
            indirect_probes: 3,
            transmissions: 10,
            members_max: 2048,
        }
    }
}

impl SwimConfig {
    fn to_foca(self) -> foca::Config {
        let probe_ms = self.probe_interval_ms.max(2);
        let fanout = NonZeroUsize::new(self.indirect_probes).unwrap_or(NonZeroUsize::MIN);
        let gossip_ms = self.gossip_interval_ms.max(1);
        foca::Config {
            probe_period: Duration::from_millis(probe_ms),
            probe_rtt: Duration::from_millis(self.probe_timeout_ms.clamp(1, probe_ms - 1)),
            num_indirect_probes: fanout,
            max_transmissions: NonZeroU8::new(self.transmissions).unwrap_or(NonZeroU8::MIN),
            suspect_to_down_after: Duration::from_millis(self.suspicion_ms.max(1)),
            // Down is not removed; a member that comes back replaces itself.
            remove_down_after: None,
            max_packet_size: NonZeroUsize::new(SWIM_BYTES_MAX).unwrap_or(NonZeroUsize::MIN),
            notify_down_members: true,
            periodic_announce: None,
            periodic_announce_to_down_members: None,
            periodic_gossip: Some(PeriodicParams { frequency: Duration::from_millis(gossip_ms), num_members: fanout }),
        }
    }
}

/// What membership wants done or known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwimOut {
    /// Deliver this to a peer, or drop it when there is no connection.
    Send {
        /// To whom.
        to: Incarnation,
        /// For its `on_data`.
        data: Bytes,
    },
    /// This peer is now believed alive.
    Up(Incarnation),
    /// This peer is now believed dead.
    Down(Incarnation),
}

/// What is said of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rumour {
    /// It answers.
    Alive,
    /// It missed a probe and has not spoken up yet.
    Suspect,
    /// It was declared dead, and has not come back.
    Down,
    /// Nothing was heard of it.
    Unknown,
}

/// Why a peer's message was dropped. Only after `Rejected` can parts of it have been applied; the sender is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SwimError {
    /// Larger than we would ever send.
    #[error("swim message of {bytes} bytes; the most is {bytes_max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// Not one of ours.
    #[error("swim: {0}")]
    Malformed(#[from] Malformed),
    /// It came over the stream of another node than the one it names, or from ourselves.
    #[error("swim message of {claimed} came from {from}")]
    WrongSender {
        /// Whom it names.
        claimed: Incarnation,
        /// Whose stream it is.
        from: Incarnation,
    },
    /// It names so many unknown nodes that the bound would be passed.
    #[error("swim message would raise the members to {got}; the most is {max}")]
    TooManyMembers {
        /// How many it would be.
        got: usize,
        /// The bound.
        max: usize,
    },
    /// Foca found it inconsistent.
    #[error("swim message rejected: {0}")]
    Rejected(String),
}

/// The membership of one node.
pub struct Membership {
    foca: Foca<PeerIdentity, Wire, Xoshiro256PlusPlus, NoCustomBroadcast>,
    config: SwimConfig,
    outbox: Outbox,
    peers: Vec<PeerIdentity>,
    /// The next peer to announce to, and when.
    announce_next: usize,
    announce_at: Option<Time>,
}

impl Membership {
    /// A node that knows nobody. `seed`: from the node's generator; the same seed makes the same choices.
    pub fn new(me: PeerIdentity, seed: u64, config: SwimConfig) -> Self {
        let rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        Membership {
            outbox: Outbox::new(me.incarnation),
            foca: Foca::new(me, config.to_foca(), rng, Wire),
            config,
            peers: Vec::new(),
            announce_next: 0,
            announce_at: None,
        }
    }

    /// Sets the peers to stay in touch with, as the layout names them, and announces to the first of them.
    ///
    /// Call it again when the layout or an address changes.
    pub fn start(&mut self, now: Time, announce_to: &[PeerIdentity]) {
        self.outbox.now = now;
        let me = self.foca.identity().incarnation;
        self.peers = announce_to.iter().filter(|peer| peer.incarnation != me).cloned().collect();
        self.announce(now);
    }

    /// Takes what `from`, as its handshake named it, has sent.
    pub fn on_data(&mut self, now: Time, from: Incarnation, data: Bytes) -> Result<(), SwimError> {
        self.outbox.now = now;
        if data.len() > SWIM_BYTES_MAX {
            return Err(SwimError::TooLarge { bytes: data.len(), bytes_max: SWIM_BYTES_MAX });
        }
        let named = wire::named(data.clone())?;
        if named.sender != from || from == self.foca.identity().incarnation {
            return Err(SwimError::WrongSender { claimed: named.sender, from });
        }
        let known: BTreeSet<Incarnation> = self.foca.iter_membership_state().map(|m| m.id().incarnation).collect();
        let got = known.union(&named.all).count();
        if got > self.config.members_max {
            return Err(SwimError::TooManyMembers { got, max: self.config.members_max });
        }
        self.foca.handle_data(&data, &mut self.outbox).map_err(|error| SwimError::Rejected(error.to_string()))
    }

    /// Lets time pass until `now`: probes, suspects, gossips, announces.
    pub fn tick(&mut self, now: Time) {
        self.outbox.now = now;
        while let Some(timer) = self.outbox.pop_due() {
            // An error here says that a timer came out of order, which foca recovers from by itself.
            let _ = self.foca.handle_timer(timer, &mut self.outbox);
        }
        if self.announce_at.is_some_and(|at| at <= now) {
            self.announce(now);
        }
    }

    /// When `tick` has something to do.
    pub fn next_timer(&self) -> Option<Time> {
        self.outbox.next_due().into_iter().chain(self.announce_at).min()
    }

    /// What came up since the last call: changes first, in key order, each peer's last one only; then messages.
    pub fn take_output(&mut self) -> Vec<SwimOut> {
        self.outbox.take()
    }

    /// What is said of `peer`; we ourselves are alive.
    pub fn rumour(&self, peer: Incarnation) -> Rumour {
        if peer == self.foca.identity().incarnation {
            return Rumour::Alive;
        }
        match self.foca.iter_membership_state().find(|m| m.id().incarnation == peer).map(foca::Member::state) {
            Some(State::Alive) => Rumour::Alive,
            Some(State::Suspect) => Rumour::Suspect,
            Some(State::Down) => Rumour::Down,
            None => Rumour::Unknown,
        }
    }

    /// Who we are at present.
    pub fn identity(&self) -> &PeerIdentity {
        self.foca.identity()
    }

    /// The current identity of `peer`, with the address it gave itself.
    pub fn peer(&self, peer: Incarnation) -> Option<&PeerIdentity> {
        self.foca.iter_membership_state().map(foca::Member::id).find(|id| id.incarnation == peer)
    }

    /// Announces to a few of the peers that are not alive, in turn.
    ///
    /// Foca stops all timers when it believes everyone dead, so this must not be one of them.
    fn announce(&mut self, now: Time) {
        let alive: BTreeSet<Incarnation> = self.foca.iter_members().map(|m| m.id().incarnation).collect();
        let turn = self.peers.iter().enumerate().cycle().skip(self.announce_next).take(self.peers.len());
        let absent = turn.filter(|(_, peer)| !alive.contains(&peer.incarnation));
        let chosen: Vec<(usize, PeerIdentity)> =
            absent.take(ANNOUNCEMENTS_MAX).map(|(index, peer)| (index, peer.clone())).collect();
        self.announce_next = chosen.last().map_or(0, |(index, _)| (index + 1) % self.peers.len().max(1));
        for (_, peer) in chosen {
            // It can only fail if the identities do not fit a message, and the layout bounds addresses.
            let _ = self.foca.announce(peer, &mut self.outbox);
        }
        self.announce_at = (!self.peers.is_empty()).then(|| now.plus(self.config.announce_interval_ms.max(1)));
    }
}

#[cfg(test)]
mod tests;
