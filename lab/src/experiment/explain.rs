//! An experiment in words: what will happen, how often, and how long it takes.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use super::read::Experiment;
use super::schedule;
use super::spec::{Keep, Spec};

/// Of starting a cluster, agreeing and judging, for each run; measured on two cores.
const OVERHEAD: Duration = Duration::from_millis(2_500);

/// All of `experiment`, in lines for a terminal.
pub fn explain(experiment: &Experiment) -> String {
    let Experiment { spec, grid, .. } = experiment;
    let mut out = format!("{}: {}\n\n", spec.name, spec.question.trim());
    let runs = runs(experiment);
    match grid.cells.as_slice() {
        [cell] => out += &one(&cell.spec),
        cells => {
            if let Some(first) = cells.first() {
                out += &format!("Of {} cells the first, {}:\n", cells.len(), first.name);
                out += &one(&first.spec);
            }
            out += "\nSlices:\n";
            for slice in &grid.slices {
                let axes = slice.spec.axes.iter().zip(&slice.labels);
                let axes: Vec<String> =
                    axes.map(|(axis, labels)| format!("{} = {}", axis.name, labels.join(", "))).collect();
                let _ = writeln!(out, "  {}: {} ({} cells)", slice.spec.name, axes.join("; "), slice.places.len());
            }
        }
    }
    let _ = writeln!(
        out,
        "\nRuns: {}, one after the other: {} of load, {} in all.",
        count(runs, "run"),
        words(load(experiment)),
        words(estimate(experiment))
    );
    let _ = write!(out, "{}", expectations(experiment));
    if spec.histories == Keep::Violated {
        out += "Histories are kept only of runs that do not keep what their quorums promise, or of which that is not known.\n";
    }
    out
}

/// How many runs it has.
pub fn runs(experiment: &Experiment) -> u64 {
    experiment.grid.cells.iter().map(|cell| u64::from(cell.spec.repetitions)).sum()
}

/// How long it takes, about.
pub fn estimate(experiment: &Experiment) -> Duration {
    load(experiment) + OVERHEAD * u32::try_from(runs(experiment)).unwrap_or(u32::MAX)
}

fn load(experiment: &Experiment) -> Duration {
    experiment.grid.cells.iter().map(|cell| schedule::length(&cell.spec) * cell.spec.repetitions).sum()
}

fn one(spec: &Spec) -> String {
    let quorums = schedule::quorums(spec);
    let cluster = cluster(spec);
    let plan = schedule::plan(spec, spec.seed);
    let workload = &plan.workload;
    let mut out = format!(
        "  cluster   {cluster}, N={} R={} W={}\n  load      {}: {}, {} bytes, {}, {} with {}\n  requests  {}\n",
        quorums.n,
        quorums.r,
        quorums.w,
        plan.pace,
        mix(spec),
        workload.value_bytes,
        count(workload.keys, "key"),
        count(u64::from(workload.workers), "worker"),
        count(u64::from(workload.sessions), "session"),
        plan.request,
    );
    for (phase, (name, from, to)) in spec.phases.iter().zip(schedule::phases(spec)) {
        let faults = match schedule::windows(spec, spec.seed, "0") {
            Ok(windows) => windows.into_iter().find(|window| window.phase == phase.name),
            Err(_) => None,
        };
        let faults = faults.map_or_else(Vec::new, |window| {
            window.experiment.faults.iter().map(driftkv_proto::faults::Fault::describe).collect()
        });
        let what = if faults.is_empty() { "nothing goes wrong".to_owned() } else { faults.join("; ") };
        let _ = writeln!(out, "  {:>5.1} s to {:>5.1} s  {name}: {what}", from.as_secs_f64(), to.as_secs_f64());
    }
    out + &afterwards(spec)
}

/// Which nodes, and where.
fn cluster(spec: &Spec) -> String {
    let nodes = schedule::nodes(spec).map(|nodes| count(u64::from(nodes), "node"));
    let place = spec.cluster.get("kubernetes");
    let field = |name: &str| place.and_then(|place| place.get(name)).and_then(Value::as_str);
    let space = field("namespace").map_or_else(String::new, |space| format!(", namespace {space}"));
    match (nodes, place, field("cluster")) {
        (None, ..) => "the nodes at its endpoints".to_owned(),
        (Some(nodes), None, _) => format!("{nodes} as processes of this machine"),
        (Some(nodes), Some(_), None) => format!("{nodes} on Kubernetes{space}, made for it and deleted afterwards"),
        (Some(nodes), Some(_), Some(name)) => format!("{nodes} of the KVCluster {name} on Kubernetes{space}"),
    }
}

fn mix(spec: &Spec) -> String {
    let mix = spec.workload.mix;
    let shares = [("get", mix.get), ("put", mix.put), ("delete", mix.delete), ("rmw", mix.rmw)];
    let shares: Vec<String> =
        shares.iter().filter(|(_, share)| *share > 0).map(|(name, share)| format!("{name}={share}")).collect();
    shares.join(",")
}

fn afterwards(spec: &Spec) -> String {
    let measure = &spec.measure;
    let mut out = String::new();
    if let Some(promise) = &measure.promise {
        let names: Vec<&str> = promise.iter().map(|property| property.name()).collect();
        let what = if names.is_empty() { "nothing but what every store promises".to_owned() } else { names.join(", ") };
        let _ = writeln!(out, "  judged    by histories: {what}, in place of what the quorums promise");
    }
    if let Some(visibility) = &measure.visibility {
        let _ = writeln!(
            out,
            "  probes    {} in `{}`: each writes a key that no other has under way and reads it once at another node, at {} times after",
            visibility.samples,
            visibility.phase,
            visibility.at.len()
        );
    }
    if let Some(live) = &measure.live_convergence {
        let deadline = words(live.deadline);
        let _ = writeln!(
            out,
            "  replicas  after the last fault is healed each is asked what it holds, while clients go on: all that was acknowledged before, within {deadline}"
        );
    }
    if let Some(convergence) = &measure.convergence {
        let read = if convergence.read_all { "every key is read at R=N, and then " } else { "" };
        let _ = writeln!(
            out,
            "  then      {read}the nodes' digests are compared until all owners agree, {} at most",
            words(convergence.deadline)
        );
    }
    if let Some(settle) = measure.lost_writes {
        let _ =
            writeln!(out, "  then      every key is read: each acknowledged write is there within {}", words(settle));
    }
    out
}

fn expectations(experiment: &Experiment) -> String {
    let mut out = "Expected:\n".to_owned();
    let slices = experiment.grid.slices.iter();
    let of_slices =
        slices.flat_map(|slice| slice.spec.expect.iter().map(move |expect| (slice.spec.name.as_str(), expect)));
    let all = experiment.spec.expect.iter().map(|expect| ("", expect)).chain(of_slices);
    let mut any = false;
    for (slice, expect) in all {
        any = true;
        let place = if slice.is_empty() { String::new() } else { format!(" (slice {slice})") };
        let when = expect.when.as_ref().map_or_else(String::new, |when| format!(", where {when}"));
        let _ = writeln!(out, "  {}{when}{place}", expect.that);
    }
    if any { out } else { "Nothing is expected beside what is promised: it is measured.\n".to_owned() }
}

fn count(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn words(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 120.. => format!("{} min", seconds.div_ceil(60)),
        _ if time.subsec_millis() == 0 => format!("{} s", time.as_secs()),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}
