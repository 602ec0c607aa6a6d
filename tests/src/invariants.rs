//! What must hold in every run, one invariant a file, each with its source. The judge shows them what happens.
//! A breach names its invariant; `make planted` proves that each can fail.

use std::collections::BTreeMap;

use driftkv_core::causality::State;
use driftkv_core::config::ClusterConfig;
use driftkv_core::effect::{Failure, Input, Reply, Request};
use driftkv_core::id::Key;
use driftkv_core::layout::Layout;
use driftkv_core::message::Message;

use crate::facts::{Facts, state_of};
use crate::world::disk::Write;

mod acknowledged_writes_stay;
mod deleted_values_stay_away;
mod forwarded_once;
mod hints_go_home;
mod honest_quorums;
mod monotonic_reads;
mod nothing_unsynced_shows;
mod one_dot_one_value;
mod one_request_one_write;
mod states_only_grow;
mod unseen_siblings_stay;

/// The invariants by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// `acknowledged_writes_stay.rs`
    AcknowledgedWritesStay,
    /// `deleted_values_stay_away.rs`
    DeletedValuesStayAway,
    /// `unseen_siblings_stay.rs`
    UnseenSiblingsStay,
    /// `one_dot_one_value.rs`
    OneDotOneValue,
    /// `one_request_one_write.rs`
    OneRequestOneWrite,
    /// All owners of a key store the same once nothing fails any more (`run/converge.rs`).
    ReplicasConverge,
    /// All hints reach their owners, and none is deleted before (`hints_go_home.rs`, `run/converge.rs`).
    HintsGoHome,
    /// `monotonic_reads.rs`
    MonotonicReads,
    /// `honest_quorums.rs`
    HonestQuorums,
    /// `forwarded_once.rs`
    ForwardedOnce,
    /// `nothing_unsynced_shows.rs`
    NothingUnsyncedShows,
    /// `states_only_grow.rs`
    StatesOnlyGrow,
    /// Each request is answered, or given up by its deadline: no node keeps one for ever (`run/converge.rs`).
    EveryRequestEnds,
    /// No node is stopped as rolled back while its disk only lost what was not synced (design.md, Identity).
    NoFalseFence,
    /// What the clients' quorums promise is what they see, by the laboratory's judges (`run/history.rs`).
    PromisesAreKept,
}

impl Invariant {
    /// All of them, in order.
    pub const ALL: [Invariant; 15] = [
        Invariant::AcknowledgedWritesStay,
        Invariant::DeletedValuesStayAway,
        Invariant::UnseenSiblingsStay,
        Invariant::OneDotOneValue,
        Invariant::OneRequestOneWrite,
        Invariant::ReplicasConverge,
        Invariant::HintsGoHome,
        Invariant::MonotonicReads,
        Invariant::HonestQuorums,
        Invariant::ForwardedOnce,
        Invariant::NothingUnsyncedShows,
        Invariant::StatesOnlyGrow,
        Invariant::EveryRequestEnds,
        Invariant::NoFalseFence,
        Invariant::PromisesAreKept,
    ];
}

/// One invariant that did not hold, and how.
#[derive(Clone, Debug)]
pub struct Breach {
    /// Which.
    pub invariant: Invariant,
    /// What was seen.
    pub what: String,
}

impl std::fmt::Display for Breach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.what)
    }
}

/// Watches one run.
pub struct Judge {
    /// What was seen.
    pub facts: Facts,
    /// What was found.
    pub breaches: Vec<Breach>,
    only: Option<Invariant>,
    forwards: forwarded_once::Forwards,
    quorums: honest_quorums::Quorums,
    reads: monotonic_reads::Reads,
    shown: nothing_unsynced_shows::Shown,
}

impl Judge {
    /// Judges all invariants, or `only` one.
    pub fn new(layout: Layout, config: ClusterConfig, only: Option<Invariant>) -> Judge {
        Judge {
            facts: Facts::new(layout, config),
            breaches: Vec::new(),
            only,
            forwards: Default::default(),
            quorums: Default::default(),
            reads: Default::default(),
            shown: Default::default(),
        }
    }

    /// Records that an invariant does not hold.
    pub fn breach(&mut self, invariant: Invariant, what: String) {
        if self.only.is_none_or(|only| only == invariant) {
            self.breaches.push(Breach { invariant, what });
        }
    }

    fn all(&mut self, invariant: Invariant, whats: impl IntoIterator<Item = String>) {
        whats.into_iter().for_each(|what| self.breach(invariant, what));
    }

