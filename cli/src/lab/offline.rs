//! `driftkv lab check` without a cluster: judges runs by their histories alone.

use driftkv_lab::offline::{self, Outcome, RunVerdict};
use serde_json::json;

use crate::args::{CheckArgs, Output};
use crate::endpoints::Endpoints;
use crate::error::{Exit, Failure};
use crate::style;

/// No nodes are named, or something is asked that only histories tell.
pub fn is_meant(args: &CheckArgs) -> bool {
    !args.history.judges.expect.is_empty() || !Endpoints::are_named(&args.connection)
}

/// Runs the command.
pub fn run(args: &CheckArgs) -> Result<(), Failure> {
    let of_reading =
        [("-r", args.r.is_some()), ("--timeout", args.timeout.is_some()), ("--settle", args.settle.is_some())];
    if let Some((flag, _)) = of_reading.iter().find(|(_, is_given)| *is_given) {
        let why = format!("{flag} is for reading the store, and no nodes are named");
        return Err(bad(why).hint("Name them: --data .driftkv, or --endpoint HOST."));
    }
    let judges = &args.history.judges;
    let expected = (!judges.expect.is_empty()).then_some(&judges.expect[..]);
    let judge = |run: &std::path::PathBuf| {
        let verdict = offline::judge(run, expected, &judges.budget(), judges.choice());
        verdict.map_err(|error| bad(error.to_string()))
    };
    let verdicts = args.runs.iter().map(judge).collect::<Result<Vec<RunVerdict>, Failure>>()?;
    let verdict = verdicts.iter().map(|run| run.verdict).max().unwrap_or_default();
    match args.output {
        Output::Json | Output::Yaml => {
            style::print_value(args.output, &json!({ "verdict": verdict, "runs": verdicts }))
                .map_err(Failure::without_verdict)?
        }
        Output::Text => {
            let texts: Vec<String> = verdicts.iter().map(RunVerdict::to_string).collect();
            style::print(texts.join("\n")).map_err(Failure::without_verdict)?;
            style::note(
                "Whether acknowledged writes are still there is asked of the store: --data .driftkv, or --endpoint HOST.",
            );
        }
    }
    ended(verdict, &verdicts)
}

fn bad(message: impl Into<String>) -> Failure {
    Failure::new(Exit::BadInput, message)
}

fn ended(verdict: Outcome, verdicts: &[RunVerdict]) -> Result<(), Failure> {
    let exit = match verdict {
        Outcome::Holds => return Ok(()),
        Outcome::Unknown => Exit::Inconclusive,
        Outcome::Violated => Exit::Failed,
    };
    let told = verdicts.iter().filter(|run| run.verdict == verdict);
    let told: Vec<String> = told.map(|run| format!("run {}: {}", run.run, run.sentence())).collect();
    Err(Failure::new(exit, told.join("\n")))
}
