//! The one loop: steps inputs against the store, commits once a batch, and holds back what is not yet durable.
//! Follows design.md, The one loop. Per-key protocols are in `coordinator`, `replica`, `hints`, `antientropy`;
//! this file owns the state, the dispatch and the durability rule.
//! Invariant: an effect that may reveal store data leaves only when the newest commit it could have seen is synced.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::antientropy::Trees;
use crate::config::ClusterConfig;
use crate::coordinator::{FetchOp, ForwardOp, ForwardedHere, PutOp, Timers};
use crate::effect::{AdminRequest, Effect, Event, Failure, Input, Origin, Reply, Request};
use crate::fence::Fence;
use crate::hints::Hints;
use crate::id::{CommitNo, Incarnation};
use crate::layout::Layout;
use crate::membership::Membership;
use crate::message::{Envelope, Message};
use crate::minting::Minting;
use crate::pace::Pace;
use crate::peers::Peers;
use crate::planted::{Bug, planted};
use crate::ring::Ring;
use crate::store::{Store, StoreError};
use crate::time::Time;

/// What a node is told at its start. Times in milliseconds.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Settings {
    pub incarnation: Incarnation,
    pub cluster: ClusterConfig,
    /// Seeds the generator and names the boot to the rollback fence: another random number for each start.
    pub seed: u64,
    pub timeout_ms: u32,
    pub timeout_ms_max: u32,
    /// A replica that has not answered by then is suspected and replaced.
    pub replica_timeout_ms: u64,
    pub probe_interval_ms: u64,
    pub hint_interval_ms: u64,
    pub tree_interval_ms: u64,
    pub verify_interval_ms: u64,
    pub in_flight_max: u32,
    /// Say which operation serves whom ([`Effect::Runs`]).
    pub is_traced: bool,
}

impl Settings {
    /// The defaults for a data directory.
    pub fn new(incarnation: Incarnation, cluster: ClusterConfig) -> Self {
        Settings {
            incarnation,
            cluster,
            seed: incarnation.0,
            timeout_ms: 5_000,
            timeout_ms_max: 60_000,
            replica_timeout_ms: 500,
            probe_interval_ms: 250,
            hint_interval_ms: 1_000,
            tree_interval_ms: 50,
            verify_interval_ms: 600_000,
            in_flight_max: 4_096,
            is_traced: false,
        }
    }
}

/// How many operations there may be for each whose client may wait.
const ANSWERED_FACTOR: usize = 4;

/// When an effect may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// At once: it reveals nothing that is not synced.
    Now,
    /// When the newest commit of the end of this batch is synced.
    Batch,
}

/// One node's protocol state. Drive it with [`Node::run_batch`] and [`Node::synced`].
pub struct Node {
    pub(crate) settings: Settings,
    pub(crate) now: Time,
    pub(crate) synced: CommitNo,
    /// The newest commit when this boot began.
    pub(crate) commit_at_boot: CommitNo,
    /// The commit that holds the boot count. Nothing leaves before it is synced.
    pub(crate) boot_commit: CommitNo,
    pub(crate) fence: Fence,
    pub(crate) minting: Minting,
    pub(crate) layout: Option<Layout>,
    pub(crate) ring: Option<Ring>,
    pub(crate) peers: Peers,
    pub(crate) membership: Option<Membership>,
    pub(crate) hints: Hints,
    pub(crate) trees: Trees,
    pub(crate) fetches: BTreeMap<u64, FetchOp>,
    pub(crate) puts: BTreeMap<u64, PutOp>,
    pub(crate) forwards: BTreeMap<u64, ForwardOp>,
    pub(crate) forwarded_here: ForwardedHere,
    pub(crate) timers: Timers,
    /// Operations whose client has its answer, and which go on for the sake of the replicas.
    pub(crate) answered: BTreeSet<u64>,
    pub(crate) counters: BTreeMap<&'static str, u64>,
    pub(crate) is_stopping: bool,
    pub(crate) pace: Pace,
    next_op: u64,
    /// Operations that read or wrote the store in this batch: their gate is its commit.
    opened: Vec<u64>,
    local_acks: VecDeque<(CommitNo, u64)>,
    out: Vec<(Hold, Effect)>,
    held: Vec<(CommitNo, Effect)>,
}

