//! What becomes of the annotation `chaos.driftkv.io/experiment`: one pure function of it, of what was written down, and of what nodes say.
//! Follows research on chaos operators (docs/operator.md, *Experiments*, has the eight rules).
//! Invariants: nothing is injected or killed that is not in the status as it stands on the server, so that a crash in between never
//! runs an id for longer than it says, or twice (healing needs no such record); whatever is not understood, permitted or survivable injects nothing; an experiment is
//! over only when each node has said so, or has had the time to end it by its own clock.
//! Not here: doing it (`controller/chaos.rs`), what faults are (`driftkv_proto::faults`).

mod begin;
mod kills;
mod targets;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use driftkv_proto::faults::{Experiment, Fault};
use driftkv_proto::v1::FaultStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use twox_hash::XxHash3_64;

use crate::controller::reason::Reason;
use crate::crd::{ChaosPhase, ChaosState, ChaosStatus, ChaosTarget};

/// How often counters are written while nothing else changes: each write is a pass more.
const COUNT_EVERY: SignedDuration = SignedDuration::from_secs(5);
/// When to look again while something is open.
const OPEN: Duration = Duration::from_secs(1);
const ACTIVE: Duration = Duration::from_secs(5);
const REFUSED: Duration = Duration::from_secs(10);
/// A look that leaves something to do at once asks for another so soon.
pub const SOON: Duration = Duration::from_millis(100);

/// Everything that a look at an experiment is made of.
#[derive(Clone, Debug)]
pub struct Scene<'a> {
    /// The text of the annotation.
    pub annotation: Option<&'a str>,
    /// As it stands on the server.
    pub recorded: Option<&'a ChaosStatus>,
    /// What is missing for an experiment, each in words that say what to do; consents, and others.
    pub missing: &'a [String],
    /// Every node, as the layout names them.
    pub members: &'a [String],
    /// Replicas a key, the read quorum, the write quorum.
    pub quorums: [u32; 3],
    /// The nodes' pods and answers.
    pub nodes: &'a BTreeMap<String, NodeView>,
    /// The words of nodes that refused the experiment.
    pub refusals: &'a BTreeMap<String, String>,
    /// Now.
    pub now: Timestamp,
}

/// One node: its pod, and what it says of its faults.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeView {
    /// Of its pod.
    pub uid: String,
    /// Whether its pod is ready, and not about to go.
    pub is_ready: bool,
    /// Whether its pod is about to go.
    pub is_going: bool,
    /// What it says of faults, or why it does not.
    pub faults: Result<FaultStatus, String>,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Give the experiment to a node.
    Inject {
        /// Which.
        node: String,
        /// The experiment on one line, without what is done from outside.
        text: String,
        /// Of its time.
        left_ms: u64,
    },
    /// End it there.
    Clear {
        /// Which.
        node: String,
        /// The experiment.
        id: String,
    },
    /// Kill a pod.
    Kill {
        /// Its name.
        pod: String,
        /// Which of that name.
        uid: String,
    },
}

/// What the condition ChaosActive says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// `None`: it is not known.
    pub holds: Option<bool>,
    /// Why.
    pub reason: Reason,
    /// In words.
    pub message: String,
}

/// What follows.
#[derive(Clone, Debug, PartialEq)]
pub struct ChaosPlan {
    /// What is to be on the server before `acts` are done.
    pub status: Option<ChaosStatus>,
    /// `None`: nobody ever asked for an experiment.
    pub verdict: Option<Verdict>,
    /// Only what `Scene::recorded` already tells of.
    pub acts: Vec<Act>,
    /// When to look again; `None`: when something changes.
    pub again: Option<Duration>,
}

/// One look.
pub fn plan(scene: &Scene<'_>) -> ChaosPlan {
    let wanted = scene.annotation.map(Experiment::parse);
    let Some(recorded) = scene.recorded else { return begin::judge(scene, wanted) };
    if recorded.is_settled() {
        return match &wanted {
            Some(Ok(wanted)) if is_recorded(wanted, recorded) => ended(recorded, None),
            None => ended(recorded, None),
            _ => begin::judge(scene, wanted),
        };
    }
    let next = match wanted {
        _ if recorded.phase.is_over() => recorded.clone(),
        Some(Ok(wanted)) if is_recorded(&wanted, recorded) => carry_on(scene, recorded),
        Some(Ok(_)) => over(recorded, ChaosPhase::Cleared, "the annotation asks for another experiment"),
        Some(Err(_)) => over(recorded, ChaosPhase::Cleared, "the annotation changed and cannot be read"),
        None => over(recorded, ChaosPhase::Cleared, "the annotation was removed"),
    };
    follow(scene, recorded, next)
}

/// Whether `wanted` is what was begun.
fn is_recorded(wanted: &Experiment, recorded: &ChaosStatus) -> bool {
    recorded.id == wanted.id && recorded.hash == hash(wanted)
}

/// The same for what is written differently and says the same.
fn hash(experiment: &Experiment) -> String {
    format!("{:016x}", XxHash3_64::oneshot(experiment.to_flow().as_bytes()))
}

fn over(recorded: &ChaosStatus, phase: ChaosPhase, message: &str) -> ChaosStatus {
    ChaosStatus { phase, message: message.to_owned(), ..recorded.clone() }
}

