//! The engine thread: takes jobs, steps them in batches, delivers effects, and keeps the sync thread busy.
//! Follows design.md, The one loop. Invariants: no job is taken while too much is committed and not yet durable; while a pause is
//! injected nothing is stepped.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use driftkv_core::effect::{AdminReply, Effect, Failure, Input};
use driftkv_core::id::CommitNo;
use driftkv_core::node::Node;
use driftkv_core::store::{Store, StoreError};
use driftkv_core::time::Time;
use tokio::sync::{mpsc, oneshot, watch};

use super::flights::Flights;
use super::sync::{Sync, die};
use super::{Budget, Clock, Inbox, Job, Outcome, ReplyTo, Turning};
use crate::faults::Faults;
use crate::metrics::{Metrics, Operation, Stage};
use crate::peers::Peers;
use crate::store::disk::{DiskStore, Syncer};
use crate::telemetry;
use crate::traces::Spans;

/// Jobs stepped in one batch.
const BATCH_MAX: usize = 256;
/// Bytes committed and not yet durable, beyond which no job is taken.
const UNSYNCED_BYTES_MAX: usize = 64 << 20;
/// How often a stopping node looks whether it is idle.
const STOP_POLL: Duration = Duration::from_millis(10);
/// How often a node whose clock is wrong looks whether it still is.
const SKEW_POLL: Duration = Duration::from_millis(50);

/// How the engine ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// It was told to stop; the clean-stop marker is durable.
    Stopped,
    /// The rollback fence: this incarnation must not serve again; why.
    Halted(String),
}

/// What the engine is made of.
pub struct Parts {
    /// Opened; its first commit is not yet durable.
    pub node: Node,
    /// The engine's half of the store.
    pub store: DiskStore,
    /// The sync thread's half.
    pub syncer: Syncer,
    /// Shared with whoever stamps arrivals.
    pub clock: Clock,
    /// From [`super::Handle::new`].
    pub inbox: Inbox,
    /// The streams to other nodes.
    pub peers: Peers,
    /// Pauses, slow or failing syncs, and wrong clocks.
    pub faults: Faults,
    /// `None`: no trace is recorded here.
    pub spans: Option<Spans>,
}

struct Client {
    to: ReplyTo,
    at: Instant,
    operation: Operation,
    _budget: Budget,
}

/// The engine; [`Engine::run`] it on a thread of its own.
pub struct Engine {
    node: Node,
    store: DiskStore,
    sync: Sync,
    synced: CommitNo,
    clock: Clock,
    jobs: mpsc::Receiver<Job>,
    serving: watch::Sender<bool>,
    turning: Turning,
    peers: Peers,
    faults: Faults,
    metrics: Metrics,
    flights: Flights,
    spans: Option<Spans>,
    paused: watch::Receiver<bool>,
    clients: HashMap<u64, Client>,
    operators: HashMap<u64, oneshot::Sender<AdminReply>>,
    next_token: u64,
    /// When housekeeping is due, however busy the loop is.
    tick_due: Time,
    stop_at: Option<Instant>,
    halted: Option<String>,
}

/// Why the engine woke.
enum Wake {
    Jobs,
    Synced(CommitNo),
    Tick,
    Closed,
}

impl Engine {
    /// Makes the node's boot durable and delivers its first effects. Errors: the store failed; nothing was served.
    pub fn start(parts: Parts) -> Result<Engine, StoreError> {
        let Parts { node, store, mut syncer, clock, inbox, peers, faults, spans } = parts;
        let synced = syncer.sync()?;
        let Inbox { jobs, serving, turning, metrics } = inbox;
        let sync = Sync::start(syncer, faults.clone(), metrics.clone())
            .map_err(|error| StoreError(format!("no thread to sync on: {error}")))?;
        let mut engine = Engine {
            node,
            store,
            sync,
            synced,
            clock,
            jobs,
            serving,
            turning,
            peers,
            paused: faults.paused(),
            faults,
            metrics,
            flights: Flights::default(),
            spans,
            clients: HashMap::new(),
            operators: HashMap::new(),
            next_token: 0,
            tick_due: Time(0),
            stop_at: None,
            halted: None,
        };
        engine.on_synced(synced);
        Ok(engine)
    }

