//! Histories that others recorded: Jepsen's EDN and log lines, Porcupine's key-value lines and JSON operations.
//! Reading order: `datum` (a value of either notation), `edn` (its reader), `event` (invocations and their ends, into operations), `effect`
//! (what an operation means to a model), `log`, `json`; `run` reads our own. Formats and what is read into them: docs/verdicts.md.
//! Invariants: what is not understood is an error with its line and column, never skipped; memory is bounded by the size of the input, nesting by
//! `DEPTH_MAX`. Not here: reading files, judging (`judges`).

use crate::judges::account::Account;
use crate::judges::linearizable::Model;

mod datum;
mod edn;
mod effect;
mod event;
mod json;
mod log;
mod run;
#[cfg(test)]
mod tests;

pub(crate) use run::is_alone;
pub use run::{RunHistory, read_run};

/// How deep values may be nested.
const DEPTH_MAX: usize = 100;

/// How a history is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Maps with `:process :type :f :value`, in a vector or list or one after the other.
    JepsenEdn,
    /// Lines `INFO  jepsen.util - 3 :invoke :cas [1 2]`.
    JepsenLog,
    /// Lines `{:process 0, :type :invoke, :f :append, :key "3", :value "x"}`.
    PorcupineKv,
    /// Operations with `ClientId`, `Input`, `Call`, `Output`, `Return`.
    PorcupineJson,
}

/// A history is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub struct ImportError {
    /// From 1.
    pub line: u64,
    /// From 1, in characters; of JSON, in bytes.
    pub column: u64,
    /// What is wrong.
    pub what: String,
}

impl ImportError {
    fn at((line, column): (u64, u64), what: impl Into<String>) -> Self {
        Self { line, column, what: what.into() }
    }
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    /// To be judged.
    pub account: Account,
    /// Reads without an answer, and operations that were certainly not done: they say nothing.
    pub left_out: u64,
    /// Lines of a log that are about something else.
    pub other_lines: u64,
}

/// Reads a history. `initial`: what each key held at first, as a value of the format; nothing if `None`.
/// Errors: the first thing that is not understood; one at line 0 is about `initial`, or about the whole.
pub fn read(bytes: &[u8], format: Format, model: Model, initial: Option<&str>) -> Result<Imported, ImportError> {
    // Editors and tools of Windows begin a text in UTF-8 so.
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if format == Format::PorcupineJson {
        return json::read(bytes, model, initial);
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
        ImportError::at(edn::position(&String::from_utf8_lossy(valid)), "is not text in UTF-8")
    })?;
    match format {
        Format::JepsenLog => log::read(text, model, initial),
        _ => event::read(text, format, model, initial),
    }
}
