//! `driftkv chaos`: an experiment to every node, what it does there, and its end.
//! Invariant: nothing is sent before the text is understood, every name is a member, and, where N, R and W are known,
//! the quorum survives or the experiment says that it need not. If one node refuses, the others are cleared again.
//! Not here: the vocabulary (`driftkv_proto::faults`), injecting (`node`).

use std::path::Path;

use driftkv_proto::faults::{EXPERIMENT_BYTES_MAX, Experiment, ParseError};
use driftkv_proto::v1::{self, FaultStatus};
use serde_json::{Value, json};

use crate::admin::{self, Answer};
use crate::args::{ChaosCommand, Output};
use crate::endpoints::{AdminEndpoint, Endpoints};
use crate::error::{Exit, Failure};
use crate::input;
use crate::style::{self, Paint, count, duration, one_line};

pub mod show;

/// Runs the command.
pub async fn run(command: &ChaosCommand) -> Result<(), Failure> {
    match command {
        ChaosCommand::Apply { file, id, connection } => {
            let (text, experiment) = load(file, id.as_deref())?;
            let endpoints = Endpoints::find(connection)?;
            let nodes = admin::all_nodes(&endpoints).await;
            check(&experiment, &endpoints, &nodes, file)?;
            if is_begun(&nodes, &experiment).await? {
                return style::print(format!("experiment {} is active already; nothing was begun\n", experiment.id));
            }
            let (told, verdict) = apply(&nodes, &text, &experiment).await;
            style::print(told)?;
            verdict
        }
        ChaosCommand::Status { all, output, connection } => {
            let nodes = admin::all_nodes(&Endpoints::find(connection)?).await;
            let answers = admin::faults(&nodes).await;
            match output {
                Output::Json | Output::Yaml => style::print_value(*output, &show::json(&answers))?,
                Output::Text => style::print(show::text(Paint::stdout(), &answers, *all))?,
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
    let request = v1::ApplyFaultsRequest { experiment: text.to_owned(), ..Default::default() };
    let question = move |mut client: admin::AdminClient| {
        let request = request.clone();
        async move { client.apply_faults(request).await }
    };
    let answers = admin::ask_all(nodes, question).await;
    let is_refusal = |failure: &Failure| failure.exit != Exit::Unavailable;
    if answers.iter().any(|(_, answer)| answer.as_ref().is_err_and(is_refusal)) {
        clear(&admin::awake(&answers), &experiment.id).await;
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

/// Whether the experiment is active on every node.
///
/// Errors: some node has had one of that id, active or ended, and would not begin another: the cluster would be half in it.
pub async fn is_begun(nodes: &[AdminEndpoint], experiment: &Experiment) -> Result<bool, Failure> {
    let mut known = Vec::new();
    let mut active = 0;
    for (node, answer) in admin::faults(nodes).await {
        let experiments = answer.map(|status| status.experiments).unwrap_or_default();
        if let Some(one) = experiments.into_iter().find(|one| one.id == experiment.id) {
            active += usize::from(one.state == "active");
            known.push(format!("{} ({})", one_line(&node.name), one_line(&one.state)));
        }
    }
    if known.is_empty() || active == nodes.len() {
        return Ok(active > 0);
    }
    let message = format!("experiment {} was begun before: {}", experiment.id, known.join(", "));
    Err(Failure::usage(message).hint(
        "A node begins an id once until it restarts: change the file's id, or `chaos apply --id NEW`. Nothing was injected.",
    ))
}

/// The experiment in `file`, under another id if one is given, and its text.
pub fn load(file: &Path, id: Option<&str>) -> Result<(String, Experiment), Failure> {
    let text = read(file)?;
    let experiment = parse(&text, file)?;
    let Some(id) = id else { return Ok((text, experiment)) };
    let renamed = serde_saphyr::from_str::<Value>(&text).ok().and_then(|mut value| {
        value.as_object_mut()?.insert("id".to_owned(), json!(id));
        Some(value.to_string())
    });
    let text = renamed.ok_or_else(|| Failure::usage(format!("{}: its id cannot be replaced", name(file))))?;
    let experiment =
        Experiment::parse(&text).map_err(|error| Failure::usage(format!("--id {id}: {}", error.message)))?;
    Ok((text, experiment))
}

/// What to call a file in errors.
fn name(file: &Path) -> String {
    if file == Path::new("-") { "stdin".to_owned() } else { file.display().to_string() }
}

/// The experiment in `text`; `file` is its name in errors.
pub fn parse(text: &str, file: &Path) -> Result<Experiment, Failure> {
    let experiment = Experiment::parse(text).map_err(|error| {
        Failure::usage(format!("{}:{}:{}: {}", name(file), error.line, error.column, error.message))
    })?;
    match experiment.unsupported() {
        Some(ParseError { line, column, message }) => {
            Err(Failure::usage(format!("{}:{line}:{column}: {message}", name(file))))
        }
        None => Ok(experiment),
    }
}

/// Whether all its nodes are members, and whether the cluster survives it as far as its quorums are known.
pub fn check(experiment: &Experiment, from: &Endpoints, nodes: &[AdminEndpoint], file: &Path) -> Result<(), Failure> {
    let Some(cluster) = &from.file else {
        return Ok(());
    };
    let members: Vec<String> = nodes.iter().map(|node| node.name.clone()).collect();
    let quorums = [cluster.replication_factor, cluster.read_quorum, cluster.write_quorum].map(|count| count as usize);
    survives(experiment, &members, quorums, file)
}

/// Whether all its nodes are among `members`, and whether a cluster of these N, R and W survives it.
pub fn survives(
    experiment: &Experiment,
    members: &[String],
    [n, r, w]: [usize; 3],
    file: &Path,
) -> Result<(), Failure> {
    experiment.quorum_check(members, n, r, w).map_err(|refusal| {
        let place = refusal.place().map_or_else(String::new, |(line, column)| format!(":{line}:{column}"));
        Failure::usage(format!("{}{place}: {refusal}", name(file)))
    })
}

/// The text of `file`; `-` is stdin.
pub fn read(file: &Path) -> Result<String, Failure> {
    input::text(file, EXPERIMENT_BYTES_MAX)
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
    let first = failures.iter().find(|failure| failure.exit == exit).map_or("", |failure| failure.message.as_str());
    let how_many = format!("{} of {} refused or failed", failures.len(), count(asked, "node"));
    let failure = Failure::new(exit, format!("{how_many}; {}", one_line(first)));
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{parse, report, show, verdict};
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
        let text = show::text(Paint::off(), &[(node("a"), status(2)), (node("b"), status(4))], false);
        assert_eq!(text.matches("cut: {kind: drop}").count(), 1, "{text}");
        assert!(text.contains("a     cut         active  1.5s  0     3\n"), "{text}");
        assert!(report(&[(node("a"), Ok(()))], "applied").contains("a  applied"));
    }

    #[test]
    fn experiments_that_are_over_take_one_line() {
        let fault = FaultCounters { fault: "{kind: drop}".to_owned(), dropped: 3, ..FaultCounters::default() };
        let experiment = ActiveExperiment {
            id: "cut".to_owned(),
            state: "expired".to_owned(),
            faults: vec![fault],
            ..ActiveExperiment::default()
        };
        let status = || Ok(FaultStatus { is_allowed: true, experiments: vec![experiment.clone()] });
        let answers = [(node("a"), status()), (node("b"), status())];
        let short = show::text(Paint::off(), &answers, false);
        assert_eq!(short, "no active experiments\ncut expired on 2 nodes: 6 dropped\n");
        assert!(show::text(Paint::off(), &answers, true).contains("b     cut         expired"));
    }
}
