//! What `driftkv chaos status` shows: the active experiments node by node, those that are over in a line each.
//! Not here: asking the nodes (`chaos`).

use driftkv_proto::v1::{self, FaultStatus};
use serde_json::{Value, json};

use crate::admin::Answer;
use crate::endpoints::AdminEndpoint;
use crate::style::{self, Paint, count, duration, one_line};

const HEADINGS: [&str; 10] =
    ["NODE", "EXPERIMENT", "STATE", "LEFT", "SEEN", "DELAYED", "DROPPED", "DOUBLED", "LATE", "FIRED"];

/// A table of what is active, then a line for each experiment that has ended; `is_all`: a row a node for those too.
pub fn text(paint: Paint, answers: &[Answer<FaultStatus>], is_all: bool) -> String {
    let (mut rows, mut ended) = (Vec::new(), Vec::<Ended>::new());
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
            if !is_all && experiment.state != "active" {
                Ended::count(&mut ended, experiment);
                continue;
            }
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
        out += if ended.is_empty() { "no experiments\n" } else { "no active experiments\n" };
    } else {
        out = faults.iter().fold(out, |out, line| out + line + "\n") + &style::table(paint, &HEADINGS, &rows);
    }
    ended.iter().fold(out, |out, one| out + &paint.dim(&one.line()) + "\n")
}

/// What an experiment that is over did, on all nodes together.
#[derive(Debug)]
struct Ended {
    id: String,
    states: Vec<String>,
    nodes: u64,
    done: [(&'static str, u64); 5],
}

impl Ended {
    fn count(all: &mut Vec<Ended>, experiment: &v1::ActiveExperiment) {
        let id = one_line(&experiment.id);
        let found = all.iter().position(|one| one.id == id);
        let index = found.unwrap_or_else(|| {
            let done = ["delayed", "dropped", "doubled", "reordered", "fired"].map(|what| (what, 0));
            all.push(Ended { id, states: Vec::new(), nodes: 0, done });
            all.len() - 1
        });
        let Some(one) = all.get_mut(index) else { return };
        let state = one_line(&experiment.state);
        if !one.states.contains(&state) {
            one.states.push(state);
        }
        one.nodes += 1;
        for fault in &experiment.faults {
            let counts = [fault.delayed, fault.dropped, fault.duplicated, fault.reordered, fault.activations];
            one.done.iter_mut().zip(counts).for_each(|((_, sum), count)| *sum += count);
        }
    }

    fn line(&self) -> String {
        let did: Vec<String> =
            self.done.iter().filter(|(_, sum)| *sum > 0).map(|(what, sum)| format!("{sum} {what}")).collect();
        let did = if did.is_empty() { "did nothing".to_owned() } else { did.join(", ") };
        format!("{} {} on {}: {did}", self.id, self.states.join(" or "), count(self.nodes, "node"))
    }
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

/// The same for programs, all of it.
pub fn json(answers: &[Answer<FaultStatus>]) -> Value {
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
