//! The rollback fence: a disk that was set back to an earlier state must not speak for its incarnation again.
//! Follows design.md, Identity. A node keeps the marks of its last boots and shows them to every peer; a peer compares them
//! with what it durably remembers of that node, and takes note of a new boot only if the marks contain all it has seen.
//! Invariant: a boot that a peer has seen and this disk does not know, by its random nonce or up to its last commit, halts
//! the node for good; until a majority has denied that, it neither coordinates nor counts in reads.

use std::collections::BTreeSet;

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec::{Malformed, Reader};
use crate::effect::{Effect, Event};
use crate::id::{CommitNo, Incarnation};
use crate::message::Message;
use crate::node::{Hold, Node};
use crate::store::{Space, Store, StoreError};

const BOOTS: &[u8] = b"boots";
const HALTED: &[u8] = b"halted";
const VERSION: u8 = 1;
/// Boots whose marks are kept and shown: enough for a peer that was away for many of them.
pub const BOOTS_KEPT: usize = 16;

/// One boot of a data directory, as its disk knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootMark {
    /// Its count.
    pub boot: u32,
    /// Random: tells it from another boot with the same count, on a copy of the disk.
    pub nonce: u64,
    /// The newest commit when the next boot began; of the running boot it means nothing.
    pub end: CommitNo,
}

/// The newest progress that was seen of a peer; boot 0: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    pub(crate) boot: u32,
    pub(crate) nonce: u64,
    pub(crate) commit: CommitNo,
}

impl Seen {
    /// A disk with these marks has lost something of what was seen.
    fn is_ahead_of(&self, marks: &[BootMark]) -> bool {
        let (Some(first), Some(last)) = (marks.first(), marks.last()) else { return true };
        match marks.iter().find(|mark| mark.boot == self.boot) {
            Some(mark) => mark.nonce != self.nonce || (self.boot < last.boot && self.commit > mark.end),
            None => self.boot > first.boot || (self.boot > 0 && self.commit > first.end),
        }
    }
}

/// What this disk knows of its boots, and who has compared it with what they saw.
#[derive(Debug, Default)]
pub(crate) struct Fence {
    marks: Vec<BootMark>,
    pub(crate) answered: BTreeSet<Incarnation>,
    pub(crate) has_passed: bool,
    /// Why this incarnation must not serve again.
    pub(crate) halted: Option<String>,
}

impl Fence {
    /// Notes in the open batch that `boot` begins at `commit`.
    pub(crate) fn open(store: &mut dyn Store, boot: u32, nonce: u64, commit: CommitNo) -> Result<Fence, StoreError> {
        let damaged = |_| StoreError("damaged marks of earlier boots".to_owned());
        let mut marks = store.get(Space::Meta, BOOTS)?.map_or(Ok(Vec::new()), read_marks).map_err(damaged)?;
        if let Some(last) = marks.last_mut() {
            last.end = commit;
        }
        marks.push(BootMark { boot, nonce, end: CommitNo(0) });
        marks.drain(..marks.len().saturating_sub(BOOTS_KEPT));
        store.put(Space::Meta, Bytes::from_static(BOOTS), write_marks(&marks));
        let halted = store.get(Space::Meta, HALTED)?.map(|why| String::from_utf8_lossy(&why).into_owned());
        Ok(Fence { marks, halted, ..Fence::default() })
    }
}

impl Node {
    pub(crate) fn ask_fence(&mut self, peer: Incarnation) {
        let boots = self.fence.marks.clone();
        self.send(Hold::Now, peer, Message::FenceAsk { boots });
    }

    pub(crate) fn on_fence_ask(&mut self, from: Incarnation, boot: u32, synced: CommitNo, boots: &[BootMark]) {
        let last = boots.last().copied().filter(|last| last.boot == boot && boots.len() <= BOOTS_KEPT);
        let Some(last) = last else {
            self.observe(Event::MalformedMessage(from));
            return;
        };
        let Some(seen) = self.peers.seen(from) else { return };
        let is_behind = seen.is_ahead_of(boots);
        if !is_behind && seen.boot < boot {
            self.peers.see(from, Seen { boot, nonce: last.nonce, commit: synced });
        }
        let answer =
            Message::FenceAnswer { asked_boot: boot, is_behind, seen_boot: seen.boot, seen_commit: seen.commit };
        self.send(Hold::Now, from, answer);
    }

