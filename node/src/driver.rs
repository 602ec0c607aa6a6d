//! The engine: one thread that feeds `Node::run_batch`, one that makes its commits durable, and the way in for all others.
//! Follows design.md, The one loop: the rule of what may leave when lives in core; here effects are only delivered.
//! Invariants: the next batch is stepped while the last one syncs; a failed sync ends the process at once, without destructors.
//! Not here: streams between nodes (`peers`), what clients see (`api`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use driftkv_core::effect::{AdminReply, AdminRequest, Failure, Reply, Request};
use driftkv_core::id::{CommitNo, Incarnation};
use driftkv_core::message::{Envelope, Trace};
use driftkv_core::time::Time;
use tokio::sync::{mpsc, oneshot, watch};

use crate::metrics::{Metrics, Operation};

mod engine;
mod flights;
mod sync;
mod turning;

pub use engine::{End, Engine, Parts};
pub use turning::{STUCK_AFTER, Turning};

/// Jobs that wait for the engine.
const JOBS_MAX: usize = 8_192;
/// Clients leave this many places to peers and operators: an acknowledgement must not wait behind new work.
const JOBS_FOR_PEERS: usize = JOBS_MAX / 2;
/// Bytes of client requests that are queued or under way.
const CLIENT_BYTES_MAX: usize = 256 << 20;

/// What a client's request came to.
pub type Outcome = Result<Reply, Failure>;

/// Where the outcome of a client's request goes.
#[derive(Debug)]
pub enum ReplyTo {
    /// A unary call.
    Once(oneshot::Sender<Outcome>),
    /// A session; its channel has room for every request that it lets in flight.
    Session {
        /// The session's own number for the request.
        id: u64,
        /// The session.
        to: mpsc::Sender<(u64, Outcome)>,
    },
}

impl ReplyTo {
    /// Hands over the outcome; nobody is there any more if the client has gone.
    pub fn send(self, outcome: Outcome) {
        match self {
            ReplyTo::Once(to) => drop(to.send(outcome)),
            ReplyTo::Session { id, to } => drop(to.try_send((id, outcome))),
        }
    }
}

/// Something for the engine to do.
#[derive(Debug)]
pub enum Job {
    /// A client asks.
    Client {
        /// When it arrived.
        at: Instant,
        /// What.
        request: Request,
        /// The span of the client that it is part of.
        trace: Option<Trace>,
        /// Who waits.
        to: ReplyTo,
        /// Held until the outcome is known.
        budget: Budget,
    },
    /// An operator asks.
    Admin {
        /// What.
        request: AdminRequest,
        /// Who waits.
        to: oneshot::Sender<AdminReply>,
    },
    /// A peer says something.
    Peer {
        /// Who.
        from: Incarnation,
        /// When it arrived.
        at: Instant,
        /// What.
        envelope: Envelope,
    },
    /// Our foreground stream to this peer is open.
    LinkUp {
        /// Whom.
        peer: Incarnation,
        /// Its boot, as its handshake said.
        boot: u32,
        /// Its last synced commit, as its handshake said.
        synced: CommitNo,
    },
    /// Our foreground stream to this peer is gone.
    LinkDown {
        /// Whom.
        peer: Incarnation,
    },
    /// Refuse new requests, finish those in flight until `until`, write the clean-stop marker and end.
    Stop {
        /// When patience ends.
        until: Instant,
    },
}

/// A request's share of the bytes that may be under way; given back when dropped.
#[derive(Debug)]
pub struct Budget {
    bytes: usize,
    used: Arc<AtomicUsize>,
}

impl Budget {
    fn take(used: &Arc<AtomicUsize>, bytes: usize) -> Option<Budget> {
        let before = used.fetch_add(bytes, Ordering::Relaxed);
        let budget = Budget { bytes, used: Arc::clone(used) };
        // One request alone always fits, however large: its own limits judge it.
        (before == 0 || before.saturating_add(bytes) <= CLIENT_BYTES_MAX).then_some(budget)
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Core's time: milliseconds since the process opened its store, by the monotonic clock, or off that by an injected skew.
/// Invariant: it never runs back; with less skew than before it stands still until the true time has caught up.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    skew_ms: i64,
    floor: Time,
}

impl Clock {
    /// Starts now, at 1 ms: nothing that was "never" looks like "now".
    pub fn start() -> Clock {
        let now = Instant::now();
        let start = now.checked_sub(Duration::from_millis(1)).unwrap_or(now);
        Clock { start, skew_ms: 0, floor: Time(0) }
    }

    /// From now on it is off by `skew_ms`.
    pub fn skew(&mut self, skew_ms: i64, now: Instant) {
        if skew_ms < self.skew_ms {
            self.floor = self.time(now);
        }
        self.skew_ms = skew_ms;
    }

    /// It is off.
    pub fn is_skewed(&self) -> bool {
        self.skew_ms != 0
    }

    /// `at` as core sees it.
    pub fn time(&self, at: Instant) -> Time {
        let true_ms = u64::try_from(at.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX);
        Time(true_ms.saturating_add_signed(self.skew_ms)).max(self.floor)
    }

