//! `driftkv lab check`: whether the writes that runs were promised are there.

use driftkv_lab::check::{self, CheckError, Place, Reading, Verdict};

use crate::args::{CheckArgs, Output};
use crate::endpoints::Endpoints;
use crate::error::Failure;
use crate::style;

/// Runs the command.
pub async fn run(args: &CheckArgs) -> Result<(), Failure> {
    let endpoints = Endpoints::find(&args.connection)?.clients()?.to_vec();
    let reading = Reading { endpoints, r: args.r.unwrap_or_default(), timeout: args.timeout };
    let verdict = check::acknowledged(&args.runs, &reading).await.map_err(|error| failure(&error))?;
    match args.output {
        Output::Json => {
            style::print_json(&serde_json::to_value(&verdict).map_err(|error| Failure::failed(error.to_string()))?)?;
        }
        Output::Text => style::print(text(&verdict))?,
    }
    match (verdict.lost_count, verdict.wrong_count) {
        (0, 0) => Ok(()),
        (lost, wrong) => Err(Failure::failed(format!("{lost} acknowledged writes are lost, {wrong} values are wrong"))),
    }
}

fn failure(error: &CheckError) -> Failure {
    match error {
        CheckError::Unreadable { .. } => Failure::unavailable(error.to_string())
            .hint("Nothing is said of writes that cannot be read; `driftkv status` shows who is reachable."),
        CheckError::History(_) | CheckError::Buckets { .. } => Failure::usage(error.to_string()),
        CheckError::Broken(_) => Failure::failed(error.to_string()),
    }
}

fn text(verdict: &Verdict) -> String {
    let runs = if verdict.runs == 1 { "1 run".to_owned() } else { format!("{} runs", verdict.runs) };
    let mut text = format!(
        "{runs}, {} keys: {} writes acknowledged, {} of unknown outcome; {} values there{}\n",
        verdict.keys,
        verdict.acknowledged,
        verdict.unknown,
        verdict.values,
        if verdict.foreign == 0 { String::new() } else { format!(", {} of others", verdict.foreign) },
    );
    for Place { key, value_id, why } in verdict.lost.iter().chain(&verdict.wrong) {
        text += &format!("{key}: {value_id} {why}\n");
    }
    let more = verdict.lost_count + verdict.wrong_count - (verdict.lost.len() + verdict.wrong.len()) as u64;
    if more > 0 {
        text += &format!("and {more} more\n");
    }
    if verdict.lost_count == 0 {
        text += "no acknowledged write is lost\n";
    }
    text
}
