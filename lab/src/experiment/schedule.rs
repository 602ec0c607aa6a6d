//! One run of one cell as what will happen: a plan of operations, and experiments of the fault vocabulary with their times.
//! Invariants: it follows from the cell and the seed alone; a phase's faults begin with it and end with it, by themselves if nobody ends them.

use std::time::Duration;

use driftkv_proto::faults;
use serde_json::{Map, Value, json};

use super::place::Places;
use super::refused::{Refused, parts};
use super::spec::{LiveSpec, PhaseSpec, Spec, VisibilitySpec};
use crate::load::Quorums;
use crate::plan::{Action, Pace, Plan, Request, Shape, Until, Workload};
use crate::visibility;

/// The name of a cluster that has none.
pub const CLUSTER_NAME: &str = "lab";

/// Of more nodes no names are made: whoever makes clusters refuses them.
const NODES_MAX: u32 = 10_000;

/// Operations that an open loop may have in flight, if the file does not say.
const IN_FLIGHT: usize = 1_000;

/// A fault of a phase, in its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// The phase.
    pub phase: String,
    /// After the run's start.
    pub from: Duration,
    /// After the run's start.
    pub to: Duration,
    /// As nodes take it.
    pub text: String,
    /// The same, read.
    pub experiment: faults::Experiment,
}

/// The phases of a run: name, begin and end after its start.
pub fn phases(spec: &Spec) -> Vec<(String, Duration, Duration)> {
    let mut at = Duration::ZERO;
    let part = |phase: &PhaseSpec| {
        let from = at;
        at += phase.length;
        (phase.name.clone(), from, at)
    };
    spec.phases.iter().map(part).collect()
}

/// How long the load of a run lasts.
pub fn length(spec: &Spec) -> Duration {
    spec.phases.iter().map(|phase| phase.length).sum()
}

/// What is asked in the run with `seed`; each run has a bucket of its own besides.
pub fn plan(spec: &Spec, seed: u64) -> Plan {
    let (workload, request) = (&spec.workload, &spec.request);
    let length = length(spec);
    let in_flight = spec.load.in_flight.unwrap_or(IN_FLIGHT);
    let pace = match spec.load.rate.map(|rate| spec.load.arrivals.at(Some(rate))) {
        Some(Ok(arrivals)) => Pace::Open { arrivals, duration: length, in_flight },
        // Arrivals with rates of their own have none besides; `check` has seen to it.
        _ => match spec.load.arrivals.at(None) {
            Ok(arrivals) => Pace::Open { arrivals, duration: length, in_flight },
            Err(_) => Pace::Closed { until: Until::After(length) },
        },
    };
    Plan {
        seed,
        workload: Workload {
            bucket: format!("lab-{}", spec.name),
            keys: workload.keys,
            key_prefix: "key-".to_owned(),
            distribution: workload.distribution,
            own_keys: workload.own_keys,
            mix: workload.mix,
            writes: workload.writes,
            value_bytes: workload.value_bytes,
            workers: workload.workers,
            sessions: workload.sessions.unwrap_or(workload.workers),
            routing: workload.routing,
        },
        pace,
        request: Request {
            read_mode: request.read_mode,
            r: request.r.unwrap_or(0),
            w: request.w.unwrap_or(0),
            timeout: request.timeout,
            retry: request.retry.unwrap_or(Duration::ZERO),
            connections: request.connections,
        },
    }
}

/// The faults of the run that `run` names, in order. Errors: a phase has none that can be injected.
pub fn windows(spec: &Spec, seed: u64, run: &str) -> Result<Vec<Window>, Refused> {
    let mut windows = Vec::new();
    for (index, (phase, (name, from, to))) in spec.phases.iter().zip(phases(spec)).enumerate() {
        let at = format!("phases.{index}");
        if phase.faults.is_empty() {
            continue;
        }
        let text = json!({
            "id": format!("{name}-{run}"),
            "for": format!("{}ms", phase.length.as_millis()),
            "seed": seed,
            "allowQuorumLoss": phase.allow_quorum_loss,
            "faults": phase.faults,
        })
        .to_string();
        let experiment = faults::Experiment::parse(&text).map_err(|error| {
            let why = format!("phase `{name}`: faults: {}", error.message);
            Refused { at: fault_at(&text, (error.line, error.column)), why }.within(&at)
        })?;
        if let Some(error) = experiment.unsupported() {
            let why = format!("phase `{name}`: {}", error.message);
            return Err(Refused { at: fault_at(&text, (error.line, error.column)), why }.within(&at));
        }
        windows.push(Window { phase: name, from, to, text, experiment });
    }
    Ok(windows)
}

