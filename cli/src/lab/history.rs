//! `driftkv lab check --format`: judges a history that any tool recorded, by the operations alone.

use driftkv_lab::import::{self, Format, Imported};
use driftkv_lab::judges::linearizable::{self, Choice, Finding, Model, Report, Shown};
use driftkv_lab::judges::{Budget, Verdict};
use serde_json::json;

use crate::args::lab::{HistoryFormat, HistoryModel, JudgeArgs};
use crate::args::{CheckArgs, Output};
use crate::error::{Exit, Failure};
use crate::input;
use crate::style::{self, count};

/// The most that is read.
const BYTES_MAX: usize = 256 * 1024 * 1024;

/// Runs the command.
pub fn run(args: &CheckArgs) -> Result<(), Failure> {
    let (Some(format), Some(model)) = (args.history.format, args.history.model) else {
        return Err(bad("--format and --model are given together".to_owned()));
    };
    let [file] = &args.runs[..] else { return Err(bad("with --format one file is judged at a time".to_owned())) };
    let bytes = input::bytes(file, BYTES_MAX).map_err(|failure| Failure { exit: Exit::BadInput, ..failure })?;
    let model = self::model(model);
    let imported = import::read(&bytes, self::format(format), model, args.history.initial.as_deref())
        .map_err(|error| bad(format!("{}: {error}", file.display())))?;
    drop(bytes);
    let judges = &args.history.judges;
    let report = linearizable::check(&imported.account, model, &judges.budget(), judges.choice());
    show(args, &imported, &report)?;
    match report.verdict {
        Verdict::Valid => Ok(()),
        Verdict::Invalid => Err(Failure::failed("not linearizable")),
        Verdict::Unknown => Err(Failure::new(Exit::Inconclusive, "unknown: the budget was used up")
            .hint("--budget 10m gives it more time, --budget-memory 8192 more memory.")),
    }
}

fn bad(message: String) -> Failure {
    Failure::new(Exit::BadInput, message)
}

impl JudgeArgs {
    /// What the search may use.
    pub(super) fn budget(&self) -> Budget {
        let memory_bytes = usize::try_from(u64::from(self.budget_memory) << 20).unwrap_or(usize::MAX);
        Budget { time: self.budget, memory_bytes }
    }

    /// Who judges.
    pub(super) fn choice(&self) -> Choice {
        if self.search_only { Choice::SearchOnly } else { Choice::Fastest }
    }
}

fn format(format: HistoryFormat) -> Format {
    match format {
        HistoryFormat::JepsenEdn => Format::JepsenEdn,
        HistoryFormat::JepsenLog => Format::JepsenLog,
        HistoryFormat::PorcupineKv => Format::PorcupineKv,
        HistoryFormat::PorcupineJson => Format::PorcupineJson,
    }
}

fn model(model: HistoryModel) -> Model {
    match model {
        HistoryModel::Register => Model::Register,
        HistoryModel::CasRegister => Model::CasRegister,
        HistoryModel::Append => Model::Append,
        HistoryModel::Set => Model::Set,
    }
}

fn show(args: &CheckArgs, imported: &Imported, report: &Report) -> Result<(), Failure> {
    match args.output {
        Output::Json | Output::Yaml => {
            let told = serde_json::to_value(report).map_err(|error| Failure::failed(error.to_string()))?;
            let left_out = json!({ "left_out": imported.left_out, "other_lines": imported.other_lines });
            style::print_value(args.output, &json!({ "linearizable": told, "input": left_out }))
                .map_err(Failure::without_verdict)
        }
        Output::Text => style::print(text(imported, report)).map_err(Failure::without_verdict),
    }
}

fn text(imported: &Imported, report: &Report) -> String {
    let verdict = match report.verdict {
        Verdict::Valid => "linearizable",
        Verdict::Invalid => "not linearizable",
        Verdict::Unknown => "unknown",
    };
    let mut text = format!(
        "{verdict}: {} of {}; {} linearizable, {} not, {} unknown ({} by zones, {} by inclusion, the others by search)\n",
        count(report.operations as u64, "operation"),
        count((report.valid + report.invalid + report.unknown) as u64, "key"),
        report.valid,
        report.invalid,
        report.unknown,
        report.by_zones,
        report.by_inclusion,
    );
    if imported.left_out > 0 {
        text += &format!("left out: {} that say nothing (not done, or reads without an answer)\n", imported.left_out);
    }
    if imported.other_lines > 0 {
        text += &format!("left out: {} about something else\n", count(imported.other_lines, "line"));
    }
    for Finding { key, why, witness, .. } in &report.findings {
        text += &if key.is_empty() { format!("{why}\n") } else { format!("key {key}: {why}\n") };
        witness.iter().for_each(|shown| text += &line(shown));
    }
    text
}

fn line(shown: &Shown) -> String {
    let Shown { process, source, start, end, what, .. } = shown;
    let end = end.map_or_else(|| "?".to_owned(), |end| end.to_string());
    format!("  line {source:<6} process {process:<4} {:>12}  {what}\n", format!("{start}..{end}"))
}
