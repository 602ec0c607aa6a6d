//! What the simulator saw: puts that clients sent, dots that nodes minted, and what each disk has ever had synced.
//! Invariant: facts come from messages, disks and clients, never from a node's own memory, which may be wrong.
//! An actor's `top` stands for all its events up to it, since states travel whole (`core/src/causality.rs`).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use driftkv_core::causality::{Actor, Context, Dot, Payload, State};
use driftkv_core::config::ClusterConfig;
use driftkv_core::effect::{Get, Intent, Put, Request};
use driftkv_core::id::{Key, RequestId};
use driftkv_core::layout::Layout;
use driftkv_core::record::Record;
use driftkv_core::store::Space;

use crate::world::disk::Write;
use crate::world::{PARTITIONS, index};

/// One put that a client sent, perhaps several times.
#[derive(Debug, Clone)]
pub struct Sent {
    /// What was sent first.
    pub put: Put,
    /// What its context covers.
    pub context: Context,
    /// The requests that the client had been shown when it got that context.
    pub seen: BTreeSet<RequestId>,
    /// How often it was sent.
    pub attempts: u32,
    /// How many of these were refused for certain.
    pub refusals: u32,
    /// A success was heard.
    pub is_acknowledged: bool,
}

/// One write event, as it was first seen.
#[derive(Debug, Clone)]
pub struct Mint {
    /// What it wrote.
    pub payload: Payload,
    /// How often its node had been started by then.
    pub boot: u32,
    /// The state right after it: what it knows and does not show was covered by then.
    pub after: State,
}

/// What one disk, or one boot's memory, knows of keys: per actor, every event up to a counter.
pub type Tops = BTreeMap<(Key, Actor), u64>;

/// Everything that was seen of one run.
pub struct Facts {
    /// Who owns what.
    pub layout: Layout,
    /// Quorums and limits.
    pub config: ClusterConfig,
    /// By request.
    pub sent: BTreeMap<RequestId, Sent>,
    /// Which put, or get, each client token stands for, and which node was asked.
    pub asked: BTreeMap<u64, (usize, Request)>,
    /// By key and dot.
    pub mints: BTreeMap<(Key, Dot), Mint>,
    /// The dots of each put.
    pub dots_of: BTreeMap<RequestId, BTreeSet<Dot>>,
    /// Returned values that a retry through a second coordinator had written again: counted, not failed.
    pub returned_by_retry: usize,
    /// What each node has ever had on its synced disk, hints included.
    on_disk: Vec<Tops>,
    /// What each node has learned from answers to its fetches in this boot.
    fetched: Vec<Tops>,
    /// How often each node was started.
    boots: Vec<u32>,
    /// (storage key, state hash) of each record a node ever had synced.
    hashes: Vec<BTreeSet<(Bytes, u64)>>,
}

impl Facts {
    /// Nothing was seen yet.
    pub fn new(layout: Layout, config: ClusterConfig) -> Facts {
        let count = layout.members.len();
        Facts {
            layout,
            config,
            sent: BTreeMap::new(),
            asked: BTreeMap::new(),
            mints: BTreeMap::new(),
            dots_of: BTreeMap::new(),
            returned_by_retry: 0,
            on_disk: vec![Tops::new(); count],
            fetched: vec![Tops::new(); count],
            boots: vec![0; count],
            hashes: vec![BTreeSet::new(); count],
        }
    }

    /// Whether `node` is one of the N owners of `key`.
    pub fn is_primary(&self, node: usize, key: &Key) -> bool {
        self.layout.owners_of(key.partition(PARTITIONS)).any(|m| index(m.incarnation) == node)
    }

    /// A client asked.
    pub fn ask(&mut self, node: usize, token: u64, request: &Request) {
        self.asked.insert(token, (node, request.clone()));
    }

    /// The put that a token stands for.
    pub fn put_of(&self, token: u64) -> Option<&Put> {
        match self.asked.get(&token) {
            Some((_, Request::Put(put))) => Some(put),
            _ => None,
        }
    }

    /// The get that a token stands for.
    pub fn get_of(&self, token: u64) -> Option<&Get> {
        match self.asked.get(&token) {
            Some((_, Request::Get(get))) => Some(get),
            _ => None,
        }
    }

    /// Remembers the dots of a state that are new, with that state.
    pub fn note_state(&mut self, key: &Key, state: &State) {
        for (dot, payload) in state.dots() {
            self.mints.entry((key.clone(), dot)).or_insert_with(|| {
                self.dots_of.entry(payload.request).or_default().insert(dot);
                let boot = self.boots[index(dot.actor.incarnation)];
                Mint { payload: payload.clone(), boot, after: state.clone() }
            });
        }
    }

