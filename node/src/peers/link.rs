//! The life of one stream to one peer: dial, shake hands, send what the queue holds, and again after a loss.
//! Invariants: what was queued before a loss is not sent after it; SWIM overtakes what is queued; faults are met here, on the
//! sending side, before the wire.
//! Not here: the queues (`peers`), what the other side says on its own streams (`api/peer`).

use std::sync::Arc;
use std::time::Duration;

use driftkv_core::id::Incarnation;
use driftkv_core::message::{Class, Envelope, Message};
use driftkv_proto::FRAME_BYTES_MAX;
use driftkv_proto::v1::peer_client::PeerClient;
use driftkv_proto::v1::{Handshake, PeerFrame};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Endpoint;

use super::frames::Framer;
use super::identity::{Caller, Identity};
use super::inbound::Inbound;
use super::{LANE_BYTES_MAX, LANE_MESSAGES_MAX, LaneState, size};
use crate::driver::{Handle, Job};
use crate::faults::{DelayLine, Fate, Faults};

/// How long dialling and shaking hands may take.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// What may be under way without the other side having read it, in bytes.
pub(crate) const WINDOW_BYTES: u32 = 8 << 20;
/// Frames between the queue and the transport: few, so that SWIM overtakes.
const FRAMES_QUEUED: usize = 2;
/// Messages taken from the queue at once.
const TAKE_MAX: usize = 256;

/// One stream to one peer.
pub(super) struct Link {
    pub(super) peer: Incarnation,
    pub(super) name: String,
    pub(super) address: String,
    pub(super) class: Class,
    pub(super) identity: Arc<Identity>,
    pub(super) faults: Faults,
    pub(super) handle: Handle,
    pub(super) state: Arc<LaneState>,
}

/// An open stream.
struct Open {
    frames: mpsc::Sender<PeerFrame>,
    answers: Streaming<PeerFrame>,
    callee: Caller,
}

impl Link {
    /// Keeps the stream for ever. `urgent`: SWIM, on the foreground stream only.
    pub(super) async fn run(self, mut queue: mpsc::Receiver<Envelope>, mut urgent: Option<mpsc::Receiver<Envelope>>) {
        let mut backoff = BACKOFF_MIN;
        let mut last_complaint = String::new();
        loop {
            match self.open().await {
                Ok(open) => {
                    (backoff, last_complaint) = (BACKOFF_MIN, String::new());
                    self.serve(open, &mut queue, &mut urgent).await;
                }
                Err(why) if why != last_complaint => {
                    tracing::info!(peer = %self.name, address = %self.address, class = ?self.class, %why, "no stream to a peer; trying again");
                    last_complaint = why;
                }
                Err(_) => {}
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    async fn open(&self) -> Result<Open, String> {
        let opened = timeout(OPEN_TIMEOUT, self.dial()).await;
        opened.unwrap_or_else(|_| Err(format!("no answer in {} s", OPEN_TIMEOUT.as_secs())))
    }

    async fn dial(&self) -> Result<Open, String> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).map_err(|error| error.to_string())?;
        let channel = endpoint
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .connect()
            .await
            .map_err(|error| format!("cannot connect: {}", root(&error)))?;
        let mut client = PeerClient::new(channel)
            .max_decoding_message_size(FRAME_BYTES_MAX)
            .max_encoding_message_size(FRAME_BYTES_MAX);
        let (frames, outgoing) = mpsc::channel(FRAMES_QUEUED);
        let hello =
            PeerFrame { handshake: Some(self.identity.handshake(self.peer, String::new())), ..PeerFrame::default() };
        frames.try_send(hello).map_err(|error| error.to_string())?;
        let outgoing = ReceiverStream::new(outgoing);
        let opened = match self.class {
            Class::Foreground => client.foreground(outgoing).await,
            Class::Background => client.background(outgoing).await,
        };
        let mut answers = opened.map_err(|status| status.message().to_owned())?.into_inner();
        let first = answers.message().await.map_err(|status| status.message().to_owned())?;
        let callee = self.judge(first.and_then(|frame| frame.handshake))?;
        Ok(Open { frames, answers, callee })
    }

    fn judge(&self, theirs: Option<Handshake>) -> Result<Caller, String> {
        let theirs = theirs.ok_or("it did not shake hands")?;
        if !theirs.refusal.is_empty() {
            return Err(format!("it refuses: {}", theirs.refusal));
        }
        let callee = self.identity.judge(&theirs)?;
        if callee.incarnation != self.peer {
            return Err(format!("incarnation {} answers there, not {}", callee.incarnation, self.peer));
        }
        Ok(callee)
    }

    /// Sends until the stream is lost.
    async fn serve(
        &self,
        open: Open,
        queue: &mut mpsc::Receiver<Envelope>,
        urgent: &mut Option<mpsc::Receiver<Envelope>>,
    ) {
        let Caller { boot, synced, .. } = open.callee;
        // Order: what is left from the last stream goes before the engine may queue for this one.
        while let Ok(stale) = queue.try_recv() {
            self.state.taken(std::slice::from_ref(&stale));
        }
        self.state.set_up(true);
        let is_foreground = self.class == Class::Foreground;
        let peer = self.peer;
        if is_foreground && !self.handle.send(Job::LinkUp { peer, boot, synced }).await {
            return;
        }
        tracing::debug!(peer = %self.name, class = ?self.class, "stream open");
        let line = DelayLine::new(LANE_MESSAGES_MAX, LANE_BYTES_MAX, size);
        let mut pump = Pump { link: self, frames: open.frames, framer: Framer::default(), line, out: Vec::new() };
        let why = pump.run(open.answers, queue, urgent).await;
        self.state.set_up(false);
        tracing::debug!(peer = %self.name, class = ?self.class, %why, "stream lost");
        if is_foreground {
            self.handle.send(Job::LinkDown { peer }).await;
        }
    }
}

/// Moves messages from the queue to the wire.
struct Pump<'a> {
    link: &'a Link,
    frames: mpsc::Sender<PeerFrame>,
    framer: Framer,
    /// Messages held back by injected faults.
    line: DelayLine<Envelope>,
    out: Vec<Envelope>,
}

