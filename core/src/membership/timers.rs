//! What foca asks of its surroundings, kept until the driver takes it: timers, messages, changes.
//! Invariant: memory is bounded by the number of members, for each kind of timer has one place (a member one for its
//! suspicion), each member one last change, and messages beyond `SENDS_MAX` are dropped, which SWIM tolerates.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use foca::{Notification, Timer};

use super::{PeerIdentity, SwimOut};
use crate::id::Incarnation;
use crate::time::Time;

/// Most messages kept between two takes.
const SENDS_MAX: usize = 4096;

/// At most one timer waits for each of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Probe,
    IndirectProbe,
    Suspicion(Incarnation),
    Announce,
    AnnounceDown,
    Gossip,
    Removal(Incarnation),
}

fn slot_of(timer: &Timer<PeerIdentity>) -> Slot {
    match timer {
        Timer::ProbeRandomMember(_) => Slot::Probe,
        Timer::SendIndirectProbe { .. } => Slot::IndirectProbe,
        Timer::ChangeSuspectToDown { member_id, .. } => Slot::Suspicion(member_id.incarnation),
        Timer::PeriodicAnnounce(_) => Slot::Announce,
        Timer::PeriodicAnnounceDown(_) => Slot::AnnounceDown,
        Timer::PeriodicGossip(_) => Slot::Gossip,
        Timer::RemoveDown(id) => Slot::Removal(id.incarnation),
    }
}

/// The runtime that `foca` writes to.
pub(super) struct Outbox {
    /// Messages to ourselves are dropped.
    me: Incarnation,
    /// The time of the call that is under way.
    pub(super) now: Time,
    /// Counts timers, so that those due together fire in the order they were set.
    set: u64,
    wheel: BTreeMap<(Time, u64), Timer<PeerIdentity>>,
    slots: BTreeMap<Slot, (Time, u64)>,
    changes: BTreeMap<Incarnation, bool>,
    sends: VecDeque<(Incarnation, Bytes)>,
}

impl Outbox {
    pub(super) fn new(me: Incarnation) -> Self {
        Outbox {
            me,
            now: Time(0),
            set: 0,
            wheel: BTreeMap::new(),
            slots: BTreeMap::new(),
            changes: BTreeMap::new(),
            sends: VecDeque::new(),
        }
    }

    pub(super) fn next_due(&self) -> Option<Time> {
        self.wheel.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn pop_due(&mut self) -> Option<Timer<PeerIdentity>> {
        let entry = self.wheel.first_entry().filter(|entry| entry.key().0 <= self.now)?;
        let timer = entry.remove();
        self.slots.remove(&slot_of(&timer));
        Some(timer)
    }

    pub(super) fn take(&mut self) -> Vec<SwimOut> {
        let changes = std::mem::take(&mut self.changes).into_iter();
        let changes = changes.map(|(peer, is_up)| if is_up { SwimOut::Up(peer) } else { SwimOut::Down(peer) });
        let sends = self.sends.drain(..).map(|(to, data)| SwimOut::Send { to, data });
        changes.chain(sends).collect()
    }
}

impl foca::Runtime<PeerIdentity> for Outbox {
    fn notify(&mut self, notification: Notification<'_, PeerIdentity>) {
        match notification {
            Notification::MemberUp(id) => self.changes.insert(id.incarnation, true),
            Notification::MemberDown(id) => self.changes.insert(id.incarnation, false),
            _ => None,
        };
    }

    fn send_to(&mut self, to: PeerIdentity, data: &[u8]) {
        if to.incarnation != self.me && self.sends.len() < SENDS_MAX {
            self.sends.push_back((to.incarnation, Bytes::copy_from_slice(data)));
        }
    }

    /// A newer timer takes the place of an older one of its slot: foca runs one chain of each kind, and ignores those
    /// set before it last changed its identity or lost everyone.
    ///
    /// Order: an equal suspicion keeps its earlier time, or each failed probe would put the verdict off.
    fn submit_after(&mut self, timer: Timer<PeerIdentity>, after: Duration) {
        let slot = slot_of(&timer);
        if let Some(before) = self.slots.get(&slot).copied() {
            if matches!(slot, Slot::Suspicion(_)) && self.wheel.get(&before) == Some(&timer) {
                return;
            }
            self.wheel.remove(&before);
        }
        self.set = self.set.wrapping_add(1);
        let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX).max(1);
        let at = (self.now.plus(after_ms), self.set);
        self.slots.insert(slot, at);
        self.wheel.insert(at, timer);
    }
}
