//! Which node each operation of a history was sent to, or who coordinated it where the history says: for operations that are told.
//! Judges do not look at it. Two bytes a line.

use std::collections::HashMap;

use super::{Example, RunVerdict};
use crate::history::Record;
use crate::judges::linearizable::Shown;

/// By the lines of a history, the first of which is 1.
#[derive(Debug, Default)]
pub(super) struct Asked {
    names: Vec<String>,
    numbers: HashMap<String, u16>,
    lines: Vec<u16>,
}

/// Of a line that names nobody, or one too many.
const NOBODY: u16 = u16::MAX;

impl Asked {
    /// Takes note of `line`; lines come in order.
    pub(super) fn note(&mut self, line: u64, record: &Record) {
        let name = record.coordinator.as_ref().unwrap_or(&record.target);
        let number = self.number(name);
        self.lines.resize(usize::try_from(line).unwrap_or(usize::MAX).saturating_sub(1), NOBODY);
        self.lines.push(number);
    }

    fn number(&mut self, name: &String) -> u16 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        match u16::try_from(self.names.len()) {
            Ok(number) if number < NOBODY => {
                self.names.push(name.clone());
                self.numbers.insert(name.clone(), number);
                number
            }
            _ => NOBODY,
        }
    }

    /// Says of an operation who was asked.
    pub(super) fn tell(&self, shown: &mut Shown) {
        let at = usize::try_from(shown.source).ok().and_then(|line| line.checked_sub(1));
        let number = at.and_then(|at| self.lines.get(at));
        shown.asked = number.and_then(|number| self.names.get(usize::from(*number))).cloned();
    }

    /// The same of all that `verdict` tells.
    pub(super) fn tell_all(&self, verdict: &mut RunVerdict) {
        let reports = [&mut verdict.registers, &mut verdict.siblings, &mut verdict.siblings_leniently];
        for found in reports.into_iter().flat_map(|report| &mut report.findings) {
            found.witness.iter_mut().for_each(|shown| self.tell(shown));
        }
        let told: [&mut Vec<Example>; 4] = [
            &mut verdict.value_examples,
            &mut verdict.session_examples,
            &mut verdict.stale_in_real_time.examples,
            &mut verdict.stale_by_causes.examples,
        ];
        let of_leaders = verdict.leaders.as_mut().map(|leaders| &mut leaders.examples);
        for example in told.into_iter().chain(of_leaders).flatten().chain(&mut verdict.distance.worst) {
            example.operations.iter_mut().for_each(|shown| self.tell(shown));
        }
    }
}