impl Pump<'_> {
    /// Returns why the stream is lost.
    async fn run(
        &mut self,
        mut answers: Streaming<PeerFrame>,
        queue: &mut mpsc::Receiver<Envelope>,
        urgent: &mut Option<mpsc::Receiver<Envelope>>,
    ) -> String {
        let mut inbound = Inbound::new(self.link.peer, Some(self.link.name.clone()));
        let mut taken = Vec::with_capacity(TAKE_MAX);
        loop {
            let due = self.line.next_due();
            tokio::select! {
                biased;
                answer = answers.message() => match answer {
                    Ok(Some(frame)) => {
                        if let Err(why) = inbound.take(frame, &self.link.faults, &self.link.handle).await {
                            return why;
                        }
                    }
                    Ok(None) => return "the peer ended it".to_owned(),
                    Err(status) => return status.message().to_owned(),
                },
                Some(swim) = next(urgent) => self.meet_faults(swim),
                count = queue.recv_many(&mut taken, TAKE_MAX) => {
                    if count == 0 {
                        return "this node no longer wants it".to_owned();
                    }
                    self.link.state.taken(&taken);
                    taken.drain(..).for_each(|envelope| self.meet_faults(envelope));
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
            if !self.flush(urgent).await {
                return "the transport closed it".to_owned();
            }
        }
    }

    fn meet_faults(&mut self, envelope: Envelope) {
        match self.link.faults.outgoing(&self.link.name) {
            Fate::Pass if self.line.is_empty() => self.out.push(envelope),
            Fate::Pass => {
                let now = Instant::now();
                self.line.release(now);
                self.line.push(now, envelope, &[crate::faults::Copy::default()]);
            }
            Fate::Drop => {}
            Fate::Deliver(copies) => {
                let refused = self.line.push(Instant::now(), envelope, &copies);
                self.link.state.lost(refused);
            }
        }
    }

    /// Writes what may leave. False: the stream is gone.
    async fn flush(&mut self, urgent: &mut Option<mpsc::Receiver<Envelope>>) -> bool {
        let now = Instant::now();
        while let Some(envelope) = self.line.pop_due(now) {
            self.out.push(envelope);
        }
        for frame in self.framer.frames(std::mem::take(&mut self.out)) {
            // While the transport is slow, SWIM goes first all the same.
            while let Some(swim) = urgent.as_mut().and_then(|urgent| urgent.try_recv().ok()) {
                self.meet_faults(swim);
            }
            let swim: Vec<Envelope> = self.out.drain(..).collect();
            debug_assert!(swim.iter().all(|envelope| matches!(envelope.message, Message::Swim(_))));
            for frame in self.framer.frames(swim) {
                if self.frames.send(frame).await.is_err() {
                    return false;
                }
            }
            if self.frames.send(frame).await.is_err() {
                return false;
            }
        }
        true
    }
}

/// The next of an optional queue; never, without one.
async fn next(queue: &mut Option<mpsc::Receiver<Envelope>>) -> Option<Envelope> {
    match queue {
        Some(queue) => queue.recv().await,
        None => std::future::pending().await,
    }
}

/// The innermost cause, which says what the system said.
fn root(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
