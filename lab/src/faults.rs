//! What went wrong on purpose in a run: when it was asked for, when it was so, and what the nodes counted of it (research/lab.md 3.0).
//! Invariants: times are those of the history; what nobody saw happen is never called evident.
//! Reading order: the records here, `faults/verify.rs` (which of them took effect), `faults/periods.rs` (when each was so, and which nodes it parted).
//! Not here: injecting (`target`), the vocabulary (`driftkv_proto::faults`).

use std::time::Duration;

use driftkv_proto::faults::{Experiment, Fault};
use driftkv_proto::v1;
use serde::{Deserialize, Serialize};

use crate::target::TargetNode;

mod periods;
mod verify;

pub use periods::{Period, Side, periods, read};
pub use verify::{Verification, verify};

/// One line of `faults.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum FaultRecord {
    /// Every node took the experiment.
    Began {
        /// Names the experiment.
        id: String,
        /// When the nodes were asked, in nanoseconds since the run began.
        requested_ns: u64,
        /// When the last of them had taken it.
        applied_ns: u64,
        /// Each fault, in words.
        faults: Vec<String>,
        /// The nodes that were asked; a fault names those of them that it is for.
        targets: Vec<String>,
        /// The experiment as it was written.
        text: String,
    },
    /// It did not begin, or not everywhere, and was taken back.
    Refused {
        /// Names the experiment.
        id: String,
        /// When the nodes were asked; `None`: they never were.
        requested_ns: Option<u64>,
        /// Why.
        why: String,
    },
    /// It is over.
    Healed {
        /// Names the experiment.
        id: String,
        /// When the nodes were asked to end it.
        requested_ns: u64,
        /// When it was over: as the experiment itself said, if it was by then, else when the last node had ended it.
        healed_ns: u64,
        /// Some node counted something of it.
        is_evident: bool,
        /// What each node says of it.
        evidence: Vec<Evidence>,
    },
    /// Somebody looked from outside whether one of its faults was so while it lasted.
    Probed {
        /// Names the experiment.
        id: String,
        /// Which of its faults, from 0.
        fault: usize,
        /// When, in nanoseconds since the run began.
        at_ns: u64,
        /// It was.
        is_effective: bool,
        /// What was seen.
        saw: String,
    },
}

impl FaultRecord {
    /// All `targets` have taken `experiment`, written as `text`, at `applied_ns`.
    pub fn began(
        experiment: &Experiment,
        text: &str,
        targets: &[TargetNode],
        requested_ns: u64,
        applied_ns: u64,
    ) -> Self {
        Self::Began {
            id: experiment.id.clone(),
            requested_ns,
            applied_ns,
            faults: experiment.faults.iter().map(Fault::describe).collect(),
            targets: targets.iter().map(|node| node.name.clone()).collect(),
            text: text.to_owned(),
        }
    }

    /// `experiment` is over at `now_ns`, if it had not ended by itself before: of that the record of its begin among `before` tells.
    pub fn healed(
        experiment: &Experiment,
        before: &[Self],
        requested_ns: u64,
        now_ns: u64,
        evidence: Vec<Evidence>,
    ) -> Self {
        let began = before.iter().find_map(|record| match record {
            Self::Began { id, applied_ns, .. } if *id == experiment.id => Some(*applied_ns),
            _ => None,
        });
        let by_itself = began.unwrap_or(requested_ns).saturating_add(experiment.for_ms.saturating_mul(1_000_000));
        Self::Healed {
            id: experiment.id.clone(),
            requested_ns,
            healed_ns: by_itself.min(now_ns),
            is_evident: evidence.iter().any(Evidence::is_evident),
            evidence,
        }
    }
}

/// As records tell times.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What one node says of an experiment at its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Its name.
    pub node: String,
    /// How it stands there.
    pub state: State,
    /// What it counted of each fault.
    pub faults: Vec<Counters>,
}

/// How an experiment stands at a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It went on until it was cleared.
    Cleared,
    /// It had ended by itself.
    Expired,
    /// The node was started anew since.
    Forgotten,
    /// The node did not say; what it answered instead.
    Unknown(String),
}

/// What a node counted of a fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// The fault, as written, on one line.
    pub fault: String,
    /// It is for this node.
    pub applies_here: bool,
    /// Messages or writes that it looked at.
    pub seen: u64,
    /// Of them, held back.
    pub delayed: u64,
    /// Lost.
    pub dropped: u64,
    /// Sent twice.
    pub duplicated: u64,
    /// Overtaken.
    pub reordered: u64,
    /// Pauses, crashes, disk errors, wrong clocks.
    pub activations: u64,
}