/// The field of a phase that stands at `place` in the text that nodes take; empty if it is none of the file's.
fn fault_at(text: &str, place: (u64, u64)) -> Vec<String> {
    let inner = Places::of(text).path_at(place);
    if inner.first().is_some_and(|first| first == "faults") { inner } else { Vec::new() }
}

/// N, R and W, as far as the settings say; the defaults of a KVCluster where they do not.
pub fn quorums(spec: &Spec) -> Quorums {
    let [n, r, w] = own_quorums(spec);
    Quorums { n, r: spec.request.r.unwrap_or(r), w: spec.request.w.unwrap_or(w) }
}

/// N, R and W of the cluster, whatever requests ask for.
fn own_quorums(spec: &Spec) -> [u32; 3] {
    let usual = [("replicationFactor", 3), ("readQuorum", 2), ("writeQuorum", 2)];
    usual.map(|(name, usual)| number(&spec.cluster, name).unwrap_or(usual))
}

/// Number of nodes, if the settings say.
pub fn nodes(spec: &Spec) -> Option<u32> {
    number(&spec.cluster, "replicas")
}

/// Reads a number of the settings.
pub type Setting = fn(&Spec) -> Option<u32>;

/// What expectations may call by name besides metrics and axes, and what it is, if the settings say.
pub const SETTINGS: [(&str, Setting); 4] = [
    ("n", |spec| Some(quorums(spec).n)),
    ("r", |spec| Some(quorums(spec).r)),
    ("w", |spec| Some(quorums(spec).w)),
    ("nodes", nodes),
];

/// Names of the nodes, if the settings say: those of the KVCluster's pods, which processes of this machine have too.
pub fn members(spec: &Spec) -> Option<Vec<String>> {
    let place = spec.cluster.get("kubernetes").and_then(|place| place.get("cluster"));
    let name = place.or_else(|| spec.cluster.get("name")).and_then(Value::as_str).unwrap_or(CLUSTER_NAME);
    let count = nodes(spec).filter(|count| (1..=NODES_MAX).contains(count))?;
    Some((0..count).map(|index| format!("{name}-{index}")).collect())
}

fn number(cluster: &Map<String, Value>, name: &str) -> Option<u32> {
    cluster.get(name).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok())
}