impl Node {
    /// Opens the node on its store: raises the boot count, reads layout and fence memories, counts hints. Nothing
    /// leaves before the caller has synced that and said so ([`Node::synced`]). Errors: the store failed.
    pub fn open(settings: Settings, store: &mut dyn Store, now: Time) -> Result<Node, StoreError> {
        let commit_at_boot = store.last_commit();
        let minting = Minting::boot(settings.incarnation, store)?;
        let fence = Fence::open(store, minting.boot, settings.seed, commit_at_boot)?;
        let mut node = Node {
            hints: Hints::open(store, settings.cluster.limits.hint_bytes_max)?,
            peers: Peers::open(store)?,
            trees: Trees::default(),
            next_op: u64::from(minting.boot) << 40,
            minting,
            settings,
            now,
            synced: commit_at_boot,
            commit_at_boot,
            boot_commit: CommitNo(u64::MAX),
            fence,
            layout: None,
            ring: None,
            membership: None,
            fetches: BTreeMap::new(),
            puts: BTreeMap::new(),
            forwards: BTreeMap::new(),
            forwarded_here: ForwardedHere::default(),
            timers: Timers::default(),
            answered: BTreeSet::new(),
            counters: BTreeMap::new(),
            is_stopping: false,
            pace: Pace::default(),
            opened: Vec::new(),
            local_acks: VecDeque::new(),
            out: Vec::new(),
            held: Vec::new(),
        };
        node.load_layout(store)?;
        node.boot_commit = store.commit()?;
        if let Some(why) = node.fence.halted.clone() {
            node.push(Hold::Now, Effect::Halt(why));
        }
        Ok(node)
    }

    /// Steps `inputs` at `now`, commits once, and returns what may leave at once with the newest commit.
    /// The caller makes that commit durable and then calls [`Node::synced`]. Errors: the store failed; stop.
    pub fn run_batch(
        &mut self,
        store: &mut dyn Store,
        now: Time,
        inputs: impl IntoIterator<Item = Input>,
    ) -> Result<(Vec<Effect>, CommitNo), StoreError> {
        self.now = self.now.max(now);
        for input in inputs {
            self.step(store, input)?;
        }
        let commit = store.commit()?;
        for op in std::mem::take(&mut self.opened) {
            self.set_gate(op, commit);
            self.local_acks.push_back((commit, op));
        }
        let mut leaving = self.release(commit);
        if commit <= self.synced {
            self.count_local_acks();
            leaving.extend(self.release(commit));
        }
        Ok((leaving, commit))
    }

    /// `commit` and all before it are durable: returns what waited for that.
    pub fn synced(&mut self, commit: CommitNo) -> Vec<Effect> {
        self.synced = self.synced.max(commit);
        let synced = self.synced;
        let due = self.held.extract_if(.., |(at, _)| *at <= synced).map(|(_, effect)| effect);
        let is_halted = self.fence.halted.is_some();
        let mut leaving: Vec<Effect> = due.filter(|effect| !is_halted || may_leave_halted(effect)).collect();
        self.count_local_acks();
        leaving.extend(self.release(synced));
        leaving
    }

    /// When a `Tick` is wanted at the latest.
    pub fn next_wake(&self) -> Time {
        let operation = self.timers.next();
        let housekeeping = self.next_tree_wake().min(self.now.plus(self.settings.probe_interval_ms));
        let swim = self.membership.as_ref().and_then(Membership::next_timer);
        [operation, swim].into_iter().flatten().fold(housekeeping, Time::min)
    }

    /// Which boot of its data directory this is.
    pub fn boot(&self) -> u32 {
        self.minting.boot
    }

    /// The layout it goes by, if it has one.
    pub fn layout(&self) -> Option<&Layout> {
        self.layout.as_ref()
    }

    /// Takes client requests now: it has a layout, has passed the fence, and is not stopping.
    pub fn is_serving(&self) -> bool {
        !self.is_stopping && self.not_ready().is_none()
    }

    /// Stops taking client requests; those in flight go on. See [`Node::is_idle`], [`Node::finish`].
    pub fn begin_stop(&mut self) {
        self.is_stopping = true;
    }

    /// No operation is under way.
    pub fn is_idle(&self) -> bool {
        self.operations() == 0
    }

    /// Writes the clean-stop marker as the last commit; nothing may be stepped afterwards.
    pub fn finish(&mut self, store: &mut dyn Store) -> Result<CommitNo, StoreError> {
        self.minting.mark_clean_stop(store);
        store.commit()
    }

    fn count_local_acks(&mut self) {
        while self.local_acks.front().is_some_and(|(commit, _)| *commit <= self.synced) {
            if let Some((_, op)) = self.local_acks.pop_front() {
                self.on_local_ack(op);
            }
        }
    }