impl Evidence {
    /// What `node` says in `status` of the experiment `id`.
    pub fn of(node: &str, id: &str, status: &v1::FaultStatus) -> Self {
        let Some(experiment) = status.experiments.iter().find(|experiment| experiment.id == id) else {
            return Self::without_counters(node, State::Forgotten);
        };
        let state = match experiment.state.as_str() {
            "cleared" => State::Cleared,
            "expired" => State::Expired,
            other => State::Unknown(other.to_owned()),
        };
        Self { node: node.to_owned(), state, faults: experiment.faults.iter().map(Counters::from).collect() }
    }

    /// Of a node that has no counters to show.
    pub fn without_counters(node: &str, state: State) -> Self {
        Self { node: node.to_owned(), state, faults: Vec::new() }
    }

    /// The node did something, or was started anew, which only a crash brings about.
    pub fn is_evident(&self) -> bool {
        let did = |fault: &Counters| {
            fault.delayed + fault.dropped + fault.duplicated + fault.reordered + fault.activations > 0
        };
        self.state == State::Forgotten || self.faults.iter().any(did)
    }
}

impl From<&v1::FaultCounters> for Counters {
    fn from(counted: &v1::FaultCounters) -> Self {
        Self {
            fault: counted.fault.clone(),
            applies_here: counted.applies_here,
            seen: counted.seen,
            delayed: counted.delayed,
            dropped: counted.dropped,
            duplicated: counted.duplicated,
            reordered: counted.reordered,
            activations: counted.activations,
        }
    }
}

/// An experiment of a run, summed up.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Injected {
    /// Names the experiment.
    pub id: String,
    /// Since the run began; `None`: it did not begin.
    pub began_s: Option<f64>,
    /// Since the run began.
    pub ended_s: Option<f64>,
    /// Some node counted something of it.
    pub is_evident: bool,
    /// Why it did not begin.
    pub why_not: Option<String>,
}

impl Injected {
    /// Of the `records` of a run, each experiment once.
    pub fn of(records: &[FaultRecord]) -> Vec<Self> {
        let seconds = |ns: u64| ns as f64 / 1e9;
        let mut all: Vec<Self> = Vec::new();
        for record in records {
            match record {
                FaultRecord::Began { id, applied_ns, .. } => {
                    all.push(Self { began_s: Some(seconds(*applied_ns)), ..Self::new(id) });
                }
                FaultRecord::Refused { id, why, .. } => {
                    all.push(Self { why_not: Some(why.clone()), ..Self::new(id) });
                }
                FaultRecord::Probed { .. } => {}
                FaultRecord::Healed { id, healed_ns, is_evident, .. } => {
                    for injected in all.iter_mut().filter(|injected| injected.id == *id) {
                        (injected.ended_s, injected.is_evident) = (Some(seconds(*healed_ns)), *is_evident);
                    }
                }
            }
        }
        all
    }

    fn new(id: &str) -> Self {
        Self { id: id.to_owned(), began_s: None, ended_s: None, is_evident: false, why_not: None }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Evidence, FaultRecord, Injected, State, v1};

    fn status(state: &str, dropped: u64) -> v1::FaultStatus {
        let faults = vec![v1::FaultCounters { seen: 9, dropped, ..v1::FaultCounters::default() }];
        let experiment =
            v1::ActiveExperiment { id: "cut".to_owned(), state: state.to_owned(), faults, ..Default::default() };
        v1::FaultStatus { is_allowed: true, experiments: vec![experiment] }
    }

    #[test]
    fn only_what_a_node_did_is_evidence() {
        assert!(Evidence::of("a", "cut", &status("expired", 1)).is_evident());
        assert!(!Evidence::of("a", "cut", &status("expired", 0)).is_evident(), "looking at messages loses none");
        assert!(Evidence::of("a", "crash", &status("expired", 1)).is_evident(), "a node that forgot it was down");
        let silent = Evidence::without_counters("a", State::Unknown("no answer".to_owned()));
        assert!(!silent.is_evident());
    }

    #[test]
    fn an_experiment_is_summed_up_with_when_it_was_and_why_it_was_not() {
        let (id, text) = ("cut".to_owned(), "for: 1s".to_owned());
        let began = FaultRecord::Began {
            id: id.clone(),
            requested_ns: 1_000_000_000,
            applied_ns: 1_500_000_000,
            faults: vec![],
            targets: vec![],
            text,
        };
        let healed = FaultRecord::Healed {
            id: id.clone(),
            requested_ns: 9_000_000_000,
            healed_ns: 2_500_000_000,
            is_evident: true,
            evidence: vec![],
        };
        let refused = FaultRecord::Refused { id: "no".to_owned(), requested_ns: None, why: "over".to_owned() };
        let [cut, no] = Injected::of(&[began, healed, refused]).try_into().unwrap();
        assert_eq!((cut.began_s, cut.ended_s, cut.is_evident), (Some(1.5), Some(2.5), true));
        assert_eq!((no.began_s, no.why_not.as_deref()), (None, Some("over")));
    }
}