    /// A client asks.
    pub fn asked(&mut self, node: usize, token: u64, request: &Request) {
        self.facts.ask(node, token, request);
        self.forwards.asked(node, request);
        self.reads.asked(token, request);
    }

    /// A node is about to step these inputs.
    pub fn steps(&mut self, node: usize, inputs: &[Input]) {
        self.quorums.steps(node, inputs, &mut self.facts);
    }

    /// What it let leave at once has left.
    pub fn stepped(&mut self) {
        self.quorums.stepped();
    }

    /// A message leaves.
    pub fn sends(&mut self, from: usize, to: usize, message: &Message) {
        self.quorums.sends(from, message);
        let broken = self.forwards.sends(from, to, message);
        self.all(Invariant::ForwardedOnce, broken);
        if let Message::Replicate(replicate) = message {
            self.state_seen(
                &replicate.key,
                &State::decode(replicate.state.clone()).expect("a node sends whole states"),
            );
        }
        let broken = self.shown.sends(from, to, message, &self.facts);
        self.all(Invariant::NothingUnsyncedShows, broken);
        let broken = self.quorums.forward_reply(from, to, message, &self.facts, &self.forwards);
        self.all(Invariant::HonestQuorums, broken);
    }

    fn state_seen(&mut self, key: &Key, state: &State) {
        let broken = one_dot_one_value::check(key, state, &self.facts);
        self.all(Invariant::OneDotOneValue, broken);
        let broken = one_request_one_write::minted(key, state, &self.facts);
        self.all(Invariant::OneRequestOneWrite, broken);
        self.facts.note_state(key, state);
    }

    /// A node committed; nothing of it is synced yet.
    pub fn wrote(&mut self, node: usize, writes: &[Write]) {
        for write in writes {
            if let Some((key, state)) = state_of(write.space, &write.key, write.new.as_ref()) {
                self.state_seen(&key, &state);
            }
            let broken = states_only_grow::check(node, write);
            self.all(Invariant::StatesOnlyGrow, broken);
            let broken = hints_go_home::check(node, write, &self.facts);
            self.all(Invariant::HintsGoHome, broken);
        }
    }

    /// These writes of a node survive every crash from now on.
    pub fn synced(&mut self, node: usize, writes: &[Write]) {
        self.facts.note_synced(node, writes);
    }

    /// A node starts.
    pub fn booted(&mut self, node: usize) {
        self.facts.note_boot(node);
    }

    /// A client hears.
    pub fn replies(&mut self, node: usize, token: u64, outcome: &Result<Reply, Failure>) {
        let broken = self.shown.replies(node, token, outcome, &self.facts, &self.forwards);
        self.all(Invariant::NothingUnsyncedShows, broken);
        let broken = self.quorums.replies(node, token, outcome, &self.facts, &self.forwards);
        self.all(Invariant::HonestQuorums, broken);
        let broken = self.reads.replies(token, outcome, &self.facts);
        self.all(Invariant::MonotonicReads, broken);
        let broken = one_request_one_write::shown(token, outcome, &self.facts);
        self.all(Invariant::OneRequestOneWrite, broken);
        self.note_outcome(token, outcome);
    }

    fn note_outcome(&mut self, token: u64, outcome: &Result<Reply, Failure>) {
        let Some(request) = self.facts.put_of(token).map(|put| put.request) else { return };
        let Some(sent) = self.facts.sent.get_mut(&request) else { return };
        match outcome {
            Ok(_) => sent.is_acknowledged = true,
            Err(failure) => sent.refusals += u32::from(is_certain(failure)),
        }
    }

    /// The run is over and all owners agree on these states.
    pub fn ended(&mut self, finals: &BTreeMap<Key, State>) {
        for (key, state) in finals {
            self.all(Invariant::AcknowledgedWritesStay, acknowledged_writes_stay::check(key, state, &self.facts));
            self.all(Invariant::UnseenSiblingsStay, unseen_siblings_stay::check(key, state, &self.facts));
            let (broken, returned) = deleted_values_stay_away::check(key, state, &self.facts);
            self.facts.returned_by_retry += returned;
            self.all(Invariant::DeletedValuesStayAway, broken);
            self.all(Invariant::OneRequestOneWrite, one_request_one_write::check(key, state, &self.facts));
        }
    }
}

/// Whether a failed put has changed nothing for certain.
pub(crate) fn is_certain(failure: &Failure) -> bool {
    match failure {
        Failure::QuorumNotReached { maybe_applied, .. }
        | Failure::DeadlineExceeded { maybe_applied, .. }
        | Failure::ShuttingDown { maybe_applied } => !maybe_applied,
        _ => true,
    }
}
