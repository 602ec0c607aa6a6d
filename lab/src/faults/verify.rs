//! Which faults took effect, each by its own kind and by what nodes counted (research/lab.md 3.0: a fault without evidence makes a run inconclusive).
//! A fault of links: on each side that sends over them somebody counted it. A cut: each side lost something. A fault of a node: that node did
//! it, or was started anew where the fault ends the process. A probe from outside overrules the counters where it denies the effect.
//! Invariant: what is not known is not verified, and `why` says what is missing. Not here: when it was so (`periods`).

use std::fmt;

use driftkv_proto::faults::{Cut, EVERY_NODE, Experiment, Fault, Links};

use super::{Counters, Evidence, FaultRecord, State};

/// Whether one fault of an experiment took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// Names the experiment.
    pub id: String,
    /// The fault, as written on one line; empty of an experiment that is not known to have any.
    pub fault: String,
    /// Somebody saw it take effect.
    pub is_verified: bool,
    /// Who counted what, or what is missing.
    pub why: String,
    /// What a look from outside said, if there was one.
    pub probe: Option<bool>,
}

impl fmt::Display for Verification {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.fault.is_empty() { "" } else { " " };
        let word = if self.is_verified { "verified" } else { "not verified" };
        write!(out, "experiment {}:{what}{} is {word}: {}", self.id, self.fault, self.why)
    }
}

/// Every fault of `records`, in the order in which they began; of an experiment that did not begin there is one entry.
pub fn verify(records: &[FaultRecord]) -> Vec<Verification> {
    records.iter().flat_map(|record| of_record(record, records)).collect()
}

fn of_record(record: &FaultRecord, records: &[FaultRecord]) -> Vec<Verification> {
    match record {
        FaultRecord::Refused { id, why, .. } => vec![not(id, format!("it did not begin: {why}"))],
        FaultRecord::Began { id, text, .. } => match Experiment::parse(text) {
            Ok(experiment) => of_experiment(id, &experiment, records),
            Err(error) => vec![not(id, format!("its text is no experiment: {error}"))],
        },
        FaultRecord::Healed { .. } | FaultRecord::Probed { .. } => Vec::new(),
    }
}

fn not(id: &str, why: String) -> Verification {
    Verification { id: id.to_owned(), fault: String::new(), is_verified: false, why, probe: None }
}

fn of_experiment(id: &str, experiment: &Experiment, records: &[FaultRecord]) -> Vec<Verification> {
    let evidence = records.iter().find_map(|record| match record {
        FaultRecord::Healed { id: healed, evidence, .. } if healed == id => Some(evidence.as_slice()),
        _ => None,
    });
    let verified = |(place, fault): (usize, &Fault)| {
        let counted = match evidence {
            Some(evidence) => counted(fault, place, evidence),
            None => Err(Lack::Untold("its end was not recorded, and so nobody said what was counted".to_owned())),
        };
        let probe = probe(records, id, place);
        let (is_verified, why) = match (&probe, counted) {
            (Some((false, saw)), _) => (false, format!("a probe saw no effect: {saw}")),
            (_, Ok(why)) => (true, why),
            // A node that is away for another reason looks the same from outside: a probe stands in for what nobody told, not against it.
            (Some((true, saw)), Err(Lack::Untold(_))) => (true, format!("a probe saw it: {saw}")),
            (_, Err(Lack::Untold(why) | Lack::Denied(why))) => (false, why),
        };
        let probe = probe.map(|(is_effective, _)| is_effective);
        Verification { id: id.to_owned(), fault: fault.to_flow(), is_verified, why, probe }
    };
    experiment.faults.iter().enumerate().map(verified).collect()
}

/// What the probes of a fault saw: that it was not so, if any of them did.
fn probe(records: &[FaultRecord], id: &str, place: usize) -> Option<(bool, String)> {
    let seen = records.iter().filter_map(|record| match record {
        FaultRecord::Probed { id: probed, fault, is_effective, saw, .. } if probed == id && *fault == place => {
            Some((*is_effective, saw.clone()))
        }
        _ => None,
    });
    seen.min_by_key(|(is_effective, _)| *is_effective)
}

/// Why a fault is not verified by counters.
enum Lack {
    /// Some who should know said nothing.
    Untold(String),
    /// All who should know say that it did nothing.
    Denied(String),
}

