//! `kubectl driftkv chaos`: writes the annotation that asks for an experiment, and follows what the operator makes of it.
//! Invariants: nothing is written before the text is understood, every name is a node and the quorums survive as far as the spec tells; an
//! experiment that was told to be refused is asked for no more, so that it never begins behind somebody's back.
//! Not here: injecting (the operator, the nodes), what one look means (`chaos/follow.rs`), how the status reads (`status/chaos.rs`).

use std::time::Instant;

use driftkv_proto::faults::Experiment;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::args::{ApplyArgs, ChaosCommand, Which};
use super::cluster::{self, Cluster};
use super::site::{Site, call};
use super::status::chaos as picture;
use crate::args::Output;
use crate::chaos::{load, survives};
use crate::error::{Exit, Failure};
use crate::program;
use crate::status::watch::time_of_day;
use crate::style::{self, Paint, duration, one_line};
use crate::up::signals::Signals;

mod follow;
pub mod steer;

use follow::{Follower, LOOK_EVERY, Outcome, SILENT_MAX};

/// Who wrote it, in `metadata.managedFields`.
const MANAGER: &str = "kubectl-driftkv";
/// How often an annotation is taken back if somebody else writes the object meanwhile.
const TRIES: u32 = 5;

/// Runs the command.
pub async fn run(which: &Which, command: &ChaosCommand) -> Result<(), Failure> {
    match command {
        ChaosCommand::Apply(args) => apply(which, args).await,
        ChaosCommand::Status { output } => {
            let site = Site::open(which).await?;
            let cluster = Cluster::find(&site, which.cluster.as_deref()).await?;
            style::print(match output {
                Output::Text => told(Paint::stdout(), &cluster),
                output => style::for_programs(*output, &value(&cluster))?,
            })
        }
        ChaosCommand::Clear => clear(which).await,
    }
}

/// For people.
fn told(paint: Paint, cluster: &Cluster) -> String {
    let mut out = picture::text(paint, cluster, Timestamp::now(), style::columns());
    if let Some(refusal) = follow::refusal(cluster) {
        out += &format!("{}\n", paint.red(style::wrap(&refusal, style::columns(), 2).trim_end()));
    }
    if out.is_empty() { "no experiment was ever asked for\n".to_owned() } else { out }
}

/// For programs.
fn value(cluster: &Cluster) -> Value {
    let condition = follow::condition(cluster).and_then(|condition| serde_json::to_value(condition).ok());
    let asked = Some(cluster.text(picture::ANNOTATION_POINTER)).filter(|text| !text.is_empty());
    json!({
        "name": cluster.name, "annotation": asked, "chaos": cluster.object.pointer("/status/chaos"), "condition": condition,
    })
}

async fn apply(which: &Which, args: &ApplyArgs) -> Result<(), Failure> {
    let (text, experiment) = load(&args.file, args.id.as_deref())?;
    let site = Site::open(which).await?;
    let cluster = Cluster::find(&site, which.cluster.as_deref()).await?;
    survives(&experiment, &cluster.members(), quorums(&cluster), &args.file)?;
    let is_there = is_under_way(&cluster, &experiment)?;
    say(args.output, &heading(&site, &cluster, &experiment))?;
    // Order: before the annotation is written, so that Ctrl-C always finds somebody who says what goes on.
    let mut signals = Signals::new()?;
    if is_there {
        say(args.output, "it is under way already; nothing was written\n")?;
    } else {
        write(&site, &cluster, Some(&text)).await?;
    }
    if args.no_follow {
        return say(args.output, &format!("asked for; `{} chaos status` shows it\n", program::name()));
    }
    let followed = tokio::select! {
        followed = follow(&site, &cluster, &text, &experiment, args.output) => followed,
        () = signals.next() => return stopped(args.output, &experiment),
    };
    let (outcome, last) = followed?;
    if args.output != Output::Text {
        style::print(style::for_programs(args.output, &value(&last))?)?;
    } else if matches!(outcome, Outcome::Ended | Outcome::Cleared(_)) {
        style::print(picture::table(Paint::stdout(), &last))?;
    }
    conclude(&site, &cluster, &text, &experiment, outcome).await
}

