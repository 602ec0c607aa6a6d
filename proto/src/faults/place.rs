//! Where the parts of an experiment stand in its text: for what is judged later than it is read, as its nodes are, which only members know.

use std::collections::BTreeMap;

/// Line and column, from 1.
pub type At = (u64, u64);

/// The places of an experiment. They are no part of what it is: any two are equal.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// Of each node that is named, the first.
    pub(super) nodes: BTreeMap<String, At>,
    /// The kind of each fault.
    pub(super) kinds: Vec<At>,
}

impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// `line 3, column 10: ` in front of what is wrong there.
pub(super) fn in_front(place: Option<At>) -> String {
    place.map_or_else(String::new, |(line, column)| format!("line {line}, column {column}: "))
}
