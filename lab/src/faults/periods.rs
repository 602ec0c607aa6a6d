//! When each experiment of a run was so, by the evidence of `faults.jsonl` and not by the plan, and which nodes it parted from each other.
//! Invariant: a period lasts from `applied_ns` to `healed_ns`; one whose end nobody recorded has none.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use driftkv_proto::faults::{Cut, Experiment, Fault};

use super::FaultRecord;
use super::verify::{group, verify};
use crate::history::ReadError;

/// An experiment while it was so.
#[derive(Clone, Debug, PartialEq)]
pub struct Period {
    /// Names the experiment.
    pub id: String,
    /// The kinds of its faults, each once.
    pub kinds: Vec<String>,
    /// When the last node had taken it, in nanoseconds since the run began.
    pub from_ns: u64,
    /// When it was over; `None`: nobody recorded it.
    pub to_ns: Option<u64>,
    /// Every one of its faults took effect.
    pub is_verified: bool,
    /// The nodes that a partition kept together; empty without one that has groups.
    pub sides: Vec<Side>,
}

/// One side of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// Its nodes, joined by `_`.
    pub name: String,
    /// Its nodes.
    pub nodes: Vec<String>,
}

/// The faults of the run in `directory`; none without the file. A line that was cut off at the end is left out.
/// Errors: the file cannot be read, or a line is no record.
pub fn read(directory: &Path) -> Result<Vec<FaultRecord>, ReadError> {
    let path = directory.join("faults.jsonl");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(ReadError::Io { path, error }),
    };
    let whole = text.rfind('\n').and_then(|end| text.get(..end)).unwrap_or_default();
    let lines = (1..).zip(whole.lines()).filter(|(_, line)| !line.is_empty());
    let parsed = lines.map(|(line, words)| {
        let wrong = |error: serde_json::Error| {
            let why = format!("no record of a fault: {error}");
            ReadError::Line { path: path.clone(), line, why }
        };
        serde_json::from_str(words).map_err(wrong)
    });
    parsed.collect()
}

/// When each experiment of `records` that began was so; `nodes` are all names, for the side that has the rest.
pub fn periods(records: &[FaultRecord], nodes: &[String]) -> Vec<Period> {
    let mut verified: BTreeMap<String, bool> = BTreeMap::new();
    for fault in verify(records) {
        *verified.entry(fault.id).or_insert(true) &= fault.is_verified;
    }
    let began = records.iter().filter_map(|record| match record {
        FaultRecord::Began { id, applied_ns, text, .. } => Some((id, *applied_ns, text)),
        _ => None,
    });
    began
        .map(|(id, from_ns, text)| {
            let faults = Experiment::parse(text).map(|experiment| experiment.faults).unwrap_or_default();
            let mut kinds: Vec<String> = faults.iter().map(|fault| fault.kind().to_owned()).collect();
            kinds.dedup();
            let sides = faults.iter().map(|fault| sides(fault, nodes)).find(|sides| !sides.is_empty());
            Period {
                id: id.clone(),
                kinds,
                from_ns,
                to_ns: healed(records, id),
                is_verified: verified.get(id).copied().unwrap_or_default(),
                sides: sides.unwrap_or_default(),
            }
        })
        .collect()
}

fn healed(records: &[FaultRecord], wanted: &str) -> Option<u64> {
    records.iter().find_map(|record| match record {
        FaultRecord::Healed { id, healed_ns, .. } if id == wanted => Some(*healed_ns),
        _ => None,
    })
}

fn sides(fault: &Fault, nodes: &[String]) -> Vec<Side> {
    let Fault::Partition(Cut::Groups(groups)) = fault else { return Vec::new() };
    let side = |place: usize| {
        let nodes: Vec<String> = nodes.iter().filter(|node| group(groups, node) == Some(place)).cloned().collect();
        Side { name: nodes.join("_"), nodes }
    };
    (0..groups.len()).map(side).filter(|side| !side.nodes.is_empty()).collect()
}

impl Period {
    /// What a band of it is called.
    pub fn label(&self) -> String {
        format!("{} ({})", self.kinds.join(", "), self.id)
    }
}