/// N, R, W.
fn quorums(cluster: &Cluster) -> [usize; 3] {
    let number =
        |field: &str| cluster.number(&format!("/spec/{field}")).and_then(|number| usize::try_from(number).ok());
    ["replicationFactor", "readQuorum", "writeQuorum"].map(|field| number(field).unwrap_or_default())
}

/// Whether just this experiment is under way.
///
/// Errors: another one is, which writing would end; or its id was begun before.
fn is_under_way(cluster: &Cluster, experiment: &Experiment) -> Result<bool, Failure> {
    let (id, running) = (&experiment.id, cluster.text("/status/chaos/id"));
    let is_settled = follow::is_settled(cluster);
    let asked = Experiment::parse(cluster.text(picture::ANNOTATION_POINTER));
    if running == id && !is_settled && asked.as_ref().is_ok_and(|asked| asked == experiment) {
        return Ok(true);
    }
    if !running.is_empty() && !is_settled {
        return Err(Failure::conflict(format!(
            "experiment {} is under way, and this one would end it",
            one_line(running)
        ))
        .hint(format!("`{} chaos clear` ends it now; `chaos status` shows when it ends by itself.", program::name())));
    }
    let past = cluster.object.pointer("/status/chaos/pastIds").and_then(Value::as_array);
    if running == id || past.into_iter().flatten().any(|past| past == id.as_str()) {
        return Err(Failure::conflict(format!("an experiment of the id {id} was begun before; no id begins twice"))
            .hint("`chaos apply --id NEW` runs the same again."));
    }
    Ok(false)
}

fn heading(site: &Site, cluster: &Cluster, experiment: &Experiment) -> String {
    let (name, namespace) = (&cluster.name, &site.namespace);
    let mut out = format!(
        "experiment {} for {} on {name} in namespace {namespace}\n",
        experiment.id,
        duration(experiment.for_ms)
    );
    for fault in &experiment.faults {
        out += &format!("  {}\n", one_line(&fault.describe()));
    }
    out
}

/// For people on stdout; beside a value for programs on stderr.
fn say(output: Output, text: &str) -> Result<(), Failure> {
    match output {
        Output::Text => style::print(text),
        Output::Json | Output::Yaml => {
            style::note(text.trim_end());
            Ok(())
        }
    }
}

/// Writes the annotation of just this KVCluster, or takes it away.
async fn write(site: &Site, cluster: &Cluster, text: Option<&str>) -> Result<(), Failure> {
    patch(site, cluster, json!({"uid": cluster.text("/metadata/uid"), "annotations": {picture::ANNOTATION: text}}))
        .await
}

async fn patch(site: &Site, cluster: &Cluster, metadata: Value) -> Result<(), Failure> {
    let what = format!("annotate the KVCluster {} of namespace {}", cluster.name, site.namespace);
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({ "metadata": metadata }));
    call(&what, cluster::api(site).patch(&cluster.name, &params, &patch)).await.map(drop)
}

/// Takes the annotation away if it still is `text`; whether it was.
async fn take_back(site: &Site, cluster: &Cluster, text: &str) -> Result<bool, Failure> {
    for _ in 0..TRIES {
        let now = Cluster::find(site, Some(&cluster.name)).await?;
        if now.text(picture::ANNOTATION_POINTER) != text {
            return Ok(false);
        }
        let version = now.text("/metadata/resourceVersion");
        match patch(site, &now, json!({"resourceVersion": version, "annotations": {picture::ANNOTATION: null}})).await {
            Err(failure) if failure.exit == Exit::Conflict => {}
            outcome => return outcome.map(|()| true),
        }
    }
    Err(Failure::conflict(format!("the KVCluster {} is written too often to take the annotation away", cluster.name)))
}