    /// These writes are on the disk of `node` for good.
    pub fn note_synced(&mut self, node: usize, writes: &[Write]) {
        for write in writes {
            let Some((key, state)) = state_of(write.space, &write.key, write.new.as_ref()) else { continue };
            raise(&mut self.on_disk[node], &key, &state.context());
            self.hashes[node].insert((key.storage_key(), state.hash()));
        }
    }

    /// An answer to a fetch of `node` showed this.
    pub fn note_fetched(&mut self, node: usize, key: &Key, state: &State) {
        raise(&mut self.fetched[node], key, &state.context());
    }

    /// `node` starts: its memory is empty.
    pub fn note_boot(&mut self, node: usize) {
        self.fetched[node].clear();
        self.boots[node] += 1;
    }

    /// How often `node` was started.
    pub fn boot_of(&self, node: usize) -> u32 {
        self.boots[node]
    }

    /// The disk of `node` has, or once had, this event: shown or covered.
    pub fn has_on_disk(&self, node: usize, key: &Key, actor: Actor, top: u64) -> bool {
        self.on_disk[node].get(&(key.clone(), actor)).is_some_and(|known| *known >= top)
    }

    /// `node` was shown this event by another node, which had it on disk.
    pub fn has_fetched(&self, node: usize, key: &Key, actor: Actor, top: u64) -> bool {
        self.fetched[node].get(&(key.clone(), actor)).is_some_and(|known| *known >= top)
    }

    /// The disk of `node` has, or once had, a record of this storage key with this hash.
    pub fn had_hash(&self, node: usize, storage_key: &Bytes, hash: u64) -> bool {
        self.hashes[node].contains(&(storage_key.clone(), hash))
    }

    /// How many primaries and how many others have had a dot of this put on disk.
    pub fn holders(&self, key: &Key, request: RequestId) -> (u32, u32) {
        let dots = self.dots_of.get(&request);
        let has =
            |node: usize| dots.is_some_and(|dots| dots.iter().any(|d| self.has_on_disk(node, key, d.actor, d.counter)));
        let holders: Vec<usize> = (0..self.layout.members.len()).filter(|node| has(*node)).collect();
        let primaries = holders.iter().filter(|node| self.is_primary(**node, key)).count();
        (primaries as u32, (holders.len() - primaries) as u32)
    }

    /// Whether the disks and messages of `request` say that it may have covered `dot`, written by `other`:
    /// its client had been shown it, or it replaces what the replicas showed and its own state had it covered.
    pub fn may_cover(&self, key: &Key, request: RequestId, dot: Dot, other: RequestId) -> bool {
        let Some(sent) = self.sent.get(&request).filter(|s| s.put.key == *key) else { return false };
        match sent.put.intent {
            Intent::WithContext => covers(&sent.context, dot) && sent.seen.contains(&other),
            Intent::OverwriteAll => self.mints_of(key, request).any(|(_, m)| hides(&m.after, dot)),
            Intent::AddSibling | Intent::CreateOnly => false,
        }
    }

    /// The write events of a put.
    pub fn mints_of(&self, key: &Key, request: RequestId) -> impl Iterator<Item = (Dot, &Mint)> {
        let dots = self.dots_of.get(&request).into_iter().flatten();
        dots.filter_map(|dot| self.mints.get(&(key.clone(), *dot)).map(|mint| (*dot, mint)))
    }
}

fn raise(tops: &mut Tops, key: &Key, context: &Context) {
    for (actor, top) in &context.0 {
        let known = tops.entry((key.clone(), *actor)).or_default();
        *known = (*known).max(*top);
    }
}

/// Whether a context covers an event.
pub fn covers(context: &Context, dot: Dot) -> bool {
    context.0.get(&dot.actor).is_some_and(|top| *top >= dot.counter)
}

/// Whether a state shows an event.
pub fn shows(state: &State, dot: Dot) -> bool {
    state.dots().any(|(shown, _)| shown == dot)
}

/// Whether a state knows an event and has it covered.
pub fn hides(state: &State, dot: Dot) -> bool {
    state.knows(dot) && !shows(state, dot)
}

/// The key and the state of a record of data or of a hint; `None`: neither.
pub fn state_of(space: Space, place: &Bytes, value: Option<&Bytes>) -> Option<(Key, State)> {
    let storage_key = match space {
        Space::Meta => return None,
        Space::Data => place.clone(),
        Space::Hints => place.slice(8..),
    };
    let record = Record::decode(place, value?.clone()).expect("a whole record");
    Some((Key::from_storage_key(&storage_key).expect("a storage key"), record.state))
}
