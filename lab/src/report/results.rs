//! `results.json`: what an experiment measured, for programs: every cell with every run of it, by the names of `metrics`.
//! Published as a JSON schema, `lab/schema/results-v1.json`, which a test compares with these types.
//! Invariants: a reader refuses versions it does not know; within a version fields are only added, and only optional ones;
//! what is not a finite number is absent. Not here: comparing (`compare`), the page (`html`).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::files::put;
use super::model::Expectation;
use crate::metrics::Metrics;
use crate::offline::Outcome;
use crate::run_dir::FileError;

/// What this program writes and reads.
pub const SCHEMA_VERSION: u32 = 1;

/// The results of one experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResultsDocument {
    /// 1.
    pub schema_version: u32,
    /// The experiment's name.
    pub experiment: String,
    /// Which time it was run: the name and when it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// What measured.
    pub tool: Tool,
    /// When it began, in milliseconds since 1970 UTC.
    pub started_unix_ms: u64,
    /// All other seeds follow from it.
    pub seed: u64,
    /// What was to be done: the file with its manifest and `--quick` worked in; what it leaves away is as in this version of the tool.
    pub spec: Value,
    /// Where it ran: name, value.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// The greatest of all expectations, or `unknown` where a fault was not verified.
    pub outcome: Outcome,
    /// What was expected, and what came.
    #[serde(default)]
    pub expectations: Vec<Expectation>,
    /// One for each combination of the axes.
    pub cells: Vec<CellResult>,
    /// What makes the numbers doubtful.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// What measured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    /// Such as `driftkv`.
    pub name: String,
    /// Its release.
    pub version: String,
    /// The commit it was built from: `DRIFTKV_GIT` in the environment of the build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<String>,
}

/// A combination of the axes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellResult {
    /// Its name; unique in a document.
    pub name: String,
    /// What it was set to: axis, value.
    #[serde(default)]
    pub axes: BTreeMap<String, String>,
    /// Of all its runs: shares and counts pooled, else medians.
    pub metrics: Metrics,
    /// One for each seed.
    #[serde(default)]
    pub runs: Vec<RunResult>,
}

/// One run of a cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunResult {
    /// What its plan was made from.
    pub seed: u64,
    /// Where its files are, seen from this document.
    pub directory: String,
    /// Of this run alone.
    pub outcome: Outcome,
    /// Of this run alone.
    pub metrics: Metrics,
}

impl ResultsDocument {
    /// As it is stored.
    pub fn text(&self) -> String {
        let mut document = self.clone();
        for cell in &mut document.cells {
            drop_infinite(&mut cell.metrics);
            cell.runs.iter_mut().for_each(|run| drop_infinite(&mut run.metrics));
        }
        // Maps have strings as keys, and all numbers are finite: nothing is left that could fail.
        serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
    }

    /// Writes it to `path`; it appears whole.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        put(path, &self.text())
    }

    /// The document at `path`. Errors: it is not there, of another version, or not one.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let text = fs::read(path).map_err(FileError::at(path))?;
        Self::parse(&text).map_err(FileError::at(path))
    }

    /// `text` as a document. Errors: it is of another version, which is told, or not one.
    pub fn parse(text: &[u8]) -> io::Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            schema_version: u32,
        }
        let Version { schema_version } = serde_json::from_slice(text)?;
        if schema_version != SCHEMA_VERSION {
            let words = format!("results of version {schema_version}; this program reads version {SCHEMA_VERSION}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, words));
        }
        Ok(serde_json::from_slice(text)?)
    }
}

fn drop_infinite(metrics: &mut Metrics) {
    metrics.retain(|_, metric| metric.value.is_finite());
    for metric in metrics.values_mut() {
        metric.interval = metric.interval.filter(|(lo, hi)| lo.is_finite() && hi.is_finite());
    }
}

/// The schema of [`ResultsDocument`] (JSON Schema 2020-12), as it is published.
pub fn schema_text() -> String {
    let mut schema = schemars::schema_for!(ResultsDocument);
    if let Some(version) = schema.pointer_mut("/properties/schema_version") {
        version["const"] = SCHEMA_VERSION.into();
    }
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{ResultsDocument, schema_text};

    #[test]
    fn the_published_schema_is_that_of_the_types() {
        let published = include_str!("../../schema/results-v1.json");
        assert!(published == schema_text(), "lab/schema/results-v1.json is stale: make fix writes it anew");
    }

    #[test]
    fn another_version_is_refused_by_its_number_whatever_else_is_in_it() {
        let refused = ResultsDocument::parse(b"{\"schema_version\":2,\"cells\":7}").unwrap_err();
        assert_eq!(refused.to_string(), "results of version 2; this program reads version 1");
    }
}