/// Who counted a fault, on each side that should.
fn counted(fault: &Fault, place: usize, evidence: &[Evidence]) -> Result<String, Lack> {
    let (mut told, mut untold) = (Vec::new(), None);
    let sides = sides(fault, evidence);
    if sides.is_empty() {
        return Err(Lack::Untold("no node that it is for said anything of it".to_owned()));
    }
    for side in sides {
        let sums = side.iter().map(|node| did(fault, place, node)).collect::<Vec<_>>();
        let names = side.iter().map(|node| node.node.as_str()).collect::<Vec<_>>().join(" ");
        let silent: Vec<String> = side.iter().filter_map(|node| silence(node)).collect();
        match sums.into_iter().flatten().reduce(|(one, what), (other, _)| (one.saturating_add(other), what)) {
            // Others of the side did; what the silent ones did, or not, nobody knows.
            Some((count, what)) if count > 0 && is_of_links(fault) && !silent.is_empty() => {
                told.push(format!("{names}: {count} {what} (but {})", silent.join(", ")));
            }
            Some((count, what)) if count > 0 => told.push(format!("{names}: {count} {what}")),
            _ if silent.is_empty() => return Err(Lack::Denied(format!("{names} counted nothing of it"))),
            // Another side may still deny it.
            _ => untold = untold.or_else(|| Some(format!("{names} counted nothing of it ({})", silent.join(", ")))),
        }
    }
    match untold {
        Some(why) => Err(Lack::Untold(why)),
        None => Ok(told.join("; ")),
    }
}

fn is_of_links(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::Partition(_)
            | Fault::Delay { .. }
            | Fault::Drop { .. }
            | Fault::Duplicate { .. }
            | Fault::Reorder { .. }
    )
}

fn silence(node: &Evidence) -> Option<String> {
    match &node.state {
        State::Forgotten => Some(format!("{} was started anew since", node.node)),
        State::Unknown(said) => Some(format!("{} did not say: {said}", node.node)),
        State::Cleared | State::Expired => None,
    }
}

/// How often `node` did what the fault is, and what that is.
fn did(fault: &Fault, place: usize, node: &Evidence) -> Option<(u64, &'static str)> {
    if node.state == State::Forgotten
        && matches!(fault, Fault::Crash { .. } | Fault::Wipe { .. } | Fault::DiskError { .. })
    {
        return Some((1, "restart that lost the experiment"));
    }
    let Counters { delayed, dropped, duplicated, reordered, activations, .. } =
        node.faults.get(place).filter(|counters| counters.applies_here)?;
    Some(match fault {
        Fault::Delay { .. } => (*delayed, "messages held back"),
        Fault::SlowDisk { .. } => (*delayed, "syncs held back"),
        Fault::Drop { .. } | Fault::Partition(_) => (*dropped, "messages lost"),
        Fault::Duplicate { .. } => (*duplicated, "messages doubled"),
        Fault::Reorder { .. } => (*reordered, "messages overtaken"),
        Fault::Pause { .. } => (*activations, "pauses"),
        Fault::Crash { .. } | Fault::Wipe { .. } => (*activations, "crashes"),
        Fault::DiskError { .. } => (*activations, "failed syncs"),
        Fault::ClockSkew { .. } => (*activations, "wrong clocks"),
    })
}

/// The nodes that should count a fault, by sides of which each must.
fn sides<'a>(fault: &Fault, evidence: &'a [Evidence]) -> Vec<Vec<&'a Evidence>> {
    let named = |names: &[String]| -> Vec<&'a Evidence> {
        let is_named = |node: &&Evidence| names.iter().any(|name| name == EVERY_NODE || *name == node.node);
        evidence.iter().filter(is_named).collect()
    };
    let sides = match fault {
        Fault::Partition(Cut::Groups(groups)) => {
            let of = |place: usize| evidence.iter().filter(|node| group(groups, &node.node) == Some(place)).collect();
            (0..groups.len()).map(of).collect()
        }
        // What crosses a cut is lost where it is sent, and where it arrives all the same: one of both is enough.
        Fault::Partition(Cut::OneWay { from, to }) => vec![[named(from), named(to)].concat()],
        Fault::Delay { links, .. }
        | Fault::Drop { links, .. }
        | Fault::Duplicate { links, .. }
        | Fault::Reorder { links, .. } => match links {
            Links::OneWay { from, .. } => vec![named(from)],
            Links::Between(one, other) => {
                let others = |of: &str, not: &str| -> Vec<&'a Evidence> {
                    named(&[of.to_owned()]).into_iter().filter(|node| of != EVERY_NODE || node.node != *not).collect()
                };
                vec![others(one, other), others(other, one)]
            }
        },
        Fault::Pause { node, .. }
        | Fault::Crash { node, .. }
        | Fault::Wipe { node, .. }
        | Fault::SlowDisk { node, .. }
        | Fault::DiskError { node, .. }
        | Fault::ClockSkew { node, .. } => {
            // Each node that it names by itself.
            named(std::slice::from_ref(node)).into_iter().map(|node| vec![node]).collect()
        }
    };
    if sides.iter().any(Vec::is_empty) { Vec::new() } else { sides }
}

/// The group that names `node`, else the one of all others.
pub(super) fn group(groups: &[Vec<String>], node: &str) -> Option<usize> {
    let with = |wanted: &str| groups.iter().position(|group| group.iter().any(|member| member == wanted));
    with(node).or_else(|| with(EVERY_NODE))
}

#[cfg(test)]
mod tests;
