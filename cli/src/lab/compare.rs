//! `driftkv lab compare`: two results of one experiment, and whether the second is worse.

use std::path::Path;

use driftkv_lab::compare::{Comparison, compare, compare_only};
use driftkv_lab::report::results::ResultsDocument;

use crate::args::Output;
use crate::args::lab::{CompareArgs, FailOn};
use crate::error::{Exit, Failure};
use crate::style;

/// Runs the command.
pub fn run(args: &CompareArgs) -> Result<(), Failure> {
    let (before, after) = (read(&args.before)?, read(&args.after)?);
    let is_chosen = |name: &str| args.metric.iter().any(|metric| name.starts_with(metric.as_str()));
    let comparison = match args.metric.is_empty() {
        true => compare(&before, &after),
        false => compare_only(&before, &after, is_chosen),
    };
    match args.output {
        Output::Json | Output::Yaml => {
            let json = serde_json::to_value(&comparison).map_err(|error| Failure::failed(error.to_string()))?;
            style::print_value(args.output, &json).map_err(Failure::without_verdict)?;
        }
        Output::Text => style::print(comparison.to_string()).map_err(Failure::without_verdict)?,
    }
    if comparison.rows.is_empty() && !args.metric.is_empty() {
        let why = format!("no metric that both have begins with {}", args.metric.join(", "));
        return Err(Failure::new(Exit::Inconclusive, why));
    }
    match args.fail_on {
        Some(FailOn::Regression) => gate(&comparison),
        None => Ok(()),
    }
}

fn gate(comparison: &Comparison) -> Result<(), Failure> {
    let inconclusive = |why: &str| Err(Failure::new(Exit::Inconclusive, why));
    if comparison.is_regression() {
        return Err(Failure::failed("something became worse"));
    }
    if !comparison.spec_differences.is_empty() {
        return inconclusive("the two did not do the same, so nothing is known of regressions");
    }
    if comparison.is_incomplete {
        return inconclusive(
            "the second lacks something that the first has, or does not know what held in the first, so nothing is known of regressions there",
        );
    }
    match comparison.decides_anything() {
        true => Ok(()),
        false => {
            inconclusive("no metric could be decided: there are too few runs, or both have none of those compared")
        }
    }
}

fn read(path: &Path) -> Result<ResultsDocument, Failure> {
    let bad = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::BadInput, error.to_string())
            .hint("Name a folder that `driftkv lab run` made, or its results.json.")
    };
    let file = if path.is_dir() { path.join("results.json") } else { path.to_owned() };
    ResultsDocument::read(&file).map_err(|error| bad(&error))
}
