//! `driftkv chaos`: an experiment to every node, what it does there, and its end.
//! Invariant: nothing is sent before the text is understood, every name is a member, and, where N, R and W are known,
//! the quorum survives or the experiment says that it need not. If one node refuses, the others are cleared again.
//! Not here: the vocabulary (`driftkv_proto::faults`), injecting (`node`).

use std::fs;
use std::io::Read;
use std::path::Path;

use driftkv_proto::faults::Experiment;
use driftkv_proto::v1::{self, FaultStatus};
use serde_json::{Value, json};

use crate::admin::{self, Answer};
use crate::args::{ChaosCommand, Output};
use crate::endpoints::{AdminEndpoint, Endpoints};
use crate::error::{Exit, Failure};
use crate::style::{self, Paint, count, duration, one_line};

const HEADINGS: [&str; 10] =
    ["NODE", "EXPERIMENT", "STATE", "LEFT", "SEEN", "DELAYED", "DROPPED", "DOUBLED", "REORDERED", "FIRED"];

/// Runs the command.
pub async fn run(command: &ChaosCommand) -> Result<(), Failure> {
    match command {
        ChaosCommand::Apply { file, connection } => {
            let text = read(file)?;
            let experiment = parse(&text, file)?;
            let endpoints = Endpoints::find(connection)?;
            let nodes = admin::all_nodes(&endpoints).await;
            check(&experiment, &endpoints, &nodes, file)?;
            let (told, verdict) = apply(&nodes, &text, &experiment).await;
            style::print(told)?;
            verdict
        }
        ChaosCommand::Status { output, connection } => {
            let nodes = admin::all_nodes(&Endpoints::find(connection)?).await;
            let question =
                |mut client: admin::AdminClient| async move { client.get_faults(v1::GetFaultsRequest {}).await };
            let answers = admin::ask_all(&nodes, question).await;
            match output {
                Output::Json => style::print_json(&json(&answers))?,
                Output::Text => style::print(text(Paint::stdout(), &answers))?,
            }
            verdict(answers)
        }
        ChaosCommand::Clear { id, connection } => {
            let nodes = admin::all_nodes(&Endpoints::find(connection)?).await;
            let answers = clear(&nodes, id.as_deref().unwrap_or_default()).await;
            style::print(report(&answers, "cleared"))?;
            verdict(answers)
        }
    }
}

/// Injects `text` at every node, or, if one refuses, at none. Says what each node did.
pub async fn apply(nodes: &[AdminEndpoint], text: &str, experiment: &Experiment) -> (String, Result<(), Failure>) {
    let request = v1::ApplyFaultsRequest { experiment: text.to_owned() };
    let question = move |mut client: admin::AdminClient| {
        let request = request.clone();
        async move { client.apply_faults(request).await }
    };
    let answers = admin::ask_all(nodes, question).await;
    let is_refusal = |failure: &Failure| failure.exit != Exit::Unavailable;
    if answers.iter().any(|(_, answer)| answer.as_ref().is_err_and(is_refusal)) {
        let taken: Vec<AdminEndpoint> =
            answers.iter().filter(|(_, answer)| answer.is_ok()).map(|(node, _)| node.clone()).collect();
        clear(&taken, &experiment.id).await;
        let told = report(&answers, "applied, and cleared again because another node refused");
        return (told, verdict(answers));
    }
    let mut out = format!("experiment {} for {}\n", experiment.id, duration(experiment.for_ms));
    for fault in &experiment.faults {
        out += &format!("  {}\n", one_line(&fault.describe()));
    }
    (out + &report(&answers, "applied"), verdict(answers))
}

/// Ends one experiment, or all if `id` is empty.
pub async fn clear(nodes: &[AdminEndpoint], id: &str) -> Vec<Answer<FaultStatus>> {
    let request = v1::ClearFaultsRequest { id: id.to_owned() };
    let question = move |mut client: admin::AdminClient| {
        let request = request.clone();
        async move { client.clear_faults(request).await }
    };
    admin::ask_all(nodes, question).await
}

/// The experiment in `text`; `file` is its name in errors.
pub fn parse(text: &str, file: &Path) -> Result<Experiment, Failure> {
    let experiment = Experiment::parse(text).map_err(|error| {
        Failure::usage(format!("{}:{}:{}: {}", file.display(), error.line, error.column, error.message))
    })?;
    match experiment.unsupported() {
        Some(why) => Err(Failure::usage(format!("{}: {why}", file.display()))),
        None => Ok(experiment),
    }
}