    /// Moves what this step put out: what may leave is returned, the rest is held.
    fn release(&mut self, newest: CommitNo) -> Vec<Effect> {
        let mut leaving = Vec::new();
        for (hold, effect) in std::mem::take(&mut self.out) {
            let gate = match hold {
                Hold::Now => self.synced,
                Hold::Batch => newest,
            };
            if self.fence.halted.is_some() && !may_leave_halted(&effect) {
                continue;
            }
            let gate = gate.max(self.boot_commit);
            if gate <= self.synced || planted(Bug::EffectBeforeSync) {
                leaving.push(effect);
            } else {
                self.held.push((gate, effect));
            }
        }
        leaving
    }

    fn step(&mut self, store: &mut dyn Store, input: Input) -> Result<(), StoreError> {
        match input {
            Input::Client { token, at, request } => self.on_client(store, token, at, request),
            Input::Peer { from, at, envelope } => self.on_peer(store, from, at, envelope),
            Input::LinkUp { peer, boot, synced } => self.on_link_up(store, peer, boot, synced),
            Input::LinkDown { peer } => self.on_link_down(store, peer),
            Input::Admin { token, request } => self.on_admin(store, token, request),
            Input::Tick => self.on_tick(store),
        }
    }

    fn on_client(&mut self, store: &mut dyn Store, token: u64, at: Time, request: Request) -> Result<(), StoreError> {
        if self.is_stopping {
            self.reply(Hold::Now, token, Err(Failure::ShuttingDown { maybe_applied: false }));
        } else if let Some(why) = self.not_ready() {
            self.reply(Hold::Now, token, Err(Failure::NotReady(why.to_owned())));
        } else if self.is_overloaded() {
            let in_flight = self.settings.in_flight_max;
            self.reply(Hold::Now, token, Err(Failure::Overloaded { in_flight }));
        } else if let Some(failure) = self.expired(at, &request) {
            self.reply(Hold::Now, token, Err(failure));
        } else if self.is_hopeless(at, &request) {
            let in_flight = self.in_flight() as u32;
            self.reply(Hold::Now, token, Err(Failure::Overloaded { in_flight }));
        } else {
            return match request {
                Request::Get(get) => self.start_get(store, token, at, get),
                Request::Put(put) => self.start_put(store, token, at, put),
            };
        }
        Ok(())
    }

    fn on_peer(
        &mut self,
        store: &mut dyn Store,
        from: Incarnation,
        at: Time,
        envelope: Envelope,
    ) -> Result<(), StoreError> {
        if self.fence.halted.is_some() {
            return Ok(());
        }
        self.hear(from, envelope.boot, envelope.synced);
        if is_answer(&envelope.message) {
            self.hear_answer(from);
        }
        let version = self.layout.as_ref().map_or(0, |l| l.version);
        match envelope.message {
            Message::FenceAsk { boots } => self.on_fence_ask(from, envelope.boot, envelope.synced, &boots),
            Message::FenceAnswer { asked_boot, is_behind, seen_boot, seen_commit } => {
                self.on_fence_answer(store, from, asked_boot, is_behind, (seen_boot, seen_commit));
            }
            Message::Swim(data) => self.on_swim(from, data),
            Message::LayoutAsk => self.on_layout_ask(from),
            Message::LayoutGive(bytes) => self.on_layout_give(store, from, bytes)?,
            // Order: before the rest, which all assume the same layout; a mismatch would count a non-owner.
            _ if version == 0 => self.send(Hold::Now, from, Message::LayoutAsk),
            message if envelope.layout_version != version => self.refuse_other_layout(from, message),
            Message::Forward { op, put, remaining_ms } => self.on_forward(store, from, at, op, put, remaining_ms)?,
            Message::ForwardReply { op, outcome } => self.on_forward_reply(from, op, outcome),
            Message::Replicate(replicate) => self.on_replicate(store, from, at, replicate)?,
            Message::ReplicateAck { op, state_hash } => self.on_replicate_ack(store, from, op, state_hash)?,
            Message::ReplicateRefused { op, reason } => self.on_replicate_refused(store, from, op, reason)?,
            Message::Fetch(fetch) => self.on_fetch(store, from, at, fetch)?,
            Message::FetchReply(reply) => self.on_fetch_reply(store, from, reply)?,
            Message::FetchRefused { op, .. } => self.on_fetch_refused(store, from, op)?,
            tree => self.on_tree(store, from, tree)?,
        }
        Ok(())
    }

