//! What was expected and promised, before and after: whether something that held is violated now.
//! Expectations are the same if their words are, and their cell, where they name one of the results' cells.

use serde::Serialize;

use crate::offline::Outcome;
use crate::report::model::Expectation;
use crate::report::results::ResultsDocument;

/// An outcome that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutcomeChange {
    /// Of what: an expectation with its cell, or the whole.
    pub what: String,
    /// In the first results.
    pub before: Outcome,
    /// In the second.
    pub after: Outcome,
    /// It held, and is violated.
    pub is_worse: bool,
}

/// All that changed, the whole first.
pub(super) fn changes(a: &ResultsDocument, b: &ResultsDocument) -> Vec<OutcomeChange> {
    let whole = change("the experiment".to_owned(), a.outcome, b.outcome);
    let of = |before: &Expectation| {
        let after = b.expectations.iter().find(|after| name(after, b) == name(before, a))?;
        change(name(before, a), before.outcome, after.outcome)
    };
    whole.into_iter().chain(a.expectations.iter().filter_map(of)).collect()
}

fn change(what: String, before: Outcome, after: Outcome) -> Option<OutcomeChange> {
    let is_worse = before == Outcome::Holds && after == Outcome::Violated;
    (before != after).then_some(OutcomeChange { what, before, after, is_worse })
}

fn name(of: &Expectation, results: &ResultsDocument) -> String {
    let is_cell = results.cells.iter().any(|cell| cell.name == of.cell);
    if is_cell { format!("{} of {:?}", of.expression, of.cell) } else { of.expression.clone() }
}