/// Whether the cluster survives it, as far as its quorums are known.
pub fn check(experiment: &Experiment, from: &Endpoints, nodes: &[AdminEndpoint], file: &Path) -> Result<(), Failure> {
    let Some(cluster) = &from.file else {
        return Ok(());
    };
    let members: Vec<String> = nodes.iter().map(|node| node.name.clone()).collect();
    let [n, r, w] = [cluster.replication_factor, cluster.read_quorum, cluster.write_quorum].map(|count| count as usize);
    let refused = |refusal| Failure::usage(format!("{}: {refusal}", file.display()));
    experiment.quorum_check(&members, n, r, w).map_err(refused)
}

/// The text of `file`; `-` is stdin.
pub fn read(file: &Path) -> Result<String, Failure> {
    if file != Path::new("-") {
        return fs::read_to_string(file).map_err(|error| Failure::io(file, &error));
    }
    let mut text = String::new();
    let read = std::io::stdin().lock().read_to_string(&mut text);
    read.map(|_| text).map_err(|error| Failure::io(Path::new("stdin"), &error))
}

/// Fails if a node did not do what it was asked.
pub fn verdict<T>(answers: Vec<Answer<T>>) -> Result<(), Failure> {
    let asked = answers.len() as u64;
    let failures: Vec<Failure> = answers.into_iter().filter_map(|(_, answer)| answer.err()).collect();
    let Some(exit) = failures.iter().map(|failure| failure.exit).find(|exit| *exit != Exit::Unavailable) else {
        let nodes = count(asked, "node");
        return match failures.len() {
            0 => Ok(()),
            silent => Err(Failure::unavailable(format!("{silent} of {nodes} did not answer"))
                .hint("`driftkv status` shows who is up. A node that comes back does not catch up on experiments.")),
        };
    };
    let failure = Failure::new(exit, format!("{} of {} refused or failed", failures.len(), count(asked, "node")));
    let is_forbidden = failures.iter().any(|failure| failure.message.contains("--allow-faults"));
    let hint = "Nodes obey only with allowFaults: true in the manifest (flag --allow-faults of driftkv-node).";
    Err(if is_forbidden { failure.hint(hint) } else { failure })
}

/// One line a node.
fn report<T>(answers: &[Answer<T>], done: &str) -> String {
    let width = answers.iter().map(|(node, _)| node.name.chars().count()).max().unwrap_or(0);
    let line = |(node, answer): &Answer<T>| match answer {
        Ok(_) => format!("  {:width$}  {done}\n", one_line(&node.name)),
        Err(failure) => {
            // The message begins with the node's name, which the line has already.
            let why =
                failure.message.strip_prefix(&node.name).unwrap_or(&failure.message).trim_start_matches([':', ' ']);
            format!("  {:width$}  {}\n", one_line(&node.name), one_line(why))
        }
    };
    answers.iter().map(line).collect()
}

fn text(paint: Paint, answers: &[Answer<FaultStatus>]) -> String {
    let mut rows = Vec::new();
    let mut faults: Vec<String> = Vec::new();
    let mut out = String::new();
    for (node, answer) in answers {
        let status = match answer {
            Ok(status) => status,
            Err(failure) => {
                out += &format!("{}\n", paint.red(&one_line(&failure.message)));
                continue;
            }
        };
        if !status.is_allowed {
            out += &format!("{} allows no faults\n", one_line(&node.name));
        }
        for experiment in &status.experiments {
            rows.push(row(node, experiment));
            for fault in &experiment.faults {
                let line = format!("{}: {}", one_line(&experiment.id), one_line(&fault.fault));
                if !faults.contains(&line) {
                    faults.push(line);
                }
            }
        }
    }
    if rows.is_empty() {
        return out + "no experiments\n";
    }
    faults.iter().fold(out, |out, line| out + line + "\n") + &style::table(paint, &HEADINGS, &rows)
}

fn row(node: &AdminEndpoint, experiment: &v1::ActiveExperiment) -> Vec<String> {
    let sum = |of: fn(&v1::FaultCounters) -> u64| experiment.faults.iter().map(of).sum::<u64>();
    // Nothing instead of a zero: what no node did has no column then.
    let done = |of| Some(sum(of)).filter(|count| *count > 0).map(|count| count.to_string()).unwrap_or_default();
    vec![
        one_line(&node.name),
        one_line(&experiment.id),
        one_line(&experiment.state),
        duration(experiment.remaining_ms),
        sum(|fault| fault.seen).to_string(),
        done(|fault| fault.delayed),
        done(|fault| fault.dropped),
        done(|fault| fault.duplicated),
        done(|fault| fault.reordered),
        done(|fault| fault.activations),
    ]
}

