//! `driftkv lab check`: whether the writes that runs were promised are there.

use std::time::Duration;

use driftkv_lab::check::{self, CheckError, Place, Reading, Verdict};

use crate::args::{CheckArgs, Output};
use crate::endpoints::Endpoints;
use crate::error::{Exit, Failure};
use crate::style::{self, count};

/// Of a read with all its attempts, and until what is missing is lost. The help of the flags says them too.
const TIMEOUT: Duration = Duration::from_secs(10);
const SETTLE: Duration = Duration::from_secs(30);

/// Runs the command.
pub async fn run(args: &CheckArgs) -> Result<(), Failure> {
    let verdict = verdict(args).await.map_err(Failure::without_verdict)?;
    match args.output {
        Output::Json | Output::Yaml => {
            let json = serde_json::to_value(&verdict).map_err(|error| Failure::failed(error.to_string()))?;
            style::print_value(args.output, &json).map_err(Failure::without_verdict)?;
        }
        Output::Text => style::print(text(&verdict)).map_err(Failure::without_verdict)?,
    }
    match (verdict.lost_count, verdict.wrong_count) {
        (0, 0) if verdict.unjudged_count > 0 => Err(unjudged(&verdict)),
        (0, 0) => Ok(()),
        (lost, wrong) => {
            let (lost, wrong) = (count(lost, "acknowledged write"), count(wrong, "value"));
            Err(Failure::failed(format!("lost: {lost}; not as they should be: {wrong}")))
        }
    }
}

async fn verdict(args: &CheckArgs) -> Result<Verdict, Failure> {
    let endpoints = Endpoints::find(&args.connection)?.clients()?.to_vec();
    let (timeout, settle) = (args.timeout.unwrap_or(TIMEOUT), args.settle.unwrap_or(SETTLE));
    let reading = Reading { endpoints, r: args.r.unwrap_or_default(), timeout, settle };
    check::acknowledged(&args.runs, &reading).await.map_err(|error| failure(&error))
}

fn unjudged(verdict: &Verdict) -> Failure {
    let missing = count(verdict.unjudged_count, "acknowledged write");
    let failure =
        Failure::new(Exit::Inconclusive, format!("not judged: {missing} missing, which others may have replaced"));
    match verdict.unfinished_runs {
        0 => failure.hint("Name all runs that wrote to the bucket: driftkv lab check RUN RUN…; a load with a --bucket of its own has no others."),
        _ => failure.hint("A loader was killed before its history was whole: nobody knows what its last requests wrote."),
    }
}

fn failure(error: &CheckError) -> Failure {
    match error {
        CheckError::Unreadable { .. } => Failure::unavailable(error.to_string())
            .hint("Nothing is said of writes that cannot be read; `driftkv status` shows who is reachable."),
        CheckError::History(_) | CheckError::Buckets { .. } | CheckError::Endpoint(_) => {
            Failure::usage(error.to_string())
        }
        CheckError::Broken(_) => Failure::failed(error.to_string()),
    }
}

fn text(verdict: &Verdict) -> String {
    let mut text = format!(
        "{}, {}: {} acknowledged, {} of unknown outcome; {} there{}\n",
        count(verdict.runs as u64, "run"),
        count(verdict.keys as u64, "key"),
        count(verdict.acknowledged, "write"),
        verdict.unknown,
        count(verdict.values, "value"),
        if verdict.foreign == 0 { String::new() } else { format!(", {} of others", verdict.foreign) },
    );
    for Place { key, value_id, why } in verdict.lost.iter().chain(&verdict.wrong) {
        text += &format!("{key}: {value_id} {why}\n");
    }
    let more = verdict.lost_count + verdict.wrong_count - (verdict.lost.len() + verdict.wrong.len()) as u64;
    if more > 0 {
        text += &format!("and {more} more\n");
    }
    if verdict.late_count > 0 {
        let (late, after) = (count(verdict.late_count, "acknowledged write"), style::duration(verdict.late_ms));
        text += &format!("late: {late} missing at first, the last of them there after {after}\n");
    }
    if verdict.unfinished_runs > 0 {
        let runs = count(verdict.unfinished_runs as u64, "run");
        text += &format!("unfinished: {runs} (the loader was killed); its last requests have no line in the history\n");
    }
    if verdict.unjudged_count > 0 {
        let missing = count(verdict.unjudged_count, "acknowledged write");
        text += &format!(
            "not judged: {missing} missing, which others, or requests without a line, may have replaced or deleted\n"
        );
    }
    if verdict.lost_count == 0 && verdict.unjudged_count == 0 {
        text += "no acknowledged write is lost\n";
    }
    text
}
