//! Reads a history back, also one whose writer was killed: then the last line may be torn, is left out, and that is said.
//! Invariant: anything else that is no record of this run is an error with its line, never skipped; and so is a history that is not as long as
//! the mark of its end says.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::{END, Header, Op, Record, VERSION};
use crate::load::Status;

/// The longest line: far beyond the siblings a key may have.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Why a history cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be opened or read.
    #[error("{}: {error}", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A line is not what it should be: the file is damaged, or no history.
    #[error("{}:{line}: {why}", .path.display())]
    Line {
        /// Of which file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
}

/// The records of a history, one after the other.
#[derive(Debug)]
pub struct Reader {
    file: BufReader<File>,
    path: PathBuf,
    line: u64,
    bytes: u64,
    header: Header,
    /// Operations by their numbers; of a read-modify-write the write is told apart.
    operations: HashSet<(u64, bool)>,
    writes: HashSet<Box<str>>,
    torn: Option<u64>,
    is_over: bool,
}

/// What the mark of an end says, where it says anything.
#[derive(serde::Deserialize)]
struct End {
    records: Option<u64>,
    bytes: Option<u64>,
}

impl Reader {
    /// Opens `path` and reads the header.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let file =
            File::open(path).map_err(|error| ReadError::Io { path: path.to_owned(), error: why(path, error) })?;
        let (mut file, path) = (BufReader::new(file), path.to_owned());
        let wrong = |why: String| ReadError::Line { path: path.clone(), line: 1, why };
        let line = match next_line(&mut file) {
            Ok(Line::Whole(bytes)) => bytes,
            Ok(Line::Torn(_)) => return Err(wrong("the header is cut off: nothing of this run was kept".to_owned())),
            Ok(Line::TooLong) => return Err(wrong("no header of a history: the line is too long".to_owned())),
            Err(error) => return Err(ReadError::Io { path: path.clone(), error }),
        };
        let header: Header = parse(&line).map_err(|why| wrong(format!("no header of a history: {why}")))?;
        if header.driftkv_history != VERSION {
            return Err(wrong(format!(
                "version {} of the format; this driftkv reads {VERSION}",
                header.driftkv_history
            )));
        }
        let (operations, writes, bytes) = (HashSet::new(), HashSet::new(), line.len() as u64);
        Ok(Self { file, path, line: 1, bytes, header, operations, writes, torn: None, is_over: false })
    }

    /// The first line.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Once all records are read: how many bytes of a torn last line were left out, if there is one.
    pub fn torn_bytes(&self) -> Option<u64> {
        self.torn
    }

    /// Once all records are read: the loader was killed, so that requests were sent of which no line tells. A history that came to
    /// its end has a mark beside it; earlier versions left only the results, written after it.
    pub fn is_unfinished(&self) -> bool {
        let has_end = || [END, "results.json"].iter().any(|name| self.path.with_file_name(name).is_file());
        self.torn.is_some() || !has_end()
    }

    /// Whether a line so far is of the operation `seq`.
    pub(crate) fn has(&self, seq: u64) -> bool {
        [false, true].into_iter().any(|is_write_of_rmw| self.operations.contains(&(seq, is_write_of_rmw)))
    }

    /// `line` as a record of this run. Else what is wrong with it.
    fn record(&mut self, line: &[u8]) -> Result<Record, String> {
        self.bytes += line.len() as u64;
        let record = record(line)?;
        if record.run != self.header.run {
            return Err(format!("it is of the run {:?}, the history of {:?}", record.run, self.header.run));
        }
        if !self.operations.insert((record.seq, record.op == Op::RmwPut)) {
            return Err(format!("there is a line of the operation {} before it", record.seq));
        }
        match &record.value_id {
            Some(id) if !self.writes.insert(id.as_str().into()) => {
                Err(format!("the write {id:?} has a line before it"))
            }
            _ => Ok(record),
        }
    }

    /// At the end of the file: it is as long as the mark of its end says. A copy by another name has none.
    fn ends_as_marked(&mut self) -> Result<(), ReadError> {
        let is_history = self.path.file_name().is_some_and(|name| name == "history.jsonl");
        let path = self.path.with_file_name(END);
        let Some(mark) = is_history.then(|| fs::read(&path).ok()).flatten() else { return Ok(()) };
        let End { records, bytes } =
            parse(&mark).map_err(|why| ReadError::Line { path, line: 1, why: format!("no mark of an end: {why}") })?;
        let there = (self.line.saturating_sub(2), self.bytes + self.torn.unwrap_or_default());
        let marked = (records.unwrap_or(there.0), bytes.unwrap_or(there.1));
        if there == marked {
            return Ok(());
        }
        let [there, marked] = [there, marked].map(|(records, bytes)| format!("{records} records in {bytes} bytes"));
        Err(self.fail(format!("the history ends here, with {there}; {END} says {marked}: it is damaged")))
    }

    fn fail(&mut self, why: String) -> ReadError {
        self.is_over = true;
        ReadError::Line { path: self.path.clone(), line: self.line, why }
    }
}