    /// Runs until told to stop or halted. Call it on a thread that may block: it reads the disk.
    pub async fn run(mut self) -> End {
        let mut jobs = Vec::with_capacity(BATCH_MAX);
        loop {
            self.turning.rest();
            let wake = self.wake(&mut jobs).await;
            // A paused loop stands still: what arrives waits, as if the process had no processor.
            let _ = self.paused.wait_for(|paused| !paused).await;
            self.turning.work();
            match wake {
                Wake::Synced(commit) => self.on_synced(commit),
                Wake::Jobs | Wake::Tick => self.step(&mut jobs),
                Wake::Closed => self.stop_at = Some(Instant::now()),
            }
            self.serving.send_if_modified(|serving| {
                let is_serving = self.node.is_serving();
                std::mem::replace(serving, is_serving) != is_serving
            });
            if let Some(why) = self.halted.take() {
                return End::Halted(why);
            }
            if self.may_stop() {
                self.finish().await;
                return End::Stopped;
            }
        }
    }

    async fn wake(&mut self, jobs: &mut Vec<Job>) -> Wake {
        let at = self.clock.instant(self.tick_due.min(self.node.next_wake()));
        let at = if self.stop_at.is_some() { at.min(Instant::now() + STOP_POLL) } else { at };
        // By a clock that stands still nothing is ever due, and its going on again is no job that would wake this loop.
        let at = if self.clock.is_skewed() { at.min(Instant::now() + SKEW_POLL) } else { at };
        let has_room = self.store.unsynced_bytes() < UNSYNCED_BYTES_MAX;
        tokio::select! {
            biased;
            commit = self.sync.done() => Wake::Synced(commit),
            taken = self.jobs.recv_many(jobs, BATCH_MAX), if has_room => if taken > 0 { Wake::Jobs } else { Wake::Closed },
            () = tokio::time::sleep_until(at.into()) => Wake::Tick,
        }
    }

    /// Steps what was taken, and a tick if one is due.
    fn step(&mut self, jobs: &mut Vec<Job>) {
        let at = Instant::now();
        self.clock.skew(self.faults.skew_ms(), at);
        let now = self.clock.time(at);
        let mut inputs: Vec<Input> = Vec::with_capacity(jobs.len() + 1);
        let has_jobs = !jobs.is_empty();
        for job in jobs.drain(..) {
            inputs.extend(self.input(job, at));
        }
        let is_tick = now >= self.tick_due.min(self.node.next_wake());
        if is_tick {
            inputs.push(Input::Tick);
        }
        match self.node.run_batch(&mut self.store, now, inputs) {
            Ok((effects, commit)) => {
                if has_jobs {
                    self.metrics.stage(Stage::Store, at.elapsed());
                    if let Some(spans) = &mut self.spans {
                        spans.stepped(at, Instant::now(), commit, self.synced);
                    }
                }
                self.deliver(effects);
                if commit > self.synced {
                    self.sync.ask();
                }
            }
            Err(error) => die(&error),
        }
        if is_tick {
            self.tick_due = self.node.next_wake();
            if let Some(spans) = &mut self.spans {
                self.metrics.spans_dropped(spans.sweep(at));
            }
        }
    }

    fn on_synced(&mut self, commit: CommitNo) {
        self.synced = self.synced.max(commit);
        self.peers.set_synced(self.synced);
        if let Some(spans) = &mut self.spans {
            spans.synced(commit);
        }
        let effects = self.node.synced(commit);
        self.deliver(effects);
        if self.store.last_commit() > self.synced {
            self.sync.ask();
        }
    }