    fn on_tick(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        if self.fence.halted.is_some() {
            return Ok(());
        }
        while let Some(op) = self.timers.pop(self.now) {
            self.on_timer(store, op)?;
        }
        self.tick_membership();
        self.tick_peers(store);
        if self.not_ready().is_none() {
            self.tick_hints(store)?;
            self.tick_trees(store)?;
        }
        Ok(())
    }

    fn on_admin(&mut self, store: &mut dyn Store, token: u64, request: AdminRequest) -> Result<(), StoreError> {
        let reply = match request {
            AdminRequest::Bootstrap(layout) => self.bootstrap(store, layout),
            AdminRequest::GetLayout => crate::effect::AdminReply::Layout(self.layout.clone()),
            AdminRequest::Status => crate::effect::AdminReply::Status(Box::new(self.status())),
            AdminRequest::Digest(partition) => self.digest(partition),
            AdminRequest::Digests => crate::effect::AdminReply::Digests(self.trees.digests().collect()),
            AdminRequest::Peek(keys) => crate::effect::AdminReply::Peeked(self.peek(store, &keys)?),
        };
        self.push(Hold::Batch, Effect::AdminReply { token, reply });
        Ok(())
    }

    // What the protocols use.

    pub(crate) fn me(&self) -> Incarnation {
        self.settings.incarnation
    }

    /// Operations whose client waits.
    pub(crate) fn in_flight(&self) -> usize {
        self.operations().saturating_sub(self.answered.len())
    }

    fn operations(&self) -> usize {
        self.fetches.len() + self.puts.len() + self.forwards.len()
    }

    /// Takes no more: too many clients wait, or far too many operations go on for a slow replica.
    pub(crate) fn is_overloaded(&self) -> bool {
        let most = self.settings.in_flight_max as usize;
        self.in_flight() >= most || self.operations() >= most.saturating_mul(ANSWERED_FACTOR)
    }

    pub(crate) fn new_op(&mut self) -> u64 {
        self.next_op += 1;
        self.next_op
    }

    /// `op` read or wrote the store in this batch: its gate and its local acknowledgement follow the batch's commit.
    pub(crate) fn opened_in_batch(&mut self, op: u64) {
        self.opened.push(op);
    }

    pub(crate) fn push(&mut self, hold: Hold, effect: Effect) {
        self.out.push((hold, effect));
    }

    pub(crate) fn observe(&mut self, event: Event) {
        *self.counters.entry(event.counter()).or_default() += 1;
        self.push(Hold::Now, Effect::Observe(event));
    }

    /// `op` is about to send messages for `origin`.
    pub(crate) fn runs(&mut self, origin: Origin, op: u64) {
        if self.settings.is_traced {
            self.push(Hold::Now, Effect::Runs { origin, op });
        }
    }

    /// It could not end in its time: too many are before it.
    fn is_hopeless(&mut self, at: Time, request: &Request) -> bool {
        let timeout_ms = at.until(self.deadline(at, request.timeout_ms()));
        let in_flight = self.in_flight();
        self.pace.is_hopeless(self.now, at, timeout_ms, in_flight)
    }

    pub(crate) fn reply(&mut self, hold: Hold, token: u64, outcome: Result<Reply, Failure>) {
        self.push(hold, Effect::Reply { token, outcome });
    }

    pub(crate) fn send(&mut self, hold: Hold, to: Incarnation, message: Message) {
        let envelope = Envelope {
            layout_version: self.layout.as_ref().map_or(0, |l| l.version),
            boot: self.minting.boot,
            synced: CommitNo(self.synced.0 + u64::from(planted(Bug::AnnouncesUnsynced))),
            trace: None,
            message,
        };
        self.push(hold, Effect::Send { to, class: envelope.message.class(), envelope });
    }
}

/// What a halted node still says: nothing that rests on its disk.
fn may_leave_halted(effect: &Effect) -> bool {
    match effect {
        Effect::Send { .. } => false,
        Effect::Reply { outcome, .. } => outcome.is_err(),
        _ => true,
    }
}

/// Sent only because we asked.
fn is_answer(message: &Message) -> bool {
    matches!(
        message,
        Message::FenceAnswer { .. }
            | Message::ForwardReply { .. }
            | Message::ReplicateAck { .. }
            | Message::ReplicateRefused { .. }
            | Message::FetchReply(_)
            | Message::FetchRefused { .. }
    )
}

#[cfg(test)]
mod tests;