/// The rules of a cell; the first that is broken.
pub(super) fn check(spec: &Spec) -> Result<(), Refused> {
    let arrivals = spec.load.arrivals;
    if spec.load.in_flight.is_some() && spec.load.rate.is_none() && arrivals == Shape::Constant {
        let at = "load.inFlight";
        return Err(Refused::at(
            at,
            format!("{at}: a closed loop has as many in flight as workers; it needs a `rate`"),
        ));
    }
    // Without a rate and arrivals it is a closed loop.
    if spec.load.rate.is_some() || arrivals != Shape::Constant {
        arrivals
            .at(spec.load.rate)
            .map_err(|why| Refused::at("load", format!("load: {}", why.replace("--rate", "rate"))))?;
    }
    let is_zero = spec.phases.iter().enumerate().find(|(_, phase)| phase.length.is_zero());
    if let Some((index, phase)) = is_zero {
        let why = format!("phase `{}`: for: it must be longer than nothing", phase.name);
        return Err(Refused::at(&format!("phases.{index}.for"), why));
    }
    plan(spec, spec.seed).check().map_err(|error| {
        let field = field_of(error.field);
        let at = field.split(' ').next().unwrap_or_default();
        Refused::at(at, format!("{field}: {}", error.why))
    })?;
    let quorums = quorums(spec);
    for (name, count) in [("r", quorums.r), ("w", quorums.w)] {
        if count == 0 || count > quorums.n {
            let at = match (name, spec.request.r, spec.request.w) {
                ("r", None, _) => "cluster.readQuorum".to_owned(),
                ("w", _, None) => "cluster.writeQuorum".to_owned(),
                _ => format!("request.{name}"),
            };
            let why = format!("{at}: {count} is not between 1 and N, which is {}", quorums.n);
            return Err(Refused::at(&at, why));
        }
    }
    let windows = windows(spec, spec.seed, "0")?;
    if let Some(members) = members(spec) {
        // Nodes ask the same of their own settings when they are told of it.
        let [n, r, w] = own_quorums(spec).map(|count| count as usize);
        for Window { phase, experiment, text, .. } in windows {
            experiment.quorum_check(&members, n, r, w).map_err(|why| {
                let index = spec.phases.iter().position(|one| one.name == phase).unwrap_or_default();
                let inner = why.place().map_or_else(|| parts("faults"), |place| fault_at(&text, place));
                let why = format!("phase `{phase}`: faults: {why}");
                Refused { at: inner, why }.within(&format!("phases.{index}"))
            })?;
        }
    }
    check_times(spec)?;
    if let Some(live) = &spec.measure.live_convergence {
        let at = "measure.liveConvergence";
        check_live(spec, live).map_err(|why| Refused::at(at, format!("{at}: {why}")))?;
    }
    spec.measure.visibility.as_ref().map_or(Ok(()), |wanted| check_visibility(spec, wanted))
}

fn check_visibility(spec: &Spec, wanted: &VisibilitySpec) -> Result<(), Refused> {
    if !spec.phases.iter().any(|phase| phase.name == wanted.phase) {
        let at = "measure.visibility.phase";
        return Err(Refused::at(at, format!("{at}: there is no phase `{}`", wanted.phase)));
    }
    let at = "measure.visibility";
    let wrong = |why: &str| Refused::at(at, format!("{at}: {why}"));
    let grid_ms: Vec<f64> = wanted.at.iter().map(|at| at.as_secs_f64() * 1e3).collect();
    visibility::check_plan(wanted.samples, &grid_ms, wanted.writers).map_err(wrong)?;
    if nodes(spec) == Some(1) { Err(wrong(visibility::TWO_NODES)) } else { Ok(()) }
}

/// Times that would leave no time.
fn check_times(spec: &Spec) -> Result<(), Refused> {
    let measure = &spec.measure;
    let times = [
        ("measure.budget", measure.budget),
        ("measure.lostWrites", measure.lost_writes),
        ("measure.convergence.deadline", measure.convergence.as_ref().map(|convergence| convergence.deadline)),
    ];
    match times.into_iter().find(|(_, time)| time.is_some_and(|time| time.is_zero())) {
        Some((at, _)) => Err(Refused::at(at, format!("{at}: it must be longer than nothing"))),
        None => Ok(()),
    }
}

fn check_live(spec: &Spec, live: &LiveSpec) -> Result<(), String> {
    let calm: Duration =
        spec.phases.iter().rev().take_while(|phase| phase.faults.is_empty()).map(|phase| phase.length).sum();
    if calm == length(spec) {
        return Err("no phase has faults, so nothing is healed".to_owned());
    }
    if live.deadline.is_zero() || live.deadline > calm {
        return Err(format!(
            "deadline: after the last fault clients go on for {} ms; it must be that or less, and more than nothing",
            calm.as_millis()
        ));
    }
    match spec.workload.mix.share(Action::Delete) {
        0 => Ok(()),
        _ => Err("the mix has deletes, which leave nothing by which to tell what a replica holds".to_owned()),
    }
}

/// Where a field of a plan stands in the file.
fn field_of(field: &str) -> String {
    match field {
        "arrivals" | "duration" => "load.rate and phases".to_owned(),
        "in_flight" => "load.inFlight".to_owned(),
        "timeout" | "retry" | "connections" => format!("request.{field}"),
        "value_bytes" => "workload.valueBytes".to_owned(),
        "until" => "phases".to_owned(),
        other => format!("workload.{other}"),
    }
}