    /// `now`: when it is stepped.
    fn input(&mut self, job: Job, now: Instant) -> Option<Input> {
        self.next_token += 1;
        let token = self.next_token;
        match job {
            Job::Client { at, request, trace, to, budget } => {
                self.metrics.stage(Stage::Queue, now.saturating_duration_since(at));
                let operation = Operation::of(&request);
                if let Some(spans) = &mut self.spans {
                    spans.client(token, operation, trace, at, now);
                }
                self.clients.insert(token, Client { to, at, operation, _budget: budget });
                Some(Input::Client { token, at: self.clock.time(at), request })
            }
            Job::Admin { request, to } => {
                self.operators.insert(token, to);
                Some(Input::Admin { token, request })
            }
            Job::Peer { from, at, envelope } => {
                self.metrics.stage(Stage::Queue, now.saturating_duration_since(at));
                if let Some(answered) = self.flights.answered(from, &envelope.message, at) {
                    self.metrics.stage(Stage::Peers, answered.took);
                    if answered.is_fresh_put {
                        self.metrics.replicated(answered.took);
                    }
                }
                if let Some(spans) = &mut self.spans {
                    spans.heard(from, &envelope, at, now);
                }
                Some(Input::Peer { from, at: self.clock.time(at), envelope })
            }
            Job::LinkUp { peer, boot, synced } => Some(Input::LinkUp { peer, boot, synced }),
            Job::LinkDown { peer } => {
                self.flights.lost(peer);
                if let Some(spans) = &mut self.spans {
                    spans.lost(peer);
                }
                Some(Input::LinkDown { peer })
            }
            Job::Stop { until } => {
                self.node.begin_stop();
                self.stop_at = Some(until);
                None
            }
        }
    }

    fn deliver(&mut self, effects: Vec<Effect>) {
        let now = Instant::now();
        for effect in effects {
            match effect {
                Effect::Send { to, class, mut envelope } => {
                    self.flights.sent(to, &envelope.message, now);
                    if let Some(spans) = &mut self.spans {
                        spans.leaves(to, &mut envelope, now, || self.peers.name(to));
                    }
                    self.peers.send(to, class, envelope);
                }
                Effect::Reply { token, outcome } => {
                    if let Some(client) = self.clients.remove(&token) {
                        self.answer(token, client, outcome, now);
                    }
                }
                Effect::Runs { origin, op } => {
                    if let Some(spans) = &mut self.spans {
                        spans.runs(origin, op);
                    }
                }
                Effect::AdminReply { token, reply } => {
                    if let Some(to) = self.operators.remove(&token) {
                        drop(to.send(reply));
                    }
                }
                Effect::Observe(event) => {
                    self.metrics.event(&event);
                    telemetry::event(event, |incarnation| self.peers.name(incarnation));
                }
                Effect::Connect(layout) => self.peers.connect(&layout),
                Effect::Halt(why) => self.halted = Some(why),
            }
        }
    }

    fn answer(&mut self, token: u64, client: Client, outcome: Outcome, now: Instant) {
        if let Some(spans) = &mut self.spans {
            spans.answered(token, &outcome, now);
        }
        self.metrics.answered(client.operation, now.saturating_duration_since(client.at), &outcome);
        client.to.send(outcome);
    }

    fn may_stop(&self) -> bool {
        self.stop_at.is_some_and(|until| self.node.is_idle() || Instant::now() >= until)
    }

    /// Refuses what is still in flight, then makes everything durable with the marker last; acknowledgements that
    /// waited for that still leave.
    async fn finish(&mut self) {
        let now = Instant::now();
        for (token, client) in std::mem::take(&mut self.clients) {
            self.answer(token, client, Err(Failure::ShuttingDown { maybe_applied: true }), now);
        }
        let last = match self.node.finish(&mut self.store) {
            Ok(last) => last,
            Err(error) => die(&error),
        };
        while self.synced < last {
            self.sync.ask();
            let commit = self.sync.done().await;
            self.on_synced(commit);
        }
    }
}