    pub(crate) fn on_fence_answer(
        &mut self,
        store: &mut dyn Store,
        from: Incarnation,
        asked_boot: u32,
        is_behind: bool,
        seen: (u32, CommitNo),
    ) {
        let boot = self.minting.boot;
        if asked_boot != boot || self.peers.seen(from).is_none() {
            return;
        }
        if is_behind {
            let why = format!(
                "{from} has seen this incarnation at boot {}, commit {}, which this disk does not know: it began boot {boot} at \
                 commit {} and was rolled back. No copy of this disk can be used: this node is lost to its cluster; keep the others running. \
                 Nodes cannot be replaced yet: only a new cluster has all its replicas again",
                seen.0, seen.1.0, self.commit_at_boot.0
            );
            self.halt(store, why);
        } else {
            self.fence.answered.insert(from);
            self.pass_fence_by_majority();
        }
    }

    /// Durably: a restart must not outrun the memory of the peers. Nothing that waits for a sync leaves any more.
    fn halt(&mut self, store: &mut dyn Store, why: String) {
        store.put(Space::Meta, Bytes::from_static(HALTED), Bytes::from(why.clone().into_bytes()));
        self.push(Hold::Batch, Effect::Halt(why.clone()));
        self.fence.halted = Some(why);
    }

    pub(crate) fn pass_fence_by_majority(&mut self) {
        let Some(layout) = &self.layout else { return };
        let members = layout.members.len();
        let answers = 1 + self.fence.answered.iter().filter(|n| layout.member(**n).is_some()).count();
        if !self.fence.has_passed && answers > members / 2 {
            self.fence.has_passed = true;
            self.observe(Event::FencePassed);
        }
    }
}

fn write_marks(marks: &[BootMark]) -> Bytes {
    let mut out = BytesMut::with_capacity(5 + marks.len() * 20);
    out.put_u8(VERSION);
    out.put_u32(marks.len() as u32);
    for mark in marks {
        out.put_u32(mark.boot);
        out.put_u64(mark.nonce);
        out.put_u64(mark.end.0);
    }
    out.freeze()
}

fn read_marks(bytes: Bytes) -> Result<Vec<BootMark>, Malformed> {
    let mut r = Reader::new(bytes);
    if r.u8()? != VERSION {
        return Err(Malformed("unknown version of boot marks"));
    }
    let count = r.count(20)?;
    let mark = |r: &mut Reader| Ok(BootMark { boot: r.u32()?, nonce: r.u64()?, end: CommitNo(r.u64()?) });
    let marks = (0..count).map(|_| mark(&mut r)).collect::<Result<_, _>>()?;
    r.end()?;
    Ok(marks)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::store::MemStore;

    fn mark(boot: u32, nonce: u64, end: u64) -> BootMark {
        BootMark { boot, nonce, end: CommitNo(end) }
    }

    fn seen(boot: u32, nonce: u64, commit: u64) -> Seen {
        Seen { boot, nonce, commit: CommitNo(commit) }
    }

    #[test]
    fn what_was_seen_is_compared_with_the_boot_it_was_seen_in() {
        let marks = [mark(3, 30, 100), mark(4, 40, 200), mark(5, 50, 0)];
        for known in [seen(0, 0, 0), seen(2, 9, 100), seen(3, 30, 100), seen(4, 40, 200), seen(5, 50, 999)] {
            assert!(!known.is_ahead_of(&marks), "{known:?}");
        }
        for lost in [seen(2, 9, 101), seen(3, 30, 101), seen(4, 41, 1), seen(5, 51, 1), seen(6, 60, 1)] {
            assert!(lost.is_ahead_of(&marks), "{lost:?}");
        }
        assert!(seen(1, 1, 1).is_ahead_of(&[]));
    }

    #[test]
    fn a_boot_closes_the_mark_of_the_one_before_and_old_marks_are_dropped() {
        let mut store = MemStore::default();
        for boot in 1..=20 {
            Fence::open(&mut store, boot, u64::from(boot) * 10, CommitNo(u64::from(boot) * 100)).unwrap();
        }
        let fence = Fence::open(&mut store, 21, 210, CommitNo(2100)).unwrap();
        assert_eq!(fence.marks.len(), BOOTS_KEPT);
        let (first, last) = (fence.marks.first().copied(), fence.marks.last().copied());
        assert_eq!((first, last), (Some(mark(6, 60, 700)), Some(mark(21, 210, 0))));
    }
}
