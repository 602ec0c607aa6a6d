//! Who this node is to others: its half of every handshake, and its judgement of theirs.
//! Follows design.md, Identity: a handshake carries incarnation, boot count and last synced commit; names are attributes.
//! Invariant: a stream is accepted only from a member of the same cluster that means to reach this very incarnation.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use driftkv_core::id::{ClusterId, CommitNo, Incarnation};
use driftkv_core::layout::Layout;
use driftkv_proto::PROTOCOL_VERSION;
use driftkv_proto::v1::{Handshake, PeerFrame};
use tokio::sync::mpsc;
use tonic::Status;

/// The way back on a stream on which another node called us.
pub type Back = mpsc::Sender<Result<PeerFrame, Status>>;

/// Frames that wait on a stream on which another node called us.
pub const ANSWERS_MAX: usize = 16;

/// This node as its handshakes tell it; shared by all streams.
pub struct Identity {
    incarnation: Incarnation,
    boot: u32,
    synced: AtomicU64,
    known: RwLock<Option<Arc<Known>>>,
    /// Ways back to those who called: the newest stream of each.
    callers: Mutex<BTreeMap<Incarnation, Back>>,
}

/// What the layout says.
struct Known {
    cluster: ClusterId,
    version: u64,
    names: BTreeMap<Incarnation, String>,
}

/// An accepted caller or callee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub incarnation: Incarnation,
    /// Its name; `None` while this node has no layout.
    pub name: Option<String>,
    /// Its boot count.
    pub boot: u32,
    /// Its last synced commit.
    pub synced: CommitNo,
}

impl Identity {
    /// A node without a layout yet.
    pub fn new(incarnation: Incarnation, boot: u32) -> Identity {
        Identity {
            incarnation,
            boot,
            synced: AtomicU64::new(0),
            known: RwLock::new(None),
            callers: Mutex::new(BTreeMap::new()),
        }
    }

    /// The data directory.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    pub(super) fn set_synced(&self, commit: CommitNo) {
        self.synced.fetch_max(commit.0, Ordering::Relaxed);
    }

    pub(super) fn set_layout(&self, layout: &Layout) {
        let names = layout.members.iter().map(|member| (member.incarnation, member.name.clone())).collect();
        let known = Known { cluster: layout.cluster_id, version: layout.version, names };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(known));
    }

    fn known(&self) -> Option<Arc<Known>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// This node's half of a handshake. `to`: who is meant; `refusal`: why the stream ends here, empty if it does not.
    pub fn handshake(&self, to: Incarnation, refusal: String) -> Handshake {
        let known = self.known();
        let cluster = known.as_ref().map(|known| known.cluster);
        Handshake {
            protocol: PROTOCOL_VERSION,
            incarnation: self.incarnation.0,
            cluster_id: cluster.map_or_else(Bytes::new, |id| Bytes::copy_from_slice(&id.0.to_be_bytes())),
            boot: self.boot.into(),
            synced_commit: self.synced.load(Ordering::Relaxed),
            layout_version: known.map_or(0, |known| known.version),
            to: to.0,
            refusal,
        }
    }

    /// Judges the other side's half. Errors: why this stream must not be used; both sides stay as they were.
    pub fn judge(&self, theirs: &Handshake) -> Result<Caller, String> {
        if theirs.protocol != PROTOCOL_VERSION {
            return Err(format!("protocol {} is spoken there, {PROTOCOL_VERSION} here", theirs.protocol));
        }
        if theirs.to != self.incarnation.0 {
            let meant = Incarnation(theirs.to);
            return Err(format!("incarnation {meant} is meant, but {} is here", self.incarnation));
        }
        let boot = u32::try_from(theirs.boot).map_err(|_| "the boot count is out of range".to_owned())?;
        let incarnation = Incarnation(theirs.incarnation);
        let name = match self.known() {
            None => None,
            Some(known) => {
                let is_ours = theirs.cluster_id.as_ref() == known.cluster.0.to_be_bytes();
                if !theirs.cluster_id.is_empty() && !is_ours {
                    return Err("another cluster's id".to_owned());
                }
                let name = known.names.get(&incarnation).cloned();
                Some(name.ok_or_else(|| format!("incarnation {incarnation} is no member of this cluster"))?)
            }
        };
        Ok(Caller { incarnation, name, boot, synced: CommitNo(theirs.synced_commit) })
    }

    /// Remembers the way back to a caller.
    pub fn called_by(&self, caller: Incarnation, back: Back) {
        self.callers().insert(caller, back);
    }

    /// The stream ended; forgets its way back unless a newer one has taken its place.
    pub fn gone(&self, caller: Incarnation, back: &Back) {
        let mut callers = self.callers();
        if callers.get(&caller).is_some_and(|known| known.same_channel(back)) {
            callers.remove(&caller);
        }
    }

    /// Answers on the stream on which `to` called; drops the frame if there is none or it is full.
    pub(super) fn answer(&self, to: Incarnation, frame: impl FnOnce() -> PeerFrame) {
        if let Some(back) = self.callers().get(&to) {
            let _ = back.try_send(Ok(frame()));
        }
    }

    fn callers(&self) -> MutexGuard<'_, BTreeMap<Incarnation, Back>> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