    /// When core's time `time` comes.
    pub fn instant(&self, time: Time) -> Instant {
        let true_ms = time.0.saturating_add_signed(self.skew_ms.saturating_neg());
        let later = self.start.checked_add(Duration::from_millis(true_ms));
        later.unwrap_or_else(|| Instant::now() + Duration::from_secs(3_600))
    }
}

/// The way to the engine from everywhere else. Clones share it.
#[derive(Clone, Debug)]
pub struct Handle {
    jobs: mpsc::Sender<Job>,
    serving: watch::Receiver<bool>,
    used: Arc<AtomicUsize>,
    turning: Turning,
    metrics: Metrics,
}

/// The engine's end of a [`Handle`].
pub struct Inbox {
    jobs: mpsc::Receiver<Job>,
    serving: watch::Sender<bool>,
    turning: Turning,
    metrics: Metrics,
}

impl Handle {
    /// A handle and the inbox it fills.
    pub fn new() -> (Handle, Inbox) {
        let (jobs, inbox) = mpsc::channel(JOBS_MAX);
        let (state, serving) = watch::channel(false);
        let (metrics, turning) = (Metrics::default(), Turning::default());
        let used = Arc::default();
        let handle = Handle { jobs, serving, used, turning: turning.clone(), metrics: metrics.clone() };
        (handle, Inbox { jobs: inbox, serving: state, turning, metrics })
    }

    /// Hands over a client's request at once. Errors: too much waits already, or the engine is gone; nothing was done.
    pub fn ask(&self, request: Request, trace: Option<Trace>, to: ReplyTo) -> Result<(), Failure> {
        let operation = Operation::of(&request);
        self.hand_over(request, trace, to).inspect_err(|failure| self.metrics.refused(operation, failure))
    }

    fn hand_over(&self, request: Request, trace: Option<Trace>, to: ReplyTo) -> Result<(), Failure> {
        let overloaded = |waiting| Failure::Overloaded { in_flight: u32::try_from(waiting).unwrap_or(u32::MAX) };
        let waiting = self.queued();
        let Some(budget) = Budget::take(&self.used, size(&request)) else { return Err(overloaded(waiting)) };
        if self.jobs.capacity() <= JOBS_FOR_PEERS && !self.jobs.is_closed() {
            return Err(overloaded(waiting));
        }
        let job = Job::Client { at: Instant::now(), request, trace, to, budget };
        self.jobs.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => overloaded(JOBS_MAX),
            mpsc::error::TrySendError::Closed(_) => Failure::ShuttingDown { maybe_applied: false },
        })
    }

    /// Asks and waits for the outcome. A request the engine took and did not answer may have been applied.
    pub async fn client(&self, request: Request, trace: Option<Trace>) -> Outcome {
        let is_put = matches!(request, Request::Put(_));
        let (to, outcome) = oneshot::channel();
        self.ask(request, trace, ReplyTo::Once(to))?;
        outcome.await.unwrap_or(Err(Failure::ShuttingDown { maybe_applied: is_put }))
    }

    /// Asks as an operator. `None`: the engine is gone.
    pub async fn admin(&self, request: AdminRequest) -> Option<AdminReply> {
        let (to, reply) = oneshot::channel();
        self.jobs.send(Job::Admin { request, to }).await.ok()?;
        reply.await.ok()
    }

    /// Hands over anything else and waits for a place. False: the engine is gone.
    pub async fn send(&self, job: Job) -> bool {
        self.jobs.send(job).await.is_ok()
    }

    /// What this node measures of itself.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Jobs that wait for the engine.
    pub fn queued(&self) -> usize {
        JOBS_MAX - self.jobs.capacity()
    }

    /// Whether this node takes requests now, and when that changes. It ends with the engine.
    pub fn serving(&self) -> watch::Receiver<bool> {
        self.serving.clone()
    }

    /// Whether the engine's loop turns.
    pub fn turning(&self) -> &Turning {
        &self.turning
    }
}

impl Inbox {
    /// The next job, for a stand-in of the engine in tests.
    #[cfg(test)]
    pub async fn next(&mut self) -> Option<Job> {
        self.jobs.recv().await
    }

    /// Whether requests are taken, as a stand-in of the engine says.
    #[cfg(test)]
    pub fn serves(&self, is_serving: bool) {
        self.serving.send_replace(is_serving);
    }
}

fn size(request: &Request) -> usize {
    match request {
        Request::Get(get) => get.key.key().len() + get.key.bucket().len(),
        Request::Put(put) => {
            let value = put.value.as_ref().map_or(0, |value| value.len());
            put.key.key().len() + put.key.bucket().len() + put.context.len() + value
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Clock, Time};

    #[test]
    fn a_skewed_clock_jumps_ahead_stands_still_and_never_runs_back() {
        let begin = Instant::now();
        let mut clock = Clock { start: begin, skew_ms: 0, floor: Time(0) };
        let at = |ms| begin + Duration::from_millis(ms);
        clock.skew(5_000, at(100));
        assert_eq!((clock.time(at(100)), clock.instant(Time(5_200))), (Time(5_100), at(200)));
        clock.skew(2_000, at(200));
        assert_eq!((clock.time(at(200)), clock.time(at(3_200))), (Time(5_200), Time(5_200)));
        assert_eq!((clock.time(at(3_201)), clock.instant(Time(5_201))), (Time(5_201), at(3_201)));
        clock.skew(-1_000, at(4_000));
        assert_eq!((clock.time(at(7_000)), clock.time(at(8_000))), (Time(6_000), Time(7_000)));
        clock.skew(0, at(8_000));
        assert_eq!(clock.time(at(8_000)), Time(8_000));
    }
}
