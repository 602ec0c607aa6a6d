//! Expectations: comparisons of what was measured, such as `staleness.rate < 0.001` or `lost.count == 0 and convergence.all_s <= 10`.
//! Grammar: `or` over `and` over `not` over one comparison (< <= > >= == !=) of sums and products; names are metrics, axes, `n`, `r`, `w`, `nodes`; `5%` is a
//! number, `20ms` and `5s` are times in the unit of the metric beside them (`units`). Invariant: what was not measured makes an expectation unknown, never true or false;
//! a lower bound (`>= x`) proves nothing about being less.

use std::fmt;

mod lexer;
mod parser;
#[cfg(test)]
mod tests;
mod units;

pub use parser::ExpressionError;

use crate::offline::Outcome;

/// An expectation that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    text: String,
    root: Node,
}

/// A number, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Known {
    /// It, or its lower bound.
    pub value: f64,
    /// Only a lower bound.
    pub is_at_least: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Or(Box<Node>, Box<Node>),
    And(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Compare(Term, Comparison, Term),
}

#[derive(Clone, Debug, PartialEq)]
enum Term {
    Number(f64),
    /// Until it is known beside what it stands; `units` leaves none.
    Time {
        ms: f64,
        place: usize,
        text: String,
    },
    Name(String),
    Operation(Box<Term>, char, Box<Term>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

impl Expression {
    /// Reads one. Errors: what is wrong, and at which character.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        Ok(Self { text: text.trim().to_owned(), root: parser::parse(text)? })
    }

    /// Whether it holds, given what the names mean; `None` from `look_up`: it was not measured.
    pub fn judge(&self, look_up: &impl Fn(&str) -> Option<Known>) -> Outcome {
        match self.root.is_true(look_up) {
            Some(true) => Outcome::Holds,
            Some(false) => Outcome::Violated,
            None => Outcome::Unknown,
        }
    }

    /// The names in it, each once, in the order in which they are written.
    pub fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.root.add_names(&mut names);
        names
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl Node {
    /// By Kleene's logic of three values.
    fn is_true(&self, look_up: &impl Fn(&str) -> Option<Known>) -> Option<bool> {
        match self {
            Self::Or(a, b) => match (a.is_true(look_up), b.is_true(look_up)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Self::And(a, b) => match (a.is_true(look_up), b.is_true(look_up)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Not(inner) => inner.is_true(look_up).map(|is_true| !is_true),
            Self::Compare(a, comparison, b) => comparison.is_true(a.value(look_up)?, b.value(look_up)?),
        }
    }

    fn add_names<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Self::Or(a, b) | Self::And(a, b) => {
                a.add_names(names);
                b.add_names(names);
            }
            Self::Not(inner) => inner.add_names(names),
            Self::Compare(a, _, b) => {
                a.add_names(names);
                b.add_names(names);
            }
        }
    }
}

impl Term {
    fn value(&self, look_up: &impl Fn(&str) -> Option<Known>) -> Option<Known> {
        match self {
            Self::Number(value) => Some(Known { value: *value, is_at_least: false }),
            Self::Time { .. } => None,
            Self::Name(name) => look_up(name),
            Self::Operation(a, operator, b) => operate(a.value(look_up)?, *operator, b.value(look_up)?),
        }
    }

    fn add_names<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Self::Number(_) | Self::Time { .. } => {}
            Self::Name(name) if names.contains(&name.as_str()) => {}
            Self::Name(name) => names.push(name),
            Self::Operation(a, _, b) => {
                a.add_names(names);
                b.add_names(names);
            }
        }
    }
}

/// A lower bound stays one under sums and products of what is not negative; else nothing is known.
fn operate(a: Known, operator: char, b: Known) -> Option<Known> {
    let is_at_least = a.is_at_least || b.is_at_least;
    let (value, keeps_bound) = match operator {
        '+' => (a.value + b.value, true),
        '-' => (a.value - b.value, !b.is_at_least),
        '*' => (a.value * b.value, a.value >= 0.0 && b.value >= 0.0),
        _ if b.value == 0.0 => return None,
        _ => (a.value / b.value, b.value > 0.0 && !b.is_at_least),
    };
    (!is_at_least || keeps_bound).then_some(Known { value, is_at_least })
}

impl Comparison {
    fn is_true(self, a: Known, b: Known) -> Option<bool> {
        let (x, y) = (a.value, b.value);
        match (a.is_at_least, b.is_at_least) {
            (false, false) => Some(match self {
                Self::Less => x < y,
                Self::LessOrEqual => x <= y,
                Self::Greater => x > y,
                Self::GreaterOrEqual => x >= y,
                Self::Equal => x == y,
                Self::NotEqual => x != y,
            }),
            (true, false) => self.is_true_of_bound(x, y),
            (false, true) => self.mirrored().is_true_of_bound(y, x),
            (true, true) => None,
        }
    }

    /// Of a number that is `x` or more, against `y`.
    fn is_true_of_bound(self, x: f64, y: f64) -> Option<bool> {
        match self {
            Self::Less => (x >= y).then_some(false),
            Self::LessOrEqual => (x > y).then_some(false),
            Self::Greater => (x > y).then_some(true),
            Self::GreaterOrEqual => (x >= y).then_some(true),
            Self::Equal => (x > y).then_some(false),
            Self::NotEqual => (x > y).then_some(true),
        }
    }

    fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            equal => equal,
        }
    }
}