/// What an experiment under way comes to, before its nodes are looked at.
fn carry_on(scene: &Scene<'_>, recorded: &ChaosStatus) -> ChaosStatus {
    if let Some((node, words)) = scene.refusals.iter().next() {
        let mut refused = over(recorded, ChaosPhase::Refused, &format!("{node} refused it: {words}"));
        for target in refused.targets.iter_mut().filter(|target| scene.refusals.contains_key(&target.node)) {
            (target.state, target.message) = (ChaosState::Failed, scene.refusals.get(&target.node).cloned());
        }
        return refused;
    }
    if scene.now >= recorded.ends_at.0 {
        return over(recorded, ChaosPhase::Ended, "its time is over");
    }
    if !scene.missing.is_empty() {
        return over(recorded, ChaosPhase::Cleared, &format!("it may not go on: {}", scene.missing.join("; ")));
    }
    ChaosStatus { kills: kills::advance(scene, recorded), ..recorded.clone() }
}

/// Looks at every target and kill; says what to do, and when to look again.
fn follow(scene: &Scene<'_>, recorded: &ChaosStatus, mut next: ChaosStatus) -> ChaosPlan {
    let mut acts = Vec::new();
    let text = scene.annotation.and_then(|text| Experiment::parse(text).ok()).and_then(|wanted| for_nodes(&wanted));
    for target in &mut next.targets {
        acts.extend(targets::advance(scene, recorded, next.phase, text.as_deref(), target));
    }
    let is_injected = |state: ChaosState| state == ChaosState::Injected;
    let is_there = next.targets.iter().any(|target| is_injected(target.state))
        || next.kills.iter().any(|kill| kill.state != ChaosState::Requested);
    if next.phase == ChaosPhase::Requested && is_there {
        next.phase = ChaosPhase::Active;
    }
    acts.extend(kills::due(scene, recorded, &next));
    let is_quiet = scene.now.duration_since(recorded.counted_at.0) < COUNT_EVERY;
    let status = if is_quiet && is_same_but_counters(recorded, &next) {
        recorded.clone()
    } else {
        ChaosStatus { counted_at: micro(scene.now), ..next }
    };
    if status.is_settled() {
        return ChaosPlan { acts, ..ended(&status, Some(SOON)) };
    }
    let verdict = Some(verdict(&status));
    let again = Some(again(scene, &status));
    ChaosPlan { status: Some(status), verdict, acts, again }
}

fn is_same_but_counters(a: &ChaosStatus, b: &ChaosStatus) -> bool {
    let mut b = b.clone();
    for (ours, theirs) in a.targets.iter().zip(&mut b.targets) {
        let (state, message) = (theirs.state, theirs.message.take());
        *theirs = ChaosTarget { node: theirs.node.clone(), state, message, ..ours.clone() };
    }
    *a == b
}

/// Of one that is settled.
fn ended(status: &ChaosStatus, again: Option<Duration>) -> ChaosPlan {
    ChaosPlan { verdict: Some(verdict(status)), status: Some(status.clone()), acts: Vec::new(), again }
}

/// What nodes are to inject themselves; `None`: nothing. Kills are done from outside.
fn for_nodes(experiment: &Experiment) -> Option<String> {
    let is_theirs = |fault: &&Fault| !matches!(fault, Fault::Crash { .. });
    let faults: Vec<Fault> = experiment.faults.iter().filter(is_theirs).cloned().collect();
    (!faults.is_empty()).then(|| Experiment { faults, ..experiment.clone() }.to_flow())
}

fn verdict(status: &ChaosStatus) -> Verdict {
    let (id, until) = (&status.id, status.ends_at.0);
    let count = |state: ChaosState| status.targets.iter().filter(|target| target.state == state).count();
    let all = status.targets.len();
    let says = |holds: Option<bool>, reason, words: String| Verdict { holds, reason, message: words };
    let odd: Vec<String> = status.targets.iter().filter_map(odd).collect();
    let odd = if odd.is_empty() { String::new() } else { format!("; {}", odd.join("; ")) };
    match status.phase {
        ChaosPhase::Requested => {
            says(None, Reason::ChaosRequested, format!("experiment {id}: {all} nodes are asked{odd}"))
        }
        ChaosPhase::Active => {
            let there = count(ChaosState::Injected);
            says(
                Some(true),
                Reason::ChaosInjected,
                format!("experiment {id}: at {there} of {all} nodes until {until}{odd}"),
            )
        }
        phase if !status.is_settled() => {
            let open = count(ChaosState::Requested) + count(ChaosState::Injected);
            let words =
                format!("experiment {id}, {}: {open} of {all} nodes have not said that it ended{odd}", status.message);
            says(None, if phase == ChaosPhase::Refused { Reason::ChaosRefused } else { Reason::ChaosEnding }, words)
        }
        phase => {
            let reason = match phase {
                ChaosPhase::Refused => Reason::ChaosRefused,
                ChaosPhase::Cleared => Reason::ChaosCleared,
                _ => Reason::ChaosEnded,
            };
            says(Some(false), reason, format!("experiment {id}: {}{odd}", status.message))
        }
    }
}

fn odd(target: &ChaosTarget) -> Option<String> {
    target.message.as_ref().map(|message| format!("{}: {message}", target.node))
}

/// At its end, at the next kill, and now and then.
fn again(scene: &Scene<'_>, status: &ChaosStatus) -> Duration {
    if status.phase.is_over() || status.targets.iter().any(|target| target.state == ChaosState::Requested) {
        return OPEN;
    }
    let kills = status.kills.iter().filter(|kill| kill.state == ChaosState::Requested).map(|kill| kill.due_at.0);
    let next = kills.chain([status.ends_at.0]).min().unwrap_or(scene.now);
    let wait = Duration::try_from(next.duration_since(scene.now)).unwrap_or_default();
    (wait + SOON).clamp(SOON, ACTIVE)
}

/// Of `now`, as the API server keeps it: what is written and what is read must compare as equal.
fn micro(now: Timestamp) -> MicroTime {
    MicroTime(Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now))
}

fn after(start: Timestamp, ms: u64) -> MicroTime {
    let wait = SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX));
    micro(start.checked_add(wait).unwrap_or(start))
}
