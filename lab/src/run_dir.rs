//! The directory of one run: `plan.json`, `history.jsonl`, `history.end`, `faults.jsonl`, `hdr/*.hlog`, `results.json`, `summary.txt`,
//! and what was measured beside the load: `convergence.json`, `visibility.json`.
//! Invariant: nothing that is there is ever overwritten: a run has a directory of its own.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::faults::FaultRecord;
use crate::history::ReadError;
use crate::plan::Plan;

mod hdr;

pub(crate) use hdr::HdrLogs;

/// A directory that this run made.
#[derive(Clone, Debug)]
pub struct RunDir {
    path: PathBuf,
}

/// A file or directory could not be made.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", .path.display())]
pub struct FileError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub error: io::Error,
}

impl FileError {
    pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self { path: path.to_owned(), error }
    }
}

impl RunDir {
    /// Makes `path`, and the directories above it. Errors: there is something already.
    pub fn create(path: &Path) -> Result<Self, FileError> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(FileError::at(parent))?;
        }
        fs::create_dir(path).map_err(FileError::at(path))?;
        Ok(Self { path: path.to_owned() })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the history is.
    pub fn history(&self) -> PathBuf {
        self.path.join("history.jsonl")
    }

    /// Keeps the plan, to be read again as it is.
    pub(crate) fn write_plan(&self, plan: &Plan) -> Result<(), FileError> {
        self.write_json("plan.json", plan)
    }

    /// Adds a line to `faults.jsonl`, and has it on disk.
    pub fn add_fault(&self, record: &FaultRecord) -> Result<(), FileError> {
        let path = self.path.join("faults.jsonl");
        let append = || {
            let mut file = fs::OpenOptions::new().create(true).append(true).open(&path)?;
            file.write_all((serde_json::to_string(record)? + "\n").as_bytes())?;
            file.sync_data()
        };
        append().map_err(FileError::at(&path))
    }

    /// Keeps what came of the run: for programs, and as a person was told.
    pub fn write_results(&self, results: &impl Serialize, summary: &str) -> Result<(), FileError> {
        self.write_json("results.json", results)?;
        self.write("summary.txt", summary)
    }

    /// Keeps `value` as the file `name`.
    pub(crate) fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), FileError> {
        write_json(&self.path.join(name), value)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), FileError> {
        let path = self.path.join(name);
        fs::write(&path, text).map_err(FileError::at(&path))
    }
}

/// Keeps `value` at `path`, for programs and eyes.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), FileError> {
    let text = serde_json::to_string_pretty(value).map_err(|error| FileError::at(path)(error.into()))?;
    fs::write(path, text + "\n").map_err(FileError::at(path))
}

/// What is kept at `path`; `None`: there is no file. Errors: it cannot be read, or is something else.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ReadError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ReadError::Io { path: path.to_owned(), error }),
    };
    let wrong = |error: serde_json::Error| {
        let (path, line) = (path.to_owned(), error.line() as u64);
        ReadError::Line { path, line, why: error.to_string() }
    };
    serde_json::from_slice(&bytes).map(Some).map_err(wrong)
}
