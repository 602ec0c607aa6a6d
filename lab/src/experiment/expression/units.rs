//! Times in expectations (`20ms`, `5s`) in the unit that the metric beside them names: `convergence.all_s < 500ms` is half a second.
//! Invariant: a time that is compared with no time, or with times in two units, is an error, not a bare number.

use super::Term;
use super::parser::ExpressionError;

/// The two sides of a comparison, all times in them as bare numbers.
pub(super) fn resolved(left: Term, right: Term) -> Result<(Term, Term), ExpressionError> {
    let mut found = Found::default();
    found.look(&left);
    found.look(&right);
    let Some((place, text)) = found.time else { return Ok((left, right)) };
    let why = match found.units.as_slice() {
        [ms] => return Ok((bare(left, *ms), bare(right, *ms))),
        [] => format!("`{text}` is compared with no time: of metrics those are that end in _ms or _s"),
        _ => format!("`{text}` is compared with times in ms and in s; say without a unit what is meant"),
    };
    Err(ExpressionError::new(place, why))
}

/// What a comparison has.
#[derive(Default)]
struct Found {
    /// The first time: its place and text.
    time: Option<(usize, String)>,
    /// Milliseconds in a unit of each of the metrics, each once.
    units: Vec<f64>,
}

impl Found {
    fn look(&mut self, term: &Term) {
        match term {
            Term::Number(_) => {}
            Term::Time { place, text, .. } => self.time = self.time.take().or_else(|| Some((*place, text.clone()))),
            Term::Name(name) => {
                let unit = unit_ms(name).filter(|unit| !self.units.contains(unit));
                self.units.extend(unit);
            }
            Term::Operation(a, _, b) => {
                self.look(a);
                self.look(b);
            }
        }
    }
}

fn unit_ms(metric: &str) -> Option<f64> {
    match metric {
        _ if metric.ends_with("_ms") => Some(1.0),
        _ if metric.ends_with("_s") && !metric.ends_with("per_s") => Some(1e3),
        _ => None,
    }
}

fn bare(term: Term, unit_ms: f64) -> Term {
    match term {
        Term::Time { ms, .. } => Term::Number(ms / unit_ms),
        Term::Operation(a, operator, b) => {
            Term::Operation(Box::new(bare(*a, unit_ms)), operator, Box::new(bare(*b, unit_ms)))
        }
        other => other,
    }
}