fn json(answers: &[Answer<FaultStatus>]) -> Value {
    let fault = |fault: &v1::FaultCounters| {
        json!({
            "fault": fault.fault, "appliesHere": fault.applies_here, "seen": fault.seen, "delayed": fault.delayed,
            "dropped": fault.dropped, "duplicated": fault.duplicated, "reordered": fault.reordered,
            "activations": fault.activations,
        })
    };
    let experiment = |experiment: &v1::ActiveExperiment| {
        json!({
            "id": experiment.id, "state": experiment.state, "remainingMs": experiment.remaining_ms,
            "text": experiment.text, "faults": experiment.faults.iter().map(fault).collect::<Vec<_>>(),
        })
    };
    let node = |(node, answer): &Answer<FaultStatus>| match answer {
        Ok(status) => json!({
            "name": node.name, "isAllowed": status.is_allowed,
            "experiments": status.experiments.iter().map(experiment).collect::<Vec<_>>(),
        }),
        Err(failure) => json!({ "name": node.name, "error": failure.message }),
    };
    json!({ "nodes": answers.iter().map(node).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{parse, report, text, verdict};
    use crate::endpoints::AdminEndpoint;
    use crate::error::{Exit, Failure};
    use crate::style::Paint;
    use driftkv_proto::v1::{ActiveExperiment, FaultCounters, FaultStatus};
    use std::path::Path;

    fn node(name: &str) -> AdminEndpoint {
        AdminEndpoint { name: name.to_owned(), address: "a:1".to_owned() }
    }

    #[test]
    fn a_bad_experiment_names_file_line_and_column() {
        let failure = parse("for: 5s\nfaults:\n  - kind: explode\n", Path::new("x.yaml")).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.starts_with("x.yaml:3:"), "{}", failure.message);
    }

    #[test]
    fn the_examples_are_experiments_that_five_nodes_take() {
        let members: Vec<String> = (0..5).map(|index| format!("demo-{index}")).collect();
        let examples = [
            include_str!("../../examples/cut.yaml"),
            include_str!("../../examples/slow-links.yaml"),
            include_str!("../../examples/rough-network.yaml"),
            include_str!("../../examples/sleepy-node.yaml"),
            include_str!("../../examples/crash.yaml"),
            include_str!("../../examples/slow-disk.yaml"),
            include_str!("../../examples/failing-disk.yaml"),
            include_str!("../../examples/wrong-clocks.yaml"),
        ];
        for text in examples {
            let experiment = parse(text, Path::new("x.yaml")).unwrap();
            assert_eq!(experiment.quorum_check(&members, 3, 2, 2), Ok(()));
        }
    }

    #[test]
    fn one_silent_node_is_unavailable_and_one_refusal_is_the_refusal() {
        let silent = || (node("b"), Err(Failure::unavailable("gone")));
        assert_eq!(verdict(vec![(node("a"), Ok(()))]), Ok(()));
        assert_eq!(verdict(vec![(node("a"), Ok(())), silent()]).unwrap_err().exit, Exit::Unavailable);
        let refused = (node("c"), Err(Failure::failed("no")));
        assert_eq!(verdict::<()>(vec![silent(), refused]).unwrap_err().exit, Exit::Failed);
    }

    #[test]
    fn counters_are_summed_and_each_fault_is_told_once() {
        let fault = |dropped| FaultCounters { fault: "{kind: drop}".to_owned(), dropped, ..FaultCounters::default() };
        let experiment = |dropped| ActiveExperiment {
            id: "cut".to_owned(),
            state: "active".to_owned(),
            remaining_ms: 1500,
            faults: vec![fault(dropped), fault(1)],
            ..ActiveExperiment::default()
        };
        let status = |dropped| Ok(FaultStatus { is_allowed: true, experiments: vec![experiment(dropped)] });
        let text = text(Paint::off(), &[(node("a"), status(2)), (node("b"), status(4))]);
        assert_eq!(text.matches("cut: {kind: drop}").count(), 1, "{text}");
        assert!(text.contains("a     cut         active  1.5s  0     3\n"), "{text}");
        assert!(report(&[(node("a"), Ok(()))], "applied").contains("a  applied"));
    }
}