impl Iterator for Reader {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        self.line += 1;
        match next_line(&mut self.file) {
            Ok(Line::Whole(bytes)) => {
                Some(self.record(&bytes).map_err(|why| self.fail(format!("no record of an operation: {why}"))))
            }
            Ok(Line::Torn(bytes)) => {
                self.is_over = true;
                self.torn = (bytes > 0).then_some(bytes);
                self.ends_as_marked().err().map(Err)
            }
            Ok(Line::TooLong) => Some(Err(self.fail("no record of an operation: the line is too long".to_owned()))),
            Err(error) => {
                self.is_over = true;
                Some(Err(ReadError::Io { path: self.path.clone(), error }))
            }
        }
    }
}

fn record(line: &[u8]) -> Result<Record, String> {
    let record: Record = parse(line)?;
    match record.term {
        Some(term) if record.status != Status::Ok => {
            Err(format!("it was not answered, and has the term {term} of an answer"))
        }
        _ if record.sent_ns.is_some_and(|sent| record.recv_ns < sent) => {
            Err("it was answered before it was sent: recv_ns is below sent_ns".to_owned())
        }
        _ => Ok(record),
    }
}

/// Why there is no history at `path`, where that can be told.
fn why(path: &Path, error: io::Error) -> io::Error {
    let directory = path.parent().unwrap_or(path);
    let has = |name: &str| directory.join(name).exists();
    let words = match error.kind() {
        io::ErrorKind::NotFound if has("spec.yaml") && has("cells") => {
            let runs = directory.join("cells/CELL/seed-N");
            format!("{error}; this is the folder of an experiment, name its runs: {}", runs.display())
        }
        io::ErrorKind::NotFound if has("run.json") => {
            format!(
                "{error}; the history of this run was not kept (`histories: violated` in its experiment keeps only those of runs that broke a promise)"
            )
        }
        _ => return error,
    };
    io::Error::new(error.kind(), words)
}

/// A line of a file that may have been written by somebody who was killed.
pub(crate) enum Line {
    /// With its end.
    Whole(Vec<u8>),
    /// So many bytes without an end; 0 at the end of the file.
    Torn(u64),
    /// Longer than any line may be.
    TooLong,
}

/// The next line of `file`.
pub(crate) fn next_line(file: &mut BufReader<File>) -> io::Result<Line> {
    let mut bytes = Vec::new();
    file.take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
    Ok(match bytes.last() {
        Some(b'\n') => Line::Whole(bytes),
        _ if bytes.len() as u64 >= LINE_BYTES_MAX => Line::TooLong,
        _ => Line::Torn(bytes.len() as u64),
    })
}

/// `line` as JSON; else why it is not.
pub(crate) fn parse<T: DeserializeOwned>(line: &[u8]) -> Result<T, String> {
    serde_json::from_slice(line).map_err(|error| error.to_string())
}
