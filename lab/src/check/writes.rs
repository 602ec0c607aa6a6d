//! What the histories say was written, key by key.
//! Times of all runs are on one scale: that of the wall clock at each run's start, continued by its own monotonic one.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::CheckError;
use crate::history::{ContextIn, Intent, Op, ReadError, Reader, Record};
use crate::import::is_alone;
use crate::load::Status;
use crate::plan::Filler;

/// All that the runs have written.
#[derive(Default)]
pub(super) struct Written {
    pub(super) runs: usize,
    /// Of these, whose history has no end: they wrote what no line tells, to any key.
    pub(super) unfinished: usize,
    pub(super) bucket: String,
    /// Nobody else writes to that bucket: it is named for the one run.
    pub(super) is_alone: bool,
    /// The writes of each key.
    pub(super) keys: BTreeMap<String, Vec<Write>>,
    /// Tell what a value is; one a run.
    pub(super) fillers: Vec<Filler>,
}

/// A put or a delete.
#[derive(Clone, Debug)]
pub(super) struct Write {
    /// `RUN/ID`.
    pub(super) id: String,
    pub(super) is_delete: bool,
    pub(super) status: Status,
    /// `None`: it never was.
    pub(super) sent_ns: Option<u128>,
    /// The last moment at which it may have replaced anything.
    pub(super) ended_ns: u128,
    pub(super) covers: Covers,
}

/// What a write had seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Covers {
    /// These, and what these had seen.
    These(Vec<String>),
    /// Anything that was sent before it ended: nobody told what a coordinator found, or an earlier run had seen.
    AnythingBefore,
}

/// Reads the histories of `runs`. Errors: one cannot be read, or the runs are in different buckets.
pub(super) fn read(runs: &[PathBuf]) -> Result<Written, CheckError> {
    let mut written = Written { runs: runs.len(), ..Written::default() };
    for run in runs {
        let bucket = written.bucket.clone();
        add_run(&mut written, run)?;
        if !bucket.is_empty() && written.bucket != bucket {
            return Err(CheckError::Buckets { path: run.clone(), bucket: written.bucket, other: bucket });
        }
    }
    Ok(written)
}

/// Reads the history of one run, and when it began, in nanoseconds since 1970. Errors: it cannot be read.
pub(super) fn of_run(run: &Path) -> Result<(Written, u128), ReadError> {
    let mut written = Written { runs: 1, ..Written::default() };
    let start_ns = add_run(&mut written, run)?;
    Ok((written, start_ns))
}

/// Gives when it began.
fn add_run(written: &mut Written, run: &Path) -> Result<u128, ReadError> {
    let mut reader = Reader::open(&run.join("history.jsonl"))?;
    let header = reader.header().clone();
    let number = number(run, &header.run)?;
    written.is_alone = written.runs == 1 && is_alone(&header);
    written.bucket = header.plan.workload.bucket;
    written.fillers.push(Filler::new(number, header.plan.seed, header.plan.workload.value_bytes));
    let start_ns = u128::from(header.started_unix_ms) * 1_000_000;
    add(written, &mut reader, start_ns)?;
    written.unfinished += usize::from(reader.is_unfinished());
    Ok(start_ns)
}

fn number(path: &Path, run: &str) -> Result<u64, ReadError> {
    u64::from_str_radix(run, 16).map_err(|_| {
        let why = format!("the header names the run {run:?}, which is no hexadecimal number");
        ReadError::Line { path: path.join("history.jsonl"), line: 1, why }
    })
}

fn add(written: &mut Written, reader: &mut Reader, start_ns: u128) -> Result<(), ReadError> {
    // What the answer to an operation showed; a read-modify-write has two answers under one number.
    let mut shown: HashMap<u64, Vec<String>> = HashMap::new();
    let mut pending: Vec<Record> = Vec::new();
    for record in reader {
        let mut record = record?;
        let qualified = |id: &str| if id.contains('/') { id.to_owned() } else { format!("{}/{id}", record.run) };
        if record.status == Status::Ok {
            let of_reads = record.returned.iter().map(|value| qualified(&value.value_id));
            shown.entry(record.seq).or_default().extend(of_reads.chain(record.value_id.as_deref().map(qualified)));
        }
        if matches!(record.op, Op::Put | Op::Delete | Op::RmwPut) {
            // Histories are long, and contexts are not looked into.
            record.ctx_out = None;
            pending.push(record);
        }
    }
    for record in pending {
        let write = write(&record, &shown, start_ns);
        written.keys.entry(record.key).or_default().push(write);
    }
    Ok(())
}

fn write(record: &Record, shown: &HashMap<u64, Vec<String>>, start_ns: u128) -> Write {
    let own = format!("{}/{}", record.run, record.value_id.as_deref().unwrap_or_default());
    let covers = match &record.ctx_in {
        Some(ContextIn { intent: Intent::AddSibling, .. }) | None => Covers::These(Vec::new()),
        Some(ContextIn { intent: Intent::WithContext, seq: Some(seq), .. }) => {
            let these = |seen: &Vec<String>| Covers::These(seen.iter().filter(|id| **id != own).cloned().collect());
            // Of an operation without a line nobody knows what it showed.
            shown.get(seq).map_or(Covers::AnythingBefore, these)
        }
        Some(_) => Covers::AnythingBefore,
    };
    // What nobody answered may still be applied much later, and so may, once more, what was sent again and replaces whatever is there.
    let is_again = record.attempts > 1 && covers == Covers::AnythingBefore;
    let is_open = record.status == Status::Info || is_again;
    let ended = if is_open { u128::MAX } else { start_ns + u128::from(record.recv_ns) };
    Write {
        id: own,
        is_delete: record.op == Op::Delete,
        status: record.status,
        sent_ns: record.sent_ns.map(|ns| start_ns + u128::from(ns)),
        ended_ns: ended,
        covers,
    }
}
