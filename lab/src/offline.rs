//! Judges a stored run by its history alone, without a cluster: what its clients saw, against what its quorums promised.
//! Reading order: `conditions` (how the run asked, and what that promises), `properties` (what is promised or expected), `register` (which keys
//! are plain registers), `measures` (the judges' findings as they are told), `leaders` (of stores that have them), `asked` (who was asked), `verdict` (all of one run), `findings` (what `measure` draws), `words` (as a text).
//! Invariants: a verdict follows from the files alone, and the same files give the same verdict unless a budget is used up; `Violated` is proven by
//! operations of the history; what cannot be judged is counted and said. Not here: the store itself (`check`), judging (`judges`).

mod asked;
mod conditions;
mod findings;
mod leaders;
mod measures;
mod properties;
mod register;
#[cfg(test)]
mod tests;
mod verdict;
mod words;

pub use conditions::Conditions;
pub(crate) use findings::{Findings, Nearby};
pub use leaders::Leaders;
pub(crate) use measures::wilson;
pub use measures::{Distance, Example, Spread, StaleReads, Values};
pub use properties::{Judged, Outcome, Property};
pub(crate) use verdict::judge_with;
pub use verdict::{Left, RunVerdict, judge};
