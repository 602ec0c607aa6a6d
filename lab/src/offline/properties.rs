//! What a run may be expected to keep, and whether it did.

use serde::{Deserialize, Serialize};

/// A property of what clients saw. Definitions: docs/verdicts.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Property {
    /// Reads bring what was written, not before it was.
    Written,
    /// Reads miss no write that was acknowledged before they began.
    Fresh,
    /// A session sees its own writes.
    #[serde(alias = "read-your-writes")]
    ReadYourWrites,
    /// A session sees again what it saw.
    #[serde(alias = "monotonic-reads")]
    MonotonicReads,
    /// Whoever sees a write sees what its session wrote before.
    #[serde(alias = "monotonic-writes")]
    MonotonicWrites,
    /// Whoever sees a write sees what its session had read before.
    #[serde(alias = "writes-follow-reads")]
    WritesFollowReads,
    /// Some order of all operations, each within its interval, explains all answers.
    Linearizable,
    /// Of a store with leaders: a term has one, and an older leader harms nobody.
    #[serde(alias = "one-leader")]
    OneLeader,
}

impl Property {
    /// All, in the order in which they are told.
    pub const ALL: [Self; 8] = [
        Self::Written,
        Self::Fresh,
        Self::ReadYourWrites,
        Self::MonotonicReads,
        Self::MonotonicWrites,
        Self::WritesFollowReads,
        Self::Linearizable,
        Self::OneLeader,
    ];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Fresh => "fresh",
            Self::ReadYourWrites => "read-your-writes",
            Self::MonotonicReads => "monotonic-reads",
            Self::MonotonicWrites => "monotonic-writes",
            Self::WritesFollowReads => "writes-follow-reads",
            Self::Linearizable => "linearizable",
            Self::OneLeader => "one-leader",
        }
    }

    /// What holds where it does.
    pub fn says(self) -> &'static str {
        match self {
            Self::Written => "reads bring what was written, not before it was; always expected",
            Self::Fresh => "reads miss no write that was acknowledged before they began",
            Self::ReadYourWrites => "a session sees its own writes",
            Self::MonotonicReads => "a session sees again what it saw",
            Self::MonotonicWrites => "whoever sees a write sees what its session wrote before",
            Self::WritesFollowReads => "whoever sees a write sees what its session had read before",
            Self::Linearizable => "some order of all operations, each within its interval, explains all answers",
            Self::OneLeader => {
                "of a store with leaders: a term has one, and an older leader harms nobody; unknown of a history without terms"
            }
        }
    }
}

/// Whether something holds; the outcome of many is the greatest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It does.
    #[default]
    Holds,
    /// Not all could be judged, or nobody knows whether it was promised.
    Unknown,
    /// It does not.
    Violated,
}

impl Outcome {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Unknown => "unknown",
            Self::Violated => "violated",
        }
    }
}

/// One property of one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// Which.
    pub property: Property,
    /// It counts for the verdict: the run promised it, or somebody expects it. `None`: the history does not say what was promised.
    pub is_expected: Option<bool>,
    /// Whether it holds, expected or not.
    pub outcome: Outcome,
    /// How often it could have been broken; of `linearizable`, keys.
    pub opportunities: u64,
    /// How often it was.
    pub violations: u64,
    /// Keys of which nobody knows.
    pub unknown_keys: u64,
}

impl Judged {
    pub(super) fn new(property: Property, opportunities: u64, violations: u64, unknown_keys: u64) -> Self {
        let outcome = match (violations, unknown_keys) {
            (0, 0) => Outcome::Holds,
            (0, _) => Outcome::Unknown,
            _ => Outcome::Violated,
        };
        Self { property, is_expected: Some(false), outcome, opportunities, violations, unknown_keys }
    }

    /// The history has nothing to judge it by.
    pub(super) fn untold(property: Property) -> Self {
        Self { outcome: Outcome::Unknown, ..Self::new(property, 0, 0, 0) }
    }

    /// What it makes of the run.
    pub fn verdict(&self) -> Outcome {
        match self.is_expected {
            Some(true) => self.outcome,
            Some(false) => Outcome::Holds,
            None => self.outcome.min(Outcome::Unknown),
        }
    }
}
