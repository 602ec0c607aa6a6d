//! Who says that something is wrong, and what is shown for it.
//! A conviction counts only if the property was promised by the run's own quorums, and comes with operations that show it: ten at most.

use std::fmt;

use driftkv_lab::check::Place;
use driftkv_lab::offline::{Example, Outcome, Property, RunVerdict};

use crate::trial::Trial;

/// What a judge may find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// `written`: a read brings what nobody wrote there.
    Written,
    /// `fresh`, in real time: a read brings less than the newest write that was over.
    Stale,
    /// `fresh`, by causes: a read lacks an acknowledged write that nothing it brings had seen.
    Missing,
    /// `fresh`: a read brings what an acknowledged write had replaced.
    Revived,
    /// `read-your-writes`.
    OwnWrites,
    /// `monotonic-reads`.
    Monotonic,
    /// The final read: an acknowledged write is neither there nor replaced.
    Lost,
    /// The final read: what was refused is there.
    Wrong,
}

/// The most operations that may be needed to show what is wrong.
const OPERATIONS_MAX: usize = 10;

impl By {
    fn property(self) -> Option<Property> {
        match self {
            By::Written => Some(Property::Written),
            By::Stale | By::Missing | By::Revived => Some(Property::Fresh),
            By::OwnWrites => Some(Property::ReadYourWrites),
            By::Monotonic => Some(Property::MonotonicReads),
            By::Lost | By::Wrong => None,
        }
    }

    /// What is shown for it.
    fn examples(self, run: &RunVerdict) -> Vec<&Example> {
        let (examples, words) = match self {
            By::Stale => (&run.stale_in_real_time.examples, ""),
            By::Missing => (&run.stale_by_causes.examples, ""),
            By::Written => (&run.value_examples, "never written"),
            By::Revived => (&run.value_examples, "the first of these is back"),
            By::OwnWrites => (&run.session_examples, "read your writes"),
            By::Monotonic => (&run.session_examples, "monotonic reads"),
            By::Lost | By::Wrong => return Vec::new(),
        };
        examples.iter().filter(|example| example.why.starts_with(words)).collect()
    }

    /// The lines of the history after which this could be said, and in words what it is; `None`: it is not said, or not promised.
    pub fn convicts(self, trial: &Trial) -> Option<(u64, String)> {
        let end = &trial.end;
        let place = |place: &Place| format!("{} {}: {}", place.key, place.value_id, place.why);
        match self {
            By::Lost => return end.lost.first().map(|lost| (trial.run.operations as u64, place(lost))),
            By::Wrong => return end.wrong.first().map(|wrong| (trial.run.operations as u64, place(wrong))),
            _ => {}
        }
        let judged = trial.run.properties.iter().find(|judged| Some(judged.property) == self.property())?;
        if judged.is_expected != Some(true) || judged.outcome != Outcome::Violated {
            return None;
        }
        let examples = self.examples(&trial.run);
        let proofs = examples.iter().filter(|example| (1..=OPERATIONS_MAX).contains(&example.operations.len()));
        let lines = |example: &&&Example| example.operations.iter().map(|shown| shown.source).max().unwrap_or_default();
        proofs.min_by_key(lines).map(|example| (lines(&example), words(example)))
    }
}

fn words(example: &Example) -> String {
    let operations = example.operations.iter().map(|shown| format!("session {} {}", shown.process, shown.what));
    format!("{} {}: {}", example.key, example.why, operations.collect::<Vec<_>>().join("; "))
}

impl fmt::Display for By {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            By::Written => "written",
            By::Stale => "fresh (in real time)",
            By::Missing => "fresh (by causes)",
            By::Revived => "fresh (revived)",
            By::OwnWrites => "read-your-writes",
            By::Monotonic => "monotonic-reads",
            By::Lost => "final read (lost)",
            By::Wrong => "final read (wrong)",
        })
    }
}
