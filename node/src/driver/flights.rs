//! What was asked of other nodes for a client's sake and is not answered yet: how long they take.
//! Invariant: bounded; a question that is never answered is forgotten with its link, or when too many younger ones wait.
//! Not here: deadlines and who is asked instead (core).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use driftkv_core::id::Incarnation;
use driftkv_core::message::{Message, Purpose};

/// Questions remembered: several for each operation that may be under way.
const FLIGHTS_MAX: usize = 65_536;

/// Questions under way, by operation and node; operations are numbered in order, so the first is the oldest.
#[derive(Debug, Default)]
pub(super) struct Flights(BTreeMap<(u64, Incarnation), Flight>);

#[derive(Debug)]
struct Flight {
    since: Instant,
    is_fresh_put: bool,
}

/// An answer that came.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answered {
    /// Since the question left the engine.
    pub(super) took: Duration,
    /// An owner has a fresh put on its disk.
    pub(super) is_fresh_put: bool,
}

impl Flights {
    /// `message` leaves for `to`.
    pub(super) fn sent(&mut self, to: Incarnation, message: &Message, now: Instant) {
        let (op, is_fresh_put) = match message {
            Message::Fetch(fetch) => (fetch.op, false),
            Message::Forward { op, .. } => (*op, false),
            Message::Replicate(replicate) if replicate.purpose == Purpose::Put => {
                (replicate.op, replicate.hint_for.is_none())
            }
            Message::Replicate(replicate) if replicate.purpose == Purpose::Repair => (replicate.op, false),
            _ => return,
        };
        if op != 0 {
            self.0.insert((op, to), Flight { since: now, is_fresh_put });
            if self.0.len() > FLIGHTS_MAX {
                self.0.pop_first();
            }
        }
    }

    /// `message` came from `from`. `None`: it answers nothing that waits, or refuses.
    pub(super) fn answered(&mut self, from: Incarnation, message: &Message, now: Instant) -> Option<Answered> {
        let (op, is_refusal) = match message {
            Message::ReplicateAck { op, .. } | Message::ForwardReply { op, .. } => (*op, false),
            Message::FetchReply(reply) => (reply.op, false),
            Message::ReplicateRefused { op, .. } | Message::FetchRefused { op, .. } => (*op, true),
            _ => return None,
        };
        let Flight { since, is_fresh_put } = self.0.remove(&(op, from))?;
        let took = now.saturating_duration_since(since);
        (!is_refusal).then_some(Answered { took, is_fresh_put })
    }

    /// The link to `peer` is gone.
    pub(super) fn lost(&mut self, peer: Incarnation) {
        self.0.retain(|(_, to), _| *to != peer);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use driftkv_core::id::Incarnation;
    use driftkv_core::message::{Message, Refusal};

    use super::{Answered, FLIGHTS_MAX, Flights};

    const A: Incarnation = Incarnation(1);
    const B: Incarnation = Incarnation(2);

    fn forward(op: u64) -> Message {
        Message::Forward { op, put: bytes::Bytes::new(), remaining_ms: 1 }
    }

    fn reply(op: u64) -> Message {
        Message::ForwardReply { op, outcome: bytes::Bytes::new() }
    }

    #[test]
    fn an_answer_is_timed_once_and_from_the_node_that_was_asked() {
        let (mut flights, begin) = (Flights::default(), Instant::now());
        let later = begin + Duration::from_millis(30);
        flights.sent(A, &forward(7), begin);
        assert_eq!(flights.answered(B, &reply(7), later), None);
        let answered = Answered { took: Duration::from_millis(30), is_fresh_put: false };
        assert_eq!(flights.answered(A, &reply(7), later), Some(answered));
        assert_eq!(flights.answered(A, &reply(7), later), None);
    }

    #[test]
    fn refusals_and_lost_links_are_forgotten_and_no_more_are_kept_than_allowed() {
        let (mut flights, now) = (Flights::default(), Instant::now());
        flights.sent(A, &forward(1), now);
        let refusal = Message::FetchRefused { op: 1, reason: Refusal::Expired };
        assert_eq!((flights.answered(A, &refusal, now), flights.0.len()), (None, 0));
        flights.sent(A, &forward(2), now);
        flights.sent(B, &forward(2), now);
        flights.lost(A);
        assert_eq!(flights.0.len(), 1);
        for op in 3..FLIGHTS_MAX as u64 + 10 {
            flights.sent(B, &forward(op), now);
        }
        assert_eq!(flights.0.len(), FLIGHTS_MAX);
        assert_eq!(flights.answered(B, &reply(2), now), None, "the oldest was forgotten");
    }
}
