//! One HdrHistogram interval log for each kind of operation and each of response and service, a histogram a second (V2, as
//! `HistogramLogProcessor` and hdr-plot read it). Values are microseconds; censored ones are in at what was waited for them.
//! Invariant: each interval is appended when it is over, so that a run that is killed leaves the seconds before.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;

use super::{FileError, RunDir};
use crate::load::Stats;
use crate::plan::{Action, Pace, Plan};

/// The logs of a run.
pub(crate) struct HdrLogs {
    logs: Vec<Log>,
    serializer: V2DeflateSerializer,
}

struct Log {
    path: PathBuf,
    file: File,
    action: Action,
    is_response: bool,
}

impl HdrLogs {
    /// Begins the logs of `plan`, which starts `now`; a closed loop has no response times.
    pub(crate) fn create(dir: &RunDir, plan: &Plan, now: SystemTime) -> Result<Self, FileError> {
        let folder = dir.path().join("hdr");
        fs::create_dir(&folder).map_err(FileError::at(&folder))?;
        let is_open = matches!(plan.pace, Pace::Open { .. });
        let mut logs = Vec::new();
        for action in Action::ALL.into_iter().filter(|action| plan.workload.mix.share(*action) > 0) {
            for (what, is_response) in [("response", true), ("service", false)] {
                if is_response && !is_open {
                    continue;
                }
                let path = folder.join(format!("{}-{what}.hlog", action.name()));
                let file = begin(&path, action, what, now).map_err(FileError::at(&path))?;
                logs.push(Log { path, file, action, is_response });
            }
        }
        Ok(Self { logs, serializer: V2DeflateSerializer::new() })
    }

    /// Appends the interval that began at `start` after the beginning of the run and lasted for `length`.
    pub(crate) fn add(&mut self, start: Duration, length: Duration, stats: &Stats) -> Result<(), FileError> {
        for log in &mut self.logs {
            let op = stats.op(log.action);
            let latency = if log.is_response { &op.response } else { &op.service };
            let line = line(&mut self.serializer, latency.histogram(), start, length);
            line.and_then(|line| log.file.write_all(&line)).map_err(FileError::at(&log.path))?;
        }
        Ok(())
    }
}

fn begin(path: &PathBuf, action: Action, what: &str, now: SystemTime) -> io::Result<File> {
    let mut head = Vec::new();
    IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment(&format!("driftkv lab: {what} time of {}, in microseconds", action.name()))
        .with_start_time(now)
        .with_base_time(now)
        .begin_log_with(&mut head, &mut V2DeflateSerializer::new())?;
    let mut file = OpenOptions::new().create_new(true).append(true).open(path)?;
    file.write_all(&head)?;
    Ok(file)
}

fn line(
    serializer: &mut V2DeflateSerializer,
    histogram: &Histogram<u64>,
    start: Duration,
    length: Duration,
) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut log = IntervalLogWriterBuilder::new().begin_log_with(&mut line, serializer)?;
    log.write_histogram(histogram, start, length, None).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(line)
}