/// Looks until it is over, and tells each step; what came of it, and the last look.
async fn follow(
    site: &Site,
    cluster: &Cluster,
    text: &str,
    experiment: &Experiment,
    output: Output,
) -> Result<(Outcome, Cluster), Failure> {
    let mut follower = Follower::new(cluster, text, &experiment.id);
    let paint = if output == Output::Text { Paint::stdout() } else { Paint::stderr() };
    let (asked, mut answered) = (Instant::now(), Instant::now());
    loop {
        match Cluster::find(site, Some(&cluster.name)).await {
            Ok(now) => {
                answered = Instant::now();
                let (line, outcome) = follower.look(&now, asked.elapsed(), Timestamp::now());
                if let Some(line) = line {
                    say(output, &format!("{}  {line}\n", paint.dim(&time_of_day())))?;
                }
                if let Some(outcome) = outcome {
                    return Ok((outcome, now));
                }
            }
            // An API server may be away for a while; the experiment is not.
            Err(failure) if failure.exit == Exit::Unavailable && answered.elapsed() < SILENT_MAX => {}
            Err(failure) => return Err(failure.hint("The experiment, if it began, ends by itself.")),
        }
        sleep(LOOK_EVERY).await;
    }
}

/// What the command comes to.
async fn conclude(
    site: &Site,
    cluster: &Cluster,
    text: &str,
    experiment: &Experiment,
    outcome: Outcome,
) -> Result<(), Failure> {
    let id = &experiment.id;
    match outcome {
        Outcome::Ended => Ok(()),
        Outcome::Cleared(why) => Err(Failure::failed(format!("experiment {id} was ended before its time: {why}"))),
        Outcome::Refused(why) => {
            let taken = match take_back(site, cluster, text).await {
                Ok(true) => "The annotation was taken away again.".to_owned(),
                Ok(false) => "Somebody else has changed the annotation meanwhile.".to_owned(),
                Err(failure) => format!("The annotation is still there ({failure}), so it may begin later."),
            };
            let advice = "docs/operator.md, Experiments, tells what each needs. Try again when that is so.";
            Err(Failure::failed(format!("experiment {id} was refused: {why}")).hint(format!("{taken} {advice}")))
        }
        Outcome::Silent => Err(Failure::unavailable(format!(
            "experiment {id} is asked for, and the operator has said nothing of it in {} s",
            SILENT_MAX.as_secs()
        ))
        .hint(format!(
            "Is the operator running? When it comes back it begins; `{} chaos clear` takes that back.",
            program::name()
        ))),
    }
}

/// Somebody who leaves ends nothing.
fn stopped(output: Output, experiment: &Experiment) -> Result<(), Failure> {
    let (id, name) = (&experiment.id, program::name());
    say(output, &format!("\nexperiment {id} goes on, and ends by itself; `{name} chaos clear` ends it now\n"))
}

async fn clear(which: &Which) -> Result<(), Failure> {
    let site = Site::open(which).await?;
    let cluster = Cluster::find(&site, which.cluster.as_deref()).await?;
    if cluster.text(picture::ANNOTATION_POINTER).is_empty() && follow::is_settled(&cluster) {
        return style::print("no experiment is asked for, and none is under way\n");
    }
    write(&site, &cluster, None).await?;
    style::print("the annotation is taken away\n")?;
    let began = Instant::now();
    loop {
        let now = Cluster::find(&site, Some(&cluster.name)).await?;
        if follow::is_settled(&now) {
            return style::print(format!("{}no node injects anything\n", picture::table(Paint::stdout(), &now)));
        }
        if began.elapsed() > SILENT_MAX {
            let open = follow::open(&now).join(", ");
            return Err(Failure::unavailable(format!(
                "not known to have ended it after {} s: {open}",
                SILENT_MAX.as_secs()
            ))
            .hint("Is the operator running? Each node ends it by itself when its time is over."));
        }
        sleep(LOOK_EVERY).await;
    }
}
