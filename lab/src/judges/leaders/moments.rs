//! Moments at which a node led a term, and which of them come after a higher term's.

use std::collections::BTreeMap;

use super::{Led, Sample};
use crate::judges::account::Value;

/// Where a moment is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    /// An answered operation, by its key's place and its own.
    Operation {
        /// Among the keys.
        key: usize,
        /// Among the key's operations.
        place: usize,
    },
    /// A sample, by its source.
    Sample(u64),
}

/// At some time between `start` and `end` somebody led a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Who says so.
    pub at: At,
    /// Who led.
    pub led: Led,
    /// Not before.
    pub start: i64,
    /// Not after.
    pub end: i64,
}

/// A leader after its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overtaken {
    /// It led then.
    pub old: Moment,
    /// A higher term had a leader before that.
    pub by: Moment,
}

/// The moments that began after one of a higher term was over; beside each, the one of the highest term.
pub(super) fn overtaken(moments: &[Moment]) -> Vec<Overtaken> {
    let mut by_start: Vec<&Moment> = moments.iter().collect();
    by_start.sort_by_key(|moment| moment.start);
    let mut by_end = by_start.clone();
    by_end.sort_by_key(|moment| moment.end);
    let mut ended = by_end.into_iter().peekable();
    let mut highest: Option<&Moment> = None;
    let mut found = Vec::new();
    for moment in by_start {
        while let Some(over) = ended.next_if(|over| over.end < moment.start) {
            highest = highest.filter(|highest| highest.led.term >= over.led.term).or(Some(over));
        }
        if let Some(by) = highest.filter(|highest| highest.led.term > moment.led.term) {
            found.push(Overtaken { old: *moment, by: *by });
        }
    }
    found
}

/// The samples of nodes that said that they lead.
pub(super) fn sampled(samples: &[Sample]) -> Vec<Moment> {
    let leading = samples.iter().filter(|sample| sample.is_leader);
    let moment = |sample: &Sample| Moment {
        at: At::Sample(sample.source),
        led: Led { term: sample.term, node: Some(sample.node) },
        start: sample.start,
        end: sample.end,
    };
    leading.map(moment).collect()
}

/// A node certainly led from one time to another.
#[derive(Clone, Copy)]
struct Reign {
    node: Value,
    from: i64,
    to: i64,
}

/// The longest for which two nodes certainly led at once.
pub(super) fn together(samples: &[Sample]) -> i64 {
    let mut reigns = reigns(samples);
    reigns.sort_by_key(|reign| reign.from);
    let mut longest = 0;
    for (place, one) in reigns.iter().enumerate() {
        let later = reigns.iter().skip(place + 1).take_while(|other| other.from < one.to);
        let shared = later.filter(|other| other.node != one.node).map(|other| one.to.min(other.to) - other.from);
        longest = shared.fold(longest, i64::max);
    }
    longest
}

/// From the answer of a leader to its last question that it answered so without another answer between.
fn reigns(samples: &[Sample]) -> Vec<Reign> {
    let mut open: BTreeMap<Value, (u64, Reign)> = BTreeMap::new();
    let mut reigns = Vec::new();
    for sample in samples {
        match open.get_mut(&sample.node) {
            Some((term, reign)) if sample.is_leader && *term == sample.term => reign.to = sample.start,
            _ => {
                reigns.extend(open.remove(&sample.node).map(|(_, reign)| reign));
                let reign = Reign { node: sample.node, from: sample.end, to: sample.start };
                open.extend(sample.is_leader.then_some((sample.node, (sample.term, reign))));
            }
        }
    }
    reigns.extend(open.into_values().map(|(_, reign)| reign));
    reigns.retain(|reign| reign.from < reign.to);
    reigns
}
